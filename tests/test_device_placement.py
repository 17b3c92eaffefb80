"""Nothing computes with tensors of two devices: a model, its data and its plans, on a device that has no numbers.

No accelerator is needed: torch's `meta` device does all of an accelerator's bookkeeping and none of its arithmetic. Its
matrix products do not mind a factor on the CPU, as an accelerator's do, so every call that torch is given is looked at.
What a network reads back from its device (a count, a decision) cannot be followed there.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equiwm.config import Config, load, preset_names
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.planning.goals import goal_kind, model_goal
from equiwm.planning.step_metric import latent_metric
from equiwm.training.fit import Fit, update_target
from equiwm.training.objective import Forward
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import ControlWorld, Transitions, World

THERE = torch.device("meta")
RECORDED = ("vn-data", "mlp-data", "vn-2d-demonstrations", "mlp-2d-demonstrations")
READ_BACK = ("vn-bodies", "vn-bodies-3d", "vn-pair", "vn-pair-drift")
"""Networks of sets ask how many items there are at most."""
PRESETS = [name for name in preset_names() if name not in (*RECORDED, *READ_BACK)]
_MOVES = ("_to_copy", "copy_")
_INDEXED = ("index", "index_put_", "index_select")
"""Where a place may be given on the CPU."""


class OneDevice(TorchDispatchMode):
    """Refuses a call with tensors of several devices, as an accelerator does; a number of no axes may be anywhere."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in _MOVES:
            given = tree_leaves(args[:1] if name in _INDEXED else (args, kwargs))
            devices = {each.device.type for each in given if isinstance(each, Tensor) and each.dim()}
            assert len(devices) < 2, f"{name} was given tensors on {' and '.join(sorted(devices))}"
        return func(*args, **(kwargs or {}))


def _made(preset: str) -> tuple[Config, World, WorldModel, Transitions]:
    config = load(preset)
    if config.world.name in ("body", "table"):
        pytest.importorskip("mujoco")
    if config.model.encoder == "e3nn":
        pytest.importorskip("e3nn")
    world = build_world(config.world)
    reps = world.observation_rep, world.action_rep
    model = build_model(config.model, *reps, seed=0, group=world.group)
    return config, world, model, world.transitions(16, seed=0)


def _elsewhere(fit: Fit, here: Fit) -> None:
    """The constants of an objective, which are computed from the data, on the device of the model."""
    if isinstance(here.objective, Forward):
        fit.objective = copy.copy(here.objective)
        fit.objective.weight = here.objective.weight.to(THERE)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_training_step(preset, monkeypatch):
    config, world, model, data = _made(preset)
    here = Fit(config.training, model, data, seed=0, group=world.group)
    monkeypatch.setattr("equiwm.training.fit.fit_normalisation", lambda *_: None)  # done, above
    there = Fit(
        config.training,
        copy.deepcopy(model).to(THERE),
        data,
        seed=0,
        group=world.group,
        objective=here.objective if isinstance(here.objective, Forward) else None,
    )
    _elsewhere(there, here)
    with OneDevice():
        loss = there.objective(there.model, *there.batch(torch.arange(8), there.turns()))
        loss.total.backward()
        there.optimizers.step()
        update_target(there.target, there.model.encoder, 0.99)
    assert loss.total.device == THERE
    trained = [each for each in there.model.parameters() if each.grad is not None]
    assert trained
    assert {each.device for each in (*trained, *(each.grad for each in trained))} == {THERE}


@pytest.mark.parametrize("preset", [name for name in PRESETS if load(name).world.has_tasks])
def test_the_cost_of_plans(preset, monkeypatch):
    """Plans are made on the CPU in float64, and what they cost is computed where the model is."""
    monkeypatch.setattr("equiwm.planning.rollouts._agree", lambda *_: True)  # compares numbers
    config, world, model, data = _made(preset)
    assert isinstance(world, ControlWorld)
    control = world.control(data.observation)
    kind = goal_kind(config.planning, model, control)
    metric = latent_metric(model, data, world.group, control) if kind == "steps" else None
    observation, wanted = data.observation[:3], data.observation[4:7]
    action_shape = data.action.shape[1:] if len(data.action.shape) > 2 else (1, *data.action.shape[1:])
    plans = torch.zeros(3, 4, 5, *action_shape, dtype=torch.float64)
    there = copy.deepcopy(model).to(THERE)
    with OneDevice(), torch.no_grad():
        cost = model_goal(config.planning, kind, there, control, metric)(observation, wanted, 5)(plans)
    assert cost.device == THERE
    assert cost.shape == (3, 4)


def test_the_mode_sees_a_constant_that_was_left_behind():
    """The control: a matrix that no buffer holds stays on the CPU when its module moves."""

    class Forgetful(nn.Module):
        def __init__(self, kept: bool) -> None:
            super().__init__()
            matrix = torch.eye(3)
            self.matrix = nn.Buffer(matrix) if kept else [matrix]

        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.matrix if isinstance(self.matrix, Tensor) else self.matrix[0])

    x = torch.zeros(2, 3, device=THERE)
    with OneDevice():
        Forgetful(True).to(THERE)(x)
        with pytest.raises(AssertionError, match="given tensors on cpu and meta"):
            Forgetful(False).to(THERE)(x)
