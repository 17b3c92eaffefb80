"""What a reproduction costs, in CPU seconds: constants of one machine, so that a run can say it before it starts.

Measured on one of two shared cores of an AMD EPYC, torch 2.13.0, one thread.
"""

from __future__ import annotations

from equiwm.claims.ablation.kind import Kind
from equiwm.claims.reproduce.statement import Measurement, Training
from equiwm.grid import Cell

START = 3.0
"""A process imports torch."""

MS_PER_UPDATE = {
    "vn-2d": 15.7,
    "vn-2d-paper": 7.5,
    "mlp-2d": 15.5,
    "vn-2d-forward": 5.5,
    "mlp-2d-forward": 3.8,
    "vn-3d": 5.6,
    "vn-3d-paper": 5.0,
    "mlp-3d": 11.7,
    "vn-3d-goal": 7.6,
    "mlp-3d-goal": 11.5,
    "vn-field-2d": 2.8,
    "mlp-field-2d": 3.6,
    "vn-field-3d": 3.4,
    "mlp-field-3d": 3.4,
}
OPTIMIZERS = 5
"""Trainings of `--optimizers all`."""

ELEMENTS = 64
VERIFY, SWEEP, ROLLOUT = 1.0, 0.9, 1.5
"""Seconds of a measurement in float32: 64 elements, 64 bins of 1,000 transitions, 5 horizons of 256 sequences."""
DOUBLE = 2.2
"""Times as long in float64."""
EPISODE = {2: 0.4, 3: 0.2}
"""Seconds of an episode of closed loop."""

WORK = {"augmentation": 1.0e-3, "scale": 1.35e-3, "soft": 1.5e-3}
"""Seconds of a unit of `Kind.work`."""


def training_seconds(training: Training) -> float:
    """One run."""
    return 1.0 + 1e-3 * MS_PER_UPDATE[training.preset] * training.config.training.updates


def measurement_seconds(measurement: Measurement) -> float:
    """One run's measurement, its own trainings included."""
    options = dict(measurement.options)
    verify = VERIFY * options.get("samples", ELEMENTS) / ELEMENTS
    if "optimizers" in options:
        count = OPTIMIZERS if options["optimizers"] == "all" else 1
        return count * (training_seconds(measurement.training) + verify * (1.0 + DOUBLE))
    precision = DOUBLE if options["dtype"] == "float64" else 1.0
    if measurement.command == "closed-loop":
        dim = 2 if measurement.training.config.world.name == "pusht" else 3
        return float(options["tasks"]) * 5 * EPISODE[dim]
    of_one = {"verify-equivariance": verify, "sweep-group": SWEEP, "rollout": ROLLOUT}
    return precision * of_one[measurement.command]


def ablation_seconds(kind: Kind, cell: Cell) -> float:
    """One cell of an ablation."""
    return WORK.get(kind.name, 1.0) * kind.work(cell.params)
