"""Strict JSON: equal data gives equal text, and what is not finite is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.disk.files import reason
from equiwm.errors import RunError


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
    raise TypeError(f"no JSON form for {type(value).__name__}: {value!r}")


def canonical_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON with sorted keys: equal data gives equal text."""
    return json.dumps(plain(value), sort_keys=True, indent=indent, allow_nan=False, ensure_ascii=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a strict JSON file.

    Raises:
        RunError: the file cannot be read, is not strict JSON, or holds no object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}.") from None
    except ValueError as error:  # also UnicodeDecodeError, JSONDecodeError
        raise RunError(f"{path} is damaged ({error}); move it away and run the command again.") from None
    if not isinstance(data, dict):
        raise RunError(f"{path} is damaged (expected a JSON object); move it away and run the command again.")
    return data
