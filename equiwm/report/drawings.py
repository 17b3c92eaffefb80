"""Every figure of some runs, drawn again from their metrics and CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import Stored
from equiwm.claims.view import Drawing, Shown
from equiwm.errors import RunError
from equiwm.figures.medium import SCREEN
from equiwm.locate import is_foreign
from equiwm.report.collect import CollectedRun
from equiwm.report.document import Report
from equiwm.report.ood_figure import ood_figure
from equiwm.report.parallel import Order, Progress, draw_all, no_progress
from equiwm.results.ablation import AblationResult


def drawings_of(run: CollectedRun, left_out: list[str]) -> Iterator[tuple[Stored, Drawing]]:
    """Result and figure, in the order of the run's metrics; a line is added to `left_out` for what has none.

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
            yield each, Drawing(drawing.name, partial(_guarded, each.claim, drawing), drawing.about)


def is_ours(stored: Stored) -> bool:
    """Whether all that draws a result's figures is of this package."""
    result = stored.measured.result
    return not stored.claim.source and not (isinstance(result, AblationResult) and is_foreign(result.kind))


def _guarded(claim: AnyClaim, drawing: Drawing, folder: Path) -> Path:
    with claim.guard("figure"):
        path: object = drawing.draw(folder)
        if not isinstance(path, Path):
            raise TypeError(f"expected the path of the PNG, got {path!r}")
        return path


def redraw(
    report: Report, folder: Path, left_out: list[str], progress: Progress = no_progress, *, jobs: int = 1
) -> list[Path]:
    """Draw every figure: `folder`/RUN/NAME of each run, and `folder`/ood_factors of them all.

    Each is a PNG and an SVG beside the CSV that it was drawn from.

    Args:
        report: whose figures they are.
        folder: made if it is missing.
        left_out: gets a line for each result whose figures cannot be drawn.
        progress: called with the number of figures drawn, and of all.
        jobs: processes; -1 is as many as there are cores, and work for.

    Returns:
        The PNGs.

    Raises:
        RunError: the folder cannot be written to.
    """
    orders = [
        Order(drawing, place, SCREEN, ours=is_ours(stored))
        for place, run in _places(report.runs, folder)
        for stored, drawing in drawings_of(run, left_out)
    ]
    overall = ood_figure(report, folder)
    drawn = draw_all(orders, jobs, progress)
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
