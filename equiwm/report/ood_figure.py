"""The figure of the whole report: OOD factors of every setting side by side, models against their baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from equiwm.claims.claim import AnyClaim
from equiwm.claims.view import Factor
from equiwm.report.document import Report
from equiwm.report.settings import SeedResult, Setting
from equiwm.results.result import Result
from equiwm.tables.columns import Estimate
from equiwm.tables.table import factor


def factor_rows(report: Report) -> list[dict[str, str | int | float | None]]:
    """One row for each seed of a model and of its baseline, in every test that both went through.

    Which factor, and what the test is called, each claim says itself (`claims.view.Factor`): worst unseen / seen relMSE
    of a sweep, unseen / seen relMSE of the longest rollout that all seeds of both have, unseen / seen error of a closed
    loop. Of several precisions the first is taken: the factors differ by rounding alone.
    """
    known = {setting.label: setting for setting in report.settings}
    rows = []
    for claim in report.claims:
        if claim.study or claim.shown.factor is None:
            continue
        for model in report.settings:
            baseline = known.get(model.baseline or "")
            if baseline is not None:
                with claim.guard("factor"):
                    rows += list(_pair_rows(claim, claim.shown.factor, model, baseline))
    return sorted(rows, key=lambda row: str(row["test"]))


def _pair_rows(
    claim: AnyClaim, shown: Factor[Result], model: Setting, baseline: Setting
) -> Iterator[dict[str, str | int | float | None]]:
    tests: dict[str, dict[str, list[SeedResult]]] = {}
    for role, setting in (("model", model), ("baseline", baseline)):
        for each in setting.of(claim):
            test = shown.test(each.result)
            if test is not None:
                tests.setdefault(test, {}).setdefault(role, []).append(each)
    for test, sides in tests.items():
        if len(sides) < 2:
            continue
        place = _shared_place(shown, [each for side in sides.values() for each in side])
        words = "" if place is None else shown.place.format(place)
        for role, setting in (("model", model), ("baseline", baseline)):
            first = min(each.asked for each in sides[role])
            for each in sides[role]:
                if each.asked == first:
                    yield {
                        "test": f"{model.world}, {test}{words}",
                        "pair": f"{model.label} / {baseline.label}",
                        "role": role,
                        "setting": setting.label,
                        "seed": each.seed,
                        "parameters": setting.parameters,
                        "variant": each.asked,
                        "probe": each.probe,
                        "factor": _number(shown.column.at(each.result, place)),
                    }


def _shared_place(shown: Factor[Result], results: Sequence[SeedResult]) -> str | None:
    """The last place at which all of them have the factor; None if it has no places."""
    places = [shown.column.places([each.result]) for each in results]
    shared = [place for place in places[0] if all(place in others for others in places)]
    return shared[-1] if shared else None


def _number(value: float | str | Estimate | None) -> float | None:
    return value.value if isinstance(value, Estimate) else value if isinstance(value, float | int) else None


_SEEN_AT_ONCE = 40
"""Lines that a screen or a sheet shows: with more of them the axis stands above them, too."""
_MOST_DOTS = 60_000
"""Dots of a PNG from top to bottom, which may have 65,535."""


def ood_figure(report: Report, folder: Path) -> Path | None:
    """Draw `folder`/ood_factors: a line a test and pair, the seeds as dots, the median as a large marker, log axis.

    Returns:
        The path of the PNG; the CSV beside it holds every seed. None where no test has a model and its baseline.
    """
    import pandas as pd
    from matplotlib.ticker import FuncFormatter

    from equiwm.figures.canvas import COLOURS, DPI, MARKERS, canvas, kept, save
    from equiwm.figures.medium import text_size

    frame = pd.DataFrame(factor_rows(report))
    if frame.empty:
        return None
    frame["factor"] = pd.to_numeric(frame["factor"])  # None, where a model diverged, is a gap
    if (known := kept(frame, folder, "ood_factors")) is not None:
        return known
    lines = list(dict.fromkeys(zip(frame["test"], frame["pair"], strict=True)))
    height = 1.3 + 0.5 * len(lines)
    dpi = int(_MOST_DOTS / height) if height * DPI > _MOST_DOTS else None
    with canvas(8.4, height, style={"axes.grid.axis": "x"}, dpi=dpi) as figure:
        panel = figure.subplots()
        panel.axvline(1.0, color="#777777", linewidth=0.8, linestyle=":", zorder=0)
        for place, (test, pair) in enumerate(lines):
            here = frame[(frame["test"] == test) & (frame["pair"] == pair) & (frame["factor"] > 0)]
            medians = here.groupby("role")["factor"].median()
            if len(medians) == 2:
                panel.plot(medians, [place, place], color="#bbbbbb", linewidth=1.2, zorder=1)
            for index, role in enumerate(("model", "baseline")):
                seeds = here[here["role"] == role]["factor"]
                if seeds.empty:
                    continue
                look: dict[str, Any] = {"color": COLOURS[index], "marker": MARKERS[index], "linestyle": "none"}
                panel.plot(seeds, [place] * len(seeds), **look, markersize=3, alpha=0.55, markeredgewidth=0, zorder=2)
                label = role if place == 0 else None
                panel.plot(medians[role], place, **look, markersize=7, markeredgecolor="white", label=label, zorder=3)
                left = role == medians.idxmin()  # the two figures stand on the outer sides
                panel.annotate(
                    factor(medians[role]),
                    (seeds.min() if left else seeds.max(), place),
                    (-7 if left else 7, 0),
                    textcoords="offset points",
                    ha="right" if left else "left",
                    va="center",
                    fontsize=text_size(8),
                    color=COLOURS[index],
                )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        shown = frame["factor"][frame["factor"] > 0]
        panel.set_xlim(0.2 * min(shown.min(), 1.0), 4.0 * max(shown.max(), 5.0))  # room for the figures on both sides
        panel.set_yticks(range(len(lines)), [f"{test}\n{pair}" for test, pair in lines], fontsize=text_size(8))
        panel.set_ylim(len(lines) - 0.4, -0.7)
        if len(lines) > _SEEN_AT_ONCE:
            panel.tick_params(axis="x", top=True, labeltop=True)
        panel.set_xlabel("error, unseen / seen orientations (small: seeds, large: median)")
        figure.legend(*panel.get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return save(figure, frame, folder, "ood_factors")
