"""How residuals are shown: of one network, and of a network under every optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equiwm.claims.residual.result import ModelResidual, OptimizerRow, OptimizerStudy, VerifyResult, WorldResidual
from equiwm.claims.view import View
from equiwm.results.measured import Measured
from equiwm.tables.columns import Column, Comparison
from equiwm.tables.seeds import over_seeds
from equiwm.tables.table import Table, number

VERDICT: Column[VerifyResult] = Column("verdict", "verdict", lambda result: result.verdict)
INITIAL: Column[VerifyResult] = Column("initial_residual", "residual, initial", lambda result: result.initial)
ENCODER: Column[VerifyResult] = Column("encoder_residual", "encoder", lambda result: result.trained.encoder)
PREDICTOR: Column[VerifyResult] = Column("predictor_residual", "predictor", lambda result: result.trained.predictor)
RESIDUAL: Column[VerifyResult] = Column(
    "relative_residual", "after training", lambda result: result.trained.relative_composed
)
MAX_ABS: Column[VerifyResult] = Column("max_abs", "max absolute", lambda result: result.trained.max_abs)
DRIFT: Column[VerifyResult] = Column("cost_drift", "cost drift", lambda result: result.trained.cost_drift)
SPREAD: Column[VerifyResult] = Column("latent_std", "latent spread", lambda result: result.trained.latent_std)
RANK: Column[VerifyResult] = Column("effective_rank", "rank", lambda result: result.trained.effective_rank)
CONTROL: Column[VerifyResult] = Column(
    "control_residual", "control (has to fail)", lambda result: result.control.relative_composed
)
CONTROL_DRIFT: Column[VerifyResult] = Column(
    "control_cost_drift", "control's cost drift", lambda result: result.control.cost_drift
)
MOVED: Column[VerifyResult] = Column("weights_moved", "moved", lambda result: result.weights_moved)
PASSED: Column[VerifyResult] = Column("passed", "passed", lambda result: result.passed)

_NETWORK: tuple[Column[ModelResidual], ...] = (
    Column("encoder", "encoder", lambda network: network.encoder),
    Column("predictor", "predictor", lambda network: network.predictor),
    Column("composed", "composed", lambda network: network.composed),
    Column("max_abs", "composed, max absolute", lambda network: network.max_abs),
    Column("cost_drift", "cost drift", lambda network: network.cost_drift),
    Column("latent_std", "latent spread", lambda network: network.latent_std),
    Column("effective_rank", "effective rank", lambda network: network.effective_rank),
)
"""The rows of one run's table; its columns are the networks."""


def verify_tables(measured: Measured[VerifyResult], name: str) -> list[Table]:
    """Residuals of the network, as trained and before, beside one that has to fail; then those of a baseline."""
    return [table for side, result in measured.sides(name).items() for table in _network_tables(result, side)]


def _network_tables(result: VerifyResult, name: str) -> list[Table]:
    columns = ("pooled relative residual", "initial", "trained", "control (has to fail)")
    networks = (result.init, result.trained, result.control)
    rows = [
        (column.heading, *("–" if network is None else column.text(network) for network in networks))
        for column in _NETWORK
        if column.value(result.trained) == column.value(result.trained)  # of a policy some are missing
    ]
    title = f"{name}: {asked(result)}, {probe(result)}"
    tables = [Table(title, columns, rows, tuple(_notes(result)))]
    if result.parts:
        tables.insert(0, _parts_table(result, name))
    return tables if result.world is None else [*tables, _world_table(result.world)]


def _notes(result: VerifyResult) -> list[str]:
    notes = [f"Verdict: {result.verdict.upper()}: {result.reason}."]
    if not result.parts:
        notes.append("It is of equiwm 0.1, by the pooled residual alone; measure again for one of every channel.")
        return [*notes, f"The first layer that breaks it: {result.breaks_at}."] if result.breaks_at else notes
    causes = dict.fromkeys(cause for part in result.parts for cause in part.causes)
    return [*notes, *(f"Cause: {cause}" for cause in causes)]


def _parts_table(result: VerifyResult, name: str) -> Table:
    """The audit, a row a part: what decides there, beside its rounding."""
    columns = ("part", "verdict", "channel", "residual", "rounding", "float32")
    rows = [
        (
            *(part.part, part.verdict, f"{part.channel}, increment" if " - " in part.output else part.channel),
            *(number(value, 2) for value in (part.residual, part.rounding, part.residual_low)),
        )
        for part in result.parts
    ]
    note = "Residuals of the channel that decides, relative to its own variation; an increment is F(x) - x."
    return Table(f"{name}: audit under {result.group.upper()}", columns, rows, (note,))


def _world_table(world: WorldResidual) -> Table:
    kinds = [(kind, f"{world.rollouts[kind]:,}", number(worst)) for kind, worst in world.worst.items()]
    heading = f"the world's own residual, {world.steps} steps, {world.unit}"
    return Table(heading, ("kind of rollout", "rollouts", "worst residual"), kinds)


def overview(compared: Sequence[Comparison[VerifyResult]]) -> Iterator[Table]:
    """A row a model."""
    columns = (VERDICT, INITIAL, RESIDUAL, MAX_ABS, DRIFT, CONTROL, SPREAD)
    for each in compared:
        yield over_seeds("Relative composed residual", each, columns)


def asked(result: VerifyResult) -> str:
    """Group and precision."""
    return f"{result.group.upper()}, {result.dtype}"


def probe(result: VerifyResult) -> str:
    """Elements and transitions."""
    return f"{result.samples} elements x {result.transitions} transitions"


VIEW: View[VerifyResult] = View(
    heading="Claim A: the symmetry holds after training",
    about="The verdict is that of the worst channel; residuals are pooled: of the composed predictor at random group "
    "elements, the worst of them, relative to its RMS.",
    columns=(
        *(VERDICT, INITIAL, ENCODER, PREDICTOR, RESIDUAL, MAX_ABS, DRIFT, SPREAD, RANK),
        *(CONTROL, CONTROL_DRIFT, MOVED, PASSED),
    ),
    tables=verify_tables,
    headlines=(VERDICT, RESIDUAL, CONTROL),
    overview=overview,
    asked=asked,
    probe=probe,
)

_OPTIMIZER: tuple[Column[OptimizerRow], ...] = (
    Column("optimizer", "optimizer", lambda row: row.optimizer),
    Column("initial", "initial", lambda row: row.initial),
    Column("float32", "residual float32", lambda row: row.float32),
    Column("float64", "residual float64", lambda row: row.float64),
    Column("loss_ratio", "loss last / first", lambda row: row.loss_ratio),
    Column("weights_moved", "moved", lambda row: row.weights_moved),
    Column("latent_std", "spread", lambda row: row.latent_std),
    Column("effective_rank", "rank", lambda row: row.effective_rank),
    Column("control", "control", lambda row: row.control),
    Column("verdict", "verdict", lambda row: row.verdict),
)


def optimizer_tables(measured: Measured[OptimizerStudy], name: str) -> list[Table]:
    """One network under several optimisers."""
    study = measured.result
    rows = [tuple(column.text(row) for column in _OPTIMIZER) for row in study.rows]
    title = f"{name}: relative composed residual after training, {study.group.upper()}"
    headings = tuple(column.heading for column in _OPTIMIZER)
    return [Table(title, headings, rows, tuple(f"failed: {line}" for line in study.failed))]


OPTIMIZERS: View[OptimizerStudy] = View(heading="Studies", tables=optimizer_tables)
