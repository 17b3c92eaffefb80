"""Speed of five seeds trained as one stack against one after another, and against `torch.func.vmap` of one model."""

import copy

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from equiwm.models.regressors import build_regressor
from equiwm.training import stacked
from equiwm.training.stacked import Regression, fit_stack
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field

SEEDS = range(5)
CASES = [("vn", 32, 60), ("mlp", 64, 60), ("mlp", 256, 20), ("mlp", 1024, 2), ("soft", 256, 15)]
"""Kind, width, and steps a measurement."""


def _data(d):
    world = Field(FieldConfig(dimension=d))
    drawn = [world.transitions(1024, seed=seed) for seed in SEEDS]
    state, action = torch.stack([t.observation for t in drawn]), torch.stack([t.action for t in drawn])
    return world, state.float(), action.float(), world.velocity(state, action).float()


@pytest.mark.benchmark
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(("kind", "width", "steps"), CASES)
def test_stack_against_one_by_one(ratio, monkeypatch, kind, width, steps, d):
    """One by one is the same loop with the models as they are: eager layers, fused AdamW, one gather a step."""
    world, *data = _data(d)
    models = [build_regressor(kind, world, width, seed=seed) for seed in SEEDS]
    settings = Regression(steps=steps, batch=256, penalty=0.01)
    monkeypatch.setattr(stacked, "_STACKED_PARAMETERS", 10**9)  # the wide one as well: that it loses is shown

    def one_by_one():
        for index, model in enumerate(models):
            rows = slice(index, index + 1)
            fit_stack([model], *(part[rows] for part in data), settings, SEEDS[rows])

    label = f"{kind} {width}, d = {d}, {len(SEEDS)} seeds, batch 256, one by one / stacked, {steps} steps"
    ratio(one_by_one, lambda: fit_stack(models, *data, settings, SEEDS), label, repeats=12)


@pytest.mark.benchmark
@pytest.mark.parametrize(("kind", "width"), [("vn", 32), ("mlp", 64), ("mlp", 256)])
def test_stacked_layers_against_vmap(ratio, kind, width):
    """Twenty steps of five seeds: the layers on a leading axis, and one model mapped over stacked weights."""
    world, *data = _data(2)
    state, action, target = (part[:, :256] for part in data)
    models = [build_regressor(kind, world, width, seed=seed) for seed in SEEDS]
    one = copy.deepcopy(models[0]).to("meta")
    weights = stack_module_state(models)[0]
    network = stacked.stack(models)
    mapped = vmap(lambda weights, *inputs: functional_call(one, weights, inputs))

    def step(parameters, forward):
        optimizer = torch.optim.AdamW(parameters, lr=3e-3, fused=True)

        def call():
            for _ in range(20):
                optimizer.zero_grad(set_to_none=True)
                (forward() - target).square().flatten(1).mean(1).sum().backward()
                optimizer.step()

        return call

    by_vmap = step(list(weights.values()), lambda: mapped(weights, state, action))
    by_layers = step(list(network.parameters()), lambda: network(state, action))
    ratio(by_vmap, by_layers, f"{kind} {width}, {len(SEEDS)} seeds, 20 steps, vmap / stacked layers", repeats=12)
