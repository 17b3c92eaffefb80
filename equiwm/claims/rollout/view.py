"""How rollouts are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from equiwm.claims.rollout.result import Compared, RolloutResult
from equiwm.claims.view import Drawing, Factor, Shown, View
from equiwm.results.measured import Measured
from equiwm.stats import largest
from equiwm.tables.columns import Column, Comparison
from equiwm.tables.seeds import across_places
from equiwm.tables.table import Table, factor, number


def _at(pick: Callable[[RolloutResult], list[float]]) -> Callable[[RolloutResult], dict[str, float]]:
    """One number a horizon."""
    return lambda result: dict(zip(map(str, result.horizons), pick(result), strict=True))


SEEN: Column[RolloutResult] = Column("seen_relmse", "relMSE seen", _at(lambda result: result.seen_relmse))
UNSEEN: Column[RolloutResult] = Column("ood_relmse", "unseen", _at(lambda result: result.ood_relmse))
FACTOR: Column[RolloutResult] = Column("ood_factor", "OOD factor", _at(lambda result: result.ood_factor), factor)
RESIDUAL: Column[RolloutResult] = Column("relative_residual", "residual", _at(lambda result: result.relative_residual))
MAX_ABS: Column[RolloutResult] = Column("max_abs", "max absolute", _at(lambda result: result.max_abs))
STATE: Column[RolloutResult] = Column(
    "relmse_state", "relMSE of the state, seen", _at(lambda result: result.relmse_state)
)
STATE_UNSEEN: Column[RolloutResult] = Column("ood_relmse_state", "unseen", _at(lambda result: result.ood_relmse_state))

COMPARED: Mapping[Compared, str] = {
    "unseen": "",
    "all": "Training has seen every orientation: what stands as unseen is the same sequences, turned to any.",
    "recorded": "Unseen are other sequences, recorded outside of world.wedge: this world is not known to carry the "
    "group (world.symmetric).",
    "nothing": "Nothing is unseen: training has seen every orientation that was recorded (world.wedge holds some out).",
}


def rollout_tables(measured: Measured[RolloutResult], name: str) -> list[Table]:
    """One row a horizon, the model's table and its baseline's."""
    return [_rollout_table(side, model) for model, side in measured.sides(name).items()]


def _rollout_table(side: RolloutResult, name: str) -> Table:
    columns = (SEEN, UNSEEN, FACTOR, STATE, STATE_UNSEEN, RESIDUAL, MAX_ABS)
    rows = [
        (
            str(horizon),
            str(side.sequences[k]),
            *(column.text(side, 6 if column is FACTOR else 3, str(horizon)) for column in columns),
        )
        for k, horizon in enumerate(side.horizons)
    ]
    off = [abs(value - 1.0) for value in side.ood_factor]
    worst = [number(largest(values)) for values in (off, side.relative_residual)]
    notes = [
        f"Over the horizons, |OOD factor - 1| is at most {worst[0]} and the residual at most {worst[1]}. "
        f"Latent spread {number(side.latent_std)}."
    ]
    notes += [
        f"excluded at H = {horizon}: "
        + "; ".join(f"{count:,} sequences, {reason}" for reason, count in reasons.items())
        for horizon, reasons in zip(side.horizons, side.excluded, strict=True)
        if reasons
    ]
    notes += [f"H = {horizon} was not measured: {reason}" for horizon, reason in side.unmeasured.items()]
    notes += [COMPARED[side.compared]] if COMPARED[side.compared] else []
    if side.space == "latent":
        notes.append("relMSE is in the model's own latent: it shows flatness and is not compared between models.")
    title = f"{name}: rollouts, {asked(side)}, {side.elements} elements, {side.parameters:,} parameters"
    return Table(title, ("H", "sequences", *(column.heading for column in columns)), rows, tuple(notes))


def overview(compared: Sequence[Comparison[RolloutResult]]) -> Iterator[Table]:
    """Residual and OOD factor, a column a horizon."""
    for each in compared:
        horizons = sorted(FACTOR.places([result for line in each.lines for result in line.results]), key=int)
        yield across_places("Relative residual of H steps", each, RESIDUAL, horizons, "H = {}")
        yield across_places("OOD factor of H steps", each, FACTOR, horizons, "H = {}")


def asked(result: RolloutResult) -> str:
    """Group and precision."""
    return f"{result.group.upper()}, {result.dtype}"


def probe(result: RolloutResult) -> str:
    """Sequences and elements."""
    return f"{max(result.sequences)} sequences, {result.elements} elements"


def drawings(shown: Shown[RolloutResult]) -> Iterator[Drawing]:
    """Residual and OOD factor against the horizon."""
    from equiwm.claims.rollout.figure import rollout_figure

    result = shown.measured.result
    about = f"relative residual and OOD factor against the horizon, {result.group.upper()}, {result.dtype}"
    yield Drawing(f"rollout_{result.group}_{result.dtype}", lambda folder: rollout_figure(shown.sides, folder), about)


VIEW: View[RolloutResult] = View(
    heading="Rollouts",
    about="Many steps from one observation: the guarantee does not wear off.",
    columns=(SEEN, UNSEEN, FACTOR, RESIDUAL, MAX_ABS, STATE, STATE_UNSEEN),
    tables=rollout_tables,
    overview=overview,
    drawings=drawings,
    headlines=(FACTOR, RESIDUAL),
    asked=asked,
    probe=probe,
    factor=Factor(FACTOR, lambda result: f"{result.group.upper()}, rollout", " of {} steps"),
)
