"""A world from outside with gravity: a load on a rope about the vertical, its orientation a quaternion."""

import numpy as np
import torch
from torch import Tensor

from equiwm.symmetry.orientations import left_product
from equiwm.worlds.scene import Scene


class Crane(Scene):
    """A load hangs from a trolley that is pushed horizontally and lifted; it turns about the vertical.

    Observed are the places of both, the load's velocity, its orientation, its rate of turn about the vertical (which
    a mirror would reverse; the group has none) and the rope's length. An action is a horizontal push and a torque.
    """

    group, observation_rep, action_rep = "se2z", "2xp+1o+quat+2x0e", "1o+0e"
    episode_steps = 4

    def start(self, rng: np.random.Generator) -> np.ndarray:
        trolley, q = np.append(rng.normal(size=2), 2.0), rng.normal(size=4)
        load = trolley + np.append(rng.normal(0.0, 0.3, 2), -1.0)
        rest = [0.3 * rng.normal(size=3), q / np.linalg.norm(q), [rng.normal(), rng.uniform(0.5, 1.5)]]
        return np.concatenate([trolley, load, *rest])

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        trolley, load, velocity, q, rate, rope = observation.split([3, 3, 3, 4, 1, 1], -1)
        apart = load - trolley
        length = apart.norm(dim=-1, keepdim=True)
        pull = -20.0 * (length - rope).clamp_min(0.0) * apart / length - 0.5 * velocity
        down = torch.tensor([0.0, 0.0, -1.0], dtype=load.dtype)
        velocity = velocity + 0.05 * (pull + down)
        push = action[..., :3] * torch.tensor([1.0, 1.0, 0.0], dtype=load.dtype)
        rate = rate + 0.05 * (action[..., 3:] - 0.2 * rate)
        turn = torch.cat([torch.ones_like(rate), torch.zeros_like(apart[..., :2]), 0.025 * rate], -1)
        q = (left_product(turn / turn.norm(dim=-1, keepdim=True)) @ q[..., None])[..., 0]
        return torch.cat([trolley + 0.05 * push, load + 0.05 * velocity, velocity, q, rate, rope], -1)
