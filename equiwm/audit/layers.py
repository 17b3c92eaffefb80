"""Which layer breaks it, in any module and without types.

The output y of a layer is still equivariant, under some linear action, if for every g there is a matrix A_g with
y(g x) = A_g y(x). A_g is fitted by least squares on half of the rows (samples, nodes, pairs), on the span of the
features alone, and tested on the other half. Of points the fit is affine. The trace of A_g on the span is the
character of what the layer carries: with tr A(theta) = sum_l m_l sin((2 l + 1) theta / 2) / sin(theta / 2) in space
(2 cos(m theta) in the plane) the multiplicities m_l are read off several rotations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from equiwm.audit.measure import MOVE
from equiwm.audit.preflight import Finding
from equiwm.audit.pytree import is_array, label, leaves
from equiwm.audit.running import Runner
from equiwm.stats import largest
from equiwm.symmetry.elements import Elements

ROWS_PER_COLUMN = 3
"""A layer is judged where rows outnumber columns at least so many times."""
MOST_ROWS = 20_000
"""More rows than this are thinned out evenly."""
MOST_WIDTH = 512
"""The widest that two axes are read as one."""
MOST_COPIES, MOST_CALLS = 31, 128
"""Where rows are too few, moved copies of the samples are taken: at most so many, and so many calls an element."""
ROTATIONS, OTHERS = 10, 4
"""How many rotations a character is read off, and how many elements of every other kind are fitted besides."""
GOOD = 1e-8
"""A fit that leaves no more than this is exact in float64."""
DEGREES = 6
"""The highest degree that is read off a character."""
_RANK = 1e-9
THE_LAYER = "the layer"
"""Name of the finding that says where it breaks."""


@dataclass(frozen=True)
class Place:
    """Where features were recorded.

    Attributes:
        module: its name; `the whole` of the outermost.
        kind: its class.
        leaf: of its output or input, where that has several.
        call: which call of the module, from 1.
        given: whether it is an input of the module rather than its output.
    """

    module: str
    kind: str
    leaf: str
    call: int
    given: bool

    @property
    def name(self) -> str:
        """As it is shown."""
        call = f" (call {self.call})" if self.call > 1 else ""
        return " ".join(filter(None, (self.module, self.leaf))) + call


@dataclass(frozen=True, eq=False)
class LayerFit:
    """One leaf of the output or input of one module.

    Attributes:
        place: where.
        residual: on held-out rows, worst over the elements, relative to the variation; None where rows were too few,
            do not vary, or are not finite.
        carries: multiplicities by degree (or frequency), where they come out whole.
    """

    place: Place
    residual: float | None
    carries: tuple[int, ...] | None


def layer_fits(
    runner: Runner,
    samples: list[Any],
    dtype: torch.dtype,
    *,
    seed: int,
    broken: Sequence[str] = (),
    to_the_break: bool = False,
) -> list[LayerFit]:
    """Every module's inputs and outputs, in the order of execution, under rotations and reflections, or what else the
    group has.

    Args:
        runner: the model.
        samples: what it is called with; where they make too few rows for a layer, moved copies are taken besides.
        dtype: what the model runs in.
        seed: of the elements.
        broken: kinds of motion that break it, where not all do.
        to_the_break: leave off what runs after the first output that no longer transforms linearly.
    """
    elements, turns, mode = _elements(runner, samples, seed, broken)
    straight = _recorded(runner, samples, dtype)
    if more := _copies(straight, len(samples)):
        moved = [runner.moved(samples, runner.directions(samples, seed + k), MOVE, dtype) for k in range(more)]
        samples = [*samples, *(sample for copies in moved for sample in copies)]
        straight = _recorded(runner, samples, dtype)
    turned = [_recorded(runner, runner.turned(samples, elements[k], dtype), dtype) for k in range(len(elements))]
    straight = {
        place: values
        for place, values in straight.items()
        if all(place in one and one[place].shape == values.shape for one in turned)
    }
    angles = torch.deg2rad(turns.angle_deg)
    found: list[LayerFit] = []
    for place, values in straight.items():
        before = found[-1].place if found else None
        if before and all(_same(one[place], one[before]) for one in (straight, *turned)):
            fit = replace(found[-1], place=place)  # what one module gives the next one is given
        else:
            fit = _best_fit(place, values, [one[place] for one in turned], angles, runner.probe.d, mode)
            fit = _averaged(fit, straight, turned, angles, runner.probe.d, mode)
        found.append(fit)
        if to_the_break and not place.given and fit.residual is not None and fit.residual > GOOD:
            break
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _copies(straight: dict[Place, Tensor], calls: int) -> int:
    """How many moved copies of the samples give every layer rows enough, those apart that would need too many."""
    most = min(MOST_COPIES, MOST_CALLS // calls - 1)
    shapes = [(values.numel() // values.shape[-1], values.shape[-1]) for values in straight.values() if values.numel()]
    needed = [-(-_needed(width) // rows) - 1 for rows, width in shapes]
    return max((more for more in needed if more <= most), default=0)


def _needed(width: int) -> int:
    """How many rows a layer of a width is judged by."""
    return 2 * ROWS_PER_COLUMN * width


def _elements(runner: Runner, samples: list[Any], seed: int, broken: Sequence[str]) -> tuple[Elements, Elements, str]:
    """The elements of the fit, rotations first; the rotations; and how rows are read (`_layouts`)."""
    group = runner.probe.acting
    cosets = group.cosets(4 * ROTATIONS, seed, sigma=runner.reach(samples))
    none = group.sample(1, seed)[:0]
    turning = {name: part for name, part in cosets.items() if name not in ("rotation", "translation")}
    plain = {name: part for name, part in turning.items() if "permutation" not in name}
    fine = not broken or any(name in ("rotation", *plain) for name in broken)
    if ("rotation" in cosets or plain) and fine:
        turns = cosets.get("rotation", none)[:ROTATIONS]
        return Elements.cat([turns, *(part[:OTHERS] for part in plain.values())]), turns, "rows"
    if any("permutation" in name for name in (broken or turning)):
        parts = [part[:OTHERS] for name, part in turning.items() if "permutation" in name]
        return Elements.cat(parts), none, "items"
    return Elements.cat([part[:OTHERS] for part in cosets.values()]), none, "affine"


def _best_fit(place: Place, values: Tensor, turned: list[Tensor], angles: Tensor, d: int, mode: str) -> LayerFit:
    """The first layout under which it is exact, else the one of the smallest residual."""
    found: list[LayerFit] = []
    layouts = [_layouts(part, mode) for part in (values, *turned)]
    for rows, *there in zip(*layouts, strict=True):
        fit = _fit(place, rows, there, angles, d, affine=mode == "affine")
        if fit.residual is not None and fit.residual <= GOOD:
            return fit
        found.append(fit)
    judged = [fit for fit in found if fit.residual is not None]
    return min(judged, key=lambda fit: fit.residual or 0.0) if judged else found[0]


def _averaged(
    fit: LayerFit,
    straight: dict[Place, Tensor],
    turned: list[dict[Place, Tensor]],
    angles: Tensor,
    d: int,
    mode: str,
) -> LayerFit:
    """A module that breaks in one call, judged by all its calls together.

    In pi(x) + S pi(S x) no call of pi is equivariant, and both together are: they change places.
    """
    if fit.residual is None or fit.residual <= GOOD:
        return fit
    place, key = fit.place, attrgetter("module", "leaf", "given")
    calls = [each for each in straight if key(each) == key(place)]
    if len(calls) < 2 or len({straight[each].shape for each in calls}) > 1:
        return fit
    joint = torch.cat([straight[each] for each in calls], -1)
    there = [torch.cat([one[each] for each in calls], -1) for one in turned]
    together = _best_fit(place, joint, there, angles, d, mode)
    return together if together.residual is not None and together.residual <= GOOD else fit


def _layouts(values: Tensor, mode: str) -> list[Tensor]:
    """Rows (n, width) of a tensor, in the ways that a rep may stand in it: last axis, the one before, both.

    Where items change places, rows that count items move themselves: the columns have to hold every item.
    """
    if mode == "items":
        return [values.flatten(1) if values.dim() > 1 else values[:, None]]
    found = [values.reshape(-1, values.shape[-1])] if values.dim() > 1 else [values[:, None]]
    if values.dim() > 2:
        swapped = values.movedim(-2, -1)
        found.append(swapped.reshape(-1, swapped.shape[-1]))
        if values.shape[-1] * values.shape[-2] <= MOST_WIDTH:
            found.append(values.flatten(-2).reshape(-1, values.shape[-1] * values.shape[-2]))
    return found


def where_it_breaks(fits: list[LayerFit]) -> list[Finding]:
    """The first judged layer whose output no longer transforms linearly, and the last one before it that did."""
    outputs = [fit for fit in fits if not fit.place.given]
    inputs: dict[tuple[str, int], float] = {}
    for fit in fits:
        if fit.place.given and fit.residual is not None:
            key = fit.place.module, fit.place.call
            inputs[key] = max(fit.residual, inputs.get(key, 0.0))
    calls = Counter(module for module, _ in inputs)
    before: LayerFit | None = None
    unjudged = sum(fit.residual is None for fit in outputs)
    rest = (
        f" {unjudged} of {len(outputs)} outputs had too few rows, do not vary or are not finite, and were not judged."
        if unjudged
        else ""
    )
    for fit in outputs:
        if fit.residual is None:
            continue
        if fit.residual <= GOOD:
            before = fit
            continue
        after = f", after {before.place.name} ({before.residual:.1e})" if before else ", the first that was judged"
        where = f"at {fit.place.name} ({fit.place.kind}, residual {fit.residual:.1e})"
        given = inputs.get((fit.place.module, fit.place.call), 0.0)
        if given > GOOD:  # before it, as far out as the input is broken already
            module, outer = fit.place.module, _outer(fit.place.module, calls)
            while outer and calls[outer] == 1 and inputs[outer, 1] > GOOD:
                module, given, outer = outer, inputs[outer, 1], _outer(outer, calls)
            where = f"{f'inside {outer}, ' if outer else ''}before {module} (whose input has {given:.1e})"
        return [Finding(THE_LAYER, f"It breaks {where}{after}.{rest}")]
    return []


def _outer(module: str, called: Container[str]) -> str:
    """The module around it that is called itself; a list of modules is not."""
    outer = module.rpartition(".")[0]
    while outer and outer not in called:
        outer = outer.rpartition(".")[0]
    return outer


def _recorded(runner: Runner, samples: list[Any], dtype: torch.dtype) -> dict[Place, Tensor]:
    """Every leaf of every module's inputs and outputs, call by call, samples one after another along the first axis."""
    parts: dict[Place, list[Tensor]] = {}
    for sample in samples:
        with _hooked(runner.probe.modules, parts):
            runner.raw(sample, dtype)
    found = {}
    for place, values in parts.items():
        if len({part.shape[1:] for part in values}) == 1:
            found[place] = torch.cat(values)
        elif len({part.shape[-1:] for part in values}) == 1:
            found[place] = torch.cat([part.reshape(-1, part.shape[-1]) for part in values])
    return found


@contextmanager
def _hooked(modules: tuple[nn.Module, ...], parts: dict[Place, list[Tensor]]) -> Iterator[None]:
    names = {}
    for k, module in enumerate(modules):
        for name, part in module.named_modules():
            prefix = f"model {k}" if len(modules) > 1 else ""
            if not isinstance(part, torch.jit.ScriptModule):  # which takes no hooks once it is loaded
                names[part] = ".".join(filter(None, (prefix, name))) or "the whole"
    calls: dict[nn.Module, int] = {}

    def keep(part: nn.Module, tree: Any, given: bool) -> None:
        for path, leaf in leaves(tree).items():
            if not is_array(leaf) or not torch.as_tensor(leaf).is_floating_point() or leaf.ndim < 1:
                continue
            if not math.prod(leaf.shape):  # features of no channels, as a tensor product without outputs has
                continue
            place = Place(names[part], type(part).__name__, label(path) if path else "", calls[part], given)
            parts.setdefault(place, []).append(torch.as_tensor(leaf).detach().cpu().double())

    def before(part: nn.Module, arguments: Any) -> None:
        calls[part] = calls.get(part, 0) + 1
        keep(part, arguments[0] if len(arguments) == 1 else arguments, True)

    def after(part: nn.Module, _: Any, output: Any) -> None:
        keep(part, output, False)

    hooks = [part.register_forward_pre_hook(before) for part in names]
    hooks += [part.register_forward_hook(after) for part in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _fit(place: Place, rows: Tensor, turned: list[Tensor], angles: Tensor, d: int, *, affine: bool) -> LayerFit:
    step = max(1, -(-len(rows) // MOST_ROWS))
    rows, turned = rows[::step], [part[::step] for part in turned]
    width = rows.shape[1]
    if not all(bool(part.isfinite().all()) for part in (rows, *turned)):  # the -inf of a masked attention
        return LayerFit(place, None, None)
    scale = float((rows - rows.mean(0)).square().mean().sqrt())
    if len(rows) < _needed(width):
        return LayerFit(place, None, None)
    if scale <= 1e-14 * float(rows.abs().amax().clamp(min=1e-300)):
        return LayerFit(place, None, None)
    fitted, held = slice(0, None, 2), slice(1, None, 2)
    _, values, basis = torch.linalg.svd(torch.cat([rows, *turned])[:: 1 + len(turned) // 4], full_matrices=False)
    rank = int((values > _RANK * values[0]).sum())
    span = basis[:rank].mT
    small = rows @ span
    known = torch.cat([small, torch.ones(len(small), 1, dtype=torch.float64)], 1) if affine else small
    images = [part @ span for part in turned]
    # One decomposition for all elements: only the right-hand sides differ.
    solved = torch.linalg.lstsq(known[fitted], torch.cat(images, 1)[fitted], driver="gelsy").solution
    residuals, traces = [], []
    for there, action in zip(images, solved.split(rank, 1), strict=True):
        off = float((there[held] - known[held] @ action).square().sum(1).mean().sqrt())
        residuals.append(off / max(scale * math.sqrt(width), 1e-300))
        traces.append(float(action[:rank].diagonal().sum()))
    character = torch.tensor(traces[: len(angles)], dtype=torch.float64)
    return LayerFit(place, largest(residuals), _multiplicities(character, angles, rank, d))


def _multiplicities(traces: Tensor, angles: Tensor, rank: int, d: int) -> tuple[int, ...] | None:
    """m_l with sum_l m_l chi_l(theta) = tr A(theta), if they come out whole and fill the span."""
    half = angles.double() / 2
    if d == 3:
        table = torch.stack([torch.sin((2 * degree + 1) * half) / torch.sin(half) for degree in range(DEGREES + 1)], 1)
        widths = [2 * degree + 1 for degree in range(DEGREES + 1)]
    else:
        table = torch.stack([(2 if degree else 1) * torch.cos(2 * degree * half) for degree in range(DEGREES + 1)], 1)
        widths = [2 if degree else 1 for degree in range(DEGREES + 1)]
    if len(traces) < DEGREES + 1:
        return None
    found = torch.linalg.lstsq(table, traces.double()[:, None], driver="gelsd").solution[:, 0]
    whole = found.round()
    filled = sum(int(count) * width for count, width in zip(whole.tolist(), widths, strict=True))
    if float((found - whole).abs().amax()) > 0.05 or bool((whole < 0).any()) or filled != rank:
        return None
    return tuple(int(count) for count in whole.tolist())
