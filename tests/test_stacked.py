"""Many regressions at once: each has to be what it is alone, by a plain loop written here."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from equiwm.errors import TrainingError
from equiwm.models.regressors import build_regressor
from equiwm.models.soft import Regressor, SoftRegressor
from equiwm.models.vector_neurons import VNEncoder
from equiwm.training import stacked
from equiwm.training.stacked import Regression, batches, fit_stack, stack
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field

SEEDS = [3, 4, 3]
SAMPLES = 40
SETTINGS = Regression(steps=40, batch=None, penalty=0.1)
CLOSE = 1e-10
"""Bound on |w - w'| / max |w| after 40 steps in float64. Rounding gives 1e-15, and up to 1e-12 where a gradient is so
small that AdamW divides rounding by rounding."""


def data(d: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """State, action and velocity of three members; the first and last differ in the order of their batches alone."""
    world = Field(FieldConfig(dimension=d))
    drawn = [world.transitions(SAMPLES, seed=seed) for seed in SEEDS]
    state, action = torch.stack([t.observation for t in drawn]), torch.stack([t.action for t in drawn])
    return state.to(dtype), action.to(dtype), world.velocity(state, action).to(dtype)


def members(kind: str, d: int = 3, dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    world = Field(FieldConfig(dimension=d))
    width = 8 if kind == "vn" else 24
    return [build_regressor(kind, world, width, seed=seed, dtype=dtype) for seed in SEEDS]


def train_alone(
    model: nn.Module, state: Tensor, action: Tensor, target: Tensor, settings: Regression, seed: int
) -> Tensor:
    """The loss and the loop as one would write them for one network."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, foreach=False, fused=False
    )

    def loss(rows: Tensor) -> Tensor:
        fit = (model(state[rows], action[rows]) - target[rows]).square().mean()
        if isinstance(model, SoftRegressor):
            fit = fit + settings.penalty * model.free(state[rows], action[rows]).square().mean()
        return fit / target.square().mean()

    generator, order = torch.Generator().manual_seed(seed), torch.arange(0)
    for _ in range(settings.steps):
        rows = torch.arange(len(state))
        if settings.batch is not None:
            while len(order) < settings.batch:
                order = torch.cat([order, torch.randperm(len(state), generator=generator)])
            rows, order = order[: settings.batch], order[settings.batch :]
        optimizer.zero_grad()
        loss(rows).backward()
        optimizer.step()
    return loss(torch.arange(len(state))).detach()


@pytest.mark.parametrize("kind", ["vn", "mlp", "soft"])
@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize("layout", ["one stack", "stacks of two and one", "one by one"])
def test_a_member_is_what_it_is_alone(kind, batch, layout, monkeypatch):
    monkeypatch.setattr(stacked, "_AT_ONCE", 2 if layout == "stacks of two and one" else 8)
    monkeypatch.setattr(stacked, "_STACKED_PARAMETERS", 0 if layout == "one by one" else 10**6)
    settings = Regression(steps=40, batch=batch, weight_decay=0.1, penalty=0.1)
    together, alone = members(kind), members(kind)
    losses = fit_stack(together, *data(), settings, SEEDS)
    for index, model in enumerate(alone):
        loss = train_alone(model, *(part[index] for part in data()), settings, SEEDS[index])
        assert float(losses[index]) == pytest.approx(float(loss), rel=CLOSE)
        for own, expected in zip(together[index].parameters(), model.parameters(), strict=True):
            assert torch.allclose(own, expected, rtol=0, atol=CLOSE * float(expected.detach().abs().max()))


def test_training_learns_and_the_order_of_the_batches_is_the_seed_s():
    models, start = members("vn", dtype=torch.float32), members("vn", dtype=torch.float32)
    state, action, target = data(dtype=torch.float32)
    state, action, target = state[[0, 0, 0]], action[[0, 0, 0]], target[[0, 0, 0]]
    models[1].load_state_dict(models[0].state_dict())
    losses = fit_stack(models, state, action, target, Regression(steps=200, batch=16), SEEDS)
    with torch.no_grad():
        before = (start[0](state[0], action[0]) - target[0]).square().mean() / target[0].square().mean()
    assert float(losses.max()) < 0.1 * float(before)
    weights = [torch.cat([parameter.flatten() for parameter in model.parameters()]) for model in models]
    assert torch.equal(weights[0], weights[2]), "one seed, one order"
    assert not torch.allclose(weights[0], weights[1], rtol=0, atol=1e-4), "another seed, another order"


def test_batches_take_every_sample_once_a_pass():
    drawn = torch.cat(list(islice(batches(10, 4, seed=0), 5)))
    for half in drawn.split(10):
        assert torch.equal(half.sort().values, torch.arange(10))
    assert not torch.equal(drawn[:10], drawn[10:])


def test_a_batch_of_all_data_or_more_is_full_batch():
    results = []
    for batch in (None, SAMPLES, 10 * SAMPLES):
        models = members("mlp")
        fit_stack(models, *data(), Regression(steps=3, batch=batch), SEEDS)
        results.append(torch.cat([parameter.flatten() for parameter in models[1].parameters()]))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_penalty_is_in_the_loss_and_holds_the_free_path_back():
    state, action, target = data()
    shares = []
    for penalty in (1e-4, 1.0):
        models = members("soft")
        losses = fit_stack(models, state, action, target, Regression(steps=100, penalty=penalty), SEEDS)
        model = models[1]
        assert isinstance(model, SoftRegressor)
        with torch.no_grad():
            hard, free = model.paths(state[1], action[1])
        error, size = (hard + free - target[1]).square().mean(), target[1].square().mean()
        assert float(losses[1]) == pytest.approx(float((error + penalty * free.square().mean()) / size), rel=1e-12)
        shares.append(model.free_fraction(state[1], action[1]))
    assert shares[1] < 0.3 * shares[0]


_DIGEST = """
import hashlib, torch
torch.set_num_threads(1)
from tests.test_stacked import digest
print(digest())
"""


def digest() -> str:
    """Of the weights and losses of a training in float32."""
    models = members("soft", dtype=torch.float32)
    losses = fit_stack(models, *data(dtype=torch.float32), Regression(steps=30, batch=16, penalty=0.1), SEEDS)
    numbers = [losses, *(parameter.detach().flatten() for model in models for parameter in model.parameters())]
    return hashlib.sha256(torch.cat(numbers).numpy().tobytes()).hexdigest()


def test_another_process_gives_the_same_bits(request):
    done = subprocess.run(
        [sys.executable, "-c", _DIGEST], cwd=request.config.rootpath, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == digest()


def test_progress_counts_the_updates_of_all_members(monkeypatch):
    monkeypatch.setattr(stacked, "_AT_ONCE", 2)
    monkeypatch.setattr(stacked, "_REPORT_EVERY", 2)
    told: list[tuple[int, int]] = []
    fit_stack(members("vn"), *data(), Regression(steps=5), SEEDS, lambda done, total: told.append((done, total)))
    assert told == [(4, 15), (8, 15), (10, 15), (12, 15), (14, 15), (15, 15)]


def test_a_member_that_diverges_is_named_and_does_not_touch_the_others():
    state, action, target = data()
    target[1, 0] = float("nan")
    together, alone = members("mlp"), members("mlp")
    with pytest.raises(TrainingError, match=r"seeds \[4\]"):
        fit_stack(together, state, action, target, SETTINGS, SEEDS)
    train_alone(alone[2], state[2], action[2], target[2], SETTINGS, SEEDS[2])
    for own, expected in zip(together[2].parameters(), alone[2].parameters(), strict=True):
        assert torch.allclose(own, expected, rtol=0, atol=CLOSE * float(expected.detach().abs().max()))


def test_what_cannot_be_stacked_is_refused():
    world = Field(FieldConfig(dimension=2))
    state, action = world.observation_rep, world.action_rep
    plane = [Regressor(VNEncoder(state + action, state, (4,), "complex", skip=False), state, action) for _ in range(2)]
    with pytest.raises(ValueError, match=r"cannot stack network\.network\.layers\.0\.real"):
        stack(plane)
    with pytest.raises(ValueError, match="of one architecture"):
        stack([*members("mlp"), *members("vn")])
    with pytest.raises(ValueError, match=r"as many members; got \[3, 2, 3, 3, 3\]"):
        fit_stack(members("vn"), *data(), SETTINGS, SEEDS[:2])
