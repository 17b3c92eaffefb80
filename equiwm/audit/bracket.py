"""Where the output jumps: a bad pair and a good one, and bisection along the way between them.

The way goes over inputs with the element held, or over elements with the input held. If the residual is small on one
side of a point and large on the other, however near, the network has a branch there: a cut-off, a tie, a sign. What the
branch asks is then looked for among what can be read off the input (distances, lengths, components, angles): what has
the same value at the crossings of several ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.audit.channels import sizes
from equiwm.audit.pairs import Off, Pair, Pairs
from equiwm.audit.pytree import Path
from equiwm.audit.typed import TypedLeaf
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.reps import Rep

FINEST = 1e-9
"""Where bisection ends, as a share of the way: in float64 coordinates near one are resolved a million times finer."""
FINEST_LOW = 1e-5
"""The same in float32."""
ROUNDS = 48
"""And after so many rounds."""
WAYS = 8
"""How many ways are gone to find out what the branch asks."""
DRAWN = 48
"""How many elements are drawn to go from."""
SAME, SAME_LOW = 1e-7, 1e-4
"""Values at several crossings are the same within this, relative to the spread, in float64 and in what is shorter."""
ASIDE = 0.3
"""How far, in units of the spread, a drawn input to go from lies from its sample."""
SMOOTH = 3
"""After so many ways on which the residual grows smoothly no jump is looked for."""
AGREE = 3
"""At so many crossings a reading has to have one value, and at half of them: a window has two edges."""
GROWN = 8.0
"""Across the bracket the residual has to grow by so many times, else it grows smoothly."""

Residuals = Callable[[Sequence[Pair]], list[tuple[float, Off]]]
"""The residual of one channel at each pair, and the rest of what was measured."""


@dataclass(frozen=True, eq=False)
class Bracket:
    """A jump.

    Attributes:
        along: `input` or `element`.
        what: what the numbers are of.
        low, high: the values that the jump lies between.
        jump: how much the output changes between them, in its units.
        relative: the same relative to the scale.
        text: one sentence.
    """

    along: str
    what: str
    low: float
    high: float
    jump: float
    relative: float
    text: str


@dataclass(frozen=True, eq=False)
class _Crossing:
    """The last good and the first bad pair of a way, and where on it they are."""

    low: float
    high: float
    good: Pair
    bad: Pair
    off_good: Off
    off_bad: Off


Way = Callable[[float], Pair]


def bracketed(
    pairs: Pairs, others: Sequence[Pair], pair: Pair, channel: tuple[int, int, int], at: Residuals, floor: float
) -> Bracket | None:
    """The jump between a bad pair and good ones; None where there is none, or no good pair within reach.

    Args:
        pairs: of the probe.
        others: pairs to start from; those that are good are gone from.
        pair: the bad one.
        channel: number of the quantity that breaks, its place and its channel.
        at: measures pairs.
        floor: what a residual has to exceed to be bad.
    """
    kinds: list[tuple[str, Iterator[Way]]] = [
        ("input", _over_inputs(pairs, others, pair)),
        ("element", _over_elements(pairs, pair)),
    ]
    for along, ways in kinds:
        crossings: list[_Crossing] = []
        smooth = 0
        for way in ways:
            found = _crossing(way, at, floor, pairs, channel)
            if isinstance(found, _Crossing):
                crossings.append(found)
            smooth += found == "smooth"
            if len(crossings) == WAYS or smooth == SMOOTH:
                break
        if crossings:
            return _said(along, crossings, pairs, channel)
    return None


# Ways


def _over_inputs(pairs: Pairs, others: Sequence[Pair], bad: Pair) -> Iterator[Way]:
    """From the samples, and from other inputs of the same sample, to the bad one; the element stays."""
    starts = [pairs.given[bad.index], *(other.inputs for other in others if other.index == bad.index)]
    starts += [given for index, given in enumerate(pairs.given[:WAYS]) if index != bad.index]
    rng, spreads = np.random.default_rng(WAYS), pairs.runner.spreads(pairs.runner.probe.samples)
    for _ in range(DRAWN):
        size = ASIDE * float(rng.uniform())
        starts.append(
            {
                path: values + size * spreads[path] * torch.from_numpy(rng.normal(size=tuple(values.shape)))
                for path, values in starts[0].items()
            }
        )
    shapes = {path: values.shape for path, values in bad.inputs.items()}
    for start in starts:
        same = all(
            torch.equal(start[path], values) for path, values in bad.inputs.items() if start[path].shape == values.shape
        )
        if {path: values.shape for path, values in start.items()} == shapes and not same:
            yield _between(start, bad)


def _between(start: dict[Path, Tensor], bad: Pair) -> Way:
    def way(t: float) -> Pair:
        return replace(
            bad, inputs={path: start[path] + t * (values - start[path]) for path, values in bad.inputs.items()}
        )

    return way


def _over_elements(pairs: Pairs, bad: Pair) -> Iterator[Way]:
    """From the identity and elements near the bad one to it; the input stays."""
    group, g = pairs.runner.probe.acting, bad.element
    generators = group.generators
    starts = [group.identity(1)[0]] if float(g.determinant) > 0 and not bool(g.permutes) else []
    for times in (0.2, -0.2, 1.0, -1.0):
        if generators.dimension:
            flows = generators.flow(times)
            starts += [flows[k] @ g for k in range(generators.dimension)]
    drawn = group.sample(DRAWN, 3, sigma=pairs.runner.reach(pairs.runner.probe.samples))
    starts += [each for each in (drawn[k] for k in range(len(drawn))) if _same_sheet(each, g)]
    for start in starts:
        way = _between_elements(start, g)
        if way is not None and bool(group.contains(way(0.5)[None]).all()):
            yield lambda t, way=way: replace(bad, element=way(t))  # type: ignore[misc]


def _same_sheet(one: Elements, other: Elements) -> bool:
    """Whether one element can be turned and moved into another: the same determinant and permutation."""
    if float(one.determinant) != float(other.determinant):
        return False
    if one.permutation is None or other.permutation is None:
        return not bool(one.permutes) and not bool(other.permutes)
    return torch.equal(one.permutation, other.permutation)


def _between_elements(start: Elements, end: Elements) -> Callable[[float], Elements] | None:
    """The shortest way of rotations of the plane or of space, and the straight one of translations."""
    if start.d not in (2, 3):
        return None
    between = end.linear @ start.linear.mT
    if start.d == 2:
        turn = Rotation.from_rotvec([0.0, 0.0, math.atan2(float(between[1, 0]), float(between[0, 0]))])
    else:
        turn = Rotation.from_matrix(between.numpy())
    vector = turn.as_rotvec()

    def way(t: float) -> Elements:
        part = torch.from_numpy(Rotation.from_rotvec(t * vector).as_matrix())[: start.d, : start.d]
        shift = start.translation + t * (end.translation - start.translation)
        return Elements(part @ start.linear, shift, end.permutation)

    return way


# Bisection


def _crossing(
    way: Way, at: Residuals, floor: float, pairs: Pairs, channel: tuple[int, int, int]
) -> _Crossing | Literal["no good end", "smooth"]:
    """The last good and the first bad point near the bad end."""
    many = max(1, min(pairs.most, 32))
    finest = FINEST if pairs.dtype == torch.float64 else FINEST_LOW
    (first, off_first), (last, off_last) = at([way(0.0), way(1.0)])
    if not first <= floor or not last > floor:
        return "no good end"
    low, high, off_low, off_high, r_low, r_high = 0.0, 1.0, off_first, off_last, first, last
    for _ in range(ROUNDS):
        if high - low <= finest:
            break
        points = [low + (high - low) * (k + 1) / (many + 1) for k in range(many)]
        found = at([way(t) for t in points])
        bad = [k for k, (residual, _) in enumerate(found) if residual > floor]
        # The crossing that is nearest to the bad end: from there on everything that was looked at is bad.
        k = many
        while k > 0 and k - 1 in bad:
            k -= 1
        if k < many:
            high, (r_high, off_high) = points[k], found[k]
        if k > 0:
            low, (r_low, off_low) = points[k - 1], found[k - 1]
    if not (r_high > GROWN * r_low and high - low <= finest):
        return "smooth"
    if (
        max(_changes(off_low, off_high, pairs.measured[channel[0]].quantity.rep, *channel))
        < float(off_high.size[channel[0]][channel[1:]]) / 4
    ):
        return "smooth"  # the residual grows against a scale that vanishes, the output itself does not jump
    return _Crossing(low, high, way(low), way(high), off_low, off_high)


def _changes(good: Off, bad: Off, rep: Rep, quantity: int, place: int, channel: int) -> tuple[float, float]:
    """How much one channel of F(x), and of F(g x), changes from one pair to another."""
    both = ((good.straight[quantity], bad.straight[quantity]), (good.turned[quantity], bad.turned[quantity]))
    at_x, at_gx = (float(sizes(rep.difference(one, other), rep)[place, channel]) for one, other in both)
    return at_x, at_gx


# Words


def _said(along: str, crossings: list[_Crossing], pairs: Pairs, channel: tuple[int, int, int]) -> Bracket:
    first, rep = crossings[0], pairs.measured[channel[0]].quantity.rep
    jump = max(_changes(first.off_good, first.off_bad, rep, *channel))
    relative = jump / float(first.off_bad.local[channel[0]][channel[1:]])
    turned = [at_x < at_gx for at_x, at_gx in (_changes(c.off_good, c.off_bad, rep, *channel) for c in crossings)]
    asked = _asked(crossings, turned, pairs)
    if asked is not None:
        what, low, high = asked
    elif along == "element" and first.good.element.d in (2, 3):
        what = "the angle of the element in degrees"
        low, high = _angle(first.good.element), _angle(first.bad.element)
    else:
        what, low, high = "the share of the way from a good pair to the bad one", first.low, first.high
    low, high = min(low, high), max(low, high)
    name = pairs.measured[channel[0]].quantity.name
    text = f"{name} jumps by {jump:.2g} where {what} is {_between_text(low, high)}: a branch."
    return Bracket(along, what, low, high, jump, relative, text)


def _between_text(low: float, high: float) -> str:
    """Both ends to six digits, rounded away from each other: the jump lies between what is written too."""
    step = 10.0 ** (math.floor(math.log10(max(abs(low), abs(high), 1e-300))) - 5)
    return f"{math.floor(low / step) * step:.6g} to {math.ceil(high / step) * step:.6g}"


def _angle(element: Elements) -> float:
    """In degrees: of the plane from 0 to 360."""
    if element.d == 2:
        return math.degrees(math.atan2(float(element.linear[1, 0]), float(element.linear[0, 0]))) % 360
    return float(element.angle_deg)


def _asked(crossings: list[_Crossing], turned: list[bool], pairs: Pairs) -> tuple[str, float, float] | None:
    """What has one value at most crossings, and that value on both sides of one; None where nothing does.

    Args:
        crossings: of several ways.
        turned: of each whether it is F(g x) that jumps.
        pairs: of the probe.
    """
    if len(crossings) < AGREE:
        return None
    spreads = pairs.runner.spreads(pairs.runner.probe.samples)
    same = SAME if pairs.dtype == torch.float64 else SAME_LOW
    for leaf in pairs.runner.inputs:
        if not leaf.rep.structured:
            continue
        good, bad = (
            [_readings(_copies(pair, leaf, side), leaf) for pair, side in zip(part, turned, strict=True)]
            for part in ([each.good for each in crossings], [each.bad for each in crossings])
        )
        for what in good[0]:
            values = [each[what] for each in good]
            by_chance = len(values[0]) * (len(crossings) * len(values[0]) * same) ** (AGREE - 1)
            if by_chance > 0.01:
                continue
            tolerance = same * (90.0 if what.endswith("degrees") else spreads[leaf.path])
            for k, each in enumerate(values):
                for j, value in enumerate(each.tolist()):
                    near = [bool(((other - value).abs() <= tolerance).any()) for other in values]
                    if sum(near) >= max(AGREE, len(crossings) / 2):
                        return what, value, float(bad[k][what][j])
    return None


def _copies(pair: Pair, leaf: TypedLeaf, turned: bool) -> Tensor:
    """(N, d) vectors or points of a leaf, of x or of g x."""
    values = pair.inputs[leaf.path]
    values = leaf.rep.transform(values, pair.element) if turned else values
    return values.reshape(-1, leaf.rep.d)


def _readings(copies: Tensor, leaf: TypedLeaf) -> dict[str, Tensor]:
    """What can be read off vectors or points, by name."""
    found: dict[str, Tensor] = {}
    name = "the inputs" if leaf.name == "it" else leaf.name
    if 1 < len(copies) <= 64:
        found[f"a distance within {name}"] = torch.pdist(copies)
    if leaf.rep.has_points and len(copies) > 1:
        found[f"a distance from the centroid of {name}"] = (copies - copies.mean(0)).norm(dim=-1)
    found[f"a length of {name}"] = copies.norm(dim=-1)
    letters = "xyz"[: copies.shape[1]]
    found |= {f"a component {axis} of {name}": copies[:, k] for k, axis in enumerate(letters)}
    if copies.shape[1] == 2:
        found[f"a direction of {name} in degrees"] = torch.rad2deg(torch.atan2(copies[:, 1], copies[:, 0]))
    else:
        polar = torch.rad2deg(torch.arccos((copies / copies.norm(dim=-1, keepdim=True)).clamp(-1, 1)))
        found |= {f"an angle of {name} to {axis} in degrees": polar[:, k] for k, axis in enumerate(letters)}
    return found
