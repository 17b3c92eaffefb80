"""From a model configuration to a model: the only place where models are built."""

from __future__ import annotations

import torch

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError
from equiwm.models.clouds import VNCloudEncoder, VNSetEncoder
from equiwm.models.cross import CrossVNPredictor
from equiwm.models.e3nn_encoder import E3nnEncoder
from equiwm.models.frames import FrameEncoder, FramePredictor
from equiwm.models.mlp import MLPEncoder, MLPPredictor
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep, vectors


def _latent_rep(config: ModelConfig, observation_rep: Rep) -> Rep:
    if config.encoder == "identity":
        return observation_rep.linear_part
    d = observation_rep.d
    if config.latent % d:
        raise ConfigError(f"model.latent: got {config.latent}, expected a multiple of d = {d} (latents are vectors).")
    return vectors(config.latent // d, d)


def _encoder(config: ModelConfig, observation_rep: Rep, latent_rep: Rep) -> Layer:
    widths = config.encoder_widths
    match config.encoder:
        case "vn":
            return VNEncoder(observation_rep, latent_rep, widths, config.weights, skip=config.encoder_skip)
        case "vn_cloud":
            return VNCloudEncoder(observation_rep, latent_rep, widths, config.weights, skip=config.encoder_skip)
        case "vn_set":
            return VNSetEncoder(observation_rep, latent_rep, widths, config.weights)
        case "e3nn":
            return E3nnEncoder(observation_rep, latent_rep, widths)
        case "frame":
            return FrameEncoder(observation_rep, latent_rep, widths)
        case "mlp" | "mlp_centred":
            return MLPEncoder(observation_rep, latent_rep, widths, centre=config.encoder == "mlp_centred")
        case "identity":
            return IdentityEncoder(observation_rep)


def _predictor(config: ModelConfig, latent_rep: Rep, action_rep: Rep) -> Layer:
    widths = config.predictor_widths
    match config.predictor:
        case "vn":
            return VNPredictor(latent_rep, action_rep, widths, config.weights)
        case "vn_cross":
            return CrossVNPredictor(latent_rep, action_rep, widths, config.predictor_products)
        case "frame":
            return FramePredictor(latent_rep, action_rep, widths)
        case "mlp":
            return MLPPredictor(latent_rep, action_rep, widths, norm=config.encoder != "identity")


def _build(config: ModelConfig, observation_rep: Rep, action_rep: Rep) -> WorldModel:
    latent_rep, d = _latent_rep(config, observation_rep), observation_rep.d
    if config.weights == "complex" and d != 2 and (config.encoder.startswith("vn") or config.predictor == "vn"):
        raise ConfigError(f"model.weights: complex weights need a world with d = 2; this one has d = {d}.")
    if config.predictor == "vn_cross" and d != 3:
        raise ConfigError(f"model.predictor: cross products need a world with d = 3; this one has d = {d}.")
    encoder = _encoder(config, observation_rep, latent_rep)
    return WorldModel(encoder, _predictor(config, latent_rep, action_rep), action_rep)


def build_model(
    config: ModelConfig, observation_rep: Rep, action_rep: Rep, *, seed: int, dtype: torch.dtype = torch.float32
) -> WorldModel:
    """A model with the weights that `seed` gives; the global random state is left as it was.

    Weights are drawn in float32 and cast, so that every dtype has the same ones; whatever else a module holds is
    built in `dtype`, because constants rounded to float32 stay rounded after a cast.

    Raises:
        ConfigError: a configuration that does not fit the reps.
        RepError: layers that do not fit each other.
        MissingExtraError: the encoder `e3nn` without e3nn.
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
