"""The velocity field: six vectors moved by a frozen random vector-neuron teacher, exactly SO(d)-equivariant."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import as_finite, at_least_one
from equiwm.nn.layer import Sequential
from equiwm.nn.linear import VNLinear
from equiwm.nn.nonlinear import VNReLU
from equiwm.symmetry.coverage import Arc, Ball, Coverage
from equiwm.symmetry.groups import SO2, SO3, Elements
from equiwm.symmetry.reps import vectors
from equiwm.worlds.draws import Orientations, generator, generators, orientations_of, place
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.scenes import Scenes
from equiwm.worlds.world import Progress, Transitions

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
_SCENES, _PLANS, _RMS, _MOMENTS, _TURNS, _AXES = 0, 1, 2, 4, 10, 20


class Field(Scenes):
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
    Config = FieldConfig

    def __init__(self, config: FieldConfig | None = None) -> None:
        self.config = config or FieldConfig()
        self.equivariant = self.config.breaking == 0.0
        d = self.config.dimension
        self.group = SO2 if d == 2 else SO3
        self.coverage = _coverage(self.config)
        self.observation_rep, self.action_rep = vectors(STATES, d), vectors(1, d)
        layout = np.random.default_rng([_LAYOUT_SEED, d]).normal(size=(STATES + 1, d))
        self._layout = torch.from_numpy(LAYOUT_SCALE * layout)
        self._teacher = _teacher(d)
        noise = generator(_RMS, seed=_TEACHER_SEED).normal(size=(_RMS_SCENES, STATES + 1, d))
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
        noise = generator(_SCENES, seed=seed).normal(size=(n, STATES + 1, self.config.dimension))
        return self._layout + NOISE * torch.from_numpy(noise)

    def starts(self, n: int, seed: int) -> Tensor:
        return self._scenes(n, seed)[:, :STATES]

    def turns(self, n: int, seed: int, orientations: Orientations) -> Elements:
        """Orientations of scenes, of a stream of its own for each kind: two kinds are turned generically."""
        law = orientations_of(self.coverage, orientations, self.group)
        # From one stream, seen and unseen would be half a turn apart in the plane, which is exact in floats.
        kind = _KINDS.index(orientations)
        return place(
            law,
            generator(_TURNS + kind, seed=seed).random(n),
            generator(_AXES + kind, seed=seed).normal(size=(n, 3)),
        )

    def plans(self, n: int, horizon: int, seed: int) -> Tensor:
        """The scene's own action, then others drawn as it was, layout + noise; turned with the scene."""
        first = self._scenes(n, seed)[:, None, STATES]
        if horizon == 1:
            return first
        # One generator a sequence: its plan depends neither on how many there are nor on the horizon.
        draws = generators(_PLANS, seed, range(n))
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
        at_least_one("transitions", n=n)
        length = self.config.warmup + 1
        data = self.sequences(n, length, seed=seed, orientations=orientations, progress=progress)
        rows, at = np.arange(n), generator(_MOMENTS, seed=seed).integers(0, length, n)
        state, following = data.observations[rows, at], data.observations[rows, at + 1]
        return Transitions(state, data.actions[rows, at], following, episode=data.episode)

    def augmented(self, n: int, copies: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """The scenes of `transitions(n)`, each `copies` times and every time turned anew within the coverage.

        What a training sees that turns its data at random on every visit; copy k is the rows [k n, (k + 1) n).

        Returns:
            States (copies n, 6, d) and actions (copies n, d), float64.

        Raises:
            DataError: `n` or `copies` below 1, or a negative seed.
        """
        at_least_one("augmented", n=n, copies=copies)
        turns = self.turns(copies * n, seed, "seen")
        scenes = self._scenes(n, seed).repeat(copies, 1, 1)
        return self.observation_rep.transform(scenes[:, :STATES], turns), self.action_rep.transform(
            scenes[:, STATES], turns
        )

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """`state`: the six vectors, (n, 6, d) of observations (n, 6, d)."""
        return {"state": observation}


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


def _coverage(config: FieldConfig) -> Coverage:
    """What training sees: an arc of the plane, a ball of rotations of space, or, of 0 degrees, the wedge about z."""
    if config.dimension == 2:
        return Arc(0.0, config.covered)
    return Ball(config.covered) if config.covered else Arc(0.0, 90.0, 3)
