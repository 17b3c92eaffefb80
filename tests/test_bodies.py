"""Worlds of interchangeable bodies, and what is asked of models of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from equiwm.claims.ablation import items
from equiwm.claims.ablation.architecture import KIND as ARCHITECTURE
from equiwm.claims.ablation.architecture_columns import one_step
from equiwm.claims.ablation.baselines import ARMS, arm_of
from equiwm.claims.ablation.items import KIND, ItemsRow
from equiwm.claims.ablation.items_columns import columns
from equiwm.claims.ablation.lockstep import alone
from equiwm.claims.ablation.study import decided, resolve_scope
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.errors import ConfigError
from equiwm.models.canonical import read_frame
from equiwm.models.factory import build_model
from equiwm.results.ablation import ReadoutErrors, read_rows
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.sets import in_order, set_layout
from equiwm.worlds.bodies.config import BodiesConfig
from equiwm.worlds.bodies.physics import pair_forces
from equiwm.worlds.bodies.world import Bodies
from equiwm.worlds.factory import build_world
from equiwm.worlds.pair.config import PairConfig
from equiwm.worlds.pair.world import Pair
from equiwm.worlds.world import ControlWorld


def equiwm(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


# Worlds


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_bodies_carry_every_motion_and_every_order(dimension, count):
    world = Bodies(BodiesConfig(dimension=dimension, bodies=count))
    assert world.group.name == f"se{dimension}*s8"
    assert world.symmetry_residual(20, 8, seed=1).worst["free"] < 1e-12
    data = world.transitions(5, seed=0)
    layout = set_layout(world.observation_rep)
    assert layout.present(data.observation).sum(-1).tolist() == [count] * 5
    assert torch.equal(layout.cleared(data.next_observation), data.next_observation)
    assert not isinstance(world, ControlWorld)


def test_what_an_empty_place_holds_moves_nobody():
    world = Bodies()
    data = world.transitions(6, seed=0)
    layout = set_layout(world.observation_rep)
    there = layout.present(data.observation)
    other = layout.joined(torch.where(there[..., None], layout.items(data.observation), 9.0), data.action[:, :0], there)
    after = world.step(other, data.action)
    assert torch.allclose(layout.cleared(after), data.next_observation, atol=1e-14)
    assert float(layout.places.numel()) > 0
    assert torch.equal(after[:, layout.places][~there], torch.full_like(after[:, layout.places][~there], 9.0))


def test_forces_are_opposite_and_the_push_moves_one_body():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 5, 2, generator=generator, dtype=torch.float64)
    m, there = torch.rand(4, 5, generator=generator, dtype=torch.float64) + 0.5, torch.ones(4, 5, dtype=torch.float64)
    assert float(pair_forces(x, m, there).sum(1).abs().max()) < 1e-12
    world = Bodies(BodiesConfig(bodies=1))
    data = world.transitions(3, seed=0)
    still = world.step(data.observation, torch.zeros_like(data.action))
    assert float((still - data.next_observation).abs().max()) > 0.01


def test_bodies_that_do_not_fit_are_refused(capsys):
    with pytest.raises(ConfigError, match=r"world\.bodies: got 9, expected at most world\.places, 8"):
        BodiesConfig(bodies=9).check()
    assert equiwm("train", "--preset", "vn-bodies", "--set", "world.places=40", "--quiet") == 2
    assert "world.places: got 40, expected at most 32" in capsys.readouterr().err


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_the_pair_is_left_as_it_is_by_half_a_turn_and_an_exchange(drift):
    world = Pair(PairConfig(drift=drift))
    assert world.symmetry_residual(20, 8, seed=1).worst["free"] < 1e-12
    scenes = world.starts(20, 0)
    group = Group.parse("so2*s2")
    g = group.elements(-torch.eye(2, dtype=torch.float64), permutation=torch.tensor([1, 0]))
    apart = (world.observation_rep.transform(scenes, g) - scenes).abs().amax(-1)
    assert bool((apart < 1e-12).all()) == (drift == 0.0)
    vectors = scenes.reshape(20, *in_order(world.observation_rep).shape)
    certainty = read_frame(vectors).certainty
    assert bool((certainty < 1e-12).all()) == (drift == 0.0)  # the cause, before any network is trained


# Models


def _model(preset, dtype=torch.float64):
    config = load(preset)
    world = build_world(config.world)
    return world, build_model(
        config.model, world.observation_rep, world.action_rep, seed=0, dtype=dtype, group=world.group
    )


@pytest.mark.parametrize("preset", ["vn-bodies", "vn-bodies-3d", "vn-pair"])
@torch.no_grad()
def test_presets_are_exact_at_any_weights(preset):
    world, model = _model(preset)
    data = world.transitions(32, seed=3)
    g = world.group.sample(32, 1)
    changes = [
        model(each.observation, each.action) - model.encode(each.observation)
        for each in (data, data.transform(g, world.observation_rep, world.action_rep))
    ]
    expected = model.latent_rep.linear_part.transform(changes[0], g)
    assert float((changes[1] - expected).norm() / expected.norm()) < 1e-13


def test_a_soft_network_beside_a_set_and_one_frame_of_a_set():
    config = load("vn-pair")
    world = build_world(config.world)
    data = world.transitions(8, seed=0)
    for arm in ARMS:
        made = arm_of(config, arm)
        if made is None:
            continue
        model = build_model(
            made.model, world.observation_rep, world.action_rep, seed=0, dtype=torch.float64, group=world.group
        )
        assert model(data.observation, data.action).shape == (8, world.observation_rep.dim), arm
    assert str(in_order(Rep.parse("perm2*p+perm2*(1o+0e)+0e", 2))) == "2xp+1x1o+1x0e+1x1o+2x0e"


# Studies


def test_the_cells_of_items_and_what_is_stated():
    scope = resolve_scope(KIND, seeds=2, quick=True)
    assert scope.dims == (2, 3)
    cells = KIND.cells(scope)
    assert [cell.key for cell in cells][:3] == ["dim=2,vn,seed=0", "dim=2,vn,seed=1", "dim=2,mlp,seed=0"]
    assert cells[0].params["items"] == list(range(1, 9))
    rows = [
        ItemsRow(
            arm=arm, cell=f"items={k}", dim=2, seed=0, parameters=1, items=k, trained=3, seen_relmse=0.1,
            ood_relmse=0.1 * f, ood_factor=f, readouts={"x": ReadoutErrors(seen=e, ood=e * f, action=math.nan)},
        )
        for arm, f, e in (("vn", 1.0, 0.05), ("mlp", 9.0, 0.1))
        for k in range(1, 9)
    ]  # fmt: skip
    read = read_rows(ItemsRow, [row.as_dict() for row in rows])
    found = decided(KIND, replace(scope, dims=(2,), seeds=(0,)), read, whole=True)
    assert [each.holds for each in found] == [True] * 5
    worse = [replace(row, ood_factor=1.1) if row.arm == "vn" and row.items == 8 else row for row in rows]
    assert not decided(KIND, replace(scope, dims=(2,), seeds=(0,)), worse, whole=True)[0].holds
    left = [row for row in rows if row.items != 3]
    assert not decided(KIND, replace(scope, dims=(2,), seeds=(0,)), left, whole=True)[1].holds


def test_items_of_a_world_without_a_set_are_refused():
    with pytest.raises(ConfigError, match="has no setting that counts the items"):
        KIND.cells(resolve_scope(KIND, world="vn-field-2d", seeds=1))


def _quick(preset, **training):
    config = load(preset)
    return replace(config, training=replace(config.training, transitions=256, epochs=2, **training))


def test_one_network_is_asked_about_every_number():
    found = alone(columns(_quick("vn-bodies"), seed=0, counts=(1, 3, 8), test=64))
    assert set(found) == {1, 3, 8}
    assert set(found[3]["readouts"]) == {"positions", "velocities"}
    assert set(found[1]["readouts"]) == {"velocities"}  # a single body is its own mean
    for row in found.values():
        assert abs(row["ood_factor"] - 1.0) < items.FLAT_SETS
        assert row["relative_residual"] < 1e-6
    plain = alone(columns(_quick("mlp-bodies"), seed=0, counts=(3,), test=64))
    assert plain[3]["relative_residual"] > 1e-3


def test_what_is_measured_of_a_frame_that_a_pair_does_not_have():
    row = alone(one_step(arm_of(_quick("vn-pair"), "canonical"), seed=0, test=64))
    assert row["certainty_least"] < 1e-12
    assert row["frame_off_deg"] == pytest.approx(180.0, abs=1.0)
    assert row["relative_residual"] > 1e-3
    clear = alone(one_step(arm_of(replace(_quick("vn-ring-clear")), "canonical"), seed=0, test=64))
    assert clear["frame_off_deg"] < 1e-2
    exact = alone(one_step(arm_of(_quick("vn-pair"), "vn"), seed=0, test=64))
    assert exact["relative_residual"] < 1e-6
    assert math.isnan(exact["frame_off_deg"])


def test_without_tasks_nothing_is_stated_of_success():
    scope = resolve_scope(ARCHITECTURE, world="pair", seeds=1, quick=True)
    assert not any("success" in each.quantity for each in ARCHITECTURE.statements(scope))
    ring = resolve_scope(ARCHITECTURE, world="ring", seeds=1, quick=True)
    assert any("success" in each.quantity for each in ARCHITECTURE.statements(ring))


# Commands


def test_bodies_are_trained_audited_and_swept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--set", "training.transitions=256", "--set", "training.epochs=2", "--set", "model.predictor_widths=[8]")
    assert equiwm("train", "--preset", "vn-bodies", *small, "--set", "world.places=4", "--quiet") == 0
    assert equiwm("verify-equivariance", "runs/vn-bodies", "--dtype", "float64", "--samples", "16", "--quiet") == 0
    assert equiwm("sweep-group", "runs/vn-bodies", "--bins", "6", "--transitions", "64", "--quiet") == 0
    result = json.loads((tmp_path / "runs/vn-bodies/metrics.json").read_text())["sweep_group"]
    assert result["flatness"] < 1e-5
    assert any(entry["part"] == "permutation" for entry in result["bins"])
    capsys.readouterr()
    assert equiwm("closed-loop", "runs/vn-bodies", "--quiet") == 2
    assert "has no tasks" in capsys.readouterr().err
