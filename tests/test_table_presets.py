"""The table's presets: exact where they say so, also through the planner and MuJoCo; and what they reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")

from equiwm.cli.main import run
from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.planning.control import PlannerPolicy, build_planner, run_episodes
from equiwm.planning.goals import goal_kind, model_goal
from equiwm.planning.variants import parse_variant
from equiwm.training.normalisation import fit_normalisation
from equiwm.worlds.factory import build_world

SMALL = {"horizon": 3, "samples": 12, "elites": 4, "iterations": 2, "steps": 4, "replan": 2}


def initial(preset: str, world) -> WorldModel:
    """The preset's model as it is before training, in float64."""
    config = load(preset)
    model = build_model(
        config.model, world.observation_rep, world.action_rep, seed=0, dtype=torch.float64, group=world.group
    )
    fit_normalisation(model, world.transitions(64, seed=0))
    return model.eval()


@pytest.fixture(scope="module")
def world():
    return build_world(load("vn-table").world)


@pytest.mark.parametrize(("preset", "exact"), [("vn-table", True), ("mlp-table", False)])
def test_the_typed_network_commutes_with_the_group_and_the_mlp_does_not(world, preset, exact):
    model, data, g = initial(preset, world), world.transitions(32, seed=1), world.group.sample(32, 0)
    turned = data.transform(g, world.observation_rep, world.action_rep)
    with torch.no_grad():
        expected = model.latent_rep.transform(model(data.observation, data.action), g)
        found = model(turned.observation, turned.action)
    residual = float((expected - found).norm() / expected.norm())
    assert (residual <= 1e-12) == exact
    assert residual < 1e-12 or residual > 1e-3
    apart = model(data.observation, data.action) - model.encode(data.observation)
    assert apart.norm() > 1e-3  # it predicts that something moves


@pytest.mark.parametrize(("preset", "exact"), [("vn-table", True), ("mlp-table", False)])
def test_a_planned_episode_turns_with_its_task(world, preset, exact):
    config = replace(load(preset).planning, **SMALL)
    model, control, variant = initial(preset, world), world.control(torch.empty(0, 27)), parse_variant("equivariant")
    assert goal_kind(config, model, control) == "pose"
    tasks, g = control.tasks(3, 4), world.group.sample(3, 6)
    ends = []
    for given, oracle in ((tasks, world.group.identity(3)), (control.turned(tasks, g), g)):
        goal = model_goal(config, "pose", model, control)
        policy = PlannerPolicy(
            control,
            build_planner(config, variant),
            variant,
            goal,
            world.action_rep,
            [[0, k] for k in range(3)],
            oracle=oracle,
            shrink=config.shrink,
        )
        ends.append(run_episodes(control, given, policy, steps=config.steps, replan=config.replan).observations)
    there = world.observation_rep.transform(ends[0], g[:, None])
    assert (ends[0][:, -1] - ends[0][:, 0]).norm(dim=-1).min() > 0.01
    assert (float((there - ends[1]).abs().max()) <= 1e-9) == exact


def metrics(path: Path) -> dict:
    return json.loads((path / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_what_the_presets_reach(tmp_path):
    """The targets: exact, read-outs five times better than the MLP's unseen, success of 0.8, identical to 1e-9."""
    ours, ordinary = tmp_path / "vn-table", tmp_path / "mlp-table"
    loop = ["--tasks", "16", "--orbit", "se2z:3", "--quiet"]
    for path in (ours, ordinary):
        assert run(["train", "--preset", path.name, "--out", str(tmp_path), "--quiet"]) == 0
        assert run(["sweep-group", str(path), "--quiet"]) == 0
    assert run(["verify-equivariance", str(ours), "--dtype", "float64", "--quiet"]) == 0
    assert run(["closed-loop", str(ours), "--dtype", "float64", *loop]) == 0
    assert metrics(ours)["verify_equivariance"]["trained"]["relative_composed"] <= 1e-12
    read, baseline = (metrics(path)["sweep_group"]["readout"] for path in (ours, ordinary))
    for name in ("T_position", "T_direction"):
        assert read[name]["worst_unseen"] <= 0.2 * baseline[name]["worst_unseen"]
        assert read[name]["worst_unseen"] < min(1.0, read[name]["action_only"])
    closed = metrics(ours)["closed_loop"]
    assert closed["paired_abs_max_deg"] <= 1e-9
    position = np.array(closed["position_error"])
    assert np.abs(position - position[:, :1]).max() <= 1e-9
    assert closed["success_rate"]["final"]["seen"] >= 0.8
    assert closed["success_rate"]["final"]["ood"] >= 0.8
