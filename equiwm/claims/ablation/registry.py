"""The kinds of ablations by name, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from equiwm.claims.ablation.kind import Kind
from equiwm.errors import ConfigError, nearest

KINDS = ("augmentation", "scale", "soft", "optimizer", "data", "breaking")
"""Each has a module of its name beside this one, with `KIND`, and another in `equiwm.report.ablation`."""


def load_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        ConfigError: an unknown kind, with the nearest names.
    """
    if name not in KINDS:
        raise ConfigError(f"unknown kind of ablation '{name}': {nearest(name, KINDS)}")
    kind: Kind = import_module(f"equiwm.claims.ablation.{name}").KIND
    return kind
