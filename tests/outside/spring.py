"""A world from outside: masses in the plane, joined by springs, two of which are pushed."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equiwm.config import WorldConfig
from equiwm.schema import setting
from equiwm.worlds.scene import Scene


@dataclass(frozen=True)
class SpringConfig(WorldConfig):
    masses: int = setting(5, "masses of the ring", at_least=3)
    stiffness: float = setting(4.0, "of each spring", above=0.0)


class Spring(Scene):
    """Every mass hangs on every other; x'' = stiffness sum_q (|x_q - x_p| - L_pq) u_pq - x' + force."""

    Config = SpringConfig
    group, action_rep, episode_steps = "se2", "2x1o", 4

    def __init__(self, config: SpringConfig) -> None:
        self.observation_rep = f"{config.masses}xp+{config.masses}x1o"
        angles = np.linspace(0.0, 5.0, config.masses)
        self.layout = torch.from_numpy(np.stack([np.cos(angles), 0.4 * np.sin(angles)], 1))
        self.lengths = torch.cdist(self.layout, self.layout)
        super().__init__(config)

    def start(self, rng: np.random.Generator) -> Tensor:
        moved = self.layout + 0.05 * torch.from_numpy(rng.normal(size=self.layout.shape))
        return torch.cat([moved, 0.2 * torch.from_numpy(rng.normal(size=moved.shape))])

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        place, speed = observation.chunk(2, -2)
        for _ in range(4):
            apart = place[:, None] - place[:, :, None]
            length = apart.norm(dim=-1, keepdim=True).clamp_min(1e-9)
            pull = (self.config.stiffness * (length - self.lengths[..., None]) * apart / length).sum(2)
            pull[:, [0, -1]] = pull[:, [0, -1]] + 2.0 * action
            speed = speed + 0.05 * (pull - speed)
            place = place + 0.05 * speed
        return torch.cat([place, speed], -2)
