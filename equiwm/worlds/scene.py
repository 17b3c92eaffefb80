"""The base of a world of scenes: give a start, an action and a step, and it has all that training and audit ask for.

    from equiwm.worlds.scene import Scene

    class Spring(Scene):
        group, observation_rep, action_rep = "se2", "4xp+4x1o", "1o"

        def start(self, rng): ...                  # (8, 2): one scene, as it is before it is turned
        def step(self, observation, action): ...   # (B, 8, 2), (B, 2) -> (B, 8, 2)

`equiwm train --preset spring.yaml` finds it by `world: {name: "my_module:Spring"}`.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import as_finite, at_least_one
from equiwm.config import WorldConfig
from equiwm.errors import DataError
from equiwm.foreign import label
from equiwm.models.clouds import centred
from equiwm.symmetry.coverage import Arc
from equiwm.symmetry.groups import Elements, Group
from equiwm.symmetry.laws import check_space
from equiwm.symmetry.reps import Rep
from equiwm.worlds.draws import Moved, Orientations, generators, orientations_of, place
from equiwm.worlds.scenes import TaskScenes
from equiwm.worlds.targets import by_kind, kind_reps
from equiwm.worlds.world import PART, Progress, Transitions

COVERED_DEG = 90.0
"""Default coverage: the arc [0, 90) of the plane, or about z in space."""
ACTION_SIGMA = 0.5
_STARTS, _PLANS = 0, 1  # streams of random numbers that never meet those of `scenes`
_TURNS = {"seen": 4, "all": 5, "unseen": 6}


class Scene(TaskScenes):
    """A world given scene by scene. A scene has random numbers of its own: it does not depend on how many there are.

    A subclass has `group`, `observation_rep`, `action_rep`, `start` and `step`; all else has a default.

    Args:
        config: settings of section `world`, an instance of the class's `Config`.

    Attributes:
        group: a `Group`, or its name.
        observation_rep: a `Rep` or its text. Observations are (B, C, d) of C vectors and points, as `4xp+4x1o`, and
            flat (B, dim) where the rep holds anything else, as `2xp+1o+3x0e`.
        action_rep: the same for an action; vectors alone where the world is to be controlled.
        coverage: what training has seen; None is the arc [0, 90) of the plane, or about z in space.
        equivariant: whether T(g s, g a) = g T(s, a) for every g of the group. It is measured all the same.
        components: names of channels whose errors are shown one by one.
        episode_steps: steps that a scene of `transitions` goes on for.
        in_parts: whether large data may be made in parts, by several processes: all random numbers of a scene are from
            its own generators (`draws`), and nothing is kept from one scene to the next.
        data_files: files that data are read from, () for none, where data that were made in parts may be kept for other
            commands: they depend on these files, the configuration, the seed and code alone (`PartedWorld`).
    """

    Config: ClassVar[type[WorldConfig]] = WorldConfig
    group: Any
    observation_rep: Any
    action_rep: Any
    coverage: Any = None
    episode_steps: int = 1
    in_parts: bool = False
    data_files: Sequence[Path] | None = None
    _first_scene: int = 0

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config: Any = config or self.Config()
        self.name = self.config.name or type(self).__name__.lower()
        self.group = Group.parse(self.group) if isinstance(self.group, str) else self.group
        if isinstance(self.group, Group):
            check_space(self.group)
        steps = self.episode_steps
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise DataError(f"{label(type(self))}.episode_steps is {steps!r}; expected a whole number, at least 1.")
        for name in ("observation_rep", "action_rep"):
            given = getattr(self, name)
            setattr(self, name, Rep.parse(given, self.group.d) if isinstance(given, str) else given)
        if self.coverage is None:
            self.coverage = Arc(0.0, COVERED_DEG, self.group.d)

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Any:
        """One scene before it is turned, (C, d) or flat (dim,), as `observation_rep.shape`: a tensor or an array."""

    @abstractmethod
    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """s' = T(s, a): (B, *shape) and (B, d), (B, A, d) or flat (B, dim), to (B, *shape), float64."""

    def action(self, rng: np.random.Generator) -> Any:
        """One action before it is turned, of `action_shape`; N(0, 0.5^2), each channel moved into the unit ball."""
        drawn = rng.normal(0.0, ACTION_SIGMA, self.action_shape)
        if self.action_rep.structured:
            return drawn / np.maximum(1.0, np.linalg.norm(drawn, axis=-1, keepdims=True))
        parts = np.split(drawn, np.cumsum(self.action_rep.channels)[:-1])
        return np.concatenate([part / max(1.0, float(np.linalg.norm(part))) for part in parts])

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """`state`: the observation (n, C, d), points less their mean; one target a kind, flat, where it is mixed."""
        state = centred(observation, self.observation_rep, self.group)
        return {"state": state} if self.observation_rep.structured else by_kind(state, self.observation_rep.linear_part)

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """Reps of the flat targets: the kinds of a mixed observation, orientations as rotation matrices."""
        return {} if self.observation_rep.structured else kind_reps(self.observation_rep.linear_part)

    def draws(self, stream: int, seed: int, n: int) -> list[np.random.Generator]:
        """The generators of a stream (0 to 6 are taken) of `n` scenes, of which a part of the data has its own."""
        return generators(stream, seed, range(self._first_scene, self._first_scene + n))

    def starts(self, n: int, seed: int) -> Tensor:
        """`n` scenes (n, *shape) float64 before they are turned."""
        shape, what = self.observation_rep.shape, f"result of {label(type(self))}.start"
        drawn = [self.start(rng) for rng in self.draws(_STARTS, seed, n)]
        return torch.stack([as_finite(scene, shape, what, single=True) for scene in drawn])

    def turns(self, n: int, seed: int, orientations: Orientations) -> Elements:
        """How `n` scenes are turned, by numbers of their own for each kind of orientations."""
        law = orientations_of(self.coverage, orientations, self.group)
        draws = self.draws(_TURNS[orientations], seed, n)
        if isinstance(law, Moved):
            moves = Elements.cat([law.move(int(rng.integers(2**53))) for rng in draws])
            return moves @ self.turns(n, seed, "seen")
        return place(law, np.array([rng.random() for rng in draws]), np.array([rng.normal(size=4) for rng in draws]))

    def plans(self, n: int, horizon: int, seed: int) -> Tensor:
        """Actions (n, H, *action_shape) before they are turned; a shorter plan begins a longer one."""
        what = f"result of {label(type(self))}.action"
        draws = self.draws(_PLANS, seed, n)
        drawn = [
            [as_finite(self.action(rng), self.action_shape, what, single=True) for _ in range(horizon)] for rng in draws
        ]
        return torch.stack([torch.stack(plan) for plan in drawn])

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions, `episode_steps` of each scene; the first m of them are those of `transitions(m)`.

        With one seed, `seen`, `all` and `unseen` are the same scenes and actions, turned otherwise.

        Raises:
            DataError: `n` below 1, a negative seed, unknown orientations, or `unseen` where training covers all.
        """
        at_least_one("transitions", n=n)
        steps = self.episode_steps
        data = self.sequences(-(-n // steps), steps, seed=seed, orientations=orientations, progress=progress)
        before, after = data.observations[:, :-1].flatten(0, 1), data.observations[:, 1:].flatten(0, 1)
        episode = data.episode.repeat_interleave(steps)
        return Transitions(before[:n], data.actions.flatten(0, 1)[:n], after[:n], episode=episode[:n])

    @property
    def part_episodes(self) -> int:
        """Scenes of a part; 0 of a world that does not say that it may be made in parts."""
        return max(1, PART // self.episode_steps) if self.in_parts else 0

    def episodes(self, first: int, count: int, *, seed: int, orientations: Orientations = "seen") -> Transitions:
        """The transitions of some scenes.

        Raises:
            DataError: `count` below 1, and as `transitions`.
        """
        at_least_one("episodes", count=count)
        part = copy.copy(self)
        part._first_scene = first
        data = part.transitions(count * self.episode_steps, seed=seed, orientations=orientations)
        return replace(data, episode=data.episode + first)
