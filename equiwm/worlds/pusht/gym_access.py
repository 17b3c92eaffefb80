"""gym-pusht's own environment with its whole state: its step, reward and observation, and a placement that is exact.

Its `reset_to_state` moves what it sets (it sets the position before the angle, and steps once), and knows no
velocities; `PushTPhysics` places without either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from equiwm.symmetry.elements import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.pusht.physics import PushTPhysics, geometry
from equiwm.worlds.pusht.world import PushT
from equiwm.worlds.world import StateAccess

OBSERVED = ("agent x", "agent y", "block x", "block y", "block angle")
_ACROSS = 230.0
"""Pixels from the centre to the targets of a plan: across the arena, inside its walls."""


def gym_access(environment: Any) -> StateAccess:
    """The access to gym-pusht's environment; a state is the ten numbers of `physics`, an action a target (2,) in px.

    Targets are points: they turn about the arena's centre as the scene does.
    """
    physics, point, centre = PushTPhysics(environment), Rep.parse("p", 2), geometry().centre

    def act(action: np.ndarray) -> tuple[float, bool]:
        _, reward, terminated, _, _ = environment.step(action)
        return float(reward), bool(terminated)

    def turned_target(action: np.ndarray, g: Elements) -> np.ndarray:
        return point.transform(torch.from_numpy(action - centre), g).numpy() + centre

    def plans(n: int, horizon: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng((seed, 1))
        heading = rng.uniform(0.0, 2 * np.pi, (n, 1)) + rng.normal(0.0, 0.3, (n, horizon))
        return np.asarray(centre + _ACROSS * np.stack([np.cos(heading), np.sin(heading)], -1))

    numbers = environment.obs_type == "state"
    return replace(
        PushT().state_access(),
        place=physics.reset,
        state=lambda: physics.state,
        act=act,
        turn_action=turned_target,
        plans=plans,
        touching=lambda: ["the block and a wall"] if physics.touched_wall else [],
        observe=(lambda: np.asarray(environment.get_obs(), dtype=np.float64)) if numbers else None,
        observed=OBSERVED,
        dimension=2,
    )
