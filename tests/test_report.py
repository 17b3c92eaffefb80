"""`equiwm report`: seeds and pairs, what is left out, and every form it is written in."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from made_runs import MLP, VN, Maker, closed_loop, sweep

from equiwm.claims.closed_loop.figures import closed_loop_figure, paths_figure, paths_frame
from equiwm.claims.closed_loop.result import (
    Paths,
    Recording,
)
from equiwm.claims.registry import find
from equiwm.claims.rollout.figure import rollout_figure
from equiwm.claims.sweep.figure import sweep_figure
from equiwm.cli.main import run as command
from equiwm.cli.output import print_tables
from equiwm.report.document import make_report, markdown
from equiwm.report.ood_figure import factor_rows
from equiwm.report.tidy import tidy_csv
from equiwm.runs import Run
from equiwm.stats import MedianRange
from equiwm.tables.table import Table, factor, interval, number


@pytest.fixture
def call(capsys) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = command(["report", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def rows_of(text: str, title: str) -> dict[str, dict[str, str]]:
    """A Markdown table by its title: first cell -> heading -> cell."""
    lines = text.split(f"**{title}", 1)[1].split("\n\n", 2)[1].splitlines()
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[2:]}


# Seeds and pairs


def test_seeds_are_summarised_and_compared_with_their_baseline(everything):
    text = markdown(make_report([everything]))
    rows = rows_of(text, "One-step error over the group: PushT, SO2, float32, 4 bins x 40 transitions")
    assert list(rows) == ["vn-2d", "mlp-2d"]
    assert rows["mlp-2d"]["OOD factor"] == "16.0 [12.0, 20.0]"
    assert rows["vn-2d"]["OOD factor"] == "1.00000"
    assert rows["vn-2d"]["seeds"] == "3"
    assert rows["vn-2d"]["baseline / model"] == "4.00"
    assert rows["mlp-2d"]["baseline / model"] == "–"
    trained = rows_of(text, "Trained models")
    assert trained["vn-2d"]["baseline"] == "mlp-2d"
    assert trained["mlp-2d"]["seeds"] == "0, 1, 2"
    assert trained["vn-2d"]["loss, last epoch"] == "0.200 [0.100, 0.300]"
    assert rows_of(text, "Relative composed residual: PushT")["vn-2d"]["verdict"] == "3 exact"
    diverged = rows_of(text, "OOD factor of H steps")["mlp-2d"]
    assert diverged["H = 4"] == "8.00 (1 of 3)"
    assert rows_of(text, "Closed loop: PushT")["mlp-2d"]["unseen / seen"] == "2.00"
    assert rows_of(text, "What could have driven")["replay"]["error (deg)"] == "0.100"
    study = markdown(make_report([everything / "ablate-augmentation"]))
    assert rows_of(study, "ablate-augmentation: field in 2D")["MLP, coverage 90"]["OOD / seen"] == "2.50 [2.00, 3.00]"


def test_one_seed_shows_the_interval_over_tasks(make):
    make("vn-2d").record("closed_loop", "equivariant/pose", closed_loop(2.0, VN))
    rows = rows_of(markdown(make_report([make.folder])), "Closed loop")
    assert rows["vn-2d"]["unseen / seen"] == "2.00 [0.500, 4.50]"
    assert rows["vn-2d"]["verdict"] == "not invariant"


def test_other_settings_are_other_rows(make):
    make("vn-2d")
    make("vn-2d", 1)
    make("vn-2d", 2, "training.epochs=7")
    make("vn-2d", 0, "training.epochs=9", name="long")
    settings = {setting.label: setting.seeds for setting in make_report([make.folder]).settings}
    assert settings == {"vn-2d": (0, 1), "vn-2d (training.epochs=7)": (2,), "long (vn-2d)": (0,)}


def test_other_probes_are_other_tables(make):
    make("vn-2d").record("sweep_group", "so2/float32", sweep(1.0, VN, bins=4))
    make("vn-2d", 1).record("sweep_group", "so2/float32", sweep(1.0, VN, bins=6))
    titles = [table.title for chapter in make_report([make.folder]).chapters for table in chapter.tables]
    assert [title.split(", ")[-1] for title in titles if title.startswith("One-step")] == [
        "4 bins x 40 transitions",
        "6 bins x 40 transitions",
    ]


def test_a_baseline_is_known_from_its_models_results(make):
    shutil.move(make.pair(3).path, make.folder.parent / "alone")
    report = make_report([make.folder.parent / "alone"])
    by_label = {setting.label: setting for setting in report.settings}
    assert by_label["mlp-2d"].is_baseline
    assert by_label["mlp-2d"].runs == ()
    assert by_label["mlp-2d"].seeds == (3,)
    assert by_label["alone (vn-2d)"].baseline == "mlp-2d"


def test_a_baselines_own_measurement_counts_once(make):
    make.pair(0, factor=16.0)
    Run(make.folder / "mlp-2d").record("sweep_group", "so2/float32", sweep(9.0, MLP))
    rows = rows_of(markdown(make_report([make.folder])), "One-step")
    assert rows["mlp-2d"]["seeds"] == "1"
    assert rows["mlp-2d"]["OOD factor"] == "9.00"


def test_what_a_run_was_measured_beside_goes_before_its_presets_baseline(make):
    make.pair()
    other = make("mlp-2d", 0, "training.epochs=99", name="mlp-2d-long")
    beside = {"name": other.name, "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
    make("vn-2d-o2").record("sweep_group", "so2/float32", sweep(1.0, VN), {**sweep(30.0, MLP), **beside})
    baselines = {setting.label: setting.baseline for setting in make_report([make.folder]).settings}
    assert baselines == {"vn-2d": "mlp-2d", "mlp-2d": None, "vn-2d-o2": "mlp-2d-long", "mlp-2d-long": None}


# What is left out


def test_what_cannot_be_used_is_named_and_the_rest_is_shown(make, call, snapshot):
    make.pair()
    (make("vn-2d", 1).path / "metrics.json").unlink()
    interrupted = make("vn-2d", 2)
    interrupted.resume_point.write_bytes(b"")
    (make("vn-2d", 3).path / "metrics.json").write_text('{"train": ')
    (make("vn-2d", 4).path / "metrics.json").write_text('{"train": {"parameters": "many"}}')
    part = make("vn-2d", 5)
    part.record("sweep_group", "so2/float32", {"group": "so2"})
    (make("vn-2d", 6).path / "config.yaml").write_text("kind: [")
    (make("vn-2d", 7).path / "config.yaml").write_text("name: not ours\n")
    Run.create(make.folder, "bare study", {"study": {}}, seed=0, kind="study", command=["equiwm", "ablate", "soft"])
    (make.folder / "evaluation").mkdir()
    (make.folder / "evaluation" / "metrics.json").write_text("{}")
    odd = make.study("odd study")
    odd.record("ablate", None, {"kind": "none", "rows": []})
    (make.folder / "no run").mkdir()
    (make.folder / "file.txt").write_text("")
    before = snapshot(make.folder)
    status, out, err = call(make.folder)
    assert status == 0
    assert snapshot(make.folder) == before
    names = ("vn-2d-s1", "vn-2d-s2", "vn-2d-s3", "vn-2d-s4", "vn-2d-s5", "vn-2d-s6", "vn-2d-s7")
    for name in (*names, "bare study", "evaluation", "odd study"):
        assert len(re.findall(rf"^skipped: .*{name}/?\b", err, re.MULTILINE)) == 1, (name, err)
    assert len(err.splitlines()) == 10
    assert "--resume" in next(line for line in err.splitlines() if "vn-2d-s2" in line)
    assert "sweep_group so2/float32" in next(line for line in err.splitlines() if "vn-2d-s5" in line)
    assert rows_of(out, "Trained models")["vn-2d"]["seeds"] == "0, 5"
    assert rows_of(out, "One-step")["vn-2d"]["seeds"] == "1"
    printed = json.loads(call(make.folder, "--json")[1])
    assert [run["run"] for run in printed["runs"]] == ["mlp-2d", "odd study", "vn-2d", "vn-2d-s4", "vn-2d-s5"]
    assert len(printed["skipped"]) == 10


def test_a_seed_counts_once(make, tmp_path):
    make("vn-2d")
    shutil.copytree(make.folder, tmp_path / "again")
    report = make_report([make.folder, tmp_path / "again", make.folder / "vn-2d"])
    assert [setting.seeds for setting in report.settings] == [(0,)]
    assert len(report.settings[0].runs) == 1
    assert [line.endswith("left out.") for line in report.skipped] == [True]


def test_a_study_is_opened_where_it_is_named_and_speaks_for_itself_among_others(make):
    study = make.study("study")
    Maker(study.path / "runs").pair()
    names = [[run.name for run in make_report([place]).runs] for place in (study.path, make.folder)]
    assert names == [["study", "mlp-2d", "vn-2d"], ["study"]]


def test_a_run_without_results_is_listed(make, call):
    (make("vn-2d").path / "metrics.json").write_text("{}")
    (make.folder / "vn-2d" / "checkpoint.pt").write_bytes(b"")
    status, out, err = call(make.folder / "vn-2d")
    assert (status, err) == (0, "")
    assert rows_of(out, "Trained models")["vn-2d"]["parameters"] == "–"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([""], "holds no run"),
        (["nothing"], "does not exist"),
        (["file"], "it is a file"),
        (["", "--json", "--format", "csv"], "not both"),
        (["run", "--out", "missing/report.md"], "cannot write"),
        (["run", "--format", "pdf"], "pdf"),
    ],
)
def test_the_command_refuses(call, tmp_path, arguments, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    Maker(tmp_path)("vn-2d", name="run")
    status, out, err = call(arguments[0] or "empty", *arguments[1:])
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) <= 2


# Forms


class Page(HTMLParser):
    """Holds tags that must be closed, and everything that a page refers to."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.references += [value for key, value in attrs if key in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_one_whole_file(everything, call, tmp_path):
    make = Maker(everything)
    make("mlp-2d", name="<b>&amp;")
    page_file = tmp_path / "report.html"
    status, out, err = call(everything, "--format", "html", "--out", page_file)
    assert (status, out, err) == (0, "", f"report: {page_file}\n")
    text = page_file.read_text()
    page = Page(text)
    assert page.open == []
    assert not {"link", "iframe", "object"} & set(page.tags)
    inside = r"#(c\d|tables)$|data:image/(svg\+xml|png);base64,"
    assert all(re.match(inside, reference) for reference in page.references)
    assert not re.search(r"url\(|@import|https?:", text)
    figures = [reference for reference in page.references if reference.startswith("data:")]
    assert len(figures) == 1 + 3  # overall; sweep, rollout and closed loop of the first seed
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "&lt;b&gt;&amp;amp; (mlp-2d)" in text
    assert page.tags.count("table") == sum(len(chapter.tables) for chapter in make_report([everything]).chapters)


def test_csv_reads_back(everything):
    frame = pd.read_csv(io.StringIO(tidy_csv(make_report([everything]))))
    assert frame["value"].dtype == float
    worst = frame[(frame["quantity"] == "ood_factor") & (frame["claim"] == "sweep_group")]
    medians = worst.groupby("setting")["value"].median().to_dict()
    assert medians == {"mlp-2d": 16.0, "vn-2d": 1.0}
    assert sorted(worst[worst["setting"] == "mlp-2d"]["seed"]) == [0, 1, 2]
    assert set(worst[worst["setting"] == "vn-2d"]["baseline"]) == {"mlp-2d"}
    assert dict(zip(worst["setting"], worst["parameters"], strict=True)) == {"vn-2d": VN, "mlp-2d": MLP}
    diverged = frame[(frame["quantity"] == "ood_factor") & (frame["at"] == "4") & (frame["setting"] == "mlp-2d")]
    assert diverged.sort_values("seed")["value"].isna().tolist() == [False, True, True]
    assert set(frame[frame["claim"] == "ablate"]["setting"]) == {"ablate-augmentation: vn", "ablate-augmentation: mlp"}


def test_the_same_runs_give_the_same_bytes(everything, call, tmp_path, monkeypatch):
    written = []
    for place in ("one", "two"):
        shutil.copytree(everything, tmp_path / place / "runs")
        monkeypatch.chdir(tmp_path / place)  # commands that open a study name its folder
        for form in ("markdown", "html", "latex", "csv"):
            assert call("runs", "--format", form, "--out", form)[0] == 0
        assert call("runs", "--figures", "figures")[0] == 0
        files = [path for path in sorted((tmp_path / place).rglob("*")) if path.is_file()]
        written.append({path.relative_to(tmp_path / place): path.read_bytes() for path in files})
    assert written[0].keys() == written[1].keys()
    assert [name for name, content in written[0].items() if content != written[1][name]] == []


def test_tables_need_neither_torch_nor_what_draws(everything):
    """Those of trainings do without pandas too; those of ablations are made with it, where they are opened."""
    for paths, drawn in (([everything], "[]\n"), ([everything / "ablate-augmentation"], "['pandas']\n")):
        words = ["report", *map(str, paths)]
        code = (
            f"import sys\nfrom equiwm.cli.main import run\nassert run({words!r}) == 0\n"
            "print(sorted({'torch', 'matplotlib', 'pandas', 'scipy', 'pymunk'} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert done.stderr == drawn
        assert done.stdout == markdown(make_report(paths))


def test_figures_in_tables():
    assert interval(MedianRange(2.0, 1.0, 3.0, 3)) == "2.00 [1.00, 3.00]"
    assert interval(MedianRange(1.0, 1.0 - 1e-9, 1.0 + 1e-9, 3), factor) == "1.00000"
    assert interval(None) == "–"
    assert [factor(value) for value in (1.0000004, 16.234, None)] == ["1.00000", "16.2", "–"]
    assert [number(value, 2) for value in (562.0, 0.5, 1.5e6)] == ["560", "0.50", "1.5e+06"]


@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_terminal_never_loses_a_figure(width):
    from rich.console import Console

    row = ("a name", "0.0374 [0.0366, 0.0375]", "1.79e-07")
    table = Table("title", ("model", "a long heading of many words", "after"), [row])
    console = Console(file=io.StringIO(), width=width)
    for part in table.fitted(width):
        console.print(part.rich(width), crop=False)
    printed = console.file.getvalue()
    assert all(word in printed for cell in row for word in cell.split())
    assert all(len(line) <= width for line in printed.splitlines())


REFERENCE = Path(__file__).resolve().parents[1] / "runs" / "reference"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_wide_table_is_several_on_a_narrow_terminal(width, monkeypatch):
    """No line is wider than the terminal, no word is cut, and every part says which row a figure is of."""
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"model-{k}" for k in range(3)]
    headings = ("model", *(f"quantity number {k}" for k in range(12)))
    rows = [(name, *(f"{k}.{j}234e-07 [1.1, 9.9]" for j in range(12))) for k, name in enumerate(names)]
    table = Table("a wide table", headings, rows, ("a note of the table",))
    stream = Terminal()
    print_tables([table], stream)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert all(len(line) <= width for line in printed.splitlines())
    words = printed.split()
    parts = printed.count("a wide table")
    assert parts == printed.count("(continued)") + 1 == len(table.fitted(width)) > 1
    assert [words.count(name) for name in names] == [parts] * 3
    assert {row[j].split()[0] for row in rows for j in range(1, 13)} <= set(words)
    assert printed.count("quantity") == 12
    assert printed.count("a note of the table") == 1


def test_a_table_that_fits_is_one_and_a_name_that_never_fits_is_whole():
    table = Table("title", ("model", "error"), [("a" * 90, "1.5")])
    assert table.fitted(80) == [table]
    assert Table("title", ("model",), []).fitted(80)[0].columns == ("model",)
    stream = Terminal()
    print_tables([table], stream)
    assert "a" * 90 in stream.getvalue()


def test_every_table_of_the_reference_fits_on_80_columns(monkeypatch):
    if not REFERENCE.is_dir():
        pytest.skip("needs a checkout, which has the reference runs")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    tables = [table for chapter in make_report([REFERENCE]).chapters for table in chapter.tables]
    print_tables(tables, stream)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert all(len(line) <= 80 for line in printed.splitlines())
    pieces = set(printed.split())
    assert all(word in pieces for table in tables for row in table.rows for cell in row for word in cell.split())


# Figures


def test_figures_are_redrawn_without_a_checkpoint(everything, call, tmp_path):
    """As the commands drew them, byte for byte, from a copy that holds nothing but text."""
    run = Run(everything / "vn-2d")
    metrics = run.metrics()
    track = [[[[x + k, 2.0 * k] for k in range(9)] for x in (0.0, 1.0)]] * 2
    goal = [[[0.5 * k, 1.0 * k] for k in range(9)]] * 2
    parts = ["agent", "bar", "bar", "bar", "bar", "stem", "stem", "stem", "stem"]
    paths = paths_frame({"vn-2d": Recording(3, False, Paths(parts, track, goal, track, goal))}, ["seen", "90°"])
    sides = {name: find(name).read(metrics[name]).sides(run.name) for name in ("sweep_group", "rollout", "closed_loop")}
    drawn = [
        sweep_figure(sides["sweep_group"], run.figures),
        rollout_figure(sides["rollout"], run.figures),
        closed_loop_figure(sides["closed_loop"], run.figures, "closed_loop_equivariant_pose"),
        paths_figure(paths, run.figures, "closed_loop_equivariant_pose_paths"),
    ]
    copy = tmp_path / "copy"
    shutil.copytree(everything, copy, ignore=shutil.ignore_patterns("*.pt", "*.png", "*.svg"))
    status, _, err = call(copy, "--figures", tmp_path / "figures")
    assert status == 0
    # three seeds x three commands, the paths, the ablation, the figure of them all
    assert f"figures: 12 in {tmp_path / 'figures'}" in err
    for png in drawn:
        for kind in ("csv", "svg", "png"):
            again = tmp_path / "figures" / "vn-2d" / f"{png.stem}.{kind}"
            assert again.read_bytes() == png.with_suffix(f".{kind}").read_bytes()
    for name in ("ood_factors", "ablate-augmentation/ablate_augmentation"):
        assert all((tmp_path / "figures" / f"{name}.{kind}").is_file() for kind in ("csv", "svg", "png"))


def test_a_result_that_cannot_be_drawn_is_named(make, call, tmp_path):
    model = make.pair()
    model.record("rollout", "so2/float32", {"group": "so2"})
    status, _, err = call(make.folder, "--figures", tmp_path / "figures")
    assert status == 0
    assert len(re.findall(r"rollout so2/float32: Object missing required field dtype", err)) == 1
    assert (tmp_path / "figures" / "vn-2d" / "sweep_so2_float32.png").is_file()


def test_factors_side_by_side(everything):
    model = Run(everything / "vn-2d")
    beside = {"name": "mlp-2d", "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
    larger = [sweep(3.0, size, group="o2", excess=True) for size in (VN, MLP)]
    model.record("sweep_group", "o2/float32", larger[0], {**larger[1], **beside})
    frame = pd.DataFrame(factor_rows(make_report([everything])))
    tests = [
        "PushT, SO2, one step",
        "PushT, SO2, rollout of 4 steps",
        "PushT, closed loop, equivariant planner, goal pose",
    ]
    assert list(dict.fromkeys(frame["test"])) == tests
    medians = frame.assign(factor=pd.to_numeric(frame["factor"])).groupby(["test", "role"])["factor"].median()
    assert medians.unstack()[["model", "baseline"]].to_numpy().tolist() == [[1.0, 16.0], [1.0, 8.0], [1.0, 2.0]]
    assert set(frame["pair"]) == {"vn-2d / mlp-2d"}
    assert len(frame) == 3 * 2 * 3


def test_commands_lead_to_the_report(copy_run, call, tmp_path):
    """With what the commands themselves write: a real sweep, read and drawn again."""
    model, baseline = copy_run(), copy_run("mlp-2d")
    sweeping = ["sweep-group", str(model), "--baseline", str(baseline), "--bins", "4", "--transitions", "40", "-q"]
    assert command(sweeping) == 0
    for path in (model, baseline):
        (path / "checkpoint.pt").unlink()
    status, out, err = call(model.parent, "--figures", tmp_path / "figures")
    assert status == 0
    assert "skipped" not in err
    assert list(rows_of(out, "One-step error")) == ["vn-2d", "mlp-2d"]
    again = tmp_path / "figures" / "vn-2d" / "sweep_so2_float32.png"
    assert again.read_bytes() == (model / "figures" / "sweep_so2_float32.png").read_bytes()


# What it writes to, and what it reads of others


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml", "checkpoint.pt", "figures", "link"])
def test_the_report_takes_no_place_but_a_document_s(make, call, snapshot, name):
    make.pair()
    run = Run(make.folder / "vn-2d")
    run.checkpoint.write_bytes(b"weights")
    run.figures.mkdir(exist_ok=True)
    (run.path / "link").symlink_to("metrics.json")
    before = snapshot(run.path)
    status, _, err = call(make.folder, "--out", run.path / name)
    assert status == 2
    assert str(run.path / name) in err
    assert len(err.splitlines()) == 1
    assert snapshot(run.path) == before
    assert (run.path / "link").is_symlink()


def test_the_report_goes_through_a_device(make, call):
    make.pair()
    assert call(make.folder, "--out", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()


def test_a_page_holds_nothing_that_a_link_points_at(everything, call, tmp_path):
    secret = tmp_path / "secret.svg"
    secret.write_text("<svg>SECRET</svg>")
    figures = everything / "vn-2d" / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir()
    for kind in ("svg", "png"):
        (figures / f"sweep_so2_float32.{kind}").symlink_to(secret)
    study = everything / "ablate-augmentation"
    (study / "figures").symlink_to(tmp_path)
    (tmp_path / "ablate_augmentation.svg").write_text("<svg>SECRET</svg>")
    page = tmp_path / "page.html"
    assert call(everything, study, "--format", "html", "--out", page)[0] == 0
    assert base64.b64encode(secret.read_bytes()).decode() not in page.read_text()
    assert page.read_text().count("<figure ") > 2


def test_an_unwritable_folder_of_figures_is_one_line(everything, call, tmp_path):
    (tmp_path / "file").write_text("mine")
    status, _, err = call(everything, "--figures", tmp_path / "file")
    assert status == 2
    assert f"cannot make {tmp_path / 'file'}" in err
    assert "Traceback" not in err
    assert (tmp_path / "file").read_text() == "mine"
