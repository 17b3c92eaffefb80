"""Section `train` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from equiwm.results.result import Result


@dataclass(frozen=True)
class TrainResult(Result):
    """Section `train`.

    Attributes:
        parameters: trained scalars.
        transitions: training transitions.
        excluded: transitions dropped while collecting, by reason.
        seconds: wall-clock seconds, data included; with `steps_seconds` the only entries that differ between runs.
        steps_seconds: of them, optimisation alone.
        first_loss: mean loss of the first epoch.
        final_loss: mean loss of the last epoch.
        latent_std: mean standard deviation of a latent dimension on the training observations.
        effective_rank: of the same latents.
        weights_moved: |W - W0| / |W0| over all parameters.
        seed: seed of data, weights and order.
    """

    parameters: int
    transitions: int
    excluded: dict[str, int]
    seconds: float
    steps_seconds: float
    first_loss: float
    final_loss: float
    latent_std: float
    effective_rank: float
    weights_moved: float
    seed: int
