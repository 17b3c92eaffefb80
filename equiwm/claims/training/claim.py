"""Section `train`: what a training came to. `equiwm train` writes it."""

from equiwm.claims.claim import Claim
from equiwm.results.train import TrainResult
from equiwm.runs import Run

CLAIM: Claim[TrainResult] = Claim("train", TrainResult, "equiwm.claims.training.view:VIEW")


def trained(run: Run) -> TrainResult:
    """What the training of a run came to.

    Raises:
        ResultError: its section is missing or damaged.
    """
    return CLAIM.read(run.metrics().get(CLAIM.name), f"{run.metrics_path}: {CLAIM.name}").result
