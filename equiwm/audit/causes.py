"""What breaks it: causes told apart by experiment. Each experiment changes one thing and measures again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.judgement import (
    APPROX,
    BRANCH,
    BROKEN,
    EXPLAINED,
    FOLLOWS,
    LEVELS,
    LIMITED,
    NO_ROUNDING,
    VACUOUS,
    Judged,
    judge_quantity,
    tolerance,
)
from equiwm.audit.measure import Quantity, measure
from equiwm.audit.preflight import Finding, Preflight
from equiwm.audit.probe import Probe
from equiwm.audit.pytree import is_array, label, leaves
from equiwm.audit.rebased import in_e3nn_basis, reordered
from equiwm.audit.running import CallFailed, Runner
from equiwm.audit.switches import Switch, all_of, switches
from equiwm.audit.typed import SAME, Typed, TypedLeaf, declared
from equiwm.errors import EquiwmError, RepError
from equiwm.symmetry.elements import Elements, rotations
from equiwm.symmetry.exchanges import SignedPermutation
from equiwm.symmetry.finite import FiniteGroup
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import PSEUDOSCALAR, PSEUDOVECTOR, SCALAR, VECTOR, Irreducible, Kind
from equiwm.symmetry.reps import Rep

FEW = 8
"""Elements of an experiment, and samples of a list."""
RARE = 0.1
"""A share of the pairs below this is none of a wrong rep, of a mode or a constant: these break most."""
MOST_TERMS = 4
"""Terms of a rep of which every order is tried."""
LESS = "computes in less inside"
"""Name of the cause that is reduced precision."""
CURED = 1e-3
"""What an experiment leaves of a residual where it names the cause, if it does not make it exact. In the zoo one that
cures leaves at most 5e-11, one that does not at least 0.11; float32 alone leaves 5e-4 of a break of 2e-4."""
CONSTANT = 0.02
"""What the best constant leaves of Delta where there is one: at most 2e-12 in the zoo where one was planted, at least
0.33 where none was; float32 leaves 1e-3 of a break of 1e-4."""
REMOVED = 1 / 32
"""What a switch leaves of a residual that it is the cause of: TF32 keeps 13 bits less than float32, bfloat16 16, and
float32 29 less than float64; five bits are the spread of a residual over elements."""


@dataclass(frozen=True, eq=False)
class Experiments:
    """What an experiment starts from.

    Attributes:
        state: how the model is called.
        judged: every quantity, as declared.
        seed: of elements and directions.
        switched: as `switched_off` finds it.
    """

    state: Preflight
    judged: list[Judged]
    seed: int
    switched: Mapping[str, str] = field(default_factory=dict)

    @property
    def probe(self) -> Probe:
        """The probe."""
        return self.state.runner.probe

    @property
    def failing(self) -> list[Judged]:
        """What is approximate or broken, outputs before increments, the worst first."""
        found = [each for each in self.judged if each.verdict in (APPROX, BROKEN)]
        return sorted(found, key=lambda each: (each.best.quantity.over is not None, -each.verdict))

    @property
    def dtype(self) -> torch.dtype:
        """The best dtype that the model runs in."""
        return torch.float64 if self.state.high else self.state.low

    def few(self, samples: list[Any]) -> list[Any]:
        """Samples of an experiment: of a list, where each is a call, some."""
        return samples[:FEW] if isinstance(self.probe.inputs, list) else samples

    def again(
        self, elements: Elements, probe: Probe | None = None, dtype: torch.dtype | None = None, samples: Any = None
    ) -> list[Judged] | None:
        """Measure and judge with something changed; None where the model then fails.

        Args:
            elements: the elements to take.
            probe: with other reps; None is as declared.
            dtype: to run in; None is the best.
            samples: others than the probe's.
        """
        try:
            here = self.state.runner
            runner = here if probe is None else replace(here, probe=probe, outputs=())
            chosen = self.dtype if dtype is None else dtype
            given = runner.probe.samples if samples is None else samples
            found = measure(
                runner, self.few(given), elements, chosen, batch=self.state.batch, seed=self.seed, brief=True
            )
        except (CallFailed, EquiwmError):
            return None
        return [judge_quantity(each, None if chosen != torch.float64 else each) for each in found]

    def sample(self, group: Group | None = None, n: int = FEW) -> Elements:
        """A few elements of the probe's group, or of another."""
        chosen = self.probe.acting if group is None else group
        return chosen.sample(n, self.seed + 2, sigma=self.state.runner.reach(self.probe.samples))

    def holds(self, found: list[Judged] | None, names: set[str]) -> bool:
        """Whether the quantities of these names are now exact, or as good as cured."""
        if found is None:
            return False
        there = [each for each in found if each.best.quantity.name in names]
        return bool(there) and all(each.verdict <= LIMITED or self._cured(each) for each in there)

    def _cured(self, now: Judged) -> bool:
        """Whether what is left of a residual is little of it, or the rounding of the model."""
        before = next(each for each in self.judged if each.best.quantity.name == now.best.quantity.name).best
        was = float(before.residual.amax())
        if not math.isfinite(was):  # of a channel that does not vary at all: any rest is little of it
            return False
        rounding = min(EXPLAINED * float(before.rounding.amax()), was / 4)
        return float(now.best.residual.amax()) <= max(CURED * was, rounding)


def find_causes(tried: Experiments) -> list[Finding]:
    """Every cause that an experiment finds, the most telling first; nothing where nothing fails."""
    if not tried.failing:
        return [*_limited(tried)]
    names = {each.best.quantity.name for each in tried.failing}
    found: list[Finding] = []
    for experiment in (
        _rare,
        _training_mode,
        _less_precision,
        _other_reps,
        _branches,
        _constant,
        _one_motion,
        _lab_axis,
        _by_component,
    ):
        found += experiment(tried, names)
        if found:
            break
    return [*found, *([] if found else _some_motions(tried, names)), *_grid(tried), *_hidden(tried, names)]


def _training_mode(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    modules = [part for module in tried.probe.modules for part in module.modules() if part.training]
    if not modules:
        return
    for part in modules:
        part.training = False
    cured = tried.holds(tried.again(tried.sample()), names)
    for part in modules:
        part.training = True
    if cured:
        yield Finding("training mode", "It is in training mode; in evaluation mode it is exact: call eval() on it.")


# Precision


def switched_off(tried: Experiments) -> dict[str, str]:
    """Outputs whose residual a switch of reduced precision takes away, and which switch, in words."""
    found = {}
    for each in tried.judged:
        high = each.high
        fine = high is not None and bool((high.residual <= EXPLAINED * high.rounding).all())
        if each.best.quantity.over is None and (high is None or fine or bool(each.inside.any())):
            said = _switched_off(tried, each)
            if said is not None:
                found[each.best.quantity.name] = said
    return found


def _switched_off(tried: Experiments, each: Judged) -> str | None:
    """Which switch takes the residual of a quantity away; None where none does, nor all at once."""
    side = each.best if bool(each.inside.any()) else each.low
    place, channel = divmod(int(torch.where(side.dead, 0.0, side.residual).argmax()), side.residual.shape[1])
    name = each.best.quantity.name

    def left(switch: Switch) -> float:
        with switch():
            again = tried.again(tried.sample(), dtype=side.dtype)
        now = next((other.best for other in again or () if other.best.quantity.name == name), None)
        return math.inf if now is None else float(now.residual[min(place, len(now.residual) - 1), channel])

    if float(side.residual[place, channel]) <= tolerance(side.dtype):
        return None
    was = left(nullcontext)
    if not math.isfinite(was):  # of a channel that does not vary at all
        return None
    found = switches(side.dtype)
    together: Switch = partial(all_of, found)
    for said, switch in (*found.items(), (" and ".join(found), together)):
        now = left(switch)
        if now <= was * REMOVED:
            return f"{name}: {said} inside: with that switched off {was:.1e} becomes {now:.1e} in {_short(side.dtype)}."
    return None


def _less_precision(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A failure that is one of float32 or less."""
    for name, text in tried.switched.items():
        if name in names:
            yield Finding(LESS, text)


# Reps


def _flipped(kind: Kind) -> Kind | None:
    """The kind of the other parity."""
    pairs = {SCALAR: PSEUDOSCALAR, PSEUDOSCALAR: SCALAR, VECTOR: PSEUDOVECTOR, PSEUDOVECTOR: VECTOR}
    if isinstance(kind, Irreducible):
        return Irreducible(kind.degree, not kind.odd)
    return pairs.get(kind)


def _near(kind: SignedPermutation) -> Iterator[SignedPermutation]:
    """Mirrors that differ in one sign, or in one pair of channels that change places or do not."""
    images = kind.images
    for i in range(len(images)):
        for j in range(i, len(images)):
            made = list(images)
            if i == j:
                made[i] = -made[i]
            elif abs(images[i]) == i + 1 and abs(images[j]) == j + 1:
                made[i], made[j] = j + 1, i + 1
            elif abs(images[i]) == j + 1:
                made[i], made[j] = i + 1, j + 1
            with suppress(RepError):
                yield SignedPermutation(made)


def _variants(rep: Rep) -> Iterator[tuple[str, Rep]]:
    """Other reps of the same width that a leaf might have been meant to have, with what is said of them."""

    def each(change: Callable[[Kind], Kind | None]) -> Rep | None:
        new = [(count, change(kind) or kind) for count, kind in rep.terms]
        made = Rep(new, rep.d)
        return None if made == rep else made

    flipped = each(_flipped)
    if flipped is not None:
        yield str(flipped), flipped
    for k, (count, kind) in enumerate(rep.terms):
        if isinstance(kind, SignedPermutation):
            for near in _near(kind):
                made = Rep([*rep.terms[:k], (count, near), *rep.terms[k + 1 :]], rep.d)
                yield str(made), made
    if len(rep.terms) > 1:
        for k, (count, kind) in enumerate(rep.terms):
            other = _flipped(kind)
            if other is not None:
                made = Rep([*rep.terms[:k], (count, other), *rep.terms[k + 1 :]], rep.d)
                yield str(made), made
    for terms in permutations(rep.terms) if 1 < len(rep.terms) <= MOST_TERMS else ():
        made = Rep(terms, rep.d)
        if made != rep:
            yield f"{made} (its terms in another order)", made
    based = each(in_e3nn_basis)
    if based is not None:
        yield "the same in e3nn's basis (give e3nn.o3.Irreps)", based
    if rep.d == 3:
        for order in ((1, 2, 0), (2, 0, 1), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
            made = _in_order(rep, order)
            if made != rep:
                yield f"the same with components in the order {', '.join('xyz'[k] for k in order)}", made
    if rep.d == 2:
        made = _in_order(rep, (1, 0))
        if made != rep:
            yield "the same with components in the order y, x", made
    scalars = all(kind in (SCALAR, PSEUDOSCALAR) for _, kind in rep.terms)
    if scalars and rep.dim % rep.d == 0:
        yield f"{rep.dim // rep.d}x1o", Rep([(rep.dim // rep.d, VECTOR)], rep.d)
        yield f"{rep.dim // rep.d}x1e", Rep([(rep.dim // rep.d, PSEUDOVECTOR)], rep.d)
    if not scalars:
        yield f"{rep.dim}x0e", Rep([(rep.dim, SCALAR)], rep.d)


def _other_reps(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Another rep of one input or output, or one reading of all, under which it is exact."""
    probe, elements = tried.probe, tried.sample()
    if tried.holds(tried.again(elements), names):  # whatever is tried here would seem to cure it
        return

    def cured(takes: Any, gives: Any) -> bool:
        try:
            changed = replace(probe, takes=takes, gives=gives)
        except EquiwmError:
            return False
        outputs = {name for name in names if " - input " not in name} or names
        if not tried.holds(tried.again(elements[:1], changed), outputs):  # what one element breaks, eight do not mend
            return False
        found = tried.again(elements, changed)
        return tried.holds(found, outputs) and found is not None and all(each.verdict != VACUOUS for each in found[:1])

    first = probe.samples[0]
    there = leaves(first)
    for path, given in declared(probe.takes, "takes").items():
        leaf = there.get(path)
        if given != SAME or leaf is None or not is_array(leaf) or not torch.as_tensor(leaf).is_floating_point():
            continue
        for text in _vector_reps(tuple(leaf.shape), probe.d):
            if cured(_with(probe.takes, path, text), probe.gives):
                yield Finding(
                    "an input declared the same",
                    f"{label(path)} is declared the same and carries coordinates: as {text} it is exact.",
                )
                return
    typed_in, typed_out = tried.state.runner.inputs, tried.state.runner.outputs
    wrong = {each.best.quantity.leaf.path for each in tried.failing}
    for leaf_out in (leaf for leaf in typed_out if leaf.path in wrong):
        for text, rep in (*_variants(leaf_out.rep),):
            if cured(probe.takes, _with(probe.gives, leaf_out.path, _like(leaf_out, rep))):
                yield Finding("a wrong rep", f"{leaf_out.name} as {leaf_out.rep} fails: as {text} it is exact.")
                return
        for axis in _other_axes(leaf_out, tried):
            if cured(probe.takes, _with(probe.gives, leaf_out.path, Typed(leaf_out.rep, axis))):
                yield Finding(
                    "a wrong axis", f"{leaf_out.name}: with equiwm.Typed('{leaf_out.rep}', axis={axis}) it is exact."
                )
                return
    for leaf_in in typed_in:
        for text, rep in _variants(leaf_in.rep):
            if all(kind == SCALAR for _, kind in rep.terms):  # then nothing is turned, and anything passes
                continue
            if cured(_with(probe.takes, leaf_in.path, _like(leaf_in, rep)), probe.gives):
                yield Finding(
                    "a wrong rep", f"{leaf_in.name} of the inputs as {leaf_in.rep} fails: as {text} it is exact."
                )
                return
        for axis in _input_axes(leaf_in, there):
            if cured(_with(probe.takes, leaf_in.path, Typed(leaf_in.rep, axis)), probe.gives):
                yield Finding(
                    "a wrong axis",
                    f"{leaf_in.name} of the inputs: with equiwm.Typed('{leaf_in.rep}', axis={axis}) it is exact.",
                )
                return
    orders = ((1, 2, 0), (2, 0, 1)) if probe.d == 3 else ((1, 0),)
    for order in orders:
        takes, gives = probe.takes, probe.gives
        for leaf in typed_in:
            takes = _with(takes, leaf.path, _like(leaf, _in_order(leaf.rep, order)))
        for leaf in typed_out:
            gives = _with(gives, leaf.path, _like(leaf, _in_order(leaf.rep, order)))
        if cured(takes, gives):
            letters = ", ".join("xyz"[k] for k in order)
            yield Finding("the order of components", f"With components in the order {letters} everywhere it is exact.")
            return


def _in_order(rep: Rep, order: tuple[int, ...]) -> Rep:
    return Rep([(count, reordered(kind, order) if kind.structured else kind) for count, kind in rep.terms], rep.d)


def _like(leaf: TypedLeaf, rep: Rep) -> Rep | Typed:
    return rep if leaf.axis is None else Typed(rep, leaf.axis)


def _vector_reps(shape: tuple[int, ...], d: int) -> list[str]:
    found = []
    if shape[-1:] and shape[-1] % d == 0:
        found.append(f"{shape[-1] // d}x1o")
    if len(shape) >= 2 and shape[-1] == d:
        found.append(f"{shape[-2]}x1o")
    return list(dict.fromkeys(found))


def _other_axes(leaf: TypedLeaf, tried: Experiments) -> list[int]:
    try:
        output = tried.state.runner.raw(tried.probe.samples[0], tried.dtype)
    except CallFailed:
        return []
    return _input_axes(leaf, leaves(output))


def _input_axes(leaf: TypedLeaf, there: Any) -> list[int]:
    """Other axes of the width of the rep."""
    found = there.get(leaf.path)
    if not is_array(found):
        return []
    last = (len(found.shape) - 1) if leaf.axis is None else leaf.axis % len(found.shape)
    return [axis - len(found.shape) for axis, size in enumerate(found.shape) if size == leaf.rep.dim and axis != last]


def _with(spec: Any, path: tuple[Any, ...], rep: Any) -> Any:
    """A spec with another rep at a path."""
    if not path:
        return rep
    key, *rest = path
    if isinstance(spec, list | tuple):
        names = list(getattr(spec, "_fields", range(len(spec))))
        parts = [_with(part, tuple(rest), rep) if name == key else part for name, part in zip(names, spec, strict=True)]
        return type(spec)(*parts) if hasattr(spec, "_fields") else type(spec)(parts)
    return {**spec, key: _with(spec[key], tuple(rest), rep)}


# Elements


def _apart(tried: Experiments, names: set[str]) -> dict[str, bool]:
    """Whether it holds under each kind of motion alone."""
    sigma = tried.state.runner.reach(tried.probe.samples)
    cosets = tried.probe.acting.cosets(FEW, tried.seed + 3, sigma=sigma)
    return {name: tried.holds(tried.again(part), names) for name, part in cosets.items()}


def _one_motion(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Reflections or translations alone break it."""
    apart = _apart(tried, names)
    broken = [name for name, held in apart.items() if not held]
    if len(apart) < 2 or len(broken) != 1:
        return
    if broken == ["reflection"]:
        yield Finding("parity", "Reflections alone break it: it tells left from right (a 0o or 1e?).")
    elif broken == ["translation"]:
        yield Finding("absolute positions", "Translations alone break it: it sees where the origin is.")
    elif broken == ["permutation"]:
        yield Finding("the order of items", "Permutations alone break it: it sees which item stands where.")


def _some_motions(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Which motions break it, where only some do."""
    apart = _apart(tried, names)
    broken, fine = [name for name, held in apart.items() if not held], [name for name, held in apart.items() if held]
    if broken and fine:
        yield Finding("some motions", f"{' and '.join(broken)} break it; {' and '.join(fine)} alone does not.")


def _lab_axis(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """An axis of the laboratory: it is exact under rotations about that one alone."""
    if tried.probe.d != 3 or not bool(tried.probe.acting.contains(rotations(37.0, 3, "z"))):
        return
    angles = [23.0, 77.0, 141.0, 205.0, 311.0]
    held = {axis: tried.holds(tried.again(rotations(angles, 3, axis)), names) for axis in "xyz"}
    fine = [axis for axis, good in held.items() if good]
    if len(fine) == 1:
        yield Finding(
            "an axis of the laboratory",
            f"Rotations about {fine[0]} leave it exact, about the other axes they break it: {fine[0]} is singled out.",
        )


def _by_component(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Something done to x, y and z one by one: it is exact where axes only change places."""
    if tried.probe.d == 3:
        cycle = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
        quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
        group = FiniteGroup.generated_by(cycle[None], name="axes exchanged")
    else:
        quarter = torch.tensor([[0.0, -1], [1, 0]], dtype=torch.float64)
        group = FiniteGroup.generated_by(quarter[None], name="quarter turns")
    if not bool(tried.probe.acting.contains(group.generators.discrete).all()):
        return
    if not tried.holds(tried.again(group.sample(FEW, 0)), names):
        return
    signs = tried.holds(
        tried.again(FiniteGroup.generated_by(quarter[None], name="quarter turns").sample(FEW, 0)), names
    )
    what = "exchanging axes with their signs" if signs else "exchanging axes"
    yield Finding(
        "component by component",
        f"It is exact under {what}, not under other rotations: something acts on the components one by one (a "
        "nonlinearity, a bias, a clamp, a normalisation, a difference along the axes).",
    )


# Values


def _grid(tried: Experiments) -> Iterator[Finding]:
    """Values on a grid: as coarse with every operation in float64 as without."""
    if not tried.state.runner.promote:
        return
    for each in (each for each in tried.failing if each.best.quantity.over is None):
        place, channel = each.worst
        high, low = (float(side.rounding[place, channel]) for side in (each.best, each.low))
        if not bool(each.inside[place, channel]) or high <= FOLLOWS * low:
            continue
        name = each.best.quantity.name
        if high > NO_ROUNDING:
            text = (
                f"{name}: one rounding of the inputs changes it by {high:.1e} of its variation, in float64 too: it is "
                "chaotic, or these inputs stand on a branch; whether it is symmetric cannot be told at them."
            )
            yield Finding("amplified rounding", text)
        else:
            text = (
                f"{name} jumps by {high:.1e} of its variation between neighbouring inputs, with every operation in "
                "float64 too: values are rounded to a grid, counted or looked up; no precision cures that."
            )
            yield Finding("values on a grid", text)
        return


def _constant(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A constant in a channel that turns: Delta = (rho(g) - 1) c for one c and every sample."""
    samples, elements = tried.few(tried.probe.samples), tried.sample(n=2 * FEW)
    runner = tried.state.runner
    straight = runner(samples, tried.dtype)
    for each in (each for each in tried.failing if each.best.quantity.over is None):
        rep = each.best.quantity.rep
        delta = _delta(runner, each.best.quantity, straight, samples, elements, tried.dtype)
        constant, left = _fitted_constant(rep, elements, delta)
        if delta.shape[-1] > 1 and left <= CONSTANT * float(delta.norm()):
            yield Finding(
                "a constant",
                f"{each.best.quantity.name} holds a constant that does not turn, of length "
                f"{constant:.2g}: a bias, or a default, in a channel of {rep}.",
            )


def _delta(
    runner: Runner, quantity: Quantity, straight: Any, samples: list[Any], elements: Elements, dtype: torch.dtype
) -> Tensor:
    """(G, dim, rows): Delta of every element, a column a row of the output."""
    path, rep = quantity.leaf.path, quantity.rep
    rows = []
    for k in range(len(elements)):
        got = runner(runner.turned(samples, elements[k], dtype), dtype)
        parts = [
            (rep.transform(before[path], elements[k]) - after[path]).reshape(-1, rep.dim)
            for before, after in zip(straight, got, strict=True)
        ]
        rows.append(torch.cat(parts).mT)
    return torch.stack(rows)


def _fitted_constant(rep: Rep, elements: Elements, delta: Tensor) -> tuple[float, float]:
    """Length of the c of which (rho(g) - 1) c fits Delta best, and the norm of what it leaves.

    rho(g) has a block a copy of a kind, so that copies are fitted apart: the matrix of a wide rep would not fit into
    memory.
    """
    squares = torch.zeros(2, dtype=torch.float64)
    start = 0
    for count, kind in rep.terms:
        one = Rep([(1, kind)], rep.d)
        turned = (one.matrix(elements) - torch.eye(one.dim, dtype=torch.float64)).flatten(0, 1)
        block = delta[:, start : start + count * one.dim].unflatten(1, (count, one.dim))
        right = block.transpose(1, 2).flatten(0, 1)  # (G kind, copies, rows)
        fit = torch.linalg.lstsq(turned, right.mean(-1), driver="gelsd").solution
        left = right - (turned @ fit)[..., None]
        squares += torch.stack([fit.square().sum(), left.square().sum()])
        start += count * one.dim
    length, left_over = squares.sqrt().tolist()
    return length, left_over


def _rare(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """A branch that so few pairs show that the few elements of an experiment may miss it, and all would seem cured."""
    if all(bool(each.branches.any()) and float(_bad(each).double().mean()) < RARE for each in tried.failing):
        yield from _branches(tried, names)


def _bad(each: Judged) -> Tensor:
    """(G, S): the pairs that break, in the first channel that is on a branch."""
    place, channel = (int(k) for k in torch.nonzero(each.branches)[0])
    return each.best.pairs[:, :, place, channel] / each.best.scale[place, channel] > BRANCH[torch.float64]


def _branches(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    for each in tried.failing:
        if not bool(each.branches.any()):
            continue
        bad = _bad(each)
        share = float(bad.double().mean())
        samples = torch.nonzero(bad.any(0)).flatten().tolist()
        shown = ", ".join(map(str, samples[:5])) + (", ..." if len(samples) > 5 else "")
        yield Finding(
            "a branch",
            f"{each.best.quantity.name}: {_percent(share)} of the pairs of sample and element break, "
            f"most are exact (samples {shown}): ties, cut-offs, sorted neighbours, a cap, or the signs of a frame.",
        )
        return


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1g}"


def _hidden(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """What a check of everything at once would not see."""
    for each in tried.failing:
        place, channel = each.worst
        share = float(each.best.scale[place, channel] / each.best.size.square().mean().sqrt())
        if each.best.quantity.over is not None and not any(
            other.best.quantity.leaf.path == each.best.quantity.leaf.path and other.best.quantity.over is None
            for other in tried.failing
        ):
            yield Finding(
                "hidden by the identity", f"{each.best.quantity.name} is {LEVELS[each.verdict]}; x + ... hides it."
            )
        elif share < 1e-2:
            yield Finding(
                "a small part",
                f"The channel that fails varies by {share:.1e} of the size of {each.best.quantity.name}: beside the "
                "rest it is not seen.",
            )


def _limited(tried: Experiments) -> Iterator[Finding]:
    """Why the precision of the arithmetic shows."""
    for each in tried.judged:
        if each.verdict != LIMITED or each.best.quantity.over is not None:
            continue
        place, channel = each.worst
        name = each.best.quantity.name
        rounding, low = (float(side.rounding[place, channel]) for side in (each.best, each.low))
        residual = float(each.best.residual[place, channel])
        if name in tried.switched:
            yield Finding(LESS, tried.switched[name])
        elif bool(each.inside.any()) and 0.05 * low < rounding <= NO_ROUNDING:
            text = (
                f"{name}: in float64 it still rounds by {rounding:.1e}: it computes in less inside, and no switch of "
                f"torch's takes that away (autocast, float32 products, casts): {_where_less(tried)}."
            )
            yield Finding(LESS, text)
        elif bool(each.inside.any()) and rounding > NO_ROUNDING:
            yield Finding("amplified rounding", f"{name}: one rounding of the inputs changes everything.")
        elif bool(each.inside.any()):
            text = (
                f"{name} rounds by {low:.1e} in {_short(each.low.dtype)} and by {rounding:.1e} in float64: differences "
                "of large numbers, as of distances by matrix products (torch.cdist)."
            )
            yield Finding("cancellation", text)
        elif each.high is not None and residual > 1e-10:
            text = (
                f"{name}: {residual:.1e} in float64: as much as constants that were rounded to float32 leave, or a "
                "break that is as small."
            )
            yield Finding("rounded constants", text)
        else:
            offset = float(each.low.size[place, channel] / each.low.scale[place, channel])
            far = _far(tried)
            why = f": it varies by 1/{offset:.0e} of its size, the digits are used up" if offset > 1e3 else ""
            why = why or (f": the inputs lie {far:.0f} times their spread from the origin" if far > 8 else "")
            yield Finding("rounding", f"{name} is exact in float64; what is left is rounding{why}.")


def _where_less(tried: Experiments) -> str:
    if tried.state.runner.promote:
        return "its operations meet tensors of less; with every one of them in float64 it is exact"
    return "another library, a kernel or a format of its own"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _far(tried: Experiments) -> float:
    """How far points lie from the origin, in units of their spread."""
    sizes = tried.state.runner.spreads(tried.probe.samples)
    found = [0.0]
    for sample in tried.probe.samples[:8]:
        there = leaves(sample)
        for leaf in tried.state.runner.inputs:
            if leaf.rep.has_points:
                flat = leaf.flat(there[leaf.path]).detach().cpu().double()
                found.append(float(flat.reshape(-1, flat.shape[-1]).mean(0).norm()) / sizes[leaf.path])
    return max(found)
