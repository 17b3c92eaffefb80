"""Control tasks of worlds: everything they give turns with the scene, and episodes go on where they were."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.config import WorldConfig
from equiwm.errors import DataError, MissingExtraError
from equiwm.planning.control import ReplayPolicy, run_episodes
from equiwm.planning.task import ControlTask, Simulation
from equiwm.symmetry.reps import Rep
from equiwm.worlds.body.config import BodyConfig
from equiwm.worlds.body.physics import PUSHER, SPIN
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.factory import build_world
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.pusht.config import PushTConfig
from equiwm.worlds.pusht.physics import AGENT, BLOCK
from equiwm.worlds.pusht.world import PushT
from equiwm.worlds.world import ControlWorld

CONFIGS: dict[str, WorldConfig] = {
    "pusht": PushTConfig(),
    "pusht-body-x": PushTConfig(direction="body_x"),
    "cloud": CloudConfig(),
    "cloud-separate": CloudConfig(action="separate"),
    "body": BodyConfig(),
}


@pytest.fixture(scope="module", params=CONFIGS)
def control(request) -> ControlTask:
    try:
        world = build_world(CONFIGS[request.param])
    except MissingExtraError as error:
        pytest.skip(str(error))
    return world.control(world.transitions(64, seed=0).observation)


def plans(control: ControlTask, n: int, steps: int) -> Tensor:
    """Random actions (n, steps, A, d) in the ball."""
    rep = control.world.action_rep
    actions = torch.from_numpy(np.random.default_rng(3).normal(size=(n, steps, rep.multiplicity, rep.d)))
    return actions / actions.norm(dim=-1, keepdim=True).clamp_min(1.0)


def turned(rep: Rep, actions: Tensor, g) -> Tensor:
    return rep.transform(actions.flatten(-2), g[:, None]).unflatten(-1, actions.shape[-2:])


def test_a_turned_episode_is_the_episode_turned(control):
    tasks = control.tasks(4, 11)
    g = control.world.group.sample(4, 5)
    actions = plans(control, 4, 6)
    runs = run_episodes(control, tasks, ReplayPolicy(actions, 6), steps=6, replan=4)
    turned_tasks = control.turned(tasks, g)
    policy = ReplayPolicy(turned(control.world.action_rep, actions, g), 6)
    copies = run_episodes(control, turned_tasks, policy, steps=6, replan=4)
    rep = control.world.observation_rep
    assert (rep.transform(runs.observations, g[:, None]) - copies.observations).abs().max() < 1e-9
    assert (runs.observations[:, -1] - runs.observations[:, 0]).abs().amax((1, 2)).min() > 1e-3  # something happened
    errors = [
        control.pose_error(side.observations, aims.goal[:, None])
        for side, aims in ((runs, tasks), (copies, turned_tasks))
    ]
    for was, now in zip(*errors, strict=True):
        assert (was - now).abs().max() < 1e-9
    points = Rep(((len(control.parts), "p"),), control.world.group.d)
    assert control.track(runs.observations).shape[-2] == len(control.parts)
    assert (
        points.transform(control.track(runs.observations), g[:, None]) - control.track(copies.observations)
    ).abs().max() < 1e-9
    frames = control.frames(runs.observations[:, -1])
    assert not frames.degenerate.any()
    assert (g.linear @ frames.axes - control.frames(copies.observations[:, -1]).axes).abs().max() < 1e-8


def test_tasks_ask_for_something_and_stand_alone(control):
    few, many = control.tasks(2, 7), control.tasks(5, 7)
    start = control.begin(few).observation
    angle, _ = control.pose_error(start, few.goal)
    assert (angle > 5.0).all()
    assert (control.pose_error(few.goal, few.goal)[0] < 1e-6).all()
    assert torch.equal(few.goal, many.goal[:2])
    assert torch.equal(start, control.begin(many.take([0, 1])).observation)
    assert not torch.equal(few.goal, control.tasks(2, 8).goal)


def test_the_planners_horizon_does_not_cut_the_simulation(control):
    """Episodes go on: stretches of 2 and of 6 steps are one and the same simulation."""
    tasks, actions = control.tasks(2, 1), plans(control, 2, 6)
    whole, stretches = (
        run_episodes(control, tasks, ReplayPolicy(actions, 6), steps=6, replan=replan).observations for replan in (6, 2)
    )
    assert torch.equal(whole, stretches)


def test_the_centroid_without_a_model_is_where_the_body_goes(control):
    """The closed form against the world; it leaves out the stretch, contact, and a spin about another point."""
    tasks, horizon = control.tasks(6, 3), 5
    if control.world.name == "body":
        tasks.start[:, SPIN], tasks.start[:, PUSHER] = 0.0, 10.0
    start = control.begin(tasks).observation
    term = control.centroid_term(start, tasks.goal, weight=1.0, horizon=horizon)
    if term is None:
        assert control.world.name == "pusht"
        return
    actions = plans(control, 6, horizon)
    if control.world.name == "body":
        actions[:, :, 1:] = 0.0
    runs = run_episodes(control, tasks, ReplayPolicy(actions, horizon), steps=horizon, replan=horizon)
    points = control.parts.count(control.parts[0])
    away = (runs.observations[:, -1, :points] - tasks.goal[:, :points]).mean(-2).norm(dim=-1)
    moved = (runs.observations[:, -1, :points] - start[:, :points]).mean(-2).norm(dim=-1)
    cost = term.score(away.new_empty(0), actions[:, None], slice(None))[:, 0]
    bound = 0.01 if control.world.name == "body" else 0.25  # the stretch moves the mean by up to 0.08 / 3 a step
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
    control = PushT(PushTConfig()).control(torch.empty(0, 4, 2))
    tasks = control.tasks(2, 0)
    tasks.start[1, AGENT] = tasks.start[1, BLOCK] + [240.0, 0.0]
    actions = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    assert run_episodes(control, tasks, ReplayPolicy(actions, 2), steps=2, replan=2).excluded == [
        None,
        "wall: agent outside the guard",
    ]


def test_a_world_without_tasks_says_so():
    assert not isinstance(build_world(FieldConfig()), ControlWorld)
    assert isinstance(build_world(CloudConfig()), ControlWorld)


@pytest.mark.parametrize("action", ["coupled", "separate"])
def test_true_dynamics_and_own_actions_lead_to_the_goal(action):
    """The task's own actions, simulated, end in its goal, whichever way it is turned."""
    world = Cloud(CloudConfig(action=action))
    control = world.control(world.transitions(64, seed=0).observation)
    assert control.references == ("centroid", "dynamics", "replay")
    g = world.group.sample(3, 5)
    tasks = control.turned(control.tasks(3, 11), g)
    end = control.simulate(tasks.start, tasks.actions[:, None])[:, 0, -1]
    assert (end - tasks.goal).abs().max() < 1e-9
    assert tasks.actions.shape == (3, 12, world.action_rep.multiplicity, 3)
    assert torch.equal(tasks.take([2, 0]).actions, tasks.actions[[2, 0]])
