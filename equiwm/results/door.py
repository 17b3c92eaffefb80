"""The one door between results in memory and results on disk: typed on both sides.

Only this module turns a dataclass of `equiwm.results` into JSON data and JSON data into one of them. What it reads it
checks, whole, so that nothing behind it meets a missing or a misspelled number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from equiwm.disk.strict_json import plain
from equiwm.errors import ResultError
from equiwm.printable import check_component, quoted
from equiwm.results.result import UNKNOWN, FileName, Real, Result

SCHEMA = 2
"""Version of the names in a result. 1: bins said `seen`: `true`, `partial` or `false`; results did not tell their
schema. Results of an earlier schema are read through `Result.upgraded`, those of a later one are refused."""

R = TypeVar("R", bound=Result)


def to_builtins(result: Result) -> dict[str, Any]:
    """A result as strict JSON data, keys sorted: numbers that are not finite are null (see `results.result.Real`).

    Raises:
        TypeError: a field holds what JSON has no form for, or another type than it declares.
    """
    data: dict[str, Any] = _sorted(plain(result.as_dict()))
    _convert(data, type(result))
    return data


def settled(result: R) -> R:
    """A result as it will be read back: keys in the order of the file, and NaN for whatever is not finite.

    Raises:
        TypeError: as `to_builtins`.
    """
    return _convert(_sorted(plain(result.as_dict())), type(result))


def _convert(data: object, kind: type[R]) -> R:
    try:
        return msgspec.convert(data, kind, dec_hook=_custom)
    except msgspec.ValidationError as error:
        said = _said(error)
        if "got null" in said:
            said += " (a number that is not finite is null; a field that may be is declared Real)"
        raise TypeError(f"{kind.__name__} does not hold what it declares: {said}") from None


def _sorted(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _sorted(data[key]) for key in sorted(data)}
    return [_sorted(entry) for entry in data] if isinstance(data, list) else data


def read(cls: type[R], data: object, where: str = "") -> R:
    """Stored data as the result that it is; keys that the result does not have are passed over.

    Args:
        cls: type of the result.
        data: JSON data.
        where: file and section, for the message.

    Raises:
        ResultError: a field is missing or of another type (the message tells which, as in `Expected float, got str -
            at $.bins[3].relmse`), its parts do not fit together, or a later equiwm wrote it.
    """
    said = f"{where}: " if where else ""
    schema = data.get("schema", 1) if isinstance(data, Mapping) else 1
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ResultError(
            f"{said}schema {quoted(schema)}, expected at most {SCHEMA}; it is damaged or foreign: measure it again."
        )
    if schema > SCHEMA:
        raise ResultError(f"{said}schema {schema}, expected at most {SCHEMA}; install a later equiwm.")
    if isinstance(data, Mapping):
        data = cls.upgraded(data)
    try:
        result = msgspec.convert(data, cls, dec_hook=_custom)
    except msgspec.ValidationError as error:
        raise ResultError(f"{said}{_said(error)}; it is damaged or foreign: measure it again.") from None
    if (misfit := result.misfit) is not None:
        raise ResultError(f"{said}{misfit}; it is damaged or foreign: measure it again.")
    return result


def _custom(kind: type, value: object) -> object:
    """A number or null as a `Real`, text as a `FileName`."""
    if kind is FileName:
        if not isinstance(value, str):
            raise TypeError(f"Expected str, got {type(value).__name__}")
        if (wrong := check_component(value)) is not None:
            raise ValueError(f"Got {quoted(value)} as the name of a file, {wrong}")
        return FileName(value)
    if kind is not Real:
        raise NotImplementedError(f"no JSON form for {kind.__name__}")
    if value is None:
        return UNKNOWN
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Real(value)
    raise TypeError(f"Expected float, got {type(value).__name__}")


def _said(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "")
