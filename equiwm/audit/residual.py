"""The verdict on any torch callable, with the pooled figures beside it: what `check_equivariance` gives.

The verdict is the audit's, channel by channel. `relative` and `max_abs` pool the whole output, as the paper does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.audit import ELEMENTS, SEED, examined
from equiwm.audit.calling import left_as_found
from equiwm.audit.pooled import PooledFigures, PooledResidual
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult, LeafResult
from equiwm.audit.running import CallFailed, Runner, inputs_dtype
from equiwm.audit.typed import Typed
from equiwm.audit.verdict import Verdict
from equiwm.audit.words import beyond, deciding, passes
from equiwm.checks import as_seed
from equiwm.errors import DataError, GroupError
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep

_WIDTH = 80


@dataclass(frozen=True, eq=False, repr=False)
class Residual(PooledResidual):
    """How far a callable is from equivariant: the verdict of its audit, and the pooled figures. Printed, five lines.

    Attributes:
        audit: what the audit says, channel by channel, with causes and the layer that breaks it.
    """

    audit: AuditResult

    @property
    def verdict(self) -> Verdict:
        """The audit's."""
        return self.audit.verdict

    @property
    def channel(self) -> LeafResult:
        """The output, or increment, with the channel that decides: its residual, rounding and worst element."""
        leaves = self.audit.leaves
        return deciding(self.verdict, leaves) or max(leaves, key=lambda leaf: leaf.residual)

    def beyond(self, tolerance: float) -> str | None:
        """Why it is beyond a bound of one's own on the pooled residual and on every channel's; None if it is not."""
        return beyond(tolerance, self.relative, {"the output": self.audit})

    def __repr__(self) -> str:
        return f"Residual({str(self.verdict)!r}, relative={self.relative:.2e}, max_abs={self.max_abs:.2e})"

    def __str__(self) -> str:
        audit, worst = self.audit, self.channel
        best = "float64" if audit.float64 else audit.dtype
        low = f", {audit.dtype} {worst.residual_low:.1e} ({worst.rounding_low:.1e})" if best != audit.dtype else ""
        holds = passes(audit.verdict, Verdict.LIMITED)
        told = audit.causes if holds else [*audit.causes, *audit.findings]
        cause = f"{told[0].name}. {told[0].text}" if told else "nothing fails" if holds else "none was found"
        lines = (
            f"{audit.verdict.upper()} under {audit.group.upper()}: {audit.elements} elements x {audit.samples} samples"
            + (f", {worst.broken} of {worst.channels} channels broken" if worst.broken else ""),
            f"channel: {worst.name}, {worst.channel}: {best} {worst.residual:.1e} (rounding {worst.rounding:.1e}){low}",
            f"worst: {worst.worst_element}, sample {worst.worst_sample}; {worst.share:.0%} of pairs beyond tolerance",
            f"pooled: relative {self.relative:.1e}, max absolute {self.max_abs:.1e}, output RMS {self.output_rms:.1e}",
            f"cause: {cause}",
        )
        return "\n".join(textwrap.shorten(line, _WIDTH, placeholder=" ...") for line in lines)


def check_equivariance(
    fn: Callable[..., Any],
    in_reps: Sequence[Rep | str | Typed],
    out_rep: Rep | str | Typed,
    group: Group | str,
    inputs: Sequence[Tensor],
    *,
    elements: int = ELEMENTS,
    seed: int = SEED,
    sigma: float = 1.0,
) -> Residual:
    """Whether a torch callable of one output is equivariant, and its residual.

        >>> norm = lambda x: x.norm(dim=-1)
        >>> check_equivariance(norm, ["4x1o"], "4x0e", "so3", [torch.randn(256, 4, 3)]).verdict
        <Verdict.EXACT: 'exact'>

    It is an audit of `Probe(fn, inputs=tuple(inputs), group=group, takes=in_reps, gives=out_rep, call="*")`: the
    function is called with as many rows as it was given, on copies, with gradients where it takes them inside, and a
    module behind it is left as it was found.

    Args:
        fn: takes one tensor per input rep, gives a tensor of `out_rep`.
        in_reps: rep of each argument, `Rep` or text such as `16xp` or `8x0e+4x1o`; of its last axis, or the last two as
            (copies, d). `equiwm.Typed("1o", axis=1)` says another.
        out_rep: rep of the output.
        group: a `Group` or its name.
        inputs: one tensor or array per argument; their dtype is that of the pooled figures. The audit runs float64 too.
        elements: how many group elements to draw.
        seed: seed of the group elements.
        sigma: standard deviation of the translations of the pooled figures, in the units of the points; the audit's are
            of the spread of the points.

    Raises:
        GroupError: an unknown group, or one of another dimension than the reps.
        RepError: a rep that cannot be read, or a shape that does not fit, or fits in two ways.
        DataError: inputs or outputs that are empty, of several dtypes, or not finite; no elements; a function that
            raises.
    """
    group = group if isinstance(group, Group) else Group.parse(group)
    inputs = _tensors(in_reps, inputs)
    _check(in_reps, out_rep, group, inputs)
    if elements < 1:
        raise DataError("a residual needs at least one group element.")
    probe = Probe(fn, inputs=tuple(inputs), group=group, takes=tuple(in_reps), gives=out_rep, call="*")
    seed = as_seed(seed, "check_equivariance")
    result, runner = examined(probe, max(2, elements), seed)
    try:
        with left_as_found(probe.modules):
            found = _pooled(runner, elements, seed, sigma)
    except CallFailed as error:
        raise DataError(f"the function raised at turned inputs: {error}") from None
    return Residual(**vars(found), audit=result)


def _pooled(runner: Runner, elements: int, seed: int, sigma: float) -> PooledResidual:
    """The pooled figures in the dtype of the inputs, one call an element."""
    probe = runner.probe
    samples = probe.samples
    dtype = inputs_dtype(samples, {leaf.path: leaf for leaf in runner.inputs})
    drawn = probe.acting.sample(elements, seed, sigma=sigma)
    (given,) = runner(samples, dtype)
    (leaf,) = runner.outputs
    straight = given[leaf.path]
    figures = PooledFigures(leaf.rep, straight, drawn)
    for k in range(len(drawn)):
        (there,) = runner(runner.turned(samples, drawn[k], dtype), dtype)
        off = leaf.rep.difference(leaf.rep.transform(straight, drawn[k]), there[leaf.path])
        figures.add(off[None].double())
    return figures.result()


def _tensors(in_reps: object, inputs: object) -> list[Tensor]:
    """The inputs, arrays of numpy as tensors."""
    for name, given in (("in_reps", in_reps), ("inputs", inputs)):
        if not isinstance(given, list | tuple):
            kind = type(given).__name__
            raise DataError(f"{name}: got {kind}, expected a list with one for each argument: [{kind}].")
    assert isinstance(inputs, list | tuple)
    for each in inputs:
        if isinstance(each, np.ndarray) and each.dtype.kind not in "biuf":
            raise DataError(f"inputs: got an array of {each.dtype}, expected numbers.")
    found = [torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in inputs]
    for each in found:
        if not isinstance(each, Tensor):
            raise DataError(f"inputs: got {type(each).__name__}, expected tensors or arrays.")
    return found


def _check(
    in_reps: Sequence[Rep | str | Typed], out_rep: Rep | str | Typed, group: Group, inputs: Sequence[Tensor]
) -> None:
    if not inputs or len(in_reps) != len(inputs):
        raise DataError(f"expected one input per input rep: got {len(inputs)} inputs and {len(in_reps)} reps.")
    shapes = [tuple(x.shape) for x in inputs]
    if not all(x.numel() for x in inputs):
        raise DataError(f"an input is empty; got shapes {', '.join(map(str, shapes))}.")
    dtypes = sorted({str(x.dtype).removeprefix("torch.") for x in inputs})
    if len(dtypes) > 1 or not inputs[0].is_floating_point():
        raise DataError(f"inputs are tensors of one floating dtype, the dtype of the check; got {', '.join(dtypes)}.")
    values = [rep.rep if isinstance(rep, Typed) else rep for rep in (*in_reps, out_rep)]
    dimensions = [rep.d for rep in values if isinstance(rep, Rep)]
    if any(group.d not in (0, d) for d in dimensions):
        raise GroupError(f"{group} acts on d = {group.d}; the reps have d = {dimensions}.")
