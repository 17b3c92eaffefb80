"""The objective of a soft symmetry: leaving the equivariant path has its price."""

from __future__ import annotations

from torch import Tensor

from equiwm.models.soft import SoftPredictor
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.training.objective import JEPA, Forward, Loss, mean_of_each
from equiwm.worlds.world import Transitions


class SoftForward(Forward):
    """The forward objective and beta mean_c |v_free,c|^2 / E|E(x')_c - E(x)_c|^2, each channel in its own unit.

    Args:
        encoder: E, an `IdentityEncoder`.
        data: the training data, from which the weights of the channels are taken.
        penalty: beta.
    """

    def __init__(self, encoder: Layer, data: Transitions, penalty: float) -> None:
        super().__init__(encoder, data)
        self.penalty = penalty

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        """The loss on a batch of `columns`; its `variance` is the free path's size, which beta weights.

        Raises:
            TypeError: a model whose predictor has no two paths.
        """
        if not isinstance(model.predictor, SoftPredictor):
            raise TypeError(f"SoftForward trains a SoftPredictor; got {type(model.predictor).__name__}.")
        latent = model.encode(observation)
        hard, free = model.predictor.paths(latent, action)
        error = self.rep.difference(latent + (hard + free), model.encode(next_observation))
        of_error, of_free = self.weighted(error), self.weighted(free)
        return Loss(of_error + self.penalty * of_free, of_error, of_free)


class SoftJEPA(JEPA):
    """The JEPA objective of one step and beta E|v_free|^2, in units of the latent, which the variance hinge sets.

    Args:
        target: the EMA copy of the encoder; no gradient reaches it.
        variance_weight: c.
        penalty: beta.
    """

    def __init__(self, target: Layer, variance_weight: float, penalty: float) -> None:
        super().__init__(target, variance_weight)
        self.penalty = penalty

    def __call__(self, model: WorldModel, observation: Tensor, action: Tensor, next_observation: Tensor) -> Loss:
        """The loss on a batch of `columns`.

        Raises:
            TypeError: a model whose predictor has no two paths.
        """
        if not isinstance(model.predictor, SoftPredictor):
            raise TypeError(f"SoftJEPA trains a SoftPredictor; got {type(model.predictor).__name__}.")
        loss = super().__call__(model, observation, action, next_observation)
        free = mean_of_each(model.predictor.paths(model.encode(observation), action)[1].square(), self.axis)
        return Loss(loss.total + self.penalty * free, loss.prediction, loss.variance)
