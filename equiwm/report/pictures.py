"""The figures that a report shows: one of the whole, and those of one seed of every model and study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from equiwm.claims.view import Drawing
from equiwm.disk.inside import read_inside
from equiwm.errors import RunError
from equiwm.figures.medium import MAX_FIGURE, PAGE, Medium, drawn_for
from equiwm.report.collect import CollectedRun
from equiwm.report.document import STUDIES, Report
from equiwm.report.drawings import Progress, drawings_of, no_progress
from equiwm.report.names import slug
from equiwm.report.ood_figure import ood_figure
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
    report: Report, folder: Path, left_out: list[str], progress: Progress = no_progress, *, medium: Medium = PAGE
) -> list[Picture]:
    """The figures of a report. Baselines are in the figures of their models, so they have none of their own.

    A page takes them as the commands left them in the runs. What is missing there is drawn into `folder`, unless it was
    drawn from the same CSV before: there, or in the `figures/` of a study that the run is part of.

    Args:
        report: what is told.
        folder: gets `figures/RUN/NAME`: figures, and the CSV that each was drawn from.
        left_out: gets a line for each result whose figures cannot be drawn.
        progress: called with the number of figures that are there, and of all.
        medium: what they are drawn for.

    Raises:
        RunError: the folder cannot be written to.
    """
    place = folder / "figures"
    studies = [run for run in report.runs if run.kind == "study" and run.opened]
    with drawn_for(medium, [place, *(run.path / "figures" for run in studies)]):
        overall = ood_figure(report, place)
    found = [_read(overall, medium, folder, "", _OVERALL)] if overall else []
    planned = list(_planned(report, studies, left_out))
    for done, (run, name, section, drawing) in enumerate(planned):
        place = folder / "figures" / name
        caption = f"{run.name} (seed {run.seed}): {drawing.about or drawing.name.replace('_', ' ')}"
        picture = _left_behind(run, drawing, section, caption, f"figures/{name}") if medium == PAGE else None
        if picture is None:
            with drawn_for(medium, [place, *_beside(run)]):
                picture = _read(drawing.draw(place), medium, folder, section, caption)
        found.append(picture)
        progress(done + 1, len(planned))
    return found


def _planned(
    report: Report, studies: Sequence[CollectedRun], left_out: list[str]
) -> Iterator[tuple[CollectedRun, str, str, Drawing]]:
    """Each figure with its run, the name of its folder, and its section."""
    models = [s.runs[0] for s in report.settings if s.runs and (s.baseline or not s.is_baseline)]
    taken: set[str] = set()
    for run in (*models, *studies):
        name, number = slug(run.name), 1
        while name in taken:
            number += 1
            name = f"{slug(run.name)}-{number}"
        taken.add(name)
        for section, drawing in drawings_of(run, left_out):
            yield run, name, STUDIES if run.kind == "study" else section, drawing


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
    size is drawn anew.
    """
    for kind in (".svg", ".png"):
        with suppress(FileNotFoundError, RunError):
            data = read_inside(run.path, "figures", f"{drawing.name}{kind}", limit=MAX_FIGURE)
            return Picture(data, kind, section, caption, f"{place}/{drawing.name}{kind}")
    return None
