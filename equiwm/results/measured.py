"""What one invocation of a command leaves in `metrics.json`: a result, and that of the baseline measured beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from equiwm.errors import ResultError
from equiwm.results import door
from equiwm.results.result import Result

R_co = TypeVar("R_co", bound=Result, covariant=True)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Provenance(Result):
    """Which weights a baseline's result belongs to.

    Attributes:
        name: of the run.
        preset: that it was made from.
        train_seed: seed of its training.
        checkpoint_sha256: of its weights; None of a model that was built by hand.
    """

    name: str
    preset: str | None
    train_seed: int
    checkpoint_sha256: str | None


@dataclass(frozen=True)
class Baseline(Generic[R_co]):
    """The result of a run that another one was measured beside.

    Attributes:
        provenance: which run it is.
        result: what was measured of it.
    """

    provenance: Provenance
    result: R_co


@dataclass(frozen=True)
class Measured(Generic[R_co]):
    """A result and, where one was measured beside it, its baseline's.

    Attributes:
        result: of the run.
        baseline: of the other one, or None.
        checkpoint_sha256: of the weights that were measured; None in a study, and in results of schema 1.
    """

    result: R_co
    baseline: Baseline[R_co] | None = None
    checkpoint_sha256: str | None = None

    def sides(self, name: str) -> dict[str, R_co]:
        """The results by name of run, that of the run `name` first; two of one name are told apart."""
        if self.baseline is None:
            return {name: self.result}
        beside = self.baseline.provenance.name
        return {name: self.result, beside if beside != name else f"{beside} (baseline)": self.baseline.result}


def read(cls: type[R], data: object, where: str = "") -> Measured[R]:
    """An entry of `metrics.json`.

    Args:
        cls: type of its results.
        data: JSON data: the result, and under `baseline` the baseline's with its provenance.
        where: file and section, for the message.

    Raises:
        ResultError: as `door.read`.
    """
    result = door.read(cls, data, where)
    assert isinstance(data, Mapping)  # else `door.read` has refused it
    weights = data.get("checkpoint_sha256")
    weights = weights if isinstance(weights, str) else None
    if "baseline" not in data:
        return Measured(result, checkpoint_sha256=weights)
    other, there = data["baseline"], f"{where}, baseline" if where else "baseline"
    if not isinstance(other, Mapping):
        raise ResultError(f"{there}: got {type(other).__name__}, expected an object; measure it again.")
    return Measured(result, Baseline(door.read(Provenance, other, there), door.read(cls, other, there)), weights)


def to_builtins(measured: Measured[Result]) -> dict[str, Any]:
    """The entry as it is stored and printed: strict JSON data."""
    entry = {"schema": door.SCHEMA, **door.to_builtins(measured.result)}
    if measured.checkpoint_sha256 is not None:
        entry["checkpoint_sha256"] = measured.checkpoint_sha256
    if measured.baseline is None:
        return entry
    beside = {**door.to_builtins(measured.baseline.provenance), **door.to_builtins(measured.baseline.result)}
    return {**entry, "baseline": {"schema": door.SCHEMA, **beside}}
