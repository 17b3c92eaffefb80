"""A world without any symmetry, for what has to be refused."""

import numpy as np
import torch

from equiwm.worlds.scene import Scene


class Lopsided(Scene):
    """s' = s + 0.1 (sin 3 s_x + a_y^2 + 1, s_x s_y^2 + a_x + cos(2 s_y)): it turns, shifts and scales with nothing."""

    group, observation_rep, action_rep = "so2", "1o", "1o"
    equivariant = False

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """One vector."""
        return rng.normal(size=(1, 2))

    def step(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """s'."""
        x, y = observation[..., 0], observation[..., 1]
        u, v = action[..., None, 0], action[..., None, 1]
        change = [torch.sin(3 * x) + v.square() + 1, x * y.square() + u + torch.cos(2 * y)]
        return observation + 0.1 * torch.stack(change, -1)
