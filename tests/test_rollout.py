"""Rollouts: what is measured is its definition, equivariant models are flat at every horizon, and controls are not."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from equiwm.audit.verdict import TOLERANCES
from equiwm.claims.probe import held_out_pairs
from equiwm.claims.rollout.bounds import departure
from equiwm.claims.rollout.claim import parse_horizons
from equiwm.claims.rollout.measure import compose, rollout, rollout_error, rollout_residual
from equiwm.claims.rollout.result import RolloutResult
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.disk.strict_json import plain
from equiwm.errors import ConfigError, DataError
from equiwm.loading import load_run
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field

TINY = ("training.transitions=256", "training.epochs=12", "training.batch=64", "world.warmup=16")
FIELDS = ("vn-field-2d", "mlp-field-2d", "vn-field-3d", "mlp-field-3d")
HORIZONS = (1, 4, 16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """A folder with tiny complete trainings of the velocity field."""
    folder = tmp_path_factory.mktemp("fields") / "runs"
    for preset in FIELDS:
        train_run(
            prepare_run(load(preset, None, TINY), folder, preset, seed=0, resume=False), device=torch.device("cpu")
        )
    return folder


@pytest.fixture(scope="module")
def results(fields) -> dict[tuple[str, str], RolloutResult]:
    found = {}
    for preset in FIELDS:
        for dtype in ("float32", "float64"):
            loaded = load_run(fields / preset, getattr(torch, dtype))
            found[preset, dtype] = rollout(loaded, horizons=HORIZONS, sequences=64)
    return found


# --- definitions


@pytest.mark.parametrize("preset", ["vn-field-2d", "mlp-field-3d"])
def test_errors_are_their_definition(fields, preset):
    loaded = load_run(fields / preset, torch.float64)
    data, _ = held_out_pairs(loaded, 8, 5, 0)
    model, error, moved, size = loaded.model, 0.0, 0.0, 0.0
    with torch.no_grad():
        for states, actions in zip(data.observations, data.actions, strict=True):
            state = states[:1]
            for action in actions:
                state = model(state, action[None]).reshape(state.shape)
            error += float((state[0] - states[-1]).square().sum())
            moved += float((states[-1] - states[0]).square().sum())
            size += float(states[-1].square().sum())
    measured = rollout_error(model, data)
    assert measured.relmse == pytest.approx(error / moved, rel=1e-12)
    assert measured.relmse_state == pytest.approx(error / size, rel=1e-12)


def test_latent_errors_are_against_the_encoded_truth(trained):
    loaded = load_run(trained / "vn-2d", torch.float64)
    data, _ = held_out_pairs(loaded, 6, 3, 0)
    model = loaded.model
    with torch.no_grad():
        latents = model.rollout(data.observations[:, 0], data.actions)
        assert torch.equal(compose(model, data.observations[:, 0], data.actions), latents[:, -1])
        truth = model.encode(data.observations.flatten(0, 1)).unflatten(0, (6, 4))
    expected = (latents[:, -1] - truth[:, -1]).square().sum() / (truth[:, -1] - truth[:, 0]).square().sum()
    assert rollout_error(model, data).relmse == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("preset", ["vn-field-2d", "mlp-field-3d"])
def test_residuals_are_their_definition(fields, preset):
    loaded = load_run(fields / preset, torch.float64)
    data, _ = held_out_pairs(loaded, 8, 5, 0)
    elements, world, model = loaded.world.group.sample(6, 1), loaded.world, loaded.model
    relative = largest = 0.0
    with torch.no_grad():
        straight = compose(model, data.observations[:, 0], data.actions)
        for g in elements[:, None]:
            start = world.observation_rep.transform(data.observations[:, 0], g)
            plan = world.action_rep.transform(data.actions, g[:, None])
            error = model.latent_rep.transform(straight, g) - compose(model, start, plan)
            relative = max(relative, float(error.square().mean().sqrt() / straight.square().mean().sqrt()))
            largest = max(largest, float(error.abs().max()))
    measured = rollout_residual(model, data, elements)
    floor = 1e-14  # two ways to the same rounding
    assert measured == pytest.approx((relative, largest), rel=1e-6, abs=floor)


def test_pairs_are_held_out_and_keep_what_both_keep(fields, monkeypatch):
    loaded = load_run(fields / "vn-field-2d")
    training = loaded.world.transitions(64, seed=0).observation[:, 0, 0]
    seen, unseen = held_out_pairs(loaded, 64, 2, 0)
    assert not set(seen.observations[:, 0, 0, 0].tolist()) & set(training.tolist())
    draw = Field.sequences

    def guarded(self, n, horizon, *, seed, orientations="seen", progress=None):
        data = draw(self, n, horizon, seed=seed, orientations=orientations)
        return data.select(data.episode % 5 != (1 if orientations == "seen" else 2))

    monkeypatch.setattr(Field, "sequences", guarded)
    fewer, others = held_out_pairs(loaded, 64, 2, 0)
    kept = [k for k in range(64) if k % 5 not in (1, 2)]
    assert fewer.episode.tolist() == others.episode.tolist() == kept
    assert fewer.excluded == {"its turned copy is excluded": 64 - 13 - len(kept)}
    assert torch.equal(fewer.observations, seen.observations[kept])
    assert torch.equal(others.observations, unseen.observations[kept])


# --- flat, and what is not


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preset", ["vn-field-2d", "vn-field-3d"])
def test_equivariant_rollouts_are_flat(results, preset, dtype):
    result = results[preset, dtype]
    residual, factor = {"float32": (3e-7, 1e-5), "float64": (1e-14, 1e-12)}[dtype]
    assert result.horizons == list(HORIZONS)
    assert result.sequences == [64, 64, 64]
    assert max(result.relative_residual) <= residual
    assert max(abs(value - 1.0) for value in result.ood_factor) <= factor
    assert departure(result) <= TOLERANCES[dtype]
    assert min(result.seen_relmse) > 1e-6  # flat is not perfect
    assert (result.space, result.elements) == ("state", 64)


@pytest.mark.parametrize("preset", ["mlp-field-2d", "mlp-field-3d"])
def test_ordinary_rollouts_are_not_and_their_residual_grows(results, preset):
    for dtype in ("float32", "float64"):
        result = results[preset, dtype]
        residual = result.relative_residual
        assert residual[0] > 5e-3
        assert all(later > 1.5 * earlier for earlier, later in pairwise(residual))
        assert min(result.ood_factor) > 1.2
        assert not departure(result) <= TOLERANCES[dtype]


def test_a_broken_world_is_not_flat_for_an_equivariant_model(fields):
    loaded = load_run(fields / "vn-field-2d", torch.float64)
    broken = loaded.altered(world=Field(FieldConfig(breaking=0.4)))
    result = rollout(broken, horizons=[1, 8], sequences=64)
    assert max(result.relative_residual) <= 1e-14  # the model has not changed
    assert min(abs(factor - 1.0) for factor in result.ood_factor) > 1e-3  # the world's outcome has
    assert departure(result) > TOLERANCES["float64"]


@pytest.mark.parametrize("preset", ["vn-2d", "vn-2d-forward"])
def test_pushes_are_flat_and_what_is_excluded_is_counted(trained, preset):
    loaded = load_run(trained / preset)
    result = rollout(loaded, horizons=[1, 16], sequences=24)
    assert result.sequences == [24, 24]
    assert result.excluded[0] == {}
    assert sum(result.excluded[1].values()) > 0
    assert max(abs(factor - 1.0) for factor in result.ood_factor) <= 1e-5
    assert max(result.relative_residual) <= 1e-5
    assert result.space == ("state" if preset.endswith("forward") else "latent")
    assert result.latent_std > 0.05
    with pytest.raises(DataError, match="64 steps"):
        rollout(loaded, horizons=[1, 64], sequences=4)


def test_the_default_horizons_end_where_no_sequence_goes(trained, monkeypatch):
    monkeypatch.setattr("equiwm.claims.rollout.measure.DEFAULT_HORIZONS", (2, 64))
    result = rollout(load_run(trained / "mlp-2d-forward"), sequences=4)
    assert result.horizons == [2]
    assert list(result.unmeasured) == ["64"]
    assert "64 steps" in result.unmeasured["64"]


def test_rollouts_are_seeded_and_report_their_progress(fields, results):
    loaded, counts = load_run(fields / "mlp-field-2d"), []
    again = rollout(loaded, horizons=HORIZONS, sequences=64, progress=lambda *count: counts.append(count))
    assert again == results["mlp-field-2d", "float32"]
    assert counts == [(0, 3), (1, 3), (2, 3), (3, 3)]
    other = rollout(loaded, horizons=HORIZONS, sequences=64, seed=7)
    assert other.seen_relmse != again.seen_relmse


def test_a_model_that_diverges_has_no_number(fields):
    loaded = load_run(fields / "mlp-field-2d")
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(1e6)
    result = rollout(loaded, horizons=[1, 16], sequences=8)
    assert math.isfinite(result.relative_residual[0])
    assert math.isnan(result.relative_residual[1])
    assert math.isnan(departure(result))
    written = json.loads(json.dumps(plain(result.as_dict()), allow_nan=False))
    assert written["relative_residual"][1] is None
    assert written["ood_factor"][1] is None


def test_wrong_questions(fields):
    loaded = load_run(fields / "vn-field-2d")
    for settings in ({"horizons": []}, {"horizons": [0]}, {"horizons": [1, -2]}, {"sequences": 1}, {"seed": -1}):
        with pytest.raises(DataError if settings != {"seed": -1} else (DataError, ValueError)):
            rollout(loaded, **settings)
    nothing_unseen = loaded.altered(world=Field(FieldConfig(coverage=360.0)))
    with pytest.raises(DataError, match="none is unseen"):
        rollout(nothing_unseen)
    without = loaded.altered(world=SimpleNamespace(name="mine", group=loaded.world.group))
    with pytest.raises(DataError, match="'mine' gives no sequences"):
        rollout(without)


def test_a_body_is_flat_through_contact(tmp_path):
    pytest.importorskip("mujoco")
    settings = ("training.transitions=256", "training.epochs=4", "training.batch=64")
    train_run(prepare_run(load("vn-body", None, settings), tmp_path, "run", seed=0, resume=False), device=CPU)
    result = rollout(load_run(tmp_path / "run", torch.float64), horizons=(1, 8), sequences=32)
    assert result.sequences == [32, 32]
    assert max(result.relative_residual) < 1e-13
    assert result.ood_factor == pytest.approx([1.0, 1.0], abs=1e-9)


# --- the command


def test_the_command_prints_records_and_draws(fields, capsys, tmp_path):
    arguments = ["rollout", str(fields / "vn-field-2d"), "--baseline", str(fields / "mlp-field-2d")]
    options = ["--horizons", "4,1", "--sequences", "16", "--expect-invariant"]
    assert run([*arguments, *options]) == 0
    printed = capsys.readouterr().out
    assert "**vn-field-2d: rollouts, SO2, float32" in printed
    assert "**mlp-field-2d: rollouts" in printed
    folder = fields / "vn-field-2d"
    section = json.loads((folder / "metrics.json").read_text())["rollout"]
    assert section["horizons"] == [1, 4]
    assert list(section["variants"]) == ["so2/float32"]
    assert section["baseline"]["preset"] == "mlp-field-2d"
    assert section["baseline"]["relative_residual"][0] > 1e-3
    frame = pd.read_csv(folder / "figures" / "rollout_so2_float32.csv")
    assert frame["model"].tolist() == ["vn-field-2d"] * 2 + ["mlp-field-2d"] * 2
    assert frame["ood_factor"].tolist() == section["ood_factor"] + section["baseline"]["ood_factor"]
    assert (folder / "figures" / "rollout_so2_float32.png").stat().st_size > 5000
    assert "rollouts, SO2" in (folder / "summary.txt").read_text()
    assert run([*arguments, *options, "--json", "--out", str(tmp_path / "out"), "--dtype", "float64"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["dtype"] == "float64"
    assert (tmp_path / "out" / "metrics.json").is_file()
    assert "so2/float64" not in (folder / "metrics.json").read_text()


def test_expect_invariant_fails_an_ordinary_model(fields, capsys, tmp_path):
    arguments = ["rollout", str(fields / "mlp-field-3d"), "--horizons", "1", "--sequences", "16"]
    out = ["--out", str(tmp_path)]
    assert run([*arguments, *out]) == 0
    assert run([*arguments, *out, "--expect-invariant"]) == 1
    assert "not invariant" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverged_model_is_drawn_and_tabulated(fields, tmp_path, capsys, monkeypatch, dtype):
    def poisoned(*arguments, **settings):
        loaded = load_run(*arguments, **settings)
        with torch.no_grad():
            next(loaded.model.parameters()).fill_(torch.finfo(loaded.dtype).max)
        return loaded

    monkeypatch.setattr("equiwm.loading.load_run", poisoned)
    arguments = ["rollout", str(fields / "mlp-field-2d"), "--horizons", "8,24", "--sequences", "4", "--dtype", dtype]
    assert run([*arguments, "--out", str(tmp_path), "--expect-invariant"]) == 1
    assert "–" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--horizons", "0"], "--horizons"),
        (["--horizons", "1,two"], "--horizons"),
        (["--horizons", ""], "--horizons"),
        (["--horizons", "1,,4"], "--horizons"),
        (["--horizons", "2.5"], "--horizons"),
        (["--horizons", "99999999"], "--horizons"),
        (["--horizons", "64", "--sequences", "2"], "64 steps"),
        (["--sequences", "1"], "--sequences"),
        (["--baseline", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_writes_nothing(copy_run, snapshot, capsys, arguments, words):
    path = copy_run("vn-2d-forward")
    before = snapshot(path)
    assert run(["rollout", str(path), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert 1 <= len(captured.err.splitlines()) <= 2
    assert words in captured.err
    assert snapshot(path) == before


def test_horizons_are_parsed():
    assert parse_horizons("8, 1,4,1") == [1, 4, 8]
    with pytest.raises(ConfigError, match="such as 1,2,4,8"):
        parse_horizons("1-4")
