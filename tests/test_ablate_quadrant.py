"""One quadrant of data: the cells are what they say, play what they say, and the bounds decide."""

from __future__ import annotations

import json

import pytest

from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.quadrant import CONTENDERS, KIND, QuadrantRow
from equiwm.claims.ablation.study import decided, resolve_scope
from equiwm.results.ablation import read_rows
from equiwm.worlds.pusht.standard import StandardControl

SCOPE = resolve_scope(KIND, seeds=1, quick=True)


def test_arms_differ_in_class_and_turns_alone():
    cells = {cell.params["arm"]: cell.params for cell in KIND.cells(SCOPE)}
    assert set(cells) == set(CONTENDERS)
    for params in cells.values():
        config = params["config"]
        assert config["world"]["wedge"] == [0.0, 90.0]
        assert config["world"]["scenes"] == "arena"
        assert config["planning"]["goal"] == "keypoints"
        assert config["training"]["transitions"] == params["transitions"] * params["copies"]
    assert cells["mlp"]["config"]["model"] == cells["augmented"]["config"]["model"]
    assert cells["mlp"]["config"]["model"]["predictor"] != cells["vn"]["config"]["model"]["predictor"]
    assert [cells[arm]["copies"] > 1 for arm in ("vn", "mlp", "augmented")] == [False, False, True]
    whole = resolve_scope(KIND, seeds=5, quick=False)
    updates = {cell.params["transitions"]: cell.params["config"]["training"] for cell in KIND.cells(whole)}
    assert sorted(updates) == [1000, 3000, 10_000, 20_000, 100_000]


@pytest.mark.parametrize("arm", ["vn", "augmented", "canonical"])
def test_a_cell_trains_and_plays(arm, monkeypatch):
    monkeypatch.setattr(StandardControl, "steps", 6)
    params = next(json.loads(json.dumps(dict(c.params))) for c in KIND.cells(SCOPE) if c.params["arm"] == arm)
    params |= {"transitions": 200, "seed": 0}
    params["config"]["training"] |= {"transitions": 200 * params["copies"], "batch": 50, "epochs": 2}
    params["config"]["planning"] |= {"samples": 16, "iterations": 1, "elites": 4}
    (row,) = read_rows(QuadrantRow, KIND.compute(params)["rows"])
    assert row.episodes == 2
    assert row.success in (0.0, 0.5, 1.0)
    assert 0.0 <= row.mean_max_reward <= 1.0
    assert (abs(row.ood_factor - 1.0) < 1e-5) is (arm in ("vn", "canonical"))
    assert row.transitions == 200


def _row(arm, transitions, success, factor=1.0):
    return QuadrantRow(
        **{"arm": arm, "cell": f"transitions={transitions}", "dim": 2, "seed": 0, "parameters": 10, "updates": 1},
        **{"transitions": transitions, "success": success, "mean_max_reward": success, "episodes": 16},
        ood_factor=factor,
    )


def test_bounds_decide_at_20_000_transitions():
    scope = resolve_scope(KIND, seeds=1, quick=False)
    rows = [_row("vn", n, success) for n, success in ((1000, 0.1), (20_000, 0.9), (100_000, 0.5))]
    rows += [_row("mlp", 20_000, 0.05, 30.0), _row("mlp", 100_000, 0.9, 30.0), _row("augmented", 20_000, 0.9, 1.1)]
    assert [each.holds for each in decided(KIND, scope, rows, whole=True)] == [True, True, True]
    rows[1] = _row("vn", 20_000, 0.8, 1.1)
    rows[3] = _row("mlp", 20_000, 0.2, 30.0)
    assert [each.holds for each in decided(KIND, scope, rows, whole=True)] == [False, False, False]


def test_it_is_shown(tmp_path):
    data = StudyRows("ablate-quadrant", "pusht", [2], [_row(arm, n, 0.5) for arm in CONTENDERS for n in (1000, 3000)])
    (table,) = KIND.tables(data)
    assert [row[0] for row in table.rows][:2] == ["VN, 1,000 transitions", "VN, 3,000 transitions"]
    assert KIND.figure(data, tmp_path).exists()
    assert (tmp_path / "ablate_quadrant.csv").exists()
