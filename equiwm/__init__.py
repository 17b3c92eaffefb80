"""Train and audit exactly equivariant latent world models.

Public names are loaded when they are first used; importing the package does no work.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equiwm.audit.audit import audit
    from equiwm.audit.draw import draw
    from equiwm.audit.probe import Probe
    from equiwm.audit.residual import Residual, check_equivariance
    from equiwm.audit.result import AuditResult
    from equiwm.audit.typed import Typed
    from equiwm.audit.verdict import Verdict
    from equiwm.config import WorldConfig
    from equiwm.evidence.algebra.discover import discover
    from equiwm.evidence.data.check import check_data
    from equiwm.evidence.world.check import check_world
    from equiwm.evidence.world.probe import WorldProbe
    from equiwm.export.loaded import load_export
    from equiwm.export.policy_loaded import load_policy
    from equiwm.loading import load_run, save_subject
    from equiwm.schema import setting
    from equiwm.subject import Subject
    from equiwm.symmetrised import symmetrise
    from equiwm.symmetry.coverage import Coverage
    from equiwm.symmetry.elements import Elements
    from equiwm.symmetry.finite import FiniteGroup
    from equiwm.symmetry.group import Group
    from equiwm.symmetry.kinds import Kind
    from equiwm.symmetry.reps import Rep

__version__ = "0.1.0"

LOADED_AT = time.time()
"""When this process began to load the package, seconds since 1970: a file that is younger may not be what is loaded."""

_HOME = {
    "AuditResult": "equiwm.audit.result",
    "Coverage": "equiwm.symmetry.coverage",
    "Elements": "equiwm.symmetry.elements",
    "FiniteGroup": "equiwm.symmetry.finite",
    "Group": "equiwm.symmetry.group",
    "Kind": "equiwm.symmetry.kinds",
    "Probe": "equiwm.audit.probe",
    "Subject": "equiwm.subject",
    "Typed": "equiwm.audit.typed",
    "Verdict": "equiwm.audit.verdict",
    "Rep": "equiwm.symmetry.reps",
    "Residual": "equiwm.audit.residual",
    "check_data": "equiwm.evidence.data.check",
    "check_equivariance": "equiwm.audit.residual",
    "draw": "equiwm.audit.draw",
    "discover": "equiwm.evidence.algebra.discover",
    "WorldConfig": "equiwm.config",
    "WorldProbe": "equiwm.evidence.world.probe",
    "check_world": "equiwm.evidence.world.check",
    "load_export": "equiwm.export.loaded",
    "load_policy": "equiwm.export.policy_loaded",
    "load_run": "equiwm.loading",
    "save_subject": "equiwm.loading",
    "setting": "equiwm.schema",
    "symmetrise": "equiwm.symmetrised",
}

__all__ = [
    "AuditResult",
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
    "Verdict",
    "WorldConfig",
    "WorldProbe",
    "audit",
    "check_data",
    "check_equivariance",
    "check_world",
    "discover",
    "draw",
    "load_export",
    "load_policy",
    "load_run",
    "save_subject",
    "setting",
    "symmetrise",
]


def __getattr__(name: str) -> object:
    if name == "audit":  # the package, which can be called: importing any module of it binds the name to it anyway
        return import_module("equiwm.audit")
    if name not in _HOME:
        raise AttributeError(f"module 'equiwm' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
