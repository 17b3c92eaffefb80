"""One measure and one set of verdicts: of functions, assertions and trained runs; and what stood there before."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo.case import built, drawn
from zoo.clouds import Potential
from zoo.graphs import GraphNetwork, edges
from zoo.odd import BatchNormed, Dropped, norms, swirl

import equiwm
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult
from equiwm.audit.typed import Typed
from equiwm.audit.verdict import MIN_CONTROL, MIN_MOVED, MIN_SPREAD, Verdict, condition
from equiwm.audit.words import passes
from equiwm.claims.residual.judgement import audited, judge
from equiwm.claims.residual.result import POOLED, VerifyResult, holds
from equiwm.claims.residual.view import verify_tables
from equiwm.cli.main import run as command_line
from equiwm.config import load
from equiwm.errors import RepError
from equiwm.results import door
from equiwm.results.measured import Measured
from equiwm.testing import assert_equivariant
from equiwm.training.run import prepare_run, train_run

FEW = 16


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> torch.dtype:
    return getattr(torch, request.param)


def check(fn, in_reps, out_rep, group, inputs) -> equiwm.Residual:
    """What `check_equivariance` says; the assertion says the same."""
    found = equiwm.check_equivariance(fn, in_reps, out_rep, group, inputs, elements=FEW)
    if found.verdict in ("exact", "precision-limited"):
        assert assert_equivariant(fn, in_reps, out_rep, group, inputs, elements=FEW).verdict == found.verdict
    else:
        with pytest.raises(AssertionError, match=found.verdict.upper()):
            assert_equivariant(fn, in_reps, out_rep, group, inputs, elements=FEW)
    return found


def test_a_verdict_is_its_word():
    assert Verdict("exact") is Verdict.EXACT == "exact"
    assert json.dumps({"verdict": Verdict.LIMITED}) == '{"verdict": "precision-limited"}'
    assert [word for word in Verdict if passes(word, "precision-limited")] == ["exact", "precision-limited"]
    assert Verdict.worst([Verdict.EXACT, Verdict.BROKEN, Verdict.VACUOUS]) == "broken"
    assert equiwm.Verdict is Verdict


def test_the_package_is_called_as_the_contract_has_it():
    probe = Probe(swirl, drawn(16, 4, 3, dtype=torch.float64), "so3", "4x1o", "4x1o")
    found = equiwm.audit(probe, elements=8)
    assert isinstance(found, AuditResult)
    assert found.verdict is Verdict.EXACT
    assert equiwm.audit.audit.audit(probe, elements=8) == found  # and it is a package still


# Functions that the pooled figure alone misjudged


def clamped(v: Tensor) -> Tensor:
    return v.clamp(-0.5, 0.5)


def test_forces_beside_a_large_energy(dtype):
    """Passed at 9.5e-6: the energy is large and healthy."""

    def model(v: Tensor) -> Tensor:
        energy = -1e5 + v.square().sum((1, 2))
        return torch.cat([energy[:, None], clamped(v[:, :6]).flatten(1)], 1)

    found = check(model, ["7x1o"], "0e+6x1o", "so3", [drawn(64, 7, 3, dtype=dtype)])
    assert (found.verdict, found.relative < 1e-4) == ("broken", True)


def test_one_small_channel_beside_large_ones(dtype):
    """Passed at 3.3e-7, by term too."""

    def model(v: Tensor) -> Tensor:
        small = 1e-3 * torch.tanh(v[:, :1, :1]) * torch.eye(3, dtype=v.dtype)[0]
        return torch.cat([1e3 * v[:, :6], small], 1)

    found = check(model, ["7x1o"], "7x1o", "so3", [drawn(64, 7, 3, dtype=dtype)])
    assert (found.verdict, found.relative < 1e-5) == ("broken", True)


def test_a_small_increment(dtype):
    """Passed at 4.0e-7: x + dt v, of which x is most."""

    def model(x: Tensor) -> Tensor:
        return x + 1e-6 * (clamped(x) + torch.eye(3, dtype=x.dtype)[0])

    found = check(model, ["4x1o"], "4x1o", "so3", [drawn(64, 4, 3, dtype=dtype)])
    if dtype == torch.float64:
        assert (found.verdict, found.relative < 1e-5) == ("broken", True)
    assert found.verdict in ("broken", "approximate")


def test_points_far_away(dtype):
    """Passed at 3.5e-7: the offset is large, and the points drift along x."""

    def model(p: Tensor) -> Tensor:
        centred = p - p.mean(1, keepdim=True)
        return p + 0.003 * norms(centred) * torch.eye(3, dtype=p.dtype)[0]

    found = check(model, ["6xp"], "6xp", "se3", [drawn(64, 6, 3, dtype=dtype) + 1000])
    assert (found.verdict, found.relative < 1e-4) == ("broken", True)


# Functions that it called broken, or could not call


def test_edges_closed_over(dtype):
    """Failed at 0.31: stacked copies of a graph are no batch."""
    inner = built(GraphNetwork, dtype=dtype)
    index, numbers = edges(8), torch.tensor([1, 2, 3, 1, 2, 2, 1, 3])
    found = check(lambda pos: inner(pos, numbers, index).forces, ["p"], "1o", "e3", [drawn(8, 3, dtype=dtype)])
    assert found.verdict == "exact"


def test_what_is_random_mutating_or_coupled_is_said(dtype):
    """Failed at 2.4, 1.1e-5 and 1.5e-3, with a module that was changed by the check."""
    v = 1 + drawn(64, 4, 3, dtype=dtype)
    normed = built(BatchNormed, 4, dtype=dtype).train()
    before = normed.norm.running_mean.clone()
    assert check(Dropped().train(), ["4x1o"], "4x1o", "so3", [v]).verdict == "not deterministic"
    assert check(normed, ["4x1o"], "4x1o", "so3", [v]).verdict == "batch-dependent"
    assert torch.equal(normed.norm.running_mean, before)
    noisy = check(lambda v: swirl(v) + 1e-3 * torch.randn_like(v), ["4x1o"], "4x1o", "so3", [v])
    assert noisy.verdict == "not deterministic"


def test_a_static_shape(dtype):
    """Failed with an AssertionError that looked like a broken symmetry."""

    def fixed(v: Tensor) -> Tensor:
        assert v.shape == (16, 4, 3)
        return swirl(v)

    assert check(fixed, ["4x1o"], "4x1o", "so3", [drawn(16, 4, 3, dtype=dtype)]).verdict == "exact"


def test_one_structure(dtype):
    """Was said to do nothing."""
    x = drawn(1, 6, 3, dtype=dtype)
    assert check(lambda p: torch.cdist(p, p).sum(2), ["6xp"], "6x0e", "se3", [x]).verdict == "exact"


def test_forces_by_autograd(dtype):
    """Could not be called: gradients were off."""
    model = built(Potential, dtype=dtype)
    found = check(lambda p: model(p)["forces"], ["5xp"], "5x1o", "e3", [drawn(16, 5, 3, dtype=dtype)])
    assert found.verdict == "exact"


def test_points_along_the_middle_axis(dtype):
    """Failed at 0.35: (B, 3, N) with N = 3 reads as (B, N, 3); it is asked about, or said."""

    def model(p: Tensor) -> Tensor:
        q = p - p.mean(-1, keepdim=True)
        return q * q.square().sum(1, keepdim=True)

    x = drawn(32, 3, 3, dtype=dtype)
    with pytest.raises(RepError, match="two axes could hold it"):
        equiwm.check_equivariance(model, ["p"], "1o", "se3", [x])
    assert check(model, [Typed("p", 1)], Typed("1o", 1), "se3", [x]).verdict == "exact"


def test_an_ordinary_module_has_its_layer_named():
    """No layer was seen in a module of somebody else's."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 64), nn.Tanh(), nn.Linear(64, 12)).double()
    found = equiwm.check_equivariance(
        lambda v: model(v.flatten(1)), ["4x1o"], "4x1o", "so3", [drawn(32, 4, 3, dtype=torch.float64)], elements=FEW
    )
    (layer,) = (cause.text for cause in found.audit.causes if cause.name == "the layer")
    assert layer.startswith("It breaks at 1 (Tanh")  # a linear map of what turns still turns linearly


# A trained run


@pytest.fixture(scope="module")
def audits() -> dict[str, Any]:
    v = drawn(32, 4, 3, dtype=torch.float64)

    def of(fn) -> dict[str, AuditResult]:
        return audited({"composed": Probe(fn, v, "so3", "4x1o", "4x1o")}, elements=FEW, seed=0)

    few = {"exact": swirl, "broken": clamped, "vacuous": lambda v: 0.0 * v, "approximate": lambda v: nearly(v)}
    return {word: of(fn) for word, fn in few.items()}


def nearly(v: Tensor) -> Tensor:
    return swirl(v)[:, [1, 2, 3, 0]] * (1 + 1e-3 * v[:, :1, :1])


GOOD = {"pooled": 1e-16, "tolerance": None, "spread": 0.5, "moved": 0.5, "control": 0.5}


@pytest.mark.parametrize(
    ("found", "change", "verdict", "passed", "reason"),
    [
        ("exact", {}, "exact", True, "control 5.0e-01"),
        ("exact", {"moved": None}, "exact", True, "residual"),
        ("broken", {}, "broken", False, "composed, channel 1o"),
        ("broken", {"spread": 0.0, "moved": 0.0, "control": 0.0}, "broken", False, "worst at a rotation"),
        ("broken", {"tolerance": 10.0, "control": 20.0}, "broken", False, "worst at"),
        ("vacuous", {}, "vacuous", False, "channels do not depend on the input"),
        ("approximate", {}, "approximate", False, "residual"),
        ("approximate", {"tolerance": 1e-1}, "approximate", True, "residual"),
        ("approximate", {"tolerance": 1e-6}, "approximate", False, "> tolerance 1e-06"),
        ("exact", {"tolerance": 1e-17}, "exact", False, "pooled relative residual 1.0e-16 > tolerance 1e-17"),
        ("exact", {"pooled": math.nan, "tolerance": 1.0}, "exact", False, "nan"),
        ("exact", {"tolerance": 1e-4}, "exact", True, "control"),
        ("exact", {"tolerance": 0.6}, "vacuous", False, "the probe sees nothing"),
        ("exact", {"spread": 0.99 * MIN_SPREAD}, "vacuous", False, "collapsed"),
        ("exact", {"spread": math.nan}, "vacuous", False, "collapsed"),
        ("exact", {"moved": 0.99 * MIN_MOVED}, "not judged", False, "not trained"),
        ("exact", {"moved": math.nan}, "not judged", False, "not trained"),
        ("exact", {"control": 0.99 * MIN_CONTROL}, "vacuous", False, "no broken symmetry"),
        ("exact", {"control": math.nan}, "vacuous", False, "no broken symmetry"),
    ],
)
def test_verdicts_on_runs(audits, found, change, verdict, passed, reason):
    judged = judge(audits[found], **{**GOOD, **change})
    assert (judged.verdict, judged.passed) == (verdict, passed), judged.reason
    assert reason in judged.reason
    assert "\n" not in judged.reason


def test_the_worst_part_decides(audits):
    parts = {"composed": audits["exact"]["composed"], "encoder": audits["broken"]["composed"]}
    judged = judge(parts, **GOOD)
    assert (judged.verdict, judged.reason.startswith("encoder, channel 1o")) == ("broken", True)


def test_conditions_hold_together():
    assert condition(spread=0.5, moved=None, control=0.5) is None
    assert condition(spread=0.0, moved=0.0, control=0.0)[0] == "vacuous"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for preset in ("vn-2d-forward", "mlp-2d-forward"):
        short = ["training.transitions=128", "training.epochs=4"]
        run = prepare_run(load(preset, None, short), folder, preset, seed=0, resume=False)
        train_run(run, device=torch.device("cpu"))
    return folder


@pytest.mark.parametrize(
    ("preset", "verdict", "status"), [("vn-2d-forward", "exact", 0), ("mlp-2d-forward", "broken", 1)]
)
def test_audit_and_verify_agree_on_a_run(runs, preset, verdict, status, capsys, tmp_path):
    path = shutil.copytree(runs / preset, tmp_path / preset)
    assert command_line(["audit", str(path), "--json"]) == status
    alone = json.loads(capsys.readouterr().out)
    for dtype in ("float32", "float64"):
        assert command_line(["verify-equivariance", str(path), "--dtype", dtype, "--json", "--quiet"]) == status
        result = json.loads(capsys.readouterr().out)
        composed = next(part for part in result["parts"] if part["part"] == "composed")
        assert alone["verdict"] == composed["verdict"] == result["verdict"] == verdict, result["reason"]
        worst = max(alone["leaves"], key=lambda leaf: leaf["residual"])
        assert composed["channel"] == worst["channel"] or verdict == "exact"
        assert (result["breaks_at"] is None) == (verdict == "exact")
    if verdict == "broken":
        (layer,) = (cause["text"] for cause in alone["causes"] if cause["name"] == "the layer")
        assert result["breaks_at"].split(" (")[0] == layer.split(" (")[0] == "It breaks at predictor.network.layers.1"
    assert command_line(["report", str(path)]) == 0
    assert f"| {verdict} |" in capsys.readouterr().out


@pytest.mark.parametrize("word", POOLED)
def test_what_was_stored_before_is_shown_as_it_stands(runs, word, capsys, tmp_path):
    """Results of 0.1 have other words and no parts: they are read, and said to be of the pooled residual alone."""
    path = shutil.copytree(runs / "vn-2d-forward", tmp_path / "run")
    command_line(["verify-equivariance", str(path), "--samples", "4", "--quiet"])
    metrics = json.loads((path / "metrics.json").read_text())
    section = metrics["verify_equivariance"]
    for entry in (section, *section["variants"].values()):
        for new in ("parts", "schema"):
            entry.pop(new, None)
        entry |= {"verdict": word, "passed": word == "equivariant", "breaks_at": "encoder (MLP), relative residual 1.9"}
    (path / "metrics.json").write_text(json.dumps(metrics))
    result = door.read(VerifyResult, section)
    assert (result.verdict, result.parts, holds(result.verdict)) == (word, [], result.passed)
    (table,) = verify_tables(Measured(result), "run")
    assert "by the pooled residual alone" in table.markdown()
    assert "The first layer that breaks it: encoder (MLP)" in table.markdown()
    capsys.readouterr()
    assert command_line(["report", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"| {word} |" in out
