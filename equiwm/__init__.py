"""Train and audit exactly equivariant latent world models.

Public names are loaded when they are first used; importing the package does no work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equiwm.audit.probe import Probe
    from equiwm.audit.residual import Residual, check_equivariance
    from equiwm.audit.typed import Typed
    from equiwm.config import WorldConfig
    from equiwm.evidence.world.check import check_world
    from equiwm.evidence.world.probe import WorldProbe
    from equiwm.loading import load_run, save_subject
    from equiwm.schema import setting
    from equiwm.subject import Subject
    from equiwm.symmetry.coverage import Coverage
    from equiwm.symmetry.elements import Elements
    from equiwm.symmetry.finite import FiniteGroup
    from equiwm.symmetry.group import Group
    from equiwm.symmetry.kinds import Kind
    from equiwm.symmetry.reps import Rep

__version__ = "0.1.0"

_HOME = {
    "Coverage": "equiwm.symmetry.coverage",
    "Elements": "equiwm.symmetry.elements",
    "FiniteGroup": "equiwm.symmetry.finite",
    "Group": "equiwm.symmetry.group",
    "Kind": "equiwm.symmetry.kinds",
    "Probe": "equiwm.audit.probe",
    "Subject": "equiwm.subject",
    "Typed": "equiwm.audit.typed",
    "Rep": "equiwm.symmetry.reps",
    "Residual": "equiwm.audit.residual",
    "check_equivariance": "equiwm.audit.residual",
    "WorldConfig": "equiwm.config",
    "WorldProbe": "equiwm.evidence.world.probe",
    "check_world": "equiwm.evidence.world.check",
    "load_run": "equiwm.loading",
    "save_subject": "equiwm.loading",
    "setting": "equiwm.schema",
}

__all__ = [
    "Coverage",
    "Elements",
    "FiniteGroup",
    "Group",
    "Kind",
    "Probe",
    "Rep",
    "Residual",
    "Subject",
    "Typed",
    "WorldConfig",
    "WorldProbe",
    "check_equivariance",
    "check_world",
    "load_run",
    "save_subject",
    "setting",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'equiwm' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
