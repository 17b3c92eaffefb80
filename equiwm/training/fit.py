"""One training, epoch by epoch, with a state that can be put down and taken up again."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equiwm.audit.spread import latent_std
from equiwm.config import TrainingConfig
from equiwm.errors import ConfigError, TrainingError
from equiwm.models.soft import SoftPredictor
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.training.normalisation import fit_normalisation
from equiwm.training.objective import JEPA, Forward, columns
from equiwm.training.optimizers import build_optimizer
from equiwm.training.soft import SoftForward, SoftJEPA
from equiwm.worlds.world import Sequences, Transitions

COLLAPSED = 1e-3
"""A latent standard deviation below this ends a training: the variance hinge pulls towards 1."""
_COLLAPSE_EPOCHS = 5
_SPREAD_SAMPLES = 512
_TURNS = 0xA06  # stream of the elements of an epoch's augmentation


@torch.no_grad()
def update_target(target: nn.Module, encoder: nn.Module, decay: float) -> None:
    """w_target <- decay w_target + (1 - decay) w, for every weight."""
    averaged: list[Tensor] = list(target.parameters())
    online: list[Tensor] = list(encoder.parameters())
    if averaged:
        torch._foreach_lerp_(averaged, online, 1.0 - decay)


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
        group: elements of which turn the data anew in every epoch, where the configuration asks for augmentation. They
            depend on the seed and the epoch alone.

    Raises:
        ConfigError: augmentation without a group, or a soft predictor on sequences.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: WorldModel,
        data: Transitions | Sequences,
        *,
        seed: int,
        objective: Forward | None = None,
        group: Group | None = None,
    ) -> None:
        if config.augment and group is None:
            raise ConfigError("training.augment: this training was given no group to turn its data by.")
        self.config, self.model, self.data = config, model, data
        self.group, self.seed = group if config.augment else None, seed
        fit_normalisation(model, data)
        self.target = copy.deepcopy(model.encoder).requires_grad_(False)
        self.objective: JEPA | Forward
        if objective is not None:
            self.objective = objective
        elif any(isinstance(part, SoftPredictor) for part in model.predictor.modules()):
            self.objective = self._soft(data)
        elif config.objective == "jepa":
            self.objective = JEPA(self.target, config.variance_weight)
        else:
            self.objective = Forward(model.encoder, data, like=next(model.parameters()))
        self.optimizers = build_optimizer(config.optimizer, model, lr=config.lr, weight_decay=config.weight_decay)
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self.columns = columns(data)
        self._like = next(model.parameters())
        self._spread_data = self.columns[0][:: max(1, len(data) // _SPREAD_SAMPLES)].to(self._like)

    def _soft(self, data: Transitions | Sequences) -> JEPA | Forward:
        if not isinstance(self.model.predictor, SoftPredictor):
            raise ConfigError(
                "model.predictor soft: its penalty does not reach a free path inside another predictor; expected "
                "model.relative=[] and model.normalise=false."
            )
        if not isinstance(data, Transitions):
            raise ConfigError("model.predictor soft is trained on single steps; expected training.horizon=1.")
        if self.config.objective == "jepa":
            return SoftJEPA(self.target, self.config.variance_weight, self.config.softness)
        return SoftForward(self.model.encoder, data, self.config.softness)

    @property
    def done(self) -> bool:
        """Whether all epochs have run."""
        return self.epoch >= self.config.epochs

    def batches(self) -> list[Tensor]:
        """The rows of each batch of the next epoch, in order."""
        order = torch.randperm(len(self.data), generator=self.generator).to(self.columns[0].device)
        # A batch of one has no standard deviation.
        return [batch for batch in order.split(self.config.batch) if len(batch) > 1]

    def turns(self) -> Elements | None:
        """An element for every row of the data in this epoch; None where it is taken as it is."""
        if self.group is None:
            return None
        return self.group.sample(len(self.data), np.random.default_rng([_TURNS, self.seed, self.epoch]))

    def batch(self, rows: Tensor, turns: Elements | None) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of the data in the dtype of the model, on its device, turned where they are to be."""
        first, actions, following = (column[rows].to(self._like) for column in self.columns)
        if turns is None:
            return first, actions, following
        g = turns[rows.cpu()]
        along = g[:, None] if isinstance(self.data, Sequences) else g
        of_state, of_action = self.model.observation_rep, self.model.action_rep
        return (
            of_state.transform_samples(first, g),
            of_action.transform(actions, along),
            of_state.transform_samples(following, along),
        )

    def lr_scale(self, share: float) -> float:
        """What learning rates are multiplied with when this share of the next epoch is done."""
        progress = (self.epoch + share) / self.config.epochs
        return 0.5 * (1.0 + math.cos(math.pi * progress)) if self.config.schedule == "cosine" else 1.0

    def run_epoch(self) -> dict[str, float]:
        """Train one epoch.

        Returns:
            Means over the epoch's batches of `loss`, `prediction` and `variance`, and after it `latent_std`.

        Raises:
            TrainingError: the loss is not finite, or the latent has collapsed.
        """
        total = torch.zeros(3, dtype=torch.float64)
        batches, turns = self.batches(), self.turns()
        for index, rows in enumerate(batches):
            total += self.step(rows, turns, self.lr_scale(index / len(batches)))
        return self.close_epoch((total / len(batches)).tolist())

    def step(self, rows: Tensor, turns: Elements | None, scale: float) -> Tensor:
        """One step on a batch: its loss, prediction and variance, (3,)."""
        self.optimizers.set_lr_scale(scale)
        loss = self.objective(self.model, *self.batch(rows, turns))
        self.optimizers.zero_grad()
        loss.total.backward()
        self.optimizers.step()
        update_target(self.target, self.model.encoder, self.config.ema)
        return torch.stack([loss.total, loss.prediction, loss.variance]).detach().cpu().double()

    def close_epoch(self, means: list[float]) -> dict[str, float]:
        """The row of an epoch whose batches are done, from its means of `loss`, `prediction` and `variance`.

        Raises:
            TrainingError: as `run_epoch`.
        """
        with torch.no_grad():
            spread = latent_std(self.model.encode(self._spread_data)) if all(map(math.isfinite, means)) else 0.0
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
