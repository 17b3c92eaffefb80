"""Where a network breaks its symmetry."""

import pytest
import torch

from equiwm.audit.localise import first_broken, layer_residuals
from equiwm.models.mlp import MLPEncoder
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import WorldModel
from equiwm.nn.linear import VNLinear
from equiwm.symmetry.groups import SO2, SO3
from equiwm.symmetry.reps import vectors


def _model(encoder=None):
    torch.manual_seed(0)
    latent, action = vectors(6, 3), vectors(1, 3)
    encoder = encoder or VNEncoder(vectors(4, 3), latent, (8, 8), "real", skip=True)
    return WorldModel(encoder, VNPredictor(latent, action, (8,), "real"), action).double()


def _residuals(model):
    x, a = torch.randn(16, 4, 3).double(), torch.randn(16, 3).double()
    return layer_residuals(model, model, [model.observation_rep, model.action_rep], SO3.sample(5, 0), [x, a])


def test_every_layer_of_an_equivariant_model_is_within_rounding():
    residuals = _residuals(_model())
    assert {entry.name for entry in residuals} >= {"encoder", "encoder.skip", "encoder.network.layers.3", "predictor"}
    assert first_broken(residuals, 1e-12) is None


@pytest.mark.parametrize("index", [0, 2, 4])
def test_names_the_layer_that_was_broken(index):
    model = _model()
    layer = model.encoder.network.layers[index]
    layer.register_forward_hook(
        lambda module, args, output: output + torch.tensor([0.0, 0.0, 0.1])[:, None], prepend=True
    )
    found = first_broken(_residuals(model), 1e-10)
    assert (found.name, found.kind) == (f"encoder.network.layers.{index}", VNLinear.__name__)


def test_an_ordinary_encoder_is_broken_at_its_first_layer():
    model = _model(MLPEncoder(vectors(4, 3), vectors(6, 3), (16,)))
    assert first_broken(_residuals(model), 1e-10).name == "encoder.network.layers.0"


def test_complex_layers_break_reflections_at_once():
    encoder = VNEncoder(vectors(4, 2), vectors(6, 2), (8,), "complex", skip=False).double()
    mirror = SO2.identity(1)
    mirror.linear[0, 0, 0] = -1.0
    residuals = layer_residuals(encoder, encoder, [vectors(4, 2)], mirror, [torch.randn(16, 4, 2).double()])
    assert first_broken(residuals, 1e-10).name == "network.layers.0"


def test_hooks_are_removed():
    model = _model()
    _residuals(model)
    assert not any(layer._forward_hooks for layer in model.modules())
