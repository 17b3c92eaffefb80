"""Packages that an adapter needs and that may not be installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from equiwm.errors import MissingExtraError


def imported(module: str, package: str, what: str) -> Any:
    """A module of somebody else's package.

    Args:
        module: as it is imported.
        package: as it is installed.
        what: the adapter that needs it, for the message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise MissingExtraError(f"{what}: {package} needs {error.name}, which is not installed.") from None
        raise MissingExtraError(f"{what} needs {package}: pip install {package}") from None
