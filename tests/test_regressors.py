"""The networks of the ablations: sizes, seeds, and what is equivariant."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiwm.audit.residual import Residual, check_equivariance
from equiwm.errors import RepError
from equiwm.models.regressors import RegressorKind, build_regressor
from equiwm.models.soft import Regressor, SoftRegressor
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field

KINDS: tuple[RegressorKind, ...] = ("vn", "mlp", "soft")


def world(d: int) -> Field:
    return Field(FieldConfig(dimension=d))


def residual(model: nn.Module, of: Field) -> Residual:
    data = of.transitions(64, seed=0)
    reps = [of.observation_rep, of.action_rep]
    return check_equivariance(model, reps, of.observation_rep, of.group, [data.observation, data.action], elements=32)


def soft(of: Field) -> SoftRegressor:
    model = build_regressor("soft", of, 64, seed=0, dtype=torch.float64)
    assert isinstance(model, SoftRegressor)
    return model


@pytest.mark.parametrize("d", [2, 3])
def test_sizes_are_the_protocols(d):
    def mlp(width: int) -> int:
        return (7 * d + 1) * width + (width + 1) * width + (width + 1) * 6 * d

    assert build_regressor("vn", world(d), seed=0).parameter_count == 3488
    for width in (64, 1024):
        assert build_regressor("mlp", world(d), width, seed=0).parameter_count == mlp(width)
    assert build_regressor("soft", world(d), seed=0).parameter_count == 3488 + mlp(256)


@pytest.mark.parametrize("d", [2, 3])
def test_the_vn_turns_with_the_scene_and_the_mlp_does_not(d):
    vn = build_regressor("vn", world(d), seed=0, dtype=torch.float64)
    mlp = build_regressor("mlp", world(d), 64, seed=0, dtype=torch.float64)
    found = residual(vn, world(d))
    assert vn.equivariant
    assert not mlp.equivariant
    assert found.output_spread > 1e-2
    assert found.relative <= 1e-12
    assert residual(mlp, world(d)).relative > 1e-2


@pytest.mark.parametrize("d", [2, 3])
def test_the_free_path_alone_breaks_the_symmetry_of_the_soft_model(d):
    model = soft(world(d))
    assert not model.equivariant
    assert residual(model, world(d)).relative > 1e-2
    last = list(model.free.parameters())[-2:]
    with torch.no_grad():
        for parameter in last:
            parameter.zero_()
    found = residual(model, world(d))
    assert found.output_spread > 1e-2
    assert found.relative <= 1e-12


def test_soft_is_the_sum_of_its_paths_and_knows_the_free_one_s_share():
    model, data = soft(world(3)), world(3).transitions(64, seed=0)
    with torch.no_grad():
        hard, free = model.paths(data.observation, data.action)
        total = model(data.observation, data.action)
        assert torch.equal(total, model.hard(data.observation, data.action) + model.free(data.observation, data.action))
    share = float(free.square().sum() / total.square().sum())
    assert model.free_fraction(data.observation, data.action) == pytest.approx(share, rel=1e-12)
    assert share > 0.01
    assert float(hard.square().mean()) > 1e-3
    with torch.no_grad():
        for parameter in list(model.free.parameters())[-2:]:
            parameter.zero_()
    assert model.free_fraction(data.observation, data.action) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_any_leading_axes(kind):
    model, data = build_regressor(kind, world(3), 64, seed=0, dtype=torch.float64), world(3).transitions(8, seed=0)
    flat = model(data.observation, data.action)
    state, action = data.observation.unflatten(0, (2, 4)), data.action.unflatten(0, (2, 4))
    assert flat.shape == (8, 6, 3)
    for given in (action, action[..., None, :]):
        assert torch.allclose(model(state, given), flat.unflatten(0, (2, 4)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_the_seed_in_every_dtype(kind):
    plane = world(2)
    before = torch.random.get_rng_state()
    one, same, other = (build_regressor(kind, plane, seed=seed).state_dict() for seed in (0, 0, 1))
    double = build_regressor(kind, plane, seed=0, dtype=torch.float64).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in one.items():
        assert torch.equal(value, same[name])
        assert not torch.equal(value, other[name])
        assert torch.equal(value.double(), double[name])


def test_misfits_are_refused():
    with pytest.raises(RepError, match="VNLinear maps vectors to vectors"):
        build_regressor("vn", Cloud(CloudConfig()), seed=0)
    plane, space = world(2), world(3)
    network = build_regressor("mlp", plane, 64, seed=0).network
    with pytest.raises(RepError, match=r"needs a network 7x1o -> 6x1o \(d = 3\); got 7x1o -> 6x1o \(d = 2\)"):
        Regressor(network, space.observation_rep, space.action_rep)
    hard, free = build_regressor("vn", plane, seed=0), build_regressor("mlp", space, 64, seed=0)
    with pytest.raises(RepError, match="both paths"):
        SoftRegressor(hard, free)
