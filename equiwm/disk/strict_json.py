"""Strict JSON: equal data gives equal text, and what is not finite is null."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.disk.text import MOST_TEXT, read_text
from equiwm.errors import RunError
from equiwm.printable import cut, quoted

MOST_DEPTH = 64
"""Lists and objects within each other; our own have 8."""
_TOO_DEEP = f"it is nested more than {MOST_DEPTH} deep"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""Half of a character: a pair of them is one, a single one is no text that can be written again."""


def plain(value: Any) -> Any:
    """`value` as strict JSON data: arrays and numpy scalars unpacked, keys as text, non-finite numbers null.

    Raises:
        TypeError: something that JSON has no form for.
    """
    if hasattr(value, "tolist"):  # numpy arrays and scalars, tensors
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}: {quoted(value)}")


def canonical_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON with sorted keys: equal data gives equal text."""
    return json.dumps(plain(value), sort_keys=True, indent=indent, allow_nan=False, ensure_ascii=False)


def read_json(path: Path, *, most: int = MOST_TEXT) -> dict[str, Any]:
    """The object in a strict JSON file that one of our commands wrote, or somebody else.

    A symbolic link must not lead out of the file's folder.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        RunError: the file cannot be read, is no regular file, too large, not strict JSON, or holds no object.
    """
    return parse_json(read_text(path, most=most, inside=path.parent), path)


def parse_json(text: str, path: Path | str) -> dict[str, Any]:
    """The object in strict JSON: keys stand once in it, integers have at most 64 bits, numbers are finite.

    Args:
        text: the JSON.
        path: where it stands, for the message.

    Raises:
        RunError: it is not strict JSON, or holds no object.
    """
    try:
        data = json.loads(
            text,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
            object_pairs_hook=_object,
        )
        _require_shallow(data)
        if _SURROGATE.search(text):
            json.dumps(data, ensure_ascii=False).encode()
    except RecursionError:
        raise _damaged(path, _TOO_DEEP) from None
    except ValueError as error:  # what the parser says, and what is refused below
        raise _damaged(path, str(error)) from None
    if not isinstance(data, dict):
        raise _damaged(path, "expected a JSON object")
    return data


def _damaged(path: Path | str, why: str) -> RunError:
    return RunError(f"{path} is damaged ({cut(why, 200)}); move it away and run the command again.")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # The length comes first: Python refuses to read integers of some thousand digits.
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"the integer {cut(digits, 24)} has more than 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {cut(digits, 24)} is beyond a float")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {quoted(twice)} stands twice in an object")
    return found


def _require_shallow(data: Any) -> None:
    level = [data]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for entry in level
            for inner in (entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)
