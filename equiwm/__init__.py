"""Train and audit exactly equivariant latent world models.

Public names are loaded when they are first used; importing the package does no work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equiwm.audit.residual import Residual, check_equivariance
    from equiwm.loading import LoadedRun, load_run
    from equiwm.symmetry.groups import Elements, Group
    from equiwm.symmetry.reps import Rep

__version__ = "0.1.0"

_HOME = {
    "Elements": "equiwm.symmetry.groups",
    "Group": "equiwm.symmetry.groups",
    "LoadedRun": "equiwm.loading",
    "Rep": "equiwm.symmetry.reps",
    "Residual": "equiwm.audit.residual",
    "check_equivariance": "equiwm.audit.residual",
    "load_run": "equiwm.loading",
}

__all__ = ["Elements", "Group", "LoadedRun", "Rep", "Residual", "check_equivariance", "load_run"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'equiwm' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
