"""World models: the battery of the layers for encoders, predictors and rollouts, the paper's sizes, and seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from equiwm.audit.residual import check_equivariance
from equiwm.config import ModelConfig, load, preset_names
from equiwm.errors import ConfigError, RepError
from equiwm.models.factory import build_model
from equiwm.models.mlp import MLPEncoder, MLPPredictor
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.nn.layer import Layer
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep, vectors

EXACT = 1e-12
OBSERVATION, ACTION, LATENT = vectors(4, 2), vectors(1, 2), vectors(6, 2)
IN_SPACE = vectors(5, 3), vectors(2, 3), vectors(6, 3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def model_of(weights: str = "complex", *, skip: bool = False, space: bool = False) -> WorldModel:
    observation, action, latent = IN_SPACE if space else (OBSERVATION, ACTION, LATENT)
    encoder = VNEncoder(observation, latent, (8, 8), weights, skip=skip)
    return WorldModel(encoder, VNPredictor(latent, action, (8, 8), weights), action).double()


def forward_model() -> WorldModel:
    return WorldModel(
        IdentityEncoder(OBSERVATION), VNPredictor(OBSERVATION, ACTION, (8, 8), "complex"), ACTION
    ).double()


def ordinary_model() -> WorldModel:
    return WorldModel(
        MLPEncoder(OBSERVATION, LATENT, (16, 16)), MLPPredictor(LATENT, ACTION, (16, 16)), ACTION
    ).double()


class LeakyEncoder(VNEncoder):
    """Adds a lab axis to an equivariant encoder."""

    def forward(self, observation: Tensor) -> Tensor:
        return super().forward(observation) + 1e-9 * torch.arange(1.0, self.out_rep.dim + 1, dtype=observation.dtype)


class LeakyPredictor(VNPredictor):
    """Not linear in the action's length alone, but in its x component."""

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        return super().forward(latent, action) * (1.0 + 1e-9 * action.flatten(1)[:, :1])


def leaky_encoder() -> WorldModel:
    return WorldModel(
        LeakyEncoder(OBSERVATION, LATENT, (8,), "real", skip=False), VNPredictor(LATENT, ACTION, (8,), "real"), ACTION
    ).double()


def leaky_predictor() -> WorldModel:
    return WorldModel(
        VNEncoder(OBSERVATION, LATENT, (8,), "real", skip=False), LeakyPredictor(LATENT, ACTION, (8,), "real"), ACTION
    ).double()


MODELS: dict[str, tuple[Callable[[], WorldModel], str]] = {
    "complex": (model_of, "so2"),
    "complex with skip": (lambda: model_of(skip=True), "so2"),
    "real": (lambda: model_of("real"), "o2"),
    "real with skip": (lambda: model_of("real", skip=True), "o2"),
    "space": (lambda: model_of("real", space=True), "o3"),
    "forward": (forward_model, "so2"),
}
"""Equivariant models, and the largest group each promises."""

BROKEN: dict[str, tuple[Callable[[], WorldModel], str]] = {
    "ordinary": (ordinary_model, "so2"),
    "leaky encoder": (leaky_encoder, "so2"),
    "leaky predictor": (leaky_predictor, "so2"),
    "complex under reflections": (model_of, "o2"),
    "forward under reflections": (forward_model, "o2"),
}
"""What each test of the battery has to catch in at least one part."""


def residuals(model: WorldModel, group: str, horizon: int = 4) -> dict[str, float]:
    """Relative residuals of encoder, predictor, composition and rollout; the outputs have to be something."""
    observation = torch.randn(48, model.observation_rep.multiplicity, model.observation_rep.d, dtype=torch.float64)
    latent = torch.randn(48, model.latent_rep.dim, dtype=torch.float64)
    actions = torch.randn(48, horizon, model.action_rep.dim, dtype=torch.float64)
    many_actions = Rep(model.action_rep.terms * horizon, model.action_rep.d)
    many_latents = Rep(model.latent_rep.terms * horizon, model.latent_rep.d)

    def rollout(start: Tensor, flat_actions: Tensor) -> Tensor:
        return model.rollout(start, flat_actions.unflatten(-1, (horizon, -1))).flatten(1)

    x, z, a = model.observation_rep, model.latent_rep, model.action_rep
    found = {
        "encoder": check_equivariance(model.encode, [x], z, group, [observation], elements=16),
        "predictor": check_equivariance(model.predict, [z, a], z, group, [latent, actions[:, 0]], elements=16),
        "composed": check_equivariance(model, [x, a], z, group, [observation, actions[:, 0]], elements=16),
        "rollout": check_equivariance(
            rollout, [x, many_actions], many_latents, group, [observation, actions.flatten(1)], elements=16
        ),
    }
    assert min(entry.output_spread for entry in found.values()) > 1e-3, "some part does nothing"
    return {name: entry.relative for name, entry in found.items()}


@pytest.mark.parametrize("name", MODELS)
def test_models_carry_their_group_in_every_part_and_rollout(name):
    build, group = MODELS[name]
    found = residuals(build(), group)
    assert max(found.values()) <= EXACT, found
    assert build().equivariant


@pytest.mark.parametrize("name", BROKEN)
def test_the_battery_catches_broken_models(name):
    build, group = BROKEN[name]
    assert max(residuals(build(), group).values()) > EXACT


def test_the_battery_says_which_part_is_broken():
    found = residuals(leaky_encoder(), "so2")
    assert found["predictor"] <= EXACT < min(found["encoder"], found["composed"], found["rollout"])
    found = residuals(leaky_predictor(), "so2")
    assert found["encoder"] <= EXACT < min(found["predictor"], found["composed"], found["rollout"])


def test_weights_that_move_keep_the_symmetry():
    """Claim A in miniature: any weights, not only the initial ones."""
    model = model_of(skip=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(3.0 * torch.randn_like(parameter))
    assert max(residuals(model, "so2", horizon=2).values()) <= EXACT


def test_ordinary_models_say_so():
    assert not ordinary_model().equivariant
    mixed = WorldModel(
        VNEncoder(OBSERVATION, LATENT, (8,), "real", skip=False), MLPPredictor(LATENT, ACTION, (8,)), ACTION
    )
    assert not mixed.equivariant


# What the methods compute


@pytest.mark.parametrize("build", [model_of, forward_model, ordinary_model])
def test_rollouts_are_repeated_predictions(build):
    model = build()
    observation, actions = torch.randn(7, 4, 2).double(), torch.randn(7, 3, 2).double()
    latent = model.encode(observation)
    rollout = model.rollout(observation, actions)
    assert rollout.shape == (7, 3, model.latent_rep.dim)
    for step in range(3):
        latent = model.predict(latent, actions[:, step])
        assert torch.equal(rollout[:, step], latent)
    assert torch.equal(model(observation, actions[:, 0]), rollout[:, 0])


@pytest.mark.parametrize("build", [model_of, forward_model, ordinary_model])
def test_actions_come_flat_or_structured(build):
    model = build()
    observation, actions = torch.randn(5, 4, 2).double(), torch.randn(5, 2, 2).double()
    assert torch.equal(model(observation, actions[:, 0]), model(observation, actions[:, :1]))
    assert torch.equal(model.rollout(observation, actions), model.rollout(observation, actions[:, :, None]))


@pytest.mark.parametrize("build", [model_of, ordinary_model])
def test_predictors_are_residual(build):
    """With the last layer at zero a prediction is the latent itself."""
    model = build()
    with torch.no_grad():
        for parameter in list(model.predictor.network.layers[-1].parameters()):
            parameter.zero_()
    latent = torch.randn(5, LATENT.dim).double()
    assert torch.equal(model.predict(latent, torch.randn(5, 2).double()), latent)


def test_the_skip_path_is_linear_and_beside_the_network():
    model = model_of(skip=True)
    observation = torch.randn(5, 4, 2).double()
    both = model.encode(observation)
    with torch.no_grad():
        for parameter in model.encoder.network.parameters():
            parameter.zero_()
    skip = model.encode(observation)
    assert not torch.allclose(both, skip)
    assert torch.allclose(model.encode(2.5 * observation), 2.5 * skip)


def test_an_identity_encoder_keeps_the_state():
    observation = torch.randn(5, 4, 2).double()
    assert torch.equal(forward_model().encode(observation), observation.flatten(1))


def test_a_rollout_needs_an_action():
    with pytest.raises(RepError, match="at least one action"):
        model_of().rollout(torch.randn(3, 4, 2).double(), torch.randn(3, 0, 2).double())


@pytest.mark.parametrize("build", [model_of, forward_model, ordinary_model])
def test_samples_of_a_batch_do_not_see_each_other(build):
    model = build()
    observation, action = torch.randn(6, 4, 2).double(), torch.randn(6, 2).double()
    together = model(observation, action)
    apart = torch.cat([model(observation[k : k + 1], action[k : k + 1]) for k in range(6)])
    assert torch.allclose(together, apart, rtol=0, atol=1e-13)


# Reps are checked when a model is built


def identity_predictor(in_rep: Rep, out_rep: Rep) -> Layer:
    return Layer(in_rep, out_rep, "flat")


@pytest.mark.parametrize("into", [LATENT, vectors(7, 2)])
def test_encoder_and_predictor_meet_in_one_latent(into):
    encoder = VNEncoder(OBSERVATION, LATENT, (4,), "real", skip=False)
    with pytest.raises(RepError) as error:
        WorldModel(encoder, identity_predictor(into, vectors(7, 2)), ACTION)
    assert "6x1o" in str(error.value)
    assert "7x1o" in str(error.value)


def test_latents_hold_no_points():
    points = Rep.parse("4xp", 2)
    with pytest.raises(RepError, match=r"no points.*4xp"):
        WorldModel(identity_predictor(points, points), identity_predictor(points, points), ACTION)
    assert IdentityEncoder(points).out_rep == vectors(4, 2)


def test_encoders_refuse_what_is_no_vector():
    with pytest.raises(RepError, match="2x0e"):
        VNEncoder(Rep.parse("2x0e+3x1o", 2), LATENT, (4,), "real", skip=False)
    with pytest.raises(RepError, match="d = 2"):
        VNEncoder(vectors(4, 3), vectors(6, 3), (4,), "complex", skip=False)
    with pytest.raises(RepError, match=r"d = 2.*d = 3"):
        VNPredictor(LATENT, vectors(1, 3), (4,), "real")


# The factory


def preset_model(name: str, seed: int = 0, **options) -> WorldModel:
    return build_model(load(name).model, OBSERVATION, ACTION, seed=seed, **options)


@pytest.mark.parametrize(("name", "count"), [("vn-2d-paper", 37_184), ("mlp-2d", 167_424)])
def test_the_papers_parameter_counts(name, count):
    assert preset_model(name).parameter_count == count


def test_the_papers_forward_models():
    """5 -> 32 -> 32 -> 4 vectors, and 10 -> 128 -> 128 -> 8 units."""
    equivariant = ModelConfig(encoder="identity", predictor="vn", weights="real", predictor_widths=(32, 32))
    ordinary = ModelConfig(encoder="identity", predictor="mlp", predictor_widths=(128, 128))
    assert build_model(equivariant, OBSERVATION, ACTION, seed=0).parameter_count == 3_360
    assert build_model(ordinary, OBSERVATION, ACTION, seed=0).parameter_count == 18_952


def test_the_baseline_is_larger():
    assert preset_model("mlp-2d").parameter_count >= 4.5 * preset_model("vn-2d-paper").parameter_count


def composed_residual(model: WorldModel, group: str) -> float:
    """The largest of |F(g s, g a) - g F(s, a)| / |F(s, a)| over 16 elements."""
    observation = torch.randn(48, model.observation_rep.multiplicity, model.observation_rep.d, dtype=torch.float64)
    action = torch.randn(48, model.action_rep.dim, dtype=torch.float64)
    elements = Group.parse(group).sample(16, 0)
    with torch.no_grad():
        straight = model(observation, action)
        off = [
            model(model.observation_rep.transform_samples(observation, g), model.action_rep.transform(action, g))
            - model.latent_rep.transform(straight, g)
            for g in (elements[k] for k in range(16))
        ]
    return max(float(each.norm() / straight.norm()) for each in off)


def test_the_direct_residual_of_an_exact_model_is_rounding():
    assert composed_residual(preset_model("vn-2d", dtype=torch.float64), "so2") <= EXACT


def planar_presets() -> list[str]:
    return [name for name in preset_names() if load(name).world.name == "pusht"]


@pytest.mark.parametrize("name", planar_presets())
def test_every_preset_builds_and_its_symmetry_is_what_it_says(name):
    model = preset_model(name, dtype=torch.float64)
    group = "o2" if load(name).model.weights == "real" else "so2"
    if model.equivariant:
        assert max(residuals(model, group, horizon=2).values()) <= EXACT
    else:  # without an audit, which would look for what breaks it
        assert composed_residual(model, group) > EXACT
    assert model.equivariant == (load(name).model.predictor in ("vn", "canonical", "frame"))


@pytest.mark.parametrize("name", planar_presets())
def test_seeds_give_weights(name):
    first, again, other = preset_model(name), preset_model(name), preset_model(name, seed=1)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("name", planar_presets())
def test_float64_has_the_weights_of_float32(name):
    single, double = preset_model(name), preset_model(name, dtype=torch.float64)
    assert torch.get_default_dtype() == torch.float32
    for (key, a), (other, b) in zip(single.state_dict().items(), double.state_dict().items(), strict=True):
        assert key == other
        assert b.dtype == torch.float64
        assert torch.equal(a.double(), b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_global_random_state_is_untouched(dtype):
    before = torch.get_rng_state()
    preset_model("vn-2d", dtype=dtype)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_weights_do_not_depend_on_the_global_random_state():
    torch.manual_seed(1)
    first = preset_model("mlp-2d")
    torch.manual_seed(2)
    assert torch.equal(next(first.parameters()), next(preset_model("mlp-2d").parameters()))


def test_the_default_dtype_survives_a_failure():
    with pytest.raises(ConfigError):
        build_model(replace(load("vn-2d").model, latent=127), OBSERVATION, ACTION, seed=0, dtype=torch.float64)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("change", "reps", "message"),
    [
        ({"latent": 127}, (OBSERVATION, ACTION), r"model\.latent: got 127, expected a multiple of d = 2"),
        ({}, (vectors(4, 3), vectors(1, 3)), r"model\.latent: got 128, expected a multiple of d = 3"),
        ({"latent": 48}, (vectors(4, 3), vectors(1, 3)), r"model\.weights.*d = 3"),
    ],
)
def test_configurations_that_do_not_fit_the_world(change, reps, message):
    with pytest.raises(ConfigError, match=message) as error:
        build_model(replace(load("vn-2d").model, **change), *reps, seed=0)
    assert "\n" not in str(error.value)


def test_an_ordinary_model_in_space_does_not_ask_for_real_weights():
    config = replace(load("mlp-2d").model, latent=48)
    assert build_model(config, vectors(4, 3), vectors(1, 3), seed=0).latent_rep == vectors(16, 3)
