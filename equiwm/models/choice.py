"""Which network `vn` and `vn_set` are: the reps and the group say."""

from __future__ import annotations

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError, RepError
from equiwm.models.clouds import VNSetEncoder
from equiwm.models.sets import SetEncoder, SetPredictor
from equiwm.models.typed import TypedEncoder, TypedPredictor
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.nn.layer import Layer
from equiwm.symmetry.groups import E2, O2, SE2, SE3, Group
from equiwm.symmetry.kinds import SCALAR, VECTOR
from equiwm.symmetry.motions import turns_every_way
from equiwm.symmetry.permutations import SymmetricGroup
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import has_mask, set_layout


def vectors_alone(group: Group | None, *reps: Rep) -> bool:
    """Whether reps hold vectors and nothing else, under all rotations: what vector neurons are for."""
    return all(rep.vectors_only for rep in reps) and turns_every_way(group)


def group_of(config: ModelConfig, group: Group | None, d: int) -> Group:
    """The group whose types a typed network has: the world's; real weights in the plane carry reflections as well.

    Raises:
        ConfigError: no group in a space of neither 2 nor 3 dimensions.
    """
    if d == 2 and config.weights == "real" and turns_every_way(group):
        return O2 if group is not None and not group.translations else E2
    if group is not None:
        return group
    if d not in (2, 3):
        raise ConfigError(f"a typed network in d = {d} needs the group of its world.")
    return SE2 if d == 2 else SE3


def of_sets(group: Group | None, rep: Rep) -> bool:
    """Whether `vn` takes a rep as a set: a mask says which items are there, or the group exchanges them all."""
    if has_mask(rep):
        return True
    if group is None or not group.items or SymmetricGroup(group.items) not in group:
        return False
    try:
        return set_layout(rep) is not None
    except RepError:  # items, but no one set of them: the typed network has types for that
        return False


class EncoderChoice:
    """Encoder `vn`: vector neurons for vectors alone under all rotations, the network of sets for a set whose items the
    group exchanges or a mask counts, the typed network for anything else.
    """

    def __call__(
        self, config: ModelConfig, observation_rep: Rep, latent_rep: Rep, *, group: Group | None = None
    ) -> Layer:
        """The encoder of a configuration."""
        if vectors_alone(group, observation_rep, latent_rep):
            return VNEncoder.of(config, observation_rep, latent_rep)
        types = group_of(config, group, latent_rep.d)
        if of_sets(group, observation_rep):
            return SetEncoder(observation_rep, latent_rep, config.encoder_widths, types)
        return TypedEncoder(observation_rep, latent_rep, config.encoder_widths, types)

    def latents_for(
        self, config: ModelConfig, observation_rep: Rep, action_rep: Rep, group: Group | None
    ) -> Rep | None:
        """As many scalars as vectors, `model.latent` entries, where what is observed and done is more than vectors.

        Returns:
            None where vectors are all there is.

        Raises:
            ConfigError: fewer entries than one vector and one scalar.
        """
        if vectors_alone(group, observation_rep, action_rep):
            return None
        d = observation_rep.d
        count = config.latent // (1 + d)
        if not count:
            raise ConfigError(f"model.latent: got {config.latent}, expected at least {1 + d}: a scalar and a vector.")
        return Rep(((config.latent - count * d, SCALAR), (count, VECTOR)), d)


class SetEncoderChoice(EncoderChoice):
    """Encoder `vn_set`: the network of sets where the observation holds a set, points without order otherwise."""

    def __call__(
        self, config: ModelConfig, observation_rep: Rep, latent_rep: Rep, *, group: Group | None = None
    ) -> Layer:
        """The encoder of a configuration."""
        if set_layout(observation_rep) is None:
            return VNSetEncoder.of(config, observation_rep, latent_rep)
        types = group_of(config, group, latent_rep.d)
        return SetEncoder(observation_rep, latent_rep, config.encoder_widths, types)

    def latents_for(
        self, config: ModelConfig, observation_rep: Rep, action_rep: Rep, group: Group | None
    ) -> Rep | None:
        """As of `vn` where there is a set; vectors alone otherwise."""
        return (
            None
            if set_layout(observation_rep) is None
            else super().latents_for(config, observation_rep, action_rep, group)
        )


def vn_predictor(
    config: ModelConfig, latent_rep: Rep, action_rep: Rep, *, group: Group | None = None, state: Rep | None = None
) -> Layer:
    """Predictor `vn`: as the encoder `vn`, by the latent's rep.

    Args:
        config: settings.
        latent_rep: rep of the latents.
        action_rep: rep of the actions.
        group: the world's.
        state: rep of the state, where the latent is the state.
    """
    if vectors_alone(group, latent_rep, action_rep):
        return VNPredictor.of(config, latent_rep, action_rep)
    return typed_predictor(config, latent_rep, action_rep, group, state)


def typed_predictor(
    config: ModelConfig, latent_rep: Rep, action_rep: Rep, group: Group | None, state: Rep | None
) -> SetPredictor | TypedPredictor:
    """The same where there is more than vectors: the network of sets, or the typed one."""
    types = group_of(config, group, latent_rep.d)
    if of_sets(group, latent_rep):
        return SetPredictor(latent_rep, action_rep, config.predictor_widths, types, state)
    return TypedPredictor(latent_rep, action_rep, config.predictor_widths, types)


VN_ENCODER = EncoderChoice()
VN_SET_ENCODER = SetEncoderChoice()
