"""The figure of the whole report: OOD factors of every setting side by side, models against their baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from equiwm.report.settings import Sample, Setting
from equiwm.report.table import factor

_WHAT = {"sweep_group": "one step", "rollout": "rollout", "closed_loop": "closed loop"}


def factor_rows(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """One row for each seed of a model and of its baseline, in every test that both went through.

    The factor is worst unseen / seen relMSE of a sweep, unseen / seen relMSE of the longest rollout that all seeds of
    both have, and unseen / seen error of a closed loop. A group larger than the world's is left out: no model of that
    world could be flat there. Of several precisions the first is taken: the factors differ by rounding alone.
    """
    known = {setting.label: setting for setting in settings}
    rows = []
    for section in _WHAT:
        for model in settings:
            baseline = known.get(model.baseline or "")
            if baseline is not None:
                rows += list(_pair_rows(section, model, baseline))
    return sorted(rows, key=lambda row: row["test"])


def _pair_rows(section: str, model: Setting, baseline: Setting) -> Iterator[dict[str, Any]]:
    tests: dict[str, dict[str, list[Sample]]] = {}
    for role, setting in (("model", model), ("baseline", baseline)):
        for sample in setting.of(section):
            if "excess" not in sample.reading.words:
                tests.setdefault(_test(sample), {}).setdefault(role, []).append(sample)
    for test, sides in tests.items():
        if len(sides) < 2:
            continue
        quantity, words = _quantity(section, [sample for side in sides.values() for sample in side])
        for role, setting in (("model", model), ("baseline", baseline)):
            first = min(sample.reading.variant for sample in sides[role])
            for sample in sides[role]:
                if sample.reading.variant == first:
                    yield {
                        "test": f"{model.world}, {test}{words}",
                        "pair": f"{model.label} / {baseline.label}",
                        "role": role,
                        "setting": setting.label,
                        "seed": sample.seed,
                        "parameters": setting.parameters,
                        "variant": sample.reading.variant,
                        "probe": sample.reading.probe,
                        "factor": sample.reading.numbers.get(quantity),
                    }


def _test(sample: Sample) -> str:
    """What the test is called: the group and the probe's precision left out, the planner left in."""
    if sample.section == "closed_loop":
        return f"closed loop, {sample.reading.variant}"
    return f"{sample.reading.variant.partition(',')[0]}, {_WHAT[sample.section]}"


def _quantity(section: str, samples: Sequence[Sample]) -> tuple[str, str]:
    """Name of the factor in `Reading.numbers`, and what is to be said of it."""
    if section == "closed_loop":
        return "unseen_over_seen", ""
    if section == "sweep_group":
        return "ood_factor", ""
    shared = set.intersection(*({n for n in s.reading.numbers if n.startswith("ood_factor@")} for s in samples))
    longest = max((int(name.partition("@")[2]) for name in shared), default=0)
    return f"ood_factor@{longest}", f" of {longest} steps"


def ood_figure(settings: Sequence[Setting], folder: Path) -> Path | None:
    """Draw `folder`/ood_factors: a line a test and pair, the seeds as dots, the median as a large marker, log axis.

    Returns:
        The path of the PNG; the CSV beside it holds every seed. None where no test has a model and its baseline.
    """
    import pandas as pd
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.style import context
    from matplotlib.ticker import FuncFormatter

    from equiwm.report.figures import COLOURS, MARKERS, STYLE, save

    frame = pd.DataFrame(factor_rows(settings))
    if frame.empty:
        return None
    frame["factor"] = pd.to_numeric(frame["factor"])  # None, where a model diverged, is a gap
    lines = list(dict.fromkeys(zip(frame["test"], frame["pair"], strict=True)))
    with context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(8.4, 1.3 + 0.5 * len(lines)), layout="constrained")
        FigureCanvasAgg(figure)
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
                    fontsize=8,
                    color=COLOURS[index],
                )
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        shown = frame["factor"][frame["factor"] > 0]
        panel.set_xlim(0.2 * min(shown.min(), 1.0), 4.0 * max(shown.max(), 5.0))  # room for the figures on both sides
        panel.set_yticks(range(len(lines)), [f"{test}\n{pair}" for test, pair in lines], fontsize=8)
        panel.set_ylim(len(lines) - 0.4, -0.7)
        panel.set_xlabel("error, unseen / seen orientations (small: seeds, large: median)")
        figure.legend(*panel.get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return save(figure, frame, folder, "ood_factors")
