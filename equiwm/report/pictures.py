"""Which figures an HTML report shows: those of the whole, and of one seed of every model and study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from equiwm.report.document import STUDIES, Report
from equiwm.report.ood_figure import ood_figure
from equiwm.report.readings import STALE
from equiwm.report.redraw import plans
from equiwm.report.settings import stale

_OVERALL = "OOD factors side by side: a model and its baseline in every test that both went through"


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        path: PNG or SVG.
        section: of metrics.json that it belongs to, `STUDIES`, or nothing for the whole report.
        caption: what it shows.
    """

    path: Path
    section: str
    caption: str


def pictures(
    report: Report, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Picture], list[str]]:
    """The figures of a report, as the commands left them in the runs, or drawn into `folder` where they are missing.

    Baselines are in the figures of their models, so they have none of their own.

    Args:
        report: what is told.
        folder: gets what has to be drawn.
        progress: called with the number of figures that are there, and of all.

    Returns:
        The figures, and a line for each result that cannot be drawn.

    Raises:
        RunError: the folder cannot be written to.
    """
    overall = ood_figure(report.settings, folder)
    found = [Picture(overall.with_suffix(".svg"), "", _OVERALL)] if overall else []
    skipped: list[str] = []
    models = [s.runs[0] for s in report.settings if s.runs and (s.baseline or not s.is_baseline)]
    studies = [run for run in report.runs if run.kind == "study"]
    planned = [plan for run in (*models, *studies) for plan in plans(run)]
    for done, plan in enumerate(planned):
        try:
            path = plan.existing() or plan.draw(folder / str(done)).with_suffix(".svg")
        except STALE:
            skipped.append(stale(plan.run, plan.section, plan.variant))
        else:
            section = STUDIES if plan.run.kind == "study" else plan.section
            caption = f"{plan.run.name} (seed {plan.run.seed}): {plan.name.replace('_', ' ')}"
            found.append(Picture(path, section, caption))
        progress(done + 1, len(planned))
    return found, skipped
