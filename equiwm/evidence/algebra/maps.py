"""A map whose symmetries are looked for: points, typed inputs and outputs, and a way to evaluate it anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.calling import cast
from equiwm.audit.probe import Probe
from equiwm.audit.pytree import is_array, leaves, replaced
from equiwm.audit.running import CallFailed, Runner
from equiwm.audit.typed import TypedLeaf
from equiwm.boundary import machine_error
from equiwm.errors import DataError, EquiwmError
from equiwm.evidence.algebra.atoms import held
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import World, moving

Values = tuple[Tensor, ...]
"""One tensor (*lead, D) for each leaf, float64."""

_BATCH_AGREES = 1e-9
"""How far rows of half of a batch may be from those of the whole for the rows to count as independent."""


class Refused(Exception):
    """The map does not take this input, or gives nothing finite there."""


@dataclass(frozen=True)
class Leaf:
    """One input or output.

    Attributes:
        name: as the user knows it.
        dim: D, the length of its last axis.
        rep: how the space acts on it; None where nothing is known and any matrix may act.
    """

    name: str
    dim: int
    rep: Rep | None

    @property
    def free(self) -> Tensor:
        """(D,) 1 where an entry may be moved, 0 of masks, which are 0 or 1: whatever is tried leaves these alone."""
        return (~held(self.rep, self.dim)).double()


@dataclass(frozen=True, eq=False)
class Map:
    """y = f(x) with several typed inputs and outputs.

    Attributes:
        inputs: the leaves of x.
        outputs: the leaves of y.
        points: where it is looked at, one entry a call.
        function: from the number of a point and values for its inputs to the values of its outputs.
        tied: whether the first output is the successor of the first input, and moves as it does.
        separate: whether the first axis of every leaf holds samples that do not know of each other.
        group: what is declared; its elements are tried where they are finitely many.
        checks: further rows of the one batch, at which finite motions are tried and derivatives are not taken.
        rounding: of what it computes in inside: of float32 where its answers are float32 numbers.
    """

    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    points: tuple[Values, ...]
    function: Callable[[int, Values], Values]
    tied: bool = False
    separate: bool = True
    group: Group | None = None
    checks: Values | None = None
    rounding: float = float(np.finfo(np.float64).eps)

    def __call__(self, index: int, values: Values) -> Values:
        """f, where it is defined; without a graph of gradients unless the values ask for one.

        Raises:
            Refused: it raises, or gives NaN or infinity.
        """
        try:
            with torch.set_grad_enabled(any(value.requires_grad for value in values)):
                found = self.function(index, values)
        except (CallFailed, EquiwmError) as error:
            raise Refused(str(error)) from None
        if not all(bool(torch.as_tensor(part).isfinite().all()) for part in found):
            raise Refused("it gives NaN or infinity there")
        return found if any(value.requires_grad for value in values) else tuple(part.detach() for part in found)

    def rows(self, index: int, values: Values) -> tuple[Values, Tensor]:
        """f row by row: outputs, and which rows it took; those that it refuses are zero.

        Raises:
            Refused: it takes no row.
        """
        count = len(values[0])
        try:
            return self(index, values), torch.ones(count, dtype=torch.bool)
        except Refused:
            if not self.separate or count == 1:
                raise
        parts: list[tuple[Values, Tensor] | None] = []
        halves = [slice(0, count // 2), slice(count // 2, count)]
        for half in halves:
            try:
                parts.append(self.rows(index, tuple(value[half] for value in values)))
            except Refused:
                parts.append(None)
        there = next((part for part in parts if part is not None), None)
        if there is None:
            raise Refused("it takes none of these inputs")
        outputs = [torch.zeros(count, *value.shape[1:], dtype=torch.float64) for value in there[0]]
        taken = torch.zeros(count, dtype=torch.bool)
        for half, part in zip(halves, parts, strict=True):
            if part is not None:
                taken[half] = part[1]
                for output, value in zip(outputs, part[0], strict=True):
                    output[half] = value
        return tuple(outputs), taken

    def checked(self) -> Map:
        """The same map, looked at where it is checked too."""
        if self.checks is None:
            return self
        points = (tuple(torch.cat(parts) for parts in zip(self.points[0], self.checks, strict=True)),)
        return replace(self, points=points, checks=None)

    def at(self, points: Sequence[Values]) -> Map:
        """The same map, looked at elsewhere."""
        return replace(self, points=tuple(points))


SAMPLES = 64
"""Transitions at which a world is looked at."""
_FEW, _CHECKS = 8, 24
"""Of a simulator, where derivatives cost two calls each; and further ones, at which finite motions are tried alone."""


def of_world(world: World, seed: int) -> Map:
    """s' = T(s, a) of a world, at transitions of all orientations.

    Args:
        world: the world.
        seed: of the transitions.

    Raises:
        DataError: nothing moves in it.
    """
    data = moving(world, world.transitions(SAMPLES, seed=seed, orientations="all"))
    see, act = world.observation_rep, world.action_rep
    shapes = data.observation.shape[1:], data.action.shape[1:]

    def step(index: int, values: Values) -> Values:
        state, action = values
        lead = state.shape[:-1]
        made = world.step(state.reshape(*lead, *shapes[0]), action.reshape(*lead, *shapes[1]))
        return (made.reshape(*lead, see.dim),)

    state = Leaf("state", see.dim, see)
    point = (data.observation.reshape(len(data), -1), data.action.reshape(len(data), -1))
    built = Map((state, Leaf("action", act.dim, act)), (replace(state, name="next state"),), (point,), step, tied=True)
    built = replace(built, group=world.group)
    few = built.at([tuple(value[:_FEW] for value in point)])
    return replace(built, separate=_independent(few), rounding=_rounding(few))


def thinned(built: Map, fewest: int) -> Map:
    """A map that costs much to ask: derivatives at a few samples from all over, finite motions at further ones.

    Args:
        built: the map.
        fewest: samples that are needed at least.
    """
    count = len(built.points[0][0])
    few = max(_FEW, fewest)
    if not built.separate or len(built.points) > 1 or count <= few + _CHECKS:
        return built
    point = built.points[0]
    order = torch.linspace(0, count - 1, few + _CHECKS).round().long()
    chosen = _varied(torch.cat(list(point), -1), order[torch.linspace(0, len(order) - 1, few).round().long()])
    others = order[~torch.isin(order, chosen)]
    return replace(
        built,
        points=(tuple(value[chosen] for value in point),),
        checks=tuple(value[others] for value in point),
    )


def _varied(rows: Tensor, chosen: Tensor) -> Tensor:
    """Some rows (n,) of (N, D), and for every entry that is the same in these and not in all one more: whether a body
    touches the table says nothing where it always does."""
    for entry in range(rows.shape[1]):
        apart = (rows[:, entry] - rows[chosen[0], entry]).abs()
        if float(apart[chosen].max()) == 0.0 and float(apart.max()) > 0.0:
            chosen = torch.cat([chosen, apart.argmax()[None]])
    return chosen


def of_probe(probe: Probe) -> Map:
    """The model of a probe in float64, at its inputs.

    Raises:
        DataError: a model that raises at its own inputs, or whose answers differ.
        RepError: inputs or outputs that do not fit their reps.
    """
    runner = Runner(probe, grad=True)  # gradients are asked for, and forces are gradients
    try:
        first, again = runner(probe.samples, torch.float64), runner(probe.samples, torch.float64)
    except CallFailed as error:
        raise DataError(f"the model raised at its own inputs in float64: {error}") from None
    for one, other in zip(first, again, strict=True):
        if any(not torch.equal(one[path], other[path]) for path in one):
            raise DataError("the model gives two answers for one input; its symmetry is that of neither. Seed it.")
    samples = [cast(sample, torch.float64) for sample in probe.samples]
    inputs, outputs = runner.inputs, runner.outputs

    def call(index: int, values: Values) -> Values:
        copied = cast(samples[index], torch.float64)
        there = leaves(copied)
        new = {leaf.path: _put(leaf, value, there[leaf.path]) for leaf, value in zip(inputs, values, strict=True)}
        given = leaves(runner.on(replaced(copied, new), torch.float64))
        return tuple(_numbers(leaf, given[leaf.path]) for leaf in outputs)

    points = tuple(
        tuple(leaf.flat(leaves(sample)[leaf.path]).detach().cpu().double() for leaf in inputs) for sample in samples
    )
    named = tuple(Leaf(_name(leaf, "input"), leaf.rep.dim, leaf.rep) for leaf in inputs)
    taken = {leaf.name for leaf in named}
    told = [_name(leaf, "output") for leaf in outputs]
    made = tuple(
        Leaf(f"output {name}" if name in taken else name, leaf.rep.dim, leaf.rep)
        for name, leaf in zip(told, outputs, strict=True)
    )
    built = Map(named, made, points, call, group=probe.acting)
    return replace(built, separate=_independent(built), rounding=_rounding(built))


def _rounding(built: Map) -> float:
    """The rounding of what a map computes in: that of float32 where every answer is a float32 number."""
    answers = [part for k, point in enumerate(built.points) for part in built(k, point)]
    single = all(torch.equal(part, part.float().double()) for part in answers)
    whole = all(torch.equal(part, part.round()) for part in answers)
    return float(np.finfo(np.float32 if single and not whole else np.float64).eps)


def _name(leaf: TypedLeaf, alone: str) -> str:
    return leaf.name if leaf.path else alone


def _put(leaf: TypedLeaf, value: Tensor, like: Any) -> Any:
    """A value in the place of a leaf, of any number of rows."""
    found = torch.as_tensor(like)
    if leaf.axis is not None:
        made = value.movedim(-1, leaf.axis)
    else:
        shape = found.shape
        made = value.reshape(len(value), *shape[1:]) if value.dim() > 1 and len(shape) > 1 else value.reshape(shape)
    return made.numpy() if not isinstance(like, Tensor) else made.to(found.device)


def _numbers(leaf: TypedLeaf, given: Any) -> Tensor:
    if isinstance(given, float):
        given = torch.tensor([given], dtype=torch.float64)
    elif is_array(given) and given.ndim == 0:
        given = torch.as_tensor(given).reshape(1)
    return leaf.flat(given).cpu().double()


def _independent(built: Map) -> bool:
    """Whether there is one batch, whose first axis holds samples: half of it gives half of the answer."""
    point = built.points[0]
    count = len(point[0])
    if len(built.points) > 1 or count < 2 or any(value.dim() < 2 or len(value) != count for value in point):
        return False
    try:
        whole = built(0, point)
        half = built(0, tuple(value[: count // 2] for value in point))
    except Exception as error:  # a stranger's model that knows its number of rows by heart
        if machine_error(error) is not None:  # it says nothing about the model
            raise
        return False
    return all(
        len(one) == count
        and one.dim() > 1
        and other.shape == one[: count // 2].shape
        and bool(torch.allclose(one[: count // 2], other, rtol=_BATCH_AGREES, atol=_BATCH_AGREES))
        for one, other in zip(whole, half, strict=True)
    )
