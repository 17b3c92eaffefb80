"""From a model configuration to a model: the only place where models are built."""

from __future__ import annotations

import torch

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError
from equiwm.models.mlp import MLPEncoder, MLPPredictor
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep, vectors


def _latent_rep(config: ModelConfig, observation_rep: Rep) -> Rep:
    if config.encoder == "identity":
        return observation_rep
    d = observation_rep.d
    if config.latent % d:
        raise ConfigError(f"model.latent: got {config.latent}, expected a multiple of d = {d} (latents are vectors).")
    return vectors(config.latent // d, d)


def _build(config: ModelConfig, observation_rep: Rep, action_rep: Rep) -> WorldModel:
    latent_rep = _latent_rep(config, observation_rep)
    if config.weights == "complex" and observation_rep.d != 2 and "vn" in (config.encoder, config.predictor):
        raise ConfigError(
            f"model.weights: complex weights need a world with d = 2; this one has d = {observation_rep.d}."
        )
    encoder: Layer
    if config.encoder == "vn":
        encoder = VNEncoder(
            observation_rep, latent_rep, config.encoder_widths, config.weights, skip=config.encoder_skip
        )
    elif config.encoder == "mlp":
        encoder = MLPEncoder(observation_rep, latent_rep, config.encoder_widths)
    else:
        encoder = IdentityEncoder(observation_rep)
    predictor: Layer
    if config.predictor == "vn":
        predictor = VNPredictor(latent_rep, action_rep, config.predictor_widths, config.weights)
    else:
        norm = config.encoder != "identity"
        predictor = MLPPredictor(latent_rep, action_rep, config.predictor_widths, norm=norm)
    return WorldModel(encoder, predictor, action_rep)


def build_model(
    config: ModelConfig, observation_rep: Rep, action_rep: Rep, *, seed: int, dtype: torch.dtype = torch.float32
) -> WorldModel:
    """A model with the weights that `seed` gives; the global random state is left as it was.

    Weights are drawn in float32 and cast, so that every dtype has the same ones; whatever else a module holds is
    built in `dtype`, because constants rounded to float32 stay rounded after a cast.

    Raises:
        ConfigError: a configuration that does not fit the reps.
        RepError: layers that do not fit each other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build(config, observation_rep, action_rep)
        if dtype == torch.float32:
            return model
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            cast = _build(config, observation_rep, action_rep)
        finally:
            torch.set_default_dtype(default)
    cast.load_state_dict(model.state_dict())
    return cast
