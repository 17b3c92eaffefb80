"""From a model configuration to a model: the only place where models are built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from equiwm.config import ModelConfig, TrainingConfig
from equiwm.errors import ConfigError, EquiwmError, GroupError, RepError
from equiwm.locate import RAISED, is_foreign, locate, reason_of
from equiwm.models.foreign import as_layer, as_world_model
from equiwm.models.normalised import normalised
from equiwm.models.relative import relative_to
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep, vectors

Module = TypeVar("Module", bound=nn.Module)
Part = Callable[..., Any]
"""Called with the model's settings and two reps, and `group=` and `state=` where it has parameters of these names."""


def _is_state(encoder: Part) -> bool:
    """Whether an encoder's latent is the state: the class says so, or that which a constructor belongs to."""
    return bool(getattr(getattr(encoder, "__self__", encoder), "latent_is_state", False))


def _latent_rep(config: ModelConfig, encoder: Part, observation_rep: Rep, action_rep: Rep, group: Group | None) -> Rep:
    if _is_state(encoder):
        return observation_rep.linear_part
    d = observation_rep.d
    if config.latent_rep is not None:
        try:
            return Rep.parse(config.latent_rep, d)
        except RepError as error:
            raise ConfigError(f"model.latent_rep: {error}") from None
    chosen: Rep | None = None
    if hasattr(encoder, "latents_for"):
        chosen = encoder.latents_for(config, observation_rep, action_rep, group)
    if chosen is not None:
        return chosen
    if config.latent % d:
        raise ConfigError(
            f"model.latent: got {config.latent}, expected a multiple of d = {d} (latents are vectors); or a latent_rep."
        )
    return vectors(config.latent // d, d)


def _takes(part: Callable[..., Any], name: str) -> bool:
    """Whether what makes an encoder, a predictor or a model has a parameter of that name."""
    try:
        return name in inspect.signature(part).parameters
    except (TypeError, ValueError):  # what is made in C has no signature
        return False


def _made(
    name: str,
    key: str,
    part: Part,
    config: ModelConfig,
    first: Rep,
    second: Rep,
    group: Group | None,
    state: Rep | None = None,
) -> Any:
    """Call what a name stands for, with the group and the state's rep if it asks for them; an error in somebody else's
    code is named."""
    given = {"group": group, "state": state}
    try:
        return part(config, first, second, **{k: v for k, v in given.items() if v is not None and _takes(part, k)})
    except EquiwmError as error:
        if is_foreign(name):
            raise type(error)(f"{key} '{name}': {error}") from None
        raise
    except RAISED as error:
        if not is_foreign(name):
            raise
        raise ConfigError(f"{key} '{name}': building it raised {reason_of(error)}") from None


def _normalised(config: ModelConfig, model: WorldModel, group: Group | None) -> WorldModel:
    return normalised(model, group) if config.normalise else model


def _build(config: ModelConfig, observation_rep: Rep, action_rep: Rep, group: Group | None) -> WorldModel:
    if config.module is not None:
        found = locate("model", config.module)
        made = _made(config.module, "model.module", found, config, observation_rep, action_rep, group)
        try:
            return _normalised(config, as_world_model(made, observation_rep, action_rep, group), group).train()
        except RepError as error:
            raise RepError(f"model.module '{config.module}': {error}") from None
    encoder, predictor = locate("encoder", config.encoder), locate("predictor", config.predictor)
    latent_rep = _latent_rep(config, encoder, observation_rep, action_rep, group)
    first = build_encoder(config, observation_rep, latent_rep, group)
    state = observation_rep if _is_state(encoder) else None
    made = _made(config.predictor, "model.predictor", predictor, config, latent_rep, action_rep, group, state)
    if config.relative and not _is_state(encoder):
        raise ConfigError(
            f"model.relative: the encoder '{config.encoder}' gives a latent of its own, whose channels are no "
            "positions; it goes with a forward model, model.encoder=identity."
        )
    made = relative_to(made, config.relative, latent_rep)
    second = as_layer(made, latent_rep, latent_rep, f"model.predictor '{config.predictor}'")
    return _normalised(config, WorldModel(first, second, action_rep), group)


def build_encoder(config: ModelConfig, in_rep: Rep, out_rep: Rep, group: Group | None) -> Layer:
    """The encoder of a configuration between two reps, with weights of the global random state.

    Raises:
        ConfigError: an encoder that is not found, or settings that do not fit the reps.
        RepError: a layer of other reps.
    """
    made = _made(config.encoder, "model.encoder", locate("encoder", config.encoder), config, in_rep, out_rep, group)
    return as_layer(made, in_rep, out_rep, f"model.encoder '{config.encoder}'")


def check_objective(config: TrainingConfig, model: WorldModel) -> None:
    """Refuse an objective that does not fit what the encoder gives.

    Raises:
        ConfigError: the forward objective without the state as latent, or the state as latent without it.
    """
    if (config.objective == "forward") != model.latent_is_state:
        latent = "the state" if model.latent_is_state else "a latent of its own"
        raise ConfigError(
            f"training.objective {config.objective}: the encoder gives {latent}; the forward objective goes with the "
            "state, jepa with the others."
        )


def build_model(
    config: ModelConfig,
    observation_rep: Rep,
    action_rep: Rep,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    group: Group | None = None,
) -> WorldModel:
    """A model with the weights that `seed` gives; the global random state is left as it was.

    Weights are drawn in float32 and cast, so that every dtype has the same ones; whatever else a module holds is
    built in `dtype`, because constants rounded to float32 stay rounded after a cast.

    Args:
        config: section `model` of a run.
        observation_rep: rep of the world's observations.
        action_rep: rep of its actions.
        seed: of the weights.
        dtype: of the model.
        group: the world's, which says what reps in d dimensions decompose into and what translates; None is all
            rotations, reflections and translations that the reps have. `config.group` comes before it.

    Raises:
        GroupError: a `config.group` that is none of this space.
        ConfigError: a configuration that does not fit the reps, or an encoder or predictor that is not found.
        RepError: layers that do not fit each other.
        MissingExtraError: the encoder `e3nn` without e3nn.
    """
    chosen = group if config.group is None else own_group(config.group, observation_rep.d)
    return seeded(lambda: _build(config, observation_rep, action_rep, chosen), seed=seed, dtype=dtype)


def own_group(name: str, d: int) -> Group:
    """The group of `model.group`.

    Raises:
        GroupError: there is none of that name, or it acts on another space than the world's.
    """
    try:
        found = Group.parse(name)
    except GroupError as error:
        raise GroupError(f"model.group: {error}") from None
    if found.d != d:
        raise GroupError(f"model.group: {found} acts on d = {found.d}; the world has d = {d}.")
    return found


def seeded(build: Callable[[], Module], *, seed: int, dtype: torch.dtype) -> Module:
    """What `build` makes, with the weights that `seed` gives in float32, and everything else made in `dtype`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        if dtype == torch.float32:
            return model
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            cast = build()
        finally:
            torch.set_default_dtype(default)
    cast.load_state_dict(model.state_dict())
    return cast
