"""The verdict on a run: the worst of its parts', and the conditions of a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult
from equiwm.audit.verdict import Verdict, condition
from equiwm.audit.words import beyond, deciding, figures, passes


@dataclass(frozen=True)
class Judged:
    """A verdict and its reason, one line.

    Attributes:
        verdict: the verdict.
        reason: why.
        passed: whether the symmetry was shown to hold, and within the user's own tolerance if there is one.
    """

    verdict: Verdict
    reason: str
    passed: bool


def audited(probes: Mapping[str, Probe], *, elements: int, seed: int) -> dict[str, AuditResult]:
    """The audit of every part. What breaks it is looked for once: in the whole, or in a part where the whole holds."""
    found: dict[str, AuditResult] = {}
    explained = False
    for name, probe in probes.items():
        found[name] = audit(probe, elements=elements, seed=seed, explain=not explained)
        explained |= found[name].verdict.breaks
    return found


def judge(
    audits: Mapping[str, AuditResult],
    *,
    pooled: float,
    tolerance: float | None,
    spread: float,
    moved: float | None,
    control: float,
) -> Judged:
    """Judge a trained network.

    Args:
        audits: of its parts, by name.
        pooled: the largest of its pooled relative residuals.
        tolerance: a bound of the user's own on that and on every channel's residual: what is approximate passes within
            it, what is broken never does. None is none.
        spread: standard deviation of its latents.
        moved: |W - W0| / |W0|; None where W0 is not known.
        control: pooled relative residual of the network that has to fail.
    """
    verdict = Verdict.worst(each.verdict for each in audits.values())
    reason = _reason(verdict, audits)
    if not passes(verdict, Verdict.LIMITED if tolerance is None else Verdict.APPROXIMATE):
        return Judged(verdict, reason, False)
    if tolerance is not None:
        if (why := beyond(tolerance, pooled, audits)) is not None:
            return Judged(verdict, f"{reason}; {why}", False)
        if not control >= tolerance:
            why = f"the control's residual {control:.1e} is within tolerance {tolerance:.0e}: the probe sees nothing"
            return Judged(Verdict.VACUOUS, why, False)
    kept = condition(spread=spread, moved=moved, control=control)
    return Judged(verdict, f"{reason}; control {control:.1e}", True) if kept is None else Judged(*kept, False)


def _reason(verdict: Verdict, audits: Mapping[str, AuditResult]) -> str:
    """Part, channel and figures that decide."""
    part, worst = next((name, each) for name, each in audits.items() if each.verdict == verdict)
    leaf = deciding(verdict, worst.leaves)
    if leaf is None:  # the preflight stopped it, in its own words
        return f"{part}: {worst.sentence.removesuffix('.')}"
    if verdict == Verdict.VACUOUS:
        return f"{part}: {leaf.vacuous} of {leaf.channels} channels do not depend on the input"
    at = f", worst at a {leaf.worst_element}" if verdict.breaks else ""
    return f"{part}, channel {leaf.channel}: {figures(leaf, worst.dtype, float64=worst.float64)}{at}"
