"""The paired comparison: error rates of the sequential test, what stops it, what it keeps, and what it refuses."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import LOOP

from equiwm.claims.compare import measure as measuring
from equiwm.claims.compare.claim import CLAIM
from equiwm.claims.compare.measure import compare, comparison, unpaired
from equiwm.claims.compare.result import CompareResult
from equiwm.claims.compare.sequential import Test as Sequential
from equiwm.claims.compare.sequential import confidence_sequence, log_wealth
from equiwm.claims.compare.sides import Side
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.errors import ConfigError
from equiwm.stats import wilson_interval
from equiwm.training.run import prepare_run, train_run

TEST = Sequential(0.05, 0.9, 0.1)
SETTINGS = ",".join(LOOP)
POLICIES = """
import torch


def idle(observation, goal, remaining):
    return torch.zeros(len(observation), 1, 1, 2, dtype=torch.float64)


def flat(observation, goal, remaining):
    return torch.zeros(len(observation), 2)


def raises(observation, goal, remaining):
    raise RuntimeError("no idea")


NUMBER = 3
"""


def drawn(rng: np.random.Generator, n: int, difference: float, discordant: float) -> np.ndarray:
    """Differences of n pairs of successes: wins less losses is `difference`, both together `discordant`."""
    u = rng.random(n)
    won = 0.5 * (discordant + difference)
    return np.where(u < won, 1.0, np.where(u < discordant, -1.0, 0.0))


def shares(repetitions: int, difference: float, discordant: float, test: Sequential = TEST) -> dict[str | None, float]:
    """How often each verdict falls, where pairs go on until one does."""
    rng, found = np.random.default_rng(7), []
    for _ in range(repetitions):
        pairs = drawn(rng, 500, difference, discordant)
        while (verdict := test.decide(pairs)) is None:
            pairs = np.concatenate([pairs, drawn(rng, len(pairs), difference, discordant)])
        found.append(verdict[1])
    return {name: found.count(name) / repetitions for name in ("a", "b", "equivalent")}


def slack(rate: float, repetitions: int) -> float:
    """Three standard deviations of a share."""
    return 3.0 * math.sqrt(rate * (1.0 - rate) / repetitions)


@pytest.mark.parametrize("repetitions", [200, pytest.param(2000, marks=pytest.mark.slow)], ids=["shortened", "whole"])
@pytest.mark.parametrize("discordant", [0.1, 0.3])
def test_error_rates_are_as_stated(repetitions, discordant):
    """5% of wrong differences where there is none, and power 0.9 where the difference is the margin."""
    none = shares(repetitions, 0.0, discordant)
    assert none["a"] + none["b"] <= 0.05 + slack(0.05, repetitions)
    some = shares(repetitions, 0.1, discordant)
    assert some["a"] >= 0.9 - slack(0.9, repetitions)
    assert some["b"] <= 0.025 + slack(0.025, repetitions)


@pytest.mark.parametrize("repetitions", [60, pytest.param(2000, marks=pytest.mark.slow)], ids=["shortened", "whole"])
def test_a_test_that_looks_often_without_paying_for_it_is_caught(repetitions):
    """The planted break: a fixed-size sign test after every pair refuses a true null far more often than 5%."""
    from scipy.stats import binom

    rng, wrong = np.random.default_rng(3), 0
    for _ in range(repetitions):
        steps = np.where(rng.random(200) < 0.5, 1, -1)
        wins = np.cumsum(steps > 0)
        n = np.arange(1, 201)
        p = 2.0 * binom.cdf(np.minimum(wins, n - wins), n, 0.5)
        wrong += bool((p[9:] < 0.05).any())
    assert wrong / repetitions >= 0.15


def test_wealth_is_a_fair_game_and_ties_change_nothing():
    """E[W_1] = 1 at the null, exactly; and pairs that are alike leave the wealth against "no better" as it was."""
    for mu in (0.2, 0.5, 0.8):
        one, nought = (math.exp(log_wealth(np.array([y]), mu)[-1]) for y in (1.0, 0.0))
        assert mu * one + (1.0 - mu) * nought == pytest.approx(1.0, abs=1e-12)
    pairs = np.array([1.0, 1.0, 0.0, 1.0])
    tied = np.insert(pairs, [0, 2, 4], 0.5)
    assert log_wealth(tied, 0.5)[-1] == pytest.approx(log_wealth(pairs, 0.5)[-1], abs=1e-12)
    assert (np.diff([log_wealth(pairs, mu)[-1] for mu in np.linspace(0.05, 0.95, 20)]) < 0).all()


def test_the_interval_covers_at_every_number_of_pairs_at_once():
    rng, missed = np.random.default_rng(1), 0
    for _ in range(60):
        pairs = np.clip(rng.normal(0.1, 0.3, 120), -1.0, 1.0)
        mean = 0.1  # clipping is symmetric to 1e-3
        missed += any(
            not low <= mean <= high for low, high in map(confidence_sequence, (pairs[:k] for k in (3, 30, 120)))
        )
    assert missed <= 6
    assert confidence_sequence(np.array([])) == (-1.0, 1.0)
    low, high = confidence_sequence(np.ones(30))
    assert low > 0.5
    assert high == pytest.approx(1.0)


def test_the_verdict_and_the_interval_agree():
    """A difference is called exactly where the interval of that level leaves 0 out."""
    rng = np.random.default_rng(5)
    for difference in (0.0, 0.2, -0.3):
        pairs = drawn(rng, 400, difference, 0.5)
        verdict = Sequential(0.05, 0.9, 0.5).decide(pairs)
        for n in range(1, 400, 13):
            low, high = confidence_sequence(pairs[:n])
            if low > 0.0 or high < 0.0:
                assert verdict is not None
                assert verdict[0] <= n
                break


def test_how_many_more_is_about_what_it_takes():
    rng = np.random.default_rng(2)
    start = drawn(rng, 12, 0.5, 0.6)
    assert TEST.decide(start) is None
    more = TEST.more(start)
    assert more is not None
    rate = float((start > 0).mean() - (start < 0).mean())
    decided = sum(
        TEST.decide(np.concatenate([start, drawn(rng, more, rate, float((start != 0).mean()))])) is not None
        for _ in range(100)
    )
    assert decided >= 75
    assert TEST.more(np.array([])) is None
    assert Sequential(0.05, 0.9, 0.001).more(np.array([1.0, -1.0] * 20)) is None


def test_fewer_pairs_than_an_unpaired_design_that_is_planned_for_the_margin():
    """0.9 against 1.0: on average over 4 times fewer than the unpaired test planned for 0.05, knowing nothing."""
    rng, test, ends = np.random.default_rng(4), Sequential(0.05, 0.9, 0.05), []
    for _ in range(50):
        pairs = drawn(rng, 4000, 0.1, 0.1)
        ends.append(test.decide(pairs)[0])
    scores = np.stack([np.ones(100), (np.arange(100) >= 10).astype(float)])
    assert unpaired(scores, 0.05, test, binary=True) >= 4.0 * np.mean(ends)
    assert unpaired(scores, 0.1, test, binary=True) == pytest.approx(unpaired(scores, 0.05, test, binary=True) / 4.0)
    assert math.isnan(unpaired(scores, 0.0, test, binary=True))


@pytest.mark.parametrize("numbers", [(0.0, 0.9, 0.1), (0.05, 1.0, 0.1), (0.05, 0.9, -0.1)])
def test_rates_out_of_range_are_refused(numbers):
    with pytest.raises(ConfigError, match="more than 0 and less than 1"):
        Sequential(*numbers)


def test_wilson_intervals():
    """Against Wilson 1927 by hand: 1 of 1 is [0.2065, 1], 0 of 10 is [0, 0.2775]."""
    assert wilson_interval(1, 1).low == pytest.approx(0.20654, abs=1e-5)
    assert wilson_interval(0, 10).high == pytest.approx(0.27753, abs=1e-5)
    with pytest.raises(ValueError, match="n >= 1"):
        wilson_interval(0, 0)


def test_sides_are_read_from_one_text_each(tmp_path):
    (tmp_path / "a:b").mkdir()
    assert Side.parse(str(tmp_path / "a:b")).run == str(tmp_path / "a:b")
    side = Side.parse(f"{tmp_path}:planning.samples=100,planner=ordinary,planning.sigma=0.5")
    assert (side.planner, side.assignments) == ("ordinary", ("planning.samples=100", "planning.sigma=0.5"))
    assert Side.parse("module:fn").policy == "module:fn"
    for text, said in (
        ("nothing", "no directory of a run"),
        (f"{tmp_path}/no:planning.samples=3", "there is no run"),
        (f"{tmp_path}:training.epochs=3", r"planning\.key=value or planner=NAME"),
        (f"{tmp_path}:planner=clever", "unknown planner"),
    ):
        with pytest.raises(ConfigError, match=said):
            Side.parse(text)


@pytest.fixture
def policies(tmp_path) -> Path:
    path = tmp_path / "pol.py"
    path.write_text(POLICIES)
    return path


@pytest.fixture
def runs(copy_run) -> tuple[str, str]:
    return str(copy_run("vn-2d-forward")), str(copy_run("mlp-2d-forward"))


def asked(a: str, b: str, **changes):
    options = {"seed": 5, "dtype": torch.float64, "device": torch.device("cpu")}
    return comparison(a, b, **{**options, **changes})


def test_both_sides_do_the_same_tasks_with_the_same_numbers(runs, tmp_path):
    """A run against itself differs in nothing: it is called equivalent, and no sooner than ties alone say so."""
    side = f"{runs[0]}:{SETTINGS}"
    result = compare(asked(side, side), Sequential(0.05, 0.9, 0.4), outcome="error", episodes=20, store=tmp_path / "s")
    assert result.difference == 0.0
    assert result.a.errors_deg == result.b.errors_deg
    assert result.decided == "equivalent"
    assert result.verdict == "they differ by less than 0.4"
    assert result.episodes < 20


def test_the_result_depends_on_neither_the_batch_nor_an_interruption(runs, tmp_path, monkeypatch):
    between = asked(f"{runs[0]}:{SETTINGS}", f"{runs[1]}:{SETTINGS}")
    whole = compare(between, TEST, outcome="error", episodes=6, store=tmp_path / "a")
    part = compare(between, TEST, outcome="error", episodes=2, store=tmp_path / "b")
    monkeypatch.setattr(measuring, "BATCH", 3)
    again = compare(between, TEST, outcome="error", episodes=6, store=tmp_path / "c", known=part)
    assert replace(again, most=0) == replace(whole, most=0)
    assert again.a.poses[:2] == part.a.poses
    numbers = [len(list((tmp_path / name).glob("*/cells/*.json"))) for name in ("a", "c")]
    assert numbers == [6, 4]  # the pairs that were known are not computed again
    other = replace(part, definition="another")
    assert measuring._known(other, between) == []


def equiwm(capsys, *arguments: object) -> tuple[int, str, str]:
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_stores_its_result_and_goes_on_from_it(runs, capsys, policies):
    command = (
        "compare",
        f"{runs[0]}:{SETTINGS}",
        f"{runs[1]}:{SETTINGS}",
        "--jobs",
        1,
        "--quiet",
        "--outcome",
        "error",
    )
    status, out, err = equiwm(capsys, *command, "--episodes", 2, "--json")
    assert (status, err) == (0, "")
    printed = json.loads(out)
    assert {"difference", "ci95", "decided", "episodes", "unpaired_equivalent"} <= set(printed)
    assert printed["episodes"] == 2
    stored = json.loads((Path(runs[0]) / "metrics.json").read_text())["compare"]
    (read,) = [CLAIM.read(entry).result for entry in stored["variants"].values()]
    assert isinstance(read, CompareResult)
    assert not (Path(runs[0]) / "compare").exists()  # nothing is left that is no longer needed
    status, out, _ = equiwm(capsys, *command, "--episodes", 3)
    assert status == 0
    assert "3 (at most 3)" in out
    assert str(runs[0]) not in out  # tables call a run by its name
    assert equiwm(capsys, "report", runs[0])[0] == 0


def test_a_policy_of_ones_own_is_a_side(runs, capsys, policies):
    status, out, _ = equiwm(
        capsys, "compare", f"{runs[0]}:{SETTINGS}", f"{policies}:idle", "--episodes", 2, "--jobs", 1, "--quiet"
    )
    assert status == 0
    assert "pol.py:idle" in out


def refused(capsys, status: int, said: str, *arguments: object) -> None:
    """A refusal is one or two lines on stderr, and nothing else."""
    found, out, err = equiwm(capsys, "compare", *arguments, "--quiet", "--jobs", 1)
    assert (found, out) == (status, "")
    assert said in err
    assert 1 <= len(err.strip().splitlines()) <= 2
    assert "Traceback" not in err


def test_wrong_input_is_refused_and_nothing_is_left(runs, capsys, policies, tmp_path, snapshot, copy_run):
    before = snapshot(Path(runs[0]))
    own = (f"{runs[0]}:{SETTINGS}",)
    refused(capsys, 2, "expected 1 to 100,000 pairs", *runs, "--episodes", 0)
    refused(capsys, 2, "more than 0 and less than 1", *runs, "--alpha", 2)
    refused(capsys, 2, "no directory of a run", runs[0], tmp_path / "none")
    refused(capsys, 2, "both policies", f"{policies}:idle", f"{policies}:idle")
    refused(capsys, 2, "has no 'none'", *own, f"{policies}:none")
    refused(capsys, 2, "expected a function", *own, f"{policies}:NUMBER")
    refused(capsys, 2, "goal pose", copy_run("vn-2d"), f"{copy_run('mlp-2d')}:planning.goal=pose")
    refused(capsys, 1, "no idea", *own, f"{policies}:raises")
    refused(capsys, 1, "expected actions of shape", *own, f"{policies}:flat")
    shutil.rmtree(Path(runs[0]) / "compare", ignore_errors=True)  # finished pairs of the last two, which are kept
    assert snapshot(Path(runs[0])) == before


@pytest.mark.parametrize(
    ("preset", "settings", "said"),
    [
        ("mlp-2d-forward", ["world.wedge=[0,80]"], "have other tasks"),
        ("vn-3d-paper", [], "expected two of one world"),
        ("vn-field-2d", [], "has no tasks"),
    ],
)
def test_two_runs_of_other_tasks_or_worlds_are_refused(runs, capsys, tmp_path, preset, settings, said):
    tiny = ["training.transitions=64", "training.epochs=1", "training.batch=32", *settings]
    other = prepare_run(load(preset, None, tiny), tmp_path / "other", "run", seed=0, resume=False)
    train_run(other, device=torch.device("cpu"))
    refused(capsys, 2, said, runs[0], other.path)


def test_a_ctrl_c_keeps_what_is_done(runs, capsys, monkeypatch):
    """In the fifth pair: status 130, and the same command computes the others alone."""
    from equiwm.claims.compare import pairs as pairing

    computed: list[int] = []
    honest = pairing.pair_cell

    def counted(params):
        if params["task"] == 4 and 4 not in computed:
            computed.append(4)
            raise KeyboardInterrupt
        computed.append(params["task"])
        return honest(params)

    monkeypatch.setattr(pairing, "pair_cell", counted)
    monkeypatch.setattr(measuring, "pair_cell", counted)
    monkeypatch.setattr("equiwm.grid._name", lambda function: "equiwm.claims.compare.pairs:pair_cell")
    command = ("compare", f"{runs[0]}:{SETTINGS}", f"{runs[1]}:{SETTINGS}", "--jobs", 1, "--quiet", "--episodes", 6)
    status, out, err = equiwm(capsys, *command)
    assert (status, out) == (130, "")
    assert len(err.strip().splitlines()) <= 2
    computed.clear()
    computed.append(4)
    assert equiwm(capsys, *command)[0] == 0
    assert sorted(computed[1:]) == [4, 5]
