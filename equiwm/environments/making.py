"""Gymnasium environments by id, and what is said of one that cannot be made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from equiwm.errors import DataError, MissingExtraError, nearest
from equiwm.locate import RAISED, reason_of, search


def make_environment(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """The environment of an id; a module that it names is looked for in the current folder too.

    Args:
        name: `Ant-v5`, or `my_pkg:MyPush-v0`, where importing `my_pkg` registers it; of `my_pkg/MyPush-v0` as well.
        options: keyword arguments of its class.

    Raises:
        DataError: no such id, or an environment that cannot be made.
        MissingExtraError: something that it needs is not installed.
    """
    import gymnasium

    _quiet()
    search(Path.cwd())
    _register(name)
    module = name.rpartition(":")[0]
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
            f"gym:{name} needs the module '{missing}', which is not installed; of the MuJoCo bodies: pip install "
            "'gymnasium[mujoco]'."
        ) from None
    except RAISED as error:  # an environment of somebody else's
        raise DataError(f"gym:{name} cannot be made: {reason_of(error)}") from None


def _register(name: str) -> None:
    """Import what registers `NAMESPACE/ID`: the module of the namespace. Gymnasium does it for `module:ID`.

    Raises:
        DataError: an id that nothing registers.
        MissingExtraError: its module is not installed.
    """
    import gymnasium

    module, _, plain = name.rpartition(":")
    namespace = plain.rpartition("/")[0]
    if plain in gymnasium.registry or module:
        return
    if namespace.isidentifier():
        try:
            import_module(namespace)
        except ModuleNotFoundError as error:
            if error.name == namespace:
                raise MissingExtraError(
                    f"gym:{name} is not registered, and there is no module '{namespace}' that would: install it, or "
                    "say which one does, as gym:MODULE:ID."
                ) from None
            raise MissingExtraError(f"gym:{name} needs the module '{error.name}', which is not installed.") from None
        except RAISED as error:  # somebody's module, which may do anything while it is imported
            raise DataError(f"gym:{name}: importing {namespace} raised {reason_of(error)}") from None
    if plain not in gymnasium.registry:
        known = list(gymnasium.registry)[:400]
        raise DataError(f"gym:{name}: no such environment is registered; {nearest(plain, known)}")


def _quiet() -> None:
    """MuJoCo prints its warnings on stdout, among the results, and writes a log into the current folder."""
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(lambda message: None)
