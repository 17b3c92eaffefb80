"""Encoders and predictors on observations, states and actions of unit size, whatever unit the data has."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from equiwm.models.clouds import Centring
from equiwm.models.sets import SetEncoder
from equiwm.models.step import ResidualPredictor
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.nn.normalise import Normalise
from equiwm.nn.normalise_sets import SetNormalise
from equiwm.nn.sets import SetNetwork
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import set_layout


def _normaliser(rep: Rep, group: Group | None, inner: nn.Module) -> Normalise | SetNormalise:
    """What normalises a rep for a network: where that takes items in any order, the same for all of them."""
    takes_sets = any(isinstance(part, SetNetwork) for part in inner.modules())
    if takes_sets and set_layout(rep) is not None:
        return SetNormalise(rep, group)
    return Normalise(rep, group)


class NormalisedEncoder(Layer):
    """E(N x), N fitted on the training's observations; those that hold a set are centred first (`Centring`).

    Args:
        inner: E.
        group: of the world, with which N commutes.
    """

    def __init__(self, inner: Layer, group: Group | None) -> None:
        super().__init__(inner.in_rep, inner.out_rep, inner.layout)
        self.inner = inner
        self.centre = Centring(inner.in_rep, group) if isinstance(inner, SetEncoder) else None
        self.normalise = _normaliser(inner.in_rep if self.centre is None else inner.in_rep.linear_part, group, inner)

    @property
    def equivariant(self) -> bool:
        """Whether E is meant to be."""
        return self.inner.equivariant

    def seen(self, observation: Tensor) -> Tensor:
        """What N is fitted on."""
        return observation if self.centre is None else self.centre(observation)

    def forward(self, observation: Tensor) -> Tensor:
        return self.inner(self.normalise(self.seen(observation)))


class NormalisedPredictor(Layer):
    """f on normalised actions and, where the latent is the state, on normalised states.

    Of a residual predictor f(z, a) = z + v(z, a) of states z + S v(N z, M a) is made, with S the size of the training's
    changes; of any other one N^-1 f(N z, M a). Latents of their own are of unit size by the training's objective, and
    f(z, M a) is made of their predictors.

    Args:
        inner: f.
        action_rep: rep of the actions.
        group: of the world, with which N, M and S commute.
        state: whether the latent is the state.
    """

    def __init__(self, inner: Layer, action_rep: Rep, group: Group | None, *, state: bool) -> None:
        super().__init__(inner.in_rep, inner.out_rep, inner.layout)
        self.inner, self.action = inner, _normaliser(action_rep, group, inner)
        self.state = _normaliser(inner.in_rep, group, inner) if state else None
        residual = state and isinstance(inner, ResidualPredictor)
        self.step = _normaliser(inner.in_rep, group, inner) if residual else None

    @property
    def equivariant(self) -> bool:
        """Whether f is meant to be."""
        return self.inner.equivariant

    def seen(self, latent: Tensor) -> Tensor:
        """N z where the latent is the state, else z."""
        return latent if self.state is None else self.state(latent)

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        action, seen = self.action(action), self.seen(latent)
        if self.state is None:
            return self.inner(seen, action)
        if self.step is None or not isinstance(self.inner, ResidualPredictor):
            return self.state.inverse(self.inner(seen, action))
        return latent + self.step.scaled(self.inner.change(seen, action))


def normalised(model: WorldModel, group: Group | None) -> WorldModel:
    """A model of the same parts, on normalised observations, states and actions."""
    state = model.latent_is_state
    encoder = model.encoder if state else NormalisedEncoder(model.encoder, group)
    predictor = NormalisedPredictor(model.predictor, model.action_rep, group, state=state)
    return WorldModel(encoder, predictor, model.action_rep)


def copy_normalisation(source: nn.Module, target: nn.Module) -> None:
    """Give a model of the same parts the means and sigmas of another one."""
    for given, taken in zip(_normalisers(source), _normalisers(target), strict=True):
        taken.mean.copy_(given.mean)
        taken.sigma.copy_(given.sigma)


def _normalisers(model: nn.Module) -> Iterator[Normalise]:
    return (part for part in model.modules() if isinstance(part, Normalise))
