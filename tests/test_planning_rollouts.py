"""The compiled rollout is the model's own `predict`, only faster."""

import pytest
import torch

from equiwm.models.cross import CrossVNPredictor
from equiwm.models.mlp import MLPPredictor
from equiwm.models.relative import RelativePredictor
from equiwm.models.step import StepPredictor
from equiwm.models.vector_neurons import VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.planning.mlp_rollout import MLPRollout
from equiwm.planning.rollouts import PredictRollout, compile_rollout, ranking_rollout
from equiwm.planning.vn_rollout import VNRollout
from equiwm.symmetry.reps import Rep, vectors


def _model(predictor, actions, d):
    return WorldModel(IdentityEncoder(predictor.in_rep), predictor, vectors(actions, d))


def _vn(d=2, weights="complex", latents=4, actions=1, widths=(16, 8), dtype=torch.float64):
    torch.manual_seed(0)
    return _model(VNPredictor(vectors(latents, d), vectors(actions, d), widths, weights), actions, d).to(dtype)


def _inputs(model, tasks=3, samples=10, horizon=5, dtype=torch.float64):
    rng = torch.Generator().manual_seed(1)
    latent = torch.randn(tasks, model.latent_rep.dim, generator=rng, dtype=dtype)
    action = (model.action_rep.multiplicity, model.action_rep.d)
    return latent, torch.randn(tasks, samples, horizon, *action, generator=rng, dtype=dtype)


def _by_predict(model, latent, actions):
    """As plainly as possible: (T, D), (T, N, H, A, d) -> (T, H, C, d, N)."""
    tasks, samples, horizon, _, d = actions.shape
    out = torch.empty(tasks, horizon, latent.shape[-1], samples, dtype=latent.dtype)
    for n in range(samples):
        z = latent
        for h in range(horizon):
            z = model.predict(z, actions[:, n, h])
            out[:, h, :, n] = z
    return out.unflatten(2, (-1, d)).detach()


MODELS = {
    "2d complex": {},
    "2d real": {"weights": "real"},
    "2d, force and torque": {"actions": 2},
    "3d": {"d": 3, "weights": "real", "latents": 7},
    "3d, force and torque": {"d": 3, "weights": "real", "actions": 2, "widths": (8, 8, 8)},
    "one hidden layer": {"widths": (12,)},
    "no hidden layer": {"widths": ()},
}


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_the_fast_rollout_is_the_models_predict(settings, dtype, tolerance):
    model = _vn(**settings, dtype=dtype)
    latent, actions = _inputs(model, dtype=dtype)
    rollout = compile_rollout(model)
    assert isinstance(rollout, VNRollout)
    expected, given = _by_predict(model, latent, actions), rollout(latent, actions)
    assert given.dtype == dtype
    assert given.shape == expected.shape
    assert (given - expected).abs().max() <= tolerance * expected.abs().max()


def test_it_takes_strided_actions_of_another_dtype():
    model = _vn(dtype=torch.float32)
    latent, actions = _inputs(model)
    strided = actions.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    rollout = compile_rollout(model)
    assert torch.equal(rollout(latent, actions), rollout(latent, strided))


def test_a_zero_direction_divides_by_eps_and_not_by_zero():
    model = _vn()
    latent, actions = _inputs(model)
    given = compile_rollout(model)(0.0 * latent, 0.0 * actions)
    assert torch.equal(given, torch.zeros_like(given))


ORDINARY = {
    "2d": {},
    "2d, layer norm": {"norm": True},
    "3d, force and torque": {"d": 3, "actions": 2, "norm": True, "widths": (12, 8, 8)},
    "positions seen from one another": {"relative": (2, 0)},
    "no hidden layer": {"widths": (), "relative": (1, 0)},
}


def _mlp(d=2, actions=1, widths=(16, 8), norm=False, relative=(), dtype=torch.float64):
    torch.manual_seed(0)
    predictor = MLPPredictor(vectors(4, d), vectors(actions, d), widths, norm=norm)
    with torch.no_grad():  # biases and norms that are not those of the beginning
        for parameter in predictor.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return _model(RelativePredictor(predictor, relative) if relative else predictor, actions, d).to(dtype)


@pytest.mark.parametrize("settings", ORDINARY.values(), ids=ORDINARY)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_the_fast_rollout_of_an_ordinary_network_is_its_predict(settings, dtype, tolerance):
    model = _mlp(**settings, dtype=dtype)
    latent, actions = _inputs(model, dtype=dtype)
    rollout = compile_rollout(model)
    assert isinstance(rollout, MLPRollout)
    expected, given = _by_predict(model, latent, actions), rollout(latent, actions)
    assert given.dtype == dtype
    assert given.shape == expected.shape
    assert (given - expected).abs().max() <= tolerance * expected.abs().max()


def test_other_architectures_use_their_own_predict():
    torch.manual_seed(0)
    model = _model(StepPredictor(MLPPredictor(vectors(4, 2), vectors(2, 2), (16,)), 0.3), 2, 2).double()
    latent, actions = _inputs(model)
    rollout = compile_rollout(model)
    assert isinstance(rollout, PredictRollout)
    assert torch.allclose(rollout(latent, actions), _by_predict(model, latent, actions), rtol=0, atol=1e-12)
    model = _mlp()
    model.predictor.network.layers[1].norm = torch.nn.Sigmoid()  # a layer that is another one
    assert isinstance(compile_rollout(model), PredictRollout)


def test_only_a_fast_rollout_in_float64_is_ranked_with_another_in_float32():
    for model in (_vn(), _mlp(relative=(2, 0)), _cross()):
        latent, actions = _inputs(model)
        exact, rough = compile_rollout(model)(latent, actions), ranking_rollout(model)(latent, actions)
        assert rough.dtype == torch.float32
        assert 0.0 < (rough - exact).abs().max() <= 2e-5 * exact.abs().max()
        assert next(model.parameters()).dtype == torch.float64  # it was left as it was
        assert ranking_rollout(model.float()) is None
    assert ranking_rollout(_model(StepPredictor(_mlp().predictor, 0.3), 1, 2)) is None


def _cross():
    torch.manual_seed(0)
    predictor = CrossVNPredictor(vectors(5, 3), vectors(1, 3), (8,), 4)
    with torch.no_grad():
        predictor.products.layers[1].weight.normal_(std=0.1)
    return _model(predictor, 1, 3).double()


def test_a_predictor_that_has_learnt_something_new_is_not_compiled():
    class Damped(VNPredictor):
        def forward(self, latent, action):
            return 0.9 * super().forward(latent, action)

    def build(kind):
        torch.manual_seed(0)
        return _model(kind(vectors(4, 2), vectors(1, 2), (8,), "real"), 1, 2)

    assert isinstance(compile_rollout(build(Damped)), PredictRollout)
    # The same found by measurement alone, where the type does not show it.
    model = build(VNPredictor)
    model.predictor.network.layers[1].eps = 1e-12
    assert isinstance(compile_rollout(model), VNRollout)
    forward = model.predictor.forward
    model.predictor.forward = lambda z, a: 0.9 * forward(z, a)
    assert isinstance(compile_rollout(model), PredictRollout)


@pytest.mark.parametrize(("latent", "action"), [("2x0e+3x1o", "1o"), ("3x1o", "1o+0e"), ("1o+0e", "2x1o+2x0e")])
def test_what_is_not_vectors_alone_is_rolled_out_by_the_models_own_predict(latent, action):
    rep, act = Rep.parse(latent, 2), Rep.parse(action, 2)
    torch.manual_seed(0)
    model = WorldModel(IdentityEncoder(rep), MLPPredictor(rep, act, (8,)), act).double()
    z = torch.randn(3, rep.dim, dtype=torch.float64)
    actions = torch.randn(3, 5, 4, *act.shape, dtype=torch.float64)
    found = compile_rollout(model)(z, actions)
    assert found.shape[:2] == (3, 4)
    assert found.shape[-1] == 5
    flat = found.flatten(2, 3)
    for task in range(3):
        for sample in range(5):
            state = z[task : task + 1]
            for step in range(4):
                action_row = actions[task, sample, step]
                state = model.predict(state, action_row.reshape(1, *(act.shape if act.multiplicity > 1 else (2,))))
                assert torch.allclose(flat[task, step, :, sample], state[0], rtol=0, atol=1e-12)
