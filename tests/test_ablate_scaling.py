"""Scaling: power laws that are known are found, cells are what they say, and bounds decide."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.power_laws import crossing, exponent_less, power_law
from equiwm.claims.ablation.scaling import COMPARED, KIND, ScalingRow
from equiwm.claims.ablation.scaling_columns import whole_group
from equiwm.claims.ablation.study import decided, resolve_scope
from equiwm.config import load
from equiwm.errors import ConfigError
from equiwm.results.ablation import read_rows
from equiwm.worlds.factory import build_world
from equiwm.worlds.pusht.standard import StandardControl

SCOPE = resolve_scope(KIND, seeds=2, quick=True)
SIZES = (1e3, 1e4, 1e5, 1e6)


def curve(exponent: float, scale: float = 1.0, *, noise: float = 0.0, seeds: int = 5, of: int = 0):
    """Errors c x^-a, each seed's off by a factor of its own at each size."""
    rng = np.random.default_rng(of)
    return {s: {x: scale * x**-exponent * math.exp(noise * rng.normal()) for x in SIZES} for s in range(seeds)}


# Laws


def test_a_law_without_noise_is_found_exactly():
    law = power_law(curve(0.3, 2.0))
    assert law is not None
    assert law.exponent.estimate == pytest.approx(0.3, abs=1e-12)
    assert (law.exponent.low, law.exponent.high) == pytest.approx((0.3, 0.3), abs=1e-12)
    assert law.scale == pytest.approx(2.0)
    assert law.explained == pytest.approx(1.0)
    steep = power_law(curve(0.5, 20.0))
    assert steep is not None
    assert exponent_less(steep, law).estimate == pytest.approx(0.2)
    assert crossing(steep, law).estimate == pytest.approx(10.0**5)  # 20 x^-0.5 = 2 x^-0.3
    assert crossing(law, steep).estimate == math.inf


def test_intervals_hold_what_they_are_to_hold():
    """Of 60 noisy laws the 95% interval of five seeds, which errs on the narrow side, holds the exponent in most."""
    held = 0
    for of in range(60):
        law = power_law(curve(0.3, noise=0.2, of=of))
        assert law is not None
        assert law.exponent.low < law.exponent.high
        held += law.exponent.low <= 0.3 <= law.exponent.high
    assert 45 <= held <= 60


def test_the_same_numbers_give_the_same_interval_and_seeds_are_drawn_together():
    one, same = (power_law(curve(0.3, noise=0.2)) for _ in range(2))
    assert one is not None
    assert same is not None
    assert one.exponent == same.exponent
    less = exponent_less(one, same)
    assert (less.low, less.estimate, less.high) == (0.0, 0.0, 0.0)
    lacking = power_law({s: e for s, e in curve(0.3, noise=0.2).items() if s != 2})
    assert lacking is not None
    apart = exponent_less(one, lacking)
    assert apart.low < 0.0 < apart.high


@pytest.mark.parametrize(
    "errors", [{}, {0: {1e3: 1.0, 1e4: 0.5}}, {0: {1e3: 1.0, 1e4: math.nan, 1e5: 0.1}}, {0: {1e3: 1.0}, 1: {}}]
)
def test_too_little_is_no_law(errors):
    assert power_law(errors) is None


# Cells


def test_classes_learn_from_the_same_transitions_for_as_long():
    whole = resolve_scope(KIND, seeds=5)
    cells = [cell for cell in KIND.cells(whole) if cell.params["seed"] == 0]
    axes = [cell.params["axis"] for cell in cells]
    assert [axes.count(axis) for axis in ("transitions", "parameters", "time")] == [5, 5, 5]
    assert max(cell.params["transitions"] for cell in cells) == 1_000_000
    for cell in cells:
        trainings = [config["training"] for config in cell.params["configs"].values()]
        assert tuple(cell.params["configs"]) == COMPARED
        for name in ("transitions", "epochs", "batch", "optimizer"):
            assert len({training[name] for training in trainings}) == 1
        assert cell.params["tasks"] == (4 if cell.params["axis"] == "transitions" else 0)
    widths = [
        cell.params["configs"]["vn"]["model"]["predictor_widths"][0]
        for cell in cells
        if cell.params["axis"] == "parameters"
    ]
    assert widths == [8, 16, 32, 64, 128]
    augmented = [cell.params["configs"]["augmented"]["training"]["augment"] for cell in cells]
    assert all(augmented)


def small(preset_dim: int, world: str, axis: str, **changes):
    scope = resolve_scope(KIND, world=world, seeds=1, quick=True)
    params = next(json.loads(json.dumps(dict(c.params))) for c in KIND.cells(scope) if c.params["axis"] == axis)
    params |= {"transitions": 200, "test": 50, **changes}
    for config in params["configs"].values():
        config["training"] |= {"transitions": 200, "batch": 100, "epochs": 2}
        config["planning"] |= {"samples": 16, "iterations": 1, "elites": 4}
    assert params["dim"] == preset_dim
    return read_rows(ScalingRow, KIND.compute(params)["rows"])


def test_a_cell_trains_every_class_and_plays(monkeypatch):
    monkeypatch.setattr(StandardControl, "steps", 6)
    rows = small(2, "pusht", "transitions", tasks=1)
    assert [row.arm for row in rows] == list(COMPARED)
    assert all(row.success in (0.0, 1.0) for row in rows)
    assert [row.updates for row in rows] == [4] * 4
    assert rows[0].cpu_seconds == pytest.approx(4 * 10.8e-3)
    exact = {row.arm: row.relative_residual < 1e-5 for row in rows}
    assert exact == {"vn": True, "canonical": True, "augmented": False, "plain": False}
    assert all(0.0 < row.unseen_error < 10.0 for row in rows)


def test_a_cell_of_clouds():
    rows = small(3, "cloud", "parameters")
    assert [row.arm for row in rows] == list(COMPARED)
    assert all(math.isnan(row.success) for row in rows)
    assert rows[0].size == rows[0].parameters


def test_data_of_the_whole_group_are_the_world_s_own():
    world = build_world(load("vn-3d").world)
    data = whole_group(world, 64, 0)
    again = world.step(data.observation, data.action)
    assert (again - data.next_observation).abs().max() < 1e-12
    assert not data.observation.allclose(world.transitions(64, seed=0).observation)
    with pytest.raises(ConfigError, match="does not carry"):
        whole_group(build_world(load("vn-3d", None, ["world.breaking=0.1"]).world), 8, 0)


# What is stated and shown


def rows_of(exponents: dict[str, float]) -> list[ScalingRow]:
    """Rows of laws that are known, each with the scale 1 at a thousand of anything."""
    found = []
    for axis in ("transitions", "parameters", "time"):
        for arm, exponent in exponents.items():
            for seed in range(2):
                for n in (1000, 10_000, 100_000):
                    error = (n / 1000) ** -exponent * (1.0 + 0.01 * seed)
                    row = ScalingRow(
                        **{"arm": arm, "cell": f"{axis}={n}", "dim": 2, "seed": seed, "parameters": n, "axis": axis},
                        **{"transitions": n, "updates": 1, "cpu_seconds": float(n), "seen_relmse": error},
                        ood_relmse=error,
                        success=0.5 if axis == "transitions" else math.nan,
                    )
                    found.append(row)
    return found


def test_bounds_decide():
    behind = rows_of({"vn": 0.5, "augmented": 0.4, "canonical": 0.3, "plain": 0.1})
    assert all(each.holds for each in decided(KIND, SCOPE, behind, whole=True))
    ahead = rows_of({"vn": 0.5, "augmented": 0.6, "canonical": 0.7, "plain": 0.8})
    assert not any(each.holds for each in decided(KIND, SCOPE, ahead, whole=True))
    lacking = [row for row in behind if row.arm != "plain"]
    said = {each.setting: each.median for each in decided(KIND, SCOPE, lacking, whole=True)}
    assert said["ordinary, 2D"] is None
    assert said["ordinary, in one frame, 2D"] is not None


def test_it_is_shown(tmp_path):
    data = StudyRows("ablate-scaling", "pusht", [2], rows_of(dict.fromkeys(COMPARED[:3], 0.5) | {"plain": 0.6}))
    *sizes, laws = KIND.tables(data)
    assert [len(table.rows) for table in sizes] == [12, 12, 12]
    assert [row[1] for row in laws.rows[:4]] == [row.label for row in data.rows[::6][:4]]
    assert laws.rows[1][-1].startswith("never")
    assert laws.rows[3][2].startswith("0.60")
    assert KIND.figure(data, tmp_path).exists()
    assert (tmp_path / "ablate_scaling.csv").exists()


def test_a_crossing_far_beyond_what_was_measured_is_only_that():
    rows = rows_of(dict.fromkeys(COMPARED[:3], 0.5) | {"plain": 0.51})
    higher = [replace(row, ood_relmse=10.0 * row.ood_relmse) if row.arm == "plain" else row for row in rows]
    for given, expected in ((rows, "1000 "), (higher, "> 1e+08 ")):  # 10^103, of sizes up to 10^5
        laws = KIND.tables(StudyRows("ablate-scaling", "pusht", [2], given))[-1]
        assert laws.rows[3][-1].startswith(expected)
