"""Gymnasium environments by id, and what is said of one that cannot be made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.errors import DataError, MissingExtraError, nearest
from equiwm.locate import RAISED, reason_of, search


def make_environment(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """The environment of an id; a module that it names is looked for in the current folder too.

    Args:
        name: `Ant-v5`, or `my_pkg:MyPush-v0`, where importing `my_pkg` registers it.
        options: keyword arguments of its class.

    Raises:
        DataError: no such id, or an environment that cannot be made.
        MissingExtraError: something that it needs is not installed.
    """
    import gymnasium

    _quiet()
    known = list(gymnasium.registry)
    module, _, plain = name.rpartition(":")
    if not module and plain not in known:
        raise DataError(f"gym:{name}: no such environment is registered; {nearest(plain, known[:400])}")
    if module:
        search(Path.cwd())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return gymnasium.make(name, **(options or {}))
    except ModuleNotFoundError as error:
        missing = error.name or getattr(error.__cause__, "name", None)  # Gymnasium raises another, without the name
        if missing is not None and (module == missing or module.startswith(f"{missing}.")):
            raise DataError(
                f"gym:{name}: no module named '{missing}' in this folder or among installed packages; expected one "
                "that registers the environment when it is imported."
            ) from None
        raise MissingExtraError(
            f"gym:{name} needs the module '{missing}': pip install 'gymnasium[mujoco]' for the MuJoCo bodies."
        ) from None
    except RAISED as error:  # an environment of somebody else's
        raise DataError(f"gym:{name} cannot be made: {reason_of(error)}") from None


def _quiet() -> None:
    """MuJoCo prints its warnings on stdout, among the results, and writes a log into the current folder."""
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(lambda message: None)
