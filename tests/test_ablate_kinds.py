"""Augmentation, scale and softness: what a cell trains and measures, and what is answered from given rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equiwm.claims.ablation import augmentation, scale, soft
from equiwm.claims.ablation.field_cells import field_cell, field_cell_of
from equiwm.claims.ablation.kind import COLUMNS, Scope
from equiwm.claims.ablation.rows import ladder
from equiwm.claims.ablation.turned_worlds import turned, world_cell, world_cells
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.pusht.world import PushT

ROUNDING = {"float32_rounding": 1e-7}
SMALL = {"scenes": 64, "steps": 60, "batch": 64, "test": 400}


def cell(arm, dim=2, *, seeds=(0, 1), **settings):
    chosen = {"model": arm, "columns": {}, "coverage": 90.0, **SMALL, **settings}
    return field_cell_of(arm, "here", seeds, dim=dim, **chosen)


@pytest.mark.parametrize("dim", [2, 3])
def test_vn_is_flat_and_an_mlp_is_not(dim):
    wedge = {2: 90.0, 3: 0.0}[dim]
    vn, mlp = (field_cell(dict(cell(arm, dim, coverage=wedge, steps=150).params))["rows"] for arm in ("vn", "mlp"))
    assert [row["seed"] for row in vn] == [0, 1]
    assert set(COLUMNS) <= set(vn[0])
    assert vn[0]["parameters"] == 3488
    for row in vn:
        assert row["ood_factor"] == pytest.approx(1.0, abs=1e-5)
        assert row["relative_residual"] < 3e-7
        assert 1.0 < row["relative_residual"] / row["float32_rounding"] < 4.0
        assert row["seen_relmse"] < 0.5
    for row in mlp:
        assert row["float32_rounding"] < 3e-7  # the control: rounding is small where the residual is not
        assert row["ood_factor"] > 5.0
        assert row["relative_residual"] > 0.1


def test_a_stack_is_its_members():
    """To rounding: seeds trained together are those trained alone."""
    together = field_cell(dict(cell("mlp", seeds=(0, 1)).params))["rows"]
    alone = field_cell(dict(cell("mlp", seeds=(1,)).params))["rows"]
    assert together[1]["seen_relmse"] == pytest.approx(alone[0]["seen_relmse"], rel=0.02)
    assert together[0]["seen_relmse"] != pytest.approx(alone[0]["seen_relmse"], rel=0.02)


def test_full_coverage_has_other_turns_and_breaking_is_resampled():
    whole = field_cell(dict(cell("mlp", coverage=360.0, copies=20, steps=100, seeds=(0,)).params))["rows"][0]
    assert whole["ood_factor"] == pytest.approx(1.0, abs=0.2)
    assert whole["ood_factor"] != 1.0
    # A rotated label would make the VN flat in a broken world as well.
    broken = field_cell(dict(cell("vn", coverage=90.0, breaking=0.8, steps=150, seeds=(0,)).params))["rows"][0]
    assert abs(broken["ood_factor"] - 1.0) > 0.01
    assert broken["relative_residual"] < 3e-7


def test_soft_networks_have_a_free_fraction_that_the_penalty_holds_down():
    dear, cheap = (
        field_cell(dict(cell("soft", breaking=0.8, penalty=beta, seeds=(0,)).params))["rows"][0] for beta in (1.0, 1e-4)
    )
    assert 0.0 < dear["free_fraction"] < cheap["free_fraction"]
    assert min(row["relative_residual"] for row in (dear, cheap)) > 1e-3


@pytest.mark.parametrize("world", [PushT(), Cloud()], ids=["pusht", "cloud"])
def test_turned_transitions_are_true(world):
    """The world's own step from a turned start comes to the turned outcome; each copy is turned otherwise."""
    data = world.transitions(20, seed=3)
    more = turned(data, world, 180, 3, seed=0)
    assert len(more) == 60
    apart = (more.observation[:20] - more.observation[20:40]).abs().amax((1, 2))
    assert float(apart.min()) > 1e-3
    if isinstance(world, Cloud):
        torch.testing.assert_close(world.step(more.observation, more.action), more.next_observation)
    else:  # the block's direction: the wedge [0, 90), turned by up to 90 degrees more
        direction = more.observation[:, -1]
        start = torch.atan2(data.observation[:, -1, 1], data.observation[:, -1, 0]).repeat(3)
        turn = torch.rad2deg(torch.atan2(direction[:, 1], direction[:, 0]) - start) % 360
        assert float(turn.max()) < 90.0
        assert float(turn.max()) > 80.0


def test_a_simulators_cell_gives_a_row():
    scope = Scope(dims=(2,), seeds=(0,), quick=True, world="pusht")
    cells = world_cells(scope)
    assert cells[0].key == "dim=2,vn,coverage=none,seed=0"
    params = dict(cells[-1].params)
    training = {**params["config"]["training"], "epochs": 1, "transitions": 256}
    row = world_cell({**params, "test": 60, "config": {**params["config"], "training": training}})["rows"][0]
    assert set(COLUMNS) <= set(row)
    assert row["coverage"] == 360
    assert row["ood_factor"] == pytest.approx(1.0, abs=0.5)
    assert any(column.startswith("readout_") for column in row)


# Answers from given rows


def row(arm, name, ratio, residual, **columns):
    common = {"dim": 2, "seed": 0, "parameters": 1, "seen_relmse": columns.pop("seen", 0.1), "ood_relmse": 0.1}
    return {
        "arm": arm,
        "cell": name,
        **common,
        "ood_factor": ratio,
        "relative_residual": residual,
        **ROUNDING,
        **columns,
    }


def test_the_answer_on_augmentation_is_drawn_from_the_rows():
    rows = [
        row("vn", "coverage=none", 1.0, 2e-7),
        row("mlp", "coverage=none", 70.0, 1.0),
        row("mlp", "coverage=360", 1.06, 0.08),
    ]
    said = augmentation.answer(rows)
    assert said.startswith("No")
    for figure in ("from 70 to 1.06", "0.08", "4.0e+05 times"):
        assert figure in said
    rows[-1]["relative_residual"] = 1e-6
    assert augmentation.answer(rows).startswith("The residuals meet")


def test_wide_networks_are_a_cell_a_seed_and_rows_keep_their_order():
    cells = scale.cells(Scope(dims=(2,), seeds=(0, 1, 2), quick=False, world="field"))
    seeds = {
        width: [cell.params["seeds"] for cell in cells if cell.params["columns"]["width"] == width]
        for width in (256, 1024)
    }
    assert seeds == {256: [[0, 1, 2]] * 3, 1024: [[0], [1], [2]] * 3}
    assert len({cell.key for cell in cells}) == len(cells)


def test_the_answer_on_scale_takes_the_best_cell():
    rows = [row("vn", "scenes=256", 1.0, 2e-7, width=None, scenes=256)]
    rows += [row("mlp", f"width={w},scenes=256", 2000 / w, 30 / w, width=w, scenes=256) for w in (64, 256)]
    said = scale.answer(rows)
    assert said.startswith("No, scale closes neither gap")
    assert "below an OOD/seen of 7.81 and a residual of 0.12" in said
    rows[-1]["ood_factor"] = 1.01
    assert scale.answer(rows).startswith("In part")


def test_the_answer_on_softness_counts_the_ladders_that_rise():
    ratios = {0.0: (1.0, 2.0, 4.0, 8.0), 0.4: (1.1, 3.0, 2.0, 9.0)}
    rows = [
        row(arm, f"g={g:g}" + (f",beta={beta}" if beta else ""), ratio, residual, beta=beta, breaking=g, seen=seen)
        for g, ladder in ratios.items()
        for (arm, beta, residual, seen), ratio in zip(
            (("vn", None, 1e-7, 0.5), ("soft", 1, 0.01, 0.2), ("soft", 0.01, 0.02, 0.1), ("mlp", None, 0.3, 0.1)),
            ladder,
            strict=True,
        )
    ]
    said = soft.answer(rows)
    assert "down to beta = 0.01 OOD/seen grows in 1 and the residual in 2 of 2 worlds" in said
    assert "on to the free MLP in 1 and 2" in said
    assert "the VN's residual is 1.0e-07 at most, no more than 1 times" in said
    assert "from 0.5 (hard) to 0.1 (soft) while OOD/seen goes from 1.1 to 3" in said
    assert "1e+05 times" in said
    assert np.isfinite(ladder(rows, "ood_factor", 2, 0.4)).all()
