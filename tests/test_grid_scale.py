"""A grid of many cells: a cell costs as much whatever the number of the others, and progress is of all work."""

from __future__ import annotations

import os
import sys

import pytest
from toy_study import ToyRow, compute, toy

from equiwm.claims.ablation.kind import Scope
from equiwm.claims.ablation.rows import of_each_seed
from equiwm.claims.ablation.study import ablation_study
from equiwm.claims.study import compute_cells
from equiwm.disk.text import MOST_TEXT
from equiwm.errors import ConfigError
from equiwm.grid import MOST_CELLS, Cell, expand, run_grid

FEW, MANY = 100, 400


def cheap(params):
    if params.get("stops"):
        raise KeyboardInterrupt
    return {"n": params["n"]}


def weight(cell: Cell) -> float:
    return 0.1 + cell.params["n"] % 7


def grid_of(count: int) -> list[Cell]:
    return expand(n=list(range(count)))


def calls_each(work, count: int) -> float:
    """Calls of Python and of C, and steps of generators, that a piece of work makes for each of so many: no timing."""
    calls = 0

    def counted(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work(count)
    finally:
        sys.setprofile(before)
    return calls / count


@pytest.fixture
def studied(tmp_path, monkeypatch):
    """Computes a grid of so many cells, or reads it back; nobody waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("equiwm.grid._OFTEN", 4)  # so that this constant cost a cell hides nothing

    def compute(count: int, *, jobs: int = 1) -> None:
        place = tmp_path / str(count)
        compute_cells(cheap, grid_of(count), place, weight, jobs=jobs, resume=True, progress=lambda *_: None)

    return compute


def test_a_cell_costs_as_much_in_a_larger_grid(studied):
    studied(1)  # what is imported at first
    few, many = calls_each(studied, FEW), calls_each(studied, MANY)
    assert many < 1.1 * few
    few, many = calls_each(studied, FEW), calls_each(studied, MANY)  # each is stored now
    assert many < 1.1 * few


def test_a_seed_costs_as_much_among_more():
    def read(count: int) -> None:
        params = {"width": 1, "dim": 2, "slow": []}
        rows = [ToyRow(**{**compute(params)["rows"][0], "seed": seed}) for seed in range(count)]
        assert of_each_seed(2, lambda own: own[0].seed)(rows).median == (count - 1) / 2

    read(1)
    assert calls_each(read, MANY) < 1.1 * calls_each(read, FEW)


def test_progress_counts_what_was_stored_and_ends_at_one(tmp_path):
    cells, told = grid_of(30), []
    order = sorted(cells, key=lambda cell: -weight(cell))
    done, broken = order[:12], order[12]
    cells[broken.params["n"]] = Cell(broken.key, {**broken.params, "stops": True})
    with pytest.raises(KeyboardInterrupt):
        compute_cells(cheap, cells, tmp_path, weight, jobs=1, resume=False)
    with pytest.raises(KeyboardInterrupt):
        compute_cells(cheap, cells, tmp_path, weight, jobs=1, resume=True, progress=lambda *state: told.append(state))
    whole = sum(map(weight, cells))
    assert told == [(12, 30, pytest.approx(sum(map(weight, done)) / whole))]
    told.clear()
    compute_cells(
        cheap, grid_of(30), tmp_path / "all", weight, jobs=1, resume=False, progress=lambda *state: told.append(state)
    )
    assert (told[0], told[-1]) == ((0, 30, 0.0), (30, 30, 1.0))
    assert [share for *_, share in told] == sorted(share for *_, share in told)


def test_a_grid_that_could_not_be_opened_again_is_refused(tmp_path, monkeypatch):
    line = f'    "{Cell("x" * 200, {}).id}": {-sys.float_info.max!r},\n'
    assert MOST_CELLS * len(line) < MOST_TEXT
    monkeypatch.setattr("equiwm.grid.MOST_CELLS", 2)
    with pytest.raises(ConfigError, match="a grid of 3 cells: expected at most 2"):
        run_grid(cheap, grid_of(3), tmp_path / "grid")
    scope = Scope(dims=(2,), seeds=(0,), quick=False, world="field")
    with pytest.raises(ConfigError, match="a grid of 3 cells"):
        ablation_study(toy(), scope, tmp_path)
    assert list(tmp_path.iterdir()) == []
