"""Every figure of some runs: drawn again from their metrics and CSV files, or as the commands left them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from equiwm.claims.claim import AnyClaim
from equiwm.claims.view import Drawing, Shown
from equiwm.disk.inside import read_inside
from equiwm.errors import RunError
from equiwm.report.collect import CollectedRun
from equiwm.report.document import STUDIES, Report
from equiwm.report.ood_figure import ood_figure

_OVERALL = "OOD factors side by side: a model and its baseline in every test that both went through"

MAX_PICTURE = 2**25
"""Bytes of a figure that is taken into a page."""

Progress = Callable[[int, int], None]


def _no_progress(done: int, total: int) -> None:
    """Says nothing."""


def drawings_of(run: CollectedRun, left_out: list[str]) -> Iterator[tuple[str, Drawing]]:
    """Section and figure, in the order of the run's metrics; a line is added to `left_out` for what has none.

    Raises:
        ResultError: a drawing function of a user's claim raised something; so do the figures when they are drawn.
    """
    for each in run.results:
        shown = Shown(each.measured, run.name, run.path / "figures")
        try:
            with each.claim.guard("figure"):
                drawings = each.claim.shown.drawings_of(shown)
        except RunError as error:  # a file that they are drawn from
            left_out.append(f"figures of {run.path}: {error}")
            continue
        for drawing in drawings:
            yield each.claim.name, Drawing(drawing.name, partial(_guarded, each.claim, drawing))


def _guarded(claim: AnyClaim, drawing: Drawing, folder: Path) -> Path:
    with claim.guard("figure"):
        path: object = drawing.draw(folder)
        if not isinstance(path, Path):
            raise TypeError(f"expected the path of the PNG, got {path!r}")
        return path


def redraw(report: Report, folder: Path, left_out: list[str], progress: Progress = _no_progress) -> list[Path]:
    """Draw every figure: `folder`/RUN/NAME of each run, and `folder`/ood_factors of them all.

    Each is a PNG and an SVG beside the CSV that it was drawn from.

    Args:
        report: whose figures they are.
        folder: made if it is missing.
        left_out: gets a line for each result whose figures cannot be drawn.
        progress: called with the number of figures drawn, and of all.

    Returns:
        The PNGs.

    Raises:
        RunError: the folder cannot be written to.
    """
    drawn: list[Path] = []
    planned = [
        (place, drawing) for place, run in _places(report.runs, folder) for _, drawing in drawings_of(run, left_out)
    ]
    for done, (place, drawing) in enumerate(planned):
        drawn.append(drawing.draw(place))
        progress(done + 1, len(planned) + 1)
    overall = ood_figure(report, folder)
    progress(len(planned) + 1, len(planned) + 1)
    return [*([overall] if overall else []), *drawn]


def _places(runs: Sequence[CollectedRun], folder: Path) -> list[tuple[Path, CollectedRun]]:
    """A folder for each run, by its name; runs of one name are numbered."""
    seen: dict[str, int] = {}
    places = []
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        again = f"-{seen[run.name]}" if seen[run.name] > 1 else ""
        places.append((folder / f"{run.name}{again}", run))
    return places


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        data: the file's content.
        kind: its ending, `.svg` or `.png`.
        section: of metrics.json that it belongs to, `STUDIES`, or nothing for the whole report.
        caption: what it shows.
    """

    data: bytes
    kind: str
    section: str
    caption: str


def pictures(report: Report, folder: Path, left_out: list[str], progress: Progress = _no_progress) -> list[Picture]:
    """The figures of a report: those of the whole, and of one seed of every model and study.

    As the commands left them in the runs, or drawn into `folder` where they are missing. Baselines are in the figures
    of their models, so they have none of their own.

    Args:
        report: what is told.
        folder: gets what has to be drawn.
        left_out: gets a line for each result whose figures cannot be drawn.
        progress: called with the number of figures that are there, and of all.

    Raises:
        RunError: the folder cannot be written to.
    """
    overall = ood_figure(report, folder)
    found = [Picture(_drawn(overall), ".svg", "", _OVERALL)] if overall else []
    models = [s.runs[0] for s in report.settings if s.runs and (s.baseline or not s.is_baseline)]
    studies = [run for run in report.runs if run.kind == "study"]
    planned = [
        (run, section, drawing) for run in (*models, *studies) for section, drawing in drawings_of(run, left_out)
    ]
    for done, (run, section, drawing) in enumerate(planned):
        data, kind = _left_behind(run, drawing) or (_drawn(drawing.draw(folder / str(done))), ".svg")
        caption = f"{run.name} (seed {run.seed}): {drawing.name.replace('_', ' ')}"
        found.append(Picture(data, kind, STUDIES if run.kind == "study" else section, caption))
        progress(done + 1, len(planned))
    return found


def _drawn(path: Path) -> bytes:
    """The vector beside a PNG that was drawn just now."""
    svg = path.with_suffix(".svg")
    return read_inside(svg.parent, svg.name, limit=MAX_PICTURE)


def _left_behind(run: CollectedRun, drawing: Drawing) -> tuple[bytes, str] | None:
    """The figure as the command that measured it drew it, as a vector if it is there; content and ending.

    The run may be somebody else's, and a page is shared: no link is followed, and what is no plain file of a likely
    size is drawn anew.
    """
    for kind in (".svg", ".png"):
        with suppress(FileNotFoundError, RunError):
            return read_inside(run.path, "figures", f"{drawing.name}{kind}", limit=MAX_PICTURE), kind
    return None
