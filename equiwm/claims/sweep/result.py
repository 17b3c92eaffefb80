"""Section `sweep_group` of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from equiwm.printable import quoted
from equiwm.results.result import FileName, Real, Result

Overlap = Literal["full", "partial", "none"]
"""How much of a turned set training has seen."""

Outcomes = Literal["turned", "stepped", "recorded", "unknown"]
"""How the test set of a bin came about: a held-out one turned with its outcomes, or turned and stepped afresh, or one
that was recorded there; results of earlier versions do not say."""

_SEEN: dict[str, Overlap] = {"true": "full", "partial": "partial", "false": "none"}
"""Schema 1 -> 2."""


@dataclass(frozen=True)
class Bin(Result):
    """One orientation bin of a sweep.

    Attributes:
        label: `40` (degrees) or a name.
        part: `rotation`, `translation`, `both` or `reflection`.
        from_wedge_deg: angle between the turned wedge's middle and the wedge.
        overlap: of the turned set with what training has seen: `full`, `partial` or `none`.
        drawn: whether the element was drawn at random, rather than named or placed on a grid.
        relmse: pooled error over the true displacement, in the model's own latent.
        components: the same in each named channel, for forward models.
        readout: read-out error of each target.
        turn_deg: angle in [0, 360) of the rotation where the bins stand round a circle, else None.
    """

    label: str
    part: str
    from_wedge_deg: float
    overlap: Overlap
    drawn: bool
    relmse: Real
    components: dict[str, Real]
    readout: dict[str, Real]
    turn_deg: float | None = None


@dataclass(frozen=True)
class ReadoutResult(Result):
    """Read-out error of one target, pooled and normalised by the true change.

    Attributes:
        seen: on the untouched held-out transitions.
        worst_unseen: the worst fully unseen bin.
        action_only: read-out of the change from the action alone; a model has to beat it.
        penalty: ridge penalty chosen by cross-validation; NaN where the model diverged.
        commutant: whether the read-out was restricted to equivariant maps.
    """

    seen: Real
    worst_unseen: Real
    action_only: Real
    penalty: Real
    commutant: bool


@dataclass(frozen=True)
class SymmetryExcess(Result):
    """World and model under a group larger than the world's.

    Attributes:
        group: the larger group's name.
        world: residual of the world's own step, relative to its displacement, worst over the elements.
        model: relative composed residual of the model, worst over the same elements.
        world_symmetric: whether the world carries the larger group.
        model_symmetric: whether the model does.
        agree: whether they agree; a model that carries more than its world is forced to wrong predictions.
    """

    group: str
    world: Real
    model: Real
    world_symmetric: bool
    model_symmetric: bool
    agree: bool


@dataclass(frozen=True)
class SweepResult(Result):
    """Section `sweep_group` (claim B).

    Attributes:
        group: the group's name.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        transitions: held-out transitions, turned into every bin.
        excluded: test transitions dropped by the world's guard, by reason.
        bins: one entry a bin; the first is the untouched one.
        seen: relMSE of the untouched bin.
        worst_ood: largest relMSE over the fully unseen bins.
        ood_factor: worst_ood / seen.
        flatness: max over bins of |relmse / seen - 1|.
        part_flatness: flatness over the bins of each part (rotation, translation, both, reflection) alone.
        readout: one entry a target.
        symmetry_excess: for groups larger than the world's, else None.
        parameters: trained scalars of the model.
        seed: seed of the held-out transitions.
        outcomes: how the test sets came about.
    """

    group: FileName
    dtype: FileName
    device: str
    transitions: int
    excluded: dict[str, int]
    bins: list[Bin]
    seen: Real
    worst_ood: Real
    ood_factor: Real
    flatness: Real
    part_flatness: dict[str, Real]
    readout: dict[str, ReadoutResult]
    symmetry_excess: SymmetryExcess | None
    parameters: int
    seed: int = field(default=0)
    outcomes: Outcomes = "unknown"

    @property
    def variant(self) -> str:
        """Key among the section's variants: `so3/float64`."""
        return f"{self.group}/{self.dtype}"

    @property
    def misfit(self) -> str | None:
        """No bin, or bins that do not hold the same quantities."""
        if not self.bins:
            return "it has no bin"
        first = self.bins[0]
        for one in self.bins:
            if one.components.keys() != first.components.keys() or one.readout.keys() != first.readout.keys():
                return f"bin {quoted(one.label)} does not hold the quantities of the first bin"
        return None

    @classmethod
    def upgraded(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Schema 1: bins had `seen` in place of `overlap`; their labels alone told angles, and which were drawn."""
        bins = data.get("bins")
        if not isinstance(bins, list) or not all(isinstance(entry, Mapping) for entry in bins):
            return data
        on_circle = data.get("group") in ("so2", "o2")
        return {**data, "bins": [_upgraded_bin(entry, on_circle) for entry in bins]}


def _upgraded_bin(entry: Mapping[str, Any], on_circle: bool) -> Mapping[str, Any]:
    if "overlap" in entry:
        return entry
    label = str(entry.get("label"))
    made: dict[str, Any] = {"overlap": _SEEN.get(str(entry.get("seen")), entry.get("seen"))}
    made["drawn"] = label.startswith("random ")
    with suppress(ValueError):  # a label that is no angle is refused by nobody and stands on no circle
        made["turn_deg"] = float(label.removeprefix("mirror ")) if on_circle else None
    return {**made, **entry}
