"""The ring world: points that one action moves, turns and swells; how well they show a frame is a setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from equiwm.symmetry.groups import SE2
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.draws import Orientations
from equiwm.worlds.ring.config import RingConfig
from equiwm.worlds.scene import Scene
from equiwm.worlds.world import Progress, Transitions

POINTS = 6
DRIFT, TURN, SWELL = 0.15, 0.2, 0.1
_NOISE = 7  # stream of random numbers that never meets those of `Scene`


class Ring(Scene):
    """Six points x_p on a ring, in a fixed order, and an action a; with x~_p = x_p - mean(x) and J a quarter turn,

        x'_p = x_p + 0.15 a + 0.2 <a, x~_0> J x~_p + 0.1 <a, J x~_0> x~_p,

    which commutes with every rotation and translation. Which point is the first is told by its place in the
    observation alone. The ring's principal axes differ by `ellipse`; its halves by how far the first point stands out,
    `lopsided`. Without them what is left of a frame is `jitter`: it is there, and it turns at the slightest change.
    With `noise` what is observed before a step is off, and turns with the scene; what follows is not.
    """

    Config = RingConfig
    in_parts, data_files = True, ()
    group = SE2
    observation_rep = Rep(((POINTS, "p"),), 2)
    action_rep = vectors(1, 2)

    def start(self, rng: np.random.Generator) -> np.ndarray:
        angles = 2.0 * np.pi * np.arange(POINTS) / POINTS
        half = 0.5 * self.config.ellipse
        ring = np.stack([(1.0 + half) * np.cos(angles), (1.0 - half) * np.sin(angles)], -1)
        ring[0] *= 1.0 + self.config.lopsided
        return np.asarray(ring + rng.normal(0.0, self.config.jitter, ring.shape))

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        centred = observation - observation.mean(-2, keepdim=True)
        first, a = centred[..., :1, :], action[..., None, :]
        along = (a * first).sum(-1, keepdim=True)
        across = (a * _quarter(first)).sum(-1, keepdim=True)
        return observation + DRIFT * a + TURN * along * _quarter(centred) + SWELL * across * centred

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        data = super().transitions(n, seed=seed, orientations=orientations, progress=progress)
        if not self.config.noise:
            return data
        shape = (POINTS, 2)
        noise = np.array([rng.normal(0.0, self.config.noise, shape) for rng in self.draws(_NOISE, seed, n)])
        turned = self.observation_rep.linear_part.transform(torch.from_numpy(noise), self.turns(n, seed, orientations))
        return replace(data, observation=data.observation + turned)


def _quarter(x: Tensor) -> Tensor:
    """J x."""
    return torch.stack([-x[..., 1], x[..., 0]], -1)
