"""Many audits as one document: what each network claims, what it carries, the verdict, and the probe it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from equiwm.audit.result import AuditResult, LeafResult, SymmetryOutput
from equiwm.audit.words import deciding
from equiwm.tables.table import Table, number

CARRIED = ("rotations", "reflections", "translations", "permutations of items", "choice of the cell")
"""Symmetries that are shown of every output, by their names in an audit."""


@dataclass(frozen=True)
class Audited:
    """One probe of a folder, and what became of it.

    Attributes:
        name: of its file, and of the function where that is not `probe`.
        link: from the document to the file; empty where the document is none.
        title: what it is, in a line.
        claims: what its authors say that it carries.
        versions: `name version` of the packages it needs.
        note: what somebody who looked into a verdict found.
        result: the audit; None where there is none.
        missing: packages that are not installed.
        failure: why there is no audit.
    """

    name: str
    link: str
    title: str
    claims: str
    versions: tuple[str, ...]
    note: str = ""
    result: AuditResult | None = None
    missing: tuple[str, ...] = ()
    failure: str = ""


def document(entries: Sequence[Audited], *, title: str, command: str, versions: Sequence[str]) -> str:
    """The document, Markdown.

    Args:
        entries: in order.
        title: its heading.
        command: the one that made it.
        versions: of this package and of what everything ran on.
    """
    done = [entry for entry in entries if entry.result is not None]
    skipped = [entry for entry in entries if entry.missing]
    failed = [entry for entry in entries if entry.failure]
    parts = [
        f"# {title}",
        f"Made by `{command}`, with {', '.join(versions)}. A verdict is one on the probe that stands beside it, its "
        "weights and its inputs; the probe is a file, and the command measures it again.",
    ]
    if done:
        parts += [_verdicts(done).markdown().rstrip(), _carried(done).markdown().rstrip(), "## Each network"]
        parts += [_section(entry) for entry in done]
    if skipped:
        parts += [
            "## Skipped",
            "\n".join(f"- {_linked(each)}: not installed: {_list(each.missing)}" for each in skipped),
        ]
    if failed:
        parts += ["## Not audited", "\n".join(f"- {_linked(each)}: {each.failure}" for each in failed)]
    return "\n\n".join(parts) + "\n"


def _verdicts(entries: Sequence[Audited]) -> Table:
    rows = []
    for entry in entries:
        result = entry.result
        assert result is not None
        leaf = deciding(result.verdict, result.leaves) or max(result.leaves, key=lambda each: each.residual)
        rows.append(
            (
                _linked(entry),
                ", ".join(entry.versions),
                entry.claims,
                result.verdict,
                leaf.name,
                number(leaf.residual, 2),
                number(leaf.rounding, 2),
                number(leaf.residual_low, 2),
                number(leaf.rounding_low, 2),
            )
        )
    columns = ("network", "version", "claims", "verdict", "decided by", "residual", "rounding")
    notes = (
        "Residual and rounding of the channel that decides, relative to its variation: in float64 where the network "
        "runs in it, and in float32. A network whose arithmetic is float32 whatever it is given has float32's rounding "
        "in both.",
    )
    return Table("Verdicts", (*columns, "float32 residual", "float32 rounding"), rows, notes)


def _carried(entries: Sequence[Audited]) -> Table:
    rows = [
        (entry.name, leaf.name, leaf.rep, *(_cell(entry.result, leaf, name) for name in CARRIED))
        for entry in entries
        if entry.result is not None
        for leaf in entry.result.leaves
        if " - input " not in leaf.name
    ]
    notes = (
        "Of every output: the verdict on each symmetry alone, and its residual. `*` marks what the probe does not "
        "declare, for it is not claimed: a failure there is none of the network's. – is what has no meaning there.",
    )
    return Table("What every output carries", ("network", "output", "rep", *CARRIED), rows, notes)


def _cell(result: AuditResult, leaf: LeafResult, name: str) -> str:
    row = next((row for row in result.symmetries if row.name == name), None)
    found: SymmetryOutput | None = None
    if row is not None:
        found = next((output for output in row.outputs if output.name == leaf.name), None)
    if row is None or found is None:
        return "–" if row is None else "not judged"
    star = "" if row.declared else "*"
    return f"{found.verdict}{star} {number(found.residual, 2)}"


def _section(entry: Audited) -> str:
    result = entry.result
    assert result is not None
    lines = [f"### {entry.name}", entry.title, f"{result.verdict}: {result.sentence}"]
    causes = [] if entry.note else result.causes  # what somebody found stands in the place of what experiments suggest
    lines += [f"- {each.name}: {each.text}" for each in (*causes, *result.findings)]
    if entry.note:
        lines.append(f"Looked into by hand: {entry.note}")
    head, body = lines[:3], lines[3:]
    bullets = [line for line in body if line.startswith("- ")]
    rest = [line for line in body if not line.startswith("- ")]
    return "\n\n".join([*head, *(["\n".join(bullets)] if bullets else []), *rest])


def _linked(entry: Audited) -> str:
    return f"[{entry.name}]({entry.link})" if entry.link else entry.name


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
