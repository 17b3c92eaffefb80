"""The table as a world: push scenes under gravity, typed observations, and its measured symmetry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.checks import as_finite, at_least_one
from equiwm.errors import DataError
from equiwm.planning.task import Tasks
from equiwm.symmetry.coverage import Arc
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.draws import Orientations, generator, generators
from equiwm.worlds.scene import Scene
from equiwm.worlds.table.config import SOLVER_ITERATIONS, TableConfig
from equiwm.worlds.table.control import TableControl
from equiwm.worlds.table.observation import (
    BODY,
    BODY_SPIN,
    BODY_VELOCITY,
    HEIGHT,
    MARK,
    REP,
    STEM,
    TOUCHES_HAND,
    VECTORS,
    observe,
    state_of,
    vectors_of,
)
from equiwm.worlds.table.physics import (
    CONTROL_PERIOD,
    ORIENTATION,
    POSITION,
    PUSHER,
    PUSHER_VELOCITY,
    REST_HEIGHT,
    SPIN,
    STATE_SIZE,
    STEM_AXIS,
    TAG,
    VELOCITY,
    TablePhysics,
    gap,
    height,
    turn,
)
from equiwm.worlds.world import StateAccess, SymmetryResidual

# Streams of random numbers: that of the plans of `scene.Scene`, and others than its own.
_PLANS, _TASKS, _RESIDUAL = 1, 7, 8

TASK_TURN_DEG, TASK_PUSH = (25.0, 45.0), (0.02, 0.05)
"""A task turns the T by so many degrees, away from the pusher's side, and moves it by so many metres along its stem."""


class Table(Scene):
    """A rigid T and a pusher on a table in MuJoCo, with gravity and friction: group SE(2) about the vertical.

    An observation is flat, (27,): three points, four vectors, a spin and three scalars, see
    `equiwm.worlds.table.observation`. An action is the (x, y) of a vector of the unit disk: a servo drives the pusher,
    which an arm holds at a fixed height, to 0.5 m/s times it for 0.1 s, up to 5 cm. Its kind is `horizontal`, which a
    group about the vertical turns as it turns (x, y): a planner draws its noise in the plane, and none is spent on a
    vertical entry that the world would leave out.

    Elliptic friction cones turn with the scene; the symmetry holds through contact. The T is its own mirror image, so
    the dynamics has the reflections across vertical planes too (`e2z`).

    Args:
        config: friction cone, slope, iterations of the solver, wedge of scene orientations, steps of an episode.

    Raises:
        MissingExtraError: MuJoCo is not installed.
    """

    Config = TableConfig
    group = Group.parse("se2z")
    observation_rep, action_rep = Rep.parse(REP, 3), Rep.parse("horizontal", 3)
    unit = "m"
    components: Mapping[str, int] = {
        name: channel
        for channel, name in enumerate(
            (
                *("T_position", "pusher_position", "tag_position", "stem_axis", "up_axis"),
                *("T_velocity", "pusher_velocity", "T_spin", "height", "touches_pusher", "touches_table"),
            )
        )
    }

    def __init__(self, config: TableConfig | None = None) -> None:
        super().__init__(config)
        self.equivariant = not self._fixed()
        self.coverage = Arc(self.config.wedge[0], self.config.wedge[1], d=3)
        self.episode_steps = self.config.episode_steps
        self._physics = TablePhysics(self.config)

    def start(self, rng: np.random.Generator) -> Tensor:
        """A push scene (`scene`); in a share `dropped` of them the T is tilted above the table, and falls."""
        state = scene(rng)
        tilt, lift, falls = 0.15 * rng.normal(size=2), rng.uniform(0.002, 0.03), rng.random()
        if falls < self.config.dropped:
            turns = Rotation.from_rotvec([*tilt, 0.0]) * Rotation.from_quat(state[ORIENTATION], scalar_first=True)
            state[ORIENTATION] = turns.as_quat(scalar_first=True)
            state[2] += lift - height(state)
        return observe(state)

    def plans(self, n: int, horizon: int, seed: int) -> Tensor:
        """Actions (n, H, 2) before they are turned: with probability 0.55 a noisy push along x, else anywhere."""
        drawn = [[_exploration(rng) for _ in range(horizon)] for rng in self.draws(_PLANS, seed, n)]
        return torch.from_numpy(np.array(drawn))

    def check_action(self, action: object) -> Tensor:
        """`action` (..., 2), a tensor or an array, as float64 on the CPU.

        Raises:
            DataError: another shape, numbers that are not finite, or a vector outside the unit disk.
        """
        vectors = as_finite(action, (2,), "table action")
        if not bool((vectors.norm(dim=-1) <= 1.0 + 1e-6).all()):
            raise DataError("a table action lies outside the unit disk: divide it by its norm.")
        return vectors

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """One control step of 0.1 s from observations (..., 27) and actions (..., 2): (..., 27), float64.

        Raises:
            DataError: an action outside the unit disk, or an observation that no state is seen as.
        """
        starts, pushes = state_of(observation), self.check_action(action).numpy()
        lead = np.broadcast_shapes(starts.shape[:-1], pushes.shape[:-1])
        starts = np.broadcast_to(starts, (*lead, STATE_SIZE)).reshape(-1, STATE_SIZE)
        pushes = np.broadcast_to(pushes, (*lead, 2)).reshape(-1, 2)
        reached = np.empty_like(starts)
        for k, (start, push) in enumerate(zip(starts, pushes, strict=True)):
            self._physics.reset(start)
            self._physics.act(push)
            reached[k] = self._physics.state
        return observe(reached.reshape(*lead, STATE_SIZE))

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """Of observations (n, 27): `T_position` from the tag and `T_direction`, the axis of its stem, (n, 1, 3)."""
        channels = vectors_of(observation)
        return {
            "T_position": channels[:, BODY : BODY + 1] - channels[:, MARK : MARK + 1],
            "T_direction": channels[:, STEM : STEM + 1],
        }

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """None: the targets are vectors."""
        return {}

    def tasks(self, n: int, *, seed: int, orientations: Orientations = "seen") -> Tasks:
        """`n` push tasks: turn the T by 25 to 45 degrees and move it by 2 to 5 cm along its stem.

        A task starts in a scene of `scene`, at rest and flat, turned as a whole; the T has to turn as a push from the
        pusher's side turns it. Starts are states (n, STATE_SIZE), goals observations (n, 27). Task k does not depend
        on `n`.

        Raises:
            DataError: `n` below 1, a negative seed or unknown orientations.
        """
        at_least_one("tasks", n=n)
        turns = self.turns(n, seed, orientations)
        start, goal = np.empty((n, STATE_SIZE)), np.empty((n, STATE_SIZE))
        for k, rng in enumerate(generators(_TASKS, seed, range(n))):
            start[k] = scene(rng)
            goal[k] = _goal(start[k], rng)
        return Tasks(turn(start, turns), observe(turn(goal, turns)))

    def control(self, observations: Tensor) -> TableControl:
        """The tasks of `tasks` in closed loop."""
        return TableControl(self)

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g s_t - s_t(g s_0, g a)| over the channels and steps of random rollouts and their turned copies, m.

        Starts and actions are those of `sequences` at all orientations; g is an angle about the vertical with a
        translation from N(0, 1) in the plane. Velocities count times the control period, axes as they are.

        Kinds: `table` are the steps of a rollout until the pusher first touches the T in either copy, in which the T
        lies or falls, `push` those from there on.

        Raises:
            DataError: `rollouts` or `steps` below 1, or a negative seed.
        """
        at_least_one("symmetry_residual", rollouts=rollouts, steps=steps)
        runs = self.sequences(rollouts, steps, seed=seed, orientations="all")
        g = self.group.sample(rollouts, generator(_RESIDUAL, seed=seed))
        expected = self.observation_rep.transform(runs.observations, g[:, None])
        copies = self.roll(expected[:, 0], self.action_rep.transform(runs.actions, g[:, None]))
        difference = vectors_of(expected - copies)
        difference[..., BODY_VELOCITY : BODY_SPIN + 1, :] *= CONTROL_PERIOD
        residual = difference.norm(dim=-1).amax(-1)[:, 1:]
        flags = [side[..., 3 * VECTORS + TOUCHES_HAND - HEIGHT] > 0.5 for side in (expected, copies)]
        pushed = (flags[0] | flags[1]).cummax(1).values[:, 1:]
        kinds = {"table": ~pushed, "push": pushed}
        return SymmetryResidual(
            unit=self.unit,
            steps=steps,
            worst={kind: float(residual[where].max()) if bool(where.any()) else 0.0 for kind, where in kinds.items()},
            rollouts={kind: int(where.any(1).sum()) for kind, where in kinds.items()},
        )

    def state_access(self) -> StateAccess:
        """The simulator with its 19-number state, SI units; an action is (2,)."""
        physics = TablePhysics(self.config)
        parts = {
            "position": POSITION,
            "orientation": ORIENTATION,
            "pusher": PUSHER,
            "velocity": VELOCITY,
            "spin": SPIN,
            "pusher velocity": PUSHER_VELOCITY,
            "tag": TAG,
        }
        return StateAccess(
            place=physics.reset,
            state=lambda: physics.state,
            act=physics.act,
            turn=turn,
            turn_action=lambda action, g: self.action_rep.transform(torch.from_numpy(action), g).numpy(),
            starts=lambda n, seed: state_of(
                self.observation_rep.transform(self.starts(n, seed), self.turns(n, seed, "all"))
            ),
            plans=lambda n, horizon, seed: self.action_rep.transform(
                self.plans(n, horizon, seed), self.turns(n, seed, "all")[:, None]
            ).numpy(),
            channels={name: tuple(range(part.start, part.stop)) for name, part in parts.items()},
            quaternions=("orientation",),
            touching=lambda: physics.touching,
            fixed=self._fixed(),
        )

    def _fixed(self) -> str:
        """What the group does not move, in words; empty where there is nothing."""
        reasons = []
        if self.config.cone == "pyramidal":
            reasons.append("friction cones are pyramidal: their edges point along axes that g does not turn")
        if self.config.slope:
            reasons.append(f"the table leans by {self.config.slope:g} degrees: gravity has a horizontal part")
        if self.config.iterations < SOLVER_ITERATIONS:
            reasons.append(
                f"the contact solver may stop at iteration {self.config.iterations}, with an error that depends on "
                "the frame"
            )
        return "; ".join(reasons)


def scene(rng: np.random.Generator) -> np.ndarray:
    """A push scene (STATE_SIZE,), before it is turned: at rest, the T flat, the pusher behind its bar.

    The stem points along x within 30 degrees. The pusher stands 1 to 5 cm off the bar's back, 2 to 8 cm to one side
    of the centre of mass; the tag is some 15 cm away, anywhere.
    """
    state = np.zeros(STATE_SIZE)
    state[POSITION] = [*rng.uniform(-0.02, 0.02, 2), REST_HEIGHT]
    state[ORIENTATION] = _upright(90.0 + rng.uniform(-30.0, 30.0))
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.02, 0.08)
    wanted = rng.uniform(0.01, 0.05)
    state[TAG] = 0.15 * rng.normal(size=2)
    state[PUSHER] = state[:2] + np.array([-0.4, side])
    for _ in range(100):  # sphere tracing along x, by the distance that is certainly free
        left = float(gap(state)) - wanted
        if left < 1e-4:
            break
        state[PUSHER][0] += left
    return state


def _upright(angle_deg: float) -> np.ndarray:
    return Rotation.from_euler("z", angle_deg, degrees=True).as_quat(scalar_first=True)


def _goal(start: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The state in which the T has turned about its centre of mass and moved along its stem, the pusher with it."""
    turns, push = Rotation.from_quat(start[ORIENTATION], scalar_first=True), rng.uniform(*TASK_PUSH)
    arm = np.array([*(start[PUSHER] - start[:2]), 0.0])
    away = -np.sign(arm[1])  # a push along x on this side of the centre of mass turns the T so
    motion = Rotation.from_euler("z", away * rng.uniform(*TASK_TURN_DEG), degrees=True)
    goal = start.copy()
    goal[POSITION] += push * turns.apply(STEM_AXIS)
    goal[ORIENTATION] = (motion * turns).as_quat(scalar_first=True)
    goal[PUSHER] = goal[:2] + motion.apply(arm)[:2]
    return goal


def _exploration(rng: np.random.Generator) -> np.ndarray:
    """One action: a noisy push along x, with probability 0.45 instead anything of the unit disk."""
    push, (speed, wander), noise = 0.3 * rng.normal(size=2), rng.random(2), rng.normal()
    push += [0.3 + 0.7 * speed, 0.7 * noise]
    radius, angle = np.sqrt(rng.random()), 2.0 * np.pi * rng.random()
    action = radius * np.array([np.cos(angle), np.sin(angle)]) if wander < 0.45 else push
    return action / max(1.0, float(np.linalg.norm(action)))
