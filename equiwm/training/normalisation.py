"""Means and sigmas of a model, from its training data."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.models.normalised import NormalisedEncoder, NormalisedPredictor
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.sets import marked
from equiwm.training.data import parts_of, transitions_of
from equiwm.worlds.world import Sequences, Transitions


@torch.no_grad()
def fit_normalisation(model: WorldModel, data: Transitions | Sequences) -> None:
    """Fit what normalises a model (`model.normalise`) on its training data, part by part; nothing where it has none."""
    encoder, predictor = model.encoder, model.predictor
    steps = transitions_of(data)
    parts, like = parts_of(len(steps)), next(model.parameters())

    def encoded(observation: Tensor, part: slice) -> Tensor:
        states: Tensor = encoder(observation[part].to(like))
        return states

    if isinstance(encoder, NormalisedEncoder):
        encoder.normalise.fit(encoder.seen(steps.observation[part]) for part in parts)
    if not isinstance(predictor, NormalisedPredictor):
        return
    predictor.action.fit(steps.action[part].flatten(1) for part in parts)
    if predictor.state is not None:
        predictor.state.fit(encoded(steps.observation, part) for part in parts)
        if predictor.step is not None:
            rep = model.latent_rep
            pairs = ((encoded(steps.next_observation, part), encoded(steps.observation, part)) for part in parts)
            changes = (marked(rep.difference(after, before), before, rep) for after, before in pairs)
            # What never changed is predicted to stay as it is.
            predictor.step.fit(changes, still=0.0)
