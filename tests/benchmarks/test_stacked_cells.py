"""Five seeds of a cell of an ablation as one program against the same five one by one: CPU time, equal rows."""

import json
import time
from typing import Any

import pytest

from equiwm.claims.ablation import world_models
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.study import resolve_scope

SEEDS, ROUNDS, SHORTER = 5, 3, 2
CELLS = {
    "scale, VN": ("scale", {}, {"dim": 2, "arm": "vn", "scenes": 1024}),
    "scale, MLP": ("scale", {}, {"dim": 2, "arm": "mlp", "width": 64, "scenes": 1024}),
    "soft": ("soft", {}, {"dim": 2, "arm": "soft", "beta": 1e-2}),
    "data, VN": ("data", {"world": "cloud"}, {"arm": "vn", "transitions": 128}),
    "breaking, VN": ("breaking", {}, {"arm": "vn"}),
    "architecture, VN": ("architecture", {"world": "cloud"}, {"arm": "vn"}),
}
"""Cells of `ablate KIND --quick`, with half the epochs."""


def several(name: str) -> tuple[Any, list[dict[str, Any]]]:
    kind, asked, columns = CELLS[name]
    found = load_kind(kind)
    cells = found.cells(resolve_scope(found, seeds=SEEDS, quick=True, **asked))
    chosen = [cell.params for cell in cells if all(cell.params[key] == value for key, value in columns.items())]
    params = [json.loads(json.dumps(dict(each))) for each in chosen[:SEEDS]]
    for each in params:
        each["config"]["training"]["epochs"] //= SHORTER
        each |= {key: each[key] // SHORTER for key in ("updates", "epochs") if key in each}
    return found, params


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_stacked_cells(board, monkeypatch, name):
    kind, params = several(name)
    train, spent = world_models.train_fits, [0.0]

    def timed(fits):
        start = time.process_time()
        try:
            return train(fits)
        finally:
            spent[0] += time.process_time() - start

    monkeypatch.setattr(world_models, "train_fits", timed)

    def measured(compute) -> tuple[list, float, float]:
        spent[0], start = 0.0, time.process_time()
        found = compute()
        return found, time.process_time() - start, spent[0]

    kind.compute(params[0])  # imports, and what is made once
    cells, trainings = [], []
    for _ in range(ROUNDS):
        expected, alone, alone_trained = measured(lambda: [kind.compute(each) for each in params])
        found, together, together_trained = measured(lambda: kind.stacks.function(params))
        assert found == expected
        cells.append((alone, together))
        trainings.append((alone_trained, together_trained))
    what = f"{SEEDS} seeds of a cell of ablate {name}, each alone / together, equal rows"
    board.pairs(what, cells, unit="stack")
    board.pairs(f"{what}: their trainings", trainings, unit="stack")
