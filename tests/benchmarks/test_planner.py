"""Speed of the planner against one task at a time, samples first, `einsum` with the spatial axis last; equal plans."""

import numpy as np
import pytest
import torch

from equiwm.models.vector_neurons import VNPredictor
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.planning.cem import CEM
from equiwm.planning.costs import Objective, PoseGoal
from equiwm.planning.frames import planar_frames
from equiwm.planning.rollouts import PredictRollout, compile_rollout
from equiwm.symmetry.reps import vectors

STATE, ACTION, TASKS = vectors(4, 2), vectors(1, 2), 4
PLANNER = CEM()  # the paper's settings: 300 samples, horizon 20, 6 iterations, 30 elites


def _model(weights, dtype):
    torch.manual_seed(0)
    model = WorldModel(IdentityEncoder(STATE), VNPredictor(STATE, ACTION, (64, 64), weights), ACTION)
    with torch.no_grad():  # steps as small as those of a trained model
        for parameter in model.predictor.network.layers[-1].parameters():
            parameter.mul_(0.05)
    return model.to(dtype)


class NaivePlanner:
    """The same planner as it is usually written."""

    def __init__(self, model):
        layers = model.predictor.network.layers
        linears = [layer.direction if hasattr(layer, "direction") else layer for layer in layers]
        self.complex = hasattr(linears[0], "real")
        self.weights = [
            (linear.real.detach(), linear.imaginary.detach()) if self.complex else (linear.weight.detach(), None)
            for linear in linears
        ]

    def linear(self, index, x):
        real, imaginary = self.weights[index]
        y = torch.einsum("oi,bid->bod", real, x)
        if self.complex:
            y = y + torch.einsum("oi,bid->bod", imaginary, torch.stack([-x[..., 1], x[..., 0]], -1))
        return y

    def predict(self, z, a):
        x = self.linear(0, torch.cat([z, a[:, None]], 1))
        for index in range(1, len(self.weights), 2):
            q = self.linear(index, x)
            dot, norm = (x * q).sum(-1, keepdim=True), (q * q).sum(-1, keepdim=True) + 1e-12
            x = self.linear(index + 1, torch.where(dot >= 0, x, x - dot / norm * q))
        return z + x

    def cost(self, z, actions, position, direction):
        total, z = 0.0, z.expand(len(actions), 4, 2)
        for action in actions.unbind(1):
            z = self.predict(z, action)
            along = (z[:, 3] * direction).sum(-1) / z[:, 3].norm(dim=-1)
            pose = 5.0 * (z[:, 2] - position).square().sum(-1) + 1.0 - along
            total = total + 0.3 * pose + 0.05 * (z[:, 0] - z[:, 2]).square().sum(-1)
        return pose + total / actions.shape[1]

    @torch.no_grad()
    def plan(self, z, position, direction, frame, seed):
        rng = np.random.default_rng(seed)
        mean, sigma = torch.zeros(20, 2, dtype=torch.float64), torch.full((20, 1), 0.8, dtype=torch.float64)
        for _ in range(6):
            noise = torch.from_numpy(rng.standard_normal((20, 2, 300))).permute(2, 0, 1)
            actions = mean + sigma * torch.einsum("de,nhe->nhd", frame, noise)
            actions = actions / actions.norm(dim=-1, keepdim=True).clamp_min(1.0)
            cost = self.cost(z, actions.to(z.dtype), position, direction).double()
            elites = actions[cost.topk(30, largest=False).indices]
            mean = elites.mean(0)
            sigma = (elites - mean).square().mean((0, 2))[:, None].sqrt()
        return mean


def _tasks(dtype):
    rng = torch.Generator().manual_seed(1)
    states = torch.randn(TASKS, 4, 2, generator=rng, dtype=torch.float64) * 0.2
    goals = states[:, 2:] + 0.1 * torch.randn(TASKS, 2, 2, generator=rng, dtype=torch.float64)
    states[:, 3] /= states[:, 3].norm(dim=-1, keepdim=True)
    goals[:, 1] /= goals[:, 1].norm(dim=-1, keepdim=True)
    return states.to(dtype), goals.to(dtype), planar_frames(states[:, 3]).axes


@pytest.mark.benchmark
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("weights", ["complex", "real"])
def test_planner(board, weights, dtype):
    model = _model(weights, dtype)
    states, goals, frames = _tasks(dtype)
    naive = NaivePlanner(model)
    objective = Objective([PoseGoal(goals[:, 0], goals[:, 1])], compile_rollout(model), states.flatten(1))

    def slow():
        return torch.stack([naive.plan(states[k], goals[k, 0], goals[k, 1], frames[k], seed=k) for k in range(TASKS)])

    def fast():
        return PLANNER.plan(objective, ACTION, range(TASKS), frame=frames).actions[:, :, 0]

    difference = float((slow() - fast()).abs().max())
    assert difference <= (1e-9 if dtype == torch.float64 else 1e-4)
    name = str(dtype).removeprefix("torch.")
    board.ratio(
        f"plan with {weights} weights in {name}, einsum / ours (they differ by {difference:.0e})",
        slow,
        fast,
        repeats=5,
        share=1 / TASKS,
        unit="plan",
    )


@pytest.mark.benchmark
def test_compiled_rollout_against_predict(board):
    model = _model("complex", torch.float32)
    latent, actions = _tasks(torch.float32)[0].flatten(1)[:2], torch.randn(2, 300, 20, 1, 2) * 0.5
    slow, fast = PredictRollout(model), compile_rollout(model)
    board.ratio(
        "rollout of 600 plans, the model's predict / compiled",
        lambda: slow(latent, actions),
        lambda: fast(latent, actions),
    )
