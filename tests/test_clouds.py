"""Encoders of point clouds: SE(3), mixed observations, sets, scale, degenerate clouds; the 3D presets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from equiwm.audit.pooled import equivariance_residual
from equiwm.audit.residual import check_equivariance
from equiwm.config import load, parse
from equiwm.errors import ConfigError, RepError
from equiwm.models.clouds import VNCloudEncoder, VNSetEncoder, centred
from equiwm.models.factory import build_model
from equiwm.models.mlp import MLPEncoder
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.nn.linear import VNLinear
from equiwm.nn.nonlinear import VNReLU
from equiwm.symmetry.groups import SE3
from equiwm.symmetry.reps import Rep, vectors
from equiwm.testing import assert_equivariant
from equiwm.worlds.cloud.world import Cloud

EXACT = 1e-12
CLOUD, MIXED, LATENT = Rep.parse("24xp", 3), Rep.parse("13xp+3x1o", 3), vectors(8, 3)
SCATTERED = Rep.parse("2x1o+5xp+1o+2xp", 3)
ACTION = vectors(1, 3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def clouds(rep: Rep = CLOUD, n: int = 64, **options) -> Tensor:
    """Anisotropic clouds away from the origin."""
    x = torch.randn(n, rep.multiplicity, 3, dtype=torch.float64) * torch.tensor([1.0, 0.55, 0.3], dtype=torch.float64)
    return (x + torch.tensor([2.0, -1.0, 0.5])).to(**options)


ENCODERS = {
    "fixed order": lambda rep: VNCloudEncoder(rep, LATENT, (16, 16), "real", skip=False),
    "skip": lambda rep: VNCloudEncoder(rep, LATENT, (16,), "real", skip=True),
    "linear": lambda rep: VNCloudEncoder(rep, LATENT, (), "real", skip=False),
    "set": lambda rep: VNSetEncoder(rep, LATENT, (16, 16), "real"),
    "set, one layer": lambda rep: VNSetEncoder(rep, LATENT, (16,), "real"),
}


class Uncentred(VNCloudEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return self.network(observation)


class CentredOnAll(VNCloudEncoder):
    """Takes the mean over points and vectors together."""

    def forward(self, observation: Tensor) -> Tensor:
        return self.network(observation - observation.mean(-2, keepdim=True))


class LabAxis(VNSetEncoder):
    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation * observation.new_tensor([1.0, 1.0, 1.0 + 1e-9]))


BROKEN = {
    "uncentred": lambda: Uncentred(CLOUD, LATENT, (16,), "real", skip=False),
    "vectors in the mean": lambda: CentredOnAll(MIXED, LATENT, (16,), "real", skip=False),
    "lab axis": lambda: LabAxis(MIXED, LATENT, (16,), "real"),
    "centred MLP": lambda: MLPEncoder(CLOUD, LATENT, (16,), centre=True),
}


# Equivariance


@pytest.mark.parametrize("rep", [CLOUD, MIXED, SCATTERED], ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_carry_se3_and_reflections(name, rep):
    encoder = ENCODERS[name](rep).double()
    assert encoder.equivariant
    for group in ("se3", "o3"):
        assert_equivariant(encoder, [rep], LATENT, group, [clouds(rep)], tolerance=EXACT, elements=16)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_encoders_are_caught(name):
    encoder = BROKEN[name]().double()
    with pytest.raises(AssertionError, match="relative residual"):
        assert_equivariant(
            encoder, [encoder.in_rep], LATENT, "se3", [clouds(encoder.in_rep)], tolerance=EXACT, elements=16
        )


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_in_the_plane(name):
    rep, latent = Rep.parse("6xp+2x1o", 2), vectors(4, 2)
    kind = VNSetEncoder if name.startswith("set") else VNCloudEncoder
    options = {} if name.startswith("set") else {"skip": True}
    encoder = kind(rep, latent, (8,), "complex", **options).double()
    x = torch.randn(32, 8, 2, dtype=torch.float64)
    assert_equivariant(encoder, [rep], latent, "se2", [x], tolerance=EXACT, elements=16)


def test_large_translations_cost_no_more_than_the_rounding_of_the_points():
    x = Cloud().transitions(64, seed=5).observation.float()
    for name, build in ENCODERS.items():
        found = check_equivariance(build(CLOUD), [CLOUD], LATENT, "se3", [x], elements=16, sigma=10.0)
        assert found.relative <= 2e-5, name


# Centring


def test_centring_takes_the_mean_off_the_points_and_leaves_vectors():
    x = clouds(SCATTERED)
    got = centred(x, SCATTERED)
    is_point = torch.tensor([False, False, True, True, True, True, True, False, True, True])
    assert torch.equal(got[:, ~is_point], x[:, ~is_point])
    assert torch.allclose(got[:, is_point], x[:, is_point] - x[:, is_point].mean(1, keepdim=True), atol=1e-15)
    assert centred(x, vectors(10, 3)) is x


def test_a_centred_mlp_is_invariant_to_translations_alone():
    encoder = MLPEncoder(CLOUD, LATENT, (16,), centre=True).double()
    x, shift = clouds(), torch.tensor([10.0, -8.0, 6.0])
    assert torch.allclose(encoder(x + shift), encoder(x), atol=1e-12)
    assert not torch.allclose(MLPEncoder(CLOUD, LATENT, (16,)).double()(x + shift), encoder(x), atol=1e-2)


# Sets and invariants


@pytest.mark.parametrize("rep", [CLOUD, MIXED], ids=str)
def test_sets_have_no_order_and_fixed_orders_do(rep):
    x, points = clouds(rep), rep.terms[0][0]
    shuffled = torch.cat([x[:, torch.randperm(points)], x[:, points:]], 1)
    for name, build in ENCODERS.items():
        encoder = build(rep).double()
        assert torch.allclose(encoder(shuffled), encoder(x), atol=1e-12) == name.startswith("set"), name


@pytest.mark.parametrize("name", ENCODERS)
def test_scale_is_kept_as_length(name):
    """E(c x) = c E(x): what was not normalised away is in the latent."""
    encoder, x = ENCODERS[name](CLOUD).double(), clouds()
    # Up to the eps of VN-ReLU, a squared length of 1e-12: felt where <q, q> is small itself.
    assert torch.allclose(encoder(2.5 * x), 2.5 * encoder(x), atol=1e-6)
    assert not torch.allclose(encoder(2.5 * x), encoder(x), atol=1e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_cloud_without_extent_is_encoded_with_finite_gradient(name):
    encoder = ENCODERS[name](MIXED)
    x = torch.ones(4, 16, 3)
    x[:, 13:] = torch.randn(4, 3, 3)
    x.requires_grad_()
    encoder(x).square().sum().backward()
    assert torch.isfinite(encoder(x)).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_set_features_are_the_equation():
    """At one sample and point by point, through a linear network that passes a single feature."""
    x = clouds(CLOUD, 1)[0]
    x = x - x.mean(0)
    size = x.square().sum(1).mean()
    moment = sum(torch.outer(p, p) for p in x) / len(x) / size
    expected = [x.mean(0), (x @ moment).mean(0), (x @ moment @ moment).mean(0)]
    expected.append((x * x.square().sum(1, keepdim=True) / size).mean(0))
    encoder = VNSetEncoder(CLOUD, vectors(4, 3), (), "real").double()
    linear = encoder.network.layers[0]
    assert isinstance(linear, VNLinear)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(4))
    assert torch.allclose(encoder(x[None])[0], torch.cat(expected), atol=1e-14)


# Refusals


def test_encoders_refuse_what_is_no_point_or_vector():
    for rep in ("4x0e+8xp", "8xp+1x1e"):
        for build in ENCODERS.values():
            with pytest.raises(RepError):
                build(Rep.parse(rep, 3))
    with pytest.raises(RepError, match="holds none"):
        VNSetEncoder(vectors(4, 3), LATENT, (8,), "real")
    with pytest.raises(RepError, match="no points"):
        WorldModel(*[_Passes(CLOUD)] * 2, ACTION)


class _Passes(Layer):
    def __init__(self, rep: Rep) -> None:
        super().__init__(rep, rep, "flat")


def test_a_cloud_with_another_number_of_points_is_refused():
    model = build_model(load("vn-3d").model, CLOUD, ACTION, seed=0)
    with pytest.raises(RepError, match=r"24, 3\).*23, 3\)"):
        model.encode(torch.randn(2, 23, 3))


# The nonlinearity by hand


@pytest.mark.parametrize("d", [2, 3])
def test_the_gradient_of_vn_relu_by_hand(d):
    relu = VNReLU(VNLinear(vectors(6, d), vectors(6, d))).double()
    x = torch.randn(4, d, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(relu, (x,))


def test_vn_relu_by_hand_is_autograds():
    relu = VNReLU(VNLinear(vectors(6, 3), vectors(6, 3))).double()

    def reference(x: Tensor) -> Tensor:
        q = relu.direction(x)
        return x - (x * q).sum(-2, keepdim=True).clamp(max=0.0) / ((q * q).sum(-2, keepdim=True) + relu.eps) * q

    x = torch.randn(32, 3, 6, dtype=torch.float64, requires_grad=True)
    weight, gradient = relu.direction.weight, torch.randn(32, 3, 6, dtype=torch.float64)
    ours = torch.autograd.grad(relu(x), (x, weight), gradient)
    theirs = torch.autograd.grad(reference(x), (x, weight), gradient)
    assert torch.allclose(relu(x), reference(x), atol=1e-14)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


# Presets


PARAMETERS = {
    "vn-3d": 17_776,
    "vn-3d-paper": 16_704,
    "mlp-3d": 124_512,
    "mlp-3d-centred": 124_512,
    "mlp-3d-linear": 110_032,
    "frame-3d": 124_512,
}


def preset_model(name: str, dtype: torch.dtype = torch.float32) -> WorldModel:
    return build_model(load(name).model, CLOUD, ACTION, seed=0, dtype=dtype)


@pytest.mark.parametrize("name", PARAMETERS)
def test_presets_are_what_they_say(name):
    """Sizes, and the residual of the model as it comes and after a step away from its initial weights."""
    data = Cloud().transitions(64, seed=3)
    single = 1e-5 if name == "frame-3d" else 2e-6
    for dtype, bound in ((torch.float64, EXACT), (torch.float32, single)):
        model = preset_model(name, dtype)
        assert model.parameter_count == PARAMETERS[name]
        with torch.no_grad():
            for parameter in model.parameters():  # products start at zero
                parameter.add_(0.02 * torch.randn_like(parameter))
        part = data.to(dtype, "cpu")
        found = equivariance_residual(
            model, [CLOUD, ACTION], model.latent_rep, SE3.sample(16, 1000), [part.observation, part.action]
        )
        assert model.equivariant == (not name.startswith("mlp"))
        if model.equivariant:
            assert found.relative <= bound
        else:
            assert found.relative >= 1e-2


def test_presets_name_their_baseline():
    for name in ("vn-3d", "vn-3d-paper", "e3nn-3d", "frame-3d", "mlp-3d-centred", "mlp-3d-linear"):
        config = load(name)
        assert config.baseline == "mlp-3d"
        assert config.description
        assert parse(config.as_dict()) == config
    assert PARAMETERS["mlp-3d"] >= 7 * PARAMETERS["vn-3d"]


def test_configurations_that_do_not_fit_space():
    with pytest.raises(ConfigError, match="d = 3"):
        build_model(replace(load("vn-3d").model, weights="complex"), CLOUD, ACTION, seed=0)
    planar = replace(load("vn-2d").model, predictor="vn_cross")
    with pytest.raises(ConfigError, match="cross products need a world with d = 3"):
        build_model(planar, vectors(4, 2), vectors(1, 2), seed=0)
    with pytest.raises(ConfigError, match="predictor_products"):
        load("vn-3d", None, ["model.predictor_products=0"])
    with pytest.raises(ConfigError, match="vn_cloud"):
        load("vn-3d", None, ["model.encoder=cloud"])
