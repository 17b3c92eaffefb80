"""Claims as values: one from outside the package is measured, shown and judged like ours; faults are named by whose
they are; and a command prints its own result, whoever else writes."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import outside_claim
import pandas as pd
import pytest
from outside_claim import CLAIM, Drift

from equiwm.claims import registry
from equiwm.claims.claim import SHARED_OPTIONS, Claim, Option
from equiwm.claims.view import View
from equiwm.cli.main import run
from equiwm.cli.measure import measuring_command
from equiwm.cli.output import publish
from equiwm.results.measured import Measured
from equiwm.results.result import Result
from equiwm.runs import Run
from equiwm.tables.columns import Column

NAME = "outside_claim:CLAIM"


@pytest.fixture
def call(capsys) -> Callable[..., tuple[int, str, str]]:
    def command(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


# A claim from outside


def test_it_is_measured_shown_and_judged(call, copy_run, tmp_path):
    model, baseline = copy_run(), copy_run("mlp-2d")
    status, out, err = call("measure", NAME, model, "--samples", "4", "--baseline", baseline, "--expect-invariant")
    assert status == 0, err
    assert "**vn-2d: How far a step goes**" in out
    assert "| quantity | vn-2d | mlp-2d |" in out
    assert [line.split(" | ")[0] for line in out.splitlines()[-3:]] == [
        "| worst drift",
        "| drift, first",
        "| drift, mean",
    ]
    frame = pd.read_csv(model / "figures" / "drift.csv")
    assert list(frame["model"]) == ["vn-2d", "mlp-2d"]
    entry = Run(model).metrics()["drift"]
    assert entry["worst"] == frame["worst"][0]
    assert entry["checkpoint_sha256"] == Run(model).checkpoint_sha256()
    assert "How far a step goes" in (model / "summary.txt").read_text()
    printed = json.loads(call("measure", NAME, model, "--samples", "4", "--json")[1])
    assert printed == {key: value for key, value in entry.items() if key != "baseline"}


def test_reports_show_it_where_they_are_pointed_at_it(call, copy_run, tmp_path):
    model, baseline = copy_run(), copy_run("mlp-2d")
    assert call("measure", NAME, model, "--baseline", baseline)[0] == 0
    assert "How far a step goes" not in call("report", model.parent)[1]
    status, out, _ = call("report", model.parent, "--claim", NAME, "--figures", tmp_path / "figures")
    assert status == 0
    assert "## How far a step goes" in out
    assert "| mlp-2d | first | 1 |" in out
    assert (tmp_path / "figures" / "vn-2d" / "drift.png").is_file()
    assert set(pd.read_csv(tmp_path / "figures" / "ood_factors.csv")["test"]) == {"PushT, a step"}
    csv = call("report", model.parent, "--claim", NAME, "--format", "csv")[1]
    assert sum(",drift," in line for line in csv.splitlines()) == 2 * 3


def test_bounds_decide_the_exit_status(call, copy_run, monkeypatch):
    path = copy_run()
    monkeypatch.setattr(outside_claim, "STRICT", replace(CLAIM, bounds=lambda result: "too far."), raising=False)
    assert call("measure", "outside_claim:STRICT", path)[0] == 0
    status, _, err = call("measure", "outside_claim:STRICT", path, "--expect-invariant")
    assert status == 1
    assert err.endswith("too far.\n")


def test_a_bound_that_always_decides_says_why(call, copy_run, monkeypatch):
    always = replace(CLAIM, bounds=lambda result: "too far.", expectation="")
    monkeypatch.setattr(outside_claim, "ALWAYS", always, raising=False)
    status, out, err = call("measure", "outside_claim:ALWAYS", copy_run())
    assert (status, err.splitlines()[-1]) == (1, "too far.")
    assert "worst drift" in out


def test_only_a_folder_that_a_claim_asked_for_is_removed(call, copy_run, tmp_path):
    """A folder of the claim's name may be anybody's, in `--out` above all."""
    mine = tmp_path / "drift"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    assert call("measure", NAME, copy_run(), "--out", tmp_path)[0] == 0
    assert (mine / "notes.txt").read_text() == "mine"


def test_the_options_that_all_have_are_the_commands():
    signature = inspect.signature(measuring_command(replace(CLAIM, options=())))
    assert set(signature.parameters) == set(SHARED_OPTIONS)


def test_an_installed_claim_is_found_by_name(call, copy_run, monkeypatch):
    point = metadata.EntryPoint("drift", NAME, "equiwm.claims")
    original = metadata.entry_points
    found = {"equiwm.claims": [point]}
    monkeypatch.setattr(metadata, "entry_points", lambda group: found.get(group) or original(group=group))
    path = copy_run()
    assert call("measure", "drift", path)[0] == 0
    assert "## How far a step goes" in call("report", path)[1]


def test_help_lists_its_options(call):
    assert "how many transitions" in call("measure", NAME, "--help")[1]
    assert "What follows the claim are its options" in call("measure", "--help")[1]


@dataclass(frozen=True)
class Other(Result):
    value: float


def _raise(*_, **__):
    raise KeyError("lost")


def shown_by(column: Column[Drift]) -> Claim[Drift]:
    return replace(CLAIM, view=View("x", columns=(column,)))


WRONG = {
    "no field of a column": (
        replace(CLAIM, view=View("x", columns=(Column("best", "best"),))),
        "column 'best': Drift has no field",
    ),
    "no value of a column": (
        shown_by(Column("all", "all", lambda result: [result.worst])),
        "column 'all': got list from Drift, expected a number",
    ),
    "a column that raises": (
        replace(CLAIM, view=View("x", columns=(Column("a", "a", _raise),))),
        "its columns raised KeyError",
    ),
    "another result": (replace(CLAIM, measure=lambda subject, samples: Other(1.0)), "gave Other, expected Drift"),
    "no result": (replace(CLAIM, measure=lambda subject, samples: None), "gave NoneType, expected Drift"),
    "a wrong field": (
        replace(CLAIM, measure=lambda subject, samples: Drift("x", float("nan"), {})),
        "Drift does not hold what it declares: Expected float, got null - at $.worst",
    ),
    "a measure that raises": (replace(CLAIM, measure=_raise), "its measure raised KeyError"),
    "a table that raises": (replace(CLAIM, view=replace(CLAIM.shown, tables=_raise)), "its table raised KeyError"),
    "a table that is none": (
        replace(CLAIM, view=replace(CLAIM.shown, tables=lambda measured, name: 3)),
        "its table raised TypeError: expected a list of Table, got 3",
    ),
    "a measure that is not there": (replace(CLAIM, measure="no_such_module:measure"), "its measure raised"),
    "bounds that raise": (replace(CLAIM, bounds=_raise, expectation=""), "its bounds raised KeyError"),
    "a name that leaves the run": (replace(CLAIM, name="../drift"), "its name is '../drift'"),
    "no name": (replace(CLAIM, name=""), "its name is ''"),
    "the name of a folder of the run": (replace(CLAIM, name="figures"), "its name is 'figures'"),
    "an option that all have": (replace(CLAIM, options=(Option("seed", int, 1),)), "every claim has one of that name"),
    "an option twice": (replace(CLAIM, options=(Option("a", int, 1), Option("a", int, 2))), "it has two"),
    "an option with a dash": (replace(CLAIM, options=(Option("a-b", int, 1),)), "its option 'a-b'"),
    "a name of ours": (replace(CLAIM, name="rollout"), "the name 'rollout' is that of a claim of equiwm"),
    "no claim": ("text", "got str, expected an equiwm.claims.claim.Claim"),
    "no measure": (replace(CLAIM, measure=""), "is not measured by a command"),
    "a view that is not there": (replace(CLAIM, view="outside_claim:NOTHING"), "NOTHING"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_claim_is_refused_and_nothing_written(call, copy_run, snapshot, monkeypatch, case):
    claim, words = WRONG[case]
    monkeypatch.setattr(outside_claim, "BAD", claim, raising=False)
    path = copy_run()
    before = snapshot(path)
    status, out, err = call("measure", "outside_claim:BAD", path)
    assert (status, out) == (2, "")
    assert words in err
    assert "outside_claim:BAD" in err
    assert len(err.splitlines()) <= 2
    assert snapshot(path) == before


@pytest.mark.parametrize("name", ["nothing", "no_such_module:CLAIM", "outside_claim:NOTHING", "outside_claim:"])
def test_unknown_claims(call, copy_run, name):
    status, _, err = call("measure", name, copy_run())
    assert status == 2
    assert name in err
    assert len(err.splitlines()) <= 2


def test_every_claim_has_a_name_and_a_view_of_its_own():
    claims = registry.built_in()
    assert len({(claim.name, claim.study) for claim in claims}) == len(claims)
    for claim in claims:
        assert isinstance(claim.shown, View)
        assert issubclass(claim.result_type, Result)
        assert len({column.name for column in claim.shown.columns}) == len(claim.shown.columns)
        assert bool(claim.measure) == bool(claim.command)


# Whose fault it is


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("equiwm.claims.sweep.view.asked", ()),
        ("equiwm.results.door.read", ()),
        ("equiwm.claims.sweep.figure.sweep_frame", ("--figures", "figures")),
        ("equiwm.report.ood_figure.factor_rows", ("--format", "html")),
    ],
)
@pytest.mark.parametrize("fault", [TypeError, KeyError, AttributeError, ValueError, ImportError])
def test_a_bug_of_ours_is_exit_3(call, swept, tmp_path, monkeypatch, target, arguments, fault):
    """In a reader, a table, a figure: never taken for a damaged file."""

    def broken(*_, **__):
        raise fault("planted")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(target, broken)
    if target.endswith(".asked"):
        from equiwm.claims.sweep import view

        monkeypatch.setattr(view, "VIEW", replace(view.VIEW, asked=broken))
    status, _, err = call("report", swept, *arguments)
    assert status == 3
    assert "planted" in err
    assert "damaged" not in err


@pytest.fixture(scope="module")
def swept(trained, tmp_path_factory) -> Path:
    """A run with a sweep, to read only."""
    import shutil

    folder = tmp_path_factory.mktemp("swept")
    for preset in ("vn-2d", "mlp-2d"):
        shutil.copytree(trained / preset, folder / preset)
    arguments = ["sweep-group", str(folder / "vn-2d"), "--baseline", str(folder / "mlp-2d"), "--bins", "4"]
    assert run([*arguments, "--transitions", "40", "-q"]) == 0
    return folder


DAMAGED = {
    "a word for a number": (
        lambda entry: entry["bins"][3].update(relmse="x"),
        "Expected float, got str - at $.bins[3].relmse",
    ),
    "a number that is gone": (
        lambda entry: entry["bins"][3].pop("relmse"),
        "Object missing required field relmse - at $.bins[3]",
    ),
    "another overlap": (
        lambda entry: entry["bins"][0].update(overlap="yes"),
        "Invalid enum value 'yes' - at $.bins[0].overlap",
    ),
    "no bins": (lambda entry: entry.update(bins=None), "Expected array, got null - at $.bins"),
    "a damaged baseline": (
        lambda entry: entry["baseline"].update(seen="x"),
        "baseline: Expected float, got str - at $.seen",
    ),
    "a later schema": (lambda entry: entry.update(schema=99), "schema 99, expected at most 2; install a later equiwm"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("arguments", [(), ("--format", "csv"), ("--format", "latex")])
def test_a_damaged_result_is_named_and_skipped(call, swept, tmp_path, case, arguments):
    import shutil

    damage, words = DAMAGED[case]
    folder = Path(shutil.copytree(swept, tmp_path / "runs"))
    path = folder / "vn-2d" / "metrics.json"
    data = json.loads(path.read_text())
    damage(data["sweep_group"]["variants"]["so2/float32"])
    path.write_text(json.dumps(data))
    status, out, err = call("report", folder, *arguments)
    assert status == 0
    assert "vn-2d" in out
    assert [line for line in err.splitlines() if words in line] == err.splitlines()
    assert len(err.splitlines()) == 1
    assert "sweep_group so2/float32" in err


# A command prints its own result


def test_what_is_printed_is_what_was_written_and_not_what_stands_there_since(call, copy_run, monkeypatch):
    """Another process overwrites the section between writing and printing."""
    path = copy_run()
    record = Run.record

    def and_another(self, section, variant, result, *arguments, **options):
        record(self, section, variant, result, *arguments, **options)
        record(self, section, "so2/float64", {**result, "dtype": "float64", "tolerance": 1e-10}, *arguments, **options)

    monkeypatch.setattr(Run, "record", and_another)
    printed = json.loads(call("verify-equivariance", path, "--samples", "2", "--json")[1])
    assert printed["dtype"] == "float32"
    assert Run(path).metrics()["verify_equivariance"]["dtype"] == "float64"


def test_publishing_gives_what_was_written(tmp_path, copy_run):
    path = copy_run()
    result = Drift("float32", 1.0, {"first": float("inf")})
    entry = publish(Run(path), replace(CLAIM, source=NAME), Measured(result), out=None)
    assert entry == Run(path).metrics()["drift"]
    assert entry["each"] == {"first": None}


@pytest.mark.slow
def test_concurrent_commands_print_their_own(trained, tmp_path):
    """Eight runs of four at once: 32 of 32 print the numbers that they measured."""
    import shutil

    wrong, command = [], [sys.executable, "-m", "equiwm", "verify-equivariance"]
    for round_ in range(8):
        path = shutil.copytree(trained / "vn-2d", tmp_path / f"run{round_}")
        asked = [("float32", "4"), ("float64", "4"), ("float32", "6"), ("float64", "6")]
        started = [
            subprocess.Popen(
                [*command, path, "--dtype", dtype, "--samples", samples, "--json", "-q"], stdout=subprocess.PIPE
            )
            for dtype, samples in asked
        ]
        for (dtype, samples), process in zip(asked, started, strict=True):
            printed = json.loads(process.communicate()[0])
            if (printed["dtype"], printed["samples"]) != (dtype, int(samples)):
                wrong.append((round_, dtype, samples))
    assert wrong == []


def test_verify_measures_a_baseline_as_well(call, copy_run):
    path, baseline = copy_run(), copy_run("mlp-2d")
    status, out, _ = call("verify-equivariance", path, "--samples", "2", "--baseline", baseline)
    assert status == 0  # the run's verdict decides
    assert "Verdict: EXACT" in out
    assert "Verdict: BROKEN" in out
    entry = Run(path).metrics()["verify_equivariance"]
    assert entry["baseline"]["name"] == "mlp-2d"
    assert not entry["baseline"]["passed"]


def test_a_claim_is_refused_beside_another_of_its_name(call, copy_run, monkeypatch):
    monkeypatch.setattr(outside_claim, "AGAIN", replace(CLAIM), raising=False)
    status, _, err = call("report", copy_run(), "--claim", NAME, "--claim", "outside_claim:AGAIN")
    assert status == 2
    assert "another one is called 'drift'" in err


def test_claims_are_values():
    assert isinstance(CLAIM, Claim)
    assert CLAIM.shown.columns[0].text(Drift("x", 2.0, {})) == "2.00"
