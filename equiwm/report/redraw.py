"""Every figure of the runs, drawn again from their metrics and CSV files, without a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equiwm.report.collect import Found
from equiwm.report.readings import STALE
from equiwm.report.settings import Setting, entries_of, stale

Drawing = Callable[[Path], Path]
"""Draws into a folder and gives the path of the PNG."""


@dataclass(frozen=True)
class Plan:
    """A figure that could be drawn.

    Attributes:
        run: the run that it shows.
        section: of metrics.json.
        variant: of the section.
        name: of the file, without its ending.
        draw: draws it.
    """

    run: Found
    section: str
    variant: str
    name: str
    draw: Drawing

    def existing(self) -> Path | None:
        """The figure as the command that measured it drew it, as a vector if it is there."""
        files = (self.run.path / "figures" / f"{self.name}.{kind}" for kind in ("svg", "png"))
        return next((file for file in files if file.is_file()), None)


def plans(run: Found) -> Iterator[Plan]:
    """The figures of a run, in the order of its metrics; drawing one raises `STALE` where its entry is not known."""
    for section, variant, entry in entries_of(run.metrics):
        if section in _PLANS:
            yield from _PLANS[section](run, variant, entry)


def _sweep(run: Found, variant: str, entry: Mapping[str, Any]) -> Iterator[Plan]:
    def draw(folder: Path) -> Path:
        from equiwm.report.figures import sweep_figure

        return sweep_figure(entry, run.name, folder)

    yield Plan(run, "sweep_group", variant, "sweep_" + variant.replace("/", "_"), draw)


def _rollout(run: Found, variant: str, entry: Mapping[str, Any]) -> Iterator[Plan]:
    def draw(folder: Path) -> Path:
        from equiwm.report.figures import rollout_figure

        return rollout_figure(entry, run.name, folder)

    yield Plan(run, "rollout", variant, "rollout_" + variant.replace("/", "_"), draw)


def _closed_loop(run: Found, variant: str, entry: Mapping[str, Any]) -> Iterator[Plan]:
    from equiwm.report.closed_loop_figures import closed_loop_figure, closed_loop_file, paths_figure

    file = closed_loop_file(variant)
    yield Plan(run, "closed_loop", variant, file, lambda folder: closed_loop_figure(entry, run.name, folder, file))
    paths = run.path / "figures" / f"{file}_paths.csv"
    if not paths.is_file():
        return

    def draw(folder: Path) -> Path:
        import pandas as pd

        return paths_figure(pd.read_csv(paths), folder, f"{file}_paths")

    yield Plan(run, "closed_loop", variant, f"{file}_paths", draw)


def _ablate(run: Found, variant: str, entry: Mapping[str, Any]) -> Iterator[Plan]:
    def draw(folder: Path) -> Path:
        from equiwm.report.ablation.view import ablation_figure

        return ablation_figure(entry, run.name, folder)

    if entry.get("rows"):
        yield Plan(run, "ablate", variant, f"ablate_{entry.get('kind')}", draw)


_PLANS: dict[str, Callable[[Found, str, Mapping[str, Any]], Iterator[Plan]]] = {
    "sweep_group": _sweep,
    "rollout": _rollout,
    "closed_loop": _closed_loop,
    "ablate": _ablate,
}


def redraw(
    runs: Sequence[Found],
    settings: Sequence[Setting],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Path], list[str]]:
    """Draw every figure: `folder`/RUN/NAME of each run, and `folder`/ood_factors of them all.

    Each is a PNG and an SVG beside the CSV that it was drawn from.

    Args:
        runs: trainings and studies.
        settings: the trainings, grouped.
        folder: made if it is missing.
        progress: called with the number of figures drawn, and of all.

    Returns:
        The PNGs, and a line for each result that cannot be drawn.

    Raises:
        RunError: the folder cannot be written to.
    """
    from equiwm.report.ood_figure import ood_figure

    drawn: list[Path] = []
    skipped: list[str] = []
    planned = [(place, plan) for place, run in _places(runs, folder) for plan in plans(run)]
    for done, (place, plan) in enumerate(planned):
        try:
            drawn.append(plan.draw(place))
        except STALE:
            skipped.append(stale(plan.run, plan.section, plan.variant))
        progress(done + 1, len(planned) + 1)
    overall = ood_figure(settings, folder)
    progress(len(planned) + 1, len(planned) + 1)
    return [*([overall] if overall else []), *drawn], skipped


def _places(runs: Sequence[Found], folder: Path) -> list[tuple[Path, Found]]:
    """A folder for each run, by its name; runs of one name are numbered."""
    seen: dict[str, int] = {}
    places = []
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        again = f"-{seen[run.name]}" if seen[run.name] > 1 else ""
        places.append((folder / f"{run.name}{again}", run))
    return places
