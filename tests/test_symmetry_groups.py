"""The groups: their laws at random elements, and the distributions they are sampled from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from equiwm.errors import GroupError
from equiwm.symmetry.groups import GROUPS, O2, O3, SE2, SE3, SO2, SO3, Elements, Group

ALL = list(GROUPS.values())
groups = st.sampled_from(ALL)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 5)
every_group = pytest.mark.parametrize("group", ALL, ids=str)

settings.register_profile("symmetry", deadline=None, max_examples=40)
settings.load_profile("symmetry")


def act(g: Elements, x: torch.Tensor) -> torch.Tensor:
    """g on points, spelled out in entries: y_i = sum_j R_ij x_j + t_i."""
    return torch.einsum("...ij,...j->...i", g.linear, x) + g.translation


def close(g: Elements, h: Elements) -> bool:
    return torch.allclose(g.linear, h.linear, atol=1e-13) and torch.allclose(g.translation, h.translation, atol=1e-12)


# Laws


@given(groups, seeds, sizes)
def test_group_laws(group, seed, n):
    rng = np.random.default_rng(seed)
    g, h, k = (group.sample(n, rng, sigma=3.0) for _ in range(3))
    identity = group.identity(n)
    assert close((g @ h) @ k, g @ (h @ k))
    assert close(g @ identity, g)
    assert close(identity @ g, g)
    assert close(g @ g.inverse(), identity)
    assert close(g.inverse() @ g, identity)
    assert close((g @ h).inverse(), h.inverse() @ g.inverse())


@given(groups, seeds, sizes)
def test_composition_is_action_after_action(group, seed, n):
    rng = np.random.default_rng(seed)
    g, h = group.sample(n, rng), group.sample(n, rng)
    x = torch.from_numpy(rng.normal(size=(n, group.d)))
    assert torch.allclose(act(g @ h, x), act(g, act(h, x)), atol=1e-12)
    assert torch.allclose(act(g.inverse(), act(g, x)), x, atol=1e-12)


@given(groups, seeds, sizes)
def test_samples_are_elements(group, seed, n):
    for g in (group.sample(n, seed), group.orbit(n, seed), group.ball(n, seed, outer=70.0)):
        assert g.shape == (n,)
        assert len(g) == n
        assert g.linear.dtype == g.translation.dtype == torch.float64
        eye = torch.eye(group.d, dtype=torch.float64)
        assert torch.allclose(g.linear.mT @ g.linear, eye.expand_as(g.linear), rtol=0, atol=1e-14)
        assert torch.allclose(torch.linalg.det(g.linear), g.determinant, atol=1e-14)
        assert group.reflections or (g.determinant == 1).all()
        assert group.translations or (g.translation == 0).all()


@given(groups, seeds)
def test_sampling_is_seeded(group, seed):
    assert close(group.sample(3, seed), group.sample(3, np.random.default_rng(seed)))
    assert not close(group.sample(3, seed), group.sample(3, seed + 1))


@given(groups, seeds)
def test_batch_shapes(group, seed):
    g, h = group.sample(6, seed), group.sample(4, seed + 1)
    outer = g[:, None] @ h
    assert outer.shape == (6, 4)
    assert close(outer[2, 3], g[2] @ h[3])
    assert g[2].shape == ()
    assert len(g[2]) == 1
    assert g[1:3].shape == (2,)
    assert g[torch.arange(6) > 2].shape == (3,)
    assert g[None, :, None].shape == (1, 6, 1)
    assert outer[..., 0].shape == (6,)
    assert outer.inverse().shape == outer.determinant.shape == outer.angle_deg.shape == (6, 4)


# Distributions


@every_group
def test_haar_mean_vanishes_and_is_invariant(group):
    g = group.sample(20_000, 0)
    mean = g.linear.mean(0)
    assert mean.abs().max() < 0.03
    second = torch.einsum("nij,nkl->ijkl", g.linear, g.linear) / len(g)  # invariant: turning it changes nothing
    turn = SO2.rotation([33.0]) if group.d == 2 else SO3.sample(1, 5)
    turned = torch.einsum("ai,ijkl,ck->ajcl", turn.linear[0], second, turn.linear[0])
    assert (second - turned).abs().max() < 0.05


@pytest.mark.parametrize("group", [SO2, SE2], ids=str)
def test_haar_angles_of_the_plane_are_uniform(group):
    g = group.sample(5_000, 1)
    angle = torch.atan2(g.linear[:, 1, 0], g.linear[:, 0, 0]) % (2 * np.pi)
    assert kstest(angle.numpy() / (2 * np.pi), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("group", [SO3, O3, SE3], ids=str)
def test_haar_angles_of_space_have_density_one_minus_cos(group):
    angle = np.deg2rad(group.sample(5_000, 2).angle_deg.numpy())
    assert kstest(angle, lambda x: (x - np.sin(x)) / np.pi).pvalue > 1e-3
    assert kstest(angle / np.pi, "uniform").pvalue < 1e-6


@pytest.mark.parametrize("group", [O2, O3], ids=str)
def test_half_of_the_elements_reflect(group):
    assert abs(float(group.sample(10_000, 3).determinant.mean())) < 0.05


@pytest.mark.parametrize("group", [SE2, SE3], ids=str)
def test_translations_are_normal(group):
    t = group.sample(3_000, 4, sigma=2.5).translation.flatten().numpy()
    assert kstest(t / 2.5, "norm").pvalue > 1e-3


@pytest.mark.parametrize(("inner", "outer"), [(0.0, 60.0), (60.0, 180.0), (90.0, 91.0), (0.0, 180.0), (0.0, 0.01)])
@pytest.mark.parametrize("group", [SO2, SO3], ids=str)
def test_balls_hold_the_haar_measure_between_two_angles(group, inner, outer):
    g = group.ball(3_000, 5, inner=inner, outer=outer)
    angle = g.angle_deg.numpy()
    assert angle.min() >= inner - 1e-5
    assert angle.max() <= outer + 1e-5

    def mass(x):
        x = np.deg2rad(x)
        # x - sin(x) loses its digits at small angles, where it is x^3 / 6
        return x if group.d == 2 else np.where(x < 1e-2, x**3 / 6, x - np.sin(x))

    expected = lambda x: (mass(x) - mass(inner)) / (mass(outer) - mass(inner))  # noqa: E731
    assert kstest(angle, expected).pvalue > 1e-3
    if group.d == 3:  # no axis is preferred
        skew = (g.linear - g.linear.mT)[:, [2, 0, 1], [1, 2, 0]].numpy()
        z = skew[:, 2] / np.linalg.norm(skew, axis=1)
        assert kstest((z + 1) / 2, "uniform").pvalue > 1e-3
    else:
        assert abs(float(g.linear[:, 1, 0].sign().mean())) < 0.1


def test_the_sampler_of_the_test_would_be_caught():
    """An angle drawn uniformly, the usual mistake, does not pass as Haar."""
    angle = SO3.ball(3_000, 0, outer=60.0).angle_deg.numpy()
    assert kstest(angle / 60.0, "uniform").pvalue < 1e-6


@given(seeds, st.floats(-360, 360), st.floats(1, 359))
def test_wedges_and_their_complements_are_disjoint(seed, low, width):
    inside, outside = (
        SO2.wedge(200, seed, low=low, high=low + width),
        SO2.wedge(200, seed, low=low + width, high=low + 360.0),
    )
    for g, start, span in ((inside, low, width), (outside, low + width, 360.0 - width)):
        angle = torch.rad2deg(torch.atan2(g.linear[:, 1, 0], g.linear[:, 0, 0])) - start
        assert ((angle + 1e-9) % 360.0 <= span + 2e-9).all()


def test_wedges_of_space_are_about_z():
    g = SO3.wedge(500, 0, low=0.0, high=90.0)
    assert torch.allclose(g.linear[:, 2, 2], torch.ones(500, dtype=torch.float64), rtol=0, atol=1e-14)
    assert (g.angle_deg < 90.0 + 1e-9).all()
    assert kstest(g.angle_deg.numpy() / 90.0, "uniform").pvalue > 1e-3


# Elements by hand


@every_group
def test_orbits_begin_with_the_identity(group):
    for n in (1, 7):
        g = group.orbit(n, 3)
        assert torch.equal(g.linear[0], torch.eye(group.d, dtype=torch.float64))
        assert torch.equal(g.translation[0], torch.zeros(group.d, dtype=torch.float64))
    assert close(group.orbit(7, 3), group.orbit(7, 3))


def test_the_orbit_of_the_plane_is_even():
    assert torch.allclose(
        SO2.orbit(8).angle_deg, torch.tensor([0.0, 45, 90, 135, 180, 135, 90, 45], dtype=torch.float64)
    )
    assert close(SO2.orbit(8), SO2.rotation(np.arange(8) * 45.0))


@pytest.mark.parametrize("angle", [30.0, np.float64(30.0), torch.tensor(30.0), 30])
@every_group
def test_rotations_by_one_angle(group, angle):
    g = group.rotation(angle)
    assert g.shape == ()
    assert float(g.angle_deg) == pytest.approx(30.0)
    expected = torch.tensor([[3**0.5 / 2, -0.5], [0.5, 3**0.5 / 2]], dtype=torch.float64)
    assert torch.allclose(g.linear[:2, :2], expected, atol=1e-15)


def test_rotations_about_the_axes():
    e = torch.eye(3, dtype=torch.float64)
    for axis, (start, end) in {"x": (1, 2), "y": (2, 0), "z": (0, 1)}.items():
        assert torch.allclose(SO3.rotation(90.0, axis).linear @ e[start], e[end], atol=1e-15)
    assert SO3.rotation(np.zeros((2, 3))).shape == (2, 3)
    assert SO2.rotation(np.zeros((2, 3))).shape == (2, 3)


def test_elements_refuses_what_is_not_in_the_group():
    rotation = SO3.sample(4, 0).linear
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    with pytest.raises(GroupError, match="float64"):
        SO3.elements(rotation.float())
    with pytest.raises(GroupError, match="not orthogonal"):
        SO3.elements(1.001 * rotation)
    with pytest.raises(GroupError, match="reflects"):
        SO3.elements(rotation @ mirror)
    with pytest.raises(GroupError, match="2 x 2"):
        SO2.elements(rotation)
    with pytest.raises(GroupError, match="use se3"):
        SO3.elements(rotation, torch.ones(3))
    assert O3.elements(rotation @ mirror).determinant.tolist() == [-1.0] * 4
    assert SE3.elements(rotation, torch.ones(3)).translation.shape == (4, 3)


def test_bad_ranges_are_refused():
    for low, high in ((10.0, 10.0), (20.0, 10.0), (0.0, 361.0)):
        with pytest.raises(GroupError, match="wedge"):
            SO2.wedge(1, 0, low=low, high=high)
    for inner, outer in ((10.0, 10.0), (-1.0, 10.0), (0.0, 181.0)):
        with pytest.raises(GroupError, match="ball"):
            SO3.ball(1, 0, inner=inner, outer=outer)


def test_names():
    for group in ALL:
        assert Group.parse(group.name) is Group.parse(str(group)) is Group.parse(group.name.upper()) is group
    with pytest.raises(GroupError, match="so3"):
        Group.parse("so4")


def test_subgroups():
    assert SO2 in SE2
    assert SO2 in O2
    assert SO3 in SO3
    assert SE2 not in SO2
    assert O3 not in SE3
    assert SO2 not in SE3
    assert "so2" not in SE2
