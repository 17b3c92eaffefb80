"""Residual predictors f(z, a) = z + v(z, a), and the unit in which they count what changes."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep


class ResidualPredictor(Layer):
    """f(z, a) = z + v(z, a): latents (..., D), actions (..., d) or (..., C, d) -> (..., D).

    A concrete one gives `change`, the map v. It may be asked alone: the identity beside it is exactly equivariant and
    would only dilute a relative residual.

    Args:
        latent_rep: rep of the latents, before and after.
        action_rep: rep of the actions.
    """

    def __init__(self, latent_rep: Rep, action_rep: Rep) -> None:
        super().__init__(latent_rep, latent_rep, "flat")
        self.action_rep = action_rep

    def joined(self, latent: Tensor, action: Tensor) -> Tensor:
        """[z, a] flat, (..., D + A)."""
        return torch.cat([latent, action.reshape(*latent.shape[:-1], self.action_rep.dim)], -1)

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        """v(z, a), (..., D) of the latent's rep."""
        raise NotImplementedError

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        return latent + self.change(latent, action)


class StepPredictor(ResidualPredictor):
    """f(z, a) = z + h v(z, a): an Euler step h of what another residual predictor calls its change.

    Where a state moves by a twentieth of its size in a step, a network of unit weights has to shrink its output by as
    much before it learns anything, and an optimiser of constant rate leaves twenty times the relative noise. With h the
    RMS of the true change v has RMS 1, as the velocity has in the paper's regressions.

    Args:
        inner: gives v.
        step: h, above 0. Of a stack of predictors there is one each, (S, 1, 1).

    Raises:
        RepError: a step that is not a positive number.
    """

    def __init__(self, inner: ResidualPredictor, step: float) -> None:
        if not 0.0 < step < float("inf"):
            raise RepError(f"the step of a predictor: got {step}, expected a finite number above 0.")
        super().__init__(inner.in_rep, inner.action_rep)
        self.inner = inner
        self.step: float | Tensor = step

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        return self.step * self.inner.change(latent, action)
