"""Representations: homomorphisms into orthogonal matrices, and the transform of tensors by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.errors import GroupError, RepError
from equiwm.symmetry.groups import GROUPS, SE2, SE3, SO2, SO3, Elements
from equiwm.symmetry.reps import Rep, vectors

SETTINGS = settings(deadline=None, max_examples=60)
WIDE = {"0e": False, "0o": False, "1o": True, "1e": True, "p": True}
"""Kinds of every dimension, and whether they have d entries rather than one."""
seeds = st.integers(0, 2**32 - 1)
terms = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(sorted(WIDE))), max_size=5)


@st.composite
def reps_and_elements(draw, structured=False, n=2):
    """A random rep, a group of its dimension, `n` batches of three elements, and a generator."""
    group = draw(st.sampled_from(list(GROUPS.values())))
    kinds = [(count, kind) for count, kind in draw(terms) if WIDE[kind] or not structured]
    rng = np.random.default_rng(draw(seeds))
    return Rep(tuple(kinds), group.d), [group.sample(3, rng, sigma=2.0) for _ in range(n)], rng


def normal(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape))


# Laws


@SETTINGS
@given(reps_and_elements())
def test_the_matrix_is_an_orthogonal_homomorphism(case):
    rep, (g, h), _ = case
    eye = torch.eye(rep.dim, dtype=torch.float64).expand(3, -1, -1)
    assert rep.matrix(g).dtype == torch.float64
    assert rep.matrix(g).shape == (3, rep.dim, rep.dim)
    assert torch.allclose(rep.matrix(g @ h), rep.matrix(g) @ rep.matrix(h), atol=1e-13)
    assert torch.allclose(rep.matrix(g).mT @ rep.matrix(g), eye, atol=1e-13)
    assert torch.allclose(rep.matrix(g.inverse()), rep.matrix(g).mT, atol=1e-13)


@SETTINGS
@given(reps_and_elements())
def test_the_transform_is_an_action(case):
    rep, (g, h), rng = case
    x = normal(rng, 3, rep.dim)
    assert torch.allclose(rep.transform(x, g @ h), rep.transform(rep.transform(x, h), g), atol=1e-12)
    assert torch.allclose(rep.transform(rep.transform(x, g), g.inverse()), x, atol=1e-12)


def affine(rep: Rep, x: torch.Tensor, g: Elements) -> torch.Tensor:
    """rho(g) x + t on points, term by term from the definition and without `Rep.matrix`."""
    parts, start = [], 0
    for count, kind in rep.terms:
        for _ in range(count):
            v = x[..., start : start + (rep.d if WIDE[kind.name] else 1)]
            start += v.shape[-1]
            det = torch.linalg.det(g.linear)[..., None]
            turned = torch.einsum("...ij,...j->...i", g.linear, v) if WIDE[kind.name] else v
            parts.append({"0o": det * turned, "1e": det * turned, "p": turned + g.translation}.get(kind.name, turned))
    return torch.cat(parts, -1)


def agrees_with_definition(transform, rep: Rep, x: torch.Tensor, g: Elements) -> bool:
    return torch.allclose(transform(x, g), affine(rep, x, g), atol=1e-12)


@SETTINGS
@given(reps_and_elements(n=1))
def test_the_transform_is_the_matrix_and_the_translation(case):
    rep, (g,), rng = case
    x = normal(rng, 3, rep.dim)
    linear = (rep.matrix(g) @ x[..., None])[..., 0]
    assert torch.allclose(rep.linear_part.transform(x, g), linear, atol=1e-12)
    offset = rep.transform(torch.zeros(3, rep.dim, dtype=torch.float64), g)
    assert torch.allclose(rep.transform(x, g), linear + offset, atol=1e-12)
    assert rep.has_points or not offset.any()
    if rep.terms:
        assert agrees_with_definition(rep.transform, rep, x, g)


@SETTINGS
@given(reps_and_elements(n=1))
def test_differences_transform_linearly(case):
    rep, (g,), rng = case
    x, y = normal(rng, 3, rep.dim), normal(rng, 3, rep.dim)
    difference = rep.transform(x, g) - rep.transform(y, g)
    assert torch.allclose(difference, rep.linear_part.transform(x - y, g), atol=1e-12)


def test_the_tests_catch_broken_transforms():
    """A transform by R^T, without the translation, or without the determinant, does not pass."""
    rng = np.random.default_rng(0)
    rep, g = (
        Rep.parse("0o+2x1o+1e+p", 2),
        Elements(GROUPS["o2"].sample(8, 1).linear, SE2.sample(8, 2).translation),
    )
    x = normal(rng, 8, rep.dim)
    still = Elements(g.linear, torch.zeros_like(g.translation))
    flipped = Rep(tuple((n, {"0o": "0e", "1e": "1o"}.get(kind.name, kind)) for n, kind in rep.terms), 2)
    assert agrees_with_definition(rep.transform, rep, x, g)
    assert not agrees_with_definition(lambda x, g: rep.transform(x, Elements(g.linear.mT, g.translation)), rep, x, g)
    assert not agrees_with_definition(lambda x, g: rep.transform(x, still), rep, x, g)
    assert not agrees_with_definition(flipped.transform, rep, x, g)
    h = Elements(SO2.sample(8, 3).linear @ g.linear, g.translation)
    transposed = Rep.parse("2x1o", 2)
    assert not torch.allclose(transposed.matrix(g @ h).mT, transposed.matrix(g).mT @ transposed.matrix(h).mT, atol=1e-3)


# Shapes and dtypes


@SETTINGS
@given(reps_and_elements(n=1))
def test_batch_shapes_broadcast(case):
    rep, (g,), rng = case
    x = normal(rng, 5, rep.dim)
    every = rep.transform(x, g[:, None])
    assert every.shape == (3, 5, rep.dim)
    for i in range(3):
        assert torch.allclose(every[i], rep.transform(x, g[i]), atol=1e-13)
        assert torch.allclose(every[i, 0], rep.transform(x[0], g[i]), atol=1e-13)
    assert rep.transform(x[0], g).shape == (3, rep.dim)
    assert rep.transform(x.reshape(5, 1, 1, -1), g[:, None]).shape == (5, 3, 1, rep.dim)
    assert rep.transform(x[:0], g[:, None]).shape == (3, 0, rep.dim)


@pytest.mark.parametrize(
    ("text", "d", "shape"),
    [
        ("1o", 2, (1, 2)),
        ("4x1o", 2, (4, 2)),
        ("2xp+1o+1e", 3, (4, 3)),
        ("0e", 3, (1,)),
        ("2xp+1o+3x0e", 3, (12,)),
        ("1o+0o+m2", 2, (5,)),
        ("rot+quat+2e", 3, (18,)),
        ("perm4*p", 3, (12,)),
    ],
)
def test_one_sample_is_structured_where_there_are_vectors_and_points_alone_and_else_flat(text, d, shape):
    assert Rep.parse(text, d).shape == shape


@SETTINGS
@given(reps_and_elements(n=1))
def test_a_batch_of_samples_is_one_that_the_rep_transforms(case):
    rep, (g,), rng = case
    x = normal(rng, 3, *rep.shape)
    assert rep.transform(x, g[:, None] if len(rep.shape) == 2 and rep.multiplicity == 1 else g).shape == x.shape


@SETTINGS
@given(reps_and_elements(structured=True, n=1))
def test_structured_and_flat_forms_agree(case):
    rep, (g,), rng = case
    assert rep.structured
    x = normal(rng, 5, rep.multiplicity, rep.d)
    if rep.multiplicity > 1:
        structured = rep.transform(x, g[:, None])
        assert structured.shape == (3, 5, rep.multiplicity, rep.d)
        assert torch.equal(structured.flatten(-2), rep.transform(x.flatten(-2), g[:, None]))
    elif rep.multiplicity:  # a single vector: both forms end in d, and the flat one is meant
        assert rep.transform(x, g[0]).shape == x.shape
        assert torch.equal(rep.transform(x, g[0])[:, 0], rep.transform(x[:, 0], g[0]))


@SETTINGS
@given(reps_and_elements(n=1))
def test_the_result_has_the_dtype_of_the_tensor(case):
    rep, (g,), rng = case
    x = normal(rng, 3, rep.dim)
    single = rep.transform(x.float(), g)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), rep.transform(x, g), atol=1e-4)


def test_gradients_flow_through_the_transform():
    x = torch.zeros(4, 2, 3, requires_grad=True)
    vectors(2, 3).transform(x, SO3.sample(4, 0)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


# Text


@SETTINGS
@given(terms, st.sampled_from([2, 3]))
def test_parse_reads_what_is_printed(terms, d):
    rep = Rep(tuple(terms), d)
    assert Rep.parse(str(rep), d) == rep
    assert hash(Rep.parse(str(rep), d)) == hash(rep)
    assert rep.dim == sum(count * (d if WIDE[kind] else 1) for count, kind in terms)
    assert rep.multiplicity == sum(count for count, _ in terms)


@SETTINGS
@given(terms, terms)
def test_the_sum_of_reps(left, right):
    a, b = Rep(tuple(left), 3), Rep(tuple(right), 3)
    g = SE3.sample(2, 0)
    blocks = [torch.block_diag(x, y) for x, y in zip(a.matrix(g), b.matrix(g), strict=True)]
    assert torch.equal((a + b).matrix(g), torch.stack(blocks))


def test_short_names():
    assert Rep.parse(" 8x0 + 16x1 ", 3) == Rep.parse("8x0e+16x1o", 3)
    assert str(Rep.parse("1+1o+2x1+p", 2)) == "4x1o+1xp"
    assert vectors(3, 2) == Rep.parse("3x1", 2)
    assert Rep.parse("", 2).dim == 0
    assert vectors(3, 2).vectors_only
    assert not Rep.parse("1+p", 2).vectors_only


@pytest.mark.parametrize("text", ["2x", "x1", "2x3o", "-1x1", "0x1", "1++p", "1o 2", "+", "1.5x1", "p+", "2*1o", "O"])
def test_text_that_is_no_rep(text):
    with pytest.raises(RepError):
        Rep.parse(text, 2)


# Errors


def test_errors():
    rep = Rep.parse("2x1+0", 3)
    with pytest.raises(RepError, match=r"\(\.\.\., 7\); got \(4, 6\)"):
        rep.transform(torch.zeros(4, 6), SO3.sample(4, 0))
    with pytest.raises(RepError, match=r"\(\.\.\., 2, 3\); got \(4, 3, 2\)"):
        vectors(2, 3).transform(torch.zeros(4, 3, 2), SO3.sample(4, 0))
    for call in (rep.matrix, lambda g: rep.transform(torch.zeros(7), g)):
        with pytest.raises(GroupError, match="3 dimensions"):
            call(SO2.sample(1, 0))
    with pytest.raises(RepError, match="dimensions differ"):
        _ = vectors(1, 2) + vectors(1, 3)
    with pytest.raises(RepError, match="not a term"):
        Rep(((1, "2v"),), 3)
