"""Which layer breaks it, in any module and without types.

The output y of a layer is still equivariant, under some linear action, if for every g there is a matrix A_g with
y(g x) = A_g y(x). A_g is fitted by least squares on half of the rows (samples, nodes, pairs), on the span of the
features alone, and tested on the other half. Of points the fit is affine. The trace of A_g on the span is the
character of what the layer carries: with tr A(theta) = sum_l m_l sin((2 l + 1) theta / 2) / sin(theta / 2) in space
(2 cos(m theta) in the plane) the multiplicities m_l are read off several rotations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from equiwm.audit.preflight import Finding
from equiwm.audit.pytree import is_array, label, leaves
from equiwm.audit.running import Runner
from equiwm.symmetry.elements import Elements

ROWS_PER_COLUMN = 3
"""A layer is judged where rows outnumber columns at least so many times."""
MOST_ROWS = 20_000
"""More rows than this are thinned out evenly."""
MOST_WIDTH = 512
"""The widest that two axes are read as one."""
ROTATIONS, OTHERS = 10, 4
"""How many rotations a character is read off, and how many elements of every other kind are fitted besides."""
GOOD = 1e-8
"""A fit that leaves no more than this is exact in float64."""
DEGREES = 6
"""The highest degree that is read off a character."""
_RANK = 1e-9


@dataclass(frozen=True, eq=False)
class LayerFit:
    """One leaf of the output of one module.

    Attributes:
        name: of the module, with the leaf where it has several.
        kind: class of the module.
        residual: on held-out rows, worst over the elements, relative to the variation; None where rows were too few.
        rank: of the features, of how many.
        width: features.
        carries: multiplicities by degree (or frequency), where they come out whole.
    """

    name: str
    kind: str
    residual: float | None
    rank: int
    width: int
    carries: tuple[int, ...] | None


def layer_fits(runner: Runner, samples: list[Any], dtype: torch.dtype, *, seed: int) -> list[LayerFit]:
    """Every module's output, in the order of execution, under rotations and reflections or what else the group has.

    Args:
        runner: the model.
        samples: what it is called with.
        dtype: what the model runs in.
        seed: of the elements.
    """
    group = runner.probe.acting
    cosets = group.cosets(4 * ROTATIONS, seed, sigma=runner.reach(samples))
    turns = cosets.get("rotation", group.sample(1, seed)[:0])[:ROTATIONS]
    others = [part[:OTHERS] for name, part in cosets.items() if name not in ("rotation", "translation")]
    if not len(turns) and not others:
        others = [part[:OTHERS] for part in cosets.values()]
    elements = Elements.cat([turns, *others])
    shifted = "rotation" not in cosets and "translation" in cosets
    straight = _recorded(runner, samples, dtype)
    turned = [_recorded(runner, runner.turned(samples, elements[k], dtype), dtype) for k in range(len(elements))]
    angles = torch.deg2rad(turns.angle_deg)
    found = []
    for key, (kind, values) in straight.items():
        there = [one[key][1] for one in turned if key in one and one[key][1].shape == values.shape]
        if len(there) == len(turned):
            fits = (
                _fit(key, kind, rows, [_layouts(part)[k] for part in there], angles, runner.probe.d, affine=shifted)
                for k, rows in enumerate(_layouts(values))
            )
            found.append(_best(fits))
    return found


def _layouts(values: Tensor) -> list[Tensor]:
    """Rows (n, width) of a tensor, in the ways that a rep may stand in it: last axis, the one before, both."""
    found = [values.reshape(-1, values.shape[-1])] if values.dim() > 1 else [values[:, None]]
    if values.dim() > 2:
        swapped = values.movedim(-2, -1)
        found.append(swapped.reshape(-1, swapped.shape[-1]))
        if values.shape[-1] * values.shape[-2] <= MOST_WIDTH:
            found.append(values.flatten(-2).reshape(-1, values.shape[-1] * values.shape[-2]))
    return found


def _best(fits: Iterator[LayerFit]) -> LayerFit:
    """The first layout under which it is exact, else the one of the smallest residual."""
    found: list[LayerFit] = []
    for fit in fits:
        if fit.residual is not None and fit.residual <= GOOD:
            return fit
        found.append(fit)
    judged = [fit for fit in found if fit.residual is not None]
    return min(judged, key=lambda fit: fit.residual or 0.0) if judged else found[0]


def where_it_breaks(fits: list[LayerFit]) -> list[Finding]:
    """The first judged layer whose output no longer transforms linearly, and the last one before it that did."""
    before: LayerFit | None = None
    unjudged = sum(fit.residual is None for fit in fits)
    rest = (
        f" {unjudged} of {len(fits)} outputs had too few rows, or do not vary, and were not judged." if unjudged else ""
    )
    for fit in fits:
        if fit.residual is None:
            continue
        if not fit.residual <= GOOD:
            after = (
                f", after {before.name} ({before.residual:.1e})"
                if before is not None
                else ", the first that was judged"
            )
            return [
                Finding("the layer", f"It breaks at {fit.name} ({fit.kind}, residual {fit.residual:.1e}){after}.{rest}")
            ]
        before = fit
    return []


def _recorded(runner: Runner, samples: list[Any], dtype: torch.dtype) -> dict[str, tuple[str, Tensor]]:
    """Every output leaf of every module, call by call, the samples one after another along the first axis."""
    rows: dict[str, tuple[str, list[Tensor]]] = {}
    with _hooked(runner.probe.modules, rows):
        for sample in samples:
            runner.raw(sample, dtype)
    return {
        key: (kind, torch.cat(parts))
        for key, (kind, parts) in rows.items()
        if len({part.shape[-1] for part in parts}) == 1
    }


@contextmanager
def _hooked(modules: tuple[nn.Module, ...], rows: dict[str, tuple[str, list[Tensor]]]) -> Iterator[None]:
    names = {}
    for k, module in enumerate(modules):
        for name, part in module.named_modules():
            prefix = f"model {k}" if len(modules) > 1 else ""
            names[part] = ".".join(filter(None, (prefix, name))) or "the whole"
    calls: dict[nn.Module, int] = {}

    def record(part: nn.Module, _: Any, output: Any) -> None:
        call = calls[part] = calls.get(part, 0) + 1
        given = leaves(output)
        for path, leaf in given.items():
            if not is_array(leaf) or not torch.as_tensor(leaf).is_floating_point() or leaf.ndim < 1:
                continue
            key = names[part] + (f" {label(path)}" if path else "") + (f" (call {call})" if call > 1 else "")
            rows.setdefault(key, (type(part).__name__, []))[1].append(torch.as_tensor(leaf).detach().cpu().double())

    hooks = [part.register_forward_hook(record) for part in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _fit(name: str, kind: str, rows: Tensor, turned: list[Tensor], angles: Tensor, d: int, *, affine: bool) -> LayerFit:
    step = max(1, -(-len(rows) // MOST_ROWS))
    rows, turned = rows[::step], [part[::step] for part in turned]
    width = rows.shape[1]
    scale = float((rows - rows.mean(0)).square().mean().sqrt())
    if len(rows) < 2 * ROWS_PER_COLUMN * min(width, len(rows)) and len(rows) < 2 * ROWS_PER_COLUMN * width:
        return LayerFit(name, kind, None, 0, width, None)
    if scale <= 1e-14 * float(rows.abs().amax().clamp(min=1e-300)):
        return LayerFit(name, kind, None, 0, width, None)
    fitted, held = slice(0, None, 2), slice(1, None, 2)
    _, values, basis = torch.linalg.svd(torch.cat([rows, *turned])[:: 1 + len(turned) // 4], full_matrices=False)
    rank = int((values > _RANK * values[0]).sum())
    span = basis[:rank].mT
    small = rows @ span
    known = torch.cat([small, torch.ones(len(small), 1, dtype=torch.float64)], 1) if affine else small
    worst, traces = 0.0, []
    for part in turned:
        there = part @ span
        action = torch.linalg.lstsq(known[fitted], there[fitted], driver="gelsd").solution
        off = float((there[held] - known[held] @ action).square().sum(1).mean().sqrt())
        worst = max(worst, off / max(scale * math.sqrt(width), 1e-300))
        traces.append(float(action[:rank].diagonal().sum()))
    character = torch.tensor(traces[: len(angles)], dtype=torch.float64)
    return LayerFit(name, kind, worst, rank, width, _multiplicities(character, angles, rank, d))


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
