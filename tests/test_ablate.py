"""The framework of `equiwm ablate`: what a study holds, what does not change it, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from equiwm.claims.ablation import registry
from equiwm.claims.ablation.kind import COLUMNS, Kind, Scope
from equiwm.claims.ablation.registry import KINDS, load_kind
from equiwm.claims.ablation.rows import over_seeds, select
from equiwm.claims.ablation.study import ablation_study, resolve_scope, study_name
from equiwm.cli.main import run
from equiwm.cli.progress import seconds_left
from equiwm.errors import ConfigError, RunError
from equiwm.grid import Cell
from equiwm.report.ablation import augmentation as view

HERE = Path(__file__).parent


def toy_cell(params):
    """Two seeds a cell; fails, diverges or dawdles as its parameters and the environment say."""
    if params["width"] == 3 and not Path(params["healed"]).exists():
        raise ArithmeticError("seed 1 came to nothing")
    if params["width"] in params["slow"]:
        time.sleep(60)
    common = {"arm": "mlp", "cell": f"width={params['width']}", "dim": params["dim"], "parameters": 10}
    rows = [
        {**common, "seed": seed, "seen_relmse": 0.1, "ood_relmse": params["width"] / (3 + seed), "ood_factor": 2.0}
        | {"relative_residual": float("nan") if seed else 1e-7, "width": params["width"]}
        for seed in (0, 1)
    ]
    return {"rows": rows, "failed": ["seed 2: the loss is not finite"] if params["width"] == 2 else []}


def toy(widths=(1, 2, 3), healed: Path | str = HERE, slow=()) -> Kind:
    def settings(scope: Scope):
        return {"width": list(widths)}

    def cells(scope: Scope) -> list[Cell]:
        return [
            Cell(f"dim={dim},width={width}", {"dim": dim, "width": width, "healed": str(healed), "slow": list(slow)})
            for dim in scope.dims
            for width in widths
        ]

    def answer(rows):
        return f"{len(rows)} rows"

    return Kind(
        "toy", "Is it a toy?", ("field", "pusht"), settings, cells, toy_cell, answer, lambda cell: cell["width"]
    )


def scope_of(kind: Kind, **asked) -> Scope:
    return resolve_scope(kind, **{"world": None, "dim": None, "seeds": None, "quick": False, **asked})


def rows_of(study: Path) -> list[dict[str, str]]:
    with (study / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def ablate(capsys):
    """Runs `equiwm ablate` in this process: gives status, stdout, stderr."""

    def call(*arguments):
        capsys.readouterr()
        status = run(["ablate", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


# What was asked for


def test_scope_fills_in_the_defaults():
    kind = toy()
    assert scope_of(kind) == Scope((2, 3), (0, 1, 2, 3, 4), False, "field")
    assert scope_of(kind, quick=True, world="pusht") == Scope((2,), (0, 1), True, "pusht")
    assert study_name(kind, scope_of(kind)) == "ablate-toy"
    assert study_name(kind, scope_of(kind, dim=3, quick=True)) == "ablate-toy-3d-quick"
    assert study_name(kind, scope_of(kind, world="pusht")) == "ablate-toy-pusht"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"world": "cloud"}, "cannot run on 'cloud'"),
        ({"dim": 4}, "expected 2 and 3"),
        ({"dim": 3, "world": "pusht"}, "got 3, expected 2"),
        ({"seeds": 0}, "--seeds: got 0"),
    ],
)
def test_scope_refuses(asked, words):
    with pytest.raises(ConfigError, match=words):
        scope_of(toy(), **asked)


def test_kinds_are_complete():
    """Every kind that can be called has its name, a sweep of unique cells on each of its worlds, and its view."""
    for name in KINDS:
        kind, report = load_kind(name), import_module(f"equiwm.report.ablation.{name}")
        assert kind.name == name
        assert kind.question.endswith("?")
        assert callable(report.tables)
        assert callable(report.figure)
        for world in kind.worlds:
            for quick in (False, True):
                scope = scope_of(kind, world=world, quick=quick)
                cells = kind.cells(scope)
                assert len({cell.key for cell in cells}) == len(cells) > 1
                assert min(kind.work(cell.params) for cell in (cells[0], cells[-1])) > 0
                json.dumps(kind.settings(scope))


# What a study holds


def test_a_study_is_self_contained(tmp_path):
    kind, steps = toy(widths=(1, 2)), []
    study, result = ablation_study(kind, scope_of(kind), tmp_path, progress=lambda *step: steps.append(step))
    assert [row["cell"] for row in result.rows] == ["width=1"] * 2 + ["width=2"] * 2 + ["width=1"] * 2 + ["width=2"] * 2
    assert [row["dim"] for row in result.rows] == [2] * 4 + [3] * 4
    assert (result.answer, result.question) == ("8 rows", kind.question)
    assert result.failed == [f"dim={dim},width=2: seed 2: the loss is not finite" for dim in (2, 3)]
    rows = rows_of(study.path)
    assert list(rows[0]) == [*COLUMNS, "width"]
    assert [row["relative_residual"] for row in rows[:2]] == ["1e-07", ""]
    assert float(rows[2]["ood_relmse"]) == result.rows[2]["ood_relmse"] == 2 / 3
    config = yaml.safe_load(study.config_path.read_text())
    assert (config["kind"], config["study"]["kind"], config["study"]["settings"]) == ("study", "toy", {"width": [1, 2]})
    assert [done for done, _, _ in steps] == [0, 1, 2, 3, 4]
    assert [share for *_, share in steps] == pytest.approx([0, 1 / 3, 2 / 3, 5 / 6, 1])  # the longest first


def test_rows_do_not_depend_on_jobs_or_interruption(tmp_path):
    kind = toy(widths=(1, 2))
    one, _ = ablation_study(kind, scope_of(kind), tmp_path / "one")
    two, _ = ablation_study(kind, scope_of(kind), tmp_path / "two", jobs=2)
    (two.path / "rows.csv").unlink()
    next((two.path / "cells" / "cells").iterdir()).unlink()
    again, result = ablation_study(kind, scope_of(kind), tmp_path / "two", resume=True)
    assert (one.path / "rows.csv").read_bytes() == (again.path / "rows.csv").read_bytes()
    assert len(result.rows) == 8


def test_a_failed_cell_leaves_the_question_open_and_is_computed_on_resume(tmp_path):
    healed = tmp_path / "healed"
    kind = toy(healed=healed)
    _, result = ablation_study(kind, scope_of(kind, dim=2), tmp_path)
    assert result.answer == "open: 1 of 3 cells failed."
    assert result.failed[0] == "dim=2,width=3: ArithmeticError: seed 1 came to nothing"
    assert len(result.rows) == 4
    healed.touch()
    _, result = ablation_study(kind, scope_of(kind, dim=2), tmp_path, resume=True)
    assert (result.answer, len(result.failed)) == ("6 rows", 1)


def test_a_study_that_is_there_is_not_overwritten(tmp_path, snapshot):
    kind = toy(widths=(1,))
    ablation_study(kind, scope_of(kind), tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match="--resume"):
        ablation_study(kind, scope_of(kind), tmp_path)
    with pytest.raises(RunError, match=r"study\.dims"):
        ablation_study(kind, scope_of(kind, dim=2), tmp_path, name="ablate-toy", resume=True)
    with pytest.raises(RunError, match=r"study\.settings\.width"):
        ablation_study(toy(widths=(1, 2)), scope_of(kind), tmp_path, resume=True)
    assert snapshot(tmp_path) == before


def test_summaries_over_seeds():
    rows = toy_cell({"width": 1, "dim": 2, "healed": "", "slow": []})["rows"] + [
        {"arm": "vn", "cell": "x", "seed": 0, "ood_relmse": None}
    ]
    middle = over_seeds(rows, "ood_relmse", arm="mlp")
    assert middle is not None
    assert (middle.low, middle.high, middle.n) == (0.25, 1 / 3, 2)
    assert over_seeds(rows, "ood_relmse", arm="vn") is None
    assert len(select(rows, arm="mlp", seed=1)) == 1


def test_the_estimate_goes_by_work_done_here():
    """Half of the work was there already, a quarter took ten seconds: the last quarter takes as long."""
    assert seconds_left(10.0, 0.5, 0.75) == pytest.approx(10.0)
    assert seconds_left(10.0, 0.5, 0.5) is None


# The command


TINY = ("--quick", "--seeds", 1, "--dim", 2, "--quiet")


@pytest.fixture(scope="module")
def tiny_soft(tmp_path_factory):
    """A quick study of softness in the plane, one seed, a fraction of its updates."""
    folder = tmp_path_factory.mktemp("ablate")
    patch = pytest.MonkeyPatch()
    module = sys.modules[load_kind("soft").answer.__module__]
    original = module.settings
    patch.setattr(module, "settings", lambda scope: {**original(scope), "steps": 20, "test": 300})
    assert run(["ablate", "soft", *map(str, TINY), "--jobs", "1", "--out", str(folder)]) == 0
    patch.undo()
    return folder / "ablate-soft-2d-quick"


def test_the_command_leaves_everything_on_disk(tiny_soft, ablate):
    files = {str(path.relative_to(tiny_soft)) for path in tiny_soft.rglob("*") if path.is_file()}
    figure = {"figures/ablate_soft.png", "figures/ablate_soft.csv"}
    assert {"config.yaml", "metrics.json", "rows.csv", "summary.txt", "summary.svg", *figure} <= files
    metrics = json.loads((tiny_soft / "metrics.json").read_text())["ablate"]
    assert metrics["kind"] == "soft"
    assert len(metrics["rows"]) == len(rows_of(tiny_soft)) == 2 * 5
    assert set(COLUMNS) <= set(metrics["rows"][0])
    assert metrics["answer"][:40] in (tiny_soft / "summary.txt").read_text()
    vn = [row for row in metrics["rows"] if row["arm"] == "vn"]
    assert len(vn) == 2
    assert all(row["relative_residual"] < 3e-7 for row in vn)
    assert all(row["relative_residual"] > 1e-3 for row in metrics["rows"] if row["arm"] != "vn")


def test_report_shows_the_study(tiny_soft, capsys):
    assert run(["report", str(tiny_soft.parent)]) == 0
    out = capsys.readouterr().out
    assert "ablate-soft-2d-quick" in out
    assert "(None)" not in out
    assert "It trades exactness for fit" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sofd"], "did you mean soft"),
        (["soft", "--world", "cloud"], "field"),
        (["soft", "--world", "nowhere"], "field"),
        (["soft", "--dim", 4], "--dim"),
        (["augmentation", "--world", "pusht", "--dim", 3], "--dim"),
        (["soft", "--seeds", 0], "--seeds"),
        (["soft", "--jobs", 0], "--jobs"),
        (["soft", "--jobs", 2, "--scheduler", "tcp://127.0.0.1:1"], "not both"),
        (["soft", "--name", "a/b"], "--name"),
    ],
)
def test_the_command_refuses(ablate, tmp_path, arguments, words):
    status, out, err = ablate(*arguments, "--out", tmp_path)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_no_training(tiny_soft, capsys):
    assert run(["verify-equivariance", str(tiny_soft)]) == 2
    assert "is a study" in capsys.readouterr().err


def test_failed_cells_give_status_1(ablate, tmp_path, monkeypatch):
    """Their errors are on stderr, the other cells in the CSV and the tables."""
    kind = toy(healed=tmp_path / "healed")
    monkeypatch.setattr(registry, "load_kind", lambda name: kind)
    monkeypatch.setitem(sys.modules, "equiwm.report.ablation.toy", view)
    monkeypatch.setattr(view, "_coverage", lambda row: str(row["width"]))
    status, out, err = ablate("toy", "--dim", 2, "--out", tmp_path / "runs")
    assert status == 1
    assert "open: 1 of 3 cells failed." in out
    assert "failed: dim=2,width=3: ArithmeticError: seed 1 came to nothing" in err
    assert len(rows_of(tmp_path / "runs" / "ablate-toy-2d")) == 4


def test_ctrl_c_keeps_finished_cells(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "import test_ablate as t\nfrom equiwm.claims.ablation import registry\n"
        "from equiwm.cli import main\n"
        "registry.load_kind = lambda name: t.toy(widths=(1, 2, 4), slow=(1, 2))\n"
        f"sys.argv = ['equiwm', 'ablate', 'toy', '--dim', '2', '--jobs', '2', '--out', {str(tmp_path)!r}]\n"
        "main.main()"
    )
    store = tmp_path / "ablate-toy-2d" / "cells" / "cells"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (store.is_dir() and any(path.suffix == ".json" for path in store.iterdir())):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err
    assert [json.loads(path.read_text())["key"] for path in store.iterdir()] == ["dim=2,width=4"]
