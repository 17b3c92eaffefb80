"""Forward models that see positions relative to one another: equivariant under translations by construction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equiwm.errors import ConfigError
from equiwm.models.step import ResidualPredictor
from equiwm.symmetry.reps import Rep


class RelativePredictor(ResidualPredictor):
    """f(z, a) = z + v(D z, a), D z_c = z_c - z_r in the channels c of positions, r the first of them, else z_c.

    D takes every translation off, D (z + t) = D z where t moves the positions together, and commutes with rotations;
    what v gives is a change, which no translation touches: f(g z, g a) = g f(z, a) for g of SE(d) where v is
    equivariant under SO(d), and under translations whatever v is. The reference itself becomes zero.

    Args:
        inner: gives v.
        positions: the channels of positions in the latent, the reference first.

    Raises:
        ConfigError: fewer than two of them, one twice, or one that the latent does not have; a latent that is not
            vectors alone.
    """

    differences: Tensor

    def __init__(self, inner: ResidualPredictor, positions: Sequence[int]) -> None:
        super().__init__(inner.in_rep, inner.action_rep)
        rep, self.positions = inner.in_rep, tuple(positions)
        if not rep.vectors_only:
            raise ConfigError(f"model.relative: it needs a state that is vectors alone; got rep {rep}.")
        known = len(set(self.positions)) == len(self.positions) >= 2 and max(self.positions) < rep.multiplicity
        if not known:
            raise ConfigError(
                f"model.relative: got {list(self.positions)}, expected two or more different channels of the state, "
                f"0 to {rep.multiplicity - 1}."
            )
        self.inner = inner
        differences = torch.eye(rep.multiplicity)
        differences[list(self.positions), self.positions[0]] -= 1.0
        self.register_buffer("differences", differences, persistent=False)

    def seen(self, latent: Tensor) -> Tensor:
        """D z, flat."""
        return (self.differences @ latent.unflatten(-1, (-1, self.in_rep.d))).flatten(-2)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        return self.inner.change(self.seen(latent), action)


def relative_to(predictor: object, positions: Sequence[int], state: Rep) -> object:
    """A predictor that sees those positions relative to the first; as it is where there are none.

    Raises:
        ConfigError: as `RelativePredictor`, or a predictor that gives no change.
    """
    if not positions:
        return predictor
    if not isinstance(predictor, ResidualPredictor):
        raise ConfigError(
            f"model.relative: {type(predictor).__name__} is no residual predictor, which gives the change of a state "
            f"({state}); expected one."
        )
    return RelativePredictor(predictor, positions)
