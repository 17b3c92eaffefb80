"""Section `ablate` of metrics.json, and the row of an ablation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from equiwm.errors import ResultError, nearest
from equiwm.printable import quoted
from equiwm.results.door import read
from equiwm.results.result import UNKNOWN, FileName, Real, Result
from equiwm.results.statement import DecidedStatement

_READOUT, _UNSEEN, _ACTION = "readout_", "_ood", "_action"
_LEAST = 1e-300
"""Of an error, whose logarithm is taken."""


def unknown_name(*asked: tuple[str, Collection[str]]) -> str | None:
    """What a row says is wrong with it (`Result.misfit`) where a name of its own is none that its kind knows.

    Args:
        asked: a name, and the known ones.
    """
    for name, known in asked:
        if name not in known:
            return f"got {quoted(name)}, {nearest(name, known)}"
    return None


@dataclass(frozen=True, kw_only=True)
class ReadoutErrors(Result):
    """Errors of one target's read-out from a latent, each relative to the target's true change.

    Attributes:
        seen: at orientations that training covers.
        ood: at others.
        action: of the read-out from the action alone, at seen ones.
    """

    seen: Real
    ood: Real
    action: Real


@dataclass(frozen=True, kw_only=True)
class AblationRow(Result):
    """One network of one seed: a row of `rows.csv`. A kind's own columns are fields of its own subclass.

    On disk a read-out of a target T is three columns, `readout_T`, `readout_T_ood` and `readout_T_action`.

    Attributes:
        arm: the network compared (`vn`, `mlp`, `soft`).
        cell: what the networks of all seeds have in common, unique within dimension and arm (`coverage=90`).
        dim: dimension d of the world.
        seed: of data, weights and order.
        parameters: trained scalars.
        seen_relmse: error at orientations that training covers.
        ood_relmse: error at others.
        ood_factor: ood_relmse / seen_relmse.
        relative_residual: of the network under the world's group.
        float32_rounding: what float32 alone moves the network, to read the residual by.
        latent_std: spread of the latents.
        readouts: errors of read-outs by target, of models whose latent is not the state.
    """

    arm: str
    cell: str
    dim: int
    seed: int
    parameters: int
    seen_relmse: Real = UNKNOWN
    ood_relmse: Real = UNKNOWN
    ood_factor: Real = UNKNOWN
    relative_residual: Real = UNKNOWN
    float32_rounding: Real = UNKNOWN
    latent_std: Real = UNKNOWN
    readouts: dict[str, ReadoutErrors] = field(default_factory=dict)

    @property
    def qualities(self) -> dict[str, ReadoutErrors]:
        """What compares models, by name: the read-outs of a latent model in alphabetical order, or the state's own
        relMSE of a forward model, which predicts nothing else. A relMSE in a model's own latent compares nothing.
        """
        if not self.readouts:
            own = ReadoutErrors(seen=self.seen_relmse, ood=self.ood_relmse, action=math.nan)
            return {"relMSE of the next state": own}
        return {f"read-out, {target.replace('_', ' ')}": self.readouts[target] for target in sorted(self.readouts)}

    @property
    def unseen_error(self) -> float:
        """Geometric mean over what compares models of the error at unseen orientations."""
        return _geometric_mean([errors.ood for errors in self.qualities.values()])

    @property
    def seen_error(self) -> float:
        """The same at seen ones."""
        return _geometric_mean([errors.seen for errors in self.qualities.values()])

    def as_dict(self) -> dict[str, Any]:
        """The columns, flat: the common ones, the read-outs, then the kind's own."""
        columns = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        flat: dict[str, Any] = {}
        for name, value in columns.items():
            if name != "readouts":
                flat[name] = value
                continue
            for target, errors in self.readouts.items():
                parts = {"": errors.seen, _UNSEEN: errors.ood, _ACTION: errors.action}
                flat |= {f"{_READOUT}{target}{part}": error for part, error in parts.items()}
        return flat

    @classmethod
    def upgraded(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The flat columns with the read-outs folded in."""
        targets = [
            key.removeprefix(_READOUT).removesuffix(_ACTION)
            for key in data
            if key.startswith(_READOUT) and key.endswith(_ACTION)
        ]
        folded = {
            target: {
                name: data.get(f"{_READOUT}{target}{part}")
                for name, part in (("seen", ""), ("ood", _UNSEEN), ("action", _ACTION))
            }
            for target in targets
        }
        return {**data, "readouts": folded} if folded else data


def _geometric_mean(errors: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(max(error, _LEAST)) for error in errors) / len(errors))


@dataclass(frozen=True)
class CellRows(Result):
    """What a cell of an ablation gives.

    Attributes:
        rows: flat, one a network; `read_rows` reads them.
        failed: networks that diverged, each with its message.
    """

    rows: list[dict[str, Any]]
    failed: list[str] = field(default_factory=list)


R = TypeVar("R", bound=AblationRow)


def read_rows(cls: type[R], rows: Sequence[Mapping[str, Any]], where: str = "") -> list[R]:
    """The stored rows of an ablation as those of its kind.

    Raises:
        ResultError: a row that lacks a column of the kind, or has something else in its place.
    """
    return [read(cls, row, f"{where}row {index}") for index, row in enumerate(rows)]


@dataclass(frozen=True)
class AblationResult(Result):
    """Section `ablate` of a study.

    Attributes:
        kind: the stress test, by the name it was called by.
        world: the world it ran on.
        question: what it asks.
        answer: what its rows say, made from the statements.
        dims: dimensions.
        seeds: seeds.
        quick: whether it is the small version.
        rows: one a cell, arm and seed, as in `rows.csv`; `read_rows` reads them.
        failed: cells that ended in an error and networks that diverged, each with its message.
        statements: what the rows were held against, and whether it holds. None in results of equiwm 0.1, whose
            answer was a sentence of the kind's own.
    """

    kind: FileName
    world: str
    question: str
    answer: str
    dims: list[int]
    seeds: list[int]
    quick: bool
    rows: list[dict[str, Any]]
    failed: list[str]
    statements: list[DecidedStatement] | None = None

    @property
    def misfit(self) -> str | None:
        """A row that lacks what every kind's rows have."""
        try:
            read_rows(AblationRow, self.rows)
        except ResultError as error:
            return str(error).partition(";")[0]
        return None
