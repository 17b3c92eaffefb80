"""Assertions for test suites: thin layers on the checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from equiwm.audit.audit import ELEMENTS, SEED, audit
from equiwm.audit.probe import Probe
from equiwm.audit.residual import Residual, check_equivariance
from equiwm.audit.result import AuditResult
from equiwm.audit.verdict import TOLERANCES
from equiwm.audit.words import EXPECTED, passes, text
from equiwm.errors import DataError
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep

MIN_OUTPUT = 1e-6
"""An output with an RMS below this, or a relative spread over the inputs, passes no assertion: a function that does
nothing is perfectly equivariant."""


def assert_equivariant(
    fn: Callable[..., Tensor],
    in_reps: Sequence[Rep | str],
    out_rep: Rep | str,
    group: Group | str,
    inputs: Sequence[Tensor],
    *,
    tolerance: float | None = None,
    elements: int = 64,
    seed: int = 1000,
    sigma: float = 1.0,
) -> Residual:
    """Fail unless `fn` is equivariant to a relative residual of `tolerance`, and does something.

    Args:
        fn: as `check_equivariance`, like all that follow.
        in_reps: rep of each argument.
        out_rep: rep of the output.
        group: a `Group` or its name.
        inputs: one tensor per argument, (B, ...).
        tolerance: bound on the relative residual; None is 1e-5 in float32 and 1e-10 in float64.
        elements: how many group elements.
        seed: seed of the group elements.
        sigma: standard deviation of translations.

    Returns:
        The residual.

    Raises:
        AssertionError: the residual is larger, or the output is (almost) zero or constant.
        GroupError, RepError, DataError: as `check_equivariance`; a dtype without a default tolerance.
    """
    __tracebackhide__ = True
    residual = check_equivariance(fn, in_reps, out_rep, group, inputs, elements=elements, seed=seed, sigma=sigma)
    dtype = str(inputs[0].dtype).removeprefix("torch.")
    if tolerance is None and dtype not in TOLERANCES:
        raise DataError(f"{dtype} has no default tolerance ({', '.join(TOLERANCES)} have); pass one.")
    bound = TOLERANCES[dtype] if tolerance is None else tolerance
    if not residual.output_rms >= MIN_OUTPUT or not residual.output_spread >= MIN_OUTPUT * residual.output_rms:
        raise AssertionError(
            f"the output does nothing (RMS {residual.output_rms:.1e}, spread {residual.output_spread:.1e}): "
            "that it is equivariant means nothing."
        )
    if not residual.relative <= bound:
        angle = float(residual.worst_element.angle_deg)
        terms = ", ".join(f"{term} {value:.1e}" for term, value in residual.per_term.items())
        raise AssertionError(
            f"relative residual {residual.relative:.1e} > {bound:.0e} (worst at an element {angle:.1f} degrees from "
            f"the identity; by term: {terms}; max absolute {residual.max_abs:.1e})."
        )
    return residual


def assert_probe(
    probe: Probe, *, expect: str = "precision-limited", elements: int = ELEMENTS, seed: int = SEED
) -> AuditResult:
    """Fail unless the audit of a probe ends with the verdict `expect` or a better one, in the words of `equiwm audit`.

    Args:
        probe: what is audited; it is left as it was found.
        expect: exact, precision-limited or approximate.
        elements: how many group elements.
        seed: of the elements.

    Returns:
        What the audit says.

    Raises:
        AssertionError: the verdict is worse; the message has the channel that decides, the causes and the layer.
        DataError: another `expect`; and as `audit`, like RepError and GroupError.
    """
    __tracebackhide__ = True
    if expect not in EXPECTED:
        raise DataError(f"expect: got {expect!r}, expected {', '.join(EXPECTED)}.")
    result = audit(probe, elements=elements, seed=seed)
    if not passes(result.verdict, expect):
        raise AssertionError(text(result))
    return result
