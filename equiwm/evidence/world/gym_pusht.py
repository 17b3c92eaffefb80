"""gym-pusht's own environment as a probe: its step, reward and observation, and a placement that is exact.

Its `reset_to_state` moves what it sets (it sets the position before the angle, and steps once), and knows no
velocities; `PushTPhysics` places without either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from equiwm.errors import GroupError
from equiwm.evidence.world.acting import MIRROR, group_of
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.result import CauseResult
from equiwm.evidence.world.simulator import Step
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.pusht.physics import PushTPhysics, geometry
from equiwm.worlds.pusht.world import PushT

OBSERVED = ("agent x", "agent y", "block x", "block y", "block angle")
_ACROSS = 230.0
"""Pixels from the centre to the targets of a plan: across the arena, inside its walls."""


class PushTArena:
    """The simulator of gym-pusht's environment; a state is the ten numbers of `worlds.pusht.physics`."""

    def __init__(self, environment: Any) -> None:
        self._physics = PushTPhysics(environment.unwrapped)

    def place(self, state: np.ndarray) -> None:
        """Put agent and block where they are said to be, in a fresh space."""
        self._physics.reset(state)

    def state(self) -> np.ndarray:
        """The present state."""
        return self._physics.state

    def act(self, action: np.ndarray) -> Step:
        """One step of the environment towards a target (2,) in px."""
        _, reward, terminated, _, _ = self._physics.arena.step(action)
        return Step(float(reward), bool(terminated))

    @property
    def observation(self) -> np.ndarray | None:
        """What the environment shows, where that is numbers."""
        if self._physics.arena.obs_type != "state":
            return None
        return np.asarray(self._physics.arena.get_obs(), dtype=np.float64)

    @property
    def touching(self) -> list[str]:
        """Whether the block has touched a wall."""
        return ["the block and a wall"] if self._physics.touched_wall else []


def pusht_probe(environment: Any, name: str, group: str) -> WorldProbe:
    """The probe of gym-pusht's environment: targets are points, and turn about the arena's centre.

    Raises:
        GroupError: a group of another space than the plane.
    """
    symmetry = group_of("mirrory2" if group == MIRROR else group)
    if symmetry.d != 2:
        raise GroupError(f"{symmetry} acts on d = {symmetry.d}; {name} lives in the plane: so2, o2, se2, mirror, c4.")
    access, point, centre = PushT().state_access(), Rep.parse("p", 2), geometry().centre

    def turned_target(action: np.ndarray, g: Elements) -> np.ndarray:
        return point.transform(torch.from_numpy(action - centre), g).numpy() + centre

    def plans(n: int, horizon: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng((seed, 1))
        heading = rng.uniform(0.0, 2 * np.pi, (n, 1)) + rng.normal(0.0, 0.3, (n, horizon))
        return centre + _ACROSS * np.stack([np.cos(heading), np.sin(heading)], -1)

    def why(elements: Elements) -> list[CauseResult]:
        found = access.fixed_under(elements)
        return [CauseResult("fixed in the world", f"{found}.", "", "")] if found else []

    return WorldProbe(
        PushTArena(environment),
        access.starts,
        plans,
        symmetry,
        access.turn,
        turned_target,
        channels=access.channels,
        angles=access.angles,
        observation_channels=OBSERVED,
        sigma=access.sigma,
        name=name,
        causes=why,
        guard=access.guard,
    )
