"""The verdict in words: one sentence that a tired engineer understands, and the tables behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from equiwm.audit.result import AuditResult, FindingResult, LeafResult
from equiwm.audit.verdict import Verdict
from equiwm.tables.table import Table, number

_SAID = {
    "exact": "It is equivariant under {group}, as far as float arithmetic goes",
    "precision-limited": "It is equivariant under {group} up to the precision it computes in",
    "approximate": "It is only approximately equivariant under {group}",
    "broken": "It is NOT equivariant under {group}",
    "vacuous": "Nothing can be said under {group}: an output does not depend on the input, or does not turn",
    "not deterministic": "Not judged: two calls on the same input differ",
    "batch-dependent": "Not judged sample by sample: the output of a sample depends on the others in its batch",
    "mutating": "Not judged: a call changes the network, and with it the next call",
    "not judged": "Not judged",
}


EXPECTED = ("exact", "precision-limited", "approximate")
"""Verdicts that may be asked for, from the best to the worst."""


def passes(verdict: str, expect: str) -> bool:
    """Whether a verdict is as good as what is expected."""
    return verdict in EXPECTED[: 1 + EXPECTED.index(expect)]


def beyond(tolerance: float, pooled: float, audits: Mapping[str, AuditResult]) -> str | None:
    """Why residuals are beyond a bound of the user's own, in one line; None where none is.

    Args:
        tolerance: the bound.
        pooled: the pooled relative residual, in the dtype that was asked for.
        audits: of what was measured, by name; every channel that varies has to be within, in the best dtype.
    """
    if not pooled <= tolerance:  # also NaN
        return f"pooled relative residual {pooled:.1e} > tolerance {tolerance:.0e}"
    for name, audit in audits.items():
        for leaf in audit.leaves:
            if leaf.verdict != Verdict.VACUOUS and not leaf.residual <= tolerance:
                return f"{name}, channel {leaf.channel}: residual {leaf.residual:.1e} > tolerance {tolerance:.0e}"
    return None


def sentence(
    verdict: str, group: str, leaves: Sequence[LeafResult], *, dtype: str, float64: bool, stopped: str = ""
) -> str:
    """What is shown first.

    Args:
        verdict: of the probe.
        group: its group.
        leaves: what was measured; the one that decides is named.
        dtype: of the inputs.
        float64: whether the model ran in float64.
        stopped: what the preflight says, where it decides.
    """
    said = _SAID[verdict].format(group=group.upper())
    if stopped:
        return f"{said}. {stopped}"
    worst = deciding(verdict, leaves)
    if worst is None:
        return f"{said}."
    where = f"{worst.name}, channel {worst.channel}"
    if verdict == "vacuous":
        return f"{said}: {worst.name} ({worst.vacuous} of {worst.channels} channels)."
    at = f", worst at a {worst.worst_element}" if verdict in ("broken", "approximate") else ""
    return f"{said}: {where}: {figures(worst, dtype, float64=float64)}{at}."


def figures(leaf: LeafResult, dtype: str, *, float64: bool) -> str:
    """Residual and rounding of the channel that decides, in both precisions."""
    best = "float64" if float64 else dtype
    numbers = f"residual {leaf.residual:.1e} in {best} (rounding {leaf.rounding:.1e})"
    if float64 and dtype != "float64":
        numbers += f", {leaf.residual_low:.1e} in {dtype} (rounding {leaf.rounding_low:.1e})"
    return numbers if float64 else f"{numbers}; float64 could not be run"


def deciding(verdict: str, leaves: Sequence[LeafResult]) -> LeafResult | None:
    """The output or increment that decides the verdict: of those with it the one with the largest residual."""
    found = [leaf for leaf in leaves if leaf.verdict == verdict]
    low = verdict == "precision-limited"
    return max(found, key=lambda leaf: leaf.residual_low if low else leaf.residual, default=None)


def tables(result: AuditResult, name: str) -> list[Table]:
    """What was measured, a row an output or increment."""
    rows = [
        (
            leaf.name,
            leaf.rep,
            leaf.verdict,
            leaf.channel,
            number(leaf.residual, 2),
            number(leaf.rounding, 2),
            number(leaf.residual_low, 2),
            number(leaf.control, 2),
        )
        for leaf in result.leaves
    ]
    best = "float64" if result.float64 else result.dtype
    title = f"{name}: {result.group.upper()}, {result.samples} samples, {result.elements} elements"
    columns = ("output", "rep", "verdict", "channel", best, "rounding", result.dtype, "not turned")
    found = [Table(title, columns, rows, _notes(result))]
    cosets = list(dict.fromkeys(part for leaf in result.leaves for part in leaf.by_coset))
    if len(cosets) > 1:
        parts = [(leaf.name, *(number(leaf.by_coset.get(part), 2) for part in cosets)) for leaf in result.leaves]
        found.append(Table(f"{name}: motions apart", ("output", *cosets), parts))
    return found


def layer_table(result: AuditResult, name: str) -> Table:
    """Every module in the order of execution: what its features leave, and what they carry."""
    rows = [(each.name, each.kind, number(each.residual, 2), _carried(each.carries)) for each in result.layers]
    note = "residual of the best linear action on held-out rows; a dash where there are too few of them."
    return Table(f"{name}: layers", ("layer", "class", "residual", "carries"), rows, (note,))


def symmetry_table(result: AuditResult, name: str) -> Table:
    """What it carries, and whether that was declared."""
    rows = [
        (each.name, "yes" if each.declared else "no", each.verdict, number(each.residual, 2), each.output)
        for each in result.symmetries
    ]
    note = "A network that carries what its world does not is forced to wrong predictions."
    return Table(f"{name}: symmetries", ("symmetry", "declared", "verdict", "residual", "worst output"), rows, (note,))


def stress_table(result: AuditResult, name: str) -> Table:
    """Every kind of stress inputs."""
    rows = [
        (each.name, each.verdict, number(each.residual, 2), number(each.rounding, 2), number(each.residual_low, 2))
        for each in result.stress
    ]
    best = "float64" if result.float64 else result.dtype
    notes = tuple(f"{each.name}: {each.text}" for each in result.stress if each.text)
    return Table(f"{name}: stress inputs", ("inputs", "verdict", best, "rounding", result.dtype), rows, notes)


def _carried(carries: list[int] | None) -> str:
    if carries is None:
        return "–"
    names = ["scalars", "vectors", *(f"degree {degree}" for degree in range(2, len(carries)))]
    said = [
        f"{count} {what.removesuffix('s') if count == 1 else what}"
        for count, what in zip(carries, names, strict=True)
        if count
    ]
    return ", ".join(said) or "nothing"


def _notes(result: AuditResult) -> tuple[str, ...]:
    notes = [
        f"{leaf.name}: {leaf.vacuous} of {leaf.channels} channels do not vary" for leaf in result.leaves if leaf.vacuous
    ]
    return ("Residuals are relative to the channel's variation; 'not turned' is the control that has to fail.", *notes)


def text(result: AuditResult, width: int | None = None) -> str:
    """The verdict, its causes and findings, as lines; wrapped between words where a width is given."""
    lines = [f"{result.verdict.upper()}: {result.sentence}"]
    lines += [f"cause: {_entry(each)}" for each in result.causes]
    lines += [f"found: {_entry(each)}" for each in result.findings]
    lines += [f"search: {result.search.text}"] if result.search is not None else []
    if width is not None:
        lines = [textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False) for line in lines]
    return "\n".join(lines)


def _entry(entry: FindingResult) -> str:
    return f"{entry.name}. {entry.text}"
