"""The pooled residual of a callable: rho_out(g) F(x) - F(rho_in(g) x), all of its output in one number.

The paper's figures are of this kind, so they stand in tables beside ours. They give no verdict: a large healthy part of
an output hides a small broken one. Everything is probed in the dtype of the inputs, at group elements built in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
        figures = PooledFigures(out_rep, straight.detach().cpu().double(), elements)
        step = max(1, _ROWS_AT_ONCE // batch)
        for start in range(0, len(elements), step):
            part = elements[start : start + step]
            rows = [_turned(rep, x, part).flatten(0, 1) for rep, x in zip(in_reps, inputs, strict=True)]
            expected = _turned(out_rep, straight, part)
            got = fn(*rows).reshape(expected.shape)
            _check_finite(got, "the output at a turned input")
            figures.add(_apart(out_rep, expected, got).cpu().double())
    return figures.result()


class PooledFigures:
    """The figures of a residual, from the differences at a few elements at a time: of these only sums are kept.

    Args:
        rep: of the output.
        output: F(x), (B, ...), float64.
        elements: the n elements.
    """

    def __init__(self, rep: Rep, output: Tensor, elements: Elements) -> None:
        self._rep, self._output, self._elements = rep, output, elements
        # Made before the first difference: what lasts, in the place that a large tensor left, makes the next one anew.
        self._done, self._max_abs = 0, torch.zeros(len(elements), dtype=torch.float64)
        self._means = torch.zeros(len(elements), dtype=torch.float64)
        self._terms = {name: torch.zeros(len(elements), dtype=torch.float64) for name, _ in _terms(rep)}

    def add(self, difference: Tensor) -> None:
        """Take in the differences at the next elements.

        Args:
            difference: rho(g) F(x) - F(g x), (k, B, ...), float64.
        """
        count = len(difference)
        here = slice(self._done, self._done + count)
        self._done += count
        self._max_abs[here] = difference.abs().flatten(1).amax(1)
        if count == 1 < len(self._elements):
            # Of one row alone torch adds up each thread's share, of several row by row: the bits are those of several.
            difference = torch.cat([difference, difference])
        self._means[here] = difference.square().flatten(1).mean(1)[:count]
        copies = difference.reshape(len(difference), -1, self._rep.dim)
        for name, entries in _terms(self._rep):
            self._terms[name][here] = copies[..., entries].square().flatten(1).mean(1)[:count]

    def result(self) -> PooledResidual:
        """The figures, of all that was taken in."""
        output = self._output
        rms = float(output.square().mean().sqrt())
        worst = self._means.sqrt()
        # An output that is zero here and not at g x breaks the symmetry without bound; 0 / 0 breaks nothing.
        per_element = torch.where(worst > 0, worst / rms, worst)
        return PooledResidual(
            relative=float(per_element.max()),
            max_abs=float(self._max_abs.max()),
            output_rms=rms,
            output_spread=float(output.flatten(1).std(0).mean()) if len(output) > 1 else 0.0,
            per_element=per_element,
            per_term=self._per_term(),
            elements=self._elements,
        )

    def _per_term(self) -> dict[str, float]:
        output = self._output.reshape(-1, self._rep.dim)
        result: dict[str, float] = {}
        for name, entries in _terms(self._rep):
            scale = output[:, entries].square().mean().sqrt().clamp(min=torch.finfo(torch.float64).tiny)
            result[name] = float(self._terms[name].sqrt().max() / scale)
        return result


def _terms(rep: Rep) -> Iterator[tuple[str, slice]]:
    """Each term of a rep by a name of its own, and its entries."""
    taken: set[str] = set()
    start = 0
    for count, kind in rep.terms:
        stop = start + Rep(((count, kind),), rep.d).dim
        name = f"{count}x{kind}"
        name = name if name not in taken else f"{name}@{start}"
        taken.add(name)
        yield name, slice(start, stop)
        start = stop


def _turned(rep: Rep, x: Tensor, elements: Elements) -> Tensor:
    """rho(g) x of every element and sample, (n, B, ...)."""
    flat = x.flatten(1) if rep.structured and x.shape[1:] == (rep.multiplicity, rep.d) else x
    if flat.shape[1:] != (rep.dim,):
        raise RepError(f"a batch of rep {rep} has shape {rep.shapes('B')}; got {tuple(x.shape)}.")
    return rep.transform(flat, elements[:, None]).unflatten(-1, x.shape[1:])


def _apart(rep: Rep, x: Tensor, y: Tensor) -> Tensor:
    """x - y of tensors (n, B, ...) as `Rep.difference` takes it."""
    return rep.difference(x.flatten(2), y.flatten(2)).reshape(x.shape)


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
