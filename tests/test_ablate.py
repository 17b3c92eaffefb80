"""The framework of `equiwm ablate`: what a study holds, what does not change it, and what it refuses."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from small import shrunk
from toy_study import ToyRow, compute, toy

from equiwm.claims.ablation.claim import CLAIM
from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.rows import select
from equiwm.claims.ablation.study import ablation_study, resolve_scope, study_name
from equiwm.cli.main import run
from equiwm.cli.output import publish
from equiwm.cli.progress import seconds_left
from equiwm.errors import ConfigError, ResultError, RunError
from equiwm.figures.panels import frame_of, over_seeds_frame, summary_text
from equiwm.locate import known_names
from equiwm.report.ablations import OLD_ANSWER, ablation_figure, ablation_tables
from equiwm.results.ablation import AblationResult, AblationRow, ReadoutErrors, read_rows
from equiwm.results.door import read, to_builtins
from equiwm.results.measured import Measured

HERE = Path(__file__).parent
COLUMNS = ["arm", "cell", "dim", "seed", "parameters", "seen_relmse", "ood_relmse", "ood_factor", "relative_residual"]


def scope_of(kind: AblationKind, **asked) -> Scope:
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
    """Every kind that can be called has its name, a sweep of unique cells on each of its worlds, and statements."""
    for name in known_names("ablation"):
        kind = load_kind(name)
        assert kind.name == name
        assert kind.question.endswith("?")
        for world in kind.runs_on():
            for quick in (False, True):
                scope = scope_of(kind, world=world, quick=quick)
                cells = kind.cells(scope)
                assert len({cell.key for cell in cells}) == len(cells) > 1
                assert min(kind.work(cell.params) for cell in (cells[0], cells[-1])) > 0
                json.dumps(kind.settings(scope))
                stated = kind.statements(scope)
                assert len({(each.setting, each.quantity) for each in stated}) == len(stated) > 0
                assert all(each.decide([], seeds=0, whole=True).holds is False for each in stated)


# Of every study that a kind can be asked for: its name, and a digest of its cells' keys and parameters, as version 0.2
# began with. Another digest means that a study on somebody's disk no longer resumes.
STUDIES = [
    ("augmentation", "field", False, "ablate-augmentation", "a5cc634e59c48271"),
    ("augmentation", "field", True, "ablate-augmentation-quick", "77f7b104b6dfe5a9"),
    ("augmentation", "cloud", False, "ablate-augmentation-cloud", "128b5a1c068d3930"),
    ("augmentation", "cloud", True, "ablate-augmentation-cloud-quick", "9a4995bd9316b632"),
    ("augmentation", "pusht", False, "ablate-augmentation-pusht", "c769ceb6f38bb30c"),
    ("augmentation", "pusht", True, "ablate-augmentation-pusht-quick", "c8c47536f7f43113"),
    ("scale", "field", False, "ablate-scale", "e92bfa9bb6b3b98c"),
    ("scale", "field", True, "ablate-scale-quick", "447e6bcb3fc147ba"),
    ("soft", "field", False, "ablate-soft", "610cce6396f5f03a"),
    ("soft", "field", True, "ablate-soft-quick", "3fe451b9ffcbb90b"),
    ("optimizer", "paper", False, "ablate-optimizer", "fdeb79eb6bf96f84"),
    ("optimizer", "paper", True, "ablate-optimizer-quick", "b1d8e90192a0fd4d"),
    ("data", "cloud", False, "ablate-data", "f64f16de12c58228"),
    ("data", "cloud", True, "ablate-data-quick", "bcefa47985f5dff1"),
    ("data", "pusht", False, "ablate-data-pusht", "d65551b089ae690c"),
    ("data", "pusht", True, "ablate-data-pusht-quick", "6c97883e20a3b4cc"),
    ("data", "field", False, "ablate-data-field", "36c1390142dd91af"),
    ("data", "field", True, "ablate-data-field-quick", "4bcb9432d0dd7be7"),
    ("breaking", "cloud", False, "ablate-breaking", "2b59f3e67bbec34e"),
    ("breaking", "cloud", True, "ablate-breaking-quick", "4aa99982a63a0c60"),
    ("architecture", "pusht", False, "ablate-architecture", "7db50bcfe101d38c"),
    ("architecture", "pusht", True, "ablate-architecture-quick", "552b917fe684f0d1"),
    ("architecture", "cloud", False, "ablate-architecture-cloud", "35cd69721298efa4"),
    ("architecture", "cloud", True, "ablate-architecture-cloud-quick", "9684334b574555ee"),
    ("architecture", "body", False, "ablate-architecture-body", "00f406f4acbc8581"),
    ("architecture", "body", True, "ablate-architecture-body-quick", "5d36958924cf7f8a"),
    ("architecture", "ring", False, "ablate-architecture-ring", "f8ce9964309a4169"),
    ("architecture", "ring", True, "ablate-architecture-ring-quick", "ff30cfe69a928090"),
    ("architecture", "pair", False, "ablate-architecture-pair", "9083930e722b7585"),
    ("architecture", "pair", True, "ablate-architecture-pair-quick", "fcab692fd892b5d3"),
    ("items", "bodies", False, "ablate-items", "c7580c6d35958481"),
    ("items", "bodies", True, "ablate-items-quick", "364ad25ede06d02b"),
    ("quadrant", "pusht", False, "ablate-quadrant", "d6b3135cd39f5de9"),
    ("quadrant", "pusht", True, "ablate-quadrant-quick", "cca6db6ee2130d99"),
    ("scaling", "pusht", False, "ablate-scaling", "6eca4bde95c04299"),
    ("scaling", "pusht", True, "ablate-scaling-quick", "509a349ef5dea759"),
    ("scaling", "cloud", False, "ablate-scaling-cloud", "e8784c082f8de7f4"),
    ("scaling", "cloud", True, "ablate-scaling-cloud-quick", "ec0e48ee0b0f3174"),
]


@pytest.mark.parametrize(("name", "world", "quick", "study", "digest"), STUDIES)
def test_cells_and_names_of_studies_are_what_they_were(name, world, quick, study, digest):
    kind = load_kind(name)
    scope = scope_of(kind, world=world, quick=quick)
    text = json.dumps([[cell.key, cell.params] for cell in kind.cells(scope)])
    assert (study_name(kind, scope), hashlib.sha256(text.encode()).hexdigest()[:16]) == (study, digest)


def test_every_study_is_held():
    asked = {(name, world) for name in known_names("ablation") for world in load_kind(name).runs_on()}
    assert {(name, world) for name, world, *_ in STUDIES} == asked


@pytest.mark.parametrize("name", ["augmentation", "scale", "soft"])
def test_the_study_sections_of_the_reference_are_today_s(name):
    stored = HERE.parent / "runs" / "reference" / "runs" / f"ablate-{name}" / "config.yaml"
    if not stored.exists():
        pytest.skip("needs a checkout, which has the reference runs")
    section, kind = yaml.safe_load(stored.read_text())["study"], load_kind(name)
    scope = scope_of(kind)
    assert (section["world"], tuple(section["dims"])) == (scope.world, scope.dims)
    assert section["settings"] == kind.settings(scope)


def test_a_kind_of_a_user_s_names_presets_or_worlds():
    """Presets in files too, whose world says its own dimension; worlds that no configuration knows with theirs."""
    spring = str(HERE / "outside" / "spring.yaml")
    of_presets = replace(toy(), worlds=(), presets=(spring, "vn-3d"))
    (own, presets), (cloud, _) = of_presets.runs_on().items()
    assert presets == {2: spring}
    assert scope_of(of_presets) == Scope((2,), (0, 1, 2, 3, 4), False, own, presets={2: spring})
    assert scope_of(of_presets, world=cloud).dims == (3,)
    of_worlds = replace(toy(), worlds=("moon",), dimensions={"moon": (2, 3)})
    assert scope_of(of_worlds).dims == (2, 3)
    with pytest.raises(ConfigError, match="no presets and no worlds"):
        scope_of(replace(toy(), worlds=()))


def test_the_help_names_the_kinds_and_their_worlds(ablate):
    status, out, _ = ablate("--help")
    told = " ".join(out.replace("│", " ").split())
    assert status == 0
    assert "augmentation, scale, soft, optimizer, data, breaking, architecture, quadrant, items or scaling" in told
    assert "field, cloud, pusht, paper, body, ring, pair or bodies [the kind's own]" in told


def test_showing_a_kind_needs_no_torch():
    names = ", ".join(f"equiwm.claims.ablation.{name}" for name in known_names("ablation"))
    code = f"import sys, {names}\nassert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# What a study holds


def test_a_study_is_self_contained(tmp_path):
    kind, steps = toy(widths=(1, 2)), []
    study, result = ablation_study(kind, scope_of(kind), tmp_path, progress=lambda *step: steps.append(step))
    assert [row["cell"] for row in result.rows] == ["width=1"] * 2 + ["width=2"] * 2 + ["width=1"] * 2 + ["width=2"] * 2
    assert [row["dim"] for row in result.rows] == [2] * 4 + [3] * 4
    assert result.question == kind.question
    assert result.answer == (
        "0 of 2 statements hold. 2D: largest error 0.583 [0.5, 0.667], at most 0.5: does not hold. "
        "3D: largest error 0.583 [0.5, 0.667], at most 0.5: does not hold."
    )
    assert result.statements is not None
    assert [(each.setting, each.holds, each.high) for each in result.statements] == [
        ("2D", False, 2 / 3),
        ("3D", False, 2 / 3),
    ]
    assert result.failed == [f"dim={dim},width=2: seed 2: the loss is not finite" for dim in (2, 3)]
    rows = rows_of(study.path)
    assert list(rows[0]) == [*COLUMNS, "float32_rounding", "latent_std", "width"]
    assert [row["relative_residual"] for row in rows[:2]] == ["1e-07", "nan"]
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
    assert [each.holds for each in result.statements] == [None]
    assert result.failed[0] == "dim=2,width=3: ArithmeticError: seed 1 came to nothing"
    assert len(result.rows) == 4
    healed.touch()
    _, result = ablation_study(kind, scope_of(kind, dim=2), tmp_path, resume=True)
    assert (len(result.rows), len(result.failed)) == (6, 1)
    assert [each.holds for each in result.statements] == [False]


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
    """Medians with their range of what is not missing; a dash where all is."""
    found = compute({"width": 1, "dim": 2, "healed": "", "slow": []})["rows"]
    rows = read_rows(ToyRow, [{key: None if value != value else value for key, value in row.items()} for row in found])
    frame = frame_of(rows, ("dim", "seed", "ood_relmse", "latent_std", "relative_residual"))
    assert summary_text(frame["ood_relmse"]) == "0.292 [0.250, 0.333]"
    assert summary_text(frame["relative_residual"]) == "1.00e-07"
    assert summary_text(frame["latent_std"]) == "–"
    (line,) = over_seeds_frame(frame, ("dim",), ("ood_relmse", "latent_std")).to_dict("records")
    assert (line["seeds"], line["ood_relmse_low"], line["ood_relmse_high"]) == (2, 0.25, 1 / 3)
    assert line["latent_std"] != line["latent_std"]
    assert len(select(rows, arm="mlp", seed=1)) == 1


# Rows, typed


@dataclass(frozen=True, kw_only=True)
class DataLike(AblationRow):
    transitions: int


def test_a_row_is_read_back_with_its_readouts():
    row = DataLike(
        arm="vn",
        cell="transitions=16",
        dim=3,
        seed=0,
        parameters=5,
        seen_relmse=0.5,
        readouts={"block": ReadoutErrors(seen=0.1, ood=0.2, action=float("nan"))},
        transitions=16,
    )
    flat = to_builtins(row)
    assert (flat["readout_block"], flat["readout_block_ood"], flat["readout_block_action"]) == (0.1, 0.2, None)
    assert list(flat)[-1] == "transitions"
    back = read(DataLike, flat)
    assert (back.readouts["block"].ood, back.transitions, back.seen_relmse) == (0.2, 16, 0.5)
    assert list(back.qualities) == ["read-out, block"]
    assert list(replace(back, readouts={}).qualities) == ["relMSE of the next state"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"transitions": "many"}, r"row 0: .*transitions"), ({"seed": None}, r"row 0: .*seed"), (None, "row 0: .*arm")],
)
def test_a_row_that_is_none_is_refused(change, words):
    good = {"arm": "vn", "cell": "x", "dim": 2, "seed": 0, "parameters": 1, "transitions": 4}
    assert read_rows(DataLike, [good])[0].transitions == 4
    with pytest.raises(ResultError, match=words):
        read_rows(DataLike, [{} if change is None else {**good, **change}])


def test_the_estimate_goes_by_work_done_here():
    """Half of the work was there already, a quarter took ten seconds: the last quarter takes as long."""
    assert seconds_left(10.0, 0.5, 0.75) == pytest.approx(10.0)
    assert seconds_left(10.0, 0.5, 0.5) is None


# The command


@pytest.fixture(scope="module")
def tiny_soft(tmp_path_factory):
    """A quick study of softness in the plane, one seed, a fraction of its updates, as the command leaves it."""
    kind = shrunk("soft", updates=20, test=300)
    scope = scope_of(kind, quick=True, seeds=1, dim=2)
    study, result = ablation_study(kind, scope, tmp_path_factory.mktemp("ablate"))
    publish(study, CLAIM, Measured(result), out=None)
    ablation_figure(result, study.name, study.figures)
    return study.path


def test_the_command_leaves_everything_on_disk(tiny_soft, ablate):
    files = {str(path.relative_to(tiny_soft)) for path in tiny_soft.rglob("*") if path.is_file()}
    figure = {"figures/ablate_soft.png", "figures/ablate_soft.csv"}
    assert {"config.yaml", "metrics.json", "rows.csv", "summary.txt", "summary.svg", *figure} <= files
    metrics = json.loads((tiny_soft / "metrics.json").read_text())["ablate"]
    assert metrics["kind"] == "soft"
    assert len(metrics["rows"]) == len(rows_of(tiny_soft)) == 2 * 5
    assert set(COLUMNS) <= set(metrics["rows"][0])
    assert len(metrics["statements"]) == 4
    assert f"of {len(metrics['statements'])} statements hold" in metrics["answer"]
    assert "seen relMSE, best soft / hard" in (tiny_soft / "summary.txt").read_text()
    vn = [row for row in metrics["rows"] if row["arm"] == "vn"]
    assert len(vn) == 2
    assert all(row["relative_residual"] < 3e-7 for row in vn)
    assert all(row["relative_residual"] > 1e-3 for row in metrics["rows"] if row["arm"] != "vn")


def test_report_shows_the_study(tiny_soft, capsys):
    assert run(["report", str(tiny_soft)]) == 0
    out = capsys.readouterr().out
    assert "ablate-soft-2d-quick" in out
    assert "(None)" not in out
    assert "seen relMSE, best soft / hard" in out
    assert "below 1" in out


def test_an_answer_of_an_older_version_is_shown_as_it_was_stored(tiny_soft):
    """It had no statements: the sentence stands, and that no bound decided it."""
    stored = json.loads((tiny_soft / "metrics.json").read_text())["ablate"]
    del stored["statements"]
    *_, last = ablation_tables(read(AblationResult, {**stored, "answer": "It trades exactness for fit."}), "old")
    assert last.rows == [("It trades exactness for fit.",)]
    assert last.notes == (OLD_ANSWER,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sofd"], "did you mean soft"),
        (["toy_study:NOT_A_KIND"], "expected an AblationKind"),
        (["toy_study:MISSING"], "has no 'MISSING'"),
        (["no_such_module:KIND"], "no_such_module"),
        (["toy_study:NO_DIMENSIONS"], "lacks the world 'moon'"),
        (["toy_study:BAD_CELLS"], "'toy_study:BAD_CELLS': its cells raised KeyError: 'mine'"),
        (["toy_study:BAD_SETTINGS"], "its settings raised KeyError"),
        (["toy_study:BAD_STATEMENTS"], "its statements raised KeyError"),
        (["toy_study:NO_ROW"], "expected a subclass of AblationRow"),
        (["toy_study:NO_COMPUTE"], "expected a function that a module has by name"),
        (["soft", "--world", "cloud"], "field"),
        (["soft", "--world", "nowhere"], "field"),
        (["soft", "--dim", 4], "--dim"),
        (["augmentation", "--world", "pusht", "--dim", 3], "--dim"),
        (["soft", "--seeds", 0], "--seeds"),
        (["soft", "--seeds", 5_000_000_000], "--seeds: got 5000000000, expected how many seeds, at most 1000"),
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


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("BAD_WORK", "its work raised KeyError: 'mine'"),
        ("BAD_READ", "its statement 'largest error' raised KeyError: 'mine'"),
        ("BAD_TABLES", "its tables raised KeyError: 'mine'"),
        ("NO_TABLES", "its tables gave 3; expected a list of Table"),
        ("BAD_FIGURE", "its figure raised KeyError: 'mine'"),
    ],
)
def test_a_fault_of_a_user_s_kind_is_named_as_theirs(ablate, tmp_path, kind, words):
    status, _, err = ablate(f"toy_study:{kind}", "--dim", 2, "--jobs", 1, "--out", tmp_path, "--quiet")
    assert status == 2
    assert f"kind of ablation 'toy_study:{kind}': {words}" in err
    assert len(err.splitlines()) <= 2


def test_a_study_is_no_training(tiny_soft, capsys):
    assert run(["verify-equivariance", str(tiny_soft)]) == 2
    assert "is a study" in capsys.readouterr().err


# A kind of the user's own


def test_a_kind_in_a_file_of_the_user_s(ablate, tmp_path, capsys):
    """Its tables, figure and statements are shown as ours are, by `ablate` and by `report`."""
    status, out, err = ablate("toy_study:KIND", "--dim", 2, "--jobs", 1, "--out", tmp_path)
    study = tmp_path / "ablate-toy-2d"
    assert status == 1, "a network diverged"
    assert "failed: dim=2,width=2: seed 2" in err
    assert "| width 1 | 10 |" in out
    assert "| 2D | largest error | 0.583 [0.500, 0.667] | NO | at most 0.5 |" in out
    assert (study / "figures/ablate_toy.png").stat().st_size > 5000
    assert json.loads((study / "metrics.json").read_text())["ablate"]["kind"] == "toy_study:KIND"
    assert run(["report", str(study)]) == 0
    assert "a toy" in capsys.readouterr().out


def test_a_study_of_an_unknown_kind_shows_its_common_columns(tmp_path):
    """What a folder names is not imported: the rows are shown by arm and cell, and the statements as they are."""
    kind = toy(widths=(1, 2))
    study, result = ablation_study(kind, scope_of(kind, dim=2), tmp_path, called="elsewhere:KIND")
    table, answer = ablation_tables(result, study.name)
    assert [row[0] for row in table.rows] == ["mlp, width=1", "mlp, width=2"]
    assert "elsewhere:KIND" in table.notes[0]
    assert answer.rows == [("2D", "largest error", "0.583 [0.500, 0.667]", "NO", "at most 0.5")]
    assert "elsewhere" not in sys.modules
    publish(study, CLAIM, Measured(result), out=None)
    assert run(["report", str(study.path)]) == 0


def test_rows_that_lack_a_column_of_the_kind_are_refused(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class More(ToyRow):
        depth: int

    kind = replace(toy(widths=(1,)), row=More)
    with pytest.raises(ResultError, match=r"row 0: .*depth"):
        ablation_study(kind, scope_of(kind, dim=2), tmp_path)


def test_failed_cells_give_status_1(ablate, tmp_path):
    """Their errors are on stderr, the other cells in the CSV and the tables."""
    status, out, err = ablate("toy_study:FAILING", "--dim", 2, "--jobs", 1, "--out", tmp_path / "runs")
    assert status == 1
    assert "| open | at most 0.5 |" in out
    assert "failed: dim=2,width=3: ArithmeticError: seed 1 came to nothing" in err
    study = tmp_path / "runs" / "ablate-toy-2d"
    assert json.loads((study / "metrics.json").read_text())["ablate"]["answer"] == "open: 1 of 3 cells failed."
    assert len(rows_of(study)) == 4


def test_ctrl_c_keeps_finished_cells(tmp_path):
    command = [sys.executable, "-m", "equiwm", "ablate", "toy_study:SLOW", "--dim", "2", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parent)))}
    store = tmp_path / "ablate-toy-2d" / "cells" / "cells"
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
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


def test_a_measured_study_is_what_a_kind_is_shown():
    """Tables are made from rows alone: the same rows give the same tables."""
    kind = load_kind("scale")
    rows = [
        kind.row(
            arm=arm, cell=f"width={width}", dim=2, seed=seed, parameters=1, ood_factor=2.0 + seed, width=width, scenes=4
        )
        for arm, width in (("vn", None), ("mlp", 64))
        for seed in (0, 1)
    ]
    first, *_ = kind.tables(StudyRows("s", "field", (2,), rows))
    assert first.rows == [("VN, wedge alone", "2.50 [2.00, 3.00]"), ("MLP, width 64", "2.50 [2.00, 3.00]")]
