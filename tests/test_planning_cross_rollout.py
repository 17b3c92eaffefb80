"""The compiled rollout of a predictor with cross products is its own `predict`, only faster."""

import pytest
import torch

from equiwm.models.cross import CrossVNPredictor
from equiwm.models.relative import RelativePredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.planning.rollouts import PredictRollout, compile_rollout
from equiwm.planning.vn_rollout import VNRollout
from equiwm.symmetry.reps import vectors

SETTINGS = {
    "one action": {},
    "force and torque": {"actions": 2},
    "no hidden layer": {"widths": ()},
    "one product": {"products": 1},
    "more products than channels": {"products": 40, "widths": (8,)},
}


def _model(dtype, actions=1, widths=(16, 8), products=6, kind=CrossVNPredictor):
    torch.manual_seed(0)
    latent = vectors(7, 3)
    predictor = kind(latent, vectors(actions, 3), widths, products)
    torch.nn.init.normal_(predictor.products.layers[-1].weight, std=0.3)  # C starts at zero
    return WorldModel(IdentityEncoder(latent), predictor, vectors(actions, 3)).to(dtype)


def _inputs(model, dtype, tasks=3, samples=10, horizon=4):
    rng = torch.Generator().manual_seed(1)
    latent = torch.randn(tasks, model.latent_rep.dim, generator=rng, dtype=dtype)
    shape = (tasks, samples, horizon, model.action_rep.multiplicity, 3)
    return 0.5 * latent, 0.5 * torch.randn(shape, generator=rng, dtype=dtype)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_it_is_the_models_predict(settings, dtype, tolerance):
    model = _model(dtype, **settings)
    latent, actions = _inputs(model, dtype)
    rollout = compile_rollout(model)
    assert isinstance(rollout, VNRollout)
    expected, given = PredictRollout(model)(latent, actions), rollout(latent, actions)
    assert given.shape == expected.shape
    assert expected.isfinite().all()
    size = expected.abs().max()
    assert (given - expected).abs().max() <= tolerance * size
    model.predictor.products.layers[-1].weight.data.zero_()
    without = PredictRollout(model)(latent, actions)
    assert (without - expected).abs().max() > 1e-2 * size, "the products count"


def test_a_second_call_and_another_number_of_samples_change_nothing():
    model = _model(torch.float64)
    latent, actions = _inputs(model, torch.float64)
    rollout = compile_rollout(model)
    first = rollout(latent, actions).clone()
    few = rollout(latent[:1], actions[:1, :3]).clone()
    assert torch.equal(rollout(latent, actions), first)
    torch.testing.assert_close(few, first[:1, ..., :3], rtol=1e-13, atol=1e-13)


def test_weights_are_copied():
    model = _model(torch.float64)
    latent, actions = _inputs(model, torch.float64)
    rollout = compile_rollout(model)
    before = rollout(latent, actions).clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert torch.equal(rollout(latent, actions), before)


def test_a_predictor_that_has_learnt_something_new_is_not_taken():
    class Other(CrossVNPredictor):
        def change(self, latent, action):
            return super().change(latent, action) * 1.01

    assert isinstance(compile_rollout(_model(torch.float64, kind=Other)), PredictRollout)


def test_products_of_differences_are_not_multiplied_out():
    """The fast rollout would take the products of the positions themselves; none is made."""
    model = _model(torch.float64)
    seen = WorldModel(model.encoder, RelativePredictor(model.predictor, (2, 0)), model.action_rep).double()
    assert VNRollout.of(model.predictor, 1) is not None
    assert VNRollout.of(seen.predictor, 1) is None
    assert isinstance(compile_rollout(seen), PredictRollout)
