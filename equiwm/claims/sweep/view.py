"""How a sweep over the group is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from equiwm.claims.sweep.result import Bin, Outcomes, SweepResult
from equiwm.claims.view import Drawing, Factor, Shown, View
from equiwm.results.measured import Measured
from equiwm.stats import largest
from equiwm.tables.columns import Column, Comparison
from equiwm.tables.seeds import over_seeds, place_by_place, where_it_applies
from equiwm.tables.table import Table, factor, number

_LATENT = "A latent model's relMSE is in its own latent: it shows flatness and is not compared between models."
_SHORT = partial(number, digits=2)

SEEN: Column[SweepResult] = Column("seen", "relMSE, seen", lambda result: result.seen)
WORST: Column[SweepResult] = Column(
    "worst_ood", "worst unseen", lambda result: result.worst_ood, label="relMSE, worst unseen"
)
FACTOR: Column[SweepResult] = Column("ood_factor", "OOD factor", lambda result: result.ood_factor, factor)
FLATNESS: Column[SweepResult] = Column("flatness", "flatness", lambda result: result.flatness, _SHORT)
HEADLINES = (SEEN, WORST, FACTOR, FLATNESS)


def _median(values: Sequence[float]) -> float:
    """NaN where one is."""
    return float(np.median(values))


def _words(target: str) -> str:
    return target.replace("_", " ")


READOUTS: tuple[Column[SweepResult], ...] = (
    Column("readout_seen", "seen", lambda result: {_words(t): each.seen for t, each in result.readout.items()}),
    Column(
        "readout_worst_unseen",
        "worst unseen",
        lambda result: {_words(t): each.worst_unseen for t, each in result.readout.items()},
    ),
    Column(
        "readout_action_only",
        "action alone",
        lambda result: {_words(t): each.action_only for t, each in result.readout.items()},
    ),
)
EXCESS: tuple[Column[SweepResult], ...] = (
    Column(
        "excess_world_residual",
        "world's residual",
        lambda result: None if result.symmetry_excess is None else result.symmetry_excess.world,
    ),
    Column(
        "excess_model_residual",
        "model's residual",
        lambda result: None if result.symmetry_excess is None else result.symmetry_excess.model,
    ),
    Column(
        "excess",
        "they",
        lambda result: (
            None if result.symmetry_excess is None else "agree" if result.symmetry_excess.agree else "disagree"
        ),
    ),
)
BINS: Column[SweepResult] = Column(
    "relmse", "relMSE", lambda result: {entry.label: entry.relmse for entry in result.bins}
)


OUTCOMES: Mapping[Outcomes, str] = {
    "turned": "",
    "stepped": "Each test set was stepped afresh by the world.",
    "recorded": "Bins are what was recorded at each orientation, not one set that is turned: this world is not "
    "known to carry the group (world.symmetric).",
    "unknown": "",
}


def asked(result: SweepResult) -> str:
    """Group and precision."""
    return f"{result.group.upper()}, {result.dtype}"


def probe(result: SweepResult) -> str:
    """Bins and transitions."""
    return f"{len(result.bins)} bins x {result.transitions} transitions"


def test_name(result: SweepResult) -> str | None:
    """The group; a larger one than the world's is no test, for no model of that world could be flat there.

    Nor are bins of what was recorded, which hold other situations each.
    """
    return (
        None
        if result.symmetry_excess is not None or result.outcomes == "recorded"
        else f"{result.group.upper()}, one step"
    )


def sweep_tables(measured: Measured[SweepResult], name: str) -> list[Table]:
    """Error in each bin, what it comes to, and the read-outs; model and baseline as columns."""
    sides, result = measured.sides(name), measured.result
    components = list(result.bins[0].components)
    drawn = [k for k, entry in enumerate(result.bins) if entry.drawn]
    groups: list[tuple[str, str, list[int], Callable[[list[float]], float]]] = [
        (entry.label, entry.overlap, [k], largest) for k, entry in enumerate(result.bins) if not entry.drawn
    ]
    if drawn:
        overlaps = ", ".join(dict.fromkeys(result.bins[k].overlap for k in drawn))
        groups.append((f"random, median of {len(drawn)}", overlaps, drawn, _median))
        groups.append((f"random, worst of {len(drawn)}", overlaps, drawn, largest))
    rows = []
    for label, overlap, members, pick in groups:
        cells = [_bin_cells([side.bins[k] for k in members], components, pick) for side in sides.values()]
        rows.append((label, overlap, *(cell for column in zip(*cells, strict=True) for cell in column)))
    headings = (*sides, *(f"{side} {part}" for part in components for side in sides))
    title = f"{name}: one-step relMSE over {asked(result)}, {result.transitions} transitions"
    latent = "Each model's relMSE is in its own latent: it shows flatness and is not compared between models."
    notes = tuple(filter(None, (OUTCOMES[result.outcomes], "" if components else latent)))
    return [
        Table(title, ("bin", "overlap", *headings), rows, notes),
        Table(f"{name}: summary", ("quantity", *sides), _summary(sides), _excess_notes(sides)),
    ]


def _bin_cells(bins: Sequence[Bin], components: Sequence[str], pick: Callable[[list[float]], float]) -> list[str]:
    """For each quantity of a side, `pick` over some bins: relMSE, then each component's."""
    values = [[entry.relmse for entry in bins]]
    values += [[entry.components[part] for entry in bins] for part in components]
    return [number(pick(column), 6 if index == 0 else 4) for index, column in enumerate(values)]


def _summary(sides: Mapping[str, SweepResult]) -> list[tuple[str, ...]]:
    results = list(sides.values())
    rows = [
        (column.label or column.heading, *(column.text(result, digits=6) for result in results)) for column in HEADLINES
    ]
    parts = results[0].part_flatness
    if len(parts) > 1:
        words = {"translation": "translation alone (centring)", "rotation": "rotation alone (the network)"}
        for part in parts:
            flat = (number(result.part_flatness[part]) for result in results)
            rows.append((f"flatness, {words.get(part, part)}", *flat))
    rows.append(("parameters", *(f"{result.parameters:,}" for result in results)))
    rows += [
        (f"read-out, {target}: {column.heading}", *(column.text(result, place=target) for result in results))
        for target in READOUTS[0].places(results[:1])
        for column in READOUTS
    ]
    return rows


def _excess_notes(sides: Mapping[str, SweepResult]) -> tuple[str, ...]:
    notes = []
    for name, side in sides.items():
        excess = side.symmetry_excess
        if excess is None:
            continue
        has = {True: "carries", False: "does not carry"}
        verdict = (
            "they agree"
            if excess.agree
            else "the model carries a symmetry that its world does not have"
            if excess.model_symmetric
            else "the model misses a symmetry that its world has"
        )
        notes.append(
            f"{name}: its world {has[excess.world_symmetric]} {excess.group.upper()} (residual "
            f"{number(excess.world)}), the model {has[excess.model_symmetric]} it (residual {number(excess.model)}): "
            f"{verdict}."
        )
    return tuple(notes)


def overview(compared: Sequence[Comparison[SweepResult]]) -> Iterator[Table]:
    """Errors, read-outs, and world and model under a larger group."""
    for each in compared:
        yield over_seeds("One-step error over the group", each, HEADLINES, (_LATENT,))
    for each in compared:
        yield from place_by_place("Read-out errors over the group", each, "read-out", READOUTS)
    for each in compared:
        yield from where_it_applies("World and model under a larger group", each, EXCESS)


def drawings(shown: Shown[SweepResult]) -> Iterator[Drawing]:
    """Error over the orbit."""
    from equiwm.claims.sweep.figure import sweep_figure

    result = shown.measured.result
    about = f"one-step error and read-out errors over the group {result.group.upper()}, {result.dtype}"
    yield Drawing(f"sweep_{result.group}_{result.dtype}", lambda folder: sweep_figure(shown.sides, folder), about)


VIEW: View[SweepResult] = View(
    heading="Claim B: what is learned on the wedge holds on the whole group",
    about="A held-out test set, turned into every bin of the group's orbit.",
    columns=(*HEADLINES, *READOUTS, *EXCESS, BINS),
    tables=sweep_tables,
    overview=overview,
    drawings=drawings,
    asked=asked,
    probe=probe,
    factor=Factor(FACTOR, test_name),
)
