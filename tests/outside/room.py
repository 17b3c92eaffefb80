"""A world from outside whose symmetry ends at a wall: a point on a spring in the plane, and a wall at x = 1.2.

`near` is a guard of it by hand; `equiwm check-world room:probe --where place --save-guard guard.json` measures one.
"""

import numpy as np
import torch
from torch import Tensor

import equiwm
from equiwm.worlds.scene import Scene

WALL = 1.2


class Room(Scene):
    """x'' = action - x, and x[0] <= WALL: SO(2) about the origin wherever the wall is not reached."""

    group, observation_rep, action_rep, episode_steps = "so2", "2x1o", "1o", 4
    components = {"place": 0, "speed": 1}  # noqa: RUF012

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return np.array([rng.uniform(0.4, 1.6, 1) * [1.0, 0.0], rng.normal(0.0, 0.2, 2)]).reshape(2, 2)

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        place, speed = observation.unbind(-2)
        speed = 0.95 * speed + 0.1 * (action - place)
        place = place + 0.1 * speed
        hit = place[:, :1] > WALL
        stop = torch.tensor([1.0, 0.0], dtype=place.dtype)
        place = torch.where(hit, WALL * stop + place * (1 - stop), place)
        return torch.stack([place, torch.where(hit, speed * (1 - stop), speed)], -2)


def moved(state: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The same step of one state (4,), in numbers."""
    place, speed = state[:2], 0.95 * state[2:] + 0.1 * (action - state[:2])
    place = place + 0.1 * speed
    return np.array([WALL, place[1], 0.0, speed[1]]) if place[0] > WALL else np.concatenate([place, speed])


def probe() -> equiwm.WorldProbe:
    """The room as `check-world` takes it, from states at rest."""
    starts = np.random.default_rng(0).normal(size=(8, 4)) * [1.0, 1.0, 0.0, 0.0]
    channels = {"place": [0, 1], "speed": [2, 3]}
    return equiwm.WorldProbe(moved, starts, ([-1.0, -1.0], [1.0, 1.0]), "so2", "2x1o", "1o", channels=channels)


def near(states: np.ndarray) -> np.ndarray:
    """Where no step of a tenth reaches the wall, however the scene is turned."""
    return np.linalg.norm(states[:, :2], axis=1) < 1.0


def shapeless(states: np.ndarray) -> np.ndarray:
    return np.ones(3)


def failing(states: np.ndarray) -> np.ndarray:
    raise RuntimeError("no such room")
