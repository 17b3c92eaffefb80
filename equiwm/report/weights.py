"""Which results of a run were measured on other weights than it has: never shown as the run's without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from equiwm.claims.distill.claim import CLAIM as DISTILLING
from equiwm.claims.registry import Stored
from equiwm.claims.training.claim import CLAIM as TRAINING
from equiwm.layout.metrics import weights_named
from equiwm.results.measured import Measured
from equiwm.results.result import Result
from equiwm.runs import Run
from equiwm.tables.table import Table


def own_weights(run: Run, metrics: Mapping[str, object]) -> str | None:
    """SHA-256 of a run's checkpoint: of the file, else as its training recorded it, else None.

    A copy without its checkpoint is told by what the training recorded; a training of 0.1 recorded nothing.
    """
    named = weights_named(metrics)
    if run.header.kind == "study" or not named:
        return None
    if run.checkpoint.is_file():
        return run.checkpoint_sha256()
    return named.get((DISTILLING if run.header.kind == "policy" else TRAINING).name)


def is_others(measured: Measured[Result], own: str | None) -> bool:
    """Whether a result says that it was measured on other weights than those of its run."""
    return None not in (own, measured.checkpoint_sha256) and measured.checkpoint_sha256 != own


def of_other_weights(results: Sequence[Stored], own: str | None) -> tuple[str, ...]:
    """Sections and variants (`sweep_group so2/float32`) of the results that were measured on other weights."""
    return tuple(f"{each.claim.name} {each.variant}".strip() for each in results if is_others(each.measured, own))


def marked(tables: Sequence[Table], which: Sequence[str]) -> list[Table]:
    """Tables with a note that says which results in them are of other weights; as they are where there are none."""
    if not which:
        return list(tables)
    note = f"Measured on other weights than the run has, so not this run's; measure again: {', '.join(which)}."
    return [replace(table, notes=(*table.notes, note)) for table in tables]
