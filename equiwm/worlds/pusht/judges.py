"""By what others call a PushT episode solved: each criterion by its source."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiwm.worlds.pusht.physics import GymPushT, coverage

COVERED: float = GymPushT().success_threshold
"""Share of its goal that gym-pusht wants covered."""
WM_DISTANCE, WM_ANGLE = 20.0, 20.0
"""stable-worldmodel's: px, of agent and block together, and degrees."""

GYM = "gym-pusht"
STABLE = "stable-worldmodel"
OURS = "equiwm"

ASKS = {
    GYM: f"coverage > {COVERED:g} at any step",
    STABLE: f"|agent and block - goal| < {WM_DISTANCE:g} px together and {WM_ANGLE:g} deg at any step",
    OURS: "block within 24 px and 18 deg at any step",
}
BLOCK_ALONE = f"|block - goal| < {WM_DISTANCE:g} px and {WM_ANGLE:g} deg at any step (the goal has no agent)"
"""stable-worldmodel's criterion where the goal does not say where the agent is to be."""


def coverages(poses: np.ndarray, goals: np.ndarray) -> Tensor:
    """Coverage (...) of poses (..., 3) and goals that broadcast against them: x, y (px), angle (radians)."""
    poses, goals = np.broadcast_arrays(poses, goals)
    flat = zip(poses.reshape(-1, 3), goals.reshape(-1, 3), strict=True)
    found = [coverage(pose, goal) for pose, goal in flat]
    return torch.tensor(found, dtype=torch.float64).reshape(poses.shape[:-1])
