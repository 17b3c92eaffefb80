"""Frozen dataclasses read from plain data: types, ranges and help texts stand in the fields.

A field is declared with `setting(default, help, ...)`. `build` refuses an unknown key (with the nearest known ones), a
value of another type and a value out of the field's range, and names the key as `--set` takes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from equiwm.errors import ConfigError, nearest
from equiwm.printable import MOST_QUOTED, cut, quoted

T = TypeVar("T")


def setting(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    unit: str = "",
    later: bool = False,
) -> Any:
    """A dataclass field with its help text and its range.

    Args:
        default: value where none is given.
        help: what it is, a phrase.
        at_least: least value; of a tuple, of each entry. None (a null) is always in range.
        above: value that it has to exceed.
        below: value that it has to stay under.
        unit: follows the numbers in a refusal (`steps`).
        later: whether it came after studies were made without it, whose default it is: `since` leaves it out there.
    """
    bounds = {"at_least": at_least, "above": above, "below": below, "unit": unit, "later": later}
    return field(default=default, metadata={"help": help, **bounds})


def since(section: Any) -> dict[str, Any]:
    """A section as plain data without the later settings that stand at their defaults.

    What is called by its settings (a cell of a study) keeps its name when there come to be more of them.
    """
    return {
        each.name: plain(getattr(section, each.name))
        for each in dataclasses.fields(section)
        if not (each.metadata.get("later") and getattr(section, each.name) == each.default)
    }


def plain(value: Any) -> Any:
    """`value` as YAML has it: tuples as lists, in mappings too."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def describe(kind: Any) -> str:
    """A type in words, as a refusal says what was expected."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        return f"a list of {inner[0].__name__}" + ("" if inner[-1] is Ellipsis else f" of length {len(inner)}")
    return "null" if kind is type(None) else kind.__name__


def coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`. An int is taken for a float, a list for a tuple, nothing else converts.

    Raises:
        ConfigError: it is neither; the message names `where`.
    """
    origin = get_origin(kind)
    if origin is Literal:
        for known in get_args(kind):  # 2 where 2.0 was written; but True is not 1
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return known
    if origin in (Union, types.UnionType):
        for arg in get_args(kind):
            with contextlib.suppress(ConfigError):
                return coerce(value, arg, where)
    if origin is tuple and isinstance(value, list | tuple):
        inner = get_args(kind)
        expected = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(expected) == len(value):
            return tuple(coerce(entry, want, where) for entry, want in zip(value, expected, strict=True))
    if kind is type(None) and value is None:
        return None
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer beyond any float
            if math.isfinite(value):
                return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise ConfigError(f"{where}: got {quoted(value)}, expected an integer of at most 64 bits.")
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    raise ConfigError(f"{where}: got {quoted(value)}, expected {describe(kind)}.")


def _check_range(value: Any, bounds: Mapping[str, Any], where: str) -> None:
    if isinstance(value, tuple):
        for index, entry in enumerate(value):
            _check_range(entry, bounds, f"{where}[{index}]")
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    words = []
    least, above, below = (bounds.get(key) for key in ("at_least", "above", "below"))
    if least is not None:
        words.append(f"at least {least:g}")
    if above is not None:
        words.append(f"above {above:g}")
    if below is not None:
        words.append(f"below {below:g}")
    fits = (least is None or value >= least) and (above is None or value > above) and (below is None or value < below)
    if not fits:
        unit = f" {bounds['unit']}" if bounds.get("unit") else ""
        raise ConfigError(f"{where}: got {value:g}, expected {' and '.join(words)}{unit}.")


def build(cls: type[T], values: Mapping[str, Any], section: str) -> T:
    """An instance of the dataclass `cls` from plain data; a method `check` of it has the last word.

    Args:
        cls: a dataclass whose fields are declared with `setting`, or plainly.
        values: key -> value; missing keys have their defaults.
        section: what the keys belong to, for messages (`world`).

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range, or one that `check` refuses.
    """
    fields = {entry.name: entry for entry in dataclasses.fields(cls) if entry.init}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise ConfigError(f"unknown key '{section}.{cut(str(key), MOST_QUOTED)}': {nearest(str(key), fields)}")
    for name, entry in fields.items():
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{section}.{name} is missing: expected {describe(hints[name])}.")
    read = {key: coerce(value, hints[key], f"{section}.{key}") for key, value in values.items()}
    for key, value in read.items():
        _check_range(value, fields[key].metadata, f"{section}.{key}")
    built = cls(**read)
    check = getattr(built, "check", None)
    if callable(check):
        check()
    return built


def section_of(name: str, values: Any) -> Mapping[str, Any]:
    """The keys and values of a section of a file; an empty one (null) has none.

    Raises:
        ConfigError: it holds anything else.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"section '{name}': got {quoted(values)}, expected keys and values.")
    return values


def settings_of(section: str, values: Any) -> list[tuple[str, Any, str]]:
    """Each setting of a section: its key as `--set` takes it, its value as YAML has it, and its help text."""
    rows = []
    for entry in dataclasses.fields(values):
        value = plain(getattr(values, entry.name))
        shown = "null" if value is None else value
        rows.append((f"{section}.{entry.name}", shown, str(entry.metadata.get("help", ""))))
    return rows


def read_assignment(assignment: str, sections: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Read `section.key=value`.

    Returns:
        The section's name, and the one key with its value (YAML, but 1e-3 is a number).

    Raises:
        ConfigError: another form, or a section that is none of `sections`.
    """
    from equiwm.disk.safe_yaml import parse_yaml

    key, equals, text = assignment.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(
            f"cannot read --set {quoted(assignment)}: expected section.key=value, as in training.epochs=10."
        )
    if section not in sections:
        raise ConfigError(f"unknown section in --set {quoted(assignment)}: {nearest(section, sections)}")
    value = parse_yaml(text, f"the value of --set {quoted(assignment)}")
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            number = float(value)
            value = number if math.isfinite(number) else value
    return section, {name.strip(): value}
