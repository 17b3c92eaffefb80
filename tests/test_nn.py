"""Layers: a battery that a new layer gets by one entry in LAYERS, and broken twins that it has to catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equiwm.audit.residual import Residual, check_equivariance
from equiwm.errors import RepError
from equiwm.nn import nonlinear
from equiwm.nn.layer import Layer, Sequential, to_channels_last, to_flat
from equiwm.nn.linear import ComplexVNLinear, DenseLinear, VNLinear
from equiwm.nn.nonlinear import DenseReLU, VNReLU
from equiwm.symmetry.groups import Group
from equiwm.symmetry.reps import Rep, vectors

EXACT = 1e-12
"""Bound on a relative residual in float64."""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@dataclass(frozen=True)
class Case:
    """A layer and the largest group it promises to carry."""

    build: Callable[[], Layer]
    group: str


LAYERS = {
    "VNLinear-2d": Case(lambda: VNLinear(vectors(5, 2), vectors(7, 2)), "o2"),
    "VNLinear-3d": Case(lambda: VNLinear(vectors(5, 3), vectors(7, 3)), "o3"),
    "VNLinear-one-channel": Case(lambda: VNLinear(vectors(1, 3), vectors(1, 3)), "o3"),
    "ComplexVNLinear": Case(lambda: ComplexVNLinear(vectors(5, 2), vectors(7, 2)), "so2"),
    "VNReLU-real-2d": Case(lambda: VNReLU(VNLinear(vectors(5, 2), vectors(5, 2))), "o2"),
    "VNReLU-real-3d": Case(lambda: VNReLU(VNLinear(vectors(5, 3), vectors(5, 3))), "o3"),
    "VNReLU-complex": Case(lambda: VNReLU(ComplexVNLinear(vectors(5, 2), vectors(5, 2))), "so2"),
    "Sequential": Case(
        lambda: Sequential(
            VNLinear(vectors(3, 3), vectors(8, 3)),
            VNReLU(VNLinear(vectors(8, 3), vectors(8, 3))),
            VNLinear(vectors(8, 3), vectors(2, 3)),
        ),
        "o3",
    ),
}


class BiasedVNLinear(VNLinear):
    def __init__(self, in_rep: Rep, out_rep: Rep) -> None:
        super().__init__(in_rep, out_rep)
        self.bias = nn.Parameter(torch.randn(in_rep.d, out_rep.multiplicity))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.bias


class WrongQuarterTurn(ComplexVNLinear):
    """J's transpose in one of its two rows: no longer a rotation."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.real.T + x.flip(-2) @ self.imaginary.T


class PlainReLU(VNReLU):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x)


class PerAxisReLU(VNReLU):
    """Compares V and K V component by component instead of by their inner product."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.direction(x)
        return x - (x * q).clamp(max=0.0) / (q.square() + self.eps) * q


class Zero(VNLinear):
    def forward(self, x: Tensor) -> Tensor:
        return 0.0 * super().forward(x)


class Rounded(VNLinear):
    """Equivariant, but for a constant that was rounded to float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float().to(x.dtype))


BROKEN = {
    "bias": Case(lambda: BiasedVNLinear(vectors(5, 2), vectors(7, 2)), "so2"),
    "quarter turn": Case(lambda: WrongQuarterTurn(vectors(5, 2), vectors(7, 2)), "so2"),
    "plain ReLU": Case(lambda: PlainReLU(VNLinear(vectors(5, 3), vectors(5, 3))), "so3"),
    "ReLU per axis": Case(lambda: PerAxisReLU(VNLinear(vectors(5, 3), vectors(5, 3))), "so3"),
    "ReLU along a biased direction": Case(lambda: VNReLU(BiasedVNLinear(vectors(5, 2), vectors(5, 2))), "so2"),
    "zero": Case(lambda: Zero(vectors(5, 2), vectors(7, 2)), "so2"),
    "rounded": Case(lambda: Rounded(vectors(5, 2), vectors(7, 2)), "so2"),
    "complex weights under reflections": Case(lambda: ComplexVNLinear(vectors(5, 2), vectors(7, 2)), "o2"),
    "complex VNReLU under reflections": Case(
        lambda: VNReLU(ComplexVNLinear(vectors(5, 2), vectors(5, 2))),
        "o2",
    ),
}
"""What the battery has to catch: a test that nothing fails tests nothing."""


def build(case: Case) -> Layer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return case.build().double()


def flat_form(layer: Layer) -> Callable[[Tensor], Tensor]:
    """The layer on flat tensors, whatever its layout: (B, dim) -> (B, dim')."""
    if layer.layout == "flat":
        return layer
    return lambda x: to_flat(layer(to_channels_last(x, layer.in_rep.d)))


def residual(layer: Layer, group: str) -> Residual:
    x = torch.randn(64, layer.in_rep.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return check_equivariance(flat_form(layer), [layer.in_rep], layer.out_rep, group, [x], elements=32)


def battery(case: Case) -> None:
    layer = build(case)
    found = residual(layer, case.group)
    assert found.output_rms > 1e-2, "the output is zero"
    assert found.output_spread > 1e-2, "the output does not depend on the input"
    assert found.relative <= EXACT


@pytest.mark.parametrize("name", LAYERS)
def test_layers_carry_their_group(name):
    battery(LAYERS[name])


@pytest.mark.parametrize("name", BROKEN)
def test_the_battery_catches_broken_layers(name):
    with pytest.raises(AssertionError):
        battery(BROKEN[name])


@pytest.mark.parametrize("name", LAYERS)
def test_any_lead_axes(name):
    layer = build(LAYERS[name])
    x = torch.randn(2, 3, layer.in_rep.d, layer.in_rep.multiplicity, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (2, 3, layer.out_rep.d, layer.out_rep.multiplicity)
    assert torch.allclose(layer(x[1, 2]), y[1, 2], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", LAYERS)
def test_weights_are_matrices_and_trained(name):
    """Muon takes 2-D real tensors only; every parameter has to get a gradient."""
    layer = build(LAYERS[name])
    layer(torch.randn(32, layer.in_rep.d, layer.in_rep.multiplicity, dtype=torch.float64)).square().mean().backward()
    assert list(layer.buffers()) == []
    for parameter in layer.parameters():
        assert parameter.ndim == 2
        assert parameter.is_floating_point()
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def test_gradcheck():
    torch.manual_seed(0)
    layer = VNReLU(ComplexVNLinear(vectors(3, 2), vectors(3, 2))).double()
    assert torch.autograd.gradcheck(layer, torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("layer", [DenseLinear(vectors(4, 2), vectors(4, 2)), DenseReLU(vectors(4, 2), norm=True)])
def test_ordinary_layers_carry_nothing_and_say_so(layer):
    assert residual(layer.double(), "so2").relative > 1e-2
    assert not layer.equivariant


def test_equivariant_is_a_property_of_all_parts():
    equivariant, ordinary = VNLinear(vectors(2, 2), vectors(2, 2)), DenseLinear(vectors(2, 2), vectors(2, 2))
    assert Sequential(equivariant, VNReLU(equivariant)).equivariant
    assert not Sequential(ordinary, ordinary).equivariant


# The maps themselves


def test_vn_linear_is_the_equation():
    layer = build(LAYERS["VNLinear-3d"])
    x = torch.randn(9, 3, 5, dtype=torch.float64)
    assert torch.allclose(layer(x), torch.einsum("oi,bdi->bdo", layer.weight, x), rtol=0, atol=1e-14)


def test_complex_linear_is_multiplication_by_a_plus_ib():
    layer = build(LAYERS["ComplexVNLinear"])
    x = torch.randn(9, 2, 5, dtype=torch.float64)
    z = torch.complex(x[:, 0], x[:, 1]) @ torch.complex(layer.real, layer.imaginary).T
    assert torch.allclose(layer(x), torch.stack([z.real, z.imag], 1), rtol=0, atol=1e-14)


def test_vn_relu_is_the_equation():
    layer = build(LAYERS["VNReLU-real-3d"])
    x = torch.randn(40, 3, 5, dtype=torch.float64)
    y, q = layer(x), layer.direction(x)
    kept = 0
    for sample in range(40):
        for channel in range(5):
            v, k = x[sample, :, channel], q[sample, :, channel]
            inner = v @ k
            expected = v if inner >= 0 else v - inner * k / (k @ k + layer.eps)
            kept += bool(inner >= 0)
            assert torch.allclose(y[sample, :, channel], expected, rtol=0, atol=1e-13)
    assert 20 < kept < 180, "both branches"
    assert bool(((y * q).sum(1) >= -1e-9).all()), "nothing is left against q"


def test_vn_relu_of_zero_is_zero_with_finite_gradient():
    layer = build(LAYERS["VNReLU-real-3d"])
    x = torch.zeros(1, 3, 5, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    assert torch.equal(layer(x), torch.zeros(1, 3, 5, dtype=torch.float64))
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


# VNReLU under torch.func


RELUS = [name for name in LAYERS if name.startswith("VNReLU")]


@pytest.mark.parametrize("name", RELUS)
def test_vn_relu_under_vmap_is_a_loop(name):
    """Over samples with shared weights, and over weights: outputs, and gradients by the derivative written by hand."""
    layer = build(LAYERS[name])
    x = torch.randn(6, 4, layer.in_rep.d, 5, dtype=torch.float64)
    weights = {key: torch.randn(6, *value.shape, dtype=torch.float64) for key, value in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,)).sin().sum()

    shared = {key: value.detach() for key, value in layer.named_parameters()}
    mapped = torch.func.vmap(lambda x: torch.func.functional_call(layer, shared, (x,)))(x)
    assert torch.allclose(mapped, torch.stack([layer(row) for row in x]), rtol=0, atol=1e-14)
    gradients = torch.func.vmap(torch.func.grad(loss))(weights, x)
    for index, row in enumerate(x):
        own = {key: value[index].clone().requires_grad_() for key, value in weights.items()}
        loss(own, row).backward()
        for key, value in own.items():
            scale = float(value.grad.abs().max())
            assert torch.allclose(gradients[key][index], value.grad, rtol=0, atol=1e-13 * scale)


def test_vn_relu_under_vmap_has_right_derivatives_of_both_orders():
    layer = build(LAYERS["VNReLU-complex"])
    x = torch.randn(3, 4, 2, 5, dtype=torch.float64)

    def mapped(real: Tensor, imaginary: Tensor) -> Tensor:
        weights = {"direction.real": real, "direction.imaginary": imaginary}
        return torch.func.vmap(lambda x: torch.func.functional_call(layer, weights, (x,)).sum(0))(x)

    weights = tuple(parameter.detach().clone().requires_grad_() for parameter in layer.parameters())
    assert torch.autograd.gradcheck(mapped, weights)
    assert torch.autograd.gradgradcheck(mapped, weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_forms_of_vn_relu_are_equal_to_the_bit(dtype):
    """Without and under torch.func, zeros included: what a stack trains and what a single model does agree."""
    v, q = torch.randn(2, 64, 3, 5, dtype=dtype)
    v[0], q[1] = 0.0, 0.0
    v[2], q[2] = torch.eye(3, 5), torch.eye(3, 5).flip(0)  # <V, q> = 0, neither of them 0
    inputs = [(v.clone().requires_grad_(), q.clone().requires_grad_()) for _ in range(2)]
    outputs = [
        form(*pair, VNReLU.eps)
        for form, pair in zip(
            (nonlinear._HalfSpaceProjection.apply, nonlinear._half_space_projection), inputs, strict=True
        )
    ]
    assert torch.equal(*outputs)
    for output in outputs:
        output.sin().sum().backward()
    for by_hand, by_autograd in zip(*inputs, strict=True):
        bound = 1e3 * torch.finfo(dtype).eps * float(by_hand.grad.abs().max())
        assert torch.allclose(by_hand.grad, by_autograd.grad, rtol=0, atol=bound)


def test_layouts_are_inverse_and_keep_vectors_together():
    x = torch.arange(12.0).reshape(2, 6)
    assert torch.equal(to_flat(to_channels_last(x, 3)), x)
    assert torch.equal(to_channels_last(x, 3)[0, :, 1], torch.tensor([3.0, 4.0, 5.0]))


# Completeness: the layers span the commutant, no less


def commutant_dimension(rep_in: Rep, rep_out: Rep, group: Group) -> int:
    """Dimension of {M: rho_out(g) M = M rho_in(g) for all g}, from the null space over random elements."""
    g = group.sample(8, 0)
    left, right = rep_out.matrix(g).numpy(), rep_in.matrix(g).numpy()
    eye_in, eye_out = np.eye(rep_in.dim), np.eye(rep_out.dim)
    rows = [np.kron(left[i], eye_in) - np.kron(eye_out, right[i].T) for i in range(len(g))]
    singular = np.linalg.svd(np.concatenate(rows), compute_uv=False)
    return int((singular < 1e-9).sum())


def span(layer: Layer) -> Tensor:
    """The layer's matrix for each unit setting of its weights, flattened: (parameters, dim' dim)."""
    parameters = list(layer.parameters())
    basis = torch.eye(layer.in_rep.dim, dtype=torch.float64)
    rows = []
    for parameter in parameters:
        for index in range(parameter.numel()):
            with torch.no_grad():
                for other in parameters:
                    other.zero_()
                parameter.view(-1)[index] = 1.0
                rows.append(flat_form(layer)(basis).T.flatten())
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("layer", "group", "dimension"),
    [
        (ComplexVNLinear(vectors(3, 2), vectors(4, 2)), "so2", 2 * 3 * 4),
        (VNLinear(vectors(3, 2), vectors(4, 2)), "o2", 3 * 4),
        (VNLinear(vectors(3, 3), vectors(4, 3)), "so3", 3 * 4),
        (VNLinear(vectors(3, 3), vectors(4, 3)), "o3", 3 * 4),
    ],
)
def test_linear_layers_are_complete(layer, group, dimension):
    layer = layer.double()
    assert commutant_dimension(layer.in_rep, layer.out_rep, Group.parse(group)) == dimension
    assert int(torch.linalg.matrix_rank(span(layer))) == dimension


def test_real_weights_miss_half_of_the_commutant_of_so2():
    layer = VNLinear(vectors(3, 2), vectors(4, 2)).double()
    assert commutant_dimension(layer.in_rep, layer.out_rep, Group.parse("so2")) == 2 * len(span(layer))


# Construction


@pytest.mark.parametrize("linear", [VNLinear, ComplexVNLinear])
@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (Rep.parse("2x0e+3x1o", 2), vectors(3, 2), "2x0e+3x1o"),
        (vectors(3, 2), Rep.parse("3xp", 2), "3xp"),
        (Rep.parse("3x1e", 2), vectors(3, 2), "3x1e"),
        (vectors(3, 2), vectors(3, 3), "[2, 3]"),
    ],
)
def test_linear_layers_take_vectors_of_one_dimension(linear, first, second, names):
    with pytest.raises(RepError) as error:
        linear(first, second)
    assert names in str(error.value)
    assert linear.__name__ in str(error.value)


def test_complex_weights_need_the_plane():
    with pytest.raises(RepError, match=r"d = 2.*3x1o with d = 3"):
        ComplexVNLinear(vectors(3, 3), vectors(3, 3))


def test_vn_relu_needs_a_direction_for_every_vector():
    with pytest.raises(RepError, match="4x1o to 5x1o"):
        VNReLU(VNLinear(vectors(4, 2), vectors(5, 2)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (VNLinear(vectors(4, 2), vectors(5, 2)), VNLinear(vectors(6, 2), vectors(5, 2))),
        (VNLinear(vectors(4, 2), vectors(5, 2)), VNLinear(vectors(5, 3), vectors(5, 3))),
        (VNLinear(vectors(4, 2), vectors(5, 2)), DenseLinear(vectors(5, 2), vectors(5, 2))),
    ],
)
def test_neighbours_that_do_not_fit_are_refused_by_both_names(left, right):
    with pytest.raises(RepError) as error:
        Sequential(left, right)
    text = str(error.value)
    assert "\n" not in text
    for layer, rep in ((left, left.out_rep), (right, right.in_rep)):
        assert f"{type(layer).__name__} " in text
        assert f"{rep} ({layer.layout}, d = {rep.d})" in text


def test_an_empty_sequence_is_refused():
    with pytest.raises(RepError, match="at least one layer"):
        Sequential()


def test_layers_print_their_reps():
    assert "4x1o -> 5x1o" in repr(VNLinear(vectors(4, 2), vectors(5, 2)))
