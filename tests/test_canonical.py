"""Canonical networks, augmentation and soft predictors: what they carry, where their frames fail, and class alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.audit.residual import check_equivariance
from equiwm.config import load
from equiwm.errors import ConfigError, RepError
from equiwm.models.canonical import CanonicalEncoder, CanonicalPredictor, read_frame
from equiwm.models.factory import build_model
from equiwm.models.upright import UprightPredictor
from equiwm.symmetry.groups import SO2, SO3, Group
from equiwm.symmetry.reps import Rep, vectors
from equiwm.testing import assert_equivariant
from equiwm.training.data import check_augmentation
from equiwm.training.fit import Fit
from equiwm.training.soft import SoftForward, SoftJEPA
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Sequences, Transitions

EXACT = 1e-12


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def uneven(n: int, count: int, d: int) -> Tensor:
    """Vectors with principal axes, more on one side than on the other."""
    x = torch.randn(n, count, d, dtype=torch.float64) * torch.tensor([1.0, 0.5, 0.25][:d], dtype=torch.float64)
    return x + 0.3 * x.square()


def rotation(d: int) -> Tensor:
    return (SO2 if d == 2 else SO3).sample(1, 5).linear[0]


@pytest.mark.parametrize(("d", "channels"), [(2, ()), (3, ()), (2, (1,)), (3, (1, 4))])
def test_a_frame_is_a_rotation_and_turns_with_what_it_is_read_off(d, channels):
    x, turn = uneven(32, 7, d), rotation(d)
    found, turned = read_frame(x, channels), read_frame(x @ turn.mT, channels)
    assert torch.allclose(found.axes.mT @ found.axes, torch.eye(d, dtype=torch.float64).expand(32, d, d), atol=EXACT)
    assert torch.allclose(torch.linalg.det(found.axes), torch.ones(32, dtype=torch.float64))
    assert torch.allclose(turned.axes, turn @ found.axes, atol=1e-9)
    assert torch.allclose(turned.certainty, found.certainty, atol=1e-9)
    assert bool((found.certainty > 0).all())


def test_a_frame_that_is_not_there_is_said_to_be_none():
    """A direction of norm zero, equal moments, both sides alike: certainty 0, and axes all the same."""
    still = torch.randn(1, 4, 2, dtype=torch.float64)
    still[:, 3] = 0.0
    square = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]], dtype=torch.float64)
    pair = torch.tensor([[[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]], dtype=torch.float64)
    for x, channels in ((still, (3,)), (square, ()), (pair, ())):
        found = read_frame(x, channels)
        assert float(found.certainty) <= EXACT
        assert torch.allclose(found.axes.mT @ found.axes, torch.eye(2, dtype=torch.float64)[None], atol=EXACT)
    parallel = torch.ones(1, 3, 3, dtype=torch.float64)
    found = read_frame(parallel, (0, 1))
    assert float(found.certainty) <= 1e-9
    assert torch.allclose(found.axes.mT @ found.axes, torch.eye(3, dtype=torch.float64)[None], atol=1e-9)


def test_where_there_is_no_frame_a_canonical_network_is_not_equivariant_and_the_audit_sees_it():
    """The axes come from the laboratory there: the honest verdict is broken, not exact."""
    built = CanonicalPredictor(vectors(4, 2), vectors(1, 2), (32,), (3,)).double()
    latent, action = torch.randn(64, 8, dtype=torch.float64), torch.randn(64, 2, dtype=torch.float64)
    exact = check_equivariance(built, [built.in_rep, built.action_rep], built.out_rep, "so2", [latent, action])
    assert exact.relative <= EXACT
    latent[:, 6:] = 0.0
    broken = check_equivariance(built, [built.in_rep, built.action_rep], built.out_rep, "so2", [latent, action])
    assert broken.relative >= 1e-2


@pytest.mark.parametrize("rep", [Rep.parse("12xp", 3), Rep.parse("8xp+3x1o", 3), Rep.parse("5xp", 2)], ids=str)
def test_canonical_models_carry_se_d_and_no_reflection(rep):
    d = rep.d
    x, action = uneven(64, rep.multiplicity, d), torch.randn(64, d, dtype=torch.float64)
    latent = vectors(6, d)
    encoder = CanonicalEncoder(rep, latent, (32,), ()).double()
    assert encoder.equivariant
    assert_equivariant(encoder, [rep], latent, f"se{d}", [x], tolerance=1e-9)
    with pytest.raises(AssertionError, match="relative residual"):
        assert_equivariant(encoder, [rep], latent, f"o{d}", [x], tolerance=1e-9)
    predictor = CanonicalPredictor(latent, vectors(1, d), (32,), range(d - 1)).double()
    inputs = [encoder(x).detach(), action]
    assert_equivariant(predictor, [latent, vectors(1, d)], latent, f"so{d}", inputs, tolerance=1e-9)


UPRIGHT = Rep.parse("4x1o+1x1e+3x0e", 3)


@pytest.mark.parametrize(("group", "axis"), [("se2z", 2), ("so2x", 0), ("so2z", 2)])
def test_an_upright_frame_carries_turns_about_its_axis_alone(group, axis):
    """Of vectors, a pseudovector and scalars; other rotations and mirrors are seen to break it."""
    action_rep = vectors(1, 3)
    predictor = UprightPredictor(UPRIGHT, action_rep, (32,), 2, Group.parse(group)).double()
    latent = torch.randn(64, UPRIGHT.dim, dtype=torch.float64)
    inputs, reps = [latent, torch.randn(64, 3, dtype=torch.float64)], [UPRIGHT, action_rep]
    assert_equivariant(predictor, reps, UPRIGHT, group, inputs, tolerance=1e-12)
    for other in ("so3", f"o2{'xyz'[axis]}"):
        with pytest.raises(AssertionError, match="relative residual"):
            assert_equivariant(predictor, reps, UPRIGHT, other, inputs, tolerance=1e-9)
    axes = predictor.frame(latent).axes
    assert torch.allclose(axes[:, axis, axis], torch.ones(64, dtype=torch.float64))
    seen = (axes.mT @ latent[:, 6:9, None])[..., 0]
    assert float(seen.roll(-axis - 1, 1)[:, 1].abs().max()) <= EXACT  # the vector's heading is the frame's first axis
    latent[:, 6:9] = torch.nn.functional.one_hot(torch.tensor(axis), 3).double()
    assert float(predictor.frame(latent).certainty.max()) == 0.0
    with pytest.raises(AssertionError, match="relative residual"):
        assert_equivariant(predictor, reps, UPRIGHT, group, inputs, tolerance=1e-9)


@pytest.mark.parametrize(
    ("frame", "said"),
    [("[]", "expected one vector"), ("[7]", "channel 7 is no vector"), ("[99]", "channel 99 is no vector")],
)
def test_an_upright_frame_is_read_off_a_vector(frame, said):
    config = load("vn-table", None, ["model.predictor=canonical", f"model.frame={frame}"])
    with pytest.raises(ConfigError, match=said):
        build_model(config.model, UPRIGHT, vectors(1, 3), seed=0, group=Group.parse("so2z"))


def test_the_latents_first_vectors_are_the_frame_the_predictor_reads():
    rep = Rep.parse("12xp", 3)
    x = uneven(8, 12, 3)
    x = x - x.mean(1, keepdim=True)
    encoder = CanonicalEncoder(rep, vectors(6, 3), (32,), ()).double()
    latent = encoder(x).unflatten(-1, (6, 3))
    assert torch.allclose(read_frame(latent, (0, 1)).axes, read_frame(x).axes, atol=1e-9)


def test_relative_positions_carry_translations_too():
    """With `relative` a forward model's change does not know where the scene is; without it does."""
    config, world = load("canonical-2d-forward-se2"), build_world(load("canonical-2d-forward-se2").world)
    latent, action = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 2, dtype=torch.float64)
    moved = latent.unflatten(-1, (4, 2)).clone()
    moved[:, [0, 2]] += torch.tensor([0.7, -0.3], dtype=torch.float64)
    for name, blind in ((config.preset, True), ("canonical-2d-forward", False)):
        model = build_model(load(name).model, world.observation_rep, world.action_rep, seed=0, dtype=torch.float64)
        change = model.predictor.change(latent, action) - model.predictor.change(moved.flatten(1), action)
        assert (float(change.detach().abs().max()) <= EXACT) == blind


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["model.frame=[7]"], "the channels 0 to 3"),
        (["model.frame=[0,1]"], "expected 1 channels in d = 2"),
        (["model.relative=[2,2]"], "model.relative"),
    ],
)
def test_channels_that_there_are_not_are_refused(assignments, said):
    config = load("canonical-2d-forward", None, assignments)
    world = build_world(config.world)
    with pytest.raises(ConfigError, match=said):
        build_model(config.model, world.observation_rep, world.action_rep, seed=0)


def test_scalars_and_too_small_latents_are_refused():
    with pytest.raises(RepError, match="at least a vector"):
        CanonicalEncoder(vectors(4, 3), vectors(2, 3), (8,), ())
    with pytest.raises(RepError, match="maps vectors to vectors"):
        CanonicalEncoder(Rep.parse("2x0e+2x1o", 3), vectors(6, 3), (8,), ())


BESIDE = {
    "vn-2d-forward": (
        "mlp-2d-forward",
        "augmented-2d-forward",
        "canonical-2d-forward",
        "canonical-2d-forward-se2",
        "frame-2d-forward",
        "soft-2d-forward",
    ),
    "vn-2d": ("plain-2d", "augmented-2d", "canonical-2d", "frame-2d", "soft-2d"),
    "vn-3d": ("plain-3d", "augmented-3d", "canonical-3d", "soft-3d"),
    "vn-ring": ("mlp-ring",),
}


@pytest.mark.parametrize(("preset", "baseline"), [(name, each) for name, all in BESIDE.items() for each in all])
def test_a_baseline_differs_in_class_alone(preset, baseline):
    """The same world, data, objective, optimiser and epochs; what makes the class is the model, or augmentation."""
    ours, theirs = load(preset), load(baseline)
    assert theirs.world == ours.world
    own = {"augment": True} if baseline.startswith("augmented") else {}
    assert theirs.training == dataclasses.replace(ours.training, **own)
    if ours.training.objective == "jepa":
        assert theirs.model.latent == ours.model.latent


def toy(n: int = 64) -> Transitions:
    observation = torch.randn(n, 4, 2)
    action = torch.randn(n, 2)
    return Transitions(observation, action, observation + 0.1 * action[:, None], torch.arange(n))


def fitted(preset: str, *assignments: str, group=SO2, seed: int = 0) -> Fit:
    config = load(preset, None, ["training.transitions=64", "training.batch=32", "training.epochs=4", *assignments])
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0)
    return Fit(config.training, model, toy(), seed=seed, group=group)


def test_augmentation_turns_every_row_by_an_element_of_its_own_anew_each_epoch():
    torch.manual_seed(1)
    fit = fitted("augmented-2d-forward")
    every = torch.arange(len(fit.data))
    first, action, following = fit.batch(every, fit.turns())
    (before, before_action, after), d = fit.columns, 2
    for i in (0, 17):
        turn = torch.linalg.lstsq(before[i], first[i]).solution.mT  # row vectors
        assert torch.allclose(turn @ turn.mT, torch.eye(d), atol=1e-4)
        assert torch.allclose(before_action[i] @ turn.mT, action[i], atol=1e-4)
        assert torch.allclose(after[i] @ turn.mT, following[i], atol=1e-4)
    assert torch.equal(fit.batch(every, fit.turns())[0], first)  # of this epoch
    fit.run_epoch()
    assert not torch.allclose(fit.batch(every, fit.turns())[0], first, atol=1e-2)


@pytest.mark.parametrize("inside", ["model.relative=[2,0]", "model.normalise=true"])
def test_a_free_path_inside_another_predictor_is_refused(inside):
    """Its penalty would be left out in silence, and a soft model be as free as an ordinary one."""
    config = load("soft-2d-forward", None, [inside])
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0, group=world.group)
    with pytest.raises(ConfigError, match=r"its penalty does not reach .* expected model.relative=\[\]"):
        Fit(config.training, model, toy(), seed=0)


def test_an_augmented_training_goes_on_to_the_same_weights():
    torch.manual_seed(1)
    whole = fitted("augmented-2d-forward")
    torch.manual_seed(1)
    part = fitted("augmented-2d-forward")
    for _ in range(2):
        whole.run_epoch()
        part.run_epoch()
    torch.manual_seed(1)
    again = fitted("augmented-2d-forward")
    again.load_state_dict(part.state_dict())
    whole.run_epoch()
    again.run_epoch()
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_augmentation_is_refused_where_it_is_wrong():
    broken = build_world(load("vn-3d", None, ["world.breaking=0.3"]).world)
    with pytest.raises(ConfigError, match="does not carry SE"):
        check_augmentation(load("augmented-3d").training, broken)
    with pytest.raises(ConfigError, match="no group"):
        fitted("augmented-2d-forward", group=None)


def test_the_price_of_the_free_path_is_in_the_loss():
    for preset, objective in (("soft-2d-forward", SoftForward), ("soft-2d", SoftJEPA)):
        torch.manual_seed(2)
        cheap, dear = fitted(preset, "training.softness=0"), fitted(preset, "training.softness=10")
        assert isinstance(dear.objective, objective)
        torch.manual_seed(2)
        costs = [float(each.objective(each.model, *toy_columns()).total.detach()) for each in (cheap, dear)]
        assert costs[1] > costs[0] + 1e-3


def toy_columns() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    data = toy()
    return data.observation, data.action, data.next_observation


def test_a_soft_predictor_is_not_trained_on_sequences():
    config = load("soft-2d", None, ["training.transitions=64", "training.batch=4", "training.horizon=4"])
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0)
    data = Sequences(torch.randn(16, 5, 4, 2), torch.randn(16, 4, 2), torch.arange(16))
    with pytest.raises(ConfigError, match=r"training\.horizon=1"):
        Fit(config.training, model, data, seed=0)


def test_the_rings_symmetry_and_what_of_a_frame_it_shows():
    """SE(2) to rounding; clear axes are far from degenerate, a bare ring's turn by tens of degrees for 1% of noise."""
    turns = {}
    for name in ("vn-ring", "vn-ring-clear", "vn-ring-noise"):
        world = build_world(load(name).world)
        assert world.symmetry_residual(20, 5).worst["free"] <= EXACT
        x = world.transitions(400, seed=0).observation
        x = x - x.mean(-2, keepdim=True)
        noise = 0.01 * torch.from_numpy(np.random.default_rng(0).normal(size=x.shape))
        pairs = read_frame(x).axes.mT @ read_frame(x + noise).axes
        turns[name] = float(torch.atan2(pairs[:, 1, 0], pairs[:, 0, 0]).abs().rad2deg().quantile(0.9))
    assert turns["vn-ring-clear"] <= 3.0
    assert turns["vn-ring"] >= 20.0


def test_a_noisy_ring_is_the_same_at_every_orientation():
    world = build_world(load("vn-ring-noise").world)
    seen, unseen = (world.transitions(50, seed=3, orientations=side) for side in ("seen", "unseen"))
    lengths = [(part.observation - part.observation.mean(-2, keepdim=True)).square().sum(-1) for part in (seen, unseen)]
    assert torch.allclose(*lengths, atol=1e-9)
    stepped = world.step(seen.observation, seen.action)
    assert float((stepped - seen.next_observation).abs().max()) > 0.01  # what is observed is off
