"""The pair: two bodies alike, each with a push of its own, without names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from equiwm.models.clouds import centred
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.bodies.physics import SPEED, moved
from equiwm.worlds.pair.config import PairConfig
from equiwm.worlds.scene import Scene

TILT = 0.3
"""Standard deviation of the angle of the line through both from the first axis, in radians; either may be the first."""
DISTANCES = (0.6, 2.0)


class Pair(Scene):
    """Two bodies of mass 1 that touch and attract each other, as in the world of bodies; each is pushed.

        observation perm2*p + perm2*1o,   action perm2*1o

    Their centre is at rest, but for `drift`: positions and velocities are then x, -x and v, -v as seen from it. Half a
    turn and an exchange of the two give the same scene, so that every rule that reads one frame off it, F(g s) = g F(s)
    for all g of SE(2) x S_2, would need F = -F: there is none. The pushes are not part of what is observed, and tell
    the two apart.
    """

    Config = PairConfig
    in_parts, data_files = True, ()
    group = Group.parse("se2*s2")
    observation_rep = Rep.parse("perm2*p+perm2*1o", 2)
    action_rep = Rep.parse("perm2*1o", 2)
    components: Mapping[str, int] = {"position": 0, "velocity": 1}
    # Two bodies without names have no pose to reach.
    control = None  # type: ignore[assignment]

    def start(self, rng: np.random.Generator) -> np.ndarray:
        angle, half = rng.normal(0.0, TILT), 0.5 * rng.uniform(*DISTANCES) * rng.choice([-1.0, 1.0])
        first, speed = half * np.array([np.cos(angle), np.sin(angle)]), rng.normal(0.0, SPEED, 2)
        position, velocity = np.stack([first, -first]), np.stack([speed, -speed])
        velocity = velocity + self.config.drift * np.array([1.0, 0.0])
        return np.concatenate([position.ravel(), velocity.ravel()])

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        position, velocity = (part.unflatten(-1, (2, 2)) for part in observation.split(4, -1))
        ones = torch.ones_like(position[..., 0])
        x, v = moved(position, velocity, ones, action.unflatten(-1, (2, 2)), ones)
        return torch.cat([x.flatten(-2), v.flatten(-2)], -1)

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """`positions`, less their mean, and `velocities`: flat (n, 4), of `perm2*1o`."""
        positions, velocities = centred(observation, self.observation_rep, self.group).split(4, -1)
        return {"positions": positions, "velocities": velocities}

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """Reps of the two targets."""
        return dict.fromkeys(("positions", "velocities"), self.action_rep)
