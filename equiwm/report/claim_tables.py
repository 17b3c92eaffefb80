"""What the runs of some folders say about each claim: a table a command, variant and probe, a row a setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from equiwm.report.settings import Sample, Setting
from equiwm.report.table import Table, factor, interval, number, whole
from equiwm.stats import MedianRange, median_and_range

_LATENT = "A latent model's relMSE is in its own latent: it shows flatness and is not compared between models."
_TASKS = (
    "In brackets: the range over seeds; of a single seed, where there is one, the 95% bootstrap interval over tasks."
)


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        heading: what it is called.
        quantity: name in `Reading.numbers`, or in `Reading.words`.
        show: number -> text.
    """

    heading: str
    quantity: str
    show: Callable[[float | None], str] = number


_SHORT = partial(number, digits=2)


def claim_tables(section: str, settings: Sequence[Setting]) -> list[Table]:
    """The tables of a section of metrics.json over all settings that hold it; none if none does."""
    return list(_TABLES[section](settings))


def cell(samples: Sequence[Sample], column: Column) -> str:
    """Median and range over seeds, and how many of them have the number where not all do; words are counted."""
    words = Counter(s.reading.words[column.quantity] for s in samples if column.quantity in s.reading.words)
    if words:
        return ", ".join(f"{n} {word}" if len(samples) > 1 else word for word, n in words.items())
    values = [value for s in samples if (value := s.reading.numbers.get(column.quantity)) is not None]
    if not values:
        return number(None)
    summary = median_and_range(values)
    low, high = (samples[0].reading.numbers.get(f"{column.quantity}_{end}") for end in ("low", "high"))
    if len(samples) == 1 and low is not None and high is not None:
        summary = MedianRange(values[0], low, high, 1)
    missing = f" ({len(values)} of {len(samples)})" if len(values) < len(samples) else ""
    return interval(summary, column.show) + missing


def parameter_ratio(setting: Setting, settings: Sequence[Setting]) -> float | None:
    """Parameters of the baseline over those of the model; None without a baseline."""
    sizes = {other.label: other.parameters for other in settings}
    baseline = sizes.get(setting.baseline or "")
    return baseline / setting.parameters if baseline and setting.parameters else None


def _size_cells(setting: Setting, settings: Sequence[Setting]) -> tuple[str, str]:
    parameters = setting.parameters
    return ("–" if parameters is None else f"{parameters:,}", number(parameter_ratio(setting, settings)))


_SIZE = ("parameters", "baseline / model")


def _measured(section: str, settings: Sequence[Setting]) -> Iterator[tuple[str, dict[str, list[Sample]]]]:
    """For each world, variant and probe their names, and the samples of every setting that has some."""
    found: dict[tuple[str, ...], dict[str, list[Sample]]] = {}
    for setting in settings:
        for sample in setting.of(section):
            key = (setting.world, sample.reading.variant, sample.reading.probe)
            found.setdefault(key, {}).setdefault(setting.label, []).append(sample)
    for names in sorted(found):
        yield ", ".join(names), found[names]


def _table(
    title: str,
    by_setting: Mapping[str, list[Sample]],
    settings: Sequence[Setting],
    columns: Sequence[Column],
    notes: tuple[str, ...] = (),
) -> Table:
    known = {setting.label: setting for setting in settings}
    rows = [
        (label, str(len(samples)), *_size_cells(known[label], settings), *(cell(samples, c) for c in columns))
        for label, samples in by_setting.items()
    ]
    return Table(title, ("model", "seeds", *_SIZE, *(column.heading for column in columns)), rows, notes)


_TRAIN = (
    Column("transitions", "transitions", whole),
    Column("loss, last epoch", "final_loss"),
    Column("latent spread", "latent_std"),
    Column("rank", "effective_rank"),
    Column("moved", "weights_moved"),
    Column("seconds", "seconds"),
)


def _training(settings: Sequence[Setting]) -> Iterator[Table]:
    rows = [
        (
            setting.label,
            ", ".join(map(str, setting.seeds)),
            setting.baseline or "–",
            *_size_cells(setting, settings),
            *(cell(setting.of("train"), column) for column in _TRAIN),
        )
        for setting in settings
    ]
    if rows:
        headings = ("model", "seeds", "baseline", *_SIZE, *(column.heading for column in _TRAIN))
        yield Table("Trained models: median over seeds [range]", headings, rows)


_VERIFY = (
    Column("verdict", "verdict"),
    Column("residual, initial", "initial_residual"),
    Column("after training", "relative_residual"),
    Column("max absolute", "max_abs"),
    Column("cost drift", "cost_drift"),
    Column("control (has to fail)", "control_residual"),
    Column("latent spread", "latent_std"),
)


def _verify(settings: Sequence[Setting]) -> Iterator[Table]:
    for name, found in _measured("verify_equivariance", settings):
        yield _table(f"Relative composed residual: {name}", found, settings, _VERIFY)


_SWEEP = (
    Column("relMSE, seen", "seen"),
    Column("worst unseen", "worst_ood"),
    Column("OOD factor", "ood_factor", factor),
    Column("flatness", "flatness", _SHORT),
)
_READOUT = (
    Column("seen", "readout_seen"),
    Column("worst unseen", "readout_worst_unseen"),
    Column("action alone", "readout_action_only"),
)
_EXCESS = (
    Column("world's residual", "excess_world_residual"),
    Column("model's residual", "excess_model_residual"),
    Column("they", "excess"),
)


def _sweep(settings: Sequence[Setting]) -> Iterator[Table]:
    measured = list(_measured("sweep_group", settings))
    for name, found in measured:
        yield _table(f"One-step error over the group: {name}", found, settings, _SWEEP, (_LATENT,))
    for name, found in measured:
        targets = _places(found, "readout_seen")
        rows = [
            (label, target, str(len(samples)), *(cell(samples, _at(column, target)) for column in _READOUT))
            for label, samples in found.items()
            for target in targets
            if any(f"readout_seen@{target}" in sample.reading.numbers for sample in samples)
        ]
        if rows:
            columns = ("model", "read-out", "seeds", *(column.heading for column in _READOUT))
            yield Table(f"Read-out errors over the group: {name}", columns, rows)
    for name, found in measured:
        larger = {
            label: samples for label, samples in found.items() if any("excess" in s.reading.words for s in samples)
        }
        if larger:
            yield _table(f"World and model under a larger group: {name}", larger, settings, _EXCESS)


def _at(column: Column, place: str) -> Column:
    return Column(column.heading, f"{column.quantity}@{place}", column.show)


def _places(by_setting: Mapping[str, Sequence[Sample]], quantity: str) -> list[str]:
    """Where a quantity was measured, in order of appearance."""
    names = (name for samples in by_setting.values() for s in samples for name in s.reading.numbers)
    return list(dict.fromkeys(name.partition("@")[2] for name in names if name.startswith(f"{quantity}@")))


_ROLLOUT = {
    "relative_residual": ("Relative residual of H steps", number),
    "ood_factor": ("OOD factor of H steps", factor),
}


def _rollout(settings: Sequence[Setting]) -> Iterator[Table]:
    for name, found in _measured("rollout", settings):
        horizons = sorted(_places(found, "ood_factor"), key=int)
        for quantity, (title, show) in _ROLLOUT.items():
            columns = [Column(f"H = {horizon}", f"{quantity}@{horizon}", show) for horizon in horizons]
            yield _table(f"{title}: {name}", found, settings, columns)


_LOOP = (
    Column("verdict", "verdict"),
    Column("error seen (deg)", "error_seen_deg"),
    Column("unseen (deg)", "error_unseen_deg"),
    Column("unseen - seen (deg)", "unseen_minus_seen_deg"),
    Column("unseen / seen", "unseen_over_seen", factor),
    Column("max |d_i| (deg)", "paired_abs_max_deg", _SHORT),
    Column("pairs excluded", "paired_excluded", _SHORT),
)
_SUCCESS = (
    *(
        Column(f"{which}: {side}", f"success_{which}_{side}", _SHORT)
        for which in ("any", "final")
        for side in ("seen", "unseen", "worst")
    ),
    Column("gap closed: seen", "gap_closed_seen"),
    Column("unseen", "gap_closed_unseen"),
)
_REFERENCES = (
    Column("error (deg)", "reference_error_deg"),
    Column("gap closed", "reference_fraction_closed"),
    Column("success (final)", "reference_success", _SHORT),
)


def _closed_loop(settings: Sequence[Setting]) -> Iterator[Table]:
    for name, found in _measured("closed_loop", settings):
        yield _table(f"Closed loop: {name}", found, settings, _LOOP, (_TASKS,))
        yield _table(f"Success and share of the gap closed: {name}", found, settings, _SUCCESS)
        lines = [
            (line, label, *(cell(samples, _at(column, line)) for column in _REFERENCES))
            for label, samples in found.items()
            for line in _places({label: samples}, "reference_error_deg")
        ]
        if lines:
            columns = ("line, at the seen orientation", "measured beside", *(c.heading for c in _REFERENCES))
            yield Table(f"What could have driven the same tasks: {name}", columns, lines)


_TABLES: dict[str, Callable[[Sequence[Setting]], Iterator[Table]]] = {
    "train": _training,
    "verify_equivariance": _verify,
    "sweep_group": _sweep,
    "rollout": _rollout,
    "closed_loop": _closed_loop,
}
