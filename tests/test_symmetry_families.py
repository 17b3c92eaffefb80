"""The families of groups: their laws, names, subgroups, generators, and the refusal of what is no group."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.errors import DataError, GroupError
from equiwm.symmetry.about import about
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.finite import FiniteGroup, cyclic, dihedral
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import GROUPS, O2, O3, SE2, SE3, SO2, SO3, EuclideanGroup
from equiwm.symmetry.laws import check_group

SETTINGS = settings(deadline=None, max_examples=40)
ORDERS = {
    "c1": 1, "c4": 4, "c7": 7, "d1": 2, "d3": 6, "d4": 8, "c5z": 5, "c5x": 5, "d4z": 8, "d3y": 6,
    "mirrorx": 2, "mirrory": 2, "mirrorz": 2, "mirrorx2": 2, "mirrory2": 2, "inversion": 2,
    "oct": 24, "octh": 48, "s1": 1, "s2": 2, "s5": 120, "c4*mirrory2": 8, "oct*inversion": 48, "c4*s3": 24,
}  # fmt: skip
INFINITE = [
    *GROUPS, "so2x", "so2y", "so2z", "o2z", "se2x", "se2y", "se2z", "e2z",
    "so3*s5", "s3*se2", "so2z*mirrorz", "mirrorz*so2z", "se2z*c2z", "o2z*inversion*mirrorz",
]  # fmt: skip
names = st.sampled_from([*ORDERS, *INFINITE])


def close(g: Elements, h: Elements) -> bool:
    same = torch.allclose(g.linear, h.linear, atol=1e-12) and torch.allclose(g.translation, h.translation, atol=1e-11)
    return same and torch.equal(permutation(g), permutation(h))


def permutation(g: Elements) -> torch.Tensor:
    return torch.zeros(0) if g.permutation is None else g.permutation


# Laws


@SETTINGS
@given(names, st.integers(0, 2**32 - 1))
def test_group_laws(name, seed):
    group = Group.parse(name)
    rng = np.random.default_rng(seed)
    g, h, k = (group.sample(5, rng, sigma=3.0) for _ in range(3))
    assert close((g @ h) @ k, g @ (h @ k))
    assert close(g @ group.identity(5), g.acting_on(group.d, group.items))
    assert close(g @ g.inverse(), group.identity(5))
    assert close((g @ h).inverse(), h.inverse() @ g.inverse())
    for part in (g, g @ h, g.inverse(), group.identity(5), group.orbit(5, rng)):
        assert group.contains(part).all()
    assert group.elements(g.linear, g.translation, g.permutation).shape == (5,)


@pytest.mark.parametrize("name", [*ORDERS, *INFINITE])
def test_every_group_in_the_box_keeps_the_laws_and_its_name(name):
    group = check_group(Group.parse(name))
    assert group.name == name
    assert Group.parse(name) is group
    assert Group.parse(str(group).upper()).name == name
    assert group.order == ORDERS.get(name)
    assert group.is_finite == (name in ORDERS)
    assert group in group
    restored = pickle.loads(pickle.dumps(group))
    assert close(restored.sample(3, 0), group.sample(3, 0))


@pytest.mark.parametrize("name", [name for name in ORDERS if isinstance(Group.parse(name), FiniteGroup)])
def test_finite_groups_are_closed_and_have_every_element_once(name):
    group = Group.parse(name)
    g = group.all_elements
    table = g[:, None] @ g[None]
    assert group.contains(table).all()
    apart = (g.linear[:, None] - g.linear[None]).abs().amax((-2, -1))
    apart += (permutation(g)[:, None] != permutation(g)[None]).any(-1) if g.items else 0.0
    assert ((apart < 1e-9).sum(1) == 1).all()
    assert torch.equal(g.linear[0], torch.eye(group.d, dtype=torch.float64))
    drawn = group.sample(400 * group.order, 0)
    counts = (drawn.linear[:, None] - g.linear).abs().amax((-2, -1)).lt(1e-9).sum(0)
    assert (counts > 250).all()  # every element about 400 times


def test_permutations_are_uniform_and_act_as_they_say():
    group = Group.parse("s3")
    places = group.sample(6_000, 0).permutation
    _, counts = torch.unique(places, dim=0, return_counts=True)
    assert len(counts) == 6
    assert (counts > 850).all()
    g, h = (Elements(torch.zeros(0, 0), torch.zeros(0), torch.tensor(p)) for p in ([1, 2, 0], [1, 0, 2]))
    assert (g @ h).permutation.tolist() == [2, 1, 0]  # item 0 goes to place 1 by h, and from there to 2 by g
    assert g.inverse().permutation.tolist() == [2, 0, 1]


# Subgroups

INSIDE = [
    ("c4", "so2"), ("c4", "d4"), ("c2", "c4"), ("d3", "o2"), ("mirrorx2", "o2"), ("mirrorx2", "d3"), ("so2", "se2"),
    ("so2z", "so3"), ("so2z", "o2z"), ("o2z", "o3"), ("se2z", "se3"), ("so2z", "se2z"), ("c5z", "so2z"), ("e2z", "e3"),
    ("oct", "so3"), ("oct", "octh"), ("octh", "o3"), ("c4z", "oct"), ("c4x", "oct"), ("d4z", "octh"), ("mirrorz", "o3"),
    ("mirrorx", "o2z"), ("inversion", "octh"), ("s5", "so3*s5"), ("so3", "so3*s5"), ("c5z*s5", "so3*s5"), ("c1", "c3"),
    ("mirrorz", "so2z*mirrorz"), ("so3", "e3"), ("se2", "e2"),
]  # fmt: skip
OUTSIDE = [
    ("so2", "c4"), ("d4", "c4"), ("c4", "c2"), ("o2", "so2"), ("mirrorx2", "so2"), ("se2", "so2"), ("so3", "so2z"),
    ("so2x", "so2z"), ("se3", "se2z"), ("se2x", "se2z"), ("mirrorz", "o2z"), ("octh", "so3"), ("c5z", "oct"),
    ("so3", "oct"), ("o3", "se3"), ("so2", "so3"), ("so3", "so2"), ("s5", "so3"), ("s5", "s4"), ("so3*s5", "so3"),
    ("mirrory2", "d3"), ("inversion", "o2z"), ("se2z", "so3"), ("c36", "c35"),
]  # fmt: skip


@pytest.mark.parametrize(("small", "large"), INSIDE)
def test_subgroups(small, large):
    assert Group.parse(small) in Group.parse(large)


@pytest.mark.parametrize(("small", "large"), OUTSIDE)
def test_what_is_no_subgroup(small, large):
    assert Group.parse(small) not in Group.parse(large)


# About an axis


def test_about_z_the_vertical_stays():
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for name in ("so2z", "o2z", "c5z", "d4z", "se2z", "e2z"):
        g = Group.parse(name).sample(20, 0)
        assert torch.allclose(g.linear @ up, up.expand(20, 3), atol=1e-14)
        assert (g.translation[:, 2] == 0).all()
    assert not Group.parse("o2z").contains(SO3.rotation(180.0, "x"))  # a half turn about a horizontal axis
    assert Group.parse("o2z").contains(O3.elements(torch.diag(torch.tensor([-1.0, 1.0, 1.0]).double())))


def test_turns_about_each_axis_are_right_handed():
    for axis in "xyz":
        group = Group.parse(f"so2{axis}")
        assert torch.allclose(group.rotation(33.0).linear, SO3.rotation(33.0, axis).linear, atol=1e-15)
        assert bool(group.contains(SO3.rotation(33.0, axis)))
        assert not bool(group.contains(SO3.rotation(33.0, "xyz"["xyz".index(axis) - 1])))


def test_any_direction_is_an_axis():
    group = check_group(SE2.about((1.0, 1.0, 1.0)))
    axis = torch.ones(3, dtype=torch.float64) / 3**0.5
    g = group.sample(20, 0)
    assert torch.allclose(g.linear @ axis, axis.expand(20, 3), atol=1e-14)
    assert (g.translation @ axis).abs().max() < 1e-13
    third = cyclic(3).about((1, 1, 1))
    assert third in Group.parse("oct")
    assert cyclic(4).about((1, 1, 1)) not in Group.parse("oct")


# Generators and cosets


@pytest.mark.parametrize("name", [*ORDERS, *INFINITE])
def test_generators_and_their_flows_are_elements(name):
    group = Group.parse(name)
    generators = group.generators
    assert generators.linear.dtype == torch.float64
    assert generators.matrices.shape == (generators.dimension, group.d + 1, group.d + 1)
    assert group.contains(generators.elements()).all()
    assert torch.allclose(generators.linear, -generators.linear.mT, atol=1e-14)
    assert generators.dimension == 0 or not group.is_finite


def test_the_dimension_of_the_algebra():
    for name, dimension in {"so2": 1, "se2": 3, "so3": 3, "se3": 6, "e3": 6, "so2z": 1, "se2z": 3, "so3*s5": 3}.items():
        assert Group.parse(name).generators.dimension == dimension
    assert Group.parse("se2y").generators.names == ("rotation zx", "translation z", "translation x")
    turn = SO3.generators.flow(np.pi / 2)
    for k, axis in enumerate("zyx"):  # rotation xy, xz, yz
        assert torch.allclose(turn[k].linear, SO3.rotation(-90.0 if axis == "y" else 90.0, axis).linear, atol=1e-14)


def test_finite_generators_give_the_whole_group():
    for name in ("d4", "oct", "octh", "c5z", "d3y"):
        group = Group.parse(name)
        again = FiniteGroup.generated_by(group.generators.discrete.linear, name="again")
        assert again.order == group.order
        assert again in group


def test_cosets_do_one_thing_at_a_time():
    found = Group.parse("e3*s4").cosets(64, 0, sigma=2.0)
    assert set(found) == {"rotation", "reflection", "translation", "permutation"}
    assert (found["rotation"].determinant == 1).all()
    assert (found["reflection"].determinant == -1).all()
    assert not found["reflection"].moves.any()
    assert not found["translation"].turns.any()
    assert not found["permutation"].turns.any()
    assert set(Group.parse("so2").cosets(16, 0)) == {"rotation"}
    assert set(Group.parse("se2z").cosets(16, 0)) == {"rotation", "translation"}


def test_a_mirror_that_exchanges_legs_stays_whole():
    robot = FiniteGroup.generated_by([np.diag([1.0, -1.0, 1.0])], permutations=[[1, 0, 3, 2]], name="robot")
    assert robot.order == 2
    assert check_group(robot) is robot
    (name, part), *others = robot.cosets(16, 0).items()
    assert name == "reflection and permutation"
    assert not others
    assert part.permutation[0].tolist() == [1, 0, 3, 2]
    assert robot not in O3
    assert Group.parse("mirrory") not in robot
    turning = FiniteGroup.generated_by([SO3.rotation(90.0).linear], permutations=[[1, 2, 3, 0]], name="quadruped")
    assert turning.order == 4
    assert turning in Group.parse("c4z*s4")


# A user's own


class Screw(Group):
    """Turns about z with a rise along it: what a user's own group needs."""

    name, d = "screw", 3

    def sample(self, n, seed, *, sigma=1.0):
        angles = np.random.default_rng(seed).normal(0.0, 2.0, n)
        rise = torch.zeros(n, 3, dtype=torch.float64)
        rise[:, 2] = torch.from_numpy(angles)
        return Elements(SO3.rotation(np.rad2deg(angles)).linear, rise)

    def contains(self, g):
        expected = SO3.rotation(torch.rad2deg(g.translation[..., 2])).linear
        return ((g.linear - expected).abs().amax((-2, -1)) < 1e-9) & (g.translation[..., :2].abs().amax(-1) < 1e-9)


def test_a_users_own_group():
    group = check_group(Screw())
    assert group in SE3
    assert SE3 not in group
    assert Group.parse("so2z") not in group
    assert group.translations
    assert not group.reflections
    assert not group.is_finite
    assert str(group) == "screw"
    assert set(group.cosets(8, 0)) == {"rotation and translation"}
    with pytest.raises(GroupError, match="not an element of screw"):
        group.rotation(30.0)


class Scaled(Screw):
    name = "scaled"

    def sample(self, n, seed, *, sigma=1.0):
        drawn = super().sample(n, seed)
        return Elements(1.001 * drawn.linear, drawn.translation)


class HalfOpen(Screw):
    """Turns by at most a radian: no group."""

    name = "half open"

    def contains(self, g):
        return super().contains(g) & (g.translation[..., 2].abs() < 2.0)

    def sample(self, n, seed, *, sigma=1.0):
        angles = np.random.default_rng(seed).uniform(-1.9, 1.9, n)
        drawn = super().sample(n, seed)
        drawn.translation[:, 2] = torch.from_numpy(angles)
        return Elements(SO3.rotation(np.rad2deg(angles)).linear, drawn.translation)


class Flat(Screw):
    name = "flat"

    def sample(self, n, seed, *, sigma=1.0):
        return SO2.sample(n, seed)


class Single(Screw):
    name = "single"

    def sample(self, n, seed, *, sigma=1.0):
        drawn = super().sample(n, seed)
        return Elements(drawn.linear.float(), drawn.translation.float())


class Holed(Screw):
    name = "holed"

    def sample(self, n, seed, *, sigma=1.0):
        drawn = super().sample(n, seed)
        return Elements(drawn.linear, drawn.translation * torch.nan)


class Strict(Screw):
    name = "strict"

    def contains(self, g):
        return torch.zeros(g.shape, dtype=torch.bool)


class Talkative(Screw):
    name = "talkative"

    def contains(self, g):
        return True


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (Scaled(), "group 'scaled': a sampled element is not orthogonal"),
        (HalfOpen(), "group 'half open': the product of two sampled elements is not in it"),
        (Flat(), r"group 'flat': 32 elements have shapes \(\(32, 3, 3\), \(32, 3\)\)"),
        (Single(), "group 'single': elements are float64"),
        (Holed(), "group 'holed': a sampled element holds NaN"),
        (Strict(), "group 'strict': the identity is not in it"),
        (Talkative(), "group 'talkative': contains has to give bool"),
        ("so3", "str is no group"),
    ],
)
def test_what_is_no_group_is_refused_in_one_line(group, message):
    with pytest.raises(GroupError, match=message) as caught:
        check_group(group)
    assert "\n" not in str(caught.value)


class Raising(Screw):
    name = "raising"

    def contains(self, g):
        raise KeyError("nothing")


def test_what_a_users_group_raises_names_it():
    with pytest.raises(DataError, match=r"test_symmetry_families:Raising\.contains raised KeyError") as caught:
        check_group(Raising())
    assert "\n" not in str(caught.value)


def test_matrices_that_generate_no_finite_group():
    with pytest.raises(GroupError, match="generator 2 is not orthogonal"):
        FiniteGroup.generated_by([np.eye(2), 1.01 * np.eye(2)], name="mine")
    with pytest.raises(GroupError, match="more than 1024 elements"):
        FiniteGroup.generated_by([SO2.rotation(1.0).linear, SO2.rotation(2.0**0.5).linear], name="mine")
    with pytest.raises(GroupError, match=r"shape \(k, d, d\)"):
        FiniteGroup.generated_by(np.eye(2), name="mine")
    with pytest.raises(GroupError, match="permutations"):
        FiniteGroup.generated_by([np.eye(2)], permutations=[[0, 0]], name="mine")


def test_a_name_is_no_way_to_make_a_group():
    with pytest.raises(TypeError):
        Group("c4", 2)
    with pytest.raises(GroupError, match="with these motions it is so2"):
        EuclideanGroup("c4", 2)
    assert Group.parse("c4").sample(50, 0).angle_deg.round(decimals=6).unique().numel() == 3  # 0, 90 (either way), 180


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("so4", "so3"),
        ("c4w", "did you mean"),
        ("c0", "got n = 0, expected 1 to 1024"),
        ("d600", "expected 1 to 512"),
        ("s99999", "expected 1 to 4096"),
        ("mirrow", "mirrorx"),
        ("so3*", "unknown group"),
        ("", "unknown group"),
        ("so3*so2", "one acts on d = 3, the other on d = 2"),
        ("s3*s4", "both permute"),
        ("so3*se3", "one has to be finite"),
        ("so2z*oct", "is no group"),
        ("s3z", "unknown group"),
    ],
)
def test_names_that_are_none(name, message):
    with pytest.raises(GroupError, match=message):
        Group.parse(name)


def test_axes_that_are_none():
    with pytest.raises(GroupError, match="only groups of the plane"):
        about(SO3, "z")
    with pytest.raises(GroupError, match="unknown axis 'w'"):
        about(SO2, "w")
    with pytest.raises(GroupError, match="not all zero"):
        O2.about((0.0, 0.0, 0.0))
    with pytest.raises(GroupError, match="not an element of so2x"):
        Group.parse("so2x").rotation(30.0, "z")


def test_elements_say_what_they_lack():
    with pytest.raises(GroupError, match="not an element of c4: it is not one of its elements"):
        cyclic(4).elements(SO2.rotation(30.0).linear)
    with pytest.raises(GroupError, match="not an element of c4: the matrix reflects"):
        cyclic(4).elements(dihedral(4).all_elements.linear)
    with pytest.raises(GroupError, match="not an element of se2z: it is not one"):
        Group.parse("se2z").elements(torch.eye(3), torch.tensor([0.0, 0.0, 1.0]))
    with pytest.raises(GroupError, match="permutes 5 items; got a permutation of 4"):
        Group.parse("so3*s5").elements(torch.eye(3), permutation=torch.arange(4))
    with pytest.raises(GroupError, match="do not act on 3 dimensions and 0 items"):
        Group.parse("so3*s5").sample(1, 0).acting_on(3, 0)
