"""What breaks it: causes told apart by experiment, the most telling first."""

from __future__ import annotations

from equiwm.audit.causes.experiments import Experiments
from equiwm.audit.causes.motions import by_component, lab_axis, one_motion, some_motions
from equiwm.audit.causes.precision import less_precision, limited, training_mode
from equiwm.audit.causes.reps import other_reps
from equiwm.audit.causes.values import branches, constant, grid, hidden, rare
from equiwm.audit.preflight import Finding


def find_causes(tried: Experiments) -> list[Finding]:
    """Every cause that an experiment finds, the most telling first; nothing where nothing fails."""
    if not tried.failing:
        return [*limited(tried)]
    names = {each.best.quantity.name for each in tried.failing}
    found: list[Finding] = []
    for experiment in (
        rare,
        training_mode,
        less_precision,
        other_reps,
        branches,
        constant,
        one_motion,
        lab_axis,
        by_component,
    ):
        found += experiment(tried, names)
        if found:
            break
    return [*found, *([] if found else some_motions(tried, names)), *grid(tried), *hidden(tried, names)]
