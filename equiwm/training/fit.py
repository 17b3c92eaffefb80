"""One training, epoch by epoch, with a state that can be put down and taken up again."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.spread import latent_spread
from equiwm.config import TrainingConfig
from equiwm.errors import TrainingError
from equiwm.models.world_model import WorldModel
from equiwm.training.normalisation import fit_normalisation
from equiwm.training.objective import JEPA, Forward, columns
from equiwm.training.optimizers import build_optimizer
from equiwm.worlds.world import Sequences, Transitions

COLLAPSED = 1e-3
"""A latent standard deviation below this ends a training: the variance hinge pulls towards 1."""
_COLLAPSE_EPOCHS = 5
_SPREAD_SAMPLES = 512


class Fit:
    """A model, its EMA target, its optimisers and its place in the data.

    The order of the data and nothing else is random in an epoch; it comes from a generator of this object, so the
    same seed gives the same weights, and a state that was saved and loaded goes on to bit-identical ones.

    Args:
        config: objective, optimiser and their settings.
        model: the model to train, in place; what normalises it is fitted on the data first.
        data: training transitions, or sequences to roll the model out over; each batch is cast to the model's dtype and
            moved to its device as it is taken.
        seed: seed of the order of the data.
        objective: what is minimised; None is the configuration's.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: WorldModel,
        data: Transitions | Sequences,
        *,
        seed: int,
        objective: Forward | None = None,
    ) -> None:
        self.config, self.model, self.data = config, model, data
        fit_normalisation(model, data)
        self.target = copy.deepcopy(model.encoder).requires_grad_(False)
        self.objective: JEPA | Forward
        if objective is not None:
            self.objective = objective
        elif config.objective == "jepa":
            self.objective = JEPA(self.target, config.variance_weight)
        else:
            self.objective = Forward(model.encoder, data, like=next(model.parameters()))
        self.optimizers = build_optimizer(config.optimizer, model, lr=config.lr, weight_decay=config.weight_decay)
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self._columns = columns(data)
        self._like = next(model.parameters())
        self._spread_data = self._columns[0][:: max(1, len(data) // _SPREAD_SAMPLES)].to(self._like)

    @property
    def done(self) -> bool:
        """Whether all epochs have run."""
        return self.epoch >= self.config.epochs

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.data), generator=self.generator).to(self._columns[0].device)
        # A batch of one has no standard deviation.
        return (batch for batch in order.split(self.config.batch) if len(batch) > 1)

    def _schedule(self, progress: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * progress)) if self.config.schedule == "cosine" else 1.0

    @torch.no_grad()
    def _update_target(self) -> None:
        averaged: list[Tensor] = list(self.target.parameters())
        online: list[Tensor] = list(self.model.encoder.parameters())
        if averaged:
            torch._foreach_lerp_(averaged, online, 1.0 - self.config.ema)

    def run_epoch(self) -> dict[str, float]:
        """Train one epoch.

        Returns:
            Means over the epoch's batches of `loss`, `prediction` and `variance`, and after it `latent_std`.

        Raises:
            TrainingError: the loss is not finite, or the latent has collapsed.
        """
        total = torch.zeros(3, dtype=torch.float64)
        batches = list(self._batches())
        for index, rows in enumerate(batches):
            self.optimizers.set_lr_scale(self._schedule((self.epoch + index / len(batches)) / self.config.epochs))
            loss = self.objective(self.model, *(column[rows].to(self._like) for column in self._columns))
            self.optimizers.zero_grad()
            loss.total.backward()
            self.optimizers.step()
            self._update_target()
            total += torch.stack([loss.total, loss.prediction, loss.variance]).detach().cpu().double()
        means = (total / len(batches)).tolist()
        with torch.no_grad():
            spread = (
                latent_spread(self.model.encode(self._spread_data)).latent_std
                if all(map(math.isfinite, means))
                else 0.0
            )
        self.epoch += 1
        self._stop_if_failed(means[0], spread)
        return {
            "epoch": self.epoch,
            **dict(zip(("loss", "prediction", "variance"), means, strict=True)),
            "latent_std": spread,
        }

    def _stop_if_failed(self, loss: float, spread: float) -> None:
        advice = f"try a smaller training.lr, or another training.optimizer than {self.config.optimizer}."
        if not math.isfinite(loss):
            raise TrainingError(f"training diverged in epoch {self.epoch}: the loss is {loss}; {advice}")
        if spread < COLLAPSED and self.epoch >= min(_COLLAPSE_EPOCHS, self.config.epochs):
            raise TrainingError(
                f"the latent collapsed by epoch {self.epoch}: its standard deviation is {spread:.1e} < {COLLAPSED:g}; "
                "try a larger training.variance_weight."
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on: tensors and plain data."""
        return {
            "model": self.model.state_dict(),
            "target": self.target.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.target.load_state_dict(state["target"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.generator.set_state(state["generator"])
        self.epoch = int(state["epoch"])
