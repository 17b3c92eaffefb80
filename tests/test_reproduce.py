"""`equiwm reproduce`: what a claim needs, how it is decided, and that nothing is lost, hidden or computed twice."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import typer
import yaml
from small import TINY, shrunk
from toy_study import PLANE, plane

from equiwm.claims.closed_loop import paper as closed_loops
from equiwm.claims.reproduce import standard
from equiwm.claims.reproduce.costs import CellCosts, measured_costs, reference_study
from equiwm.claims.reproduce.plan import Batch, plan
from equiwm.claims.reproduce.registry import BESIDE, CLAIMS, PAPER, parse_claims, resolve_size
from equiwm.claims.reproduce.study import reproduce
from equiwm.claims.rollout import paper as rollouts
from equiwm.claims.statement import Bound, Estimate, above, at_least, at_most, below, near
from equiwm.claims.sweep import paper as sweeps
from equiwm.cli.app import app
from equiwm.cli.main import run
from equiwm.errors import ConfigError
from equiwm.grid import Cell
from equiwm.report.document import make_report
from equiwm.report.reproduce import reproduce_tables
from equiwm.runs import Run


def without_seconds(result):
    data = result.as_dict()
    for each in (*data["rows"], *data["claims"]):
        del each["seconds"]
    return data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of the plane, two seeds: its folder and its result. Read only."""
    size = replace(TINY, seeds=2)
    study, result = reproduce(plan([PLANE], size), size, tmp_path_factory.mktemp("made"), name="study")
    return study, result


@pytest.fixture
def equiwm(capsys):
    """Runs `equiwm reproduce`: gives status, stdout, stderr."""

    def call(*arguments):
        capsys.readouterr()
        status = run(["reproduce", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


# What a claim needs


@pytest.mark.parametrize("quick", [False, True])
def test_every_row_has_a_command_that_exists(quick):
    size = resolve_size(None, quick=quick)
    parts = plan(parse_claims(list(CLAIMS)), size)
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for part in parts:
        assert part.cells == sum(len(batch.cells) for batch in part.batches)
        assert (part.seconds, part.wall(2)) == (None, None), "nothing was measured, so nothing is said"
        for line in part.statements:
            by_hand = line.source.by_hand(size.seeds).replace("$run", "runs/x").replace("; done", "")
            for command in by_hand.split("; "):
                words = shlex.split(command.removeprefix("do "))
                if words[0] == "for":
                    continue
                options = {flag for option in known[words[1]].params for flag in option.opts}
                assert {word for word in words if word.startswith("--")} <= options, command


# What it is going to cost


def test_costs_are_those_of_cells_that_were_measured(made):
    """Another seed of a measured cell has an estimate; what was never computed, and the other size, have none."""
    study, result = made
    costs = measured_costs([study.path, study.path / "missing"], quick=False)
    size = replace(TINY, seeds=4)
    (part,) = plan([PLANE], size, costs=costs)
    spent = result.claims[0].seconds
    assert part.unknown == 0
    assert 1.5 * spent < part.seconds < 2.5 * spent  # four seeds, two of which are those
    assert part.wall(1) >= part.wall(2) > 0.0
    assert measured_costs([study.path], quick=True) == CellCosts()
    (other,) = plan([CLAIMS["rollout"]], size, costs=costs)
    assert (other.seconds, other.wall(1), other.unknown) == (None, None, other.cells)


@pytest.mark.skipif(not reference_study().is_dir(), reason="needs a checkout, which has the reference runs")
def test_the_reference_has_costs_for_a_full_reproduction():
    parts = plan(parse_claims(["A", "B", "C", "rollout", "augmentation"]), resolve_size(None, quick=False))
    costs = measured_costs([reference_study()], quick=False)
    priced = plan(
        parse_claims(["A", "B", "C", "rollout", "augmentation"]), resolve_size(None, quick=False), costs=costs
    )
    assert len(parts) == len(priced)
    assert [part.unknown for part in priced] == [0] * len(priced)


def test_a_cell_that_is_not_known_weighs_as_the_others():
    cells = [Cell("a", {}), Cell("b", {}), Cell("c", {})]
    batch = Batch(cells, [2.0, None, 4.0])
    assert [batch.weight(cell) for cell in cells] == [2.0, 3.0, 4.0]
    assert (batch.work, batch.wall(1)) == (9.0, None)
    assert Batch(cells[:1], [None]).weight(cells[0]) == 1.0


def test_runs_and_measurements_are_shared():
    """What several claims need belongs to the first of them; alone, a claim needs all of its own."""
    size = resolve_size(3, quick=False)
    together = plan(parse_claims(["a", "B", "b"]), size)
    (alone,) = plan(parse_claims(["B"]), size)
    assert [part.claim.name for part in together] == ["A", "B"]
    assert not together[1].train.cells
    names = [{cell.params["name"] for cell in part.train.cells} for part in (alone, together[0])]
    assert names[0] <= names[1]
    assert len(alone.train.cells) == 3 * len({line.source.training for line in alone.statements})  # type: ignore[union-attr]
    assert len({cell.key for part in together for batch in part.batches for cell in batch.cells}) == sum(
        part.cells for part in together
    )


# How a statement is decided


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (at_most(2.0), (1.0, 2.0), (1.0, 2.1)),
        (at_least(2.0), (2.0, 9.0), (1.9, 9.0)),
        (above(0.0), (1e-9, 1.0), (0.0, 1.0)),
        (below(0.0), (-1.0, -1e-9), (-1.0, 0.0)),
        (near(1.0, 0.1), (0.95, 1.05), (0.95, 1.2)),
    ],
)
def test_the_whole_range_has_to_lie_within_the_bound(bound: Bound, inside, outside):
    for (low, high), holds in ((inside, True), (outside, False)):
        assert bound.holds(Estimate((low + high) / 2, low, high, "seeds")) is holds
    assert not bound.holds(Estimate.of_seeds([1.0, None]))
    assert not bound.holds(Estimate.of_seeds([1.0, float("inf")]))


def test_a_closed_loop_is_read_over_seeds_and_tasks():
    """The interval resamples both: it is wider where seeds differ, and of one seed over tasks alone."""
    seen, turned = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])

    def results(*offs: float) -> list[SimpleNamespace]:
        return [SimpleNamespace(error_deg=np.stack([seen, turned + off, turned + off], 1).tolist()) for off in offs]

    alike, apart = closed_loops.difference(results(0.0, 0.0)), closed_loops.difference(results(-1.5, 1.5))
    assert (alike.median, apart.median) == (2.0, 2.0)
    assert (alike.low, alike.high) == (1.0, 3.0)
    assert apart.low < alike.low
    assert apart.high > alike.high
    over = closed_loops.ratio(results(-1.5, 1.5))
    assert over.median == 2.0
    assert over.low < 2.0 < over.high
    assert (apart.over, closed_loops.difference(results(0.0)).over) == ("seeds and tasks", "tasks")


@pytest.mark.parametrize(
    ("group", "labels", "expected"),
    [
        ("so2", ["0", "90", "100", "180", "270"], 4.0),  # 100 degrees is no bin of the paper's
        ("so3", ["identity", "z45", "z180", "x90", "y90", *(f"random {k + 1}" for k in range(9))], 12.0),
        ("se3", ["identity", "small translation", "rotation", "random 1"], 2.0),
    ],
)
def test_the_paper_s_bins_are_a_part_of_ours(group, labels, expected):
    """Bin k has k times the seen error."""
    bins = [
        SimpleNamespace(label=label, relmse=0.5 * k, drawn=label.startswith("random "))
        for k, label in enumerate(labels)
    ]
    assert sweeps.factor_on_paper_bins(SimpleNamespace(group=group, bins=bins, seen=0.5)) == expected


def test_success_of_turned_tasks_is_compared_over_seeds_and_tasks():
    """Two tasks and two turns: one of the turned episodes of the first task fails, in one of two seeds."""

    def results(*failed: bool) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(criteria={standard.SOURCE: SimpleNamespace(met=[[True, True, not fails], [True] * 3])})
            for fails in failed
        ]

    alone, both = standard.turned_minus_seen(results(True)), standard.turned_minus_seen(results(True, False))
    assert (alone.median, both.median) == (-0.25, -0.125)
    assert (alone.over, both.over) == ("tasks", "seeds and tasks")
    assert (both.low, both.high) == (-0.5, 0.0)
    assert standard.turned_minus_seen(results(False, False)).low == 0.0


def test_the_claims_beside_the_paper_say_so():
    """Each line of theirs is ours: the paper has no figure for it. A network that is not exact is asked to break."""
    size = resolve_size(None, quick=False)
    assert [claim.name for claim in parse_claims([])] == [claim.name for claim in PAPER]
    assert parse_claims(["standard", "baselines"]) == list(BESIDE)
    for claim in BESIDE:
        assert all(line.ours for line in claim.statements(size))
    residuals = {
        line.source.training.preset: line.bound
        for line in CLAIMS["baselines"].statements(size)
        if line.quantity == "relative residual, float32"
    }
    assert {preset for preset, bound in residuals.items() if bound.high is None} == {
        *("mlp-2d-forward", "plain-2d", "plain-3d"),
        *("augmented-2d-forward", "augmented-2d", "augmented-3d"),
    }
    assert all(bound.high == 1e-5 for bound in residuals.values() if bound.high is not None)


def test_a_rollout_that_diverges_does_not_hold():
    result = SimpleNamespace(ood_factor=[1.0, float("nan")], relative_residual=[1e-7, float("nan")])
    for line in rollouts.statements(TINY)[:2]:
        assert not line.bound.holds(line.read([result]))


# What a study holds


def test_a_study_is_whole(made):
    study, result = made
    assert not result.failed
    assert [row.setting for row in result.rows] == [line.setting for line in plane(TINY)]
    vn, mlp, beyond = result.rows  # the same sweeps, on the paper's bins and on every one
    assert vn.holds
    assert (vn.seeds, vn.runs) == (2, ["runs/vn-2d-forward", "runs/vn-2d-forward-s1"])
    assert min(vn.seconds, mlp.seconds) > 0
    assert result.claims[0].seconds == pytest.approx(vn.seconds + mlp.seconds)
    factors = []
    for seed, name in enumerate(vn.runs):
        own = Run.open(study.path / name)
        assert (own.header.seed, own.summary.exists()) == (seed, False)
        entry = own.metrics()["sweep_group"]
        assert (entry["group"], entry["dtype"], len(entry["bins"])) == ("so2", "float32", 4)
        assert (entry["baseline"]["preset"], entry["baseline"]["train_seed"]) == ("mlp-2d-forward", seed)
        factors.append(Run(study.path / mlp.runs[seed]).metrics()["sweep_group"]["ood_factor"])
        assert entry["baseline"]["ood_factor"] == factors[-1]
    assert (beyond.low, beyond.high, beyond.median) == (min(factors), max(factors), np.median(factors))
    config = yaml.safe_load(study.config_path.read_text())
    assert (config["kind"], config["study"]["claims"], config["study"]["seeds"]) == ("study", ["B"], [0, 1])
    places = [path for path in study.path.rglob("*") if path.suffix in (".json", ".yaml", ".csv")]
    assert places
    assert not [path for path in places if str(study.path.parent) in path.read_text()], "a study can be moved"


def test_a_row_is_what_its_command_makes(made, tmp_path, monkeypatch, capsys):
    study, result = made
    monkeypatch.chdir(tmp_path)
    train, measure = replace_loop(result.rows[1].command)
    assert run(shlex.split(train)[1:]) == run(shlex.split(measure)[1:]) == 0
    capsys.readouterr()
    paths = study.path / result.rows[1].runs[1], tmp_path / "runs/mlp-2d-forward-s1"
    ours, theirs = (Run(path).metrics()["sweep_group"] for path in paths)
    assert ours == theirs


def replace_loop(command: str) -> tuple[str, str]:
    """The two commands of a row for its second seed."""
    train, loop, body, done = command.split("; ")
    assert (loop, done) == ("for run in runs/mlp-2d-forward{,-s1}", "done")
    return train, body.removeprefix("do ").replace("$run", "runs/mlp-2d-forward-s1")


def test_the_report_of_a_study_begins_with_the_paper_and_shows_its_runs(made, tmp_path):
    original, result = made
    study = Run(shutil.copytree(original.path, tmp_path / "study"))
    study.record("reproduce", None, result.as_dict())
    report = make_report([study.path])
    assert [chapter.heading for chapter in report.chapters][:2] == ["The paper and these runs", "Training"]
    assert {run.preset for run in report.runs} == {None, "vn-2d-forward", "mlp-2d-forward"}
    assert report.chapters[0].tables[0].title.startswith("study: the paper and this run")


def test_a_study_does_not_depend_on_jobs_or_interruption(made, tmp_path):
    size = replace(TINY, seeds=2)
    parts = plan([PLANE], size)
    shares: list[tuple[int, int, float]] = []

    def stop(done, total, share):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(parts, size, tmp_path, name="study", progress=stop)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    _, result = reproduce(
        parts, size, moved, name="study", jobs=2, resume=True, progress=lambda *state: shares.append(state)
    )
    assert shares[0][:2] == (3, 8)
    assert shares[-1] == (8, 8, pytest.approx(1.0))
    assert without_seconds(result) == without_seconds(made[1])
    _, same = reproduce(parts, size, moved, name="study", resume=True)
    assert same.as_dict() == result.as_dict(), "nothing is computed twice"


def test_ablations_are_studies_of_their_own(tmp_path):
    claims = [CLAIMS[name] for name in ("augmentation", "scale", "soft")]
    study, result = reproduce(plan(claims, TINY, shrunk), TINY, tmp_path, name="study")
    assert not result.failed
    assert {row.claim for row in result.rows} == {"augmentation", "scale", "soft"}
    assert all(row.median is not None and row.seconds > 0 for row in result.rows)
    own = Run.open(study.path / "runs/ablate-soft", needs_checkpoint=False)
    assert own.metrics()["ablate"]["kind"] == "soft"
    assert [cost.claim for cost in result.claims if cost.seconds > 0] == ["augmentation", "scale", "soft"]


@pytest.mark.slow
def test_every_claim_runs(tmp_path):
    """All of them, hardly trained: what is exact at any weights holds."""
    size = TINY
    study, result = reproduce(plan(parse_claims([]), size, shrunk), size, tmp_path, name="study", jobs=2)
    assert not result.failed
    exact = [row for row in result.rows if "float64" in row.quantity or "max |d_i|" in row.quantity]
    assert len(exact) > 10
    assert all(row.holds for row in exact if "ordinary" not in row.setting)
    assert len(list(reproduce_tables(json.loads(json.dumps(result.as_dict())), "study"))) == 4
    assert (study.path / "runs/vn-3d-paper-optimizers/metrics.json").exists()


# What fails


def test_a_failed_training_is_named_once_and_leaves_its_rows_open(tmp_path):
    settings = {**TINY.settings, "mlp-2d-forward": (*TINY.settings[""], "training.lr=1e30")}
    broken = replace(TINY, settings=settings)
    parts = plan([PLANE], broken)
    _, result = reproduce(parts, broken, tmp_path, name="study")
    (line,) = result.failed
    assert line.startswith("B: mlp-2d-forward,seed=0: TrainingError: ")
    vn, mlp, _ = result.rows
    assert (vn.holds, mlp.holds, mlp.median, mlp.seeds) == (True, None, None, 0)
    assert not result.passed
    assert "open" in reproduce_tables(result, "study")[0].rows[1]
    _, again = reproduce(parts, broken, tmp_path, name="study", resume=True)
    assert again.failed == result.failed


def test_the_command(equiwm, tmp_path):
    status, out, err = equiwm("toy_study:PLANE", "--out", tmp_path, "--seeds", 1)
    entry = Run(tmp_path / "reproduce").metrics()["reproduce"]
    holds = [row["holds"] for row in entry["rows"]]
    assert status == (0 if all(holds) else 1)
    assert "estimated cost" in err
    assert out.count("| B1 |") == 2  # the table and the commands
    assert "**reproduce: the paper and this run (1 seed)**" in out
    assert (tmp_path / "reproduce/summary.txt").read_text().count("B1")
    assert (tmp_path / "reproduce/runs/vn-2d-forward/summary.txt").exists()
    assert "there is no estimate" in err
    status, again, err = equiwm("toy_study:PLANE", "--out", tmp_path, "--seeds", 1, "--resume")
    assert again == out
    _, _, err = equiwm("toy_study:PLANE", "--out", tmp_path, "--seeds", 1, "--name", "another")
    assert "there is no estimate" not in err
    assert "About 0." in err


def test_a_claim_that_does_not_hold_is_status_1(equiwm, tmp_path):
    status, out, err = equiwm("toy_study:IMPOSSIBLE", "--out", tmp_path, "--seeds", 1, "--quiet")
    assert status == 1
    assert "| NO |" in out
    assert err.splitlines()[-1].startswith("does not hold: B: VN (vn-2d-forward), 2D, full state")


def test_refusals_write_nothing(equiwm, tmp_path, snapshot):
    equiwm("toy_study:PLANE", "--out", tmp_path, "--seeds", 1, "--quiet")
    before = snapshot(tmp_path)
    for arguments, words in (
        (("Q",), "unknown claim 'Q'"),
        (("toy_study:KIND",), "expected a PaperClaim"),
        (("toy_study:PLANE", "--seeds", 0), "--seeds: got 0"),
        (("toy_study:PLANE", "--seeds", 1), "--resume"),
        (("toy_study:PLANE", "--seeds", 2, "--resume"), "study.seeds"),
        (("toy_study:PLANE", "--jobs", 0), "--jobs"),
        (("toy_study:PLANE", "--name", "a/b"), "--name"),
    ):
        status, out, err = equiwm(*arguments, "--out", tmp_path)
        assert (status, out) == (2, "")
        assert words in err
        assert len(err.splitlines()) <= 2, err
    assert snapshot(tmp_path) == before


def test_unknown_claims_get_the_nearest():
    with pytest.raises(ConfigError, match="did you mean rollout"):
        parse_claims(["rolout"])
    with pytest.raises(ConfigError, match="got 0, expected"):
        resolve_size(0, quick=True)
