"""Training: the objective and the optimisers against their equations, and weights that no interruption changes."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.cli.main import run as command_line
from equiwm.config import load
from equiwm.disk.locks import is_held
from equiwm.errors import ConfigError, DataError, EquiwmError, RunError, TrainingError
from equiwm.layout import history
from equiwm.layout.binding import WEIGHTS_SCHEMA
from equiwm.layout.history import HistoryWriter
from equiwm.loading import load_run
from equiwm.locate import BUILT_IN
from equiwm.models.cross import CrossVNPredictor
from equiwm.models.factory import build_model
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.runs import Run
from equiwm.symmetry.groups import O2, SE3
from equiwm.symmetry.reps import Rep, vectors
from equiwm.tensors import read_tensors
from equiwm.training.fit import Fit
from equiwm.training.muon import StackedMuon
from equiwm.training.objective import JEPA, Forward, columns, variance_hinge
from equiwm.training.optimizers import build_optimizer
from equiwm.training.run import check_run, prepare_run, train_run, training_data, weights_moved
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Sequences, Transitions

OPTIMIZERS = sorted(BUILT_IN["optimizer"])
OBSERVATION, ACTION = vectors(4, 2), vectors(1, 2)
CPU = torch.device("cpu")


def fake_data(n: int = 100, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Transitions:
    """Transitions of a linear map that commutes with rotations: no simulator, a millisecond."""
    rng = np.random.default_rng(seed)
    now, action = rng.normal(size=(n, 4, 2)), rng.normal(size=(n, 2))
    then = 0.9 * now + 0.1 * action[:, None] * np.arange(1.0, 5.0)[:, None]
    tensors = [torch.from_numpy(entry).to(dtype) for entry in (now, action, then)]
    return Transitions(*tensors, episode=torch.arange(n) // 10)


def fake_sequences(n: int = 25, horizon: int = 4, *, dtype: torch.dtype = torch.float32) -> Sequences:
    """Sequences of the same linear map."""
    first, rng = fake_data(n, dtype=torch.float64), np.random.default_rng(1)
    actions = torch.from_numpy(rng.normal(size=(n, horizon, 2)))
    observations, gain = [first.observation], 0.1 * torch.arange(1.0, 5.0, dtype=torch.float64)[:, None]
    for action in actions.unbind(1):
        observations.append(0.9 * observations[-1] + gain * action[:, None])
    data = Sequences(torch.stack(observations, 1), actions, episode=torch.arange(n))
    return data.to(dtype, "cpu")


def small_model(preset: str = "vn-2d", *, seed: int = 0, dtype: torch.dtype = torch.float32) -> WorldModel:
    config = load(preset).model
    widths = {"encoder_widths": (8,), "predictor_widths": (8,), "latent": 8}
    return build_model(replace(config, **widths), OBSERVATION, ACTION, seed=seed, dtype=dtype)


def fit_of(preset: str = "vn-2d", *, seed: int = 0, n: int = 100, **training) -> Fit:
    config = replace(load(preset).training, **{"transitions": n, "batch": 32, "epochs": 4, **training})
    return Fit(config, small_model(preset, seed=seed), fake_data(n), seed=seed)


def rolled_fit_of(preset: str = "vn-2d", *, n: int = 100, horizon: int = 4, **training) -> Fit:
    config = replace(
        load(preset).training, **{"transitions": n, "horizon": horizon, "batch": 8, "epochs": 4, **training}
    )
    return Fit(config, small_model(preset), fake_sequences(n // horizon, horizon), seed=0)


def weights(fit: Fit) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in (*fit.model.parameters(), *fit.target.parameters())]


def finish(fit: Fit) -> None:
    while not fit.done:
        fit.run_epoch()


def identical(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# Objectives


def test_jepa_is_its_equation():
    torch.manual_seed(0)
    model, target = small_model(dtype=torch.float64), small_model(seed=1, dtype=torch.float64).encoder
    data = fake_data(20, dtype=torch.float64)
    loss = JEPA(target, 0.04)(model, data.observation, data.action, data.next_observation)
    z = model.encoder(data.observation).detach().numpy()
    prediction = model.predictor(torch.from_numpy(z), data.action).detach().numpy()
    expected = ((prediction - target(data.next_observation).detach().numpy()) ** 2).mean()
    std = np.sqrt(((z - z.mean(0)) ** 2).sum(0) / (len(z) - 1))
    hinge = np.maximum(0.0, 1.0 - std).mean()
    assert float(loss.prediction.detach()) == pytest.approx(expected, rel=1e-12)
    assert float(loss.variance.detach()) == pytest.approx(hinge, rel=1e-12)
    assert float(loss.total.detach()) == pytest.approx(expected + 0.04 * hinge, rel=1e-12)


def test_no_gradient_reaches_the_target():
    model, target, data = small_model(), small_model(seed=1).encoder, fake_data(20)
    JEPA(target, 0.04)(model, data.observation, data.action, data.next_observation).total.backward()
    assert all(parameter.grad is None for parameter in target.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())
    fit = fit_of()
    assert not any(parameter.requires_grad for parameter in fit.target.parameters())


def test_the_variance_hinge():
    assert float(variance_hinge(torch.ones(10, 3))) == 1.0
    assert float(variance_hinge(5.0 * torch.tensor([[-1.0], [1.0]]))) == 0.0
    half = 0.5 * torch.tensor([[-1.0], [1.0]]) / math.sqrt(2.0)
    assert float(variance_hinge(half)) == pytest.approx(0.5)


def test_forward_is_its_equation():
    data, model = fake_data(50, dtype=torch.float64), small_model("vn-2d-forward", dtype=torch.float64)
    loss = Forward(model.encoder, data)(model, data.observation, data.action, data.next_observation)
    predicted = model(data.observation, data.action).detach().unflatten(1, (4, 2))
    expected = 0.0
    for channel in range(4):
        error = ((predicted - data.next_observation)[:, channel] ** 2).sum(1).mean()
        moved = ((data.next_observation - data.observation)[:, channel] ** 2).sum(1).mean()
        expected += float(error / moved) / 4
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-12)


def test_predicting_no_change_has_forward_loss_one():
    data, model = fake_data(50, dtype=torch.float64), small_model("vn-2d-forward", dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = Forward(model.encoder, data)(model, data.observation, data.action, data.next_observation)
    assert float(loss.total.detach()) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("preset", ["vn-2d-forward", "mlp-2d-forward"])
def test_forward_weights_do_not_turn_with_the_data(preset):
    data = fake_data(50, dtype=torch.float64)
    turned = data.transform(O2.sample(1, 3)[0], OBSERVATION, ACTION)
    encoder = IdentityEncoder(OBSERVATION)
    assert Forward(encoder, data).weight.shape == (4, 1)
    assert torch.allclose(Forward(encoder, data).weight, Forward(encoder, turned).weight, rtol=1e-12)


def test_a_channel_that_never_moves_is_refused():
    data = fake_data(20)
    still = data.next_observation.clone()
    still[:, 2] = data.observation[:, 2]
    with pytest.raises(ValueError, match=r"channels \[2\] never move"):
        Forward(IdentityEncoder(OBSERVATION), replace(data, next_observation=still))


def test_the_forward_loss_of_points_does_not_see_where_they_are():
    rep = Rep.parse("5xp", 3)
    model = WorldModel(IdentityEncoder(rep), CrossVNPredictor(rep.linear_part, vectors(1, 3), (4,), 2), vectors(1, 3))
    draw = torch.randn(3, 20, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = Transitions(draw[0], draw[1, :, 0], draw[2], torch.arange(20))
    moved = data.transform(SE3.elements(torch.eye(3), torch.tensor([3.0, -2.0, 1.0])), rep, vectors(1, 3))
    losses = [
        Forward(model.encoder, part)(model.double(), part.observation, part.action, part.next_observation).total
        for part in (data, replace(moved, next_observation=data.next_observation))
    ]
    assert torch.allclose(losses[0], losses[1], rtol=1e-12)


# Objectives over several steps


def by_hand(model: WorldModel, data: Sequences) -> list[Tensor]:
    """z_1 ... z_H, each from the one before it."""
    with torch.no_grad():
        latents = [model.encode(data.observations[:, 0])]
        for step in range(data.horizon):
            latents.append(model.predict(latents[-1], data.actions[:, step]))
    return latents


def test_jepa_over_several_steps_is_its_equation():
    model, target = small_model(dtype=torch.float64), small_model(seed=1, dtype=torch.float64).encoder
    data = fake_sequences(20, 3, dtype=torch.float64)
    loss = JEPA(target, 0.04)(model, *columns(data))
    start, *latents = by_hand(model, data)
    errors = [(z - target(data.observations[:, h + 1]).detach()).square().mean() for h, z in enumerate(latents)]
    expected, hinge = float(torch.stack(errors).mean()), float(variance_hinge(start))
    assert float(loss.prediction.detach()) == pytest.approx(expected, rel=1e-12)
    assert float(loss.total.detach()) == pytest.approx(expected + 0.04 * hinge, rel=1e-12)


def test_forward_over_several_steps_is_its_equation():
    data, model = fake_sequences(20, 3, dtype=torch.float64), small_model("vn-2d-forward", dtype=torch.float64)
    loss = Forward(model.encoder, data)(model, *columns(data))
    start, *states = by_hand(model, data)
    expected = 0.0
    for step, state in enumerate(states, 1):
        error = (state.unflatten(1, (4, 2)) - data.observations[:, step]).square().sum(-1).mean(0)
        moved = (start.unflatten(1, (4, 2)) - data.observations[:, step]).square().sum(-1).mean(0)
        expected += float((error / moved).mean()) / 3
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("preset", ["vn-2d", "vn-2d-forward"])
def test_one_step_of_a_sequence_is_a_transition(preset):
    sequences, model = fake_sequences(20, 1, dtype=torch.float64), small_model(preset, dtype=torch.float64)
    start, action, following = columns(sequences)
    transitions = Transitions(start, action[:, 0], following[:, 0], episode=sequences.episode)
    losses = [
        (JEPA(model.encoder, 0.04) if preset == "vn-2d" else Forward(model.encoder, data))(model, *columns(data)).total
        for data in (sequences, transitions)
    ]
    assert torch.equal(*losses)


def test_the_gradient_runs_through_every_step():
    """The last step's error alone is felt by the encoder and, through the latents on the way, by the first action."""
    model, data = small_model(), fake_sequences(20)
    start, actions, following = columns(data)
    actions = actions.clone().requires_grad_()
    target = small_model(seed=1).encoder.requires_grad_(False)
    loss = JEPA(target, 0.0)(model, start, actions, following).prediction
    (gradient,) = torch.autograd.grad(loss, actions, retain_graph=True)
    assert (gradient.square().sum((0, 2)) > 0).all()
    last = (model.unroll(model.encode(start), actions)[:, -1] - target(following[:, -1])).square().mean()
    for parameter in model.encoder.parameters():
        assert torch.autograd.grad(last, parameter, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(last, actions)[0][:, 0].abs().sum() > 0


@pytest.mark.parametrize("preset", ["vn-2d", "mlp-2d-forward"])
def test_several_steps_are_learnt(preset):
    fit = rolled_fit_of(preset, n=1024, batch=64, epochs=30)
    start, actions, following = fit.columns

    def error() -> float:
        with torch.no_grad():
            truth = fit.model.encode(following.flatten(0, 1)).unflatten(0, following.shape[:2])
            moved = truth - fit.model.encode(start)[:, None]
            return float((fit.model.rollout(start, actions) - truth).square().sum() / moved.square().sum())

    before = error()
    finish(fit)
    assert error() < 0.3 * before


def test_a_state_over_several_steps_goes_on_to_the_same_weights(tmp_path):
    straight, first, resumed = (rolled_fit_of("mlp-2d", schedule="cosine") for _ in range(3))
    rows = [straight.run_epoch() for _ in range(4)]
    first.run_epoch()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(read_tensors(tmp_path / "state.pt"))
    assert [resumed.run_epoch() for _ in range(3)] == rows[1:]
    assert identical(weights(resumed), weights(straight))


SEVERAL = ["training.transitions=120", "training.horizon=3", "training.epochs=2", "training.batch=16"]


@pytest.mark.parametrize("preset", ["vn-2d", "mlp-2d-forward", "vn-3d-goal", "mlp-3d-goal", "vn-field-3d", "vn-body"])
def test_every_world_trains_over_several_steps(tmp_path, preset):
    if preset == "vn-body":
        pytest.importorskip("mujoco")
    config = load(preset, None, SEVERAL)
    run = prepare_run(config, tmp_path, "straight", seed=0, resume=False)
    result = train_run(run, device=CPU)
    assert result.transitions == 120
    data = training_data(config.training, build_world(config.world), seed=0)
    assert isinstance(data, Sequences)
    assert (len(data), data.horizon, data.transitions) == (40, 3, 120)
    stopped = prepare_run(config, tmp_path, "stopped", seed=0, resume=False)
    with pytest.raises(KeyboardInterrupt):
        train_run(stopped, device=CPU, progress=StopAfter(1))
    train_run(prepare_run(config, tmp_path, "stopped", seed=0, resume=True), device=CPU)
    assert_same_run(stopped, run)


def test_too_few_sequences_are_refused(monkeypatch):
    config = load("vn-2d", None, SEVERAL)
    world = build_world(config.world)
    short = world.sequences(39, 3, seed=0)
    monkeypatch.setattr(world, "sequences", lambda *args, **options: short)
    with pytest.raises(DataError, match=r"training\.horizon: only 39 of 40 sequences of 3 steps"):
        training_data(config.training, world, seed=0)
    with pytest.raises(DataError, match=r"'mine' gives no sequences; expected training\.horizon=1"):
        training_data(config.training, SimpleNamespace(name="mine"), seed=0)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["training.horizon=0"], r"training\.horizon: got 0, expected at least 1"),
        (["training.horizon=7"], r"training\.horizon: got 7, expected a divisor of training\.transitions \(120\)"),
        (["training.horizon=60"], r"training\.batch: got 16, expected 2 to training\.transitions / .* \(2\)"),
    ],
)
def test_horizons_that_make_no_training_are_refused(assignments, message):
    with pytest.raises(ConfigError, match=message):
        load("vn-2d", None, [*SEVERAL, *assignments])


# Optimisers


def names_of(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> set[str]:
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def test_muon_takes_the_matrices_and_adamw_the_rest():
    model = small_model("mlp-2d")
    muon, adamw = build_optimizer("muon", model).optimizers
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim == 2}
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    assert names_of(muon, model) == matrices
    assert names_of(adamw, model) == {name for name, _ in model.named_parameters()} - matrices
    (settings,) = muon.param_groups
    assert {key: settings[key] for key in ("lr", "momentum", "weight_decay", "nesterov", "ns_steps")} == {
        "lr": 0.02,
        "momentum": 0.95,
        "weight_decay": 0.0,
        "nesterov": True,
        "ns_steps": 5,
    }
    assert settings["adjust_lr_fn"] == "original"
    assert adamw.param_groups[0]["lr"] == 1e-3
    assert adamw.param_groups[0]["weight_decay"] == 0.0


def test_muon_alone_where_all_are_matrices():
    assert len(build_optimizer("muon", small_model("vn-2d")).optimizers) == 1


@pytest.mark.parametrize("preset", ["vn-2d", "mlp-2d", "vn-2d-forward"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_is_trained_exactly_once(name, preset):
    model = small_model(preset)
    owned = [
        id(parameter)
        for optimizer in build_optimizer(name, model).optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert sorted(owned) == sorted(id(parameter) for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("adam", torch.optim.Adam, {"lr": 1e-3}),
        ("adamw", torch.optim.AdamW, {"lr": 1e-3}),
        ("sgd", torch.optim.SGD, {"lr": 2e-2, "momentum": 0.9}),
        ("rmsprop", torch.optim.RMSprop, {"lr": 1e-3}),
    ],
)
def test_the_other_optimisers_have_the_settings_of_the_protocol(name, kind, settings):
    (optimizer,) = build_optimizer(name, small_model()).optimizers
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in settings} == settings
    (optimizer,) = build_optimizer(name, small_model(), lr=0.3, weight_decay=0.2).optimizers
    assert optimizer.param_groups[0]["lr"] == 0.3
    assert optimizer.param_groups[0]["weight_decay"] == 0.2


def test_muon_is_torchs():
    """Batched and padded, yet the same steps to the rounding of bfloat16."""
    torch.manual_seed(0)
    shapes = [(8, 8), (4, 64), (64, 4), (70, 65), (1, 9), (9, 1), (8, 8)]
    ours = [torch.randn(*shape).requires_grad_() for shape in shapes]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in ours]
    settings = {"lr": 0.02, "weight_decay": 0.0, "momentum": 0.95, "adjust_lr_fn": "original"}
    pair = (StackedMuon(ours, **settings), torch.optim.Muon(theirs, **settings))
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in pair:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=3 * 0.02 * 0.02 * math.sqrt(max(1, len(mine))))


def test_the_schedule_scales_every_rate():
    optimizers = build_optimizer("muon", small_model("mlp-2d"), lr=0.1)
    for scale in (0.5, 0.25, 1.0):
        optimizers.set_lr_scale(scale)
        rates = [group["lr"] for optimizer in optimizers.optimizers for group in optimizer.param_groups]
        assert rates == pytest.approx([0.1 * scale, 1e-3 * scale])


def test_the_cosine_schedule_falls_from_one_to_nothing(monkeypatch):
    fit = fit_of(schedule="cosine", n=128, batch=32, epochs=3, optimizer="adam")
    scales: list[float] = []
    monkeypatch.setattr(fit.optimizers, "set_lr_scale", scales.append)
    finish(fit)
    assert scales == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 12)) for k in range(12)])
    constant = fit_of(schedule="constant", epochs=1)
    monkeypatch.setattr(constant.optimizers, "set_lr_scale", scales.append)
    constant.run_epoch()
    assert set(scales[12:]) == {1.0}


# The loop


def test_the_target_is_an_exponential_average(monkeypatch):
    fit = fit_of(epochs=2, ema=0.9, optimizer="adam")
    expected = [parameter.detach().clone().double() for parameter in fit.target.parameters()]
    assert identical(list(fit.target.parameters()), list(fit.model.encoder.parameters()))
    step, steps = fit.optimizers.step, 0

    def stepped() -> None:
        nonlocal steps
        step()
        steps += 1
        for average, online in zip(expected, fit.model.encoder.parameters(), strict=True):
            average.mul_(0.9).add_(0.1 * online.detach().double())

    monkeypatch.setattr(fit.optimizers, "step", stepped)
    finish(fit)
    assert steps == 8
    for average, parameter in zip(expected, fit.target.parameters(), strict=True):
        assert torch.allclose(average, parameter.double(), rtol=0, atol=1e-6)
    assert not identical(list(fit.target.parameters()), list(fit.model.encoder.parameters()))


@pytest.mark.parametrize(("n", "batch", "steps"), [(100, 32, 4), (96, 32, 3), (97, 32, 3), (33, 33, 1), (3, 2, 1)])
def test_an_epoch_sees_every_transition_once_but_no_batch_of_one(monkeypatch, n, batch, steps):
    fit = fit_of(n=n, batch=batch, epochs=1)
    seen: list[Tensor] = []
    objective = fit.objective

    def spy(model, observation, action, next_observation):
        seen.append(observation)
        return objective(model, observation, action, next_observation)

    fit.objective = spy
    fit.run_epoch()
    rows = torch.cat(seen)
    assert len(seen) == steps
    assert len(rows) == n - (n % batch == 1)
    assert len({tuple(row.flatten().tolist()) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_learns_and_moves_the_weights(name):
    fit = fit_of("mlp-2d-forward", optimizer=name, epochs=12, n=256)
    initial = copy.deepcopy(fit.model)
    losses = [fit.run_epoch()["loss"] for _ in range(12)]
    assert losses[-1] < losses[0]
    assert weights_moved(fit.model, initial) > 1e-3
    assert weights_moved(initial, initial) == 0.0


def test_weights_moved_is_its_definition():
    initial, model = small_model(dtype=torch.float64), small_model(seed=1, dtype=torch.float64)
    before, after = (torch.cat([p.detach().flatten() for p in m.parameters()]).numpy() for m in (initial, model))
    assert weights_moved(model, initial) == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("preset", ["vn-2d", "mlp-2d"])
def test_the_same_seed_gives_the_same_weights(name, preset):
    runs = []
    for noise, seed in ((1, 0), (2, 0), (3, 1)):
        torch.manual_seed(noise)  # the global state is nobody's business
        fit = fit_of(preset, seed=seed, optimizer=name, epochs=2)
        finish(fit)
        runs.append(weights(fit))
    assert identical(runs[0], runs[1])
    assert not identical(runs[0], runs[2])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_state_goes_on_to_the_same_weights(tmp_path, name, stop):
    straight = fit_of("mlp-2d", optimizer=name, schedule="cosine")
    rows = [straight.run_epoch() for _ in range(4)]
    first = fit_of("mlp-2d", optimizer=name, schedule="cosine")
    for _ in range(stop):
        first.run_epoch()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    resumed = fit_of("mlp-2d", optimizer=name, schedule="cosine", seed=0)
    resumed.load_state_dict(read_tensors(tmp_path / "state.pt"))
    assert resumed.epoch == stop
    assert [resumed.run_epoch() for _ in range(4 - stop)] == rows[stop:]
    assert identical(weights(resumed), weights(straight))


def test_divergence_stops_with_advice():
    fit = fit_of(optimizer="sgd", lr=1e9, epochs=8)
    with pytest.raises(TrainingError, match=r"diverged in epoch \d: the loss is (nan|inf); try a smaller training\.lr"):
        finish(fit)


def test_collapse_stops_with_advice():
    fit = fit_of(epochs=8)
    with torch.no_grad():
        for parameter in (*fit.model.parameters(), *fit.target.parameters()):
            parameter.mul_(1e-6)
    fit.config = replace(fit.config, lr=1e-12)
    fit.optimizers = build_optimizer("sgd", fit.model, lr=1e-12)
    with pytest.raises(TrainingError, match=r"collapsed by epoch 5: .*training\.variance_weight"):
        finish(fit)


# Run directories


CONFIG = load("vn-2d", None, ["training.transitions=200", "training.epochs=3", "training.batch=64"])


class StopAfter:
    """Interrupts a training as Ctrl-C does, when `epochs` are done."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def data(self, done: int, total: int) -> None:
        if self.epochs == 0:
            raise KeyboardInterrupt

    def epoch(self, done: int, total: int, loss: float) -> None:
        if done == self.epochs:
            raise KeyboardInterrupt


def tensors(run: Run) -> dict[str, Tensor]:
    state = read_tensors(run.checkpoint)
    return {f"{part}.{name}": tensor for part in ("model", "target") for name, tensor in state[part].items()}


def assert_same_run(first: Run, second: Run) -> None:
    a, b = tensors(first), tensors(second)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert first.history_path.read_bytes() == second.history_path.read_bytes()
    assert without_times(first) == without_times(second)


def without_times(run: Run) -> dict[str, object]:
    train = dict(run.metrics()["train"])
    assert train.pop("seconds") > 0
    assert train.pop("steps_seconds") >= 0
    return train


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Run:
    run = prepare_run(CONFIG, tmp_path_factory.mktemp("straight"), "vn-2d", seed=0, resume=False)
    train_run(run, device=CPU)
    return run


def test_a_run_holds_what_the_design_says(uninterrupted):
    run = uninterrupted
    assert sorted(path.name for path in run.path.iterdir() if not path.name.startswith(".")) == [
        "checkpoint.pt",
        "config.yaml",
        "history.csv",
        "metrics.json",
    ]
    assert run.state == "complete"
    history = run.history()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert list(history[0]) == ["epoch", "loss", "prediction", "variance", "latent_std"]
    train = run.metrics()["train"]
    assert {"parameters", "seconds", "final_loss", "latent_std", "effective_rank", "seed"} <= set(train)
    assert train["final_loss"] == history[-1]["loss"]
    assert train["first_loss"] == history[0]["loss"]
    loaded = load_run(run.path)
    assert train["parameters"] == loaded.model.parameter_count
    assert train["weights_moved"] == pytest.approx(weights_moved(loaded.model, loaded.initial_model()), rel=1e-12)


def plain_or_tensor(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain_or_tensor(entry) for key, entry in value.items())
    if isinstance(value, list):
        return all(map(plain_or_tensor, value))
    return value is None or type(value) in (Tensor, int, float, str, bool)


def test_a_checkpoint_holds_tensors_and_plain_data(uninterrupted):
    state = torch.load(uninterrupted.checkpoint, weights_only=True)
    assert plain_or_tensor(state)
    assert state["schema"] == WEIGHTS_SCHEMA
    assert state["reps"] == {"d": 2, "observation": "4x1o", "action": "1x1o", "latent": "64x1o"}
    assert state["model"].keys() > state["target"].keys() or len(state["target"]) > 0


def test_the_model_comes_back_as_it_was_trained(uninterrupted):
    config, run = CONFIG, uninterrupted
    loaded = load_run(run.path)
    fit = Fit(
        config.training,
        build_model(config.model, OBSERVATION, ACTION, seed=0),
        loaded.world.transitions(200, seed=0).to(torch.float32, "cpu"),
        seed=0,
    )
    finish(fit)
    assert identical(list(fit.model.parameters()), list(loaded.model.parameters()))
    assert not loaded.model.training
    double = load_run(run.path, torch.float64)
    assert all(parameter.dtype == torch.float64 for parameter in double.model.parameters())
    assert identical([parameter.double() for parameter in loaded.model.parameters()], list(double.model.parameters()))


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, uninterrupted, stop):
    run = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=False)
    with pytest.raises(KeyboardInterrupt):
        train_run(run, device=CPU, progress=StopAfter(stop))
    assert run.state == "incomplete"
    assert run.resume_point.exists() == (stop > 0)
    assert not run.checkpoint.exists()
    again = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=True)
    train_run(again, device=CPU)
    assert_same_run(again, uninterrupted)
    assert not run.resume_point.exists()


@pytest.mark.parametrize(("owner", "at", "call"), [(HistoryWriter, "extend", 2), (Run, "record", 1)])
def test_a_run_killed_between_two_writes_goes_on_to_the_same_weights(
    tmp_path, uninterrupted, monkeypatch, owner, at, call
):
    """History is written before resume.pt, and metrics.json before checkpoint.pt."""
    run = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=False)
    original, calls = getattr(owner, at), 0

    def killed(self, *args, **options):
        nonlocal calls
        calls += 1
        made = original(self, *args, **options)
        if calls == call:
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patch:
        patch.setattr(owner, at, killed)
        with pytest.raises(KeyboardInterrupt):
            train_run(run, device=CPU)
    assert run.state == "incomplete"
    train_run(run, device=CPU)
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize("kept", [0, 1, 9, -1])
def test_a_run_killed_within_an_append_goes_on_to_the_same_bits(tmp_path, uninterrupted, monkeypatch, kept):
    """Of the second epoch's row so many bytes are on the disk: none, one, some, all but its end."""
    run = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=False)

    def torn(path, content, *, size):
        with path.open("ab") as file:
            file.write(content[:kept])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(history, "append_whole", torn)
        with pytest.raises(KeyboardInterrupt):
            train_run(run, device=CPU)
    assert [row["epoch"] for row in run.history()] == [1]
    train_run(run, device=CPU)
    assert_same_run(run, uninterrupted)
    assert run.history_path.read_bytes() == uninterrupted.history_path.read_bytes()


def test_a_run_is_complete_before_it_is_let_go(tmp_path, uninterrupted):
    """What the command adds (the summary) is there when another process may look."""
    run, found = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=False), []
    train_run(run, device=CPU, completed=lambda made: found.append((made.state, is_held(made.lock_path))))
    assert (found, is_held(run.lock_path)) == ([("complete", True)], False)
    assert_same_run(run, uninterrupted)


def test_a_complete_run_is_not_trained_again(uninterrupted, snapshot):
    before = snapshot(uninterrupted.path)
    with pytest.raises(RunError, match="complete"):
        train_run(uninterrupted, device=CPU)
    folder = uninterrupted.path.parent
    assert prepare_run(CONFIG, folder, "vn-2d", seed=0, resume=True).state == "complete"
    with pytest.raises(RunError, match="exists; pass --resume"):
        prepare_run(CONFIG, folder, "vn-2d", seed=0, resume=False)
    assert snapshot(uninterrupted.path) == before


@pytest.mark.parametrize(
    ("assignment", "seed", "key"),
    [("training.epochs=4", 0, "training.epochs"), ("model.latent=64", 0, "model.latent"), ("training.lr=1", 1, "seed")],
)
def test_resuming_with_another_configuration_is_refused(tmp_path, snapshot, assignment, seed, key):
    prepare_run(CONFIG, tmp_path, "run", seed=0, resume=False)
    before = snapshot(tmp_path)
    changed = load("vn-2d", None, ["training.transitions=200", "training.epochs=3", "training.batch=64", assignment])
    for refuse in (check_run, prepare_run):
        with pytest.raises(RunError, match="configuration changed") as error:
            refuse(changed, tmp_path, "run", seed=seed, resume=True)
        assert key in str(error.value)
    assert snapshot(tmp_path) == before


def test_a_configuration_that_builds_nothing_leaves_nothing(tmp_path):
    config = load("vn-2d", None, ["model.latent=127"])
    with pytest.raises(EquiwmError, match=r"model\.latent"):
        prepare_run(config, tmp_path / "runs", "run", seed=0, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_run_keeps_what_was_there(tmp_path):
    config = load(
        "mlp-2d",
        None,
        [
            "training.transitions=100",
            "training.batch=50",
            "training.epochs=30",
            "training.optimizer=sgd",
            "training.lr=3.0",
        ],
    )
    run = prepare_run(config, tmp_path, "run", seed=0, resume=False)
    with pytest.raises(TrainingError, match="diverged"):
        train_run(run, device=CPU)
    assert run.state == "incomplete"
    assert all(math.isfinite(row["loss"]) for row in run.history())
    assert (len(run.history()) > 0) == run.resume_point.exists()


def resume_damages() -> dict[str, object]:
    return {
        "text": b"not a checkpoint",
        "empty": b"",
        "truncated": slice(0, 4000),
        "a list": [1, 2],
        "other keys": {"model": {}},
        "other model": {"epoch": 1, "seconds": 1.0, "model": {"w": torch.ones(1)}, "target": {}, "optimizers": []},
        "not even mappings": {
            "epoch": 1,
            "seconds": 1.0,
            "model": 3,
            "target": [],
            "optimizers": 5,
            "generator": "x",
        },
        "wrong generator": "generator",
        "wrong optimisers": "optimizers",
        "wrong optimiser state": "state",
        "wrong epoch": "epoch",
    }


@pytest.mark.parametrize("damage", resume_damages())
def test_a_damaged_resume_point_is_refused_and_kept(tmp_path, snapshot, damage):
    run = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=False)
    with pytest.raises(KeyboardInterrupt):
        train_run(run, device=CPU, progress=StopAfter(1))
    content = resume_damages()[damage]
    good = torch.load(run.resume_point, weights_only=True)
    if isinstance(content, bytes | slice):
        whole = run.resume_point.read_bytes()
        run.resume_point.write_bytes(whole[content] if isinstance(content, slice) else content)
    elif content == "generator":
        torch.save({**good, "generator": torch.zeros(3)}, run.resume_point)
    elif content == "optimizers":
        torch.save({**good, "optimizers": []}, run.resume_point)
    elif content == "state":
        torch.save({**good, "optimizers": [{"state": {}, "param_groups": []}]}, run.resume_point)
    elif content == "epoch":
        torch.save({**good, "epoch": None}, run.resume_point)
    else:
        torch.save(content, run.resume_point)
    before = snapshot(run.path)
    with pytest.raises(RunError, match=r"resume\.pt") as error:
        train_run(run, device=CPU)
    assert str(error.value).count("\n") <= 1
    assert snapshot(run.path) == before


def test_a_run_in_use_is_refused(tmp_path):
    run = prepare_run(CONFIG, tmp_path, "vn-2d", seed=0, resume=False)
    with run.lock(), pytest.raises(RunError, match="in use by process"):
        train_run(run, device=CPU)
    assert not run.history_path.exists()


# Real processes, killed by real signals


def train_arguments(folder: Path, *options: str) -> list[str]:
    settings = ["training.transitions=200", "training.epochs=20", "training.batch=32"]
    assignments = [part for setting in settings for part in ("--set", setting)]
    return ["train", "--preset", "vn-2d", "--quiet", "--out", str(folder), *assignments, *options]


def struck(folder: Path, blow: signal.Signals, after: str) -> subprocess.CompletedProcess[str]:
    """Start a training in a process of its own and strike when `after` appears in its run directory."""
    command = [sys.executable, "-c", "from equiwm.cli.main import main; main()", *train_arguments(folder)]
    mark, deadline = folder / "vn-2d" / after, time.monotonic() + 60
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(blow)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("signals")
    assert command_line(train_arguments(folder)) == 0
    return Run(folder / "vn-2d")


@pytest.mark.parametrize(
    ("blow", "after"),
    [
        (signal.SIGINT, "resume.pt"),
        (signal.SIGKILL, "resume.pt"),
        pytest.param(signal.SIGINT, "config.yaml", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, "config.yaml", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "resume.pt", marks=pytest.mark.slow),
    ],
)
def test_a_killed_process_goes_on_to_bit_identical_weights(tmp_path, straight, capsys, blow, after):
    process = struck(tmp_path, blow, after)
    run = Run(tmp_path / "vn-2d")
    assert process.returncode == (130 if blow == signal.SIGINT else -blow), process.stderr
    if blow == signal.SIGINT:
        assert "Traceback" not in process.stderr
        assert len(process.stderr.splitlines()) <= 2
        assert "--resume" in process.stderr
    assert run.state == "incomplete"
    capsys.readouterr()
    assert command_line(train_arguments(tmp_path, "--resume", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == run.metrics()["train"]
    assert_same_run(run, straight)
    if blow == signal.SIGINT:
        assert [path.name for path in run.path.iterdir() if path.name.endswith(".tmp")] == []
