"""The report: a chapter a claim, with the tables of all runs, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import built_in
from equiwm.errors import EquiwmError
from equiwm.report.collect import CollectedRun, collect
from equiwm.report.entries import next_table, studies_table, summary_table
from equiwm.report.settings import SeedResult, Setting, settings_of
from equiwm.report.weights import is_others, marked
from equiwm.results.result import Result
from equiwm.tables.columns import Comparison, Line
from equiwm.tables.table import Table, number

STUDIES = "Studies"
REPRODUCTION = "The paper and these runs"
STUDIES_HERE, SUMMARY, NEXT = "studies-here", "summary", "next"


@dataclass(frozen=True)
class Chapter:
    """Tables under a heading.

    Attributes:
        section: of metrics.json; `REPRODUCTION` or `STUDIES` for the results of study directories, `STUDIES_HERE` for
            those that are not opened; `SUMMARY` and `NEXT` for a single run.
        heading: one line.
        about: one sentence, or nothing.
        tables: at least one.
    """

    section: str
    heading: str
    about: str
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Report:
    """Everything that some folders of runs say.

    Attributes:
        runs: the runs, trainings and studies.
        settings: the trainings, grouped over seeds.
        chapters: tables, claim by claim.
        skipped: a line for each run or result that was left out.
        claims: whose results were read.
    """

    runs: tuple[CollectedRun, ...]
    settings: tuple[Setting, ...]
    chapters: tuple[Chapter, ...]
    skipped: tuple[str, ...]
    claims: tuple[AnyClaim, ...]


def make_report(places: Sequence[Path], claims: Sequence[AnyClaim] | None = None) -> Report:
    """Read runs and folders of runs, and tabulate what they hold.

    Args:
        places: runs and folders of runs.
        claims: whose results are shown; None is those of the package.

    Raises:
        RunError: a place does not exist, or none of them holds a run.
    """
    shown = tuple(built_in() if claims is None else claims)
    found, skipped = collect(places, shown)
    settings, complaints = settings_of(found)
    chapters = []
    for claim in shown:
        if not claim.study:
            with claim.guard("tables"):
                tables = claim.shown.tables_over_seeds(_comparisons(claim, settings))
            if tables:
                tables = marked(tables, _of_other_weights(claim, found))
                chapters.append(Chapter(claim.name, claim.shown.heading, claim.shown.about, tuple(tables)))
    studies: dict[str, list[Table]] = {REPRODUCTION: [], STUDIES: []}
    for run in found:
        if run.kind == "study":
            complaints += run.unread
        if run.kind == "study" and run.opened:
            for each in run.results:
                view = each.claim.shown
                try:
                    studies.setdefault(view.heading, []).extend(view.tables_of(each.measured, run.name))
                except EquiwmError as error:  # rows that are none of its kind
                    complaints.append(f"{run.path}: {error}")
    reproduction, *others = (
        [Chapter(name, name, "", tuple(tables))] if tables else [] for name, tables in studies.items()
    )
    chapters = [*reproduction, *chapters, *(chapter for each in others for chapter in each)]
    closed = [run for run in found if run.kind == "study" and not run.opened]
    if closed:
        chapters.append(Chapter(STUDIES_HERE, "Studies in these folders", "", (studies_table(closed),)))
    if len(found) == 1 and found[0].kind == "train":
        first = Chapter(SUMMARY, "Summary", "", (summary_table(found[0], settings[0] if settings else None),))
        chapters = [first, *chapters, Chapter(NEXT, "Next", "", (next_table(found[0], shown),))]
    return Report(tuple(found), tuple(settings), tuple(chapters), (*skipped, *complaints), shown)


def _of_other_weights(claim: AnyClaim, found: Sequence[CollectedRun]) -> list[str]:
    """Runs of which a result of a claim, or that of the baseline beside it, is of other weights than they have."""
    weights = {(run.name, run.preset, run.seed): run.weights for run in found}
    named = []
    for run in found:
        for each in run.results:
            if each.claim is not claim:
                continue
            if is_others(each.measured, run.weights):
                named.append(f"{run.name} {each.variant}".strip())
            beside = each.measured.baseline
            told = beside and beside.provenance
            known = told and weights.get((told.name, told.preset, told.train_seed))
            if told and known and told.checkpoint_sha256 not in (None, known):
                named.append(f"{told.name} {each.variant}".strip() + f" (beside {run.name})")
    return list(dict.fromkeys(named))


def _comparisons(claim: AnyClaim, settings: Sequence[Setting]) -> list[Comparison[Result]]:
    """The results of a claim that may be compared: of one world, variant and probe."""
    if claim.shown.every_setting:
        lines = tuple(_line(setting, setting.of(claim), settings) for setting in settings)
        return [Comparison("", lines)] if lines else []
    found: dict[tuple[str, ...], dict[str, list[SeedResult]]] = {}
    known = {setting.label: setting for setting in settings}
    for setting in settings:
        for each in setting.of(claim):
            key = (setting.world, each.asked, each.probe)
            found.setdefault(key, {}).setdefault(setting.label, []).append(each)
    return [
        Comparison(
            ", ".join(filter(None, names)),
            tuple(_line(known[label], results, settings) for label, results in found[names].items()),
        )
        for names in sorted(found)
    ]


def _line(setting: Setting, results: Sequence[SeedResult], settings: Sequence[Setting]) -> Line[Result]:
    parameters = "–" if setting.parameters is None else f"{setting.parameters:,}"
    size = (parameters, number(parameter_ratio(setting, settings)))
    return Line(setting.label, setting.seeds, setting.baseline, size, tuple(each.result for each in results))


def parameter_ratio(setting: Setting, settings: Sequence[Setting]) -> float | None:
    """Parameters of the baseline over those of the model; None without a baseline."""
    sizes = {other.label: other.parameters for other in settings}
    baseline = sizes.get(setting.baseline or "")
    return baseline / setting.parameters if baseline and setting.parameters else None


def markdown(report: Report) -> str:
    """The report in GitHub-flavoured Markdown."""
    parts = []
    for chapter in report.chapters:
        head = [f"## {chapter.heading}\n", *([f"{chapter.about}\n"] if chapter.about else [])]
        parts += [*head, *(table.markdown() for table in chapter.tables)]
    return "\n".join(parts)
