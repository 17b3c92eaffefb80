"""Reps of any kinds, scalars and vectors together: through worlds, models, training and claims."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.claims.sweep.readout import TypedFeatures, fit_readout, pooled_error
from equiwm.cli.main import run
from equiwm.models.clouds import Centring, centred
from equiwm.models.world_model import IdentityEncoder
from equiwm.symmetry.group import Group
from equiwm.symmetry.intertwiners import generating, intertwiners, maps_between
from equiwm.symmetry.kinds import VECTOR
from equiwm.symmetry.motions import translated_directions, turns_every_way
from equiwm.symmetry.notation import parse_kind
from equiwm.symmetry.quaternions import as_matrices, matrix_rep
from equiwm.symmetry.reps import Rep, vectors
from equiwm.training.objective import Forward
from equiwm.worlds.targets import by_kind, kind_reps
from equiwm.worlds.world import Transitions, action_shape

OUTSIDE = Path(__file__).parent / "outside"


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


# Shapes


@pytest.mark.parametrize(
    ("text", "shape"), [("1o", (2,)), ("2x1o", (2, 2)), ("1o+0e", (3,)), ("m2", (2,)), ("0e", (1,)), ("2x0e", (2,))]
)
def test_one_action_is_flat_unless_it_is_several_vectors(text, shape):
    assert action_shape(Rep.parse(text, 2)) == shape


def test_samples_of_a_single_vector_are_not_taken_for_flat_ones():
    rep, group = vectors(1, 2), Group.parse("so2")
    x, g = normal(0, 5, 1, 2), group.sample(5, 0)
    turned = rep.transform_samples(x, g)
    assert turned.shape == (5, 1, 2)
    assert torch.equal(turned[:, 0], rep.transform(x[:, 0], g))


def test_squares_by_channel():
    rep = Rep.parse("2x0e+1o+2e", 3)
    x = normal(0, 4, 10)
    assert rep.channels == (1, 1, 3, 5)
    parts = x.split(rep.channels, -1)
    assert torch.allclose(rep.channel_squares(x), torch.stack([part.square().sum(-1) for part in parts], -1))
    assert torch.equal(
        vectors(2, 3).channel_squares(x[:, :6].unflatten(-1, (2, 3))), x[:, :6].unflatten(-1, (2, 3)).square().sum(-1)
    )


# What a group does to a space


def test_where_groups_translate_and_whether_they_turn_every_way():
    assert translated_directions(None, 3) is None
    assert translated_directions(Group.parse("se3"), 3) is None
    for name, diagonal in (("se2z", [1.0, 1.0, 0.0]), ("e2x", [0.0, 1.0, 1.0]), ("so3", [0.0] * 3)):
        assert translated_directions(Group.parse(name), 3).tolist() == torch.diag(torch.tensor(diagonal)).tolist()
    every = {
        name for name in ("so2", "e2", "so3", "se3", "so2z", "c4", "octh", "se2z") if turns_every_way(Group.parse(name))
    }
    assert every == {"so2", "e2", "so3", "se3"}
    slanted = translated_directions(Group.parse("se2").about((1.0, 1.0, 0.0)), 3)
    assert torch.allclose(slanted @ slanted, slanted)
    assert torch.allclose(
        slanted @ torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    )


@pytest.mark.parametrize("text", ["3xp", "2xp+1o", "2xp+1o+3x0e", "0e+p+2e+perm2*p"])
@pytest.mark.parametrize("name", ["se3", "se2z", "e2z"])
def test_centring_takes_off_what_translations_add_and_nothing_else(text, name):
    rep, group = Rep.parse(text, 3), Group.parse(name)
    x, g = normal(0, 6, *rep.shape), group.sample(6, 1, sigma=3.0)
    centre = Centring(rep, group)
    expected = rep.linear_part.transform(centre(x).flatten(1), g)
    assert torch.allclose(centre(rep.transform_samples(x, g)).flatten(1), expected, atol=1e-13)
    if name != "se3":  # heights are told
        lifted = x.flatten(1) + rep.translations[:, 2]
        assert not torch.allclose(centre(lifted.unflatten(-1, rep.shape)), centre(x))
    if rep.structured:
        by_offsets = x.flatten(1) - x.flatten(1) @ rep.translations @ rep.translations.mT / rep.translations[:, 0].sum()
        assert torch.allclose(centred(x, rep).flatten(1), by_offsets)


def test_without_translations_a_point_is_a_vector():
    rep = Rep.parse("p+0e", 2)
    x = normal(0, 4, 3)
    assert torch.equal(centred(x, rep, Group.parse("so2")), x)
    assert IdentityEncoder(rep, Group.parse("so2"))(x).abs().sum() > 0


# Maps that commute with a group


@pytest.mark.parametrize(
    ("name", "source", "target", "count"),
    [
        ("so2", "1o", "1o", 2),
        ("o2", "1o", "1o", 1),
        ("so2", "m2", "1o", 0),
        ("c4", "m3", "1o", 2),
        ("so3", "2e", "2e", 1),
        ("so3", "1o*1o", "2e", 1),
        ("o3", "1o", "1e", 0),
        ("so2z", "1o", "1o", 3),
        ("o2z", "1o", "1o", 2),
        ("se2z", "p", "1o", 3),
        ("mirrorx", "1o", "0e", 2),
        ("so3", "rot", "1o", 3),
    ],
)
def test_maps_that_commute_are_all_of_them(name, source, target, count):
    group = Group.parse(name)
    a, b = parse_kind(source, {}), parse_kind(target, {})
    maps = maps_between(a, b, group)
    assert len(maps) == count
    g = group.sample(8, 5)
    left = torch.einsum("kmn,gnp->gkmp", maps, a.linear_kind.matrix(g))
    right = torch.einsum("gmq,kqn->gkmn", b.linear_kind.matrix(g), maps)
    assert torch.allclose(left, right, atol=1e-13)
    gram = maps.flatten(1) @ maps.flatten(1).T
    assert torch.allclose(gram, min(maps.shape[1:]) * torch.eye(count, dtype=torch.float64), atol=1e-13)


def test_the_basis_does_not_depend_on_how_the_null_space_was_found():
    g = generating(Group.parse("so2z"))
    matrices = parse_kind("2e", {}).matrix(g)
    order = torch.arange(len(matrices) - 1, -1, -1)
    assert torch.allclose(intertwiners(matrices, matrices), intertwiners(matrices[order], matrices[order]), atol=1e-12)


# Quaternions


def test_quaternions_become_rotation_matrices_that_turn_as_three_vectors():
    rep, group = Rep.parse("0e+2xquat+1o", 3), Group.parse("so3")
    x, g = normal(0, 5, rep.dim), group.sample(5, 1)
    made = matrix_rep(rep)
    assert str(made) == "1x0e+2xrot+1x1o"
    assert torch.allclose(made.transform(as_matrices(x, rep), g), as_matrices(rep.transform(x, g), rep), atol=1e-13)
    matrix = as_matrices(x, rep)[:, 1:10].unflatten(-1, (3, 3))
    assert torch.allclose(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64).expand(5, 3, 3), atol=1e-13)


# The forward objective


def test_the_forward_objective_weighs_channels_and_does_not_turn():
    rep, action, group = Rep.parse("1o+2x0e+p+p", 2), Rep.parse("1o+0e", 2), Group.parse("se2")
    start = normal(0, 50, rep.dim)
    following = start + 0.1 * normal(1, 50, rep.dim)
    following[:, 2] = start[:, 2]  # a mass
    data = Transitions(start, normal(2, 50, 3), following, torch.arange(50))
    objective = Forward(IdentityEncoder(rep, group), data)
    change = IdentityEncoder(rep, group)(following) - IdentityEncoder(rep, group)(start)
    expected = [
        change[:, :2].square().sum(-1).mean(),
        (start[:, 2] - start[:, 2].mean()).square().mean(),
        change[:, 3].square().mean(),
        change[:, 4:6].square().sum(-1).mean(),
        change[:, 6:].square().sum(-1).mean(),
    ]
    assert torch.allclose(1.0 / objective.weight[:, 0], torch.stack(expected))
    turned = Forward(IdentityEncoder(rep, group), data.transform(group.sample(50, 3), rep, action))
    assert torch.allclose(turned.weight, objective.weight, rtol=1e-9)
    constant = Forward(IdentityEncoder(rep, group), Transitions(start, data.action, start, data.episode))
    assert bool(constant.weight.isfinite().all())


# Read-outs


@pytest.mark.parametrize("name", ["so2z", "o2z", "se2z", "c4z"])
def test_a_read_out_finds_what_commutes_with_the_group_and_no_more(name):
    group, rep = Group.parse(name), Rep.parse("3x1o+2x0e+2e", 3)
    latent, episode = normal(0, 400, rep.dim), torch.arange(400)
    target_rep = Rep.parse("1o", 3)
    maps = maps_between(VECTOR, VECTOR, group)
    weights = normal(1, len(maps), 3)
    target = torch.einsum("kmw,kc,ncw->nm", maps, weights, latent[:, :9].unflatten(-1, (3, 3)))
    target = target + torch.tensor([0.0, 0.0, 0.7], dtype=torch.float64)  # a constant height is allowed
    fitted = fit_readout(latent, target, episode, rep=rep, commutant=True, target_rep=target_rep, group=group)
    assert pooled_error(fitted(latent), target, torch.zeros_like(target)) < 1e-9
    g = group.sample(400, 3)
    turned = fitted(rep.transform(latent, g))
    assert torch.allclose(turned, target_rep.transform(fitted(latent), g), atol=1e-9)
    tilted = target + torch.tensor([0.7, 0.0, 0.0], dtype=torch.float64)
    wrong = fit_readout(latent, tilted, episode, rep=rep, commutant=True, target_rep=target_rep, group=group)
    assert pooled_error(wrong(latent), tilted, torch.zeros_like(target)) > 1e-3


def test_typed_features_of_vectors_are_those_of_the_plane():
    rep = vectors(3, 2)
    typed = TypedFeatures(rep, vectors(2, 2), Group.parse("so2"))
    latent = normal(0, 20, 6)
    assert typed.rows(latent).shape == (40, 6)
    target = normal(1, 20, 2, 2)
    assert torch.equal(typed.read(typed.targets(target), 20), target)


def test_targets_by_kind():
    rep = Rep.parse("0e+2x1o+quat+0e", 3)
    state = normal(0, 5, rep.dim)
    found, reps = by_kind(state, rep), kind_reps(rep)
    assert {name: str(kind) for name, kind in reps.items()} == {"0e": "2x0e", "1o": "2x1o", "rot": "1xrot"}
    assert torch.equal(found["0e"], state[:, [0, 11]])
    assert all(found[name].shape == (5, reps[name].dim) for name in reps)


# The commands


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("lander.py", "lander.yaml"):
        shutil.copy(OUTSIDE / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def equiwm(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


@pytest.mark.parametrize("model", ["mlp", "jepa"])
def test_an_ordinary_model_of_a_mixed_world_goes_through_the_commands(home, capsys, model):
    jepa = ["--set", "model.encoder=mlp", "--set", "training.objective=jepa", "--set", "model.latent=16"]
    extra = jepa if model == "jepa" else []
    assert equiwm("train", "--preset", "lander.yaml", "--name", model, "--quiet", *extra) == 0
    run_path = home / "runs" / model
    assert equiwm("verify-equivariance", run_path, "--quiet") == 1
    assert equiwm("sweep-group", run_path, "--quiet", "--bins", 2, "--transitions", 100) == 0
    assert equiwm("rollout", run_path, "--quiet", "--horizons", "1,2", "--sequences", 16) == 0
    found = json.loads((run_path / "metrics.json").read_text())
    assert found["verify_equivariance"]["verdict"] == "broken"
    assert found["sweep_group"]["flatness"] > 1e-3
    assert set(found["sweep_group"]["readout"]) == {"0e", "1o"}
    components = {"craft", "velocity", "fuel"} if model == "mlp" else set()
    assert set(found["sweep_group"]["bins"][0]["components"]) == components
    assert found["rollout"]["relative_residual"][0] > 1e-3
    capsys.readouterr()
