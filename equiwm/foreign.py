"""Code that is not ours: what it raises and what it returns wrongly is the user's to mend, in one line that names it.

An object of a user's class is guarded by a subclass made on the spot: every method that the user wrote is called in
a way that turns what it raises into an `EquiwmError` (`Spring.step raised ...`), and whose answer may be checked. What
our own code raises is left as it is: a fault of ours stays one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from equiwm.errors import DataError, EquiwmError
from equiwm.locate import RAISED, reason_of

_MARK = "_guarded_by_equiwm"
Check = Callable[[Any, Any, tuple[Any, ...]], Any]
"""From the object, what a method gave and its positional arguments, to what is handed on; raises a DataError."""


def label(cls: type) -> str:
    """A class as the user names it: `my_package.spring:Spring`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def is_ours(cls: type) -> bool:
    """Whether a class is one of this package's."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def guard(value: Any, checks: Mapping[str, Check]) -> Any:
    """`value` itself, guarded from now on if its class is not ours.

    Args:
        value: an object of any class.
        checks: method -> what its answer has to be.
    """
    if not is_ours(type(value)) and not hasattr(type(value), _MARK):
        object.__setattr__(value, "__class__", _guarded(type(value), checks))
    return value


def bare(value: Any) -> Any:
    """`value` without its guard, for another process: a copy of the user's own class, or itself if it is ours.

    Raises:
        Exception: it cannot be copied; whatever its class raises.
    """
    if not hasattr(type(value), _MARK):
        return value
    other = copy.copy(value)
    object.__setattr__(other, "__class__", next(base for base in type(value).__mro__ if _MARK not in vars(base)))
    return other


def called(function: Callable[..., Any], what: str, *arguments: Any, **options: Any) -> Any:
    """What a user's function gives.

    Raises:
        DataError: what it raises, in one line that begins with `what`.
    """
    try:
        return function(*arguments, **options)
    except EquiwmError:
        raise
    except RAISED as error:  # the user's code, which may raise anything
        raise DataError(f"{what} raised {reason_of(error)}") from None


def _guarded(cls: type, checks: Mapping[str, Check]) -> type:
    members: dict[str, Any] = {
        _MARK: True,
        "__slots__": (),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
    }
    for name in dir(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), object)
        written = inspect.isfunction(vars(owner).get(name)) and not name.startswith("_")
        if written and not is_ours(owner) and owner.__module__ != "builtins":
            members[name] = _wrapped(vars(owner)[name], f"{label(cls)}.{name}", checks.get(name))
    return type(cls.__name__, (cls,), members)


def _wrapped(function: Callable[..., Any], what: str, check: Check | None) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        given = called(function, what, self, *arguments, **options)
        return given if check is None else check(self, given, arguments)

    return call
