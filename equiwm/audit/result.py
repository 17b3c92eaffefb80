"""What an audit says: plain data."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

from equiwm.audit.verdict import Verdict
from equiwm.results.result import Real, Result
from equiwm.tables.cell import brief


@dataclass(frozen=True)
class FindingResult(Result):
    """One finding of the preflight, or one cause.

    Attributes:
        name: short.
        text: one sentence, with what to do.
    """

    name: str
    text: str


@dataclass(frozen=True)
class ChannelResult(Result):
    """One channel of a leaf, at its worst place.

    Attributes:
        name: of the channel: its kind and copy.
        verdict: on it.
        residual: relative to its variation, in float64 where the model runs in it.
        rounding: of the model itself there, in the same dtype.
    """

    name: str
    verdict: str
    residual: Real
    rounding: Real


@dataclass(frozen=True)
class LeafResult(Result):
    """One output leaf, or the increment of one over an input.

    Attributes:
        name: of the leaf.
        rep: how it should transform.
        verdict: of its worst channel.
        channel: the channel that decides: copy, and place in the leading axes.
        residual: of that channel, in float64 where the model runs in it.
        residual_low: in the dtype of the inputs.
        rounding: of the model itself there, in the dtype of `residual`.
        rounding_low: in the dtype of the inputs.
        scale: what the residual is relative to, in the units of the leaf.
        median_pair: median over samples and elements of |Delta| / scale of that channel.
        share: of the pairs beyond tolerance.
        worst_sample: the sample of the worst pair.
        worst_element: the element with the largest residual, in words.
        by_coset: residual of that channel under rotations, reflections, translations, ... apart.
        control: what it changes by under the elements where it is not turned back, relative to the scale.
        channels: how many channels it has.
        vacuous: how many of them do not depend on the input.
        broken: how many of them are broken.
        by_channel: the channels, at most 64, those of the largest residuals, in order.
    """

    name: str
    rep: str
    verdict: Verdict
    channel: str
    residual: Real
    residual_low: Real
    rounding: Real
    rounding_low: Real
    scale: Real
    median_pair: Real
    share: float
    worst_sample: int
    worst_element: str
    by_coset: dict[str, Real]
    control: Real
    channels: int
    vacuous: int
    broken: int
    by_channel: list[ChannelResult]


@dataclass(frozen=True)
class LayerResult(Result):
    """One leaf of the output of one module, in the order of execution.

    Attributes:
        name: of the module; its leaf, and which call, where there are several.
        kind: class of the module.
        residual: of the best linear action on held-out rows, relative to the variation; null where rows were too few.
        carries: how many scalars, vectors, degree-2 tensors, ... it holds, read off the character of that action; null
            where they do not come out whole.
    """

    name: str
    kind: str
    residual: Real
    carries: list[int] | None


@dataclass(frozen=True)
class SymmetryOutput(Result):
    """What one output carries of a symmetry.

    Attributes:
        name: of the output.
        verdict: of its worst channel.
        residual: of that channel.
        rounding: of the model itself there.
    """

    name: str
    verdict: str
    residual: Real
    rounding: Real


@dataclass(frozen=True)
class SymmetryResult(Result):
    """One symmetry that a network may carry, declared or not.

    Attributes:
        name: rotations, reflections, inversion, translations, permutations of items, scalings.
        declared: whether it is in the probe's group.
        residual: of the worst output.
        verdict: as of a channel.
        output: the worst output.
        outputs: each by itself; none where it could not be judged.
    """

    name: str
    declared: bool
    residual: Real
    verdict: str
    output: str
    outputs: list[SymmetryOutput] = field(default_factory=list)


@dataclass(frozen=True)
class BracketResult(Result):
    """Where an output jumps.

    Attributes:
        along: `input` or `element`: what was changed from a good pair to a bad one.
        what: what `low` and `high` are of: a distance, a length, a component, an angle, or the share of the way.
        low, high: the jump lies between them.
        jump: of the output, in its units.
        relative: the same relative to the scale.
    """

    along: str
    what: str
    low: Real
    high: Real
    jump: Real
    relative: Real


@dataclass(frozen=True)
class SearchResult(Result):
    """The worst pair of an input and an element that a search has found.

    Attributes:
        verdict: approximate or broken; exact where no pair stands beyond rounding.
        text: the same in words.
        output, channel: what breaks; empty where nothing does.
        residual: there, relative to the scale of the channel or to the values there, if these are larger.
        rounding: what rounding does at that very input.
        residual_low, rounding_low: the same in the dtype of the inputs.
        sample: which sample the input comes from; -1 where nothing breaks.
        moved: how far it was moved, in units of the spread of the inputs.
        element: in words.
        pairs: how many were evaluated.
        not_finite: at how many of them an output was NaN or infinite.
        file: where the pair was saved; empty where it was not.
        bracket: the jump behind it, if there is one.
    """

    verdict: str
    text: str
    output: str
    channel: str
    residual: Real
    rounding: Real
    residual_low: Real
    rounding_low: Real
    sample: int
    moved: Real
    element: str
    pairs: int
    not_finite: int
    file: str
    bracket: BracketResult | None


@dataclass(frozen=True)
class StressResult(Result):
    """One kind of stress inputs.

    Attributes:
        name: what the inputs are: in a plane, on an axis, dense, zero, ...
        verdict: as of a channel; `unstable` where rounding decides the output there, `not finite` where it is NaN or
            infinite at every orientation, `not judged` where the model raised.
        residual: of the worst channel, in float64 where the model runs in it.
        rounding: of the model there.
        residual_low: in the dtype of the inputs.
        output: the worst output and channel.
        text: what else is to be said; empty where nothing is.
    """

    name: str
    verdict: str
    residual: Real
    rounding: Real
    residual_low: Real
    output: str
    text: str


@dataclass(frozen=True)
class AuditResult(Result):
    """The verdict on a probe.

    Attributes:
        verdict: of the worst output; or what the preflight says, where it stops there.
        sentence: the same for a reader, with the channel and element that decide.
        group: the group's name.
        dtype: of the inputs, or float32 for inputs in float64.
        float64: whether the model ran in float64.
        samples: how many.
        elements: how many.
        leaves: outputs and increments.
        findings: of the preflight.
        causes: what was found by experiment to break it.
        layers: every module, where layers were asked for; up to the first that breaks, where something does.
        symmetries: what else it carries, where that was asked for.
        parameters: scalars in its modules.
        seed: of elements and directions.
        search: the worst pair, where that was asked for.
        stress: every kind of stress inputs, where they were asked for.
    """

    verdict: Verdict
    sentence: str
    group: str
    dtype: str
    float64: bool
    samples: int
    elements: int
    leaves: list[LeafResult]
    findings: list[FindingResult]
    causes: list[FindingResult]
    layers: list[LayerResult]
    symmetries: list[SymmetryResult]
    parameters: int
    seed: int
    search: SearchResult | None = None
    stress: list[StressResult] = field(default_factory=list)

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, what breaks it, and the figures."""
        # By name: the module of pages shows values of this class, and imports this one.
        shown: str = importlib.import_module("equiwm.audit.html").cell(self)
        return shown

    def __str__(self) -> str:
        """The verdict with its reason, and what breaks it."""
        lines = [f"{self.verdict.upper()}: {self.sentence}", *(f"cause: {each.name}" for each in self.causes)]
        return brief("\n".join(lines))
