"""Claims against their definitions, written out naively, and on tiny runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.audit.pooled import equivariance_residual
from equiwm.audit.spread import latent_spread
from equiwm.claims.optimizers import optimizer_cell, parse_optimizers
from equiwm.claims.probe import fitting_group, held_out
from equiwm.claims.residual.measure import control_model, cost_drift, verify
from equiwm.claims.sweep.measure import Readouts, component_relmse, relmse, sweep
from equiwm.claims.sweep.readout import (
    PENALTIES,
    action_only_errors,
    affine_features,
    commutant_features,
    fit_readout,
    pooled_error,
)
from equiwm.disk.strict_json import canonical_json, plain
from equiwm.errors import ConfigError, GroupError
from equiwm.loading import load_run
from equiwm.locate import BUILT_IN
from equiwm.models.world_model import WorldModel
from equiwm.subject import Subject
from equiwm.symmetry.groups import O2, SO2, SO3
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.world import Transitions

DTYPES = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Bounds of the design: on relative residuals and on flatness."""
PRESETS = ("vn-2d", "mlp-2d", "vn-2d-forward", "mlp-2d-forward")
FEW = {"bins": 8, "transitions": 100}


@pytest.fixture(scope="module")
def loaded(trained):
    """Tiny runs by preset and dtype."""
    return {(name, dtype): load_run(trained / name, dtype) for name in PRESETS for dtype in DTYPES}


@pytest.fixture(scope="module")
def sweeps(loaded):
    return {key: sweep(run, **FEW) for key, run in loaded.items()}


@pytest.fixture(scope="module")
def verdicts(loaded):
    return {key: verify(run, samples=16, transitions=64) for key, run in loaded.items()}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


# relMSE


def naive_relmse(model: WorldModel, data: Transitions) -> float:
    error = moved = 0.0
    with torch.no_grad():
        for i in range(len(data)):
            now, then = (model.encode(x[i : i + 1])[0] for x in (data.observation, data.next_observation))
            predicted = model.predict(now[None], data.action[i : i + 1])[0]
            error += float(((predicted - then) ** 2).sum())
            moved += float(((then - now) ** 2).sum())
    return error / moved


@pytest.mark.parametrize("preset", PRESETS)
def test_relmse_is_its_definition(loaded, preset):
    run = loaded[preset, torch.float64]
    data = held_out(run, 30, 0)
    assert relmse(run.model, data) == pytest.approx(naive_relmse(run.model, data), rel=1e-10)


@pytest.mark.parametrize("preset", ["vn-2d-forward", "mlp-2d-forward"])
def test_components_are_relmse_channel_by_channel(loaded, preset):
    run = loaded[preset, torch.float64]
    data = held_out(run, 30, 0)
    found = component_relmse(run, data)
    assert list(found) == ["agent_position", "agent_velocity", "block_position", "block_direction"]
    predicted = run.model(data.observation, data.action).detach().reshape(30, 4, 2)
    for channel, value in enumerate(found.values()):
        error = ((predicted - data.next_observation)[:, channel] ** 2).sum()
        moved = ((data.next_observation - data.observation)[:, channel] ** 2).sum()
        assert value == pytest.approx(float(error / moved), rel=1e-10)


def test_latent_channels_have_no_names(loaded):
    run = loaded["vn-2d", torch.float64]
    assert component_relmse(run, held_out(run, 30, 0)) == {}


# Sweeps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("preset", ["vn-2d", "vn-2d-forward"])
def test_equivariant_models_are_flat(sweeps, preset, dtype):
    result = sweeps[preset, dtype]
    assert result.flatness <= DTYPES[dtype]
    assert result.ood_factor == pytest.approx(1.0, abs=DTYPES[dtype])
    for readout in result.readout.values():
        assert readout.commutant
        assert readout.worst_unseen == pytest.approx(readout.seen, rel=10 * DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("preset", ["mlp-2d", "mlp-2d-forward"])
def test_ordinary_models_are_not(sweeps, preset, dtype):
    result = sweeps[preset, dtype]
    assert result.flatness > 0.05
    assert not any(readout.commutant for readout in result.readout.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sweep_is_its_definition(loaded, sweeps, preset):
    run, result = loaded[preset, torch.float64], sweeps[preset, torch.float64]
    data = held_out(run, 100, 1000)
    assert [entry.label for entry in result.bins] == [f"{45 * k}" for k in range(8)]
    errors = []
    for k in range(8):
        g = SO2.rotation(45.0 * k)
        turned = data.transform(g, run.world.observation_rep, run.world.action_rep)
        errors.append(relmse(run.model, turned))
    assert [entry.relmse for entry in result.bins] == pytest.approx(errors, rel=1e-9)
    assert [entry.overlap for entry in result.bins] == ["full", "partial", *["none"] * 5, "partial"]
    assert result.seen == result.bins[0].relmse
    assert result.worst_ood == max(entry.relmse for entry in result.bins[2:7])
    assert result.ood_factor == result.worst_ood / result.seen
    assert result.flatness == pytest.approx(max(abs(error / errors[0] - 1) for error in errors), rel=1e-6)
    assert result.parameters == run.model.parameter_count
    assert result.transitions == 100


def test_the_bins_are_all_of_the_circle_and_the_untouched_one_is_untouched(loaded):
    run = loaded["mlp-2d", torch.float64]
    result = sweep(run, bins=3, transitions=50)
    assert [entry.label for entry in result.bins] == ["0", "120", "240"]
    assert result.bins[0].relmse == pytest.approx(relmse(run.model, held_out(run, 50, 1000)), rel=1e-12)


def test_sweeps_are_seeded(loaded, sweeps):
    run = loaded["mlp-2d", torch.float64]
    assert sweep(run, **FEW) == sweeps["mlp-2d", torch.float64]
    assert sweep(run, seed=7, **FEW).seen != sweeps["mlp-2d", torch.float64].seen


def test_a_sweep_reports_its_progress(loaded):
    seen: list[tuple[int, int]] = []
    sweep(
        loaded["vn-2d", torch.float32], bins=4, transitions=20, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_results_are_strict_json(sweeps, verdicts):
    for result in (*sweeps.values(), *verdicts.values()):
        assert json.loads(canonical_json(result.as_dict())) == plain(result.as_dict())


def test_a_wedge_of_the_whole_circle_leaves_nothing_unseen(loaded):
    """Then there is no worst unseen bin: null in metrics.json, and no error."""
    run = loaded["vn-2d", torch.float64]
    everywhere = run.altered(world=type(run.world)(replace(run.config.world, wedge=(0.0, 360.0))))
    result = sweep(everywhere, **FEW)
    assert {entry.overlap for entry in result.bins[1:]} == {"full"}
    assert math.isnan(result.worst_ood)
    assert math.isnan(result.ood_factor)
    assert plain(result.as_dict())["worst_ood"] is None


@pytest.mark.parametrize("preset", ["mlp-2d", "mlp-2d-forward"])
@pytest.mark.parametrize("where", [0, 3])
def test_a_model_that_diverges_anywhere_is_nowhere_flat(trained, preset, where):
    """Relative to an infinite seen error every other one is 0, and a `max` drops a NaN: both looked perfect."""
    run = load_run(trained / preset, torch.float32)
    straight = held_out(run, 100, 1000)
    turned = straight.transform(SO2.rotation(45.0 * where), run.world.observation_rep, run.world.action_rep)
    start = run.model.encode(turned.observation.float())[0]

    class Diverging(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, latent: Tensor, action: Tensor) -> Tensor:
            hit = (latent - start).abs().amax(-1, keepdim=True) < 1e-5
            return torch.where(hit, torch.inf, self.inner(latent, action))

    run.model.predictor = Diverging(run.model.predictor)
    result = sweep(run, **FEW)
    assert not math.isfinite(result.bins[where].relmse)
    assert not result.ood_factor < 1e6
    assert not result.flatness < 1e6
    assert plain(result.as_dict())["flatness"] is None


def test_a_model_that_diverges_everywhere_is_swept_and_not_flat(trained):
    run = load_run(trained / "mlp-2d-forward", torch.float32)
    with torch.no_grad():
        for weight in run.model.predictor.parameters():
            weight.mul_(1e30)
    result = sweep(run, **FEW)
    assert math.isnan(result.ood_factor)
    assert math.isnan(result.flatness)
    assert all(math.isnan(readout.worst_unseen) for readout in result.readout.values())


# Read-outs


@pytest.mark.parametrize("d", [2, 3])
def test_commutant_features_turn_with_the_latent(d):
    rep = Rep.parse("3x0e+4x1o+2x0e+1x1o", d)
    latent = normal(10, rep.dim)
    group = {2: SO2, 3: SO3}[d]
    rows = commutant_features(latent, rep)
    assert rows.shape == (10 * d, 5 * (2 if d == 2 else 1))
    for g in (group.sample(5, 0)[k] for k in range(5)):
        turned = commutant_features(rep.transform(latent, g), rep)
        expected = torch.einsum("ij,njk->nik", g.linear, rows.unflatten(0, (10, d))).flatten(0, 1)
        assert torch.allclose(turned, expected, rtol=0, atol=1e-12)


def test_commutant_features_hold_j_in_the_plane():
    rows = commutant_features(torch.tensor([[1.0, 2.0]]), vectors(1, 2))
    assert torch.equal(rows, torch.tensor([[1.0, -2.0], [2.0, 1.0]]))


def test_affine_features_hold_a_constant():
    assert torch.equal(affine_features(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0, 1.0]]))


def test_a_commutant_readout_recovers_what_commutes():
    latent = normal(200, 8)
    z = torch.view_as_complex(latent.reshape(200, 4, 2))
    mixing = torch.complex(normal(4, seed=1), normal(4, seed=2))
    target = torch.view_as_real((z * mixing).sum(1))[:, None]
    fitted = fit_readout(latent, target, torch.arange(200), rep=vectors(4, 2), commutant=True)
    assert fitted.penalty == PENALTIES[0]
    assert torch.allclose(fitted(latent), target, atol=1e-4)
    # and it turns with the latent, fitted where it may be
    g = SO2.rotation(123.0)
    assert torch.allclose(
        fitted(vectors(4, 2).transform(latent, g)), vectors(1, 2).transform(fitted(latent)[:, 0], g)[:, None]
    )


def test_a_commutant_readout_cannot_learn_a_lab_axis():
    latent = normal(200, 8)
    target = torch.ones(200, 1, 2).double()
    commutant = fit_readout(latent, target, torch.arange(200), rep=vectors(4, 2), commutant=True)
    affine = fit_readout(latent, target, torch.arange(200), rep=vectors(4, 2), commutant=False)
    assert float((affine(latent) - target).abs().max()) < 1e-4
    assert float((commutant(latent) - target).abs().mean()) > 0.5


def test_an_affine_readout_recovers_any_affine_map():
    latent = normal(300, 6)
    target = (latent @ normal(6, 4, seed=1) + normal(4, seed=2)).reshape(300, 2, 2)
    fitted = fit_readout(latent, target, torch.arange(300), rep=vectors(3, 2), commutant=False)
    assert fitted(latent).shape == (300, 2, 2)
    assert torch.allclose(fitted(latent), target, atol=1e-4)


def test_the_penalty_grows_with_the_noise():
    """40 samples of 30 features, and a target that is noise alone."""
    latent, noise = normal(40, 30), normal(40, 1, 2, seed=5)
    noisy = fit_readout(latent, noise, torch.arange(40), rep=vectors(15, 2), commutant=False)
    clean = fit_readout(latent, latent[:, None, :2], torch.arange(40), rep=vectors(15, 2), commutant=False)
    assert clean.penalty < 1.0 < noisy.penalty


def test_ridge_is_its_definition():
    latent, target = normal(50, 6), normal(50, 1, 2, seed=1)
    fitted = fit_readout(latent, target, torch.arange(50), rep=vectors(3, 2), commutant=False)
    x = np.c_[latent.numpy(), np.ones(50)]
    x = x / np.sqrt((x**2).mean(0))
    y = target.numpy().reshape(50, 2)
    expected = np.linalg.solve(x.T @ x / 50 + fitted.penalty * np.eye(7), x.T @ y / 50)
    assert np.allclose(fitted.weights.numpy(), expected, atol=1e-10)


def test_folds_never_split_an_episode():
    """A target that is a random number of each episode: only leakage between folds could predict it."""
    episode = torch.arange(20).repeat_interleave(10)
    code = normal(20, 12)[episode]
    latent = torch.cat([code, 1e-3 * normal(200, 12, seed=1)], 1)
    target = normal(20, 1, 2, seed=2)[episode]
    apart = fit_readout(latent, target, episode, rep=vectors(12, 2), commutant=False)
    leaking = fit_readout(latent, target, torch.arange(200), rep=vectors(12, 2), commutant=False)
    assert apart.penalty > leaking.penalty


def test_a_single_episode_is_no_error():
    latent = normal(20, 4)
    target = latent[:, None, :2]
    fitted = fit_readout(latent, target, torch.zeros(20, dtype=torch.long), rep=vectors(2, 2), commutant=False)
    assert torch.isfinite(fitted(latent)).all()


def test_pooled_error_is_its_definition():
    before, target, predicted = (normal(10, 1, 2, seed=k) for k in range(3))
    expected = float(((predicted - target) ** 2).sum() / ((target - before) ** 2).sum())
    assert pooled_error(predicted, target, before) == pytest.approx(expected, rel=1e-12)
    assert pooled_error(before, target, before) == pytest.approx(1.0)
    assert pooled_error(target, target, before) == 0.0


def test_action_only_is_what_the_action_explains():
    action, noise = normal(400, 2), normal(400, 1, 2, seed=1)
    train, test = slice(0, 300), slice(300, 400)
    changes = {"told": action[:, None] * 2 + 1, "apart": noise}
    errors = action_only_errors(
        action[train],
        lambda part: {name: change[train][part] for name, change in changes.items()},
        torch.arange(300),
        action[test],
        {name: change[test] for name, change in changes.items()},
        vectors(1, 2),
    )
    assert 0.0 <= errors["told"] <= 1e-6
    assert 0.9 <= errors["apart"] <= 1.2


@pytest.mark.parametrize("preset", PRESETS)
def test_readouts_of_a_run(loaded, sweeps, preset):
    run, result = loaded[preset, torch.float64], sweeps[preset, torch.float64]
    readouts, data = Readouts.of_run(run), held_out(run, 100, 1000)
    assert set(result.readout) == {"block_position", "block_direction"}
    for name, entry in result.readout.items():
        assert entry.commutant == (run.config.model.predictor == "vn")
        assert entry.penalty in PENALTIES
        assert entry.seen == pytest.approx(readouts.errors(data)[name], rel=1e-9)
        assert entry.action_only == pytest.approx(readouts.action_only(data)[name], rel=1e-9)
        assert entry.worst_unseen == max(part.readout[name] for part in result.bins if part.overlap == "none")


def test_readouts_are_fitted_on_the_training_transitions(loaded):
    run = loaded["vn-2d", torch.float64]
    expected = run.world.transitions(200, seed=0)
    assert torch.equal(Readouts.of_run(run).train.observation, expected.observation)


# Held-out data


@pytest.mark.parametrize("seed", [0, 1, 1000])
def test_held_out_data_are_never_training_data(loaded, seed):
    run = loaded["vn-2d", torch.float64]
    probe, training = held_out(run, 100, seed), run.world.transitions(100, seed=seed)
    rows = {tuple(row.flatten().tolist()) for row in training.observation}
    assert not rows & {tuple(row.flatten().tolist()) for row in probe.observation}
    assert torch.equal(held_out(run, 100, seed).observation, probe.observation)
    assert not torch.equal(held_out(run, 100, seed + 1).observation, probe.observation)


# Verdicts


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("preset", ["vn-2d", "vn-2d-forward"])
def test_equivariant_runs_verify(verdicts, preset, dtype):
    result = verdicts[preset, dtype]
    assert result.verdict == "exact", result.reason
    assert result.passed
    assert max(result.trained.encoder, result.trained.predictor, result.trained.composed) <= DTYPES[dtype] / 10
    assert max(result.init.encoder, result.init.predictor, result.init.composed) <= DTYPES[dtype] / 10
    assert result.control.composed >= 0.1
    assert result.tolerance == DTYPES[dtype]
    assert result.trained.cost_drift <= DTYPES[dtype]
    assert result.trained != result.init


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("preset", ["mlp-2d", "mlp-2d-forward"])
def test_ordinary_runs_do_not(verdicts, preset, dtype):
    result = verdicts[preset, dtype]
    assert result.verdict == "broken"
    assert not result.passed
    assert result.trained.relative_composed >= 0.05
    assert result.trained.cost_drift >= (1e-2 if preset == "mlp-2d" else 0.0)


def test_a_verdict_is_made_of_the_checkers_numbers(loaded, verdicts):
    run, result = loaded["mlp-2d", torch.float64], verdicts["mlp-2d", torch.float64]
    data, elements = held_out(run, 64, 1000), SO2.sample(16, 1000)
    x, a, z = run.model.observation_rep, run.model.action_rep, run.model.latent_rep
    composed = equivariance_residual(run.model, [x, a], z, elements, [data.observation, data.action])
    assert result.trained.relative_composed == result.trained.composed == pytest.approx(composed.relative, rel=1e-9)
    assert result.trained.max_abs == pytest.approx(composed.max_abs, rel=1e-9)
    spread = latent_spread(run.model.encode(data.observation))
    assert result.latent_std == result.trained.latent_std == pytest.approx(spread.latent_std, rel=1e-9)
    assert result.effective_rank == pytest.approx(spread.effective_rank, rel=1e-9)
    assert (result.samples, result.transitions, result.seed, result.group) == (16, 64, 1000, "so2")


def test_the_initial_network_is_rebuilt_from_the_seed(loaded, verdicts):
    run = loaded["mlp-2d", torch.float64]
    untrained = run.altered(model=run.initial_model())
    result = verify(untrained, samples=16, transitions=64)
    assert result.weights_moved == 0.0
    assert result.init == result.trained
    assert result.init == verdicts["mlp-2d", torch.float64].init


def test_an_untrained_network_gets_no_verdict(loaded):
    run = loaded["vn-2d", torch.float64]
    result = verify(run.altered(model=run.initial_model()), samples=8, transitions=32)
    assert result.verdict == "not judged"
    assert "not trained" in result.reason
    assert not result.passed


def test_a_collapsed_network_gets_no_verdict(loaded, trained):
    run = load_run(trained / "vn-2d", torch.float64)
    with torch.no_grad():
        for parameter in run.model.encoder.parameters():
            parameter.mul_(1e-3)
    result = verify(run, samples=8, transitions=32)
    assert result.verdict == "vacuous"
    assert "collapsed" in result.reason


def test_a_control_that_passes_gives_no_verdict(loaded):
    result = verify(loaded["vn-2d", torch.float64], samples=8, transitions=32, tolerance=10.0)
    assert result.verdict == "vacuous"
    assert "control" in result.reason


def test_the_tolerance_decides(loaded):
    run = loaded["vn-2d", torch.float32]
    assert not verify(run, samples=8, transitions=32, tolerance=1e-12).passed
    assert verify(run, samples=8, transitions=32, tolerance=1e-4).passed


def test_a_larger_group_is_not_carried_by_complex_weights(loaded):
    result = verify(loaded["vn-2d", torch.float64], group="o2", samples=16, transitions=32)
    assert result.group == "o2"
    assert result.verdict == "broken"


@pytest.mark.parametrize("preset", PRESETS)
def test_controls_have_the_interface_of_the_run(loaded, preset):
    run = loaded[preset, torch.float32]
    control = control_model(run)
    assert not control.equivariant
    for rep in ("observation_rep", "action_rep", "latent_rep"):
        assert getattr(control, rep) == getattr(run.model, rep)


def test_cost_drift_is_its_definition(loaded):
    run = loaded["mlp-2d", torch.float64]
    data, elements = held_out(run, 10, 0), O2.sample(3, 0)
    rep, model = run.world.observation_rep, run.model
    drift = base = 0.0
    with torch.no_grad():
        for i in range(10):
            start, goal = data.observation[i], data.observation[(i + 5) % 10]
            cost = float((model.encode(start[None]) - model.encode(goal[None])).norm())
            for k in range(3):
                turned = [model.encode(rep.transform(x[None], elements[k])) for x in (start, goal)]
                drift += abs(float((turned[0] - turned[1]).norm()) - cost) / 30
            base += cost / 10
    assert cost_drift(model, data, elements) == pytest.approx(drift / base, rel=1e-9)


# Groups


def test_groups_that_fit(loaded):
    run = loaded["vn-2d", torch.float32]
    assert fitting_group(run, None) == SO2
    assert fitting_group(run, "SO(2)") == SO2
    assert fitting_group(run, "o2") == O2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("so3", r"SO\(3\) acts on 3D, .* 2D world 'pusht'.*pass --group so2"),
        ("se3", "pass --group so2"),
        ("se2", r"translations of SE\(2\) do not act.*pass --group so2"),
        ("so4", "unknown group 'so4': did you mean"),
        ("", "unknown group"),
    ],
)
@pytest.mark.parametrize("claim", [fitting_group, verify, sweep])
def test_groups_that_do_not(loaded, claim, name, message):
    run: Subject = loaded["vn-2d", torch.float32]
    with pytest.raises(GroupError, match=message) as error:
        claim(run, group=name) if claim is not fitting_group else claim(run, name)
    assert "\n" not in str(error.value)


# Optimisers


def test_optimisers_are_parsed():
    assert parse_optimizers("all") == list(BUILT_IN["optimizer"])
    assert parse_optimizers("adam, sgd,adam") == ["adam", "sgd"]
    with pytest.raises(ConfigError, match="unknown optimizer 'adma' in --optimizers: did you mean adam"):
        parse_optimizers("adma")
    with pytest.raises(ConfigError):
        parse_optimizers("")


def test_a_cell_goes_on_with_its_own_run(loaded, tmp_path):
    run = loaded["vn-2d", torch.float32]
    config = replace(run.config, training=replace(run.config.training, optimizer="adam"))
    params = {
        "config": config.as_dict(),
        "train_seed": 0,
        "group": "so2",
        "samples": 8,
        "tolerance": None,
        "seed": 1000,
    }
    row = optimizer_cell(params, tmp_path)
    assert row["optimizer"] == "adam"
    assert row["float32"] <= 1e-5
    assert row["float64"] <= 1e-10
    assert optimizer_cell(params, tmp_path) == row
