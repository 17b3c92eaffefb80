"""What the file of some weights says of where they belong: to which configuration, and to which rows of history."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from equiwm.errors import RunError

WEIGHTS_SCHEMA = 2
"""Version of `checkpoint.pt` and `resume.pt`. 1: neither said which run it belongs to."""


def sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Binding:
    """Where weights belong; it stands in their file under `binding`.

    Attributes:
        config_sha256: of `config`; it decides.
        config: `equiwm.layout.header.canonical_config` of their run, so that a refusal can name the setting.
        epoch: epochs that they were trained for; None where no training of ours made them.
        history_sha256: of the rows of `history.csv` up to that epoch (`equiwm.layout.history.history_sha256`).
    """

    config_sha256: str
    config: str
    epoch: int | None
    history_sha256: str | None

    def as_entries(self) -> dict[str, Any]:
        """What a file of weights holds besides the weights."""
        return {"schema": WEIGHTS_SCHEMA, "binding": dataclasses.asdict(self)}


def read_binding(state: Mapping[str, Any], path: Path) -> Binding | None:
    """The binding in the content of a file of weights; None of schema 1, which had none.

    Raises:
        RunError: a later version wrote the file, or what it says is damaged.
    """
    schema = state.get("schema", 1)
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise RunError(f"{path} has a schema that is no whole number above 0: it was not written by equiwm.")
    if schema > WEIGHTS_SCHEMA:
        raise RunError(f"{path} has schema {schema}; this equiwm reads up to {WEIGHTS_SCHEMA}: update equiwm.")
    if schema == 1:
        return None
    try:
        return msgspec.convert(state.get("binding"), Binding)
    except msgspec.ValidationError:
        raise RunError(
            f"{path} does not say which run it belongs to; restore the file, or train the run again."
        ) from None
