"""Degree 2: cross products, what they add to the class, and what they cost in symmetry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from equiwm.audit.residual import check_equivariance
from equiwm.errors import RepError
from equiwm.models.cross import CrossVNPredictor
from equiwm.models.vector_neurons import VNPredictor
from equiwm.nn.layer import Layer, to_channels_last, to_flat
from equiwm.nn.linear import VNLinear
from equiwm.nn.products import CrossProduct
from equiwm.symmetry.reps import Rep, vectors
from equiwm.testing import assert_equivariant
from equiwm.training.optimizers import build_optimizer

EXACT = 1e-12
LATENT, ACTION = vectors(6, 3), vectors(2, 3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def predictor(products: int = 8, *, moved: bool = True) -> CrossVNPredictor:
    built = CrossVNPredictor(LATENT, ACTION, (16,), products).double()
    if moved:  # the products start at zero
        torch.nn.init.normal_(built.products.layers[1].weight, std=0.3)
    return built


def flat(layer: Layer):
    return lambda x: to_flat(layer(to_channels_last(x, 3)))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


class ElementwiseProduct(CrossProduct):
    """Hadamard's product where there should be a cross product."""

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) * self.right(x)


def test_cross_products_carry_rotations_and_not_reflections():
    layer = CrossProduct(LATENT, vectors(5, 3)).double()
    assert layer.equivariant
    x = normal(64, 18)
    assert_equivariant(flat(layer), [LATENT], layer.out_rep, "so3", [x], tolerance=EXACT)
    assert check_equivariance(flat(layer), [LATENT], layer.out_rep, "o3", [x]).relative >= 1.0
    # As what they are, pseudovectors, they do carry reflections.
    assert_equivariant(flat(layer), [LATENT], Rep.parse("5x1e", 3), "o3", [x], tolerance=EXACT)


def test_the_check_catches_another_product():
    layer = ElementwiseProduct(LATENT, vectors(5, 3)).double()
    with pytest.raises(AssertionError, match="relative residual"):
        assert_equivariant(flat(layer), [LATENT], layer.out_rep, "so3", [normal(64, 18)], tolerance=EXACT)


def test_cross_products_are_the_equation():
    layer, x = CrossProduct(vectors(4, 3), vectors(3, 3)).double(), normal(5, 3, 4)
    for c in range(3):
        left, right = x @ layer.left.weight[c], x @ layer.right.weight[c]
        assert torch.allclose(layer(x)[..., c], torch.linalg.cross(left, right), atol=1e-14)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))


def test_the_predictor_carries_rotations_and_not_reflections():
    built, inputs = predictor(), [normal(64, 18), normal(64, 6)]
    assert_equivariant(built, [LATENT, ACTION], LATENT, "so3", inputs, tolerance=EXACT)
    assert check_equivariance(built, [LATENT, ACTION], LATENT, "o3", inputs).relative >= 0.05
    assert built.equivariant


def test_training_starts_from_the_predictor_of_degree_one():
    built, plain = predictor(moved=False), VNPredictor(LATENT, ACTION, (16,), "real").double()
    plain.network.load_state_dict(built.network.state_dict())
    z, a = normal(8, 18), normal(8, 6)
    assert torch.equal(built(z, a), plain(z, a))
    built(z, a).square().sum().backward()
    assert built.products.layers[1].weight.grad.abs().max() > 0  # and can leave it


def test_actions_come_flat_or_structured():
    built, z, a = predictor(), normal(8, 18), normal(8, 2, 3)
    assert torch.equal(built(z, a), built(z, a.flatten(1)))
    single = CrossVNPredictor(LATENT, vectors(1, 3), (8,), 4).double()
    assert single(z, a[:, 0]).shape == z.shape


def test_the_torque_is_in_the_class():
    """f(z, a) = z + 0.15 tau x z exactly, by weights; from one vector degree 1 can leave nothing across it."""
    built = CrossVNPredictor(LATENT, ACTION, (8,), 6).double()
    cross, mix = built.products.layers
    assert isinstance(cross, CrossProduct)
    assert isinstance(mix, VNLinear)
    with torch.no_grad():
        built.network.layers[-1].weight.zero_()
        cross.left.weight.zero_()[:, 7] = 0.15  # the second action, the torque
        cross.right.weight.zero_()[:, :6] = torch.eye(6)
        mix.weight.copy_(torch.eye(6))
    z, a = normal(16, 6, 3), normal(16, 2, 3)
    expected = z + 0.15 * torch.linalg.cross(a[:, 1:].expand_as(z), z)
    assert torch.allclose(built(z.flatten(1), a).unflatten(1, (6, 3)), expected, atol=1e-14)

    z, a = normal(64, 3), normal(64, 3)
    plain = VNPredictor(vectors(1, 3), vectors(1, 3), (32, 32), "real").double()
    across = torch.linalg.cross(a, z)
    assert float(((plain(z, a) - z) * across).sum(1).detach().abs().max()) <= 1e-12


def fit(built: Layer, seed: int, lr: float) -> float:
    """Relative error on a torque after 250 Muon steps on a decaying rate."""
    generator = torch.Generator().manual_seed(seed)
    z, a = (torch.randn(256, 6 if k == 0 else 2, 3, generator=generator) for k in range(2))
    change = 0.15 * torch.linalg.cross(a[:, 1:].expand_as(z), z)
    target = (z + change).flatten(1)
    optimizers = build_optimizer("muon", built, lr=lr)
    for step in range(250):
        optimizers.set_lr_scale(1.0 - step / 250)
        loss = (built(z.flatten(1), a) - target).square().mean() / change.square().mean()
        optimizers.zero_grad()
        loss.backward()
        optimizers.step()
    return float(loss.detach())


def test_training_is_stable_and_finds_the_torque():
    for seed in range(5):
        torch.manual_seed(seed)
        assert fit(CrossVNPredictor(LATENT, ACTION, (16,), 8), seed, lr=0.05) <= 0.02
    assert fit(VNPredictor(LATENT, ACTION, (16,), "real"), 0, lr=0.05) >= 0.2


def test_refusals():
    with pytest.raises(RepError, match="d = 3"):
        CrossProduct(vectors(2, 2), vectors(2, 2))
    with pytest.raises(RepError, match="vectors"):
        CrossProduct(Rep.parse("2xp", 3), vectors(2, 3))
    with pytest.raises(RepError, match="d = 3"):
        CrossVNPredictor(vectors(2, 2), vectors(1, 2), (4,), 2)
