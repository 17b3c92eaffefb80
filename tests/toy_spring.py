"""A world outside the package: a mass on a spring in the plane, a vector of position and one of velocity."""

import numpy as np
import torch

from equiwm.worlds.scene import Scene


class Spring(Scene):
    group, observation_rep, action_rep = "so2", "2x1o", "1o"

    def start(self, rng):
        return np.array([[1.0, 0.2], [0.3, -0.5]]) + 0.2 * rng.normal(size=(2, 2))

    def step(self, observation, action):
        position, velocity = observation.double().unbind(-2)
        faster = velocity + 0.3 * (action.double() - position)
        return torch.stack([position + 0.3 * faster, faster], -2)
