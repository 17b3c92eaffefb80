"""Speed of a training step against the naive one: spatial axis last, `einsum`, matrices orthogonalised one by one."""

import copy

import pytest
import torch
from torch import nn

from equiwm.models.mlp import MLPEncoder
from equiwm.models.vector_neurons import VNEncoder, VNPredictor
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.reps import vectors
from equiwm.training.muon import StackedMuon
from equiwm.training.objective import JEPA

POINTS, LATENT, WIDTH, BATCH = 24, 16, 64, 128


class NaiveVN(nn.Module):
    """The same network on (B, C, d), as it is usually written."""

    def __init__(self, network):
        super().__init__()
        weights = [layer.weight if hasattr(layer, "weight") else layer.direction.weight for layer in network.layers]
        self.weights = nn.ParameterList(nn.Parameter(weight.detach().clone()) for weight in weights)

    def forward(self, x):
        for index, weight in enumerate(self.weights):
            mapped = torch.einsum("oi,bid->bod", weight, x)
            if index % 2 == 0:
                x = mapped
                continue
            dot = (x * mapped).sum(-1, keepdim=True)
            norm = (mapped * mapped).sum(-1, keepdim=True) + 1e-12
            x = torch.where(dot >= 0, x, x - dot / norm * mapped)
        return x


class NaiveModel(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.encoder, self.network = NaiveEncoder(model.encoder.network), NaiveVN(model.predictor.network)

    def encode(self, x):
        return self.encoder(x)

    def predict(self, z, a):
        joined = torch.cat([z.unflatten(-1, (-1, 3)), a[:, None]], 1)
        return z + self.network(joined).flatten(1)


class NaiveEncoder(NaiveVN):
    def forward(self, x):
        return super().forward(x).flatten(1)


def _model():
    torch.manual_seed(0)
    latent, action = vectors(LATENT, 3), vectors(1, 3)
    encoder = VNEncoder(vectors(POINTS, 3), latent, (WIDTH, WIDTH), "real", skip=False)
    return WorldModel(encoder, VNPredictor(latent, action, (WIDTH, WIDTH), "real"), action)


def _step(model, optimizer, batch):
    target = copy.deepcopy(model.encoder).requires_grad_(False)
    objective = JEPA(target, 0.1)

    def step():
        optimizer.zero_grad(set_to_none=True)
        objective(model, *batch).total.backward()
        optimizer.step()
        torch._foreach_lerp_(list(target.parameters()), [p.detach() for p in model.encoder.parameters()], 0.01)

    return step


@pytest.mark.benchmark
def test_training_step(board):
    model = _model()
    naive = NaiveModel(model)
    x, a, y = torch.randn(BATCH, POINTS, 3), torch.randn(BATCH, 3), torch.randn(BATCH, POINTS, 3)
    assert torch.allclose(naive.predict(naive.encode(x), a), model(x, a), atol=1e-4)
    settings = {"lr": 0.02, "weight_decay": 0.0, "adjust_lr_fn": "original"}
    slow = _step(naive, torch.optim.Muon(naive.parameters(), **settings), (x, a, y))
    fast = _step(model, StackedMuon(model.parameters(), **settings), (x, a, y))
    board.ratio("training step of a latent model in 3D, naive / ours", slow, fast, asked="2.5x", unit="step")


@pytest.mark.benchmark
def test_encoder_against_a_plain_mlp(board):
    model, x = _model(), torch.randn(BATCH, POINTS, 3)
    mlp = MLPEncoder(vectors(POINTS, 3), vectors(LATENT, 3), (128, 128))

    def forward_backward(encoder):
        def call():
            encoder.zero_grad(set_to_none=True)
            encoder(x).square().mean().backward()

        return call

    board.ratio(
        "encoder forward + backward, vector neurons / plain MLP",
        forward_backward(model.encoder),
        forward_backward(mlp),
    )
