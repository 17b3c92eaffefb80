"""The velocity field: six vectors moved by a frozen random vector-neuron teacher, exactly SO(d)-equivariant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm.errors import DataError
from equiwm.nn.layer import Sequential
from equiwm.nn.linear import VNLinear
from equiwm.nn.nonlinear import VNReLU
from equiwm.symmetry.groups import SO2, SO3, Elements
from equiwm.symmetry.reps import vectors
from equiwm.worlds.checks import as_finite
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.world import Orientations, Progress, Sequences, SymmetryResidual, Transitions, check_orientations

STEP = 0.05
"""Length of a time step: s' = s + STEP T(s, a), T of RMS 1."""
STATES, HIDDEN = 6, 8  # vectors of a state, and of the teacher's hidden layer
LAYOUT_SCALE, NOISE = 1.5, 0.3
# Part of the world, the same whatever the seeds of the data. 1 is the first teacher whose flow is well conditioned, in
# the plane and in space: over 64 steps it amplifies a small perturbation of no start more than fourfold. Others do so a
# thousandfold and more, and a rollout's rounding then says something about the world, not about a model.
_LAYOUT_SEED, _TEACHER_SEED = 2606, 1
_RMS_SCENES = 4096
_KINDS = ("seen", "all", "unseen")
# Streams of random numbers that never meet; the last two have one for each of the kinds.
_SCENES, _PLANS, _RMS, _RESIDUAL, _MOMENTS, _TURNS, _AXES = 0, 1, 2, 3, 4, 10, 20


class Field:
    """Six state vectors s_c in d dimensions in the velocity field of a frozen teacher, steered by one vector a.

        s' = s + 0.05 T(s, a),    T = VN(7 -> 8 -> 6) / RMS,

    a random network of vector neurons with real weights in float64, divided by its RMS over 4,096 scenes, so that it
    commutes with every rotation (and reflection). With `breaking` g it does not:

        T_g(s, a)_c = T(s, a)_c - g <s_c, e> e,    e the last axis of the lab.

    A scene is a fixed anisotropic layout of the seven vectors (normal x 1.5, part of the world) with noise 0.3 a
    coordinate, its action included, turned as a whole. Training sees the turns by [0, coverage) degrees in the plane,
    and in space those of the Haar measure with a geodesic angle of at most `coverage`; `unseen` is the complement.
    A coverage of 0 in space is the wedge [0, 90) about z, whose complement is all but nothing of the whole group.

    Args:
        config: dimension, coverage and strength of the breaking.
    """

    name = "field"
    components: Mapping[str, int] = {}
    """Empty: the six vectors have no names of their own."""

    Config = FieldConfig

    def __init__(self, config: FieldConfig | None = None) -> None:
        self.config = config or FieldConfig()
        self.equivariant = self.config.breaking == 0.0
        d = self.config.dimension
        self.group = SO2 if d == 2 else SO3
        self.observation_rep, self.action_rep = vectors(STATES, d), vectors(1, d)
        layout = np.random.default_rng([_LAYOUT_SEED, d]).normal(size=(STATES + 1, d))
        self._layout = torch.from_numpy(LAYOUT_SCALE * layout)
        self._teacher = _teacher(d)
        noise = _generator(_RMS, _TEACHER_SEED).normal(size=(_RMS_SCENES, STATES + 1, d))
        scenes = self._layout + NOISE * torch.from_numpy(noise)
        # Turning a scene turns T with it: the RMS is that of every coverage.
        self._rms = float(self._field(scenes).square().mean().sqrt())

    def _field(self, vectors: Tensor) -> Tensor:
        """The teacher before normalisation: (..., 7, d) -> (..., 6, d)."""
        with torch.no_grad():
            return self._teacher(vectors.transpose(-1, -2)).transpose(-1, -2)

    def check_observation(self, observation: Tensor) -> Tensor:
        """`observation` (..., 6, d) in float64 on the CPU.

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        return as_finite(observation, (STATES, self.config.dimension), "velocity field's state")

    def check_action(self, action: Tensor) -> Tensor:
        """`action` (..., d) in float64 on the CPU.

        Raises:
            DataError: another shape, or numbers that are not finite.
        """
        return as_finite(action, (self.config.dimension,), "velocity field's action")

    def velocity(self, observation: Tensor, action: Tensor) -> Tensor:
        """T_g(s, a), see the class: (..., 6, d) and (..., d) -> (..., 6, d) float64, lengths a unit of time.

        Raises:
            DataError: as `check_observation` and `check_action`.
        """
        state, action = self.check_observation(observation), self.check_action(action)
        joined = torch.cat([state, action[..., None, :].expand(*state.shape[:-2], 1, -1)], -2)
        velocity = self._field(joined) / self._rms
        if self.config.breaking:
            pull = torch.zeros_like(state)
            pull[..., -1] = state[..., -1]  # <s_c, e> e
            velocity = velocity - self.config.breaking * pull
        return velocity

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """s' = s + 0.05 T_g(s, a), see the class.

        Args:
            observation: (..., 6, d) of any float dtype, computed in float64.
            action: (..., d) of any length, with the same leading axes.

        Returns:
            (..., 6, d) float64.

        Raises:
            DataError: as `check_observation` and `check_action`.
        """
        return self.check_observation(observation) + STEP * self.velocity(observation, action)

    def _scenes(self, n: int, seed: int) -> Tensor:
        """Seven vectors a scene, (n, 7, d), as they are before they are turned."""
        noise = _generator(_SCENES, seed).normal(size=(n, STATES + 1, self.config.dimension))
        return self._layout + NOISE * torch.from_numpy(noise)

    def _turns(self, n: int, seed: int, orientations: Orientations) -> Elements:
        """Orientations of scenes, of a stream of its own for each kind: two kinds are turned generically."""
        check_orientations(orientations)
        covered, whole = self.config.covered, 360.0 if self.config.dimension == 2 else 180.0
        if orientations == "unseen" and covered >= whole:
            raise DataError(f"orientations: none is unseen, training covers all {whole:g} degrees (world.coverage).")
        low, high = {"seen": (0.0, covered), "all": (0.0, whole), "unseen": (covered, whole)}[orientations]
        # From one stream, seen and unseen would be half a turn apart in the plane, which is exact in floats.
        kind = _KINDS.index(orientations)
        uniform = _generator(_TURNS + kind, seed).random(n)
        if self.config.dimension == 2:
            return SO2.rotation(low + (high - low) * uniform)
        if high == 0.0:
            return SO3.rotation(90.0 * uniform)
        axes = _generator(_AXES + kind, seed).normal(size=(n, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        angles = haar_angles(uniform, np.deg2rad(low), np.deg2rad(high))
        return SO3.elements(torch.from_numpy(Rotation.from_rotvec(angles[:, None] * axes).as_matrix()))

    def _plans(self, scenes: Tensor, horizon: int, seed: int) -> Tensor:
        """Actions (n, H, d) before they are turned: the scene's own, then others drawn as it was, layout + noise."""
        first = scenes[:, None, STATES]
        if horizon == 1:
            return first
        # One generator a sequence: its plan depends neither on how many there are nor on the horizon.
        draws = [np.random.default_rng([_PLANS, k, seed]) for k in range(len(scenes))]
        noise = np.stack([rng.normal(size=(horizon - 1, self.config.dimension)) for rng in draws])
        return torch.cat([first, self._layout[STATES] + NOISE * torch.from_numpy(noise)], 1)

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` transitions, each from a scene of its own; the first m of them are those of `transitions(m)`.

        With `warmup` W a transition is one of the first W + 1 steps of its scene's sequence, else the first. With one
        seed, `seen`, `all` and `unseen` are the same scenes, actions included, turned otherwise.

        Raises:
            DataError: `n` below 1, a negative seed, unknown orientations, or `unseen` where training covers all.
        """
        if n < 1:
            raise DataError(f"transitions: got n = {n}, expected at least 1.")
        length = self.config.warmup + 1
        data = self.sequences(n, length, seed=seed, orientations=orientations, progress=progress)
        rows, at = np.arange(n), _generator(_MOMENTS, seed).integers(0, length, n)
        state, following = data.observations[rows, at], data.observations[rows, at + 1]
        return Transitions(state, data.actions[rows, at], following, episode=data.episode)

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """`n` sequences, each from a scene of its own; fewer, and shorter ones, are part of more and longer ones.

        The first action is the scene's own; each later one is drawn as it was, layout + noise, and turned with the
        scene. `warmup` does not matter here.

        Raises:
            DataError: `n` or `horizon` below 1, a negative seed, unknown orientations, or `unseen` where training
                covers all.
        """
        if n < 1 or horizon < 1:
            raise DataError(f"sequences: got {n} sequences of {horizon} steps; expected at least 1.")
        turns = self._turns(n, seed, orientations)
        scenes = self._scenes(n, seed)
        states = [self.observation_rep.transform(scenes[:, :STATES], turns)]
        actions = self.action_rep.transform(self._plans(scenes, horizon, seed), turns[:, None])
        for action in actions.unbind(1):
            states.append(self.step(states[-1], action))
        if progress is not None:
            progress(n, n)
        return Sequences(torch.stack(states, 1), actions, episode=torch.arange(n))

    def augmented(self, n: int, copies: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """The scenes of `transitions(n)`, each `copies` times and every time turned anew within the coverage.

        What a training sees that turns its data at random on every visit; copy k is the rows [k n, (k + 1) n).

        Returns:
            States (copies n, 6, d) and actions (copies n, d), float64.

        Raises:
            DataError: `n` or `copies` below 1, or a negative seed.
        """
        if n < 1 or copies < 1:
            raise DataError(f"augmented: got {copies} copies of {n} scenes; expected at least 1.")
        turns = self._turns(copies * n, seed, "seen")
        scenes = self._scenes(n, seed).repeat(copies, 1, 1)
        return self.observation_rep.transform(scenes[:, :STATES], turns), self.action_rep.transform(
            scenes[:, STATES], turns
        )

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """`state`: the six vectors, (n, 6, d) of observations (n, 6, d)."""
        return {"state": observation}

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """max |g s_t - s_t(g s_0, g a)| over vectors, steps and random rollouts, all of the kind `free`.

        Starts and actions are those of `sequences` at all orientations, g is a Haar rotation. Rounding where
        `breaking` is 0, and of its order where it is not.

        Raises:
            DataError: `rollouts` or `steps` below 1, or a negative seed.
        """
        if rollouts < 1 or steps < 1:
            raise DataError(f"symmetry_residual: got {rollouts} rollouts of {steps} steps; expected >= 1.")
        data = self.sequences(rollouts, steps, seed=seed, orientations="all")
        g = self.group.sample(rollouts, _generator(_RESIDUAL, seed))
        expected = self.observation_rep.transform(data.observations, g[:, None])
        copy, worst = expected[:, 0], 0.0
        for index, action in enumerate(self.action_rep.transform(data.actions, g[:, None]).unbind(1)):
            copy = self.step(copy, action)
            worst = max(worst, float((expected[:, index + 1] - copy).norm(dim=-1).max()))
        return SymmetryResidual("length", steps, worst={"free": worst}, rollouts={"free": rollouts})


def haar_angles(uniform: np.ndarray, low: float, high: float) -> np.ndarray:
    """Angles of Haar rotations of space between `low` and `high`, from numbers uniform in [0, 1).

    Their density is proportional to 1 - cos(x), its integral is F(x) = x - sin(x); solves F(x) = F(low) + u (F(high) -
    F(low)) by bisection, to the last bits of F. One number an angle, where a rejection would draw as many as it takes.

    Args:
        uniform: (...) in [0, 1).
        low, high: radians in [0, pi].
    """
    start, stop = low - np.sin(low), high - np.sin(high)
    wanted = start + (stop - start) * uniform
    below, above = np.full_like(uniform, low), np.full_like(uniform, high)
    for _ in range(60):
        middle = 0.5 * (below + above)
        left = middle - np.sin(middle) > wanted
        above, below = np.where(left, middle, above), np.where(left, below, middle)
    return 0.5 * (below + above)


def _teacher(d: int) -> Sequential:
    """VN 7 -> 8 -> 6 with real weights, drawn in float64 from the world's own seed."""
    states, hidden = vectors(STATES, d), vectors(HIDDEN, d)
    layers = [
        VNLinear(vectors(STATES + 1, d), hidden),
        VNReLU(VNLinear(hidden, hidden)),
        VNLinear(hidden, states),
    ]
    teacher = Sequential(*layers).to(torch.float64).requires_grad_(False)
    rng = np.random.default_rng(_TEACHER_SEED)
    for weight in teacher.parameters():
        weight.copy_(torch.from_numpy(rng.normal(size=weight.shape) / np.sqrt(weight.shape[1])))
    return teacher


def _generator(stream: int, seed: int) -> np.random.Generator:
    if seed < 0:
        raise DataError(f"seed: got {seed}, expected an integer of at least 0.")
    return np.random.default_rng([stream, seed])
