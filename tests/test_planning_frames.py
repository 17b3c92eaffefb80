"""Frames turn with the scene, and say where they cannot."""

import pytest
import torch

from equiwm.errors import DataError
from equiwm.planning.frames import LEAST_SINE, CloudFrames, planar_frames
from equiwm.symmetry.groups import SE2, SE3
from equiwm.symmetry.reps import Rep, vectors

POINTS = 12


def _clouds(n, seed=0):
    template = torch.randn(POINTS, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    rng = torch.Generator().manual_seed(seed)
    return template * torch.tensor([1.0, 0.55, 0.3]) + 0.1 * torch.randn(
        n, POINTS, 3, generator=rng, dtype=torch.float64
    )


def _orthonormal(axes):
    d = axes.shape[-1]
    identity = torch.eye(d, dtype=torch.float64).expand_as(axes)
    assert torch.allclose(axes.transpose(-1, -2) @ axes, identity, rtol=0, atol=1e-12)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(len(axes), dtype=torch.float64))


def test_planar_frames_turn_with_the_direction():
    direction = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g = SE2.sample(64, seed=1)
    frames = planar_frames(direction)
    turned = planar_frames(vectors(1, 2).transform(direction, g))
    _orthonormal(frames.axes)
    assert (turned.axes - g.linear @ frames.axes).abs().max() < 1e-14
    assert not frames.degenerate.any()
    assert torch.allclose(planar_frames(7.0 * direction).axes, frames.axes, atol=1e-15)


def test_cloud_frames_turn_with_the_cloud_and_ignore_translations():
    fitted = CloudFrames.fit(_clouds(200))
    clouds, g = _clouds(64, seed=1), SE3.sample(64, seed=2, sigma=10.0)
    rep = Rep(((POINTS, "p"),), 3)
    frames, turned = fitted(clouds), fitted(rep.transform(clouds, g))
    _orthonormal(frames.axes)
    assert (turned.axes - g.linear @ frames.axes).abs().max() < 1e-12
    assert not frames.degenerate.any()


def test_the_fitted_sums_are_far_from_parallel():
    fitted, clouds = CloudFrames.fit(_clouds(200)), _clouds(200, seed=1)
    first, second = (fitted.weights @ (clouds - clouds.mean(1, keepdim=True))).unbind(1)
    sine = torch.linalg.cross(first, second).norm(dim=-1) / (first.norm(dim=-1) * second.norm(dim=-1))
    assert sine.min() > 0.9
    control = torch.linalg.cross(clouds[:, 0], clouds[:, 1]).norm(dim=-1)
    control = control / (clouds[:, 0].norm(dim=-1) * clouds[:, 1].norm(dim=-1))
    assert control.min() < 0.9  # two points of a cloud are no such pair


def test_the_fit_does_not_depend_on_the_orientation_of_its_clouds_and_fixes_signs():
    clouds = _clouds(200)
    turned = Rep(((POINTS, "p"),), 3).transform(clouds, SE3.sample(200, seed=3))
    weights = CloudFrames.fit(clouds).weights
    assert torch.allclose(CloudFrames.fit(turned).weights, weights, atol=1e-10)
    assert torch.allclose(CloudFrames.fit(-clouds).weights, weights, atol=1e-12)
    assert (weights.gather(1, weights.abs().argmax(1, keepdim=True)) > 0).all()


def test_degenerate_clouds_keep_the_axes_they_have_and_are_marked():
    fitted = CloudFrames.fit(_clouds(50))
    line = torch.linspace(-1, 1, POINTS, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, -2.0]) / 3.0
    nearly = line + 1e-3 * LEAST_SINE * _clouds(1)[0]
    far = torch.full((POINTS, 3), 0.1, dtype=torch.float64) + 1e3  # coincident: only rounding is left of it
    frames = fitted(torch.stack([line, nearly, torch.zeros_like(line), far, _clouds(1)[0]]))
    _orthonormal(frames.axes)
    assert frames.degenerate.tolist() == [True, True, True, True, False]
    along = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64) / 3.0
    assert (frames.axes[:2, :, 0] @ along).abs().allclose(torch.ones(2, dtype=torch.float64), atol=1e-8)
    # The second axis is the part of the laboratory's x, the most perpendicular, that is left beside the line.
    x = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    expected = torch.nn.functional.normalize(x - along[0] * along, dim=0)
    assert torch.allclose(frames.axes[0, :, 1], expected, atol=1e-12)
    assert torch.equal(frames.axes[2], torch.eye(3, dtype=torch.float64))


def test_a_cloud_just_above_the_threshold_still_turns():
    fitted = CloudFrames.fit(_clouds(50))
    line = torch.linspace(-1, 1, POINTS, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, -2.0]) / 3.0
    cloud = (line + 100 * LEAST_SINE * _clouds(1)[0])[None]
    g = SE3.sample(1, seed=0, sigma=0.0)
    frames, turned = fitted(cloud), fitted(Rep(((POINTS, "p"),), 3).transform(cloud, g))
    assert not frames.degenerate.any()
    assert (turned.axes - g.linear @ frames.axes).abs().max() < 1e-9


def test_a_direction_of_norm_zero_is_marked():
    frames = planar_frames(torch.tensor([[0.0, 0.0], [0.0, 1e-100]], dtype=torch.float64))
    assert frames.degenerate.tolist() == [True, False]
    _orthonormal(frames.axes)


@pytest.mark.parametrize(
    "clouds",
    [torch.zeros(5, POINTS, 3), torch.randn(5, 2, 3), torch.randn(POINTS, 3), torch.full((5, POINTS, 3), torch.nan)],
)
def test_a_fit_refuses_what_has_no_frame(clouds):
    with pytest.raises(DataError):
        CloudFrames.fit(clouds)


def test_frames_refuse_other_shapes():
    with pytest.raises(DataError, match=r"\(\d+, 12, 3\)"):
        CloudFrames.fit(_clouds(5))(torch.zeros(1, 11, 3))
    with pytest.raises(DataError, match="finite"):
        planar_frames(torch.tensor([[0.0, torch.inf]]))
