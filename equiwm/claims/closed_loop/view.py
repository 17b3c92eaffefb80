"""How a closed loop is shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from equiwm.claims.closed_loop.criteria_tables import criteria_table
from equiwm.claims.closed_loop.result import (
    POLICY,
    ChannelError,
    ClosedLoopResult,
    MeanEstimate,
    RatioEstimate,
    Recording,
    SuccessRates,
)
from equiwm.claims.view import Drawing, Factor, Shown, View
from equiwm.results.measured import Measured
from equiwm.tables.columns import Column, Comparison, Estimate
from equiwm.tables.seeds import over_seeds
from equiwm.tables.table import Table, factor, number

_TASKS = (
    "In brackets: the range over seeds; of a single seed, where there is one, the 95% bootstrap interval over tasks."
)
_BY_CHANNELS = (
    "Where a goal is given by channels and tolerances, deg stands for the largest error of a channel in its tolerance."
)
_SHORT = partial(number, digits=2)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def orientation_means(result: ClosedLoopResult) -> list[float]:
    """Mean error over the tasks at the identity and at every element of the orbit."""
    return [_mean([row[m] for row in result.error_deg]) for m in range(1 + len(result.orbit))]


def _estimate(entry: MeanEstimate | RatioEstimate) -> Estimate:
    return Estimate(entry.mean if isinstance(entry, MeanEstimate) else entry.ratio, *entry.ci95)


VERDICT: Column[ClosedLoopResult] = Column("verdict", "verdict", lambda result: result.verdict)
ERROR_SEEN: Column[ClosedLoopResult] = Column(
    "error_seen_deg", "error seen (deg)", lambda result: orientation_means(result)[0]
)
ERROR_UNSEEN: Column[ClosedLoopResult] = Column(
    "error_unseen_deg", "unseen (deg)", lambda result: _mean(orientation_means(result)[1:])
)
DIFFERENCE: Column[ClosedLoopResult] = Column(
    "unseen_minus_seen_deg", "unseen - seen (deg)", lambda result: _estimate(result.ood_minus_seen)
)
FACTOR: Column[ClosedLoopResult] = Column(
    "unseen_over_seen", "unseen / seen", lambda result: _estimate(result.ood_over_seen), factor
)
PAIRED_MAX: Column[ClosedLoopResult] = Column(
    "paired_abs_max_deg", "max |d_i| (deg)", lambda result: result.paired_abs_max_deg, _SHORT
)
PAIRED_MEDIAN: Column[ClosedLoopResult] = Column(
    "paired_abs_median_deg", "median |d_i| (deg)", lambda result: result.paired_abs_median_deg, _SHORT
)
ABOVE: Column[ClosedLoopResult] = Column("paired_above", "pairs above 1e-6 deg", lambda result: result.paired_above)
EXCLUDED: Column[ClosedLoopResult] = Column(
    "paired_excluded", "pairs excluded", lambda result: result.paired_excluded, _SHORT
)


def _worst(rates: SuccessRates) -> float:
    return min(rates.each, default=math.nan)


def _success(name: str, of: Callable[[ClosedLoopResult], SuccessRates]) -> tuple[Column[ClosedLoopResult], ...]:
    """Success at the seen orientation, over the unseen ones, and at the worst of them."""
    return (
        Column(f"success_{name}_seen", f"{name}: seen", lambda result: of(result).seen, _SHORT),
        Column(f"success_{name}_unseen", f"{name}: unseen", lambda result: of(result).ood, _SHORT),
        Column(f"success_{name}_worst", f"{name}: worst", lambda result: _worst(of(result)), _SHORT),
    )


SUCCESS = (
    *_success("any", lambda result: result.success_rate.any),
    *_success("final", lambda result: result.success_rate.final),
)
CLOSED: tuple[Column[ClosedLoopResult], ...] = (
    Column("gap_closed_seen", "gap closed: seen", lambda result: result.fraction_closed.seen),
    Column("gap_closed_unseen", "unseen", lambda result: result.fraction_closed.ood),
)
REFERENCES: tuple[Column[ClosedLoopResult], ...] = (
    Column(
        "reference_error_deg", "error (deg)", lambda result: {each.name: each.error_deg for each in result.references}
    ),
    Column(
        "reference_fraction_closed",
        "gap closed",
        lambda result: {each.name: each.fraction_closed for each in result.references},
    ),
    Column(
        "reference_success",
        "success (final)",
        lambda result: {each.name: each.success for each in result.references},
        _SHORT,
    ),
)


def asked(result: ClosedLoopResult) -> str:
    """Planner and goal, and what differs from float64, cem and the world's own tasks."""
    task = "" if result.task == "own" else f"task {result.task}, "
    dtype = "" if result.dtype == "float64" else f", {result.dtype}"
    if result.planner == POLICY:  # each under its own name, so that they stand side by side
        return f"{task}policies{dtype}"
    method = "" if result.method == "cem" else f", {result.method}"
    return f"{task}{result.planner} planner, goal {result.goal}{dtype}{method}"


def probe(result: ClosedLoopResult) -> str:
    """Group, tasks and orientations."""
    return f"{result.group.upper()}, {result.tasks} tasks x (1 + {len(result.orbit)}) orientations"


def _interval(entry: MeanEstimate | RatioEstimate) -> str:
    found = _estimate(entry)
    digits = 4 if isinstance(entry, RatioEstimate) else 3
    return f"{number(found.value, digits)} [{number(found.low, digits)}, {number(found.high, digits)}]"


def _rates(rates: SuccessRates) -> str:
    return " / ".join(
        number(None) if math.isnan(rate) else f"{rate:.2f}" for rate in (rates.seen, rates.ood, _worst(rates))
    )


def _share(value: float) -> str:
    return number(None) if math.isnan(value) else f"{value:.3f}"


def _positions(side: ClosedLoopResult) -> str:
    seen, unseen = (_mean([_mean(row[part]) for row in side.position_error]) for part in (slice(1), slice(1, None)))
    return f"{number(seen)} / {number(unseen)} {side.unit}"


def _p(side: ClosedLoopResult) -> str:
    return f"{number(side.sign_test.p, 2)} ({side.sign_test.n} that differ) / {number(side.sign_flip_test.p, 2)}"


_ROWS: dict[str, Callable[[ClosedLoopResult], str]] = {
    "error seen / mean unseen (deg)": lambda side: f"{ERROR_SEEN.text(side)} / {ERROR_UNSEEN.text(side)}",
    "unseen minus seen (deg) [95%]": lambda side: _interval(side.ood_minus_seen),
    "unseen / seen [95%]": lambda side: _interval(side.ood_over_seen),
    "paired: max |d_i| (deg)": PAIRED_MAX.text,
    "paired: median |d_i| (deg)": PAIRED_MEDIAN.text,
    "paired: max |d_i|, final pose (deg)": lambda side: number(side.paired_final_abs_max_deg, 2),
    "paired: pairs above 1e-6 deg": lambda side: f"{side.paired_above} of {side.paired_pairs}",
    "paired: unseen minus seen (deg) [95%]": lambda side: _interval(side.paired_ood_minus_seen),
    "pairs excluded": lambda side: f"{side.paired_excluded:.1%}",
    "p: sign test / sign-flip test": _p,
    "position error seen / mean unseen": _positions,
    "success (any) seen / unseen / worst": lambda side: _rates(side.success_rate.any),
    "success (final) seen / unseen / worst": lambda side: _rates(side.success_rate.final),
    "gap closed seen / unseen": lambda side: (
        f"{_share(side.fraction_closed.seen)} / {_share(side.fraction_closed.ood)}"
    ),
    "verdict": VERDICT.text,
}
_OF_POSES = ("position error seen / mean unseen",)
"""What a goal by channels has none of."""
_PAIRED = (
    "unseen minus seen (deg) [95%]",
    "unseen / seen [95%]",
    "paired: max |d_i| (deg)",
    "paired: median |d_i| (deg)",
    "paired: max |d_i|, final pose (deg)",
    "paired: pairs above 1e-6 deg",
    "paired: unseen minus seen (deg) [95%]",
    "pairs excluded",
    "p: sign test / sign-flip test",
)
"""What there is of turned tasks alone."""


def closed_loop_tables(measured: Measured[ClosedLoopResult], name: str) -> list[Table]:
    """What was measured, model and baseline as columns; then error and success at each orientation; then, where they
    were run, the lines without the model."""
    shown, result = measured.sides(name), measured.result
    unit, paired = _unit(result), bool(result.orbit)
    rows = [
        (_in(quantity, unit), *(cell(side) for side in shown.values()))
        for quantity, cell in _ROWS.items()
        if (paired or quantity not in _PAIRED) and (unit == "deg" or quantity not in _OF_POSES)
    ]
    acts = f"{result.planner} planner ({result.method}), goal {result.goal}"
    title = (
        f"{name}: closed loop, {f'policy {result.goal}' if result.planner == POLICY else acts}, "
        f"{result.group.upper()}, {result.dtype}, {result.tasks} tasks x (1 + {len(result.orbit)}) orientations"
    )
    tables = [Table(title, ("quantity", *shown), rows, _notes(shown)), _orientations(shown, name)]
    if result.channels:
        tables.append(_channels(shown, name))
    criteria = criteria_table(shown, name)
    if criteria is not None:
        tables.insert(0 if result.task != "own" else 1, criteria)
    if result.references:
        lines = [
            (
                model,
                ERROR_SEEN.text(side),
                _share(side.fraction_closed.seen),
                f"{side.success_rate.final.seen:.2f}",
            )
            for model, side in shown.items()
        ]
        lines += [
            (line.name, number(line.error_deg), _share(line.fraction_closed), f"{line.success:.2f}")
            for line in result.references
        ]
        columns = ("line, at the seen orientation", *(column.heading for column in REFERENCES))
        tables.append(Table(f"{name}: what the world model adds", columns, lines))
    return tables


def _unit(side: ClosedLoopResult) -> str:
    return "deg" if side.measure == "deg" else "tol."


def _in(quantity: str, unit: str) -> str:
    return quantity.replace("(deg)", f"({unit})").replace(" deg", f" {unit}")


def _channels(shown: Mapping[str, ClosedLoopResult], name: str) -> Table:
    """The quantities that the goal names, each in its own unit."""
    headings = (
        "model",
        "quantity",
        "tolerance",
        "error seen",
        *(("mean unseen", "max |d_i|") if next(iter(shown.values())).orbit else ()),
    )
    rows = [
        (model, channel.name, _of(channel.tolerance, channel.unit), *_errors(channel, paired=bool(side.orbit)))
        for model, side in shown.items()
        for channel in side.channels
    ]
    return Table(f"{name}: errors of what the goal names, each in its own unit", headings, rows)


def _errors(channel: ChannelError, *, paired: bool) -> tuple[str, ...]:
    parts = (slice(1), slice(1, None)) if paired else (slice(1),)
    means = [_mean([_mean(row[part]) for row in channel.error]) for part in parts]
    apart = (f"{number(channel.paired_abs_max, 2)} {channel.unit}".rstrip(),) if paired else ()
    return (*(_of(mean, channel.unit) for mean in means), *apart)


def _of(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".rstrip()


def _orientations(shown: Mapping[str, ClosedLoopResult], name: str) -> Table:
    side = next(iter(shown.values()))
    what = (f"error ({_unit(side)})", "success (any)")
    headings = ("orientation", *(f"{model}: {each}" for model in shown for each in what))
    means = {model: orientation_means(side) for model, side in shown.items()}
    rows = [
        (
            label,
            *(
                cell
                for model, side in shown.items()
                for cell in (number(means[model][m]), f"{_mean([float(row[m]) for row in side.solved.any]):.2f}")
            ),
        )
        for m, label in enumerate(["seen", *next(iter(shown.values())).orbit])
    ]
    return Table(f"{name}: error and success at each orientation", headings, rows)


def _notes(shown: Mapping[str, ClosedLoopResult]) -> tuple[str, ...]:
    side = next(iter(shown.values()))
    pose = "the best pose on the way" if side.scored == "best" else "the final pose"
    start = number(_mean(side.initial_error_deg))
    notes = [
        f"Errors are of {pose}, against {start} {_unit(side)} at the start. d_i: error at an orientation minus error "
        "of the same task at the seen one.",
        f"Success: {_criterion(side)}, at the best pose on the way (any) or at the end (final), over every task.",
    ]
    if side.measure != "deg":
        notes.insert(0, "tol.: the largest error of a quantity that the goal names, in units of its tolerance.")
    for model, one in shown.items():
        notes.append(f"{model}: {one.verdict}, {one.reason}.")
        reasons = Counter(exclusion.reason for exclusion in one.excluded)
        notes += [f"{model}: excluded from paired figures: {n} episodes, {reason}" for reason, n in reasons.items()]
    return tuple(notes)


def _criterion(side: ClosedLoopResult) -> str:
    if side.channels:
        return " and ".join(f"{each.name} < {_of(each.tolerance, each.unit)}" for each in side.channels)
    return f"angle < {side.criterion.angle_deg:g} deg and position < {side.criterion.distance:g} {side.unit}"


def overview(compared: Sequence[Comparison[ClosedLoopResult]]) -> Iterator[Table]:
    """Errors and paired differences; success; and the lines without the model."""
    loop = (VERDICT, ERROR_SEEN, ERROR_UNSEEN, DIFFERENCE, FACTOR, PAIRED_MAX, EXCLUDED)
    for each in compared:
        by_channels = any(result.measure != "deg" for line in each.lines for result in line.results)
        yield over_seeds("Closed loop", each, loop, (_TASKS, *((_BY_CHANNELS,) if by_channels else ())))
        yield over_seeds("Success and share of the gap closed", each, (*SUCCESS, *CLOSED))
        lines = [
            (place, line.label, *(column.cell(line.results, place) for column in REFERENCES))
            for line in each.lines
            for place in REFERENCES[0].places(line.results)
        ]
        if lines:
            headings = ("line, at the seen orientation", "measured beside", *(c.heading for c in REFERENCES))
            yield Table(f"What could have driven the same tasks: {each.name}", headings, lines)


def drawings(shown: Shown[ClosedLoopResult]) -> Iterator[Drawing]:
    """Paired differences and errors; one task's paths; and, where it was asked for, the same as a video."""
    from equiwm.claims.closed_loop import figures

    result = shown.measured.result
    file = "closed_loop_" + result.variant.replace("/", "_")
    planned = f"{result.planner} planner, goal {result.goal}, {result.group.upper()}"
    about = f"closed loop, {planned}: how far the error of a task changes when it is turned, and the mean errors"
    yield Drawing(file, lambda folder: figures.closed_loop_figure(shown.sides, folder, file), about)
    recordings = {side: kept for side, kept in shown.recordings.items() if isinstance(kept, Recording)}
    paths = (
        figures.paths_frame(recordings, ["seen", *result.orbit])
        if recordings
        else figures.read_paths(shown.figures, f"{file}_paths.csv")
    )
    if paths is None:
        return
    about = f"closed loop, {planned}: the paths of one task at every orientation, turned back; equal ones are one line"
    yield Drawing(f"{file}_paths", lambda folder: figures.paths_figure(paths, folder, f"{file}_paths"), about)
    if any(kept.video for kept in recordings.values()):
        from equiwm.claims.closed_loop.video import write_video

        yield Drawing(file, lambda folder: write_video(paths, folder, file))


VIEW: View[ClosedLoopResult] = View(
    heading="Claim C: the closed loop is the same at every orientation",
    about="Every task planned and acted as seen and turned; d_i is the error turned minus the error as seen, task by "
    "task.",
    columns=(
        *(VERDICT, ERROR_SEEN, ERROR_UNSEEN, DIFFERENCE, FACTOR, PAIRED_MAX, PAIRED_MEDIAN, ABOVE, EXCLUDED),
        *(*SUCCESS, *CLOSED, *REFERENCES),
    ),
    tables=closed_loop_tables,
    overview=overview,
    drawings=drawings,
    headlines=(VERDICT, ERROR_SEEN, FACTOR),
    asked=asked,
    probe=probe,
    factor=Factor(FACTOR, lambda result: f"closed loop, {asked(result)}"),
)
