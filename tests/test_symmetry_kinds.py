"""Kinds of representation: homomorphisms, actions, their text, e3nn's basis, and the refusal of what is none."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.audit.residual import check_equivariance
from equiwm.errors import GroupError, RepError
from equiwm.symmetry.composites import TensorProduct
from equiwm.symmetry.e3nn_basis import rep_to_e3nn, to_e3nn
from equiwm.symmetry.exchanges import SignedPermutation
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import O2, O3, SE3, SO2, SO3
from equiwm.symmetry.kinds import SCALAR, VECTOR, Irreducible, Kind
from equiwm.symmetry.laws import check_rep
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.wigner import harmonics, wigner

SETTINGS = settings(deadline=None, max_examples=60)
ANY = ["0e", "0o", "1o", "1e", "p", "same3", "same1", "rot", "signed[2,1,-3]", "perm4", "perm4*p", "perm4*(2x0e+1x1o)",
       "1o*1o", "1o*1e*0o", "(1x0o+2x1o)", "same2*p", "perm4*1o*1o"]  # fmt: skip
SPACE = ["2e", "2o", "3o", "4e", "6e", "6o", "1o*2e", "perm4*(1x0e+1x3o)"]
PLANE = ["m1", "m2", "m7", "m2*m3", "perm4*m2", "1o*m2"]
UP_TO_SIGN = ["quat", "perm4*quat", "(1x0e+2xquat)"]
CASES = [(kind, "e3*s4") for kind in ANY + SPACE] + [(kind, "e2*s4") for kind in ANY + PLANE]
CASES += [(kind, "se3*s4") for kind in UP_TO_SIGN]
CASES += [(kind, "e2z*s4") for kind in ("horizontal", "horizontal*horizontal", "perm4*(1x1o+2xhorizontal)")]
kinds_and_groups = st.sampled_from(CASES)
seeds = st.integers(0, 2**32 - 1)


def normal(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape))


# Laws


@SETTINGS
@given(kinds_and_groups, seeds)
def test_every_kind_is_an_orthogonal_action(case, seed):
    kind, group = case[0], Group.parse(case[1])
    rep, rng = Rep.parse(f"2x{kind}", group.d), np.random.default_rng(seed)
    g, h = group.sample(4, rng), group.sample(4, rng)
    eye = torch.eye(rep.dim, dtype=torch.float64)
    assert rep.matrix(g).shape == (4, rep.dim, rep.dim)
    assert rep.matrix(g).dtype == torch.float64
    assert torch.allclose(rep.matrix(g).mT @ rep.matrix(g), eye.expand(4, -1, -1), atol=1e-12)
    assert torch.allclose(rep.matrix(group.identity(2)), eye.expand(2, -1, -1), atol=1e-15)
    x = normal(rng, 4, rep.dim)
    assert rep.difference(rep.transform(rep.transform(x, h), g), rep.transform(x, g @ h)).abs().max() < 1e-11
    assert rep.difference(rep.transform(rep.transform(x, g), g.inverse()), x).abs().max() < 1e-11
    if "quat" not in kind:
        assert torch.allclose(rep.matrix(g @ h), rep.matrix(g) @ rep.matrix(h), atol=1e-12)


@SETTINGS
@given(kinds_and_groups, seeds)
def test_the_action_is_the_matrix_and_the_offset(case, seed):
    kind, group = case[0], Group.parse(case[1])
    rep, rng = Rep.parse(f"3x{kind}", group.d), np.random.default_rng(seed)
    g, x = group.sample(2, rng), normal(rng, 5, rep.dim)
    linear = (rep.matrix(g)[:, None] @ x[..., None])[..., 0]
    assert torch.allclose(rep.linear_part.transform(x, g[:, None]), linear, atol=1e-12)
    offset = torch.cat([rep.terms[0][1].offset(g)] * 3, -1)
    assert torch.allclose(rep.transform(x, g[:, None]), linear + offset[:, None], atol=1e-12)
    assert rep.has_points == rep.terms[0][1].translates == bool(offset.any())
    assert rep.transform(x.float(), g[:, None]).dtype == torch.float32
    assert torch.allclose(rep.transform(x.float(), g[:, None]).double(), linear + offset[:, None], atol=1e-4)


@pytest.mark.parametrize(("kind", "group"), CASES)
def test_text_laws_and_copies(kind, group):
    d = Group.parse(group).d
    rep = Rep.parse(f"2x{kind}+1x0e", d)
    assert Rep.parse(str(rep), d) == rep
    assert hash(Rep.parse(str(rep), d)) == hash(rep)
    assert pickle.loads(pickle.dumps(rep)) == rep
    assert check_rep(rep, Group.parse(group)) is rep
    assert rep.dim == 2 * rep.terms[0][1].dim(d) + 1 or kind == "0e"


atoms = st.sampled_from(["0e", "0o", "1o", "1e", "2o", "4e", "same3", "rot", "signed[2,1]", "perm4"])
texts = st.recursive(
    atoms,
    lambda kinds: st.one_of(
        st.lists(kinds, min_size=2, max_size=3).map("*".join),
        st.lists(st.tuples(st.integers(1, 3), kinds), min_size=1, max_size=3).map(
            lambda terms: f"({'+'.join(f'{count}x{kind}' for count, kind in terms)})"
        ),
    ),
    max_leaves=4,
)


@SETTINGS
@given(st.lists(st.tuples(st.integers(1, 3), texts), max_size=3))
def test_any_text_is_read_as_it_is_printed(terms):
    rep = Rep.parse("+".join(f"{count}x{kind}" for count, kind in terms), 3)
    assert Rep.parse(str(rep), 3) == rep
    assert rep.dim == sum(count * Rep.parse(kind, 3).dim for count, kind in terms)


@pytest.mark.parametrize("kind", ["0e", "0o", "1o", "1e", "2e", "3o", "6e", "same3", "rot", "1o*1o", "1o*2e", "p"])
def test_parity_is_what_inversion_does(kind):
    value = Rep.parse(kind, 3).terms[0][1]
    point = Group.parse("inversion").all_elements[1]
    if value.parity is None:
        assert kind == "p"
    else:
        assert torch.allclose(
            value.matrix(point), value.parity * torch.eye(value.dim(3), dtype=torch.float64), atol=1e-14
        )


# Degree l in space


@pytest.mark.parametrize("degree", range(13))
def test_wigner_matrices_turn_the_harmonics(degree):
    g, h = SO3.sample(40, 0).linear, SO3.sample(40, 1).linear
    d, v = wigner(degree, g), normal(np.random.default_rng(2), 40, 3)
    v = v / v.norm(dim=-1, keepdim=True)
    turned = harmonics(degree, (g @ v[..., None])[..., 0])
    eye = torch.eye(2 * degree + 1, dtype=torch.float64)
    assert torch.allclose(turned, (d @ harmonics(degree, v)[..., None])[..., 0], rtol=0, atol=2e-14)
    assert torch.allclose(d.mT @ d, eye.expand_as(d), rtol=0, atol=4e-14)
    assert torch.allclose(wigner(degree, g @ h), d @ wigner(degree, h), rtol=0, atol=2e-14)
    assert torch.allclose(harmonics(degree, v).norm(dim=-1), torch.ones(40, dtype=torch.float64), atol=1e-14)


def test_the_basis_is_the_stated_one():
    v = normal(np.random.default_rng(0), 20, 3)
    x, y, z = v.unbind(-1)
    root = 3**0.5
    second = [root * x * y, root * y * z, (2 * z**2 - x**2 - y**2) / 2, root * x * z, root * (x**2 - y**2) / 2]
    assert torch.allclose(harmonics(1, v), torch.stack([y, z, x], -1), atol=1e-15)
    assert torch.allclose(harmonics(2, v), torch.stack(second, -1), atol=1e-14)
    theta = 0.7
    about_z = wigner(3, SO3.rotation(np.rad2deg(theta)).linear)
    for m in range(1, 4):
        pair = about_z[[3 + m, 3 - m]][:, [3 + m, 3 - m]]
        c, s = np.cos(m * theta), np.sin(m * theta)
        assert torch.allclose(pair, torch.tensor([[c, -s], [s, c]], dtype=torch.float64), atol=1e-14)


@pytest.fixture
def double():
    """E3nn's constants in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("degree", range(9))
def test_e3nn_has_the_same_kinds_in_another_basis(degree, double):
    o3 = pytest.importorskip("e3nn.o3")
    g = O3.sample(30, 0)
    basis = to_e3nn(degree)
    for parity, sign in (("e", 1), ("o", -1)):
        theirs = o3.Irrep(degree, sign).D_from_matrix(g.linear)
        ours = Rep.parse(f"{degree}{parity}", 3).matrix(g)
        assert torch.allclose(basis @ ours @ basis.mT, theirs, rtol=0, atol=1e-12)
        assert torch.allclose(basis.mT @ theirs @ basis, ours, rtol=0, atol=1e-12)
    v = normal(np.random.default_rng(1), 30, 3)
    ours = v if degree == 1 else harmonics(degree, v)
    theirs = o3.spherical_harmonics(degree, v, False, "norm")
    assert torch.allclose(ours @ basis.mT, theirs, rtol=1e-12, atol=1e-12)


def test_whole_reps_are_carried_to_e3nn(double):
    o3 = pytest.importorskip("e3nn.o3")
    irreps, g = o3.Irreps("2x0e+1x0o+2x1o+1x1e+1x2e+2x3o+1x6e"), O3.sample(10, 0)
    rep = Rep.parse(str(irreps), 3)
    basis = rep_to_e3nn(rep)
    assert rep.dim == irreps.dim
    assert torch.allclose(basis @ rep.matrix(g) @ basis.mT, irreps.D_from_matrix(g.linear), rtol=0, atol=1e-12)
    assert rep_to_e3nn(Rep.parse("", 3)).shape == (0, 0)
    for text, d, message in (("p", 3, "no irrep for the kind 'p'"), ("1o*1o", 3, "no irrep"), ("1o", 2, "d = 3")):
        with pytest.raises(RepError, match=message):
            rep_to_e3nn(Rep.parse(text, d))
    with pytest.raises(RepError, match="at least 0"):
        to_e3nn(-1)


def test_the_harmonics_take_gradients_whoever_asked_first():
    with torch.inference_mode():
        wigner(11, SO3.sample(1, 0).linear)
    v = torch.ones(2, 3, requires_grad=True)
    harmonics(11, v).sum().backward()
    assert bool(v.grad.abs().sum() > 0)


def test_a_symmetric_tensor_holds_degree_two():
    """The traceless symmetric part of v v^T, read off 1o*1o, turns as 2e does."""
    product, degree = Rep.parse("1o*1o", 3), Rep.parse("2e", 3)
    v = normal(np.random.default_rng(0), 8, 3)
    g = O3.sample(8, 0)
    outer = torch.einsum("ni,nj->nij", v, v).flatten(1)
    turned = (g.linear @ v[..., None])[..., 0]
    assert torch.allclose(
        product.transform(outer, g), torch.einsum("ni,nj->nij", turned, turned).flatten(1), atol=1e-13
    )
    assert torch.allclose(degree.transform(harmonics(2, v), g), harmonics(2, turned), atol=1e-13)


# Frequency m in the plane


def test_frequencies_multiply_the_angle_and_reflections_conjugate():
    kind = Rep.parse("m3", 2)
    assert torch.allclose(kind.matrix(SO2.rotation(20.0)), SO2.rotation(60.0).linear, atol=1e-15)
    flip = O2.elements(torch.diag(torch.tensor([1.0, -1.0]).double()))
    assert torch.allclose(kind.matrix(flip), flip.linear, atol=1e-15)
    z = torch.tensor([0.3, 0.4], dtype=torch.float64)
    cube = lambda z: torch.view_as_real(torch.view_as_complex(z.contiguous()) ** 3)  # noqa: E731
    for g in O2.sample(8, 0):
        assert torch.allclose(kind.transform(cube(z), g), cube(g.linear @ z), atol=1e-15)
    assert torch.allclose(Rep.parse("m1", 2).matrix(O2.sample(8, 0)), Rep.parse("1o", 2).matrix(O2.sample(8, 0)))


# Orientations


def test_orientations_follow_the_body():
    from scipy.spatial.transform import Rotation

    g, body = SE3.sample(10, 0), SO3.sample(10, 1)
    turned = (g.linear @ body.linear).flatten(1)
    assert torch.allclose(Rep.parse("rot", 3).transform(body.linear.flatten(1), g), turned, atol=1e-14)
    wxyz = lambda r: torch.from_numpy(Rotation.from_matrix(r.numpy()).as_quat(scalar_first=True))  # noqa: E731
    quat = Rep.parse("quat", 3)
    apart = quat.difference(quat.transform(wxyz(body.linear), g), wxyz(g.linear @ body.linear))
    assert apart.abs().max() < 1e-14
    with pytest.raises(GroupError, match="quat"):
        quat.transform(wxyz(body.linear), O3.sample(10, 0))


def test_quaternions_are_compared_up_to_sign_item_by_item():
    rep = Rep.parse("2xquat+1x0e", 3)
    x = normal(np.random.default_rng(0), 6, 9)
    y = x.clone()
    y[:, :4] *= -1
    assert not rep.difference(x, y).any()
    y[:, 8] *= -1
    assert rep.difference(x, y)[:, 8].abs().min() > 0
    items = Rep.parse("perm2*quat", 3)
    z = x[:, :8] * torch.tensor([1.0] * 4 + [-1.0] * 4)
    assert not items.difference(x[:, :8], z).any()


def test_an_audit_is_blind_to_the_sign_of_quaternions():
    flip = lambda q: q * torch.where(q[..., :1] < 0, -1.0, 1.0)  # noqa: E731
    q = torch.nn.functional.normalize(normal(np.random.default_rng(0), 32, 4), dim=-1)
    assert check_equivariance(flip, ["quat"], "quat", "so3", [q]).relative < 1e-13
    broken = check_equivariance(lambda q: q * torch.tensor([1.0, 1.0, 1.0, -1.0]), ["quat"], "quat", "so3", [q])
    assert broken.relative > 0.1


# Permutations and mirrors


def test_items_go_where_the_permutation_sends_them():
    group = Group.parse("se3*s5")
    points, rep = normal(np.random.default_rng(0), 5, 3), Rep.parse("perm5*p", 3)
    g = group.sample(6, 0)
    for k in range(6):
        expected = torch.empty_like(points)
        for item in range(5):
            expected[int(g.permutation[k, item])] = g.linear[k] @ points[item] + g.translation[k]
        assert torch.allclose(rep.transform(points.flatten(), g[k]).unflatten(-1, (5, 3)), expected, atol=1e-13)
    alone = Group.parse("s5").sample(4, 0)
    assert torch.equal(Rep.parse("3x1o", 3).transform(points[:3], alone[0]), points[:3])
    assert rep.transform(points.flatten(), alone).shape == (4, 15)
    with pytest.raises(GroupError, match="5 items; the elements permute 4"):
        rep.transform(points.flatten(), Group.parse("se3*s4").sample(1, 0)[0])


def test_a_set_function_passes_and_a_list_function_does_not():
    x = normal(np.random.default_rng(0), 64, 15)
    spread = lambda x: (x.unflatten(-1, (5, 3)) - x.unflatten(-1, (5, 3)).mean(1, keepdim=True)).flatten(1)  # noqa: E731
    ordered = lambda x: (x.unflatten(-1, (5, 3)) - x.unflatten(-1, (5, 3))[:, :1]).flatten(1)  # noqa: E731
    assert check_equivariance(spread, ["perm5*p"], "perm5*1o", "se3*s5", [x]).relative < 1e-13
    assert check_equivariance(ordered, ["perm5*p"], "perm5*1o", "se3*s5", [x]).relative > 0.1
    assert check_equivariance(ordered, ["perm5*p"], "perm5*1o", "se3", [x]).relative < 1e-13


def test_a_robots_mirror():
    rep = Rep.parse("signed[2,1,-3]", 3)
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    mirror = Group.parse("mirrory").all_elements[1]
    assert rep.transform(x, mirror).tolist() == [2.0, 1.0, -3.0]
    assert rep.transform(x, SO3.sample(1, 0)[0]).tolist() == x.tolist()
    for images, message in (([2, 3, 1], "no mirror"), ([2, -1], "no mirror"), ([1, 1], "once"), ([], "once")):
        with pytest.raises(RepError, match=message):
            SignedPermutation(images)


# A user's own


class Stress(Kind):
    """A symmetric tensor in Voigt's order, with the off-diagonal entries scaled so that rotations are orthogonal."""

    name = "stress"

    def dim(self, d):
        if d != 3:
            raise RepError("kind 'stress' lives in space.")
        return 6

    def matrix(self, g):
        basis = torch.zeros(6, 3, 3, dtype=torch.float64)
        for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
            basis[k, i, j] = basis[k, j, i] = 1.0 if i == j else 0.5**0.5
        turned = g.linear[..., None, :, :] @ basis @ g.linear[..., None, :, :].mT
        return torch.einsum("kij,...lij->...kl", basis, turned)


def test_a_users_kind_is_one_object():
    stress = Stress()
    rep = Rep.parse("2xstress+1o+perm2*stress", 3, kinds=[stress])
    assert str(rep) == "2xstress+1x1o+1xperm2*stress"
    assert rep.dim == 12 + 3 + 12
    assert Rep(((2, stress), (1, "1o")), 3).terms == rep.terms[:2]
    assert check_rep(rep, Group.parse("o3*s2")) is rep
    trace = lambda x: x[:, :3].sum(1, keepdim=True)  # noqa: E731
    x = normal(np.random.default_rng(0), 32, 6)
    one = Rep(((1, stress),), 3)
    assert check_equivariance(trace, [one], "0e", "o3", [x]).relative < 1e-13
    with pytest.raises(RepError, match="no kind 'stress'"):
        Rep.parse("stress", 3)
    with pytest.raises(RepError, match="lives in space"):
        Rep.parse("stress", 2, kinds=[stress])


class Transposed(Stress):
    name = "transposed"

    def matrix(self, g):
        return super().matrix(g).mT


class Plain(Stress):
    name = "plain"

    def matrix(self, g):
        return 1.001 * super().matrix(g)


class Narrow(Stress):
    name = "narrow"

    def matrix(self, g):
        return super().matrix(g)[..., :5, :5]


class Drifting(Stress):
    name, translates = "drifting", True

    def offset(self, g):
        return torch.nn.functional.pad(g.translation, (0, 3))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Transposed(), r"kind 'transposed' is no representation of SE\(3\): rho\(g h\) differs"),
        (Plain(), "kind 'plain': its matrices are not orthogonal"),
        (Narrow(), r"kind 'narrow': its matrices have shape \(16, 6, 6\), float64; got \(16, 5, 5\)"),
        (Drifting(), r"kind 'drifting' is no action of SE\(3\)"),
    ],
)
def test_what_is_no_representation_is_refused_in_one_line(kind, message):
    rep = Rep(((1, kind),), 3)
    with pytest.raises(RepError, match=message) as caught:
        check_rep(rep, SE3)
    assert "\n" not in str(caught.value)
    with pytest.raises(RepError, match=message):
        check_equivariance(lambda x: x, [rep], rep, SE3, [torch.ones(4, 6)])


@pytest.mark.parametrize("name", ["1o", "m2", "2e", "2xa", "a+b", "a b", "", "perm5", "same", "(a)", "0"])
def test_names_that_a_kind_cannot_have(name):
    kind = Stress()
    kind.name = name
    with pytest.raises(RepError):
        Rep.parse("1o", 3, kinds=[kind])
    with pytest.raises(RepError, match="is no kind"):
        Rep.parse("1o", 3, kinds=["1o"])


@pytest.mark.parametrize(
    ("text", "d", "message"),
    [
        ("2e", 2, r"lives in space \(d = 3\)"),
        ("m2", 3, r"lives in the plane \(d = 2\)"),
        ("quat", 2, "lives in space"),
        ("p*p", 3, "points are multiplied by"),
        ("p*1o", 3, "points are multiplied by"),
        ("m0", 2, "no kind 'm0'"),
        ("02e", 3, "no kind '02e'"),
        ("1o*", 3, "no kind ''"),
        ("(1o", 3, "no kind"),
        ("()", 3, "no kind"),
        ("signed[1,1]", 3, "once"),
        ("vec", 3, "no kind 'vec', known|did you mean"),
    ],
)
def test_texts_that_are_no_rep(text, d, message):
    with pytest.raises(RepError, match=message) as caught:
        Rep.parse(text, d)
    assert "\n" not in str(caught.value)


def test_equal_kinds_are_merged_however_they_were_made():
    made = Rep(((1, Irreducible(2, odd=False)), (1, "2e"), (1, TensorProduct((VECTOR, VECTOR))), (2, "1o*1o")), 3)
    assert str(made) == "2x2e+3x1o*1o"
    assert Rep.parse("0+0e", 3).terms == ((2, SCALAR),)
