"""Which result stands in which section of `metrics.json`."""

from __future__ import annotations

from equiwm.results.ablation import AblationResult
from equiwm.results.closed_loop import ClosedLoopResult
from equiwm.results.reproduction import ReproductionResult
from equiwm.results.residual import OptimizerStudy, VerifyResult
from equiwm.results.result import Result
from equiwm.results.rollout import RolloutResult
from equiwm.results.sweep import SweepResult
from equiwm.results.train import TrainResult

OF_TRAINING: dict[str, type[Result]] = {
    "train": TrainResult,
    "verify_equivariance": VerifyResult,
    "sweep_group": SweepResult,
    "rollout": RolloutResult,
    "closed_loop": ClosedLoopResult,
}
"""Sections of a training, in the order in which they are shown."""

OF_STUDY: dict[str, type[Result]] = {
    "verify_equivariance": OptimizerStudy,
    "ablate": AblationResult,
    "reproduce": ReproductionResult,
}
"""Sections of a study."""
