"""The checker: its numbers against their definitions, what it refuses, and the verdicts drawn from it."""

from __future__ import annotations

import gc
import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor

import equiwm
from equiwm.audit import judgement as judgement_module
from equiwm.audit import measure as measure_module
from equiwm.audit import pooled as pooled_module
from equiwm.audit.pooled import equivariance_residual
from equiwm.audit.residual import check_equivariance
from equiwm.audit.spread import latent_spread
from equiwm.errors import DataError, GroupError, RepError
from equiwm.symmetry.groups import GROUPS, O2, SE3, SO2, SO3, Elements
from equiwm.symmetry.reps import Rep, vectors
from equiwm.testing import assert_equivariant


def test_a_residual_is_printed_in_five_lines_and_shown_in_one():
    """It may stand at a prompt: no matrices of 64 elements."""
    told = []
    for fn in (lambda x: x, lambda x: x.clamp(-0.5, 0.5), lambda x: 0.0 * x, twist):
        residual = check_equivariance(fn, ["1o"], "1o", "so3", [normal(16, 3).float()], elements=8)
        lines = str(residual).splitlines()
        assert [line.split(":")[0] for line in lines[1:]] == ["channel", "worst", "pooled", "cause"]
        assert lines[0].startswith(residual.verdict.upper())
        assert max(map(len, lines)) <= 80
        assert len(repr(residual)) < 80
        assert str(residual.verdict) in repr(residual)
        told.append(lines[4].removeprefix("cause: "))
    assert told[0] == "nothing fails"
    assert "nothing fails" not in told[1:]


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def norm(x: Tensor) -> Tensor:
    return x.norm(dim=-1)


def twist(x: Tensor) -> Tensor:
    """Vectors that equivariance cannot make: the second component scaled."""
    return x * torch.tensor([1.0, 1.5, *[1.0] * (x.shape[-1] - 2)], dtype=x.dtype)


# Functions whose symmetry is known


EQUIVARIANT = {
    "identity": (lambda x: x, ["4x1o"], "4x1o", "so3"),
    "norms are scalars": (norm, ["4x1o"], "4x0e", "o3"),
    "cross products are pseudovectors": (lambda x: torch.cross(x[:, :1], x[:, 1:2], dim=-1), ["4x1o"], "1x1e", "o3"),
    "triple products are pseudoscalars": (
        lambda x: torch.linalg.det(x[:, :3])[:, None],
        ["4x1o"],
        "1x0o",
        "o3",
    ),
    "differences of points are vectors": (lambda x: x[:, 1:] - x[:, :1], ["4xp"], "3x1o", "se3"),
    "centroids are points": (lambda x: x.mean(1, keepdim=True), ["4xp"], "1xp", "se3"),
    "two arguments": (lambda x, y: x + y, ["4xp", "4x1o"], "4xp", "se3"),
    "scalars beside vectors": (
        lambda x: torch.cat([norm(x), x.flatten(1)], 1),
        ["4x1o"],
        "4x0e+4x1o",
        "so3",
    ),
    "an invariant constant": (lambda x: torch.ones(len(x), 1, dtype=x.dtype), ["4x1o"], "1x0e", "so3"),
}

BROKEN = {
    "a lab axis": (lambda x: x + torch.eye(3, dtype=x.dtype)[0], ["4x1o"], "4x1o", "so3"),
    "one axis scaled": (twist, ["4x1o"], "4x1o", "so3"),
    "cross products are no vectors": (lambda x: torch.cross(x[:, :1], x[:, 1:2], dim=-1), ["4x1o"], "1x1o", "o3"),
    "points are no vectors": (lambda x: x, ["4xp"], "4x1o", "se3"),
    "norms of points": (norm, ["4xp"], "4x0e", "se3"),
    "components are no scalars": (lambda x: x[:, 0], ["4x1o"], "3x0e", "so3"),
}


def inputs_of(reps: list[str], batch: int = 64) -> list[Tensor]:
    return [normal(batch, 4, 3, seed=k) for k in range(len(reps))]


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_equivariant_functions(name):
    fn, in_reps, out_rep, group = EQUIVARIANT[name]
    found = check_equivariance(fn, in_reps, out_rep, group, inputs_of(in_reps))
    assert found.relative <= 1e-13
    assert found.output_rms > 0.1
    assert len(found.elements) == len(found.per_element) == 64


@pytest.mark.parametrize("name", BROKEN)
def test_broken_functions(name):
    fn, in_reps, out_rep, group = BROKEN[name]
    found = check_equivariance(fn, in_reps, out_rep, group, inputs_of(in_reps))
    assert found.relative > 0.1
    assert found.max_abs > 0.1


def test_small_breaks_are_measured_not_missed():
    for size in (1e-3, 1e-6, 1e-9):
        found = check_equivariance(
            lambda x, size=size: x + size * twist(x), ["4x1o"], "4x1o", SO3, [normal(256, 4, 3)]
        ).relative
        assert 0.1 * size < found < size


# Definitions


def naive(fn, in_reps, out_rep, elements: Elements, inputs) -> tuple[list[float], float]:
    """RMS_x(rho(g) F(x) - F(g x)) / RMS_x(F(x)) of every g, and the largest component, one sample at a time."""
    rms = math.sqrt(float(fn(*inputs).square().mean()))
    per_element, largest = [], 0.0
    for k in range(len(elements)):
        g, total, count = elements[k], 0.0, 0
        for i in range(len(inputs[0])):
            one = [x[i : i + 1] for x in inputs]
            expected = out_rep.transform(fn(*one), g)
            got = fn(*(rep.transform(x, g) for rep, x in zip(in_reps, one, strict=True)))
            difference = (expected - got).flatten()
            total += float(difference.square().sum())
            count += len(difference)
            largest = max(largest, float(difference.abs().max()))
        per_element.append(math.sqrt(total / count) / rms)
    return per_element, largest


CASE = (
    lambda x, y: torch.cat([norm(x), (twist(x) + y[:, :2]).flatten(1)], 1),
    [Rep.parse("2xp", 3), Rep.parse("3x1o", 3)],
    Rep.parse("2x0e+2x1o", 3),
)


@pytest.mark.parametrize("rows", [1, 7, 40, 16_384])
def test_the_residual_is_its_definition_whatever_the_chunks(monkeypatch, rows):
    monkeypatch.setattr(pooled_module, "_ROWS_AT_ONCE", rows)
    fn, in_reps, out_rep = CASE
    inputs = [normal(10, 2, 3), normal(10, 3, 3, seed=1)]
    elements = SE3.sample(9, 4, sigma=2.0)
    found = equivariance_residual(fn, in_reps, out_rep, elements, inputs)
    per_element, largest = naive(fn, in_reps, out_rep, elements, inputs)
    assert found.per_element.tolist() == pytest.approx(per_element, rel=1e-12)
    assert found.relative == pytest.approx(max(per_element), rel=1e-12)
    assert found.max_abs == pytest.approx(largest, rel=1e-12)
    assert found.output_rms == pytest.approx(float(fn(*inputs).square().mean().sqrt()), rel=1e-12)
    assert found.output_spread == pytest.approx(float(fn(*inputs).std(0).mean()), rel=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(9, 40, 12), (2, 5000, 12), (1, 4096, 1)])
def test_sums_that_are_kept_are_bitwise_those_of_all_differences(monkeypatch, shape, threads):
    """The figures of all differences at once, which is what 0.1 kept, whatever the parts and the threads."""
    torch.set_num_threads(threads)
    try:
        difference, output = normal(*shape) ** 3, normal(*shape[1:], seed=1)
        rep = Rep.parse("3x0e+3x1o" if shape[-1] == 12 else "0e", 3)
        whole = difference.square().flatten(1).mean(1).sqrt() / output.square().mean().sqrt()
        terms = [difference[..., :3], difference[..., 3:]] if shape[-1] == 12 else [difference]
        worst = [float(each.square().flatten(1).mean(1).sqrt().max()) for each in terms]
        for step in (1, 2, 4, len(difference)):
            figures = pooled_module.PooledFigures(rep, output, SO3.sample(len(difference), 0))
            for start in range(0, len(difference), step):
                figures.add(difference[start : start + step])
            found = figures.result()
            assert torch.equal(found.per_element, whole)
            assert found.max_abs == float(difference.abs().max())
            scales = [
                float(each.square().mean().sqrt())
                for each in ([output[:, :3], output[:, 3:]] if len(terms) == 2 else [output])
            ]
            assert list(found.per_term.values()) == [top / scale for top, scale in zip(worst, scales, strict=True)]
        pairs = difference[..., None, :]
        by_channel = pairs.square().mean(1).sqrt()
        for most in (1, 2**10, 2**30):
            monkeypatch.setattr(measure_module, "_SQUARED_AT_ONCE", most)
            measured = object.__new__(measure_module.Measured)
            object.__setattr__(measured, "pairs", pairs)
            assert torch.equal(measured.off, by_channel)
    finally:
        torch.set_num_threads(1)


def test_branches_do_not_depend_on_how_many_channels_are_looked_at_at_once(monkeypatch):
    """A jump of a third of the pairs in channel 1 alone, and a channel that is off everywhere."""

    def jumps(x: Tensor) -> Tensor:
        y = x.clone()
        y[:, 1] = torch.where(x[:, 1, :1] > 0.5, twist(x[:, 1]), x[:, 1])
        y[:, 2] = twist(x[:, 2])
        return y

    told = []
    for most in (1, 2**18):
        monkeypatch.setattr(judgement_module, "_AT_ONCE", most)
        told.append(check_equivariance(jumps, ["4x1o"], "4x1o", "so3", [normal(32, 4, 3)]).audit.leaves)
    assert told[0] == told[1]
    assert [each.verdict for each in told[0][0].by_channel] == ["exact", "broken", "broken", "exact"]


def test_memory_does_not_grow_with_the_differences():
    """Of 2,048 elements on 64 samples of 48 numbers all differences are 50 MB, of which none is held near the end."""
    calls, held = 2048 * 64 // 4096, []

    def fn(x: Tensor) -> Tensor:
        nonlocal calls
        calls -= 1
        if calls == 0:
            held.append(sum(each.untyped_storage().nbytes() for each in gc.get_objects() if type(each) is Tensor))
        return x

    before = sum(each.untyped_storage().nbytes() for each in gc.get_objects() if type(each) is Tensor)
    equivariance_residual(fn, [vectors(16, 3)], vectors(16, 3), SO3.sample(2048, 0), [normal(64, 16, 3)])
    assert held[0] - before < 20e6


def test_the_residual_does_not_depend_on_the_scale_of_the_output():
    first, second = (
        check_equivariance(lambda x, scale=scale: scale * twist(x), ["4x1o"], "4x1o", SO3, [normal(32, 4, 3)])
        for scale in (1.0, 1e6)
    )
    assert first.relative == pytest.approx(second.relative, rel=1e-9)
    assert second.max_abs == pytest.approx(1e6 * first.max_abs, rel=1e-9)


def test_the_worst_element_is_the_one_with_the_largest_residual():
    elements = SO2.rotation(np.array([0.0, 10.0, 90.0, 5.0]))
    found = equivariance_residual(twist, [vectors(3, 2)], vectors(3, 2), elements, [normal(50, 3, 2)])
    assert found.per_element[0] == 0.0
    assert float(found.worst_element.angle_deg) == pytest.approx(90.0)


def test_terms_are_told_apart():
    def fn(x: Tensor) -> Tensor:
        return torch.cat([norm(x), twist(x).flatten(1), norm(x) * 1e3, x.flatten(1)], 1)

    found = check_equivariance(fn, ["2x1o"], "2x0e+2x1o+2x0e+2x1o", SO3, [normal(64, 2, 3)])
    assert list(found.per_term) == ["2x0e", "2x1o", "2x0e@8", "2x1o@10"]
    assert found.per_term["2x1o"] > 0.1
    assert max(value for name, value in found.per_term.items() if name != "2x1o") < 1e-13


def test_points_move_with_the_translation():
    """sigma is in the units of the points: what adds a constant is found out at any sigma above zero."""

    def shifted(x: Tensor) -> Tensor:
        return 2.0 * x

    still, moved, far = (
        check_equivariance(shifted, ["4xp"], "4xp", SE3, [normal(32, 4, 3)], sigma=sigma) for sigma in (0.0, 1.0, 10.0)
    )
    assert still.relative < 1e-13
    assert moved.max_abs == pytest.approx(float(moved.elements.translation.abs().max()), rel=1e-9)
    assert far.relative == pytest.approx(10 * moved.relative, rel=1e-9)


def test_seeds_draw_the_elements():
    one, same, other = (
        check_equivariance(twist, ["4x1o"], "4x1o", SO3, [normal(8, 4, 3)], seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(one.per_element, same.per_element)
    assert not torch.equal(one.per_element, other.per_element)


def test_the_dtype_of_the_inputs_is_that_of_the_pooled_figures():
    """The audit runs it in both precisions, which tells rounding from a break."""
    seen: set[torch.dtype] = set()

    def fn(x: Tensor) -> Tensor:
        seen.add(x.dtype)
        return x * norm(x)[..., None]

    found = check_equivariance(fn, ["4x1o"], "4x1o", SO3, [normal(64, 4, 3, dtype=torch.float32)])
    assert seen == {torch.float32, torch.float64}
    assert 1e-9 < found.relative < 1e-6
    assert found.per_element.dtype == torch.float64


def test_no_gradients_are_kept():
    layer = torch.nn.Linear(3, 3).double()
    found = check_equivariance(layer, ["4x1o"], "4x1o", SO3, [normal(8, 4, 3)])
    assert not found.per_element.requires_grad
    assert layer.weight.grad is None


def test_flat_and_structured_tensors_are_the_same():
    flat = check_equivariance(lambda x: twist(x.unflatten(1, (4, 3))), ["4x1o"], "4x1o", SO3, [normal(16, 12)])
    structured = check_equivariance(twist, ["4x1o"], "4x1o", SO3, [normal(16, 12).unflatten(1, (4, 3))])
    assert flat.relative == pytest.approx(structured.relative, rel=1e-12)


def test_one_vector_may_have_its_channel_axis():
    """As many elements as samples: what is broadcast along the wrong axis fits all the same."""
    x = normal(16, 1, 3)
    for fn in (twist, lambda x: x):
        structured = check_equivariance(fn, ["1x1o"], "1x1o", SO3, [x], elements=16)
        flat = check_equivariance(fn, ["1x1o"], "1x1o", SO3, [x[:, 0]], elements=16)
        assert structured.relative == pytest.approx(flat.relative, rel=1e-12, abs=1e-14)


def test_leading_axes_are_free():
    """Elements are never broadcast along one of them, whatever their number."""
    x = normal(16, 5, 12)
    found = check_equivariance(lambda x: x * x.square().sum(-1, keepdim=True), ["4x1o"], "4x1o", SO3, [x], elements=16)
    assert found.verdict == "exact"
    assert found.relative < 1e-13


def test_reps_and_groups_come_as_values_or_text():
    x = normal(16, 4, 3)
    by_text = check_equivariance(twist, ["4x1"], "4x1", "SO(3)", [x])
    by_value = check_equivariance(twist, [vectors(4, 3)], vectors(4, 3), SO3, [x])
    assert torch.equal(by_text.per_element, by_value.per_element)
    assert equiwm.check_equivariance is check_equivariance


# A function that is zero


def test_a_zero_function_has_no_residual_and_no_output():
    found = check_equivariance(lambda x: 0.0 * x, ["4x1o"], "4x1o", SO3, [normal(8, 4, 3)])
    assert (found.relative, found.max_abs, found.output_rms, found.output_spread) == (0.0, 0.0, 0.0, 0.0)


def test_zero_on_the_inputs_alone_is_not_equivariant():
    """All inputs lie in a wedge where the output is zero; turned out of it, it is not."""
    found = check_equivariance(lambda x: torch.relu(-x), ["4x1o"], "4x1o", SO2, [normal(8, 4, 2).abs()])
    assert found.relative == math.inf
    assert found.max_abs > 0.1


# What is refused


X = normal(8, 4, 3)


@pytest.mark.parametrize(
    ("fn", "inputs", "message"),
    [
        (lambda: X, [], "0 inputs and 1 reps"),
        (lambda x, y: x, [X, X], "2 inputs and 1 reps"),
        (lambda x: x, [X[:0]], r"an input is empty; got shapes \(0, 4, 3\)"),
        (lambda x: x, [X.index_fill(0, torch.tensor([3]), math.nan)], "of the inputs holds NaN"),
        (lambda x: x, [X.index_fill(0, torch.tensor([3]), math.inf)], "of the inputs holds NaN or infinity"),
        (lambda x: x / 0, [X], "of the output holds NaN"),
        (lambda x: torch.where(x < X.amin() - 1e-3, math.nan, x), [X], "of the output holds NaN"),
        (lambda x: x, [X.long()], "floating dtype.*int64"),
        (lambda x: 1 / 0, [X], "the model raised .*ZeroDivisionError"),
    ],
)
def test_inputs_and_outputs_that_mean_nothing(fn, inputs, message):
    with pytest.raises(DataError, match=message) as error:
        check_equivariance(fn, ["4x1o"], "4x1o", SO3, inputs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("second", "message"), [(X[:5], "the model raised .*RuntimeError"), (X.float(), "float32, float64")]
)
def test_two_inputs_that_do_not_belong_together(second, message):
    with pytest.raises(DataError, match=message):
        check_equivariance(lambda x, y: x + y, ["4x1o", "4x1o"], "4x1o", SO3, [X, second])


def test_several_outputs_are_a_probes():
    with pytest.raises(RepError, match=r"what it describes has leaves \[0\], \[1\]"):
        check_equivariance(lambda x: (x, x), ["4x1o"], "4x1o", SO3, [X])


def test_no_elements():
    with pytest.raises(DataError, match="at least one group element"):
        check_equivariance(lambda x: x, ["4x1o"], "4x1o", SO3, [X], elements=0)


def test_groups_and_reps_that_do_not_fit():
    with pytest.raises(GroupError, match="did you mean"):
        check_equivariance(lambda x: x, ["4x1o"], "4x1o", "so4", [X])
    with pytest.raises(GroupError, match=r"SO\(2\) acts on d = 2.*\[3, 3\]"):
        check_equivariance(lambda x: x, [vectors(4, 3)], vectors(4, 3), SO2, [X])
    with pytest.raises(RepError, match="4y"):
        check_equivariance(lambda x: x, ["4y"], "4x1o", SO3, [X])
    for given, made in (("5x1o", "4x1o"), ("4x1o", "5x1o")):
        with pytest.raises(RepError, match=r"rep 5x1o on a leaf of shape \(8, 4, 3\)"):
            check_equivariance(lambda x: x, [given], made, SO3, [X])


# The assertion for test suites


def test_the_assertion_passes_what_is_equivariant():
    found = assert_equivariant(lambda x: x * norm(x)[..., None], ["4x1o"], "4x1o", O2, [normal(32, 4, 2)])
    assert found.relative <= 1e-10
    assert found.verdict == "exact"
    assert_equivariant(norm, ["4x1o"], "4x0e", "so3", [normal(32, 4, 3, dtype=torch.float32)])


def test_the_assertion_fails_what_is_not_and_says_where():
    said = r"(?s)^BROKEN: .*channel 1o .*degrees.*cause: component by component.*pooled: .*4x1o.*max absolute"
    with pytest.raises(AssertionError, match=said):
        assert_equivariant(lambda x: x.clamp(-0.5, 0.5), ["4x1o"], "4x1o", "so2", [normal(32, 4, 2)])


@pytest.mark.parametrize(
    ("fn", "out_rep"), [(lambda x: 0.0 * x, "4x1o"), (lambda x: torch.ones(len(x), 1, dtype=x.dtype), "1x0e")]
)
def test_the_assertion_fails_what_does_nothing(fn, out_rep):
    with pytest.raises(AssertionError, match=r"VACUOUS: .*does not depend on the input"):
        assert_equivariant(fn, ["4x1o"], out_rep, "so2", [normal(32, 4, 2)])


def test_the_scale_of_an_output_is_nothing_to_the_assertion():
    """Neither its units nor an offset: what varies is judged beside its own variation and rounding."""
    x = normal(32, 4, 2)
    assert assert_equivariant(lambda x: 1e-9 * x, ["4x1o"], "4x1o", "so2", [x]).verdict == "exact"
    assert_equivariant(lambda x: 1e6 + 1e-3 * norm(x), ["4x1o"], "4x0e", "so2", [x])
    with pytest.raises(AssertionError, match="BROKEN"):
        assert_equivariant(lambda x: 1e6 + 1e-3 * x[..., 0], ["4x1o"], "4x0e", "so2", [x])


def test_the_tolerance_of_the_assertion():
    """A bound of one's own lets what is approximate pass, and asks more of what is exact."""
    x = normal(32, 4, 2)

    def nearly(x: Tensor) -> Tensor:
        return (x + 1e-4 * twist(x))[:, 1:]

    with pytest.raises(AssertionError, match="APPROXIMATE"):
        assert_equivariant(nearly, ["4x1o"], "3x1o", "so2", [x])
    assert assert_equivariant(nearly, ["4x1o"], "3x1o", "so2", [x], tolerance=1e-3).verdict == "approximate"
    assert assert_equivariant(nearly, ["4x1o"], "3x1o", "so2", [x], expect="approximate").verdict == "approximate"
    with pytest.raises(AssertionError, match=r"^pooled relative residual .* > tolerance 1e-20"):
        assert_equivariant(lambda x: x * norm(x)[..., None], ["4x1o"], "4x1o", "so2", [x.float()], tolerance=1e-20)
    with pytest.raises(AssertionError, match=r"^BROKEN"):
        assert_equivariant(twist, ["4x1o"], "4x1o", "so2", [x], tolerance=10.0)


def test_a_tolerance_is_one_of_every_channel():
    """A small channel that is wholly broken is within the pooled bound, and no tolerance hides it."""
    x = normal(64, 4, 3)  # its increments are broken besides, so the output is not of the same form
    scales = torch.tensor([1e3, 1e3, 1e3, 1.0], dtype=x.dtype)[:, None]

    def fn(x: Tensor) -> Tensor:
        last = x[:, 3:] + 0.03 * twist(x[:, 3:])
        return torch.cat([scales * torch.cat([x[:, :3], last], 1), x[:, :1]], 1)

    found = check_equivariance(fn, ["4x1o"], "5x1o", "so3", [x])
    assert (found.relative < 1e-4, found.verdict, found.channel.channel) == (True, "approximate", "1o #3")
    with pytest.raises(AssertionError, match=r"channel 1o #3: residual .* > tolerance 1e-03"):
        assert_equivariant(fn, ["4x1o"], "5x1o", "so3", [x], tolerance=1e-3)


def test_half_precision_is_decides_its_own_rounding():
    found = check_equivariance(lambda x: x * 1.5, ["4x1o"], "4x1o", "so2", [normal(32, 4, 2).half()])
    assert found.verdict in ("exact", "precision-limited")


def test_a_probe_says_itself_what_it_takes():
    probe = equiwm.Probe(lambda x: x, normal(8, 4, 3), "so3", "4x1o", "4x1o")
    assert assert_equivariant(probe).verdict == "exact"
    for more in ({"group": "so2"}, {"tolerance": 1.0}):
        with pytest.raises(DataError, match="a probe says itself"):
            assert_equivariant(probe, **more)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_the_assertion_takes_every_group(group):
    d = GROUPS[group].d
    assert_equivariant(lambda x: x - x.mean(1, keepdim=True), ["4xp"], "4x1o", group, [normal(32, 4, d)])


# Spread


@pytest.mark.parametrize(("batch", "dim"), [(50, 6), (5, 12)])
def test_spread_is_its_definition(batch, dim):
    z = normal(batch, dim, seed=2).numpy() * np.arange(1.0, dim + 1)
    found = latent_spread(torch.from_numpy(z))
    share = np.linalg.svd(z - z.mean(0), compute_uv=False)
    share = share[share > 1e-12 * share[0]] / share.sum()
    assert found.latent_std == pytest.approx(z.std(0, ddof=1).mean(), rel=1e-12)
    assert found.effective_rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)


def test_spread_counts_directions():
    q = torch.linalg.qr(normal(100, 5))[0]
    centred = q - q.mean(0)
    centred = torch.linalg.svd(centred, full_matrices=False)[0]
    assert latent_spread(centred).effective_rank == pytest.approx(5.0, rel=1e-2)
    line = normal(100, 1) @ normal(1, 5)
    assert latent_spread(line).effective_rank == pytest.approx(1.0, abs=1e-6)


def test_spread_of_a_collapsed_latent():
    found = latent_spread(torch.ones(20, 4))
    assert found.latent_std == 0.0
    assert math.isfinite(found.effective_rank)


@pytest.mark.parametrize(
    ("inputs", "call"), [((torch.randn(8, 3), torch.rand(8, 1)), "'*'"), ({"x": torch.randn(8, 3)}, "'**'")]
)
def test_parts_that_may_be_arguments_are_said_to_be(inputs, call):
    """A model of several arguments, given one tuple: its TypeError alone does not tell what to do."""

    def model(x, q):
        return x * q

    takes = ["1o", "0e"] if isinstance(inputs, tuple) else {"x": "1o"}
    with pytest.raises(DataError, match=rf"if its parts are arguments, say call={re.escape(call)}") as told:
        equiwm.audit(equiwm.Probe(model, inputs, "so3", takes, "1o"))
    assert len(str(told.value).splitlines()) == 2
