"""The pooled residual of a callable: rho_out(g) F(x) - F(rho_in(g) x), all of its output in one number.

The paper's figures are of this kind, so they stand in tables beside ours. They give no verdict: a large healthy part of
an output hides a small broken one. Everything is probed in the dtype of the inputs, at group elements built in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from equiwm.errors import DataError, RepError
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep

ELEMENTS, SAMPLES = 64, 256
"""How many group elements and samples a residual is taken over unless it is said otherwise."""

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class PooledResidual:
    """How far a callable is from equivariant, its output taken as one.

    Attributes:
        relative: max over g of RMS_x(rho(g) F(x) - F(g x)) / RMS_x(F(x)).
        max_abs: max over g, x and components of |rho(g) F(x) - F(g x)| (the paper's residual [A]).
        output_rms: RMS of F(x); a zero network is perfectly equivariant.
        output_spread: mean over output components of the standard deviation of F(x) over the samples; so is a
            constant one under an invariant output rep.
        per_element: the relative residual at each g, (len(elements),), float64.
        per_term: the relative residual of each term of the output rep, worst over g, by name.
        elements: the group elements probed.
    """

    relative: float
    max_abs: float
    output_rms: float
    output_spread: float
    per_element: Tensor = field(repr=False)
    per_term: dict[str, float]
    elements: Elements = field(repr=False)

    @property
    def worst_element(self) -> Elements:
        """The group element with the largest relative residual."""
        return self.elements[int(self.per_element.argmax())]


def equivariance_residual(
    fn: Callable[..., Tensor], in_reps: Sequence[Rep], out_rep: Rep, elements: Elements, inputs: Sequence[Tensor]
) -> PooledResidual:
    """Residual of `fn` at given group elements.

    Args:
        fn: takes one tensor per input rep, batched over the first axis, gives a tensor of `out_rep`.
        in_reps: rep of each argument.
        out_rep: rep of the output.
        elements: n elements, batch shape (n,).
        inputs: one tensor per argument, (B, ...), all of one floating dtype.

    Raises:
        DataError: no inputs or elements, unequal batch lengths or dtypes, or an input or output that is not finite.
        RepError: an input or output whose shape does not fit its rep.
    """
    if len(elements) < 1:
        raise DataError("a residual needs at least one group element.")
    _check_inputs(in_reps, inputs)
    batch = len(inputs[0])
    with torch.no_grad():
        straight = fn(*inputs)
        if not isinstance(straight, Tensor) or straight.shape[:1] != (batch,):
            found = tuple(straight.shape) if isinstance(straight, Tensor) else type(straight).__name__
            raise DataError(f"the output has to be a tensor batched as the inputs, ({batch}, ...); got {found}.")
        _check_finite(straight, "the output")
        turned_inputs = [_turned(rep, x, elements) for rep, x in zip(in_reps, inputs, strict=True)]
        difference = torch.empty(len(elements), *straight.shape, dtype=torch.float64)
        step = max(1, _ROWS_AT_ONCE // batch)
        for start in range(0, len(elements), step):
            part = slice(start, start + step)
            rows = [x[part].flatten(0, 1) for x in turned_inputs]
            expected = _turned(out_rep, straight, elements[part])
            got = fn(*rows).reshape(expected.shape)
            _check_finite(got, "the output at a turned input")
            difference[part] = _apart(out_rep, expected, got).cpu().double()
    return pooled(out_rep, straight.detach().cpu().double(), difference, elements)


def pooled(rep: Rep, output: Tensor, difference: Tensor, elements: Elements) -> PooledResidual:
    """The figures of what was evaluated.

    Args:
        rep: of the output.
        output: F(x), (B, ...), float64.
        difference: rho(g) F(x) - F(g x), (n, B, ...), float64.
        elements: the n elements.
    """
    rms = float(output.square().mean().sqrt())
    worst = difference.square().flatten(1).mean(1).sqrt()
    # An output that is zero here and not at g x breaks the symmetry without bound; 0 / 0 breaks nothing.
    per_element = torch.where(worst > 0, worst / rms, worst)
    return PooledResidual(
        relative=float(per_element.max()),
        max_abs=float(difference.abs().max()),
        output_rms=rms,
        output_spread=float(output.flatten(1).std(0).mean()) if len(output) > 1 else 0.0,
        per_element=per_element,
        per_term=_per_term(rep, difference, output),
        elements=elements,
    )


def _turned(rep: Rep, x: Tensor, elements: Elements) -> Tensor:
    """rho(g) x of every element and sample, (n, B, ...)."""
    flat = x.flatten(1) if rep.structured and x.shape[1:] == (rep.multiplicity, rep.d) else x
    if flat.shape[1:] != (rep.dim,):
        raise RepError(f"a batch of rep {rep} has shape {rep.shapes('B')}; got {tuple(x.shape)}.")
    return rep.transform(flat, elements[:, None]).unflatten(-1, x.shape[1:])


def _apart(rep: Rep, x: Tensor, y: Tensor) -> Tensor:
    """x - y of tensors (n, B, ...) as `Rep.difference` takes it."""
    return rep.difference(x.flatten(2), y.flatten(2)).reshape(x.shape)


def _per_term(rep: Rep, difference: Tensor, output: Tensor) -> dict[str, float]:
    difference = difference.reshape(len(difference), -1, rep.dim)
    output = output.reshape(-1, rep.dim)
    result: dict[str, float] = {}
    start = 0
    for count, kind in rep.terms:
        stop = start + Rep(((count, kind),), rep.d).dim
        scale = output[:, start:stop].square().mean().sqrt().clamp(min=torch.finfo(torch.float64).tiny)
        worst = difference[..., start:stop].square().flatten(1).mean(1).sqrt().max()
        name = f"{count}x{kind}"
        result[name if name not in result else f"{name}@{start}"] = float(worst / scale)
        start = stop
    return result


def _check_inputs(in_reps: Sequence[Rep], inputs: Sequence[Tensor]) -> None:
    if not inputs or len(in_reps) != len(inputs):
        raise DataError(f"expected one input per input rep: got {len(inputs)} inputs and {len(in_reps)} reps.")
    lengths = [len(x) for x in inputs]
    if min(lengths) < 1 or len(set(lengths)) > 1:
        raise DataError(f"inputs are batched over their first axis, all of one length >= 1; got lengths {lengths}.")
    dtypes = sorted({str(x.dtype).removeprefix("torch.") for x in inputs})
    if len(dtypes) > 1 or not inputs[0].is_floating_point():
        raise DataError(f"inputs are tensors of one floating dtype, the dtype of the check; got {', '.join(dtypes)}.")
    for x in inputs:
        _check_finite(x, "an input")


def _check_finite(x: Tensor, what: str) -> None:
    if not bool(torch.isfinite(x).all()):
        raise DataError(f"{what} holds NaN or infinity: a residual would mean nothing.")
