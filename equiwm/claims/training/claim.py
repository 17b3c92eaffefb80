"""Section `train`: what a training came to. `equiwm train` writes it."""

from equiwm.claims.claim import Claim
from equiwm.results.train import TrainResult

CLAIM: Claim[TrainResult] = Claim("train", TrainResult, "equiwm.claims.training.view:VIEW")
