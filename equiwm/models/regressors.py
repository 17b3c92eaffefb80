"""The networks of the ablations by name: from (state, action) to the velocity."""

from __future__ import annotations

from typing import Literal, Protocol

import torch

from equiwm.models.mlp import MLPEncoder
from equiwm.models.soft import Regressor, SoftRegressor
from equiwm.models.vector_neurons import VNEncoder
from equiwm.symmetry.reps import Rep

RegressorKind = Literal["vn", "mlp", "soft"]

DEFAULT_WIDTH: dict[RegressorKind, int] = {"vn": 32, "mlp": 256, "soft": 256}
"""Widths of the protocol: vectors for `vn`, units for `mlp`, units of the free path for `soft`."""


class Typed(Protocol):
    """What a regressor has to know of a world: the reps."""

    observation_rep: Rep
    action_rep: Rep


def _build(kind: RegressorKind, world: Typed, width: int) -> Regressor | SoftRegressor:
    state, action = world.observation_rep, world.action_rep
    match kind:
        case "vn":
            return Regressor(VNEncoder(state + action, state, (width, width), "real", skip=False), state, action)
        case "mlp":
            return Regressor(MLPEncoder(state + action, state, (width, width)), state, action)
        case "soft":
            hard, free = _build("vn", world, DEFAULT_WIDTH["vn"]), _build("mlp", world, width)
            assert isinstance(hard, Regressor)
            assert isinstance(free, Regressor)
            return SoftRegressor(hard, free)


def build_regressor(
    kind: RegressorKind, world: Typed, width: int | None = None, *, seed: int, dtype: torch.dtype = torch.float32
) -> Regressor | SoftRegressor:
    """A regressor of two hidden layers, with the weights that `seed` gives; the global random state stays as it was.

        vn    VN C + C' -> width -> width -> C vectors, real weights (3,488 parameters on the velocity field)
        mlp   (C + C') d -> width -> width -> C d units
        soft  vn of width 32, plus an mlp of `width`

    Weights are drawn in float32 and cast, so that every dtype has the same ones. The weights of a `soft` are not
    those of a `vn` and an `mlp` of the same seed.

    Args:
        kind: which of them.
        world: gives the reps, C state vectors and C' action vectors in d dimensions.
        width: of the hidden layers; None is that of `DEFAULT_WIDTH`.
        seed: seed of the weights.
        dtype: of the weights.

    Raises:
        RepError: `vn` or `soft` in a world whose observations or actions are not vectors alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _build(kind, world, DEFAULT_WIDTH[kind] if width is None else width).to(dtype)
