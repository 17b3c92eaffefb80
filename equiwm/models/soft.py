"""The residual pathway prior: an equivariant predictor and a free one beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.errors import RepError
from equiwm.models.choice import typed_predictor, vectors_alone
from equiwm.models.cross import CrossVNPredictor
from equiwm.models.mlp import MLPPredictor
from equiwm.models.step import ResidualPredictor
from equiwm.models.vector_neurons import VNPredictor
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep


class SoftPredictor(ResidualPredictor):
    """f(z, a) = z + v_hard(z, a) + v_free(z, a), trained with the penalty beta E|v_free|^2.

    The larger beta, the dearer it is to leave the equivariant path: beta -> infinity is the hard predictor, beta = 0
    has no prior at all. Both paths start from their usual weights, the free one not scaled down: the penalty alone
    says how large it is to be. Source: Finzi et al. 2021, "Residual Pathway Priors"; paper, section "Bitter Lesson".

    Args:
        hard: v_hard, equivariant.
        free: v_free, between the same reps.

    Raises:
        RepError: paths between different reps.
    """

    ordinary = True

    def __init__(self, hard: ResidualPredictor, free: ResidualPredictor) -> None:
        if (hard.in_rep, hard.action_rep) != (free.in_rep, free.action_rep):
            raise RepError(
                f"both paths have to map the same latents and actions; got {hard.in_rep}, {hard.action_rep} (d = "
                f"{hard.in_rep.d}) and {free.in_rep}, {free.action_rep} (d = {free.in_rep.d})."
            )
        super().__init__(hard.in_rep, hard.action_rep)
        self.hard, self.free = hard, free

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        latent_rep: Rep,
        action_rep: Rep,
        *,
        group: Group | None = None,
        state: Rep | None = None,
    ) -> SoftPredictor:
        """Predictor `soft` of a configuration: vector neurons (in space with cross products), a free MLP beside them.

        Where there is more than vectors, the predictor `vn` takes their place. The free path of a forward model has no
        layer norm, as the predictor `mlp`.
        """
        hard: ResidualPredictor
        if not vectors_alone(group, latent_rep, action_rep):
            hard = typed_predictor(config, latent_rep, action_rep, group, state)
        else:
            hard = (VNPredictor if latent_rep.d == 2 else CrossVNPredictor).of(config, latent_rep, action_rep)
        free = MLPPredictor(latent_rep, action_rep, config.free_widths, norm=config.encoder != "identity")
        return cls(hard, free)

    def paths(self, latent: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """v_hard and v_free, (..., D) each."""
        return self.hard.change(latent, action), self.free.change(latent, action)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        hard, free = self.paths(latent, action)
        return hard + free

    def free_fraction(self, latent: Tensor, action: Tensor) -> float:
        """E|v_free|^2 / E|v|^2: the free path's share of the mean square; above 1 where the paths cancel."""
        with torch.no_grad():
            hard, free = self.paths(latent, action)
            return float(free.square().mean() / (hard + free).square().mean())
