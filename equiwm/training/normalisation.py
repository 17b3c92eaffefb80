"""Means and sigmas of a model, from its training data."""

from __future__ import annotations

import torch

from equiwm.models.normalised import NormalisedEncoder, NormalisedPredictor
from equiwm.models.world_model import WorldModel
from equiwm.training.data import transitions_of
from equiwm.worlds.world import Sequences, Transitions


@torch.no_grad()
def fit_normalisation(model: WorldModel, data: Transitions | Sequences) -> None:
    """Fit what normalises a model (`model.normalise`) on its training data; nothing where it has none."""
    encoder, predictor = model.encoder, model.predictor
    if isinstance(encoder, NormalisedEncoder):
        encoder.normalise.fit(transitions_of(data).observation)
    if not isinstance(predictor, NormalisedPredictor):
        return
    steps = transitions_of(data)
    predictor.action.fit(steps.action.flatten(1))
    if predictor.state is not None:
        states = encoder(steps.observation)
        predictor.state.fit(states)
        if predictor.step is not None:
            # What never changed is predicted to stay as it is.
            predictor.step.fit(model.latent_rep.difference(encoder(steps.next_observation), states), still=0.0)
