"""Assertions for test suites: thin layers on the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from torch import Tensor

from equiwm.audit.audit import ELEMENTS, SEED, audit
from equiwm.audit.probe import Probe
from equiwm.audit.residual import Residual, check_equivariance
from equiwm.audit.result import AuditResult
from equiwm.audit.typed import Typed
from equiwm.audit.verdict import Verdict
from equiwm.audit.words import EXPECTED, passes, text
from equiwm.errors import DataError
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep


@overload
def assert_equivariant(
    fn: Probe, *, expect: str = ..., tolerance: None = ..., elements: int = ..., seed: int = ...
) -> AuditResult: ...


@overload
def assert_equivariant(
    fn: Callable[..., Any],
    in_reps: Sequence[Rep | str | Typed],
    out_rep: Rep | str | Typed,
    group: Group | str,
    inputs: Sequence[Tensor],
    *,
    expect: str = ...,
    tolerance: float | None = ...,
    elements: int = ...,
    seed: int = ...,
    sigma: float = ...,
) -> Residual: ...


def assert_equivariant(
    fn: Probe | Callable[..., Any],
    in_reps: Sequence[Rep | str | Typed] = (),
    out_rep: Rep | str | Typed = "",
    group: Group | str = "",
    inputs: Sequence[Tensor] = (),
    *,
    expect: str = Verdict.LIMITED,
    tolerance: float | None = None,
    elements: int = ELEMENTS,
    seed: int = SEED,
    sigma: float = 1.0,
) -> AuditResult | Residual:
    """Fail unless the audit of a probe, or of a function, ends with the verdict `expect` or a better one.

        >>> assert_equivariant(probe)
        >>> assert_equivariant(torch.linalg.cross, ["1o", "1o"], "1o", "so3", [arm, force])

    Args:
        fn: a `Probe` (and then nothing of it is said again), or a function as `check_equivariance` takes it, like all
            that follow. A module behind it is left as it was found.
        in_reps: rep of each argument.
        out_rep: rep of the output.
        group: a `Group` or its name.
        inputs: one tensor per argument.
        expect: exact, precision-limited or approximate.
        tolerance: of a function a bound of one's own, on the residual of every channel and on the pooled one, in place
            of `expect`. What is approximate passes if it is within; what is broken never passes.
        elements: how many group elements.
        seed: of the elements.
        sigma: standard deviation of the translations of the pooled figures.

    Returns:
        What the audit says; of a function with the pooled figures.

    Raises:
        AssertionError: the verdict is worse; the message has the words of `equiwm audit`: the channel that decides, the
            causes and the layer.
        DataError: another `expect`; and as `check_equivariance`, like RepError and GroupError.
    """
    __tracebackhide__ = True
    if expect not in EXPECTED:
        raise DataError(f"expect: got {expect!r}, expected {', '.join(EXPECTED)}.")
    if isinstance(fn, Probe):
        if in_reps or out_rep or group or inputs or tolerance is not None:
            raise DataError("a probe says itself what it takes and gives: pass expect, elements and seed alone.")
        result = audit(fn, elements=elements, seed=seed)
        if not passes(result.verdict, expect):
            raise AssertionError(text(result))
        return result
    residual = check_equivariance(fn, in_reps, out_rep, group, inputs, elements=elements, seed=seed, sigma=sigma)
    beyond = None if tolerance is None else residual.beyond(tolerance)
    if beyond or not passes(residual.verdict, expect if tolerance is None else Verdict.APPROXIMATE):
        terms = ", ".join(f"{term} {value:.1e}" for term, value in residual.per_term.items())
        figures = f"pooled: relative residual {residual.relative:.1e} (by term: {terms}), max absolute "
        raise AssertionError(
            "\n".join(filter(None, (beyond, text(residual.audit), f"{figures}{residual.max_abs:.1e}")))
        )
    return residual
