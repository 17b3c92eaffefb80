"""How success over the orbit is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equiwm.claims.success.result import Share, SuccessSweep
from equiwm.claims.view import Drawing, Shown, View
from equiwm.results.measured import Measured
from equiwm.tables.columns import Column, Comparison
from equiwm.tables.seeds import over_seeds
from equiwm.tables.table import Table, number

SEEN: Column[SuccessSweep] = Column("seen_final", "success (final), seen", lambda result: result.bins[0].final.share)
UNSEEN: Column[SuccessSweep] = Column(
    "unseen_final", "unseen", lambda result: None if result.unseen_final is None else result.unseen_final.share
)
SEEN_ANY: Column[SuccessSweep] = Column("seen_any", "success (any), seen", lambda result: result.bins[0].any.share)
UNSEEN_ANY: Column[SuccessSweep] = Column(
    "unseen_any", "unseen", lambda result: None if result.unseen_any is None else result.unseen_any.share
)
LEAST: Column[SuccessSweep] = Column(
    "least_final", "least of a bin (final)", lambda result: min(each.final.share for each in result.bins)
)
DISAGREE: Column[SuccessSweep] = Column(
    "disagree", "episodes that end otherwise than unturned", lambda result: result.disagree
)
BINS: Column[SuccessSweep] = Column(
    "final", "success (final)", lambda result: {each.label: each.final.share for each in result.bins}
)


def _text(share: Share) -> str:
    return f"{number(share.share, 2)} [{number(share.low, 2)}, {number(share.high, 2)}]"


def asked(result: SuccessSweep) -> str:
    """Group and precision."""
    return f"{result.group.upper()}, {result.dtype}"


def probe(result: SuccessSweep) -> str:
    """Tasks and orientations."""
    return f"{result.tasks} tasks x {len(result.bins)} orientations"


def success_tables(measured: Measured[SuccessSweep], name: str) -> list[Table]:
    """Success at every orientation, model and baseline as columns, and what it comes to."""
    sides, result = measured.sides(name), measured.result
    rows = []
    own = [{entry.label: entry for entry in side.bins} for side in sides.values()]
    for entry in result.bins:
        here = [bins.get(entry.label) for bins in own]
        cells = [
            text for each in here for text in (("–", "–") if each is None else (_text(each.final), _text(each.any)))
        ]
        rows.append((entry.label, entry.overlap, *cells))
    if result.unseen_final is not None:
        cells = []
        for side in sides.values():
            cells += ["–" if each is None else _text(each) for each in (side.unseen_final, side.unseen_any)]
        rows.append(("all unseen", "none", *cells))
    headings = [f"{side}, {pose} pose" for side in sides for pose in ("final", "best")]
    notes = [
        f"Share of {result.tasks} tasks with Wilson's 95% interval, in which a task counts once however often it is "
        f"turned; solved: {result.criterion}."
    ]
    notes += [
        f"{side}: {each.disagree} of {each.pairs} turned episodes end otherwise than the same task unturned "
        f"({sum(entry.excluded for entry in each.bins)} touched what is outside the symmetry)."
        for side, each in sides.items()
    ]
    notes += [
        f"{side} was turned by {each.group.upper()}: its bins hold other orientations than those of {name}."
        for side, each in sides.items()
        if each.group != result.group
    ]
    title = f"{name}: success over {asked(result)}, {probe(result)}"
    return [Table(title, ("bin", "overlap", *headings), rows, tuple(notes))]


def overview(compared: Sequence[Comparison[SuccessSweep]]) -> Iterator[Table]:
    """Success at seen and unseen orientations."""
    for each in compared:
        yield over_seeds("Success over the orbit", each, (SEEN, UNSEEN, SEEN_ANY, UNSEEN_ANY, LEAST, DISAGREE))


def drawings(shown: Shown[SuccessSweep]) -> Iterator[Drawing]:
    """Success on the circle, on the sphere, or against the angle from the wedge."""
    from equiwm.claims.success.figure import success_figure

    result = shown.measured.result
    yield Drawing(f"success_{result.group}_{result.dtype}", lambda folder: success_figure(shown.sides, folder))


VIEW: View[SuccessSweep] = View(
    heading="Success over the orbit",
    about="The same tasks at every orientation, planned and acted out with one planner seed each.",
    columns=(SEEN, UNSEEN, SEEN_ANY, UNSEEN_ANY, LEAST, DISAGREE, BINS),
    tables=success_tables,
    overview=overview,
    drawings=drawings,
    asked=asked,
    probe=probe,
)
