"""The kinds of ablations, found by name."""

from __future__ import annotations

from typing import Any

from equiwm.claims.ablation.kind import AblationKind
from equiwm.errors import ConfigError
from equiwm.locate import locate


def load_kind(name: str) -> AblationKind[Any]:
    """The kind of that name: a short one, an installed one, or `module:name`.

    Raises:
        ConfigError: an unknown name, with the nearest ones; a module that cannot be imported; or something that is no
            kind.
    """
    kind = locate("ablation", name)
    if not isinstance(kind, AblationKind):
        raise ConfigError(f"kind of ablation '{name}': got {type(kind).__name__}, expected an AblationKind.")
    return kind
