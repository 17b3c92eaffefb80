"""The grid: results do not depend on jobs, order or interruption; a failing cell is only a failing cell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from equiwm.disk.files import write_atomic
from equiwm.errors import ConfigError, MachineError, RunError
from equiwm.grid import Cell, expand, run_grid, stored_seconds

GRID = expand(width=[64, 256], seed=[0, 1, 2])


def draw(params):
    """A cell that takes a while, the first ones longest."""
    time.sleep(0.02 * (3 - params["seed"]))
    rng = np.random.default_rng(params["seed"])
    threads = os.environ["OMP_NUM_THREADS"]
    return {"value": rng.normal() * params["width"], "bad": float("nan"), "threads": threads}


def fragile(params):
    """Fails for seed 1 until the folder of its parameters holds the file `healed`; counts its calls there."""
    folder = Path(params["folder"])
    (folder / f"{params['width']}-{params['seed']}-{os.urandom(4).hex()}").touch()
    if params["seed"] == 1 and not (folder / "healed").exists():
        raise ArithmeticError(f"diverged at seed {params['seed']}")
    return {"seed": params["seed"]}


def listing(params):
    return [params]


def killer(params):
    if params["seed"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"seed": params["seed"]}


def interrupted(params):
    if params["seed"] == 2:
        raise KeyboardInterrupt
    return {"seed": params["seed"]}


def slow(params):
    """Two cells end at once, the others in a minute; for the process that is interrupted."""
    time.sleep(0.1 if params["width"] == 64 and params["seed"] < 2 else 60)
    return {"seed": params["seed"], "pid": os.getpid()}


def mutating(params):
    params["width"] = "changed"
    return params


def stored(store: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((store / "cells").iterdir())}


@pytest.fixture
def calls(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def fragile_grid(calls: Path) -> list[Cell]:
    return [Cell(cell.key, {**cell.params, "folder": str(calls)}) for cell in GRID]


def test_expand_is_the_product_in_order():
    assert [cell.key for cell in GRID[1:4]] == ["width=64,seed=1", "width=64,seed=2", "width=256,seed=0"]
    assert GRID[3].params == {"width": 256, "seed": 0}
    assert [cell.key for cell in expand()] == [""]


def test_the_id_names_key_and_parameters():
    cell = Cell("a b/c", {"x": 1, "y": (1, 2)})
    assert cell.id == Cell("a b/c", {"y": [1, 2], "x": 1}).id
    assert cell.id.startswith("a_b_c-")
    assert len({cell.id, Cell("a b/c", {"x": 2, "y": (1, 2)}).id, Cell("a b c", cell.params).id}) == 3


def test_results_do_not_depend_on_jobs_or_order(tmp_path):
    one = run_grid(draw, GRID, tmp_path / "one")
    two = run_grid(draw, GRID, tmp_path / "two", jobs=2)
    backwards = run_grid(draw, GRID[::-1], tmp_path / "backwards")
    assert [result.cell for result in one] == GRID
    assert one == two == backwards[::-1]
    assert stored(tmp_path / "one") == stored(tmp_path / "two") == stored(tmp_path / "backwards")
    assert one == run_grid(draw, GRID, tmp_path / "two", resume=True)
    assert one[0].result is not None
    assert one[0].result["bad"] is None
    assert one[0].result["threads"] == "1"


def test_a_surrounding_backend_is_used(tmp_path, calls):
    (calls / "healed").touch()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        results = run_grid(fragile, fragile_grid(calls), tmp_path / "grid", jobs=None)
    assert [result.result["seed"] for result in results] == [0, 1, 2, 0, 1, 2]


def test_one_thread_is_restored(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    torch.set_num_threads(2)
    try:
        run_grid(draw, GRID[:1], tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["MKL_NUM_THREADS"] == "3"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_cell_is_reported_and_retried_on_resume(tmp_path, calls, jobs):
    seen = []
    store, grid = tmp_path / "grid", fragile_grid(calls)
    results = run_grid(fragile, grid, store, jobs=jobs, progress=lambda *state: seen.append(state))
    assert [(done, total) for done, total, _ in seen] == [(n, 6) for n in range(7)]
    assert [len(new) for _, _, new in seen] == [0] + [1] * 6
    failed = [result for result in results if result.error]
    assert [result.cell.key for result in failed] == ["width=64,seed=1", "width=256,seed=1"]
    error = failed[0].error
    assert error is not None
    assert (error.type, error.message) == ("ArithmeticError", "diverged at seed 1")
    assert "in fragile" in error.traceback
    assert len(list(calls.iterdir())) == 6

    (calls / "healed").touch()
    seen.clear()
    resumed = run_grid(fragile, grid, store, jobs=jobs, resume=True, progress=lambda *state: seen.append(state))
    assert [(done, len(new)) for done, _, new in seen] == [(4, 4), (5, 1), (6, 1)]
    assert {each.cell.key: each for _, _, new in seen for each in new} == {each.cell.key: each for each in resumed}
    assert [result.result for result in resumed] == [{"seed": seed} for seed in (0, 1, 2, 0, 1, 2)]
    assert len(list(calls.iterdir())) == 6 + 2 + 1


def test_a_result_that_is_no_json_object_is_an_error_of_the_cell(tmp_path):
    (result,) = run_grid(listing, GRID[:1], tmp_path)
    assert result.error is not None
    assert result.error.type == "TypeError"


def test_a_cell_cannot_change_its_parameters(tmp_path):
    run_grid(mutating, GRID, tmp_path)
    assert GRID[0].params["width"] == 64
    assert json.loads((tmp_path / "cells" / f"{GRID[0].id}.json").read_text())["params"]["width"] == 64


def test_an_existing_store_needs_resume(tmp_path):
    run_grid(draw, GRID[:1], tmp_path)
    before = stored(tmp_path)
    with pytest.raises(RunError, match="--resume"):
        run_grid(draw, GRID[:1], tmp_path)
    with pytest.raises(RunError, match=r"test_grid\.draw, now .*test_grid\.fragile"):
        run_grid(fragile, GRID[:1], tmp_path, resume=True)
    with pytest.raises(RunError, match="1 cells are new or have other parameters, 0 are gone"):
        run_grid(draw, GRID[:2], tmp_path, resume=True)
    with pytest.raises(RunError, match="1 cells are new or have other parameters, 1 are gone"):
        run_grid(draw, [Cell(GRID[0].key, {"width": 64, "seed": 7})], tmp_path, resume=True)
    assert stored(tmp_path) == before


def test_resume_of_nothing_starts(tmp_path):
    assert len(run_grid(draw, GRID[:1], tmp_path / "new", resume=True)) == 1


def test_wrong_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="--out"):
        run_grid(draw, GRID, tmp_path / "file" / "grid")
    with pytest.raises(ConfigError, match="--jobs"):
        run_grid(draw, GRID, tmp_path / "grid", jobs=0)
    with pytest.raises(ValueError, match="one key"):
        run_grid(draw, [Cell("a", {"x": 1}), Cell("a", {"x": 2})], tmp_path / "grid")
    with pytest.raises(ValueError, match="importable"):
        run_grid(lambda params: {}, GRID, tmp_path / "grid")
    assert os.listdir(tmp_path) == ["file"]


def test_a_damaged_cell_is_not_taken_for_a_result(tmp_path):
    run_grid(draw, GRID[:1], tmp_path)
    (tmp_path / "cells" / f"{GRID[0].id}.json").write_text('{"resu')
    with pytest.raises(RunError, match="damaged"):
        run_grid(draw, GRID[:1], tmp_path, resume=True)


def test_a_store_is_used_by_one_process(tmp_path):
    def second(done, total, result):
        with pytest.raises(RunError, match="in use"):
            run_grid(draw, GRID[:1], tmp_path, resume=True)

    run_grid(draw, GRID[:1], tmp_path, progress=second)


def test_an_interruption_in_process_keeps_finished_cells(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_grid(interrupted, GRID, tmp_path)
    assert {json.loads(text)["key"] for text in stored(tmp_path).values()} == {cell.key for cell in GRID[:2]}


def cheap(params):
    if params["n"] == 200 and "stops" in params:
        raise KeyboardInterrupt
    return {"n": params["n"]}


def test_what_cells_have_cost_is_not_written_anew_for_each_of_many(tmp_path, monkeypatch):
    """Of 300 cells `seconds.json` is written 142 times; each cell is in it at the end, and where it was interrupted."""
    written = []

    def counted(path, text):
        written.append(path.name)
        return write_atomic(path, text)

    monkeypatch.setattr("equiwm.grid.write_atomic", counted)
    cells = [Cell(f"n={n}", {"n": n}) for n in range(300)]
    run_grid(cheap, cells, tmp_path / "whole", progress=None)
    assert (written.count("seconds.json"), len(stored_seconds(tmp_path / "whole"))) == (142, 300)
    stopped = [Cell(f"n={n}", {"n": n, "stops": True}) for n in range(300)]
    with pytest.raises(KeyboardInterrupt):
        run_grid(cheap, stopped, tmp_path / "stopped")
    assert len(stored_seconds(tmp_path / "stopped")) == 200


def test_a_killed_worker_keeps_finished_cells(tmp_path):
    with pytest.raises(MachineError, match="--resume and fewer --jobs"):
        run_grid(killer, GRID, tmp_path, jobs=2)
    assert all("result" in json.loads(text) for text in stored(tmp_path).values())


@pytest.mark.parametrize("whole_group", [False, True])
def test_ctrl_c_keeps_finished_cells_and_cancels_the_rest(tmp_path, whole_group):
    code = (
        "import pathlib, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_grid\nfrom equiwm.grid import run_grid\n"
        f"run_grid(test_grid.slow, test_grid.GRID, pathlib.Path({str(tmp_path)!r}), jobs=2,\n"
        "         progress=lambda done, total, result: print(done, flush=True))"
    )
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "2\n":
                break
        time.sleep(0.2)  # the workers are asleep in cells of a minute
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        assert process.wait(timeout=20) != 0
    assert time.monotonic() - started < 20
    results = {json.loads(text)["key"]: json.loads(text) for text in stored(tmp_path).values()}
    assert set(results) == {cell.key for cell in GRID[:2]}
    for record in results.values():
        with pytest.raises(ProcessLookupError):
            _wait_for_the_end_of(record["result"]["pid"])


def _wait_for_the_end_of(pid: int) -> None:
    for _ in range(100):
        os.kill(pid, 0)
        time.sleep(0.05)
