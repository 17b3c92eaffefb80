"""Fitting a policy to labels, epoch by epoch, with a state that can be put down and taken up again."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.distilling.labels import Labels
from equiwm.errors import ConfigError, DataError, TrainingError
from equiwm.models.policy import Policy
from equiwm.policy import PolicyConfig
from equiwm.symmetry.group import Group
from equiwm.training.optimizers import build_optimizer

_TURNS = 0xD15_74  # stream of the elements of an epoch's augmentation
_FADE = 0.7


class PolicyFit:
    """min over weights of mean_i sum_k w_k |p_k(x_i, x_i*) - a_ik|^2 over labels, a round of epochs at a time.

    p_k is the k-th action of the policy's plan, w_k = 0.7^k / sum_j 0.7^j over the actions that the label has: what
    comes later is planned anew before it is carried out. With one action that is mean |pi(x, x*) - a|^2.

    |.| is invariant under the group, so that turned labels would ask for the same weights of an exact policy. The order
    of the labels and nothing else is random in an epoch; it comes from a generator of this object, so that a state that
    was saved and loaded goes on to bit-identical weights.

    Args:
        config: section `policy`.
        policy: fitted in place.
        seed: of the order of the labels, and of what turns them.
        group: of the world.
    """

    def __init__(self, config: PolicyConfig, policy: Policy, *, seed: int, group: Group) -> None:
        self.config, self.policy, self.seed, self.group = config, policy.train(), seed, group
        try:
            self.optimizers = build_optimizer(config.optimizer, policy, lr=config.lr, weight_decay=config.weight_decay)
        except ConfigError as error:
            raise ConfigError(str(error).replace("training.", "policy.")) from None
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch = 0
        self._labels: Labels | None = None

    @property
    def round(self) -> int:
        """How many rounds are finished."""
        return self.config.finished(self.epoch)

    @property
    def weights(self) -> str:
        """SHA-256 of the policy's tensors, hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in self.policy.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def take(self, labels: Labels) -> None:
        """The labels to learn from; what scales the policy's inputs is fitted to those of the first round.

        Raises:
            DataError: no labels.
        """
        if not len(labels):
            raise DataError("there is nothing to learn from: every task was solved before anything was decided.")
        self._labels = labels
        if self.epoch == 0 and self.policy.normalise is not None:
            self.policy.normalise.fit(self.policy.seen(*self._inputs(slice(None))))

    def _inputs(self, rows: Tensor | slice) -> tuple[Tensor, Tensor, Tensor]:
        assert self._labels is not None
        like = next(self.policy.parameters())
        labels = self._labels
        return labels.observation[rows].to(like), labels.goal[rows].to(like), labels.left[rows].to(like)

    def _batch(self, rows: Tensor, turned: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """State, goal, share left and label of some rows, turned where they are to be."""
        assert self._labels is not None
        observation, goal, left = self._inputs(rows)
        actions = self._labels.actions[rows].to(observation)
        if turned:
            g = self._turns[rows]
            of_state, of_action = self.policy.observation_rep, self.policy.action_rep
            observation, goal = of_state.transform_samples(observation, g), of_state.transform_samples(goal, g)
            actions = of_action.transform_samples(actions, g[:, None])
        return observation, goal, left, actions

    def _shares(self, rows: Tensor, like: Tensor) -> Tensor:
        """w, (B, P): 1 of a policy that gives one action."""
        assert self._labels is not None
        steps = torch.arange(self.policy.plan)
        weights = (steps < self._labels.known[rows]) * _FADE**steps
        return (weights / weights.sum(-1, keepdim=True)).to(like)

    def run_epoch(self) -> dict[str, float]:
        """Train one epoch.

        Returns:
            `epoch`, `round`, the number of `labels`, and the mean `loss` over them.

        Raises:
            TrainingError: the loss is not finite.
        """
        config, labels = self.config, self._labels
        assert labels is not None
        order = torch.randperm(len(labels), generator=self.generator)
        if config.augment:
            self._turns = self.group.sample(len(labels), np.random.default_rng([_TURNS, self.seed, self.epoch]))
        begun, ends = config.last_epoch(self.round - 1), config.last_epoch(self.round)
        number, total, batches = self.round + 1, 0.0, order.split(config.batch)
        for index, rows in enumerate(batches):
            progress = (self.epoch - begun + index / len(batches)) / (ends - begun)
            self.optimizers.set_lr_scale(0.5 * (1.0 + math.cos(math.pi * progress)))
            observation, goal, left, actions = self._batch(rows, config.augment)
            made = self.policy.unbounded(self.policy.seen(observation, goal, left))
            errors = (made - actions).square().flatten(2).sum(-1)
            loss = (errors * self._shares(rows, errors)).sum(-1).mean()
            self.optimizers.zero_grad()
            loss.backward()
            self.optimizers.step()
            total += float(loss.detach()) * len(rows)
        self.epoch += 1
        mean = total / len(labels)
        if not math.isfinite(mean):
            raise TrainingError(
                f"cloning diverged in epoch {self.epoch}: the loss is {mean}; try a smaller policy.lr, or another "
                f"policy.optimizer than {config.optimizer}."
            )
        return {"epoch": self.epoch, "round": number, "labels": len(labels), "loss": mean}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on but for the labels: tensors and plain data."""
        return {
            "policy": self.policy.state_dict(),
            "weights": self.weights,
            "optimizers": self.optimizers.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.policy.load_state_dict(state["policy"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.generator.set_state(state["generator"])
        self.epoch = state["epoch"]
