"""Residuals, and the audit of any callable. The package can be called: `equiwm.audit(probe)`.

The function bears the name of its package, and Python binds `equiwm.audit` to the package once any module of it is
imported, so the package is what takes a probe. The function itself is `equiwm.audit.audit.audit`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equiwm.audit.probe import Probe
    from equiwm.audit.result import AuditResult


class _Callable(ModuleType):
    """A package that can be called; see "Customizing module attribute access" in Python's data model."""

    def __call__(self, probe: Probe, **options: Any) -> AuditResult:
        """Audit a probe; options and errors are those of `equiwm.audit.audit.audit`."""
        from equiwm.audit.audit import audit

        return audit(probe, **options)


sys.modules[__name__].__class__ = _Callable
