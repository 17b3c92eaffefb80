"""Distances in steps: what one step changes counts as one, whatever its size, and turned latents are as far apart."""

import math
from dataclasses import replace

import pytest
import torch

from equiwm.config import load
from equiwm.errors import ConfigError
from equiwm.models.factory import build_model
from equiwm.planning.goals import goal_kind, model_goal
from equiwm.planning.step_metric import FLOOR, fitted, latent_metric
from equiwm.symmetry.groups import SE3, SO2, SO3
from equiwm.symmetry.named import parse_group
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Transitions

STEPS = 20_000


def _steps(rep, scale, seed=0):
    """Steps of flat states whose entries change by `scale` times a normal draw, correlated from entry to entry."""
    rng = torch.Generator().manual_seed(seed)
    before, moved = (torch.randn(STEPS, rep.dim, generator=rng, dtype=torch.float64) for _ in range(2))
    mixed = moved @ torch.randn(rep.dim, rep.dim, generator=rng, dtype=torch.float64)
    return Transitions(before, before[:, :1], before + scale * mixed, torch.zeros(STEPS, dtype=torch.long))


def _metric(data, rep, group, *, equivariant=True):
    return fitted(lambda x: x.flatten(1), data, rep, group, equivariant=equivariant, control=None).matrix


def test_a_step_counts_as_one_in_every_direction():
    """The change of the second channel, a tenth of the first's, counts as much; one below the floor does not."""
    rng = torch.Generator().manual_seed(1)
    sizes = torch.tensor([2.0, 0.2, 1e-4], dtype=torch.float64)
    change = sizes[:, None] * torch.randn(STEPS, 3, 2, generator=rng, dtype=torch.float64)
    data = Transitions(torch.zeros(STEPS, 3, 2), torch.zeros(STEPS, 2), change, torch.zeros(STEPS, dtype=torch.long))
    matrix = _metric(data, vectors(3, 2), SO2)
    counted = (matrix @ change).square().mean((0, 2))
    floor = FLOOR * 4.0
    expected = torch.tensor([size**2 / (size**2 + floor) for size in sizes.tolist()], dtype=torch.float64)
    assert torch.allclose(counted, expected, rtol=0.05)
    assert counted[1] > 0.85
    assert counted[2] < 1e-4


REPS = {
    "vectors": (vectors(3, 3), SO3),
    "scalars and vectors": (Rep.parse("2x0e+3x1o", 3), SO3),
    "degree 2": (Rep.parse("0e+2x1o+2x2e", 3), SO3),
    "about the vertical": (Rep.parse("2x0e+3x1o", 3), parse_group("so2z")),
    "in the plane": (Rep.parse("2x0e+3x1o", 2), SO2),
}


@pytest.mark.parametrize(("rep", "group"), REPS.values(), ids=REPS)
def test_it_commutes_with_the_group(rep, group):
    data = _steps(rep, 1.0)
    matrix = _metric(data, rep, group)
    rho = rep.matrix(group.sample(8, seed=2))
    wide = torch.kron(matrix, torch.eye(rep.d, dtype=torch.float64)) if len(matrix) < rep.dim else matrix
    size = wide.abs().max()
    assert (rho @ wide - wide @ rho).abs().max() <= 1e-12 * size
    free = _metric(data, rep, group, equivariant=False)
    assert (rho @ free - free @ rho).abs().max() >= 1e-2 * free.abs().max()  # the control, which is of all entries


def test_the_vertical_has_a_metric_of_its_own():
    """About the vertical a vector's height is a scalar: what moves it less weighs it more than the horizontal part."""
    rep = vectors(1, 3)
    change = torch.randn(STEPS, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    data = Transitions(
        torch.zeros(STEPS, 3),
        torch.zeros(STEPS, 3),
        change * torch.tensor([1.0, 1.0, 0.1]),
        torch.zeros(STEPS, dtype=torch.long),
    )
    scalar = Rep.parse("0e+1o", 3)  # a rep of more than vectors is decomposed under its group
    padded = Transitions(
        *(torch.nn.functional.pad(each, (1, 0)) for each in (data.observation, data.action)),
        torch.nn.functional.pad(data.next_observation, (1, 0)),
        data.episode,
    )
    matrix = _metric(padded, scalar, parse_group("so2z"))
    assert matrix[3, 3] / matrix[1, 1] == pytest.approx(math.sqrt((1 + FLOOR) / (0.01 + FLOOR)), rel=0.05)
    assert len(_metric(data, rep, parse_group("so2z"))) == 1


@pytest.mark.parametrize("preset", ["vn-2d-goal", "mlp-2d-goal"])
def test_the_cost_of_a_preset(preset):
    """It is finite, tells plans apart, and of an equivariant model it is the same for a turned scene."""
    config = load(preset)
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).double().eval()
    data = world.transitions(512, seed=1)
    control = world.control(data.observation)
    assert goal_kind(config.planning, model, control) == "steps"
    metric = latent_metric(model, data, world.group, control)
    assert len(metric.matrix) == (64 if model.equivariant else 128)
    tasks = control.tasks(3, 2)
    g = world.group.sample(3, seed=4)
    turned = control.turned(tasks, g)
    now, later = control.begin(tasks).observation, control.begin(turned).observation
    plans = torch.randn(3, 16, 5, 1, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    goal = model_goal(config.planning, "steps", model, control, metric)
    cost = goal(now, tasks.goal, 5)(plans)
    moved = goal(later, turned.goal, 5)(vectors(1, 2).transform(plans, g[:, None, None, None]))
    assert cost.std() > 1e-3 * cost.mean()
    assert torch.allclose(cost, moved, rtol=1e-10) == model.equivariant


def test_a_centroid_counts_in_steps():
    config = load("vn-3d")
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).double().eval()
    data = world.transitions(256, seed=1)
    metric = latent_metric(model, data, SE3, world.control(data.observation))
    moved = (data.next_observation.mean(1) - data.observation.mean(1)).square().sum(-1).mean()
    assert metric.centroid == pytest.approx(float(moved), rel=1e-9)
    assert latent_metric(model, data, SE3, None).centroid is None
    now, wanted, plans = data.observation[:3], data.observation[5:8], torch.zeros(3, 2, 4, 1, 3, dtype=torch.float64)
    control = world.control(data.observation)
    given = [
        model_goal(replace(config.planning, centroid=weight), "steps", model, control, metric)(now, wanted, 4)(plans)
        for weight in (0.0, 2.0)
    ]
    steps = (now.mean(1) - wanted.mean(1)).square().sum(-1) / moved  # no action moves it
    assert torch.allclose(given[1] - given[0], 2.0 * steps[:, None], rtol=1e-9)


def test_a_goal_that_latents_do_not_show_names_those_that_they_do():
    config = load("vn-2d")
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0)
    with pytest.raises(ConfigError, match="--goal latent or steps"):
        goal_kind(replace(config.planning, goal="pose"), model, world.control(world.transitions(8, seed=0).observation))
