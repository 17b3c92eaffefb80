"""The report: a chapter a claim, with the tables of all runs, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from equiwm.report.claim_tables import claim_tables
from equiwm.report.collect import Found, collect
from equiwm.report.readings import STALE
from equiwm.report.sections import SECTIONS
from equiwm.report.settings import Setting, entries_of, settings_of, stale
from equiwm.report.table import Table

CHAPTERS = {
    "train": ("Training", ""),
    "verify_equivariance": (
        "Claim A: the symmetry holds after training",
        "Residual of the composed predictor at random group elements, the worst of them, relative to its RMS.",
    ),
    "sweep_group": (
        "Claim B: what is learned on the wedge holds on the whole group",
        "A held-out test set, turned into every bin of the group's orbit.",
    ),
    "rollout": ("Rollouts", "Many steps from one observation: the guarantee does not wear off."),
    "closed_loop": (
        "Claim C: the closed loop is the same at every orientation",
        "Every task planned and acted as seen and turned; d_i is the error turned minus the error as seen, task by "
        "task.",
    ),
}
"""Section of metrics.json -> heading, and one sentence on what was done, in the order of the paper's claims."""

STUDIES = "Studies"
REPRODUCTION = "The paper and these runs"


@dataclass(frozen=True)
class Chapter:
    """Tables under a heading.

    Attributes:
        section: of metrics.json; `REPRODUCTION` or `STUDIES` for the results of study directories.
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
    """

    runs: tuple[Found, ...]
    settings: tuple[Setting, ...]
    chapters: tuple[Chapter, ...]
    skipped: tuple[str, ...]


def make_report(places: Sequence[Path]) -> Report:
    """Read runs and folders of runs, and tabulate what they hold.

    Raises:
        RunError: a place does not exist, or none of them holds a run.
    """
    found, skipped = collect(places)
    settings, complaints = settings_of(found)
    chapters = [
        Chapter(section, heading, about, tuple(tables))
        for section, (heading, about) in CHAPTERS.items()
        if (tables := claim_tables(section, settings))
    ]
    studies: dict[str, list[Table]] = {REPRODUCTION: [], STUDIES: []}
    for section, part in _study_tables(found):
        if isinstance(part, str):
            complaints.append(part)
        else:
            studies[REPRODUCTION if section == "reproduce" else STUDIES] += part
    reproduction, others = ([Chapter(name, name, "", tuple(found))] if found else [] for name, found in studies.items())
    chapters = [*reproduction, *chapters, *others]
    return Report(tuple(found), tuple(settings), tuple(chapters), (*skipped, *complaints))


def _study_tables(found: Sequence[Found]) -> Iterator[tuple[str, list[Table] | str]]:
    """Section and tables of every result of a study, or the line about one that cannot be read."""
    for run in found:
        if run.kind != "study":
            continue
        for section, variant, entry in entries_of(run.metrics):
            if section in SECTIONS:
                try:
                    yield section, SECTIONS[section](entry, run.name)
                except STALE:
                    yield section, stale(run, section, variant)


def markdown(report: Report) -> str:
    """The report in GitHub-flavoured Markdown."""
    parts = []
    for chapter in report.chapters:
        head = [f"## {chapter.heading}\n", *([f"{chapter.about}\n"] if chapter.about else [])]
        parts += [*head, *(table.markdown() for table in chapter.tables)]
    return "\n".join(parts)
