"""What an audit says: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from equiwm.results.result import Real, Result


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
    """

    name: str
    rep: str
    verdict: str
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
class AuditResult(Result):
    """The verdict on a probe.

    Attributes:
        verdict: exact, precision-limited, approximate, broken, vacuous, not deterministic, batch-dependent, mutating or
            not judged.
        sentence: the same for a reader, with the channel and element that decide.
        group: the group's name.
        dtype: of the inputs, or float32 for inputs in float64.
        float64: whether the model ran in float64.
        samples: how many.
        elements: how many.
        leaves: outputs and increments.
        findings: of the preflight.
        causes: what was found by experiment to break it.
        layers: every module, where layers were asked for or something breaks.
        symmetries: what else it carries, where that was asked for.
        parameters: scalars in its modules.
        seed: of elements and directions.
    """

    verdict: str
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
