"""Residual predictors: what changes in units of a step, and two paths of which one is free."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiwm.audit.residual import Residual, check_equivariance
from equiwm.claims.relmse import relmse
from equiwm.errors import RepError
from equiwm.models.mlp import MLPPredictor
from equiwm.models.soft import SoftPredictor
from equiwm.models.step import ResidualPredictor, StepPredictor
from equiwm.models.vector_neurons import VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.symmetry.reps import Rep, vectors
from equiwm.training.objective import Forward
from equiwm.training.soft import SoftForward
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field


def reps(d: int) -> tuple[Rep, Rep]:
    return vectors(6, d), vectors(1, d)


def vn(d: int) -> VNPredictor:
    return VNPredictor(*reps(d), (16, 16), "real").double()


def mlp(d: int) -> MLPPredictor:
    return MLPPredictor(*reps(d), (24, 24), norm=False).double()


def inputs(d: int) -> list[torch.Tensor]:
    data = Field(FieldConfig(dimension=d)).transitions(64, seed=0)
    return [data.observation.flatten(1), data.action]


def residual(model: nn.Module, d: int) -> Residual:
    latent, action = reps(d)
    world = Field(FieldConfig(dimension=d))
    return check_equivariance(model, [latent, action], latent, world.group, inputs(d), elements=32)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("make", [vn, mlp])
def test_a_predictor_is_the_identity_and_its_change(make, d):
    predictor = make(d)
    latent, action = inputs(d)
    assert torch.equal(predictor(latent, action), latent + predictor.change(latent, action))
    half = StepPredictor(predictor, 0.5)
    assert torch.equal(half(latent, action), latent + 0.5 * predictor.change(latent, action))
    assert half.equivariant == predictor.equivariant == (make is vn)


@pytest.mark.parametrize("d", [2, 3])
def test_the_free_path_alone_breaks_the_symmetry_of_a_soft_predictor(d):
    torch.manual_seed(0)
    soft = SoftPredictor(StepPredictor(vn(d), 0.1), StepPredictor(mlp(d), 0.1))
    assert not soft.equivariant
    assert residual(soft, d).relative > 1e-3
    with torch.no_grad():
        for parameter in list(soft.free.parameters())[-2:]:
            parameter.zero_()
    found = residual(soft, d)
    assert found.output_spread > 1e-2
    assert found.relative <= 1e-12


def test_soft_is_the_sum_of_its_paths_and_knows_the_free_one_s_share():
    torch.manual_seed(0)
    soft, (latent, action) = SoftPredictor(vn(3), mlp(3)), inputs(3)
    with torch.no_grad():
        hard, free = soft.paths(latent, action)
        change = soft.change(latent, action)
        assert torch.equal(change, hard + free)
        assert torch.equal(soft(latent, action), latent + change)
    share = float(free.square().sum() / change.square().sum())
    assert soft.free_fraction(latent, action) == pytest.approx(share, rel=1e-12)
    assert share > 0.01
    assert float(hard.square().mean()) > 1e-3
    with torch.no_grad():
        for parameter in list(soft.free.parameters())[-2:]:
            parameter.zero_()
    assert soft.free_fraction(latent, action) == 0.0


def test_the_penalty_is_the_free_path_s_size_in_each_channel_s_own_unit():
    torch.manual_seed(0)
    data = Field(FieldConfig(dimension=2)).transitions(32, seed=0)
    encoder = IdentityEncoder(vectors(6, 2))
    model = WorldModel(encoder, SoftPredictor(vn(2), mlp(2)), vectors(1, 2)).double()
    columns = data.observation, data.action, data.next_observation
    with torch.no_grad():
        plain, priced = Forward(encoder, data)(model, *columns), SoftForward(encoder, data, 0.3)(model, *columns)
    moved = (data.next_observation - data.observation).square().sum(-1).mean(0)
    free = model.predictor.paths(model.encode(data.observation), data.action)[1].reshape(32, 6, 2)
    size = float((free.square().sum(-1) / moved).mean().detach())
    assert float(priced.prediction) == pytest.approx(float(plain.total), rel=1e-12)
    assert float(priced.total) == pytest.approx(float(plain.total) + 0.3 * size, rel=1e-12)
    hard = WorldModel(encoder, vn(2), vectors(1, 2))
    with pytest.raises(TypeError, match="SoftForward trains a SoftPredictor; got VNPredictor"):
        SoftForward(encoder, data, 0.3)(hard, *columns)


def test_misfits_are_refused():
    with pytest.raises(RepError, match="both paths"):
        SoftPredictor(vn(2), mlp(3))
    for step in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(RepError, match="expected a finite number above 0"):
            StepPredictor(vn(2), step)
    with pytest.raises(NotImplementedError):
        ResidualPredictor(*reps(2)).change(*inputs(2))


# relMSE, by its definition


def test_relmse_pools_everything():
    generator = torch.Generator().manual_seed(0)
    predicted, true, by = (torch.randn(7, 3, 2, generator=generator) for _ in range(3))
    error = sum(float(x) ** 2 for x in (predicted - true).flatten())
    size = sum(float(x) ** 2 for x in by.flatten())
    assert float(relmse(predicted, true, by=by)) == pytest.approx(error / size, rel=1e-12)
    assert float(relmse(true, true, by=by)) == 0.0
    assert not torch.isfinite(relmse(predicted, true, by=torch.zeros_like(by)))
