"""Tables of the section `closed_loop`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from equiwm.report.sides import sides_of
from equiwm.report.table import Table, number

Side = Mapping[str, Any]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def orientation_means(side: Side) -> list[float]:
    """Mean error over the tasks at the identity and at every element of the orbit."""
    return [_mean([row[m] for row in side["error_deg"]]) for m in range(1 + len(side["orbit"]))]


def _estimate(entry: Mapping[str, Any], key: str) -> str:
    low, high = entry["ci95"]
    digits = 4 if key == "ratio" else 3
    return f"{number(entry[key], digits)} [{number(low, digits)}, {number(high, digits)}]"


def _success(side: Side, which: str) -> str:
    rates = side["success_rate"][which]
    return f"{rates['seen']:.2f} / {rates['ood']:.2f} / {min(rates['each']):.2f}"


def _positions(side: Side) -> str:
    seen, unseen = (_mean([_mean(row[part]) for row in side["position_error"]]) for part in (slice(1), slice(1, None)))
    return f"{number(seen)} / {number(unseen)} {side['unit']}"


def _p(side: Side) -> str:
    sign, flip = side["sign_test"], side["sign_flip_test"]
    return f"{number(sign['p'], 2)} ({sign['n']} that differ) / {number(flip['p'], 2)}"


_ROWS: dict[str, Callable[[Side], str]] = {
    "error seen / mean unseen (deg)": lambda side: (
        f"{number(orientation_means(side)[0])} / {number(_mean(orientation_means(side)[1:]))}"
    ),
    "unseen minus seen (deg) [95%]": lambda side: _estimate(side["ood_minus_seen"], "mean"),
    "unseen / seen [95%]": lambda side: _estimate(side["ood_over_seen"], "ratio"),
    "paired: max |d_i| (deg)": lambda side: number(side["paired_abs_max_deg"], 2),
    "paired: median |d_i| (deg)": lambda side: number(side["paired_abs_median_deg"], 2),
    "paired: max |d_i|, final pose (deg)": lambda side: number(side["paired_final_abs_max_deg"], 2),
    "paired: pairs above 1e-6 deg": lambda side: f"{side['paired_above']} of {side['paired_pairs']}",
    "paired: unseen minus seen (deg) [95%]": lambda side: _estimate(side["paired_ood_minus_seen"], "mean"),
    "pairs excluded": lambda side: f"{side['paired_excluded']:.1%}",
    "p: sign test / sign-flip test": _p,
    "position error seen / mean unseen": _positions,
    "success (any) seen / unseen / worst": lambda side: _success(side, "any"),
    "success (final) seen / unseen / worst": lambda side: _success(side, "final"),
    "gap closed seen / unseen": lambda side: (
        f"{side['fraction_closed']['seen']:.3f} / {side['fraction_closed']['ood']:.3f}"
    ),
    "verdict": lambda side: side["verdict"],
}


def closed_loop_tables(entry: Side, name: str) -> list[Table]:
    """Section `closed_loop`: what was measured, model and baseline as columns; then error and success at each
    orientation; then, where they were run, the lines without the model."""
    shown = sides_of(entry, name)
    rows = [(quantity, *(cell(side) for side in shown.values())) for quantity, cell in _ROWS.items()]
    title = (
        f"{name}: closed loop, {entry['planner']} planner ({entry['method']}), goal {entry['goal']}, "
        f"{entry['group'].upper()}, {entry['dtype']}, {entry['tasks']} tasks x (1 + {len(entry['orbit'])}) orientations"
    )
    tables = [Table(title, ("quantity", *shown), rows, _notes(shown))]
    headings = ("orientation", *(f"{model}: {what}" for model in shown for what in ("error (deg)", "success (any)")))
    means = {model: orientation_means(side) for model, side in shown.items()}
    orientations = [
        (
            label,
            *(
                cell
                for model, side in shown.items()
                for cell in (number(means[model][m]), f"{_mean([float(row[m]) for row in side['solved']['any']]):.2f}")
            ),
        )
        for m, label in enumerate(["seen", *entry["orbit"]])
    ]
    tables.append(Table(f"{name}: error and success at each orientation", headings, orientations))
    if entry["references"]:
        lines = [
            (model, number(_mean([row[0] for row in side["error_deg"]])), *_line(side)) for model, side in shown.items()
        ]
        lines += [
            (line["name"], number(line["error_deg"]), f"{line['fraction_closed']:.3f}", f"{line['success']:.2f}")
            for line in entry["references"]
        ]
        columns = ("line, at the seen orientation", "error (deg)", "gap closed", "success (final)")
        tables.append(Table(f"{name}: what the world model adds", columns, lines))
    return tables


def _line(side: Side) -> tuple[str, str]:
    return f"{side['fraction_closed']['seen']:.3f}", f"{side['success_rate']['final']['seen']:.2f}"


def _notes(shown: Mapping[str, Side]) -> tuple[str, ...]:
    side = next(iter(shown.values()))
    pose = "the best pose on the way" if side["scored"] == "best" else "the final pose"
    notes = [
        f"Errors are of {pose}, against {number(_mean(side['initial_error_deg']))} deg at the start. d_i: error at an "
        "orientation minus error of the same task at the seen one.",
        f"Success: angle < {side['criterion']['angle_deg']:g} deg and position < {side['criterion']['distance']:g} "
        f"{side['unit']}, at the best pose on the way (any) or at the end (final), over every task.",
    ]
    for model, one in shown.items():
        notes.append(f"{model}: {one['verdict']}, {one['reason']}.")
        reasons = Counter(exclusion["reason"] for exclusion in one["excluded"])
        notes += [f"{model}: excluded from paired figures: {n} episodes, {reason}" for reason, n in reasons.items()]
    return tuple(notes)
