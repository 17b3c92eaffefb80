"""What a test of data says: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from equiwm.results.result import Real, Result
from equiwm.tables.cell import brief, cell


@dataclass(frozen=True)
class EffectResult(Result):
    """How large a break is, or would have to be.

    Attributes:
        column: in which it shows.
        size: in the unit, a step. Of a drift the mean over the log of what the fit of the change leaves along its
            direction: a reaction to the drift that the fit misses, as a contact that pushes back where the drift goes
            on from step to step, is in it.
        low, high: ends of the 95% interval, which does not know of such reactions; null where there is none.
        unit: of the column.
        direction: in the lab, where it is a constant drift; else empty.
        varies_with: function of the frame that it follows, where it is no constant drift; else empty.
    """

    column: str
    size: float
    low: Real
    high: Real
    unit: str
    direction: list[float]
    varies_with: str


@dataclass(frozen=True)
class RegionResult(Result):
    """Where a break is strongest.

    Attributes:
        what: `orientation` in degrees, or a column with the axis of the lab.
        low, high: the range.
        share: of what speaks against the symmetry that comes from there.
        of_data: share of the transitions that lie there.
    """

    what: str
    low: float
    high: float
    share: float
    of_data: float


@dataclass(frozen=True)
class ChannelResult(Result):
    """What was found in one predicted column.

    Attributes:
        name: of the column.
        rep: how its change transforms.
        explained: share of its change that the state and action explain, of the worst entry.
        statistic: size of its constant drift in the lab, in standard errors; null where it has no vector.
        critical: what that has to exceed.
        detectable: the smallest drift that this much data shows with probability 0.95; null where it has no vector.
        unit: of drift and change.
    """

    name: str
    rep: str
    explained: Real
    statistic: Real
    critical: Real
    detectable: Real
    unit: str


@dataclass(frozen=True)
class DataResult(Result):
    """The verdict on a log.

    Attributes:
        verdict: consistent, broken or cannot tell.
        sentence: the same for a reader.
        reasons: why it cannot be told, and what was left out or has to be kept in mind.
        group: the group's name.
        p_value: of the largest statistic, under the symmetry; null where nothing was tested.
        level: that it is compared with.
        effect: the break, or null.
        detectable: the smallest constant drift that this much data shows, for each column of vectors or points.
        seen_deg: orientations that were seen, [from, to] in degrees of the frame's vector; empty for a group without
            rotations of the plane.
        all_seen: whether these are all; beyond the seen ones nothing can be told.
        region: where it is strongest; empty where nothing is.
        channels: one entry each column.
        frame: what the frame is read off.
        dependence: share of the frame's variation that the state in the frame explains.
        coverage_symmetric: whether the log covers the group evenly, whatever the world does.
        coverage_p: of that.
        augmentation: what turning the data is good for.
        placebo_p: of the same test on outcomes that are symmetric by construction; null where it was not needed.
        transitions, episodes: how many were tested.
        seed: of folds, centres and signs.
    """

    verdict: str
    sentence: str
    reasons: list[str]
    group: str
    p_value: Real
    level: float
    effect: EffectResult | None
    detectable: list[EffectResult]
    seen_deg: list[list[float]]
    all_seen: bool
    region: list[RegionResult]
    channels: list[ChannelResult]
    frame: str
    dependence: Real
    coverage_symmetric: bool
    coverage_p: Real
    augmentation: str
    placebo_p: Real
    transitions: int
    episodes: int
    seed: int

    def __str__(self) -> str:
        """The answer in a few lines."""
        text: str = import_module("equiwm.evidence.data.words").text(self)
        return brief(text)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and the tables."""
        # By name: the module of words shows values of this class, and imports this one.
        words = import_module("equiwm.evidence.data.words")
        return cell(words.text(self), words.tables(self, "data"))
