"""A result and its baseline's, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sides_of(entry: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    """The model's result, and its baseline's if there is one, by name of run; two of one name are told apart."""
    if "baseline" not in entry:
        return {name: entry}
    beside = entry["baseline"]["name"]
    return {name: entry, beside if beside != name else f"{beside} (baseline)": entry["baseline"]}
