"""The body world: a rigid body in MuJoCo as a cloud of points, pushed by vectors and by contact, with its symmetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.checks import as_finite, at_least_one
from equiwm.errors import DataError
from equiwm.symmetry.coverage import Arc, Coverage
from equiwm.symmetry.fit import rotation_fit
from equiwm.symmetry.groups import SE3, Elements
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.body.config import BodyConfig
from equiwm.worlds.body.control import BodyControl
from equiwm.worlds.body.physics import (
    BODY_RADIUS,
    CONTROL_PERIOD,
    MARKS,
    ORIENTATION,
    POINTS,
    POSITION,
    PUSHER,
    PUSHER_RADIUS,
    PUSHER_VELOCITY,
    SPIN,
    STATE_SIZE,
    VELOCITY,
    BodyPhysics,
    gap,
    quaternions,
    rotations,
    turn,
)
from equiwm.worlds.draws import Orientations, generator, generators, orientations_of, place
from equiwm.worlds.world import Progress, Sequences, StateAccess, SymmetryResidual, Transitions, World

VELOCITY_MARKS = (1, 5, 9)
"""Body points whose velocities are observed: the three far apart, so that they fix the spin well."""
CHANNELS = POINTS + 1 + len(VELOCITY_MARKS) + 1
_FIT_TOLERANCE = 1e-3  # m and m/s by which an observation may miss the nearest motion of the body
_BATCH = 64  # episodes simulated between two reports of progress
_EXPLORATION, _TASKS, _RESIDUAL, _SEQUENCES = range(4)  # streams of random numbers that never meet, whatever the seeds


@dataclass(frozen=True, eq=False)
class BodyRollouts:
    """n rollouts of H control steps.

    Attributes:
        states: (n, H + 1, STATE_SIZE), see `body_physics`.
        actions: (n, H, 3, 3).
        touched: (n, H) whether body and pusher touched during each step.
    """

    states: np.ndarray
    actions: np.ndarray
    touched: np.ndarray


@dataclass(frozen=True, eq=False)
class BodyTasks:
    """n tasks: bring the body's points to `goal`.

    Attributes:
        start: (n, STATE_SIZE) states.
        goal: (n, POINTS, 3) the body's points after a rigid motion.
    """

    start: np.ndarray
    goal: Tensor

    def __len__(self) -> int:
        return len(self.start)


class Body(World):
    """A free rigid body and a spherical pusher in MuJoCo, without gravity: group SE(3), contact included.

    An observation is, in metres and m/s, 12 points of the body, the pusher's position (13 points in the sense
    of `Rep`), the velocities of three of the body's points, and the pusher's velocity (4 vectors). Points' velocities
    stand for linear velocity and spin because they are vectors under reflections as well, and a spin is not.

    An action is a force (5 N), a torque (2 N m), both at the centre of mass, and a velocity (2 m/s) that a servo
    drives the pusher to; each is a vector of the unit ball, in the world's frame. The torque is declared a vector: the
    rep is one of SE(3), and of no group with reflections, as the body is not its own mirror image either.

    Args:
        config: friction cone, wedge of scene orientations, steps of an episode.

    Raises:
        MissingExtraError: MuJoCo is not installed.
    """

    name = "body"
    group = SE3
    observation_rep = Rep(((POINTS + 1, "p"), (len(VELOCITY_MARKS) + 1, "1o")), 3)
    action_rep = vectors(3, 3)
    components: Mapping[str, int] = {
        "pusher_position": POINTS,
        **{f"velocity_of_point_{mark}": POINTS + 1 + i for i, mark in enumerate(VELOCITY_MARKS)},
        "pusher_velocity": CHANNELS - 1,
    }

    Config = BodyConfig

    def __init__(self, config: BodyConfig | None = None) -> None:
        self.config = config or BodyConfig()
        self.equivariant = self.config.cone == "elliptic"
        self.coverage: Coverage = Arc(*self.config.wedge, d=3)
        self._physics = BodyPhysics(self.config.cone)

    def observe(self, states: np.ndarray) -> Tensor:
        """Observations (..., 17, 3) float64 of the states (..., STATE_SIZE)."""
        turns = rotations(states)
        points = states[..., None, POSITION] + MARKS @ turns.swapaxes(-1, -2)
        spin = np.cross(states[..., None, SPIN], MARKS[list(VELOCITY_MARKS)])
        velocities = states[..., None, VELOCITY] + spin @ turns.swapaxes(-1, -2)
        channels = [points, states[..., None, PUSHER], velocities, states[..., None, PUSHER_VELOCITY]]
        return torch.from_numpy(np.concatenate(channels, -2))

    def check_observation(self, observation: object) -> Tensor:
        """`observation` (..., 17, 3), a tensor or an array, as float64 on the CPU.

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        return as_finite(observation, (CHANNELS, 3), "body observation")

    def check_action(self, action: object) -> Tensor:
        """`action` (..., 3, 3), a tensor or an array, as float64 on the CPU.

        Raises:
            DataError: another shape, numbers that are not finite, or a vector outside the unit ball.
        """
        vectors = as_finite(action, (3, 3), "body action")
        if not bool((vectors.norm(dim=-1) <= 1.0 + 1e-6).all()):
            raise DataError("a body action has a vector outside the unit ball: divide it by its norm.")
        return vectors

    def state_of(self, observation: Tensor) -> np.ndarray:
        """The states (..., STATE_SIZE) seen as `observation` (..., 17, 3), the best fit of the rigid body.

        Inverts `observe`, up to the sign of the quaternion.

        Raises:
            DataError: as `check_observation`, or points or velocities that miss every motion of the body by 1 mm, 1
                mm/s.
        """
        seen = self.check_observation(observation).numpy()
        points, pusher = seen[..., :POINTS, :], seen[..., POINTS, :]
        velocities, pusher_velocity = seen[..., POINTS + 1 : -1, :], seen[..., -1, :]
        middle = points.mean(-2)
        covariance = (points - middle[..., None, :]).swapaxes(-1, -2) @ (MARKS - MARKS.mean(0))
        turns = rotation_fit(torch.from_numpy(covariance)).rotation.numpy()
        states = np.zeros((*seen.shape[:-2], STATE_SIZE))
        states[..., POSITION] = middle - (turns @ MARKS.mean(0)[:, None])[..., 0]
        states[..., ORIENTATION] = quaternions(turns)
        states[..., PUSHER], states[..., PUSHER_VELOCITY] = pusher, pusher_velocity
        local = (velocities @ turns).reshape(*seen.shape[:-2], -1)
        motion = local @ _MOTION_OF_VELOCITIES.T
        states[..., VELOCITY] = (turns @ motion[..., :3, None])[..., 0]
        states[..., SPIN] = motion[..., 3:]
        miss = np.linalg.norm(self.observe(states).numpy() - seen, axis=-1).max(initial=0.0)
        if miss > _FIT_TOLERANCE:
            raise DataError(f"an observation misses every motion of the body by {miss:.2g} m or m/s; expected <= 1e-3.")
        return states

    def rollout(self, states: np.ndarray, actions: np.ndarray) -> BodyRollouts:
        """Simulate n rollouts, each from fresh data.

        Args:
            states: (n, STATE_SIZE) starts.
            actions: (n, H, 3, 3), each vector in the unit ball.

        Raises:
            DataError: shapes that do not fit, a start that cannot be placed, or an action outside the ball.
        """
        actions = self.check_action(actions).numpy()
        if states.shape != (len(actions), STATE_SIZE) or actions.ndim != 4:
            given = f"{states.shape} and {actions.shape}"
            raise DataError(f"rollouts need states (n, {STATE_SIZE}) and actions (n, H, 3, 3); got {given}.")
        steps = actions.shape[1]
        reached, touched = np.empty((len(states), steps + 1, STATE_SIZE)), np.empty((len(states), steps), dtype=bool)
        for k, (start, plan) in enumerate(zip(states, actions, strict=True)):
            reached[k], touched[k] = self._physics.rollout(start, plan)
        return BodyRollouts(reached, actions, touched)

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """One control step of 0.1 s from observations (..., 17, 3) and actions (..., 3, 3): (..., 17, 3), float64.

        Raises:
            DataError: as `state_of` and `check_action`.
        """
        starts, plans = self.state_of(observation), self.check_action(action).numpy()
        lead = np.broadcast_shapes(starts.shape[:-1], plans.shape[:-2])
        starts = np.broadcast_to(starts, (*lead, STATE_SIZE)).reshape(-1, STATE_SIZE)
        plans = np.broadcast_to(plans, (*lead, 3, 3)).reshape(-1, 1, 3, 3)
        return self.observe(self.rollout(starts, plans).states[:, 1].reshape(*lead, STATE_SIZE))

    def explore(self, episodes: range, *, seed: int, orientations: Orientations = "seen") -> BodyRollouts:
        """Exploration episodes of the given numbers; an episode does not depend on its neighbours.

        A scene has the body near the origin, within some 20 degrees of the wedge's orientation, and the pusher 0.02
        to 0.15 m off its broad side, both moving slowly; the whole is turned. Force and torque are N(0, 0.5^2). The
        pusher is driven, with probability 0.85, towards some point of the body, else anywhere; each vector is
        scaled into the ball. All noise turns with the scene: another wedge gives the same episodes, turned.

        Args:
            episodes: their numbers.
            seed: at least 0.
            orientations: `seen` turns the scenes about z by angles of the wedge, `all` and `unseen` by Haar
                rotations, which almost never lie in it.

        Raises:
            DataError: a negative seed or unknown orientations.
        """
        draws = generators(_EXPLORATION, seed, episodes)
        (frames,) = self._orientations(draws, orientations)
        return self._episodes(draws, frames, self.config.episode_steps)

    def _episodes(self, draws: list[np.random.Generator], frames: Elements, steps: int) -> BodyRollouts:
        starts = _scenes(draws, frames)
        states, actions = np.empty((len(draws), steps + 1, STATE_SIZE)), np.empty((len(draws), steps, 3, 3))
        touched = np.empty((len(draws), steps), dtype=bool)
        physics = self._physics
        for k, (rng, start, frame) in enumerate(zip(draws, starts, frames.linear.numpy(), strict=True)):
            # What `action_rep.transform` does, in numpy: torch rounds this product otherwise, and contacts would grow
            # that into other data.
            noise = rng.normal(size=(steps, 3, 3)) @ frame.T
            speeds, wanders = rng.uniform(0.5, 1.0, steps), rng.random(steps) >= 0.85
            targets = MARKS[rng.integers(POINTS, size=steps)]
            physics.reset(start)
            states[k, 0] = start
            for t in range(steps):
                state, action = states[k, t], 0.5 * noise[t]
                if not wanders[t]:
                    aim = state[POSITION] + rotations(state) @ targets[t] - state[PUSHER]
                    action[2] = speeds[t] * aim / np.linalg.norm(aim) + 0.4 * action[2]
                actions[k, t] = action / np.maximum(1.0, np.linalg.norm(action, axis=-1, keepdims=True))
                touched[k, t] = physics.act(actions[k, t])
                states[k, t + 1] = physics.state
        return BodyRollouts(states, actions, touched)

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions of the episodes of `explore`; the first m of them are those of `transitions(m)`.

        Raises:
            DataError: `n` below 1, a negative seed or unknown orientations.
        """
        at_least_one("transitions", n=n)
        steps = self.config.episode_steps
        episodes = -(-n // steps)
        parts: list[BodyRollouts] = []
        for first in range(0, episodes, _BATCH):
            batch = range(first, min(first + _BATCH, episodes))
            parts.append(self.explore(batch, seed=seed, orientations=orientations))
            if progress is not None:
                progress(min(n, (first + _BATCH) * steps), n)
        seen = self.observe(np.concatenate([part.states for part in parts]))
        actions = torch.from_numpy(np.concatenate([part.actions for part in parts]))
        return Transitions(
            seen[:, :-1].flatten(0, 1)[:n],
            actions.flatten(0, 1)[:n],
            seen[:, 1:].flatten(0, 1)[:n],
            episode=torch.arange(episodes).repeat_interleave(steps)[:n],
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
        """`n` sequences of `horizon` steps, explored as by `explore` from scenes of their own; nothing is excluded.

        At `all` and `unseen` they are the starts and actions of `seen`, turned as a whole, and what the simulator
        makes of them. The first m of them are those of `sequences(m, horizon)`.

        Raises:
            DataError: `n` or `horizon` below 1, a negative seed or unknown orientations.
        """
        at_least_one("sequences", n=n, horizon=horizon)
        parts: list[BodyRollouts] = []
        for first in range(0, n, _BATCH):
            draws = generators(_SEQUENCES, seed, range(first, min(first + _BATCH, n)))
            seen, asked = self._orientations(draws, "seen", orientations)
            runs = self._episodes(draws, seen, horizon)
            if orientations != "seen":
                # Replayed, not explored anew: exploration looks at the state, and where the world breaks its
                # symmetry (pyramidal cones) it would choose other actions.
                g = asked @ seen.inverse()
                plans = self.action_rep.transform(torch.from_numpy(runs.actions), g[:, None])
                runs = self.rollout(turn(runs.states[:, 0], g), plans.numpy())
            parts.append(runs)
            if progress is not None:
                progress(min(n, first + _BATCH), n)
        states, actions = (np.concatenate([getattr(part, name) for part in parts]) for name in ("states", "actions"))
        return Sequences(self.observe(states), torch.from_numpy(actions), episode=torch.arange(n))

    def tasks(self, n: int, *, seed: int, orientations: Orientations = "seen") -> BodyTasks:
        """`n` tasks from the scenes of `explore`: turn the body by 20 to 60 degrees, move it by 0.3 to 1 m.

        The axis of the turn, through the centre of mass, and the direction are uniform; force and torque can reach any
        pose. Task k does not depend on `n`.

        Raises:
            DataError: `n` below 1, a negative seed or unknown orientations.
        """
        at_least_one("tasks", n=n)
        draws = generators(_TASKS, seed, range(n))
        (frames,) = self._orientations(draws, orientations)
        start = _scenes(draws, frames)
        directions = np.array([rng.normal(size=(2, 3)) for rng in draws])
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        turns, distances = np.array([rng.uniform((np.deg2rad(20.0), 0.3), (np.deg2rad(60.0), 1.0)) for rng in draws]).T
        axes, shifts = np.moveaxis(vectors(2, 3).transform(torch.from_numpy(directions), frames).numpy(), 1, 0)
        goal = start.copy()
        goal[:, POSITION] += distances[:, None] * shifts
        goal[:, ORIENTATION] = quaternions(Rotation.from_rotvec(turns[:, None] * axes).as_matrix() @ rotations(start))
        return BodyTasks(start, self.observe(goal)[:, :POINTS])

    def control(self, observations: Tensor) -> BodyControl:
        """The tasks of `tasks` in closed loop."""
        return BodyControl(self, observations)

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """Of observations (n, 17, 3): `centred_cloud` (n, 12, 3), x_p - mean(x) of the body's points, and
        `pusher_offset` (n, 1, 3), the pusher's position less that mean."""
        points = observation[..., :POINTS, :]
        mean = points.mean(-2, keepdim=True)
        return {"centred_cloud": points - mean, "pusher_offset": observation[..., POINTS, None, :] - mean}

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g s_t - s_t(g s_0, g a)| over the channels and steps of random rollouts and their turned copies, m.

        Rollouts are those of `explore` at Haar orientations, their actions replayed, turned, from the turned start; g
        is a Haar rotation with a translation from N(0, 1). Velocities count times the control period.

        Kinds: `free` are the steps of a rollout until body and pusher first touch in either copy, `contact` those from
        there on; most rollouts have both.

        Raises:
            DataError: `rollouts` or `steps` below 1, or a negative seed.
        """
        at_least_one("symmetry_residual", rollouts=rollouts, steps=steps)
        draws = generators(_RESIDUAL, seed, range(rollouts))
        g = SE3.sample(rollouts, generator(_RESIDUAL, seed=seed))
        (frames,) = self._orientations(draws, "all")
        runs = self._episodes(draws, frames, steps)
        plans = self.action_rep.transform(torch.from_numpy(runs.actions), g[:, None])
        copies = self.rollout(turn(runs.states[:, 0], g), plans.numpy())
        difference = self.observe(turn(runs.states, g[:, None])) - self.observe(copies.states)
        difference[..., POINTS + 1 :, :] *= CONTROL_PERIOD
        residual = difference.norm(dim=-1).amax(-1).numpy()[:, 1:]
        touched = np.logical_or.accumulate(runs.touched | copies.touched, axis=1)
        kinds = {"free": ~touched, "contact": touched}
        return SymmetryResidual(
            unit="m",
            steps=steps,
            worst={kind: float(residual[where].max(initial=0.0)) for kind, where in kinds.items()},
            rollouts={kind: int(where.any(1).sum()) for kind, where in kinds.items()},
        )

    def state_access(self) -> StateAccess:
        """The simulator with its 19-number state, SI units; an action is force, torque and pusher velocity, (9,)."""
        physics = BodyPhysics(self.config.cone)
        parts = {
            "position": POSITION,
            "orientation": ORIENTATION,
            "pusher": PUSHER,
            "velocity": VELOCITY,
            "spin": SPIN,
            "pusher velocity": PUSHER_VELOCITY,
        }
        pyramidal = "friction cones are pyramidal: their edges point along axes that g does not turn"
        return StateAccess(
            place=physics.reset,
            state=lambda: physics.state,
            act=lambda action: physics.act(action.reshape(3, 3)),
            turn=turn,
            turn_action=lambda action, g: self.action_rep.transform(torch.from_numpy(action), g).numpy(),
            starts=lambda n, seed: self.explore(range(n), seed=seed, orientations="all").states[:, 0],
            plans=lambda n, horizon, seed: self._episodes(
                draws := generators(_EXPLORATION, seed, range(n)), self._orientations(draws, "all")[0], horizon
            ).actions.reshape(n, horizon, 9),
            channels={name: tuple(range(part.start, part.stop)) for name, part in parts.items()},
            quaternions=("orientation",),
            seen_as=self.state_of,
            fixed=pyramidal if self.config.cone == "pyramidal" else "",
            unmoved=lambda g: ~g.turns,
        )

    def _orientations(self, draws: list[np.random.Generator], *orientations: Orientations) -> list[Elements]:
        """A scene orientation from each generator for each of the kinds, all of the same random numbers."""
        laws = [orientations_of(self.coverage, kind, self.group) for kind in orientations]
        uniform = np.array([rng.random() for rng in draws])
        normal = np.array([rng.normal(size=4) for rng in draws])
        return [place(law, uniform, normal) for law in laws]


def _motion_of_velocities() -> np.ndarray:
    """(6, 9) least-squares velocity and spin from the three points' velocities, all in the body's frame."""
    spins = np.cross(np.eye(3)[:, None], MARKS[list(VELOCITY_MARKS)]).reshape(3, -1).T
    return np.linalg.pinv(np.concatenate([np.tile(np.eye(3), (len(VELOCITY_MARKS), 1)), spins], 1))


_MOTION_OF_VELOCITIES = _motion_of_velocities()


def _scenes(draws: list[np.random.Generator], frames: Elements) -> np.ndarray:
    """(n, STATE_SIZE) states: drawn with the pusher on the side of -y, turned by `frames` as a whole."""
    normal = np.array([rng.normal(size=(6, 3)) for rng in draws])
    states = np.zeros((len(draws), STATE_SIZE))
    states[:, POSITION] = 0.05 * normal[:, 0]
    states[:, ORIENTATION] = quaternions(Rotation.from_rotvec(0.2 * normal[:, 1]).as_matrix())
    states[:, VELOCITY], states[:, SPIN], states[:, PUSHER_VELOCITY] = 0.3 * normal[:, 2], normal[:, 3], normal[:, 4]
    side = 0.5 * normal[:, 5] - [0.0, 1.0, 0.0]
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    # Sphere tracing: from outside towards the centre of mass, by the distance that is certainly free.
    wanted = np.array([rng.uniform(0.02, 0.15) for rng in draws])
    away = np.full(len(draws), BODY_RADIUS + PUSHER_RADIUS + 1.0)
    for _ in range(60):
        states[:, PUSHER] = states[:, POSITION] + away[:, None] * side
        away -= gap(states) - wanted
    return turn(states, frames)
