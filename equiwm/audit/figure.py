"""Figures of an audit: the residual of every channel beside its rounding, and that of every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from equiwm.audit.judgement import EXPLAINED
from equiwm.audit.layers import GOOD
from equiwm.audit.result import AuditResult, ChannelResult, LayerResult
from equiwm.audit.verdict import TOLERANCES
from equiwm.figures.canvas import COLOURS, canvas
from equiwm.printable import cut, printable
from equiwm.tables.table import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 32
"""Channels or layers of one figure."""
_LABEL = 34
_LEAST, _MOST = 1e-20, 1e6
"""What axes hold: beyond that nothing is told apart."""
_ROW, _EDGE, _WIDTH = 0.21, 1.15, 8.0
_BAND: dict[str, Any] = {"color": "#bbbbbb", "linewidth": 4.0, "solid_capstyle": "butt"}
_BOUND: dict[str, Any] = {"color": "#333333", "linewidth": 0.9, "linestyle": ":"}
_LOOKS = {
    "exact": (COLOURS[0], "o"),
    "precision-limited": (COLOURS[2], "^"),
    "approximate": (COLOURS[3], "s"),
    "broken": (COLOURS[1], "D"),
    "vacuous": ("#777777", "x"),
}
"""Colour and marker of each verdict, which differ without colour too."""


@dataclass(frozen=True)
class Picture:
    """A figure of an audit.

    Attributes:
        data: a vector drawing.
        caption: what it shows, for who does not see it as well.
        kind: its ending.
    """

    data: bytes
    caption: str
    kind: str = ".svg"


def pictures_of(result: AuditResult) -> list[Picture]:
    """The figures of an audit: the channels, and the layers where there are any."""
    found = [_channels(result)] if any(leaf.by_channel for leaf in result.leaves) else []
    judged = [layer for layer in result.layers if math.isfinite(layer.residual)]
    return found + ([_layers(result, judged)] if judged else [])


def _channels(result: AuditResult) -> Picture:
    rows = [(leaf.name, each) for leaf in result.leaves for each in leaf.by_channel]
    kept = sorted(sorted(range(len(rows)), key=lambda k: -_size(rows[k][1]))[:MOST_ROWS])
    shown = [rows[k] for k in kept]
    best = "float64" if result.float64 else result.dtype
    tolerance = TOLERANCES.get(best, TOLERANCES["float32"])
    low, high = _limits([value for _, each in shown for value in (each.residual, each.rounding)], tolerance)
    with canvas(_WIDTH, _EDGE + _ROW * len(shown)) as figure:
        panel = figure.subplots()
        for place, (_, each) in enumerate(shown):
            ends = [_within(each.rounding, low, high), _within(EXPLAINED * each.rounding, low, high)]
            panel.plot(ends, [place] * 2, "-", **_BAND)
            panel.plot(ends[:1], [place], "|", color="#777777", markersize=7)
        for verdict in _LOOKS:
            points = [(each.residual, k) for k, (_, each) in enumerate(shown) if each.verdict == verdict]
            _dots(panel, points, low, high, verdict, f"residual, {verdict}")
        panel.plot([], [], "-", label=f"rounding, to {EXPLAINED:g} times it", **_BAND)
        _finish(panel, [f"{name}: {each.name}" for name, each in shown], low, high)
        panel.axvline(tolerance, label=f"tolerance {tolerance:g}", **_BOUND)
        panel.set_xlabel(f"residual relative to the variation of the channel, in {best}")
        drawn = _svg(figure)
    name, worst = max(shown, key=lambda row: _size(row[1]))
    said = (
        f"Residual of {len(shown)} of {len(rows)} channels, each at its worst place, beside its rounding; the largest "
        f"is {number(worst.residual, 2)}, rounding {number(worst.rounding, 2)}, in {name}, {worst.name}; "
        f"tolerance {tolerance:g}."
    )
    return Picture(drawn, printable(said))


def _layers(result: AuditResult, judged: Sequence[LayerResult]) -> Picture:
    first = next((k for k, layer in enumerate(judged) if layer.residual > GOOD), None)
    start = 0 if first is None else max(0, min(first - MOST_ROWS // 2, len(judged) - MOST_ROWS))
    shown = judged[start : start + MOST_ROWS]
    low, high = _limits([layer.residual for layer in shown], GOOD)
    with canvas(_WIDTH, _EDGE + _ROW * len(shown)) as figure:
        panel = figure.subplots()
        line = [_within(layer.residual, low, high) for layer in shown]
        panel.plot(line, range(len(shown)), "-", color="#bbbbbb", linewidth=0.9)
        found = [(layer.residual, k) for k, layer in enumerate(shown)]
        _dots(panel, [each for each in found if each[0] <= GOOD], low, high, "exact", "transforms linearly")
        _dots(panel, [each for each in found if each[0] > GOOD], low, high, "broken", "does not")
        _finish(panel, [f"{layer.name} ({layer.kind})" for layer in shown], low, high)
        panel.axvline(GOOD, label=f"bound {GOOD:g}", **_BOUND)
        panel.set_xlabel("residual of the best linear action on the features, in the order of execution")
        drawn = _svg(figure)
    unjudged = len(result.layers) - len(judged)
    where = "all of them transform linearly" if first is None else f"the first that does not is {judged[first].name}"
    said = f"Residual of {len(shown)} of {len(judged)} layers that were judged ({unjudged} were not): {where}."
    return Picture(drawn, printable(said))


def _size(each: ChannelResult) -> float:
    return each.residual if math.isfinite(each.residual) else math.inf


def _limits(values: Sequence[float], mark: float) -> tuple[float, float]:
    """Powers of ten around what is shown and a mark."""
    seen = [*(min(max(value, _LEAST), _MOST) for value in values if 0.0 < value < math.inf), mark]
    return 10.0 ** (math.floor(math.log10(min(seen))) - 0.5), 10.0 ** (math.ceil(math.log10(max(seen))) + 0.5)


def _within(value: float, low: float, high: float) -> float:
    """A value on the axis: zero at its left end, what is not finite at its right one."""
    return min(max(value, low), high) if math.isfinite(value) else high


def _dots(panel: Axes, points: Sequence[tuple[float, int]], low: float, high: float, verdict: str, label: str) -> None:
    """Points (residual, row) in the look of a verdict; nothing where there are none."""
    if points:
        colour, marker = _LOOKS[verdict]
        places = [_within(value, low, high) for value, _ in points]
        panel.plot(places, [row for _, row in points], marker, color=colour, markersize=5, label=label)


def _finish(panel: Axes, labels: Sequence[str], low: float, high: float) -> None:
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    # Two dollars would be read as a formula.
    shown = [cut(printable(label), _LABEL).replace("$", r"\$") for label in labels]
    panel.set_yticks(range(len(labels)), shown, fontsize=8)
    panel.grid(axis="y", visible=False)


def _svg(figure: Figure) -> bytes:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
