"""The figures that a report shows: one of the whole, and those of one seed of every model and study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from equiwm.claims.registry import Stored
from equiwm.claims.view import Drawing
from equiwm.disk.inside import read_inside
from equiwm.errors import RunError
from equiwm.figures.medium import MAX_FIGURE, PAGE, Medium, drawn_for
from equiwm.figures.record import drawing_code, is_whole
from equiwm.report.collect import CollectedRun
from equiwm.report.document import STUDIES, Report
from equiwm.report.drawings import drawings_of, is_ours
from equiwm.report.names import slug
from equiwm.report.ood_figure import ood_figure
from equiwm.report.parallel import Order, Progress, draw_all, no_progress
from equiwm.runs import STUDY_RUNS

_OVERALL = "OOD factors side by side: a model and its baseline in every test that both went through"


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        data: the file's content.
        kind: its ending, `.svg`, `.pdf` or `.png`.
        section: of metrics.json that it belongs to, `STUDIES`, or nothing for the whole report.
        caption: what it shows.
        file: where it is, or would be, from the report's folder.
    """

    data: bytes
    kind: str
    section: str
    caption: str
    file: str


def pictures(
    report: Report,
    folder: Path,
    left_out: list[str],
    progress: Progress = no_progress,
    *,
    medium: Medium = PAGE,
    jobs: int = 1,
    lasting: bool = True,
) -> list[Picture]:
    """The figures of a report. Baselines are in the figures of their models, so they have none of their own.

    A page takes them as the commands left them in the runs. What is missing there is drawn into `folder`, unless it was
    drawn from the same CSV before: there, by the same code (`equiwm.figures.record`), or in the `figures/` of a study
    that the run is part of. The files are the same however many processes draw them.

    Args:
        report: what is told.
        folder: gets `figures/RUN/NAME`: figures, and the CSV that each was drawn from.
        left_out: gets a line for each result whose figures cannot be drawn.
        progress: called with the number of figures that are there, and of all.
        medium: what they are drawn for.
        jobs: processes; -1 is as many as there are cores, and work for.
        lasting: whether the folder stays, so that what is drawn gets a record.

    Raises:
        RunError: the folder cannot be written to.
    """
    place, code = folder / "figures", drawing_code() if lasting else None
    studies = [run for run in report.runs if run.kind == "study" and run.opened]
    with drawn_for(medium, [place, *(run.path / "figures" for run in studies)], code):
        overall = ood_figure(report, place)
    found = [_read(overall, medium, folder, "", _OVERALL)] if overall else []
    planned = list(_planned(report, studies, left_out))
    shown: list[Picture | None] = []
    orders = []
    for run, name, stored, drawing in planned:
        section, caption = _told(run, stored, drawing)
        picture = _left_behind(run, drawing, section, caption, f"figures/{name}") if medium == PAGE else None
        shown.append(picture)
        if picture is None:
            ours, place = is_ours(stored), folder / "figures" / name
            known = (*([place] if ours else []), *_beside(run))
            orders.append(Order(drawing, place, medium, known, code if ours else None, ours))
    there = len(planned) - len(orders)
    progress(there, len(planned))
    drawn = iter(draw_all(orders, jobs, progress, there, len(planned)))
    for picture, (run, _, stored, drawing) in zip(shown, planned, strict=True):
        found.append(picture or _read(next(drawn), medium, folder, *_told(run, stored, drawing)))
    return found


def _told(run: CollectedRun, stored: Stored, drawing: Drawing) -> tuple[str, str]:
    """Section and caption of a figure."""
    caption = f"{run.name} (seed {run.seed}): {drawing.about or drawing.name.replace('_', ' ')}"
    return STUDIES if run.kind == "study" else stored.claim.name, caption


def _planned(
    report: Report, studies: Sequence[CollectedRun], left_out: list[str]
) -> Iterator[tuple[CollectedRun, str, Stored, Drawing]]:
    """Each figure with its run, the name of its folder, and its result."""
    models = [s.runs[0] for s in report.settings if s.runs and (s.baseline or not s.is_baseline)]
    taken: set[str] = set()
    for run in (*models, *studies):
        name, number = slug(run.name), 1
        while name in taken:
            number += 1
            name = f"{slug(run.name)}-{number}"
        taken.add(name)
        for stored, drawing in drawings_of(run, left_out):
            yield run, name, stored, drawing


def _beside(run: CollectedRun) -> list[Path]:
    """The folders in which a study may have kept the figures of a run that is part of it."""
    folder = run.path.absolute().parent
    return [folder.parent / "figures" / run.name] if folder.name == STUDY_RUNS else []


def _read(path: Path, medium: Medium, folder: Path, section: str, caption: str) -> Picture:
    """A figure that was drawn just now: in the first form of the medium that its drawing made, else as what it gave."""
    for ending in (*(f".{kind}" for kind in medium.kinds), path.suffix):
        file = path.with_suffix(ending)
        with suppress(FileNotFoundError):
            data = read_inside(file.parent, file.name, limit=MAX_FIGURE)
            return Picture(data, ending, section, caption, file.relative_to(folder).as_posix())
    raise FileNotFoundError(path)


def _left_behind(run: CollectedRun, drawing: Drawing, section: str, caption: str, place: str) -> Picture | None:
    """The figure as the command that measured it drew it, as a vector if it is there.

    The run may be somebody else's, and a page is shared: no link is followed, and what is no plain file of a likely
    size, or ends in its middle, is drawn anew.
    """
    for kind in (".svg", ".png"):
        with suppress(FileNotFoundError, RunError):
            data = read_inside(run.path, "figures", f"{drawing.name}{kind}", limit=MAX_FIGURE)
            if not is_whole(data, kind[1:]):
                continue
            return Picture(data, kind, section, caption, f"{place}/{drawing.name}{kind}")
    return None
