"""A world of any Gymnasium environment: typed observations, seeded episodes, its own symmetry measured."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import at_least_one
from equiwm.environments.bounds import ActionBounds
from equiwm.environments.environment import Environment
from equiwm.environments.explore import Episode, Explorer, replayed, run_episode
from equiwm.environments.layout import Layout
from equiwm.environments.spaces import Rows
from equiwm.errors import ConfigError, DataError, GroupError
from equiwm.models.clouds import centred
from equiwm.planning.task import ControlTask
from equiwm.symmetry.about import AboutAxis
from equiwm.symmetry.coverage import Arc, Coverage
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.groups import Group
from equiwm.symmetry.laws import changes, check_rep
from equiwm.symmetry.reps import Rep
from equiwm.worlds.draws import Moved, Orientations, check_orientations, generator, orientations_of
from equiwm.worlds.gym.config import GymConfig, parse_goal
from equiwm.worlds.gym.control import GymControl
from equiwm.worlds.gym.frames import StateFrames, covered
from equiwm.worlds.gym.recorded import CollectedEpisodes
from equiwm.worlds.targets import by_kind, kind_reps
from equiwm.worlds.world import (
    Progress,
    Sequences,
    StateAccess,
    SymmetryResidual,
    Transitions,
    World,
    action_shape,
)

_STEPS = 100
_TURNS, _RESIDUAL = 0x71, 0x72
_CARRIED = 1e-6
"""Of how far a quantity moves: rounding stays far below, and where a world breaks it does so by far more."""
_MEASURED_ROLLOUTS, _MEASURED_STEPS, _COVERAGE_TRANSITIONS = 12, 8, 256
_FAR, _LOOKS = 64, 8


class GymWorld(World):
    """A Gymnasium environment, typed by a `reps.yaml`.

    Transitions are those of episodes from seeded resets under exploring actions; nothing is kept between calls. Where
    the environment can be put in the state that an observation shows (`Environment`), the world is stepped from
    observations, its symmetry is measured, and scenes are turned; where it cannot, seeded resets are all there is.

    Args:
        config: settings of section `world`.

    Raises:
        ConfigError: no environment, no `reps.yaml`, or a group that has to be said.
        DataError: an environment that cannot be used: pixels alone, a choice among its actions, random numbers that no
            seed fixes.
        GroupError, RepError: a group or a rep that does not fit.
    """

    def __init__(self, config: GymConfig) -> None:
        self.config, self.name = config, "gym"
        spec = config.spec()
        if config.group is None and spec.dimension != 2:
            raise ConfigError(
                "world.group is missing: in space it has to be said, as so2z (about the vertical) or so3."
            )
        self.group: Group = Group.parse(config.group or "so2")
        if self.group.d != spec.dimension:
            raise GroupError(
                f"world.group: {self.group} acts on d = {self.group.d}, reps.yaml says dimension: {spec.dimension}."
            )
        self.environment = Environment(config.environment, config.options)
        moves = self.group.translations
        self.state = Layout(self.environment.observations, spec.state, spec, translations=moves)
        self.push = Layout(self.environment.actions, spec.action, spec, translations=moves)
        self.observation_rep, self.action_rep = self.state.rep, self.push.rep
        for rep in (self.observation_rep, self.action_rep):
            check_rep(rep, self.group)
        if not any(changes(self.group, rep) for rep in (self.observation_rep, self.action_rep)):
            raise GroupError(
                f"world.group: {self.group} changes neither observations ({self.observation_rep}) nor actions "
                f"({self.action_rep}): every model is equivariant under it."
            )
        self.bounds = ActionBounds.of(self.push, config.bounds)
        self.steps = config.episode_steps or self.environment.steps or _STEPS
        self._recorded: CollectedEpisodes | None = None
        self._explorer = Explorer(config.policy, self.environment, self.push, self.bounds, config.hold)

    @property
    def can_step(self) -> bool:
        """Whether the environment can be put where an observation shows it."""
        return self.unplaced is None

    @property
    def environment_id(self) -> str:
        """Which environment."""
        return self.config.environment

    def observed(self, rows: Rows) -> Tensor:
        """Observations (n, *shape) of the environment's own numbers (n, W)."""
        return self.state.tensor(rows)

    def sent(self, actions: Tensor) -> Rows:
        """Actions (n, *shape), moved into their bounds, as the environment's own numbers (n, A)."""
        return self.push.rows(self.bounds.clipped(actions))

    @cached_property
    def unplaced(self) -> str | None:
        """Why it cannot be stepped from an observation, turned or not, in words; None where it can."""
        return self.environment.unplaced or self.state.partial or self._lost()

    def _lost(self) -> str | None:
        """The quantity that is none any more once the group has turned it: an angle about z, under all rotations."""
        rows = np.stack([self.environment.reset(seed) for seed in range(_LOOKS)])
        g = self.group.sample(_LOOKS, 0)
        turned = self.observation_rep.transform_samples(self.state.tensor(rows), g)
        again = self.state.tensor(self.state.rows(turned))
        for name in self.state.quantities:
            there, back = (self.state.part(each, name) for each in (turned, again))
            if float((there - back).abs().max()) > _CARRIED * max(1.0, float(there.abs().max())):
                return f"'{name}', turned by {self.group}, is no {self.state.quantities[name].spec.rep} any more"
        return None

    @property
    def components(self) -> Mapping[str, int]:  # type: ignore[override]
        """Quantities of one vector each, by channel, where observations are vectors and points alone."""
        if not self.observation_rep.structured:
            return {}
        d = self.group.d
        return {name: at.start // d for name, at in self.state.quantities.items() if at.rep.multiplicity == 1}

    @cached_property
    def frames(self) -> StateFrames:
        """Frames of its states, fitted to episodes as training sees them."""
        return StateFrames(self._few.observation, self.observation_rep, self.group)

    @cached_property
    def coverage(self) -> Coverage:  # type: ignore[override]
        """Orientations of its episodes: as the setting says, or measured."""
        if self.config.wedge is not None:
            axis = self.group.axis if isinstance(self.group, AboutAxis) else None
            return Arc(*self.config.wedge, self.group.d, axis or "z")
        return covered(self.frames, self._few.observation, self.group)

    @cached_property
    def _few(self) -> Transitions:
        return self.transitions(_COVERAGE_TRANSITIONS, seed=0)

    @cached_property
    def equivariant(self) -> bool:  # type: ignore[override]
        """As the setting says; `auto` measures it where states can be set, and is no where they cannot."""
        if self.config.symmetric != "auto":
            return self.config.symmetric
        return self.unplaced is None and self._carries() <= _CARRIED

    def episode(self, index: int, seed: int, steps: int | None = None) -> Episode:
        """Exploration episode `index` of a seed, in the environment's own numbers."""
        return run_episode(self.environment, self._explorer.actor, index, seed, steps or self.steps)

    def training_side(self) -> World:
        """What training asks: this world, or the episodes of the setting `episodes`.

        Raises:
            ConfigError, DataError: episodes that cannot be read, or of another environment.
        """
        if self.config.episodes is None:
            return self
        made = copy.copy(self)
        made._recorded = CollectedEpisodes(self, Path(self.config.episodes))
        return made

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions of episodes from seeded resets; the first m of them are those of `transitions(m)`.

        `all` and `unseen` are the same episodes from starts that are turned, with the environment's own outcome.

        Raises:
            DataError: `n` below 1, a negative seed, an environment that raises, or turned starts where states cannot be
                set.
        """
        at_least_one("transitions", n=n)
        if self._recorded is not None:
            return self._recorded.transitions(n, seed)
        seen, done, following, number = [], [], [], []
        count = index = 0
        while count < n:
            observations, actions = self._scene(index, seed, self.steps, orientations)
            seen.append(observations[:-1])
            done.append(actions)
            following.append(observations[1:])
            number.append(torch.full((len(actions),), index))
            count, index = count + len(actions), index + 1
            if progress is not None:
                progress(min(count, n), n)
        before, actions, after, episode = (torch.cat(parts)[:n] for parts in (seen, done, following, number))
        return Transitions(before, actions, after, episode)

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """`n` sequences, each from a reset of its own; those that end before `horizon` steps are left out.

        Raises:
            DataError: as `transitions`, or a horizon that no episode survives.
        """
        at_least_one("sequences", n=n, horizon=horizon)
        if self._recorded is not None:
            return self._recorded.sequences(n, horizon, seed)
        observations, actions, kept = [], [], []
        for index in range(n):
            seen, done = self._scene(index, seed, horizon, orientations)
            if len(done) == horizon:
                observations.append(seen)
                actions.append(done)
                kept.append(index)
            if progress is not None:
                progress(index + 1, n)
        if not kept:
            raise DataError(f"{self.environment.where}: every episode ends before {horizon} steps.")
        ended = n - len(kept)
        excluded = {"the episode ended": ended} if ended else {}
        return Sequences(torch.stack(observations), torch.stack(actions), torch.tensor(kept), excluded)

    def _scene(self, index: int, seed: int, steps: int, orientations: Orientations) -> tuple[Tensor, Tensor]:
        """Observations (S + 1, *shape) and actions (S, *shape) of one episode."""
        check_orientations(orientations)
        made = self.episode(index, seed, steps)
        observations, actions = self.state.tensor(made.observations), self.push.tensor(made.actions[:-1])
        if orientations != "seen":
            g = self._turn(index, seed, orientations)
            self._require_placed("scenes of other orientations")
            start = self.observation_rep.transform_samples(observations[:1], g)
            actions = self.action_rep.transform(actions, g)
            rows = replayed(self.environment, self.state.rows(start)[0], self.push.rows(self.bounds.clipped(actions)))
            observations = self.state.tensor(rows)
        return observations, actions.reshape(len(actions), *action_shape(self.action_rep))

    def _turn(self, index: int, seed: int, orientations: Orientations) -> Elements:
        """The element (1,) that one scene is turned by.

        Raises:
            DataError: `unseen` where its episodes have every orientation.
        """
        rng = generator(_TURNS, index, seed=seed)
        if orientations == "all":
            return Moved(self.group, self.coverage).move(int(rng.integers(2**53)))
        orientations_of(self.coverage, "unseen", self.group)
        try:
            return Moved(self.group, self.coverage, apart=True).move(int(rng.integers(2**53)))
        except GroupError:
            raise DataError(
                f"orientations: no element of {self.group} turns the episodes' orientations ({self.coverage.label}) "
                "off themselves: nothing is wholly unseen."
            ) from None

    def _require_placed(self, what: str) -> None:
        if self.unplaced is not None:
            raise DataError(
                f"{self.environment.where} gives no {what}: {self.unplaced}. Seeded resets are all there is; offer "
                "set_observation(observation), or say world.symmetric: true where you know that it carries the group."
            )

    @torch.no_grad()
    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """s' = T(s, a), the environment put where each observation shows it: (B, *shape), (B, *shape) -> (B, *shape).

        Actions are moved into their bounds (`ActionBounds`).

        Raises:
            DataError: an environment whose state cannot be set.
        """
        self._require_placed("outcome of an observation that it did not come to itself")
        starts = self.state.rows(observation)
        actions = self.push.rows(
            self.bounds.clipped(action.detach().double().reshape(len(action), *self.action_rep.shape))
        )
        ends = [replayed(self.environment, start, act[None])[1] for start, act in zip(starts, actions, strict=True)]
        return self.state.tensor(np.stack(ends)).to(observation.device)

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """Every quantity, points less their mean; one of several kinds by kind (`turn 1o`)."""
        state = centred(observation, self.observation_rep, self.group)
        if self.observation_rep.structured:
            parts = {name: self.state.part(state, name) for name in self.state.quantities}
            return {name: part.unflatten(-1, (-1, self.group.d)) for name, part in parts.items()}
        found: dict[str, Tensor] = {}
        for name, placed in self.state.quantities.items():
            kinds = by_kind(self.state.part(state, name), placed.rep.linear_part)
            found |= {name if len(kinds) == 1 else f"{name} {kind}": part for kind, part in kinds.items()}
        return found

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """Reps of the targets, where they are flat."""
        if self.observation_rep.structured:
            return {}
        found: dict[str, Rep] = {}
        for name, placed in self.state.quantities.items():
            kinds = kind_reps(placed.rep.linear_part)
            found |= {name if len(kinds) == 1 else f"{name} {kind}": rep for kind, rep in kinds.items()}
        return found

    def _residuals(self, rollouts: int, steps: int, seed: int) -> tuple[Tensor, Tensor]:
        """|g s_t - s_t(g s_0, g a)| and |s_t - s_0|, the largest of every entry, (n, dim) both."""
        self._require_placed("symmetry to be measured")
        data = self.sequences(rollouts, steps, seed=seed)
        g = self.group.sample(len(data), generator(_RESIDUAL, seed=seed))
        expected = self.observation_rep.transform_samples(data.observations, g[:, None])
        actions = data.actions.reshape(len(data), steps, *self.action_rep.shape)
        turned = self.action_rep.transform(actions.flatten(2), g[:, None]).reshape(actions.shape)
        state = expected[:, 0]
        worst = torch.zeros(len(data), self.observation_rep.dim, dtype=torch.float64)
        moved = worst.clone()
        for t in range(steps):
            state = self.step(state, turned[:, t])
            worst = torch.maximum(worst, (state - expected[:, t + 1]).abs().reshape(len(data), -1))
            moved = torch.maximum(moved, (expected[:, t + 1] - expected[:, 0]).abs().reshape(len(data), -1))
        return worst, moved

    def _carries(self) -> float:
        """The largest residual of a quantity, relative to how far that quantity moves."""
        worst, moved = self._residuals(_MEASURED_ROLLOUTS, min(_MEASURED_STEPS, self.steps), 0)
        found = [0.0]
        for placed in self.state.quantities.values():
            size = float(moved[:, placed.entries].max())
            found.append(float(worst[:, placed.entries].max()) / (size or 1.0))
        return max(found)

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g s_t - s_t(g s_0, g a)| by quantity, over random rollouts, in the units of `reps.yaml`.

        Raises:
            DataError: `rollouts` or `steps` below 1, a negative seed, or an environment whose state cannot be set.
        """
        at_least_one("symmetry_residual", rollouts=rollouts, steps=steps)
        worst, _ = self._residuals(rollouts, steps, seed)
        each = {name: float(worst[:, placed.entries].max()) for name, placed in self.state.quantities.items()}
        units = list(dict.fromkeys(placed.unit for placed in self.state.quantities.values() if placed.unit))
        return SymmetryResidual(" or ".join(units), steps, worst=each, rollouts=dict.fromkeys(each, len(worst)))

    def control(self, observations: Tensor) -> ControlTask:
        """Its tasks: the goal of the setting `goal`, by channels and tolerances.

        Raises:
            DataError: no goal is set, or one of a quantity that the state does not have.
        """
        if self.config.goal is None:
            raise DataError(
                "world.goal is missing: what is there to reach? As in --set 'world.goal={channels: {block: 0.02}}'."
            )
        return GymControl(
            self, parse_goal(self.config.goal), StateFrames(observations, self.observation_rep, self.group)
        )

    def state_access(self) -> StateAccess:
        """The environment with the state that its observations show.

        Raises:
            DataError: it cannot be set.
        """
        self._require_placed("access to its state")
        at: list[np.ndarray] = []

        def place(state: np.ndarray) -> None:
            self.environment.place(self.state.rows(torch.from_numpy(state).reshape(1, *self.observation_rep.shape))[0])
            at[:] = [state.copy()]

        def act(action: np.ndarray) -> object:
            given = torch.from_numpy(action).reshape(1, *self.action_rep.shape)
            stepped = self.environment.step(self.push.rows(self.bounds.clipped(given))[0])
            at[:] = [self.state.tensor(stepped.observation[None]).reshape(-1).numpy()]
            return stepped

        def starts(n: int, seed: int) -> np.ndarray:
            episodes = (self.episode(k, seed, 1 + (k * _FAR) // n % self.steps) for k in range(n))
            rows = np.stack([episode.observations[-1] for episode in episodes])
            return self.state.tensor(rows).reshape(n, -1).numpy()

        def plans(n: int, horizon: int, seed: int) -> np.ndarray:
            rng = generator(_RESIDUAL, 1, seed=seed)
            drawn = [[self.bounds.draw(rng).reshape(-1) for _ in range(horizon)] for _ in range(n)]
            return torch.stack([torch.stack(plan) for plan in drawn]).numpy()

        def turn(state: np.ndarray, g: Elements) -> np.ndarray:
            return self.observation_rep.transform(torch.from_numpy(state)[None], g).reshape(-1).numpy()

        def turn_action(action: np.ndarray, g: Elements) -> np.ndarray:
            return self.action_rep.transform(torch.from_numpy(action)[None], g).reshape(-1).numpy()

        channels = {
            name: tuple(range(placed.start, placed.start + placed.rep.dim))
            for name, placed in self.state.quantities.items()
        }
        return StateAccess(place, lambda: at[0].copy(), act, turn, turn_action, starts, plans, channels)
