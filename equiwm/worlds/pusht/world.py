"""The PushT world: real gym-pusht physics as typed observations, push scenes, and its measured symmetry."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import at_least_one
from equiwm.errors import DataError
from equiwm.symmetry.coverage import Arc, Coverage
from equiwm.symmetry.groups import SO2, Elements
from equiwm.symmetry.reps import vectors
from equiwm.worlds.draws import Orientations, generators, orientations_of, planar_angles
from equiwm.worlds.pusht.arena import arena_starts, explore
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.control import PushTControl
from equiwm.worlds.pusht.demonstrated import Demonstrated
from equiwm.worlds.pusht.physics import (
    AGENT,
    AGENT_VELOCITY,
    ANGLE,
    AXIS_ANGLE,
    BLOCK,
    BLOCK_VELOCITY,
    CONTROL_PERIOD,
    GUARD,
    POSITION_SCALE,
    SPIN,
    STATE_SIZE,
    VELOCITY_SCALE,
    PushTPhysics,
    agent_inside,
    block_in_arena,
    block_inside,
    gap,
    geometry,
    turn,
)
from equiwm.worlds.pusht.standard import STANDARD, StandardControl, standard_control
from equiwm.worlds.world import PART, Progress, Sequences, StateAccess, SymmetryResidual, Transitions, World

TASK_TURN, TASK_PUSH = np.deg2rad(35.0), 20.0  # a task turns the block by 35 degrees, moves it 20 px along u
_EXPLORATION, _TASKS, _RESIDUAL, _SEQUENCES, _ACCESS = range(
    5
)  # streams of random numbers that never meet, whatever the seeds
_BATCH = 32  # episodes simulated between two reports of progress
_DRAWS_BEFORE_NONE, _DRAWS_EACH = 256, 20  # draws until a horizon is given up, and for each sequence asked for


@dataclass(frozen=True)
class SceneRanges:
    """Where a scene puts block and agent, in a frame whose x axis is the push direction u; px, radians.

    Attributes:
        offset: the block lies within +-offset of the arena's centre along both axes.
        along: [low, high) distance of the agent behind the block, along -u.
        side: [low, high) distance of the agent from the line of push, to either side.
        stem: the stem points within +-stem of u.
    """

    offset: float
    along: tuple[float, float]
    side: tuple[float, float]
    stem: float


PUSH_SCENES = SceneRanges(offset=12.0, along=(34.0, 52.0), side=(14.0, 28.0), stem=0.0)
"""The paper's push scenes. With the stem along u the agent stands behind the flat of the bar, clear of it; with
the body's x axis along u the same distances would start half of the scenes (52%) inside the bar."""

ANYWHERE = SceneRanges(offset=70.0, along=(-30.0, 160.0), side=(0.0, 80.0), stem=np.pi)
"""Scenes of the symmetry residual: off the centre, at any angle, overlapping or not."""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """n rollouts of H control steps.

    Attributes:
        states: (n, H + 1, STATE_SIZE), see `pusht_physics`.
        touched: (n, H) whether the block had touched a wall by the end of each step.
    """

    states: np.ndarray
    touched: np.ndarray

    @property
    def wall(self) -> np.ndarray:
        """(n,) whether a rollout touched a wall or left the guard, however it is turned."""
        inside = block_inside(self.states) & agent_inside(self.states)
        return self.touched.any(1) | ~inside.all(1)


@dataclass(frozen=True, eq=False)
class PushTasks:
    """n push tasks.

    Attributes:
        start: (n, STATE_SIZE) states, at rest and without overlap.
        goal: (n, STATE_SIZE) the same with the block where it has to go; only the block's pose is asked for.
    """

    start: np.ndarray
    goal: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


class PushT(World):
    """gym-pusht as a world with the group SO(2) about the arena's centre c.

    An observation is four vectors: (p_agent - c)/256, v_agent/512, (p_block - c)/256 and the direction of
    an axis of the block. An action a of the unit disk aims the agent at p_agent + 100 a. Away from the
    walls the dynamics commutes with rotations. The block's stem is a vector under reflections as well; its
    body x axis is not.

    Args:
        config: direction of the block that is observed, wedge of scene orientations, steps of an episode.
    """

    name = "pusht"
    group = SO2
    observation_rep = vectors(4, 2)
    action_rep = vectors(1, 2)
    components: Mapping[str, int] = {
        "agent_position": 0,
        "agent_velocity": 1,
        "block_position": 2,
        "block_direction": 3,
    }

    Config = PushTConfig

    def __init__(self, config: PushTConfig | None = None) -> None:
        self.config = config or PushTConfig()
        self.equivariant = True
        self.coverage: Coverage = Arc(*self.config.wedge)
        self._axis = AXIS_ANGLE[self.config.direction]
        self._demonstrated: Demonstrated | None = None

    def training_side(self) -> World:
        """What training asks: this world, or the recordings of `world.demonstrations` and nothing else.

        Raises:
            ConfigError: nothing says which recordings.
        """
        if self.config.scenes != "demonstrations":
            return self
        made = copy.copy(self)
        made._demonstrated = Demonstrated(self.config.recordings, self.coverage)
        return made

    def observe(self, states: np.ndarray) -> Tensor:
        """Observations (..., 4, 2) float64 of the states (..., STATE_SIZE)."""
        centre, angle = geometry().centre, states[..., ANGLE] + self._axis
        channels = [
            (states[..., AGENT] - centre) / POSITION_SCALE,
            states[..., AGENT_VELOCITY] / VELOCITY_SCALE,
            (states[..., BLOCK] - centre) / POSITION_SCALE,
            np.stack([np.cos(angle), np.sin(angle)], -1),
        ]
        return torch.from_numpy(np.stack(channels, -2))

    def state_of(self, observation: Tensor) -> np.ndarray:
        """The states (..., STATE_SIZE) seen as `observation` (..., 4, 2), block at rest; inverts `observe`.

        The angle comes back in (-pi, pi]; a direction need not have norm 1.

        Raises:
            DataError: another shape, numbers that are not finite, or a direction of norm zero.
        """
        if observation.shape[-2:] != (4, 2) or not bool(observation.isfinite().all()):
            shape = tuple(observation.shape)
            raise DataError(f"a PushT observation is finite numbers of shape (..., 4, 2); got shape {shape}.")
        if bool((observation[..., 3, :] == 0).all(-1).any()):
            raise DataError("an observation has a block direction of norm 0; expected a vector that points.")
        agent, velocity, block, direction = np.moveaxis(observation.double().cpu().numpy(), -2, 0)
        centre = geometry().centre
        states = np.zeros((*agent.shape[:-1], STATE_SIZE))
        states[..., AGENT] = agent * POSITION_SCALE + centre
        states[..., AGENT_VELOCITY] = velocity * VELOCITY_SCALE
        states[..., BLOCK] = block * POSITION_SCALE + centre
        angle = np.arctan2(direction[..., 1], direction[..., 0]) - self._axis
        states[..., ANGLE] = np.where(angle <= -np.pi, angle + 2 * np.pi, angle)
        return states

    def rollout(self, states: np.ndarray, actions: np.ndarray) -> Rollouts:
        """Simulate n rollouts, each in a space of its own.

        Args:
            states: (n, STATE_SIZE) starts, n >= 1.
            actions: (n, H, 2) in the unit disk, H >= 1.

        Raises:
            DataError: shapes that do not fit, a start that cannot be placed, or an action outside the disk.
        """
        states, actions = np.asarray(states, dtype=np.float64), np.asarray(actions, dtype=np.float64)
        n, horizon = len(states), actions.shape[1] if actions.ndim == 3 else 0
        if states.ndim != 2 or actions.shape != (n, horizon, 2) or n * horizon == 0:
            given = f"{states.shape} and {actions.shape}"
            raise DataError(f"rollouts need states (n, {STATE_SIZE}) and actions (n, H, 2); got {given}.")
        if not (np.linalg.norm(actions, axis=-1) <= 1.0 + 1e-9).all():
            raise DataError("an action lies outside the unit disk or is not a number: divide it by its norm.")
        physics = PushTPhysics()
        runs = [physics.rollout(start, plan) for start, plan in zip(states, actions, strict=True)]
        return Rollouts(np.stack([run[0] for run in runs]), np.stack([run[1] for run in runs]))

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions of noisy pushes; the first m of them are those of `transitions(m)`.

        An episode starts in one of `PUSH_SCENES` or anywhere in the arena (`world.scenes`), turned as a whole by an
        angle of the wedge (or of the circle). It ends early where it leaves the wall guard; `excluded` counts what is
        dropped there, by reason. The training side of demonstrations gives theirs, at most `n`.

        Raises:
            DataError: `n` below 1, a negative seed or unknown orientations; what is wrong with the demonstrations.
        """
        at_least_one("transitions", n=n)
        if self._demonstrated is not None:
            taken = self._demonstrated.steps(n, seed=seed)
            return Transitions(
                self.observe(taken.before),
                torch.from_numpy(taken.action),
                self.observe(taken.after),
                episode=torch.from_numpy(taken.episode),
                excluded=taken.excluded,
            )
        batches: list[Transitions] = []
        done = first = 0
        while done < n:
            count = min(_BATCH, -(-(n - done) // self.config.episode_steps))
            batch = self._batch(range(first, first + count), seed, orientations).take(n - done)
            batches.append(batch)
            done += len(batch)
            first += count
            if progress is not None:
                progress(done, n)
        return _joined(batches)

    @property
    def part_episodes(self) -> int:
        """Whole batches; none of recordings."""
        return 0 if self._demonstrated is not None else _BATCH * max(1, PART // (_BATCH * self.config.episode_steps))

    @property
    def data_files(self) -> tuple[Path, ...]:
        """None are read."""
        return ()

    def episodes(self, first: int, count: int, *, seed: int, orientations: Orientations = "seen") -> Transitions:
        """The transitions of some episodes, in the batches of `transitions` where `first` is one of its beginnings.

        Raises:
            DataError: `count` below 1, a negative seed or unknown orientations.
        """
        at_least_one("episodes", count=count)
        starts = range(first, first + count, _BATCH)
        batches = (range(start, min(start + _BATCH, first + count)) for start in starts)
        return _joined([self._batch(batch, seed, orientations) for batch in batches])

    def _batch(self, episodes: range, seed: int, orientations: Orientations) -> Transitions:
        """All transitions of some episodes that are inside the guard, and how many are not."""
        draws = generators(_EXPLORATION, seed, episodes)
        frames = self._orientations(draws, orientations)
        runs, actions = self._explored(draws, frames, self.config.episode_steps, place_first=True)
        inside, reasons = _guarded(runs)
        excluded: Counter[str] = Counter()
        for reason, count in zip(reasons, (~inside).sum(1).tolist(), strict=True):
            excluded[reason] += count
        episode, step = np.nonzero(inside)
        return Transitions(
            self.observe(runs.states[episode, step]),
            torch.from_numpy(actions[episode, step]),
            self.observe(runs.states[episode, step + 1]),
            episode=torch.from_numpy(episode + episodes.start),
            excluded=excluded,
        )

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """`n` sequences of `horizon` noisy pushes that stay inside the wall guard from the first state to the last.

        Those that do not are dropped whole and counted in `excluded`. The guard does not depend on how a scene is
        turned, so `unseen` keeps the draws that `seen` keeps (`episode` says which). Most sequences of 32 steps leave
        it: drawing ends at 20 times `n`, with fewer than `n` sequences. The training side of demonstrations gives
        stretches of theirs.

        Raises:
            DataError: `n` or `horizon` below 1, a negative seed, unknown orientations, or a horizon that none of the
                first 256 draws survives; what is wrong with the demonstrations.
        """
        at_least_one("sequences", n=n, horizon=horizon)
        if self._demonstrated is not None:
            taken = self._demonstrated.stretches(n, horizon, seed=seed)
            before, after = (part.reshape(-1, horizon, STATE_SIZE) for part in (taken.before, taken.after))
            return Sequences(
                self.observe(np.concatenate([before, after[:, -1:]], 1)),
                torch.from_numpy(taken.action.reshape(-1, horizon, 2)),
                torch.from_numpy(taken.episode[::horizon].copy()),
                taken.excluded,
            )
        columns: list[tuple[np.ndarray, ...]] = []
        excluded: Counter[str] = Counter()
        drawn = kept = 0
        while kept < n and drawn < (max(_DRAWS_EACH * n, _DRAWS_BEFORE_NONE) if kept else _DRAWS_BEFORE_NONE):
            draws = generators(_SEQUENCES, seed, range(drawn, drawn + _BATCH))
            runs, actions = self._explored(draws, self._orientations(draws, orientations), horizon, place_first=False)
            inside, reasons = _guarded(runs)
            rows = np.flatnonzero(inside[:, -1])[: n - kept]
            last = rows[-1] + 1 if kept + len(rows) == n else _BATCH  # what comes after the last one was not asked for
            excluded.update(reasons[k] for k in range(last) if not inside[k, -1])
            columns.append((runs.states[rows], actions[rows], rows + drawn))
            kept, drawn = kept + len(rows), drawn + _BATCH
            if progress is not None:
                progress(kept, n)
        if not kept:
            raise DataError(
                f"no PushT sequence of {horizon} steps stays away from the walls ({drawn} drawn): ask for fewer steps."
            )
        states, plans, episode = (np.concatenate(column) for column in zip(*columns, strict=True))
        return Sequences(
            self.observe(states), torch.from_numpy(plans), torch.from_numpy(episode), dict(sorted(excluded.items()))
        )

    def tasks(self, n: int, *, seed: int, orientations: Orientations = "seen") -> PushTasks:
        """`n` push tasks from `PUSH_SCENES`: turn the block by 35 degrees and move it 20 px along u.

        It is to turn the way a push along u from the agent's side turns it. Task k does not depend on `n`.

        Raises:
            DataError: `n` below 1, a negative seed or unknown orientations.
        """
        at_least_one("tasks", n=n)
        draws = generators(_TASKS, seed, range(n))
        frames = self._orientations(draws, orientations)
        start = _scenes(draws, frames, PUSH_SCENES)
        push = np.stack([np.cos(frames), np.sin(frames)], -1)
        arm = start[:, AGENT] - start[:, BLOCK]
        goal = start.copy()
        goal[:, BLOCK] += TASK_PUSH * push
        goal[:, ANGLE] += TASK_TURN * np.sign(arm[:, 0] * push[:, 1] - arm[:, 1] * push[:, 0])
        return PushTasks(start, goal)

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """One control step from observations (n, 4, 2) and actions (n, 2): (n, 4, 2), float64.

        An observation does not show the block's velocity, so the block starts at rest.

        Raises:
            DataError: as `state_of` and `rollout`.
        """
        starts = self.state_of(observation)
        return self.observe(self.rollout(starts, action.double().cpu().numpy()[:, None]).states[:, 1])

    def control(self, observations: Tensor) -> PushTControl:
        """The push tasks in closed loop; frames are read off the block alone, whatever was observed in training."""
        return PushTControl(self)

    standard_tasks = STANDARD

    @property
    def usual_task(self) -> str:
        """What a policy is for: gym-pusht's own task where training begins anywhere, else the push tasks."""
        return "standard" if self.config.scenes == "arena" else "own"

    def standard(self, name: str, demonstrations: Path | None) -> StandardControl:
        """PushT as others measure it: one of `standard_tasks`."""
        return standard_control(self, name, demonstrations)

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """Block position and block direction, (n, 1, 2) each, of observations (n, 4, 2)."""
        targets = ("block_position", "block_direction")
        return {name: observation[:, self.components[name], None] for name in targets}

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g s_t - s_t(g s_0, g a)| over the steps of random rollouts and their turned copies, px.

        Starts are drawn from `ANYWHERE` with a velocity and turned by a Haar angle, actions from the unit
        disk; g is another Haar angle. The distance of two states is the largest of: agent and block
        positions (px), agent velocity times a control period (px a step), block angle times the T's longest
        lever (121 px).

        Kinds, the first that fits: `wall` where either copy touches a wall or leaves the guard at any step;
        `embedded` where the agent's centre starts inside the T, pushed at once by bar and stem in
        directions that may contradict each other (the simulator's answer then depends on how the scene is
        turned; no other start leads there); `overlapping` where its circle starts in the T; `free`. Drawing
        goes on until there are `rollouts` free ones, or 20 times as many in all where `steps` leaves hardly
        any away from the walls.

        Raises:
            DataError: `rollouts` or `steps` below 1, or a negative seed.
        """
        at_least_one("symmetry_residual", rollouts=rollouts, steps=steps)
        worst = dict.fromkeys(("free", "overlapping", "embedded", "wall"), 0.0)
        count = dict.fromkeys(worst, 0)
        drawn = 0
        while count["free"] < rollouts and drawn < 20 * rollouts:
            draws = generators(_RESIDUAL, seed, range(drawn, drawn + _BATCH))
            drawn += _BATCH
            frames, angles = np.array([rng.uniform(0.0, 2 * np.pi, 2) for rng in draws]).T
            starts = _scenes(draws, frames, ANYWHERE)
            starts[:, AGENT_VELOCITY] = [rng.normal(0.0, 100.0, 2) for rng in draws]
            actions = _disk(np.array([rng.random((steps, 2)) for rng in draws]))
            g = _rotation(angles)
            turned_actions = self.action_rep.transform(torch.from_numpy(actions), g[:, None]).numpy()
            runs, copies = self.rollout(starts, actions), self.rollout(turn(starts, g), turned_actions)
            residual = _distance(turn(runs.states, g[:, None]), copies.states).max(1)
            distance = gap(starts)
            kinds = np.select(
                [runs.wall | copies.wall, distance == 0.0, distance < geometry().agent_radius],
                ["wall", "embedded", "overlapping"],
                "free",
            )
            for kind in worst:
                of_kind = residual[kinds == kind]
                count[kind] += len(of_kind)
                worst[kind] = max(worst[kind], *of_kind.tolist(), 0.0)
        return SymmetryResidual(unit="px", steps=steps, worst=worst, rollouts=count)

    def state_access(self) -> StateAccess:
        """The simulator with its ten-number state, in px.

        Scenes are those of `symmetry_residual`, without overlap; every other one is moved to anywhere in the arena. A
        plan holds one direction, with noise: where it pushes the block, it pushes it on.
        """
        physics = PushTPhysics()
        named = {"agent": AGENT, "agent velocity": AGENT_VELOCITY, "block": BLOCK, "block velocity": BLOCK_VELOCITY}
        channels = {name: tuple(range(part.start, part.stop)) for name, part in named.items()}

        def starts(n: int, seed: int) -> np.ndarray:
            found: list[np.ndarray] = []
            first = 0
            while len(found) < n:
                draws = generators(_ACCESS, seed, range(first, first + _BATCH))
                frames = np.array([rng.uniform(0.0, 2 * np.pi) for rng in draws])
                scenes = _scenes(draws, frames, ANYWHERE)
                scenes[:, AGENT_VELOCITY] = [rng.normal(0.0, 100.0, 2) for rng in draws]
                far = np.array([rng.uniform(-1.0, 1.0, 2) for rng in draws]) * geometry().clearance
                far[::2] = 0.0
                scenes[:, AGENT] += far
                scenes[:, BLOCK] += far
                found += list(scenes[(gap(scenes) > geometry().agent_radius) & block_in_arena(scenes)])
                first += _BATCH
            return np.array(found[:n])

        def plans(n: int, horizon: int, seed: int) -> np.ndarray:
            rng = np.random.default_rng((_ACCESS, seed))
            heading = rng.uniform(0.0, 2 * np.pi, (n, 1)) + rng.normal(0.0, 0.3, (n, horizon))
            speed = rng.uniform(0.3, 1.0, (n, horizon))
            return np.stack([speed * np.cos(heading), speed * np.sin(heading)], -1)

        def moved(state: np.ndarray, g: Elements) -> np.ndarray:
            result = turn(state, g)
            for part in (AGENT, BLOCK):
                result[..., part] += g.translation.numpy()
            return result

        return StateAccess(
            place=physics.reset,
            state=lambda: physics.state,
            act=physics.act,
            turn=moved,
            turn_action=lambda action, g: self.action_rep.transform(torch.from_numpy(action), g).numpy(),
            starts=starts,
            plans=plans,
            channels={**channels, "block angle": (ANGLE,), "spin": (SPIN,)},
            angles=("block angle",),
            sigma=40.0,
            seen_as=self.state_of,
            guard=lambda states: block_inside(states) & agent_inside(states),
            touching=lambda: ["the block and a wall"] if physics.touched_wall else [],
            fixed="the four walls of the arena stand where they are; g does not move them",
            unmoved=_keeps_the_square,
        )

    def _explored(
        self, draws: list[np.random.Generator], frames: np.ndarray, steps: int, *, place_first: bool
    ) -> tuple[Rollouts, np.ndarray]:
        """Exploration episodes of scenes turned by `frames`, and their actions (n, steps, 2).

        Args:
            draws, frames, steps: as of `arena.explore`.
            place_first: whether push scenes are drawn before their actions. Transitions and sequences have always
                differed in it, and their data stay what they were.
        """
        if self.config.scenes != "push":
            states, actions, touched = explore(draws, arena_starts(draws, frames), frames, steps)
            return Rollouts(states, touched), actions
        starts = _scenes(draws, frames, PUSH_SCENES) if place_first else None
        actions = _explore(draws, frames, steps)
        return self.rollout(_scenes(draws, frames, PUSH_SCENES) if starts is None else starts, actions), actions

    def _orientations(self, draws: list[np.random.Generator], orientations: Orientations) -> np.ndarray:
        """(n,) scene angles in radians, one from each generator."""
        law = orientations_of(self.coverage, orientations, self.group)
        return np.deg2rad(planar_angles(law, np.array([rng.random() for rng in draws])))


def _joined(batches: list[Transitions]) -> Transitions:
    """Batches one after another, and what is dropped in all of them."""
    excluded = sum((Counter(batch.excluded) for batch in batches), Counter[str]())
    return Transitions(
        torch.cat([batch.observation for batch in batches]),
        torch.cat([batch.action for batch in batches]),
        torch.cat([batch.next_observation for batch in batches]),
        torch.cat([batch.episode for batch in batches]),
        dict(sorted(excluded.items())),
    )


def _keeps_the_square(g: Elements) -> Tensor:
    """Which elements are symmetries of a square about its centre."""
    whole = (g.linear - g.linear.round()).abs().amax((-2, -1)) <= 1e-9
    return whole & ~g.moves


def _rotation(radians: np.ndarray) -> Elements:
    return SO2.rotation(np.rad2deg(radians))


def _scenes(draws: list[np.random.Generator], frames: np.ndarray, ranges: SceneRanges) -> np.ndarray:
    """(n, STATE_SIZE) states at rest, drawn where u is the x axis and turned by `frames` as a whole."""
    uniform = np.array([rng.random(6) for rng in draws])
    states = np.zeros((len(draws), STATE_SIZE))
    states[:, BLOCK] = geometry().centre + ranges.offset * (2 * uniform[:, :2] - 1)
    states[:, ANGLE] = ranges.stem * (2 * uniform[:, 2] - 1) - AXIS_ANGLE["stem"]
    along = ranges.along[0] + (ranges.along[1] - ranges.along[0]) * uniform[:, 3]
    side = ranges.side[0] + (ranges.side[1] - ranges.side[0]) * uniform[:, 4]
    states[:, AGENT] = states[:, BLOCK] + np.stack([-along, np.where(uniform[:, 5] < 0.5, -side, side)], 1)
    return turn(states, _rotation(frames))


def _disk(uniform: np.ndarray) -> np.ndarray:
    """Points of the unit disk, uniform by area, from numbers (..., 2) uniform in [0, 1)."""
    radius, angle = np.sqrt(uniform[..., 0]), 2 * np.pi * uniform[..., 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def _explore(draws: list[np.random.Generator], frames: np.ndarray, steps: int) -> np.ndarray:
    """(n, steps, 2) actions: with probability 0.55 a noisy push along u, else uniform in the unit disk."""
    uniform = np.array([rng.random((steps, 4)) for rng in draws])
    noise = np.array([rng.normal(size=(steps, 3)) for rng in draws])
    push = 0.3 * noise[..., :2]
    push[..., 0] += 0.3 + 0.7 * uniform[..., 1]
    push[..., 1] += 0.7 * noise[..., 2]
    actions = np.where(uniform[..., :1] < 0.55, push, _disk(uniform[..., 2:]))
    actions /= np.maximum(1.0, np.linalg.norm(actions, axis=-1, keepdims=True))
    return PushT.action_rep.transform(torch.from_numpy(actions), _rotation(frames)[:, None]).numpy()


def _guarded(runs: Rollouts) -> tuple[np.ndarray, list[str]]:
    """(n, H) which transitions lie inside the guard, before a rollout leaves it, and why it leaves."""
    block = block_inside(runs.states)
    block[:, 1:] &= ~runs.touched
    inside = np.logical_and.accumulate(block & agent_inside(runs.states), axis=1)
    by_agent = block[np.arange(len(block)), inside.argmin(1)]  # at the first state outside, if there is one
    return inside[:, 1:], [GUARD["agent" if agent else "block"] for agent in by_agent]


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) distance of two states in px, as `PushT.symmetry_residual` defines it."""
    difference = a - b
    angle = np.abs(np.angle(np.exp(1j * difference[..., ANGLE])))
    parts = (
        np.linalg.norm(difference[..., AGENT], axis=-1),
        np.linalg.norm(difference[..., BLOCK], axis=-1),
        np.linalg.norm(difference[..., AGENT_VELOCITY], axis=-1) * CONTROL_PERIOD,
        angle * geometry().lever,
    )
    return np.max(parts, axis=0)
