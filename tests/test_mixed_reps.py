"""Reps of any kinds, scalars and vectors together: through worlds, models, training and claims."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.audit.pooled import equivariance_residual
from equiwm.claims.residual.measure import control_model
from equiwm.claims.sweep.readout import TypedFeatures, fit_readout, pooled_error
from equiwm.cli.main import run
from equiwm.config import ModelConfig, load
from equiwm.errors import ConfigError, DataError, RepError
from equiwm.loading import load_run
from equiwm.models.clouds import Centring, centred
from equiwm.models.factory import build_model
from equiwm.models.mlp import mlp_network
from equiwm.models.normalised import NormalisedPredictor
from equiwm.models.typed import TypedEncoder, TypedPredictor
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.nn.normalise import Normalise
from equiwm.nn.typed import TypedNetwork
from equiwm.subject import Subject
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.intertwiners import generating, intertwiners, maps_between
from equiwm.symmetry.irreducibles import irreducibles
from equiwm.symmetry.kinds import VECTOR
from equiwm.symmetry.motions import translated_directions, turns_every_way
from equiwm.symmetry.notation import parse_kind
from equiwm.symmetry.quaternions import as_matrices, matrix_rep
from equiwm.symmetry.reps import Rep, vectors
from equiwm.training.objective import Forward
from equiwm.worlds.factory import build_world
from equiwm.worlds.targets import by_kind, kind_reps
from equiwm.worlds.world import Transitions, action_shape

OUTSIDE = Path(__file__).parent / "outside"
DIGESTS = {"vn-2d": "720be18bb30858f0", "vn-3d": "5c7b1e2c1db630f8"}
"""Of the weights that seed 0 gave before there were typed networks."""


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


def test_an_ordinary_model_of_a_mixed_world_goes_through_the_commands(home, capsys):
    assert equiwm("train", "--preset", "lander.yaml", "--name", "mlp", "--quiet") == 0
    run_path = home / "runs" / "mlp"
    assert equiwm("verify-equivariance", run_path, "--quiet") == 1
    assert equiwm("sweep-group", run_path, "--quiet", "--bins", 2, "--transitions", 100) == 0
    assert equiwm("rollout", run_path, "--quiet", "--horizons", "1,2", "--sequences", 16) == 0
    found = json.loads((run_path / "metrics.json").read_text())
    assert found["verify_equivariance"]["verdict"] == "broken"
    assert found["sweep_group"]["flatness"] > 1e-3
    assert set(found["sweep_group"]["readout"]) == {"0e", "1o"}
    assert set(found["sweep_group"]["bins"][0]["components"]) == {"craft", "velocity", "fuel"}
    assert found["rollout"]["relative_residual"][0] > 1e-3
    capsys.readouterr()


@pytest.mark.parametrize("network", ["mlp", "vn"])
def test_a_latent_model_of_a_mixed_world_trains_on_sequences(home, capsys, network):
    settings = {"encoder": network, "predictor": network, "latent": 16, "encoder_widths": [8], "normalise": "true"}
    extra = [f"--set=model.{key}={value}" for key, value in settings.items()]
    extra += [f"--set=training.{text}" for text in ("objective=jepa", "horizon=2", "batch=32", "epochs=1")]
    assert equiwm("train", "--preset", "lander.yaml", "--name", "jepa", "--quiet", *extra) == 0
    subject = load_run("runs/jepa", dtype=torch.float64)
    assert str(subject.model.latent_rep) == ("8x1o" if network == "mlp" else "6x0e+5x1o")
    data = subject.world.transitions(16, seed=1)
    reps = [subject.world.observation_rep, subject.world.action_rep]
    g = subject.world.group.sample(8, 0)
    found = equivariance_residual(subject.model, reps, subject.model.latent_rep, g, [data.observation, data.action])
    assert (found.relative <= 1e-12) == (network == "vn")
    capsys.readouterr()


# Typed networks: exact at any weights, in every group, over every rep in the box

PLANE = {"0e", "0o", "1o", "1e", "p", "m2", "m3", "rot", "same2"}
SPACE = {"0e", "0o", "1o", "1e", "p", "2e", "rot", "quat", "same2"}
GROUPS = [
    *("so2", "o2", "se2", "e2", "c3", "c4", "d4", "mirrorx2"),
    *("so3", "o3", "se3", "e3", "so2z", "o2z", "se2z", "e2z", "so2x", "mirrorx", "mirrorz", "c4z", "d3z", "inversion"),
]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


@st.composite
def reps_of(draw, group: Group, most: int, leave: frozenset[str] = frozenset()):
    kinds = sorted((PLANE if group.d == 2 else SPACE) - leave - ({"quat"} if group.reflections else set()))
    terms = draw(st.lists(st.tuples(st.integers(1, 2), st.sampled_from(kinds)), min_size=1, max_size=most))
    return Rep(terms, group.d)


def typed_model(group: Group, see: Rep, act: Rep, dtype: torch.dtype, seed: int, **settings: object) -> WorldModel:
    config = ModelConfig(encoder_widths=(8, 8), predictor_widths=(8, 8), latent=16, **settings)
    model = build_model(config, see, act, seed=seed, dtype=dtype, group=group)
    with torch.no_grad():  # biases start at zero
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.copy_(normal(seed, *parameter.shape, dtype=dtype))
    return model.eval()


def residual(fn, takes: list[Rep], gives: Rep, group: Group, inputs: list[torch.Tensor]) -> float:
    found = equivariance_residual(fn, takes, gives, group.sample(16, 7), inputs)
    assert found.output_rms > 1e-3
    return found.relative


@pytest.mark.parametrize("name", GROUPS)
@settings(deadline=None, max_examples=3, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_typed_models_are_exact_over_any_reps(name, data, seed):
    group = Group.parse(name)
    see = data.draw(reps_of(group, 4), label="observations")
    act = data.draw(reps_of(group, 2, frozenset({"p", "quat"})), label="actions")
    encoder = data.draw(st.sampled_from(["vn", "identity"]), label="encoder")
    for dtype, tolerance in TOLERANCE.items():
        model = typed_model(group, see, act, dtype, seed, encoder=encoder, latent_rep=None, weights="real")
        x, a = normal(seed, 32, *see.shape, dtype=dtype), normal(seed + 1, 32, act.dim, dtype=dtype)
        a = a.unflatten(1, action_shape(act))
        z = model.encode(x).detach()
        if bool(z.any()):  # one point, taken relative to itself, says nothing
            assert residual(model.encode, [see], model.latent_rep, group, [x]) <= tolerance
        change = model.predict(z, a) - z
        assert bool(change.any())
        assert residual(model.predict, [model.latent_rep, act], model.latent_rep, group, [z, a]) <= tolerance
        assert residual(model, [see, act], model.latent_rep, group, [x, a]) <= tolerance
        assert model.equivariant


@pytest.mark.parametrize("name", ["so2", "o2", "so3", "o3", "so2z", "e2z", "mirrorx", "c4z", "d4"])
def test_linear_maps_are_all_that_commute(name):
    group = Group.parse(name)
    into = Rep.parse("2x0e+0o+2x1o+1e+" + ("m2" if group.d == 2 else "2e"), group.d)
    out = Rep.parse("0e+0o+1o+" + ("m2" if group.d == 2 else "2e"), group.d)
    network = TypedNetwork(into, out, irreducibles(group, into, out), ())
    g = generating(group)
    every = intertwiners(into.matrix(g), out.matrix(g))
    assert sum(weight.numel() for weight in network.skip.parameters()) == len(every)
    for parameter in network.last.parameters():
        torch.nn.init.zeros_(parameter)
    made = []
    for parameter in network.skip.parameters():
        for entry in range(parameter.numel()):
            for other in network.skip.parameters():
                torch.nn.init.zeros_(other)
            with torch.no_grad():
                parameter.view(-1)[entry] = 1.0
                made.append(network(torch.eye(into.dim)).mT.double())
    rank = torch.linalg.matrix_rank(torch.stack(made).flatten(1), tol=1e-5)
    assert int(rank) == len(every)


@pytest.mark.parametrize("name", ["so2", "o2", "so3", "o3", "so2z", "octh", "so3*s3"])
def test_reps_decompose_by_orthogonal_matrices_into_irreducible_types(name):
    group = Group.parse(name)
    text = {"so3*s3": "perm3*1o+0e"}.get(name, "2x0e+1o+0o+1o*1o" + ("+m3" if group.d == 2 else "+3o"))
    rep = Rep.parse(text, group.d)
    types = irreducibles(group, rep)
    rows = torch.cat([maps.flatten(0, 1) for maps in types.copies(rep)])
    assert torch.allclose(rows @ rows.mT, torch.eye(rep.dim, dtype=torch.float64), atol=1e-13)
    for kind in types.types:
        both = intertwiners(kind.matrices, kind.matrices)
        symmetric = both + both.mT  # of an irreducible type multiples of the identity alone
        assert int(torch.linalg.matrix_rank(symmetric.flatten(1), tol=1e-9)) == 1
    turned = rep.matrix(group.sample(1, 9)[0])
    start = 0
    for maps in types.copies(rep):
        stop = start + maps.shape[0] * maps.shape[1]
        block = rows[start:stop] @ turned @ rows.mT
        assert float(block[:, :start].abs().sum() + block[:, stop:].abs().sum()) < 1e-12
        start = stop


def test_about_the_vertical_vectors_are_heights_and_frequency_one_and_degree_two_has_three_frequencies():
    group = Group.parse("so2z")
    types = irreducibles(group, Rep.parse("1o+2e", 3))
    vector, tensor = types.copies(Rep.parse("1o", 3)), types.copies(Rep.parse("2e", 3))
    assert [len(maps) for maps in vector[:3]] == [1, 1, 0]
    assert [len(maps) for maps in tensor[:3]] == [1, 1, 1]
    assert vector[0][0].tolist() == [[0.0, 0.0, 1.0]]
    assert [kind.dim for kind in types.types[:3]] == [1, 2, 2]
    assert [len(kind.ends) for kind in types.types[:3]] == [1, 2, 2]  # complex weights
    assert [len(kind.ends) for kind in irreducibles(Group.parse("o2z"), Rep.parse("1o+2e", 3)).types[:3]] == [1, 1, 1]


def test_a_quaternion_is_predicted_up_to_the_sign_that_it_came_with():
    group, see, act = Group.parse("so3"), Rep.parse("quat+1o", 3), Rep.parse("1o", 3)
    model = typed_model(group, see, act, torch.float64, 3, encoder="identity")
    x, a = normal(0, 16, 7), normal(1, 16, 3)
    flipped = x * torch.tensor([-1.0] * 4 + [1.0] * 3, dtype=torch.float64)
    one, other = model(x, a), model(flipped, a)
    assert torch.allclose(one[:, :4], -other[:, :4], atol=1e-14)
    assert torch.allclose(one[:, 4:], other[:, 4:], atol=1e-14)


def test_points_among_the_actions_are_refused_where_the_group_translates():
    config = ModelConfig(encoder="identity")
    see, act = Rep.parse("p+1o+0e", 2), Rep.parse("p", 2)
    with pytest.raises(RepError, match="give them as vectors"):
        build_model(config, see, act, seed=0, group=Group.parse("se2"))
    build_model(config, see, act, seed=0, group=Group.parse("so2"))


# Broken twins


def twin(group: str, text: str) -> tuple[Group, Rep, TypedNetwork, torch.Tensor]:
    chosen = Group.parse(group)
    rep = Rep.parse(text, chosen.d)
    torch.manual_seed(0)
    network = TypedNetwork(rep, rep, irreducibles(chosen, rep), (8, 8))
    return chosen, rep, network, normal(0, 32, rep.dim, dtype=torch.float32)


@pytest.mark.parametrize("name", ["so2", "so3", "so2z", "o3"])
def test_a_bias_on_a_vector_is_seen(name):
    group, rep, network, x = twin(name, "2x1o+2x0e")
    assert residual(network, [rep], rep, group, [x]) <= 1e-6
    network.blocks[0].mix.register_forward_hook(
        lambda *args: [part + 0.05 * (t == 1) for t, part in enumerate(args[2])]
    )
    assert residual(network, [rep], rep, group, [x]) > 1e-4


@pytest.mark.parametrize("name", ["so2", "so3", "so2z", "se3"])
def test_a_sigma_for_each_component_is_seen(name):
    group = Group.parse(name)
    rep = Rep.parse("2x1o+2x0e", group.d)
    data = normal(0, 64, rep.dim) * torch.linspace(0.5, 3.0, rep.dim, dtype=torch.float64) + 0.3
    torch.set_default_dtype(torch.float64)
    try:
        layer = Normalise(rep, group).fit(data)
    finally:
        torch.set_default_dtype(torch.float32)
    assert residual(layer, [rep], rep, group, [data]) <= 1e-12
    layer.rows.copy_(torch.eye(rep.dim, dtype=torch.float64))
    layer.sigma.copy_(data.std(0))
    assert residual(layer, [rep], rep, group, [data]) > 1e-2


@pytest.mark.parametrize(
    ("whole", "part", "right", "wrong"),
    [("o2", "so2", "0o", "0e"), ("o3", "so3", "1e", "1o"), ("o2z", "so2z", "0o", "0e")],
)
def test_a_wrong_parity_is_seen_where_there_are_reflections_and_only_there(whole, part, right, wrong):
    group, taken, network, x = twin(whole, f"2x1o+{wrong}")
    true = Rep.parse(f"2x1o+{right}", group.d)
    assert residual(network, [taken], taken, group, [x]) <= 1e-6
    assert residual(network, [true], true, group, [x]) > 1e-3
    assert residual(network, [true], true, Group.parse(part), [x]) <= 1e-6


@pytest.mark.parametrize("name", ["so2", "so3", "so2z"])
def test_a_wrong_product_is_seen(name):
    group, rep, network, x = twin(name, "2x1o+2x0e")
    products = network.blocks[0].products
    maps = next(value for key, value in products.named_buffers() if key.startswith("maps"))
    maps[0, 1] += 0.5
    assert residual(network, [rep], rep, group, [x]) > 1e-4


def test_heights_taken_for_horizontal_are_seen():
    """A network of SE(2) about z is not one of SE(3), which would forget gravity."""
    group, rep, network, x = twin("so2z", "2x1o+2x0e")
    assert residual(network, [rep], rep, group, [x]) <= 1e-6
    assert residual(network, [rep], rep, Group.parse("so3"), [x]) > 1e-2


# What vn picks


def test_vn_is_as_it_was_for_vectors_alone_under_all_rotations():
    digests = {}
    for preset in ("vn-2d", "vn-3d"):
        config = load(preset)
        world = build_world(config.world)
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=0, group=world.group)
        assert not any(isinstance(part, TypedNetwork) for part in model.modules())
        state = model.state_dict()
        content = b"".join(name.encode() + state[name].numpy().tobytes() for name in sorted(state))
        digests[preset] = hashlib.sha256(content).hexdigest()[:16]
    assert digests == DIGESTS


@pytest.mark.parametrize(
    ("group", "see", "act", "typed"),
    [
        ("so2", "4x1o", "1o", False),
        ("o3", "4x1o", "2x1o", False),
        ("so2z", "4x1o", "1o", True),
        ("c4", "4x1o", "1o", True),
        ("so2", "4x1o+0e", "1o", True),
        ("so2", "4x1o", "1o+0e", True),
        ("se3", "2xp", "1o", True),
        ("so3", "1e", "1o", True),
    ],
)
def test_vn_picks_its_architecture_from_reps_and_group(group, see, act, typed):
    chosen = Group.parse(group)
    config = ModelConfig(latent=24, weights="real")
    model = build_model(config, Rep.parse(see, chosen.d), Rep.parse(act, chosen.d), seed=0, group=chosen)
    assert isinstance(model.encoder, TypedEncoder if typed else VNEncoder)
    assert isinstance(model.predictor, TypedPredictor if typed else VNPredictor)
    assert model.latent_rep.dim == 24
    assert any(kind.name == "0e" for _, kind in model.latent_rep.terms) == typed


def test_the_rep_of_the_latents_can_be_said():
    see, act = Rep.parse("1o+0e", 3), Rep.parse("1o", 3)
    model = build_model(ModelConfig(latent_rep="4x0e+2x1o+2e"), see, act, seed=0, group=Group.parse("so3"))
    assert str(model.latent_rep) == "4x0e+2x1o+1x2e"
    for wrong, words in (("4x", "model.latent_rep"), ("2xp", "latents hold no points"), ("quat", "no quaternions")):
        with pytest.raises((ConfigError, RepError), match=words):
            build_model(ModelConfig(latent_rep=wrong), see, act, seed=0, group=Group.parse("so3"))


# Normalisation


@pytest.mark.parametrize("name", ["so2", "e2", "so3", "se3", "so2z", "se2z", "o2z", "c4z", "mirrorx"])
@settings(deadline=None, max_examples=3, derandomize=True)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_normalisation_commutes_whatever_it_was_fitted_on(name, data, seed):
    group = Group.parse(name)
    rep = data.draw(reps_of(group, 4), label="rep")
    x = normal(seed, 40, *rep.shape) * 3.0 + normal(seed + 1, *rep.shape)
    torch.set_default_dtype(torch.float64)
    try:
        layer = Normalise(rep, group).fit(x)
    finally:
        torch.set_default_dtype(torch.float32)
    g = group.sample(40, seed, sigma=2.0)
    still = Elements(g.linear, torch.zeros_like(g.translation), g.permutation)
    moved = rep.transform_samples(x, g)
    # Points keep what lies between them: a translation of the data is one of the result, in units of sigma.
    straight = centred(rep.transform_samples(layer(x), still), rep, group)
    assert torch.allclose(centred(layer(moved), rep, group), straight, atol=1e-10)
    assert torch.allclose(layer.inverse(layer(x)), x, atol=1e-11)


def test_normalised_data_has_unit_size_and_constants_are_not_blown_up():
    rep = Rep.parse("1o+2x0e+2xp", 3)
    x = 5.0 * normal(0, 500, rep.dim) + 7.0
    x[:, 4] = 3.0
    layer = Normalise(rep, Group.parse("se2z")).fit(x.float())
    y = layer(x.float())
    assert abs(float(y[:, 3].mean())) < 1e-5
    assert float(y[:, 3].std(correction=0)) == pytest.approx(1.0, abs=1e-5)
    assert float(y[:, 2].mean()) == pytest.approx(0.0, abs=1e-5)  # its height is a scalar
    assert float(y[:, :2].square().mean()) == pytest.approx(1.0, abs=1e-5)
    assert float(y[:, :2].mean().abs()) > 0.3  # a mean of vectors is not taken off
    assert float(y[:, 4].abs().max()) < 1e-5
    between = centred(y, rep, Group.parse("se2z"))[:, [5, 6, 8, 9]]
    assert float(between.square().mean()) == pytest.approx(1.0, abs=1e-4)
    in_parts = Normalise(rep, Group.parse("se2z")).fit(part.float() for part in x.split(100))
    assert torch.allclose(in_parts.sigma, layer.sigma)
    with pytest.raises(DataError, match="at least one sample"):
        Normalise(rep).fit([])


def test_a_run_keeps_what_it_was_normalised_by(home, capsys):
    name = ["--name", "typed", "--set", "model.predictor=vn", "--set", "model.normalise=true"]
    assert equiwm("train", "--preset", "lander.yaml", "--quiet", *name, "--set", "model.predictor_widths=[8]") == 0
    assert equiwm("verify-equivariance", "runs/typed", "--quiet", "--dtype", "float64") == 0
    assert equiwm("sweep-group", "runs/typed", "--quiet", "--bins", 2, "--dtype", "float64", "--expect-invariant") == 0
    found = json.loads((home / "runs" / "typed" / "metrics.json").read_text())
    assert found["verify_equivariance"]["trained"]["relative_composed"] <= 1e-12
    assert found["sweep_group"]["flatness"] <= 1e-10
    subject = load_run("runs/typed")
    predictor = subject.model.predictor
    assert isinstance(predictor, NormalisedPredictor)
    states = subject.model.encode(subject.train_transitions.observation.float())
    expected = Normalise(subject.model.latent_rep, subject.world.group).fit(states)
    assert torch.allclose(predictor.state.sigma, expected.sigma, rtol=1e-5)
    assert float(predictor.step.sigma.min()) == 0.0  # the craft's mass never changes, and is predicted not to
    initial = subject.initial_model().predictor
    assert isinstance(initial, NormalisedPredictor)
    assert torch.equal(initial.state.sigma, predictor.state.sigma)
    capsys.readouterr()


# What it is for


def teacher(d: int, seed: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A random equivariant dynamics of three vectors and two scalars, made of inner products, moved by a vector and
    a scalar: v_i' = v_i + sum_j c_ij v_j + ..., s' = s + u, with c and u random functions of all invariants."""
    rng = torch.Generator().manual_seed(seed)
    invariants = 16 * (2 if d == 2 else 1) + 3
    first = torch.randn(32, invariants, generator=rng) / invariants**0.5
    of_scalars, of_vectors = torch.randn(32, 2, generator=rng) / 4.0, torch.randn(32, 24, generator=rng) / 32**0.5

    def step(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        v = torch.cat([x[:, : 3 * d].unflatten(1, (3, d)), a[:, None, :d]], 1)
        s = torch.cat([x[:, 3 * d :], a[:, d:]], 1)
        turned = torch.stack([-v[..., 1], v[..., 0]], -1) if d == 2 else torch.linalg.cross(v, v.roll(1, 1))
        gram = [v @ v.mT] + ([v @ turned.mT] if d == 2 else [])
        hidden = torch.tanh(torch.cat([*(part.flatten(1) for part in gram), s], 1) @ first.T)
        c = (hidden @ of_vectors).reshape(-1, 2, 3, 4)
        moved = (c[:, 0] @ v + c[:, 1] @ turned).flatten(1)
        return x + 0.2 * torch.cat([moved, hidden @ of_scalars], 1)

    return step


def fitted(network: torch.nn.Module, data: tuple[torch.Tensor, ...], epochs: int) -> torch.nn.Module:
    x, a, y = data
    unit = (y - x).std(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(x) // 50))
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=order).split(50):
            loss = ((x[rows] + network(torch.cat([x[rows], a[rows]], 1)) - y[rows]) / unit).square()
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            schedule.step()
    return network


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 3])
def test_at_equal_parameters_the_typed_network_learns_a_mixed_teacher_twice_as_well(d, capsys):
    group = Group.parse(f"so{d}")
    see, act = Rep.parse("3x1o+2x0e", d), Rep.parse("1o+0e", d)
    step, rng = teacher(d, 0), torch.Generator().manual_seed(1)

    def draw(n: int) -> tuple[torch.Tensor, ...]:
        x, a = 0.7 * torch.randn(n, see.dim, generator=rng), 0.7 * torch.randn(n, act.dim, generator=rng)
        return x, a, step(x, a)

    train, seen = draw(1000), draw(2000)
    found = {}
    for name in ("typed", "mlp"):
        torch.manual_seed(0)
        types = irreducibles(group, see, act)
        network = (
            TypedNetwork(see + act, see, types, (32, 32))
            if name == "typed"
            else mlp_network(see + act, see, (64, 64) if d == 2 else (46, 46), norm=True)
        )
        fitted(network, train, 60 if name == "typed" else 200)
        errors = []
        for g in (group.sample(8, 5)[k] for k in range(8)):
            x, a, y = (rep.transform(part, g) for rep, part in zip((see, act, see), seen, strict=True))
            with torch.no_grad():
                errors.append(float((x + network(torch.cat([x, a], 1)) - y).square().sum() / (y - x).square().sum()))
        found[name] = (sum(p.numel() for p in network.parameters()), errors)
    with capsys.disabled():
        for name, (count, errors) in found.items():
            flatness = max(errors) / min(errors) - 1
            print(f"d = {d}, {name}: {count} parameters, relMSE {errors[0]:.4f}, flatness {flatness:.1e}")
    (many, typed), (few, mlp) = found["typed"], found["mlp"]
    assert 1 / 1.15 <= many / few <= 1.15
    assert typed[0] <= 0.5 * mlp[0]
    assert max(typed) / min(typed) - 1 < 1e-5


def test_the_control_of_a_typed_model_has_its_latents(monkeypatch):
    """16 entries are no multiple of 3: the control is told the rep of the latents, and not how many vectors it has."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    crane = importlib.import_module("crane").Crane()
    group, reps = crane.group, (crane.observation_rep, crane.action_rep)
    model = build_model(ModelConfig(latent=16, encoder_widths=(8,), predictor_widths=(8,)), *reps, seed=0, group=group)
    assert str(model.latent_rep) == "4x0e+4x1o"
    subject = Subject(model, crane, train=crane.transitions(20, seed=0))
    assert control_model(subject).latent_rep == model.latent_rep
    assert crane.symmetry_residual(10, 10).worst["free"] < 1e-12
