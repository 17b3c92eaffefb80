"""What a report says of a study that it does not open, and of a single run: a line each, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import Stored
from equiwm.claims.training.claim import CLAIM as TRAINING
from equiwm.report.collect import CollectedRun
from equiwm.report.settings import Setting
from equiwm.results.measured import Measured
from equiwm.results.result import Result
from equiwm.results.statement import DecidedStatement
from equiwm.tables.table import Table

_HEADLINES = 3
"""Quantities of a result that stand for it in the summary of a run."""


def studies_table(studies: Sequence[CollectedRun]) -> Table:
    """A row a study: what it asks, what came of it, and the command that opens it."""
    rows = [(run.name, *_asked(run), f"equiwm report {shlex.quote(str(run.path))}") for run in studies]
    note = "A study is one entry among other runs; the command in its row shows its tables and figures."
    return Table(
        "Studies in these folders", ("study", "what it asks", "what came of it", "open it with"), rows, (note,)
    )


def _asked(run: CollectedRun) -> tuple[str, str]:
    entries = [each.claim.shown.entry(each.measured.result) for each in run.results if each.claim.shown.entry]
    if not entries:
        return ", ".join(each.claim.shown.heading for each in run.results) or "–", "–"
    return "; ".join(asked for asked, _ in entries), "; ".join(came for _, came in entries)


def decided(statements: Sequence[DecidedStatement]) -> str:
    """How many of some statements hold."""
    holding = sum(each.holds is True for each in statements)
    return f"{holding} of {len(statements)} statements hold"


def summary_table(run: CollectedRun, setting: Setting | None) -> Table:
    """What a run is, and a line for each of its results, the training first."""
    rows = [("run", str(run.path)), ("preset", run.preset or "–"), ("seed", str(run.seed))]
    if setting is not None:
        rows += [("world", setting.world), ("baseline", setting.baseline or "–")]
    trained_first = sorted(run.results, key=lambda each: each.claim.name != TRAINING.name)
    rows += [(_called(each), _headline(each.claim, each.measured)) for each in trained_first]
    return Table(f"{run.name}: summary", ("what", "value"), rows)


def _called(stored: Stored) -> str:
    name = stored.claim.command or stored.claim.shown.heading.lower()
    return f"{name} {stored.variant}".strip()


def _headline(claim: AnyClaim, measured: Measured[Result]) -> str:
    """The headlines of a result; where its view names none, its first quantities."""
    shown = []
    for column in claim.shown.headlines or claim.shown.columns:
        places = column.places([measured.result])
        place = places[-1] if places else None
        value = column.at(measured.result, place)
        if value is not None:
            text, at = column.text(measured.result, place=place), f" at {place}" if place else ""
            shown.append(text if isinstance(value, str) else f"{column.label or column.heading}{at}: {text}")
    return "; ".join(shown[:_HEADLINES]) or "measured"


def next_table(run: CollectedRun, claims: Sequence[AnyClaim]) -> Table:
    """Commands that have not been run on a run yet, and what can be done with what it has."""
    path = shlex.quote(str(run.path))
    done = {each.claim.name for each in run.results}
    rows = [
        (f"equiwm {claim.command} {path}", " ".join(claim.help.partition("\n\n")[0].split()))
        for claim in claims
        if claim.command and not claim.study and claim.name not in done and claim.name != TRAINING.name
    ]
    rows += [
        (f"equiwm report {path} --format html --out report.html", "A page with these tables and the figures."),
        (f"equiwm export {path} --out exported", "The model as files that need nothing of equiwm."),
    ]
    return Table("What can be done next", ("command", "what it does"), rows)
