"""What a row of `ablate architecture` says: one step, the frame, and a small closed loop, of a model in memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.claims.ablation.lockstep import Asking
from equiwm.claims.ablation.state_errors import state_errors
from equiwm.claims.ablation.world_models import model_columns, train_model
from equiwm.claims.closed_loop.episode import ControlledRun, controlled
from equiwm.claims.closed_loop.measure import Outcome
from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.closed_loop.result import TaskResult
from equiwm.claims.compare.pairs import task_of
from equiwm.claims.compare.sides import Side, policy_of
from equiwm.claims.probe import PROBE_SEED, held_out_pair
from equiwm.config import Config
from equiwm.models.canonical import CanonicalEncoder, CanonicalPredictor, Frame, read_frame
from equiwm.models.normalised import NormalisedPredictor
from equiwm.models.relative import RelativePredictor
from equiwm.models.upright import UprightPredictor
from equiwm.models.world_model import WorldModel
from equiwm.planning.control import run_episodes
from equiwm.subject import Subject
from equiwm.symmetry.groups import SO2, Elements, Group
from equiwm.training.data import training_data, transitions_of
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import ControlWorld, Transitions, World

DISTURBED = 0.01
"""Noise on an observation, over the root of its mean square, by which it is asked how far a frame turns."""


def columns(config: Config, *, seed: int, test: int, tasks: int, orbit: str) -> Asking[dict[str, Any]]:
    """Train a configuration on its own data of `seed`; the columns of its row.

    Args:
        config: the arm.
        seed: of data, weights and order.
        test: held-out transitions, the same for every arm and seed.
        tasks: of the closed loop, the same for every arm and seed.
        orbit: by which each is turned; in a world of a smaller group by as many random elements of that.

    Raises:
        TrainingError: the training diverged or collapsed.
    """
    world, train, model = yield from _trained(config, seed)
    found = _one_step(world, train, model, test)
    if isinstance(world, ControlWorld):
        subject = Subject(copy.deepcopy(model), world, train=train, seed=seed, dtype=torch.float64, config=config)
        found |= closed_loop(controlled(subject), tasks, orbit)
    return found


def one_step(config: Config, *, seed: int, test: int) -> Asking[dict[str, Any]]:
    """The same without the closed loop."""
    world, train, model = yield from _trained(config, seed)
    return _one_step(world, train, model, test)


def _trained(config: Config, seed: int) -> Asking[tuple[World, Transitions, WorldModel]]:
    world = build_world(config.world)
    train = transitions_of(training_data(config.training, world, seed=seed))
    model = yield from train_model(config, train, seed=seed)
    return world, train, model


def _one_step(world: World, train: Transitions, model: WorldModel, test: int) -> dict[str, Any]:
    found = model_columns(model, world, train, transitions=test)
    if model.latent_is_state:
        found["readouts"] = state_errors(model, world, *held_out_pair(world, test, PROBE_SEED))
    return found | _frame_facts(model, world, test)


@torch.no_grad()
def _frame_facts(model: WorldModel, world: World, test: int) -> dict[str, float]:
    """The least certainty of the frames that a canonical network reads off held-out observations; how far a frame turns
    where what it is read off is disturbed by a hundredth of its size, and how far the frame of an observation moved by
    the world's group is from the moved frame: nine of ten are less. NaN of other networks.
    """
    reading = _reading(model)
    if reading is None:
        return dict.fromkeys(("certainty_least", "frame_turn_deg", "frame_off_deg"), math.nan)
    seen, frame = reading
    observation = held_out_pair(world, test, PROBE_SEED)[0].observation
    g = world.group.sample(len(observation), PROBE_SEED)
    x, moved = seen(observation), seen(world.observation_rep.transform_samples(observation, g))
    size = x.square().flatten(1).mean(1).sqrt().reshape(-1, *[1] * (x.dim() - 1))
    noise = torch.from_numpy(np.random.default_rng(PROBE_SEED).normal(size=x.shape))
    found, disturbed, turned = map(frame, (x, x + DISTURBED * size * noise, moved))
    turns, off = _apart(found.axes, disturbed.axes), _apart(g.linear @ found.axes, turned.axes)
    return {
        "certainty_least": float(found.certainty.min()),
        "frame_turn_deg": float(turns.quantile(0.9)),
        "frame_off_deg": float(off.quantile(0.9)),
    }


def _reading(model: WorldModel) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Frame]] | None:
    """What a canonical network reads its frame off, made of an observation in float64; and how it reads it."""
    encoder, predictor = copy.deepcopy(model.encoder).double(), copy.deepcopy(model.predictor).double()
    if isinstance(encoder, CanonicalEncoder):
        return encoder.centred, lambda x: read_frame(x, encoder.channels)
    steps: list[Callable[[Tensor], Tensor]] = [encoder]
    while isinstance(predictor, NormalisedPredictor | RelativePredictor):
        steps.append(predictor.seen)
        predictor = predictor.inner
    if not isinstance(predictor, CanonicalPredictor | UprightPredictor):
        return None

    def seen(observation: Tensor) -> Tensor:
        x = observation
        for step in steps:
            x = step(x)
        return x

    return seen, predictor.frame


def _apart(first: Tensor, second: Tensor) -> Tensor:
    """Degrees between two frames (..., d, d)."""
    cosine = ((first.mT @ second).diagonal(dim1=-2, dim2=-1).sum(-1) - (first.shape[-1] - 2)) / 2.0
    return cosine.clamp(-1.0, 1.0).acos().rad2deg()


def _orbit_in(orbit: str, world: World) -> str:
    """The orbit, or as many random elements of the world's own group where that is a smaller one."""
    name, random, number = orbit.partition(":")
    if (Group.parse(name) if random else SO2) in world.group:
        return orbit
    return f"{world.group.name}:{number or len(orbit.split(','))}"


@torch.no_grad()
def closed_loop(run: ControlledRun, tasks: int, orbit: str) -> dict[str, float]:
    """Success and paired differences over the orbit, by the planner that is told nothing."""
    world, control, config = run.subject.world, run.control, run.subject.planning
    g = Elements.cat([world.group.identity(1), parse_orbit(_orbit_in(orbit, world), world, PROBE_SEED).elements])
    side = Side("model", None, None)
    found = []
    for number in range(tasks):
        turned = control.turned(task_of(run, number, PROBE_SEED).take([0] * len(g)), g)
        policy, replan = policy_of(side, run, [[PROBE_SEED, number]] * len(g), g)
        episodes = run_episodes(control, turned, policy, steps=config.steps, replan=replan)
        angle, distance = control.pose_error(episodes.observations, turned.goal[:, None])
        found.append(TaskResult(angle.tolist(), distance.tolist(), [0.0] * len(g), list(episodes.excluded)))
    outcome, criterion = Outcome.of(found), control.criterion
    reached, last = outcome.solved(criterion, "best"), outcome.solved(criterion, "final")
    error, _ = outcome.scored(criterion, criterion.scored)
    kept = [[reason is None for reason in reasons] for reasons in outcome.excluded]
    apart = [
        abs(row[m] - row[0])
        for row, clear in zip(error.tolist(), kept, strict=True)
        for m in range(1, len(row))
        if clear[0] and clear[m]
    ]
    return {
        "success_seen": float(reached[:, 0].mean()),
        "success_unseen": float(reached[:, 1:].mean()),
        "final_seen": float(last[:, 0].mean()),
        "final_unseen": float(last[:, 1:].mean()),
        "paired_max_deg": max(apart, default=float("nan")),
    }
