"""Faults that people met in networks of their own: what an audit has to say of each kind, in float32 and float64.

Every kind has a small network of ours. Passes that hid a break, failures of what is exact, and models that have to be
left as they were found.
"""

from __future__ import annotations

import dataclasses
import random
import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from zoo.case import built, drawn
from zoo.clouds import Framed, Messages, Potential
from zoo.graphs import GraphNetwork, edges, periodic
from zoo.odd import BatchNormed, Dropped, norms, swirl
from zoo.vectors import Stress, VectorNeurons

from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult
from equiwm.audit.typed import Typed
from equiwm.errors import DataError, RepError
from equiwm.testing import assert_equivariant

NOT = ("approximate", "broken")
ELEMENTS = 24


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> torch.dtype:
    return getattr(torch, request.param)


def said(probe: Probe, **settings: int) -> AuditResult:
    return audit(probe, elements=settings.pop("elements", ELEMENTS), **settings)


def leaf(result: AuditResult, name: str) -> str:
    """The verdict on one output."""
    return next(each.verdict for each in result.leaves if each.name == name)


def causes(result: AuditResult) -> set[str]:
    return {each.name for each in result.causes}


def findings(result: AuditResult) -> set[str]:
    return {each.name for each in result.findings}


def of_vectors(model, x: Tensor, gives="4x1o", group: str = "so3") -> Probe:
    return Probe(model, x, group, "4x1o", gives)


# A break that a pooled number hides


class LabDipoles(nn.Module):
    """Molecular dipoles as pairs of charges along x, y and z, beside a large constant energy."""

    def __init__(self, offset: float, step: float) -> None:
        super().__init__()
        self.offset, self.step = offset, step

    def forward(self, p: Tensor) -> Tensor:
        others = 1 - torch.eye(p.shape[-2], dtype=p.dtype)
        offset = p[:, :, None] - p[:, None]
        dipole = ((others * torch.exp(-offset.square().sum(-1) / 4))[..., None] * offset).sum(2)
        energy = torch.zeros(len(p), dtype=p.dtype)
        for axis in torch.eye(3, dtype=p.dtype):
            for sign in (1.0, -1.0):
                gap = (p[:, :, None] + sign * self.step * axis - p[:, None]).square().sum(-1) + 0.4
                energy = energy + (sign * (dipole @ axis)[..., None] * others / gap.sqrt()).sum((1, 2)) / self.step
        return energy[:, None] + self.offset


def test_finite_differences_along_fixed_axes_beside_a_large_energy(dtype):
    model = LabDipoles(-15_000.0, 0.1)
    assert said(Probe(model, 1.5 * drawn(48, 4, 3, dtype=dtype), "so3", "4xp", "0e")).verdict in NOT


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 5e4])
def test_a_constant_does_not_hide_an_ordinary_network(dtype, offset):
    net = built(nn.Sequential, nn.Linear(12, 24), nn.SiLU(), nn.Linear(24, 1), dtype=dtype)
    result = said(of_vectors(lambda v: net(v.flatten(1)) + offset, drawn(64, 4, 3, dtype=dtype), "0e"))
    assert result.verdict == "broken", result.sentence


@pytest.mark.parametrize(("scale", "far"), [(1.0, 0.0), (1e-3, 0.0), (3e-5, 0.0), (1e-3, 100.0), (1e-6, 0.0)])
def test_the_identity_does_not_hide_an_update(dtype, scale, far):
    net = built(nn.Sequential, nn.Linear(18, 32), nn.SiLU(), nn.Linear(32, 18), dtype=dtype)

    def model(p: Tensor) -> Tensor:
        return p + scale * net((p - p.mean(1, keepdim=True)).flatten(1)).unflatten(1, (6, 3))

    result = said(Probe(model, drawn(64, 6, 3, dtype=dtype) + far, "se3", "6xp", "6xp"))
    assert result.verdict == "broken", result.sentence


def test_a_velocity_that_is_clamped_is_seen_through_a_short_time_step(dtype):
    def step(x: Tensor, v: Tensor) -> Tensor:
        return x + 1e-6 * (v.clamp(-0.5, 0.5) + torch.tensor([0.1, 0.0, 0.0], dtype=v.dtype))

    x, v = drawn(64, 4, 3, dtype=dtype), drawn(64, 4, 3, dtype=dtype, seed=1)
    assert said(Probe(step, (x, v), "so3", ("4xp", "4x1o"), "4xp", call="*")).verdict == "broken"


def test_forces_clamped_beside_an_energy_of_1e5(dtype):
    def both(v: Tensor) -> Tensor:
        return torch.cat([v.square().sum((1, 2))[:, None] - 1e5, swirl(v).clamp(-1, 1).flatten(1)], 1)

    result = said(of_vectors(both, drawn(64, 4, 3, dtype=dtype), "1x0e+4x1o"))
    assert result.verdict == "broken"
    assert "component by component" in causes(result)


def test_one_small_channel_that_looks_along_x_beside_six_large_ones(dtype):
    def model(v: Tensor) -> Tensor:
        small = 1e-3 * v[:, :1, :1] * torch.tensor([1.0, 0.0, 0.0], dtype=v.dtype)
        return torch.cat([1e3 * torch.cat([swirl(v), swirl(v)[:, :2]], 1), small], 1)

    result = said(of_vectors(model, drawn(64, 4, 3, dtype=dtype), "7x1o"))
    assert result.verdict == "broken"
    assert result.leaves[0].channel == "1o #6"
    assert {"an axis of the laboratory", "a small part"} <= causes(result)


def test_points_near_1000_that_drift_along_x(dtype):
    def model(p: Tensor) -> Tensor:
        return p + torch.tensor([3e-3, 0.0, 0.0], dtype=p.dtype)

    assert said(Probe(model, drawn(64, 6, 3, dtype=dtype) + 1000, "se3", "6xp", "6xp")).verdict == "broken"


def test_one_broken_force_and_one_broken_channel_of_64(dtype):
    def forces(p: Tensor) -> Tensor:
        offset = p[:, :, None] - p[:, None]
        weight = torch.exp(-offset.square().sum(-1))
        force = 2e-3 * (weight[..., None] * offset).sum(2) * torch.tensor([1.0, 1.0, 1.2], dtype=p.dtype)
        return torch.cat([-1e3 - weight.sum((1, 2))[:, None], force.flatten(1)], 1)

    assert said(Probe(forces, drawn(64, 5, 3, dtype=dtype), "so3", "5xp", "0e+5x1o")).verdict == "broken"

    def channels(v: Tensor) -> Tensor:
        scale = torch.ones(64, 3, dtype=v.dtype)
        scale[9] = 1e-5 * torch.tensor([1.0, 1.0, 2.0])
        return v * scale

    result = said(Probe(channels, drawn(64, 64, 3, dtype=dtype), "so3", "64x1o", "64x1o"))
    assert (result.verdict, result.leaves[0].broken, result.leaves[0].channel) == ("broken", 1, "1o #9")


# Nothing, and what depends on the data


def test_forces_that_are_exactly_zero(dtype):
    def model(p: Tensor) -> dict[str, Tensor]:
        return {"energy": torch.exp(-torch.cdist(p, p)).sum((1, 2))[:, None], "forces": torch.zeros_like(p)}

    result = said(Probe(model, drawn(32, 5, 3, dtype=dtype), "se3", "5xp", {"energy": "0e", "forces": "5x1o"}))
    assert (result.verdict, leaf(result, "energy"), leaf(result, "forces")) == ("vacuous", "exact", "vacuous")


@pytest.mark.parametrize("eps", [1e-6, 1e-3])
@pytest.mark.parametrize("flat", [False, True])
def test_a_whitening_whose_regulariser_knows_the_axes(dtype, eps, flat):
    def whitened(v: Tensor) -> Tensor:
        v = v - v.mean(1, keepdim=True)
        axes = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=v.dtype))
        values, frame = torch.linalg.eigh(v.mT @ v / v.shape[1] + eps * axes)
        return v @ (frame * values.rsqrt()[:, None]) @ frame.mT

    x = drawn(64, 12, 3, dtype=dtype)
    if flat:
        x[..., 2] *= 1e-3
    assert said(Probe(whitened, x, "so3", "12x1o", "12x1o")).verdict in NOT


@pytest.mark.parametrize(("signs", "verdict"), [("moments", "exact"), ("solver", "broken")])
def test_the_handedness_of_principal_axes(dtype, signs, verdict):
    model = built(Framed, signs, dtype=dtype)
    result = said(Probe(model, drawn(96, 12, 3, dtype=dtype), "se3", "12xp", "2x0e"))
    assert result.verdict == verdict, result.sentence


@pytest.mark.parametrize(("n", "verdict"), [(6, "exact"), (40, "broken")])
def test_a_cap_on_neighbours_shows_where_the_data_reach_it(dtype, n, verdict):
    def model(p: Tensor) -> Tensor:
        order = p[..., 0].argsort(1)
        q = torch.gather(p, 1, order[..., None].expand_as(p))
        offset = q[:, :, None] - q[:, None]
        near = (offset.norm(dim=-1) < 2.0) & ~torch.eye(n, dtype=torch.bool)
        near = near & (near.cumsum(2) <= 8)
        found = (offset * (near / (1 + offset.square().sum(-1)))[..., None]).sum(2)
        return torch.empty_like(found).scatter_(1, order[..., None].expand_as(found), found)

    result = said(Probe(model, drawn(24, n, 3, dtype=dtype), "so3", f"{n}xp", f"{n}x1o"))
    assert result.verdict == verdict, result.sentence


# Precision


def tf32(a: Tensor) -> Tensor:
    """With the ten bits of mantissa that tensor cores keep."""
    return (a.float().view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


def gated(product):
    """A small network of vectors whose matrix products are the given ones."""
    one, two = drawn(12, 4, dtype=torch.float64) / 2, drawn(4, 12, dtype=torch.float64, seed=1) / 3

    def net(v: Tensor) -> Tensor:
        hidden = product(one.to(v.dtype), v)
        return product(two.to(v.dtype), hidden * torch.sigmoid(norms(hidden))).to(v.dtype)

    return net


@pytest.mark.parametrize(
    ("inside", "verdict"),
    [
        (lambda a, b: a @ b, "exact"),
        (lambda a, b: tf32(a) @ tf32(b), "precision-limited"),
        (lambda a, b: (a.float() @ b.float()).to(b.dtype), "precision-limited"),
        (lambda a, b: (a.bfloat16() @ b.bfloat16()).to(b.dtype), "precision-limited"),
    ],
    ids=["as it comes", "tf32", "float32", "bfloat16"],
)
def test_products_of_less_precision(dtype, inside, verdict):
    result = said(of_vectors(gated(inside), drawn(64, 4, 3, dtype=dtype)))
    assert result.verdict == verdict, result.sentence
    assert (verdict == "exact") != ("computes in less inside" in causes(result))


def test_a_model_in_bfloat16():
    result = said(of_vectors(gated(lambda a, b: a @ b), drawn(64, 4, 3, dtype=torch.bfloat16)))
    assert result.verdict == "precision-limited", result.sentence


@pytest.mark.parametrize("n", [20, 40])
@pytest.mark.parametrize("far", [0.0, 100.0])
def test_distances_by_matrix_products(dtype, n, far):
    """From more than 25 points on `torch.cdist` multiplies: far from the origin digits are lost."""
    x = 8 * drawn(12, n, 3, dtype=dtype) + far
    result = said(Probe(lambda p: torch.exp(-torch.cdist(p, p) / 5).mean(2), x, "se3", f"{n}xp", f"{n}x0e"))
    assert result.verdict in ("exact", "precision-limited"), result.sentence
    if n == 20 and not far:
        assert result.verdict == "exact"
    if n == 40 and far:
        assert result.verdict == "precision-limited"


# State and chance


@pytest.mark.parametrize("training", [False, True])
def test_dropout_that_stays_on(dtype, training):
    """In train mode, and as a function that does not know of modes."""
    model = Dropped().train() if training else lambda v: v * nn.functional.dropout(torch.sigmoid(norms(v)), 0.2)
    result = said(of_vectors(model, drawn(64, 4, 3, dtype=dtype)))
    assert result.verdict == "not deterministic"
    assert ("eval()" in result.sentence) == training


def test_noise_of_1e3(dtype):
    result = said(of_vectors(lambda v: swirl(v) + 1e-3 * torch.randn_like(v), drawn(64, 4, 3, dtype=dtype)))
    assert result.verdict == "not deterministic"


def test_batch_norm_couples_samples_in_train_mode_alone(dtype):
    model = built(BatchNormed, 4, dtype=dtype)
    x = 1 + drawn(64, 4, 3, dtype=dtype)
    model.train()
    before = model.norm.running_mean.clone()
    result = said(of_vectors(model, x))
    assert result.verdict == "batch-dependent"
    assert "eval()" in result.sentence
    assert torch.equal(model.norm.running_mean, before)
    assert int(model.norm.num_batches_tracked) == 0
    assert model.training
    assert said(of_vectors(model.eval(), x)).verdict == "exact"


def test_an_argument_that_is_changed_in_place(dtype):
    def doubled(v: Tensor) -> Tensor:
        v *= 2
        return v

    def centred(p: Tensor) -> Tensor:
        p -= p.mean(1, keepdim=True)
        return p.norm(dim=-1)

    x = drawn(64, 4, 3, dtype=dtype)
    kept = x.clone()
    results = [said(of_vectors(doubled, x)), said(Probe(centred, x, "se3", "4xp", "4x0e"))]
    assert [result.verdict for result in results] == ["exact", "exact"]
    assert all("changes its inputs" in findings(result) for result in results)
    assert torch.equal(x, kept)


def test_a_mean_over_the_batch(dtype):
    def centred(over: tuple[int, ...]):
        def model(p: Tensor) -> Tensor:
            q = p - p.mean(over, keepdim=True)
            return q * torch.tanh(norms(q))

        return model

    x = drawn(32, 6, 3, dtype=dtype)
    assert said(Probe(centred((1,)), x, "se3", "6xp", "6x1o")).verdict == "exact"
    assert said(Probe(centred((0, 1)), x, "se3", "6xp", "6x1o")).verdict == "batch-dependent"


@pytest.mark.parametrize("rank", [0, 1, -1])
def test_a_rank_within_the_batch(dtype, rank):
    """What one sample holds decides for all of them, and it is seldom the first one."""

    def model(v: Tensor) -> Tensor:
        lengths = v.norm(dim=-1).amax(-1).sort(descending=True).values
        return v * (1 + 1e-2 * lengths[rank])

    assert said(of_vectors(model, drawn(32, 4, 3, dtype=dtype))).verdict == "batch-dependent"


# Exact, in forms that failed


def test_edges_closed_over(dtype):
    """The nodes of one graph: they are one structure, and no batch."""
    inner = built(GraphNetwork, dtype=dtype)
    index, numbers = edges(8), torch.tensor([1, 2, 3, 1, 2, 2, 1, 3])
    probe = Probe(lambda pos: inner(pos, numbers, index).forces, drawn(8, 3, dtype=dtype), "e3", "p", "1o")
    result = said(probe)
    assert result.verdict == "exact", result.sentence
    assert "one structure" in findings(result)


def test_a_batch_of_graphs_with_edges_closed_over(dtype):
    model = built(Messages, dtype=dtype)
    x = drawn(8, 5, 3, dtype=dtype)
    probe = Probe(lambda p: model(p[None])["points"][0], list(x), "e3", Typed("p", -1), Typed("p", -1))
    assert said(probe).verdict == "exact"


def test_a_static_shape_export(dtype):
    x = drawn(16, 4, 3, dtype=dtype)
    exported = torch.export.export(built(VectorNeurons, dtype=dtype), (x,)).module()
    result = said(of_vectors(exported, x, "3x1o", "o3"))
    assert result.verdict == "exact", result.sentence


def test_a_function_that_refuses_other_batches(dtype):
    def fixed(v: Tensor) -> Tensor:
        assert v.shape == (16, 4, 3)
        return swirl(v)

    assert said(of_vectors(fixed, drawn(16, 4, 3, dtype=dtype))).verdict == "exact"


@pytest.mark.parametrize("count", [1, 8])
def test_one_molecule(dtype, count):
    def forces(p: Tensor) -> Tensor:
        offset = p[:, :, None] - p[:, None]
        return (offset * torch.exp(-offset.square().sum(-1, keepdim=True))).sum(2)

    def energy(p: Tensor) -> Tensor:
        return torch.exp(-norms(p[:, :, None] - p[:, None])[..., 0]).sum((1, 2))[:, None]

    x = drawn(1, 6, 3, dtype=dtype).expand(count, 6, 3).clone()
    assert said(Probe(forces, x, "se3", "6xp", "6x1o")).verdict == "exact"
    assert said(Probe(energy, x, "se3", "6xp", "0e")).verdict == "exact"


def test_one_molecule_that_is_broken(dtype):
    def energy(p: Tensor) -> Tensor:
        return p.square().sum((1, 2))[:, None] + 0.1 * p[:, :1, 0]

    assert said(Probe(energy, drawn(1, 6, 3, dtype=dtype), "so3", "6x1o", "0e")).verdict in NOT


def test_forces_by_autograd_inside(dtype):
    model = built(Potential, dtype=dtype)
    result = said(Probe(model, drawn(16, 5, 3, dtype=dtype), "e3", "5xp", {"energy": "0e", "forces": "5x1o"}))
    assert result.verdict == "exact", result.sentence

    def bare(p: Tensor) -> Tensor:
        p.requires_grad_(True)
        return -torch.autograd.grad(torch.exp(-norms(p[:, :, None] - p[:, None])).sum(), p)[0]

    result = said(Probe(bare, drawn(16, 5, 3, dtype=dtype), "e3", "5xp", "5x1o"))
    assert (result.verdict, findings(result)) == ("exact", {"gradients inside"})


def test_three_points_along_the_middle_axis_are_asked_about(dtype):
    """(B, 3, N) with N = 3 reads both ways: nothing is guessed."""

    def model(p: Tensor) -> Tensor:
        q = p - p.mean(-1, keepdim=True)
        return q * q.square().sum(1, keepdim=True)

    x = drawn(32, 3, 3, dtype=dtype)
    with pytest.raises(RepError, match="axis"):
        audit(Probe(model, x, "se3", "p", "1o"))
    result = said(Probe(model, x, "se3", Typed("p", axis=1), Typed("1o", axis=1)))
    assert result.verdict == "exact", result.sentence


def test_other_counts_of_points_along_the_middle_axis(dtype):
    x = drawn(32, 3, 5, dtype=dtype)
    with pytest.raises(RepError, match="axis=1"):
        audit(Probe(lambda p: p, x, "so3", "1o", "1o"))


@pytest.mark.parametrize(("skew", "verdicts"), [(0.0, ("exact",)), (0.1, NOT)])
def test_stress(dtype, skew, verdicts):
    model = built(Stress, skew, dtype=dtype)
    assert said(Probe(model, drawn(48, 5, 3, dtype=dtype), "so3", "5xp", "1o*1o")).verdict in verdicts


@pytest.mark.parametrize("cell", ["3x1o", "same", "9x0e", "closed over"])
def test_a_cell_that_is_not_turned(dtype, cell):
    lattice = 1.6 * torch.eye(3, dtype=dtype) + 0.2 * drawn(24, 3, 3, dtype=dtype)
    x = torch.from_numpy(np.random.default_rng(1).random((24, 4, 3))).to(dtype) @ lattice
    if cell == "closed over":
        result = said(Probe(lambda p: periodic(p, lattice.to(p)), x, "se3", "4xp", "0e"))
        assert result.verdict in NOT
        return

    def model(p: Tensor, cell: Tensor) -> Tensor:
        return periodic(p, cell.reshape(-1, 3, 3))

    given = lattice.flatten(1) if cell == "9x0e" else lattice
    result = said(Probe(model, (x, given), "se3", ("4xp", cell), "0e", call="*"))
    if cell == "3x1o":
        assert result.verdict == "exact", result.sentence
    else:
        assert result.verdict in NOT
        assert causes(result) & {"an input declared the same", "a wrong rep"}, result.causes
        assert any("3x1o" in cause.text for cause in result.causes)


def test_quarter_turns_are_quarter_turns(dtype):
    """Exact under C4, broken under SO(2): the finite group is not sampled as a circle."""

    def cubed(v: Tensor) -> Tensor:
        return v.pow(3)

    x = drawn(64, 4, 2, dtype=dtype)
    assert said(Probe(cubed, x, "c4", "4x1o", "4x1o")).verdict == "exact"
    result = said(Probe(cubed, x, "so2", "4x1o", "4x1o"))
    assert result.verdict == "broken"
    assert "component by component" in causes(result)


def test_an_ordinary_module_is_localised(dtype):
    result = said(of_vectors(built(VectorNeurons, 8, "relu", dtype=dtype), drawn(64, 4, 3, dtype=dtype), "3x1o"))
    assert any("planted (Relu" in cause.text for cause in result.causes)


# The module, left as it was found


class Delicate(nn.Module):
    """Everything that a check could disturb.

    Args:
        fails_at: the call at which it raises.
        error: what it raises.
    """

    def __init__(self, fails_at: int | None = None, error: type[BaseException] = ValueError) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Linear(4, 4).eval()
        self.drop = nn.Dropout(0.1)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.called, self.fails_at, self.error = 0, fails_at, error

    def forward(self, v: Tensor) -> Tensor:
        self.called += 1
        self.calls += 1
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002  what others draw from
        torch.set_default_dtype(torch.float64)
        if self.called == self.fails_at:
            raise self.error("no more")
        return v * self.drop(self.norm(self.frozen(norms(v)[..., 0])))[..., None]


def state_of(model: nn.Module) -> dict[str, object]:
    def hooks(part: nn.Module) -> int:
        return len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)

    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "modes": [part.training for part in model.modules()],
        "hooks": [hooks(part) for part in model.modules()],
        "tensors": {name: (id(tensor), tensor.dtype, tensor.tolist()) for name, tensor in tensors.items()},
        "memory": {name: tensor.data_ptr() for name, tensor in tensors.items()},
        "learns": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [None if p.grad is None else (id(p.grad), p.grad.tolist()) for p in model.parameters()],
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), threading.active_count()),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
    }


@pytest.mark.parametrize(
    ("fails_at", "error"),
    [(None, ValueError), (1, ValueError), (2, ValueError), (9, ValueError), (40, ValueError), (40, KeyboardInterrupt)],
)
@pytest.mark.parametrize("training", [False, True])
def test_the_module_is_left_as_it_was_found(dtype, fails_at, error, training):
    model = Delicate(fails_at, error).to(dtype).train(training)
    model.frozen.eval()
    model.frozen.bias.requires_grad_(False)
    model.frozen.weight.grad = torch.ones_like(model.frozen.weight)
    x = drawn(16, 4, 3, dtype=dtype)
    kept = x.clone()
    before = state_of(model)
    try:
        said(of_vectors(model, x))
    except (Exception, KeyboardInterrupt):
        assert fails_at is not None
    after = state_of(model)
    assert torch.equal(x, kept)
    for what, value in before.items():
        assert after[what] == value, what


@pytest.mark.parametrize("fails_at", [2, 9, 40])
def test_a_model_that_raises_is_a_users_error(fails_at):
    """Whichever call it is: an error of ours to read, with the model's words."""
    model = Delicate(fails_at).eval()
    with pytest.raises(DataError, match="no more"):
        said(of_vectors(model, drawn(16, 4, 3, dtype=torch.float32)))


# Inputs that cannot be right


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_inputs_that_are_not_finite_are_named(bad):
    x = drawn(8, 4, 3, dtype=torch.float32)
    x[3, 1, 2] = bad
    with pytest.raises(DataError, match="NaN"):
        said(of_vectors(swirl, x))


def test_an_output_that_is_not_finite_is_named():
    x = drawn(8, 4, 3, dtype=torch.float32)
    x[3] = 0.0
    with pytest.raises(DataError, match="NaN"):
        said(of_vectors(lambda v: v / v.norm(dim=-1, keepdim=True), x))


def test_whole_numbers_have_no_residual():
    x = drawn(8, 4, 3, dtype=torch.float32)
    with pytest.raises(DataError, match="int64"):
        said(of_vectors(lambda v: norms(v).long(), x, "4x0e"))


@dataclasses.dataclass
class Predicted:
    energy: Tensor | str
    forces: Tensor | str


def test_the_reps_of_a_dataclass_may_stand_in_one():
    def model(p: Tensor) -> Predicted:
        offset = p[:, :, None] - p[:, None]
        weight = torch.exp(-offset.square().sum(-1))
        return Predicted(weight.sum((1, 2)), (weight[..., None] * offset).sum(2))

    result = said(Probe(model, drawn(16, 5, 3, dtype=torch.float32), "e3", "p", Predicted("0e", "1o")))
    assert (result.verdict, [each.name for each in result.leaves]) == ("exact", ["energy", "forces"])
    with pytest.raises(RepError, match="a mapping of its attributes"):
        said(Probe(model, drawn(16, 5, 3, dtype=torch.float32), "e3", "p", object()))


def test_energies_may_come_as_one_axis(dtype):
    """(B,) of one scalar each: the commonest shape of an energy."""
    x = drawn(32, 4, 3, dtype=dtype)
    result = said(of_vectors(lambda v: v.square().sum((1, 2)), x, "0e"))
    assert result.verdict == "exact", result.sentence
    assert said(of_vectors(lambda v: v[..., 0].sum(1), x, "0e")).verdict == "broken"


def test_coordinates_that_were_not_declared_are_asked_about():
    x = drawn(8, 4, 3, dtype=torch.float32)
    with pytest.raises(RepError, match="takes says nothing of cell"):
        said(Probe(lambda p, cell: p, {"p": x, "cell": x[:, :3]}, "so3", {"p": "4x1o"}, "4x1o", call="**"))


# In a test suite


def test_a_probe_is_asserted_in_the_words_of_the_audit():
    x = drawn(32, 4, 3, dtype=torch.float32)
    assert (
        assert_equivariant(of_vectors(lambda v: v * v.norm(dim=-1, keepdim=True), x), expect="exact").verdict == "exact"
    )
    broken = of_vectors(lambda v: v.clamp(-0.5, 0.5), x)
    with pytest.raises(AssertionError, match=r"(?s)BROKEN: .*cause: component by component"):
        assert_equivariant(broken, expect="approximate", elements=16)
    with pytest.raises(DataError, match="expect: got 'fine'"):
        assert_equivariant(broken, expect="fine")


def test_an_increment_that_is_rounding_alone_is_none(dtype):
    """The identity by way of angles: what is left of F(x) - x is rounding, which turns as it likes."""

    def model(v: Tensor) -> Tensor:
        r, xy = v.norm(dim=-1), v[..., :2].norm(dim=-1)
        return r[..., None] * torch.stack([xy / r * (v[..., 0] / xy), xy / r * (v[..., 1] / xy), v[..., 2] / r], -1)

    result = said(of_vectors(model, drawn(24, 4, 3, dtype=dtype)))
    assert result.verdict == "exact", result.sentence


def test_terms_in_another_order_are_named(dtype):
    def model(v: Tensor) -> Tensor:
        return torch.cat([(v * v.norm(dim=-1, keepdim=True)).flatten(1), v.norm(dim=-1)], 1)

    result = said(of_vectors(model, drawn(32, 4, 3, dtype=dtype), gives="4x0e+4x1o"))
    assert result.verdict == "broken"
    assert any("as 4x1o+4x0e" in cause.text for cause in result.causes), result.causes


def test_a_rare_break_is_cured_by_no_rep(dtype):
    """Eight elements do not hit it: under any rep it would seem to hold."""

    def near(p: Tensor) -> Tensor:
        away = p[:, :, None] - p[:, None]
        away = away - 4 * torch.round(away / 4)
        return torch.exp(-away.square().sum(-1)).sum(-1)

    result = said(Probe(near, 0.37 * drawn(64, 8, 3, dtype=dtype), "se3", "8xp", "8x0e"))
    assert result.verdict == "broken"
    assert [cause.name for cause in result.causes if "rep" in cause.name] == []


def test_a_wide_output_with_a_constant_gets_its_cause():
    """The matrix of rho(g) on 3,000 numbers, for every element, is more than is asked for."""
    bias = torch.tensor([0.3, 0.0, 0.0])

    def model(v: Tensor) -> Tensor:
        return v.repeat(1, 250, 1) + bias.to(v.dtype)

    result = said(of_vectors(model, drawn(8, 4, 3, dtype=torch.float32), "1000x1o"), elements=8)
    assert (result.verdict, result.causes[0].name) == ("broken", "a constant"), result.causes


def test_a_network_whose_weights_have_no_shape_yet():
    with pytest.raises(DataError, match="weight of the network has no shape yet"):
        of_vectors(nn.LazyLinear(3, bias=False), drawn(8, 4, 3, dtype=torch.float32))


def test_a_group_of_another_dimension_is_named():
    with pytest.raises(RepError, match=r"acts on d = 2, and these have 3 coordinates"):
        of_vectors(torch.tanh, drawn(16, 4, 3, dtype=torch.float32), group="so2")
