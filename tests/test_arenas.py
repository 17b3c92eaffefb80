"""Worlds as places to act in: everything an arena gives turns with the scene, and episodes go on where they were."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.config import WorldConfig
from equiwm.errors import DataError, MissingExtraError
from equiwm.planning.arena import Arena, Simulation
from equiwm.planning.arenas import build_arena
from equiwm.planning.control import ReplayPolicy, run_episodes
from equiwm.symmetry.reps import Rep
from equiwm.worlds.body.config import BodyConfig
from equiwm.worlds.body.physics import PUSHER, SPIN
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.factory import build_world
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.physics import AGENT, BLOCK
from equiwm.worlds.pusht.world import PushT

CONFIGS: dict[str, WorldConfig] = {
    "pusht": PushTConfig(),
    "pusht-body-x": PushTConfig(direction="body_x"),
    "cloud": CloudConfig(),
    "cloud-separate": CloudConfig(action="separate"),
    "body": BodyConfig(),
}


@pytest.fixture(scope="module", params=CONFIGS)
def arena(request) -> Arena:
    try:
        world = build_world(CONFIGS[request.param])
    except MissingExtraError as error:
        pytest.skip(str(error))
    return build_arena(world, world.transitions(64, seed=0).observation)


def plans(arena: Arena, n: int, steps: int) -> Tensor:
    """Random actions (n, steps, A, d) in the ball."""
    rep = arena.world.action_rep
    actions = torch.from_numpy(np.random.default_rng(3).normal(size=(n, steps, rep.multiplicity, rep.d)))
    return actions / actions.norm(dim=-1, keepdim=True).clamp_min(1.0)


def turned(rep: Rep, actions: Tensor, g) -> Tensor:
    return rep.transform(actions.flatten(-2), g[:, None]).unflatten(-1, actions.shape[-2:])


def test_a_turned_episode_is_the_episode_turned(arena):
    tasks = arena.tasks(4, 11)
    g = arena.world.group.sample(4, 5)
    actions = plans(arena, 4, 6)
    runs = run_episodes(arena, tasks, ReplayPolicy(actions, 6), steps=6, replan=4)
    turned_tasks = arena.turned(tasks, g)
    policy = ReplayPolicy(turned(arena.world.action_rep, actions, g), 6)
    copies = run_episodes(arena, turned_tasks, policy, steps=6, replan=4)
    rep = arena.world.observation_rep
    assert (rep.transform(runs.observations, g[:, None]) - copies.observations).abs().max() < 1e-9
    assert (runs.observations[:, -1] - runs.observations[:, 0]).abs().amax((1, 2)).min() > 1e-3  # something happened
    errors = [
        arena.pose_error(side.observations, aims.goal[:, None])
        for side, aims in ((runs, tasks), (copies, turned_tasks))
    ]
    for was, now in zip(*errors, strict=True):
        assert (was - now).abs().max() < 1e-9
    points = Rep(((len(arena.parts), "p"),), arena.world.group.d)
    assert arena.track(runs.observations).shape[-2] == len(arena.parts)
    assert (
        points.transform(arena.track(runs.observations), g[:, None]) - arena.track(copies.observations)
    ).abs().max() < 1e-9
    frames = arena.frames(runs.observations[:, -1])
    assert not frames.degenerate.any()
    assert (g.linear @ frames.axes - arena.frames(copies.observations[:, -1]).axes).abs().max() < 1e-8


def test_tasks_ask_for_something_and_stand_alone(arena):
    few, many = arena.tasks(2, 7), arena.tasks(5, 7)
    start = arena.begin(few).observation
    angle, _ = arena.pose_error(start, few.goal)
    assert (angle > 5.0).all()
    assert (arena.pose_error(few.goal, few.goal)[0] < 1e-6).all()
    assert torch.equal(few.goal, many.goal[:2])
    assert torch.equal(start, arena.begin(many.take([0, 1])).observation)
    assert not torch.equal(few.goal, arena.tasks(2, 8).goal)


def test_the_planners_horizon_does_not_cut_the_simulation(arena):
    """Episodes go on: stretches of 2 and of 6 steps are one and the same simulation."""
    tasks, actions = arena.tasks(2, 1), plans(arena, 2, 6)
    whole, stretches = (
        run_episodes(arena, tasks, ReplayPolicy(actions, 6), steps=6, replan=replan).observations for replan in (6, 2)
    )
    assert torch.equal(whole, stretches)


def test_the_centroid_without_a_model_is_where_the_body_goes(arena):
    """The closed form against the world; it leaves out the stretch, contact, and a spin about another point."""
    tasks, horizon = arena.tasks(6, 3), 5
    if arena.world.name == "body":
        tasks.start[:, SPIN], tasks.start[:, PUSHER] = 0.0, 10.0
    start = arena.begin(tasks).observation
    term = arena.centroid_term(start, tasks.goal, weight=1.0, horizon=horizon)
    if term is None:
        assert arena.world.name == "pusht"
        return
    actions = plans(arena, 6, horizon)
    if arena.world.name == "body":
        actions[:, :, 1:] = 0.0
    runs = run_episodes(arena, tasks, ReplayPolicy(actions, horizon), steps=horizon, replan=horizon)
    points = arena.parts.count(arena.parts[0])
    away = (runs.observations[:, -1, :points] - tasks.goal[:, :points]).mean(-2).norm(dim=-1)
    moved = (runs.observations[:, -1, :points] - start[:, :points]).mean(-2).norm(dim=-1)
    cost = term.score(away.new_empty(0), actions[:, None], slice(None))[:, 0]
    bound = 0.01 if arena.world.name == "body" else 0.25  # the stretch moves the mean by up to 0.08 / 3 a step
    assert ((cost.sqrt() - away).abs() < bound * moved.max()).all()


class Faulty(Simulation):
    """An episode that goes well, one that diverges in its second step, one whose action the world refuses then."""

    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        later = bool(self.observation[k, 0, 0] > 0)
        if k == 1 and later:
            return torch.full((1, 2), math.inf), None
        if k == 2 and later:
            raise DataError("too long")
        return self.observation[k] + 1.0, "wall" if k == 0 and later else None


def test_an_episode_that_diverges_stops_where_it_was_and_says_why():
    simulation = Faulty(torch.zeros(3, 1, 2))
    for _ in range(3):
        simulation.advance(torch.zeros(3, 1, 2))
    assert simulation.observation[:, 0, 0].tolist() == [3.0, 1.0, 1.0]
    assert simulation.stopped.tolist() == [False, True, True]
    assert simulation.excluded == ["wall", "the world diverged", "the world refused the action: too long"]


def test_walls_are_noticed():
    arena = build_arena(PushT(PushTConfig()), torch.empty(0, 4, 2))
    tasks = arena.tasks(2, 0)
    tasks.start[1, AGENT] = tasks.start[1, BLOCK] + [240.0, 0.0]
    actions = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    assert run_episodes(arena, tasks, ReplayPolicy(actions, 2), steps=2, replan=2).excluded == [
        None,
        "wall: agent outside the guard",
    ]


def test_a_world_without_tasks_is_refused():
    with pytest.raises(DataError, match="has no tasks"):
        build_arena(build_world(FieldConfig()), torch.empty(0, 6, 2))
