"""Frame averaging: canonical frames, the exactness they give an ordinary network, and their degenerate rule."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from equiwm.audit.residual import check_equivariance
from equiwm.errors import RepError
from equiwm.models import frames
from equiwm.models.frames import GAP, FrameEncoder, FramePredictor, principal_frames
from equiwm.models.mlp import MLPEncoder, MLPPredictor
from equiwm.symmetry.groups import SO3
from equiwm.symmetry.reps import Rep, vectors
from equiwm.testing import assert_equivariant

EXACT = 1e-12
CLOUD, MIXED, LATENT, ACTION = Rep.parse("12xp", 3), Rep.parse("8xp+3x1o", 3), vectors(6, 3), vectors(1, 3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def anisotropic(n: int, count: int, d: int = 3) -> Tensor:
    return torch.randn(n, count, d, dtype=torch.float64) * torch.tensor([1.0, 0.55, 0.3][:d], dtype=torch.float64)


def encoder(rep: Rep = CLOUD) -> FrameEncoder:
    return FrameEncoder(rep, vectors(6, rep.d), (32, 32)).double()


def predictor() -> FramePredictor:
    return FramePredictor(LATENT, ACTION, (32,)).double()


@pytest.mark.parametrize("d", [2, 3])
def test_frames_are_rotations_and_turn_with_the_input(d):
    x = anisotropic(16, 7, d)
    found, weight = principal_frames(x)
    assert found.shape == (16, 2 if d == 2 else 4, d, d)
    eye = torch.eye(d, dtype=torch.float64).expand_as(found)
    assert torch.allclose(found @ found.mT, eye, atol=1e-12)
    assert torch.allclose(torch.linalg.det(found), torch.ones(found.shape[:2], dtype=torch.float64))
    rotation = SO3.sample(1, 0).linear[0]
    if d == 2:
        angle = torch.tensor(1.0, dtype=torch.float64)
        rotation = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]], dtype=torch.float64)
    turned, turned_weight = principal_frames(x @ rotation.T)
    assert torch.allclose(turned_weight, weight, atol=1e-12)
    # The same set of frames, in whatever order the signs came out.
    distance = (turned[:, :, None] - (rotation @ found)[:, None]).flatten(3).norm(dim=-1)
    assert float(distance.min(2).values.max()) <= 1e-10


def test_an_encoder_is_the_average_over_frames():
    built, x = encoder(), anisotropic(5, 12)
    x = x - x.mean(1, keepdim=True)
    found, weight = principal_frames(x)
    for sample in range(5):
        outputs = [r @ built.network((r.T @ x[sample].T).T.flatten()).unflatten(0, (-1, 3)).T for r in found[sample]]
        expected = weight[sample] * sum(outputs).T.flatten() / 4
        assert torch.allclose(built(x)[sample], expected, atol=1e-12)


@pytest.mark.parametrize("rep", [CLOUD, MIXED], ids=str)
def test_frame_encoders_carry_se3(rep):
    x = anisotropic(64, rep.multiplicity)
    built = encoder(rep)
    assert built.equivariant
    assert_equivariant(built, [rep], LATENT, "se3", [x], tolerance=EXACT)
    assert_equivariant(built.float(), [rep], LATENT, "se3", [x.float()], tolerance=1e-5)
    with pytest.raises(AssertionError, match="relative residual"):  # rotations only
        assert_equivariant(built.double(), [rep], LATENT, "o3", [x], tolerance=EXACT)
    plain = MLPEncoder(rep, LATENT, (32, 32), centre=True).double()
    assert check_equivariance(plain, [rep], LATENT, "se3", [x]).relative >= 1e-2


def test_frame_predictors_carry_so3():
    z, a = anisotropic(64, 6).flatten(1), torch.randn(64, 3, dtype=torch.float64)
    built = predictor()
    assert built.equivariant
    assert_equivariant(built, [LATENT, ACTION], LATENT, "so3", [z, a], tolerance=EXACT)
    assert_equivariant(built.float(), [LATENT, ACTION], LATENT, "so3", [z.float(), a.float()], tolerance=1e-5)
    assert torch.equal(built(z.float(), a[:, None].float()), built(z.float(), a.float()))
    plain = MLPPredictor(LATENT, ACTION, (32,)).double()
    assert not plain.equivariant
    assert check_equivariance(plain, [LATENT, ACTION], LATENT, "so3", [z, a]).relative >= 1e-2


def test_in_the_plane():
    rep, latent = Rep.parse("6xp", 2), vectors(6, 2)
    built = FrameEncoder(rep, latent, (16,)).double()
    assert_equivariant(built, [rep], latent, "se2", [anisotropic(32, 6, 2)], tolerance=EXACT)


def test_one_frame_is_not_enough(monkeypatch):
    """The signs of eigenvectors are arbitrary: without averaging over them the symmetry is gone."""
    monkeypatch.setattr(frames, "principal_frames", lambda x: (principal_frames(x)[0][:, :1], principal_frames(x)[1]))
    found = check_equivariance(encoder(), [CLOUD], LATENT, "se3", [anisotropic(64, 12)])
    assert found.relative >= 1e-2


# The degenerate rule


def with_gap(gap: float, n: int = 64) -> Tensor:
    """Latents of six vectors +-v_i whose second moment has eigenvalues 1, 1 - gap, 0.2, randomly turned."""
    sizes = torch.tensor([1.0, 1.0 - gap, 0.2], dtype=torch.float64).sqrt()
    axes = torch.diag(sizes) / 2**0.5
    return torch.cat([axes, -axes]).expand(n, 6, 3) @ SO3.sample(n, 3).linear.mT


def test_the_weight_falls_to_zero_where_axes_are_not_determined():
    weights = [float(principal_frames(with_gap(gap))[1].mean()) for gap in (0.0, GAP / 4, GAP / 2, 2 * GAP)]
    assert weights == pytest.approx([0.0, 0.25, 0.5, 1.0], abs=1e-9)
    for degenerate in (torch.zeros(2, 6, 3), torch.eye(3).repeat(2, 2, 1), torch.ones(2, 6, 3)):
        found, weight = principal_frames(degenerate)
        assert torch.isfinite(found).all()
        assert torch.allclose(weight, torch.zeros(2), atol=1e-6)


def test_at_a_degenerate_latent_nothing_changes():
    built, z = predictor().float(), torch.eye(3).repeat(4, 2, 1).flatten(1)
    assert torch.allclose(built(z, torch.randn(4, 3)), z, atol=1e-5)
    assert torch.equal(built(torch.zeros(4, 18), torch.randn(4, 3)), torch.zeros(4, 18))


def test_near_a_degenerate_latent_rounding_stays_bounded(monkeypatch):
    built = predictor().float()
    z = torch.cat([with_gap(gap).flatten(1).float() for gap in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)])
    a = torch.randn(64, 3).repeat(5, 1)

    def worst() -> float:
        """The largest of all samples."""
        return check_equivariance(built, [LATENT, ACTION], LATENT, "so3", [z, a]).max_abs

    weighted = worst()
    monkeypatch.setattr(frames, "GAP", 1e-12)
    assert weighted <= 1e-4
    assert worst() >= 1e-3


def test_gradients_are_finite_at_degenerate_inputs():
    built, z = predictor(), torch.eye(3, dtype=torch.float64).repeat(2, 2, 1).flatten(1).requires_grad_()
    built(z, torch.randn(2, 3, dtype=torch.float64)).sum().backward()
    assert torch.isfinite(z.grad).all()


def test_refusals():
    with pytest.raises(RepError, match="vectors"):
        FrameEncoder(Rep.parse("4xp+2x0e", 3), LATENT, (8,))
    with pytest.raises(RepError, match="d = 2 and 3"):
        FramePredictor(vectors(2, 4), vectors(1, 4), (8,))
