"""A set in which one item is another than the rest, though its world says that all of them are alike."""

import numpy as np
import torch

from equiwm.worlds.scene import Scene


class Leader(Scene):
    """Four bodies x_i, v_i that are drawn to each other, and twice as strongly to the first of them; a pushes all.

    F_i = sum_j w_j (x_j - x_i) exp(-|x_j - x_i|^2) - |v_i|^2 v_i + a, w = (2, 1, 1, 1); v' = v + F / 5,
    x' = x + v' / 5.
    """

    group, observation_rep, action_rep = "se2*s4", "perm4*(p+1o)", "1o"
    equivariant = False

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Four places and velocities, item after item."""
        return rng.normal(size=16)

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """A step of 0.2."""
        x, v = observation.unflatten(-1, (4, 4)).split(2, -1)
        apart = x[..., None, :, :] - x[..., :, None, :]
        weights = torch.tensor([2.0, 1.0, 1.0, 1.0], dtype=x.dtype)[:, None]
        force = (weights * apart * torch.exp(-apart.square().sum(-1, keepdim=True))).sum(-2)
        v = v + 0.2 * (force - v.square().sum(-1, keepdim=True) * v + action[..., None, :])
        return torch.cat([x + 0.2 * v, v], -1).flatten(-2)


class Masked(Leader):
    """The same with a mask, all of whose items are there: what `vn` builds for it exchanges them at any weights."""

    observation_rep = "perm4*(mask+p+1o)"

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """As the leader's, a 1 before each item."""
        return np.concatenate([np.ones((4, 1)), super().start(rng).reshape(4, 4)], 1).ravel()

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """As the leader's; masks stay."""
        there, items = observation.unflatten(-1, (4, 5)).split([1, 4], -1)
        moved = super().step(items.flatten(-2), action).unflatten(-1, (4, 4))
        return torch.cat([there, moved], -1).flatten(-2)
