"""Makes pusht-drift.parquet and pusht-still.parquet: 3,000 PushT transitions, with and without a table that drifts.

    python tests/data/make_pusht_drift.py

Episodes start at any angle. The rows of both are in px and px/s of gym-pusht's frame, about the arena's centre; a table
moves the block by 2 px along +x after each step, and each next state starts from the drifted one. An episode ends
before it could meet a wall.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from equiwm.worlds.pusht.physics import (
    AGENT,
    AGENT_VELOCITY,
    ANGLE,
    BLOCK,
    REACH,
    PushTPhysics,
    agent_inside,
    block_inside,
    geometry,
)
from equiwm.worlds.pusht.world import PushT

HERE = Path(__file__).parent
ROWS, STEPS, SEED, DRIFT = 3000, 15, 23, 2.0


def table(drift: float) -> pd.DataFrame:
    """A row a step, the last state of an episode included; 3,000 transitions."""
    world, physics = PushT(), PushTPhysics()
    seen = world.transitions(ROWS * 4, seed=SEED, orientations="all")
    rng = np.random.default_rng(SEED)
    _, starts = np.unique(seen.episode.numpy(), return_index=True)
    states, centre = world.state_of(seen.observation[starts]), geometry().centre
    rows: list[list[float]] = []
    done = 0
    for episode, state in enumerate(states):
        if done >= ROWS:
            break
        pushed = state[BLOCK] - state[AGENT]
        towards = pushed / np.linalg.norm(pushed)
        for step in range(min(STEPS, ROWS - done) + 1):
            if not (block_inside(state) and agent_inside(state)):
                break
            noise = rng.normal(0.0, 0.45, 2)
            action = REACH * (0.6 * towards + noise) / max(1.0, float(np.linalg.norm(0.6 * towards + noise)))
            values = [*(state[AGENT] - centre), *state[AGENT_VELOCITY], *(state[BLOCK] - centre), state[ANGLE], *action]
            rows.append([episode, step / 10, *values])
            done += step > 0
            physics.reset(state)
            physics.step(*(state[AGENT] + action))
            state = physics.state
            state[BLOCK] += [drift, 0.0]
            state[7:] = 0.0  # the block starts each step at rest: its velocity is not logged
    names = ["agent_x", "agent_y", "velocity_x", "velocity_y", "block_x", "block_y", "angle", "target_x", "target_y"]
    made = pd.DataFrame(rows, columns=["episode", "time", *names])
    return made.astype({"episode": "int32", **dict.fromkeys(["time", *names], "float32")})


if __name__ == "__main__":
    for name, drift in (("pusht-drift", DRIFT), ("pusht-still", 0.0)):
        table(drift).to_parquet(HERE / f"{name}.parquet", compression="zstd", index=False)
