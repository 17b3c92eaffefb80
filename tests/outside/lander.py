"""A world from outside of mixed observations: two points, a velocity and three scalars, pushed in the plane."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from equiwm.worlds.scene import Scene


class Lander(Scene):
    """A craft that flies to a beacon, v' = v + thrust / mass - drag v, and a beacon that stays.

    Observed are the places of both, the velocity, the craft's mass, its fuel and whether it is near the beacon. An
    action is a thrust and an opening of the fuel's valve, by which the thrust is multiplied.
    """

    group, observation_rep, action_rep = "se2", "2xp+1o+3x0e", "1o+0e"
    components: ClassVar = {"craft": 0, "velocity": 2, "fuel": 4}
    episode_steps = 4

    def start(self, rng: np.random.Generator) -> np.ndarray:
        craft, beacon, velocity = rng.normal(size=2), rng.normal(size=2), 0.5 * rng.normal(size=2)
        scalars = [rng.uniform(0.5, 2.0), rng.uniform(0.2, 1.0), float(np.linalg.norm(craft - beacon) < 1.0)]
        return np.concatenate([craft, beacon, velocity, scalars])

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        craft, beacon, velocity = (observation[..., k : k + 2] for k in (0, 2, 4))
        mass, fuel = observation[..., 6:7], observation[..., 7:8]
        thrust = action[..., :2] * (1.0 + action[..., 2:]) * fuel
        velocity = velocity + 0.3 * (thrust / mass - 0.2 * velocity + 0.5 * (beacon - craft))
        craft = craft + 0.2 * velocity
        fuel = fuel - 0.05 * fuel * thrust.square().sum(-1, keepdim=True)
        near = ((craft - beacon).norm(dim=-1, keepdim=True) < 1.0).to(fuel)
        return torch.cat([craft, beacon, velocity, mass, fuel, near], -1)
