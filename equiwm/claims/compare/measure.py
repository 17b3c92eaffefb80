"""The comparison itself: pairs, a batch at a time, until the sequential test has decided or none is left."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equiwm.claims.closed_loop.claim import OWN
from equiwm.claims.closed_loop.episode import ControlledRun
from equiwm.claims.compare.pairs import Done, Pair, orientations_of, pair_cell, require_same
from equiwm.claims.compare.result import CompareResult, Share, SideResult, SourceResult
from equiwm.claims.compare.scores import score
from equiwm.claims.compare.sequential import Test, confidence_sequence
from equiwm.claims.compare.sides import Side, as_params, code_of, loaded
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import ClosedLoopError, ConfigError
from equiwm.grid import Cell, run_grid
from equiwm.results import door
from equiwm.results.result import UNKNOWN
from equiwm.stats import wilson_interval
from equiwm.worlds.world import Progress

BATCH = 8
"""Pairs between two looks. The result does not depend on it: a decision counts where it first fell."""


@dataclass(frozen=True)
class Comparison:
    """Two sides that may be compared, and on what.

    Attributes:
        a, b: the sides.
        runs: their runs; None of a policy.
        params: all that a pair depends on, but for its number.
    """

    a: Side
    b: Side
    runs: tuple[ControlledRun | None, ControlledRun | None]
    params: dict[str, Any]

    @property
    def host(self) -> ControlledRun:
        """The first of the runs, whose folder keeps the result."""
        return next(run for run in self.runs if run is not None)

    @property
    def definition(self) -> str:
        """Hash of all that a pair depends on."""
        return hashlib.sha256(canonical_json(self.params).encode()).hexdigest()[:16]


def comparison(
    a: str,
    b: str,
    *,
    task: str = OWN,
    demonstrations: Path | None = None,
    orientations: str | None = None,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    trust: Sequence[str] = (),
) -> Comparison:
    """Two sides, loaded and found to have the same tasks.

    Args:
        a, b: as `Side.parse` takes them.
        task: `own`, or the name of tasks that others measure this world by (`StandardWorld`).
        demonstrations: recorded episodes, for tasks that take starts and goals from them.
        orientations: `all` or `seen`; None is all where the tasks can be turned.
        seed: of tasks, elements and planners.
        dtype, device: of the models.
        trust: as of `load_run`.

    Raises:
        ConfigError: a text that is no side, two policies without a run, two runs of other worlds or tasks, tasks that
            cannot be turned, or as `sides.loaded`.
        RunError, DataError: as `sides.loaded`.
    """
    sides = (Side.parse(a), Side.parse(b))
    code = [None if side.policy is None else code_of(side.policy) for side in sides]
    runs = [
        None if side.run is None else loaded(side, dtype, device, tuple(trust), task, demonstrations) for side in sides
    ]
    if runs[0] is None and runs[1] is None:
        raise ConfigError(f"{a} and {b} are both policies; expected a run on one side, whose world they act in.")
    if runs[0] is not None and runs[1] is not None:
        require_same(runs[0], runs[1], (a, b), seed)
    host = next(run for run in runs if run is not None)
    orientations = orientations_of(host, orientations, task)
    given = [as_params(side, run or host) for side, run in zip(sides, runs, strict=True)]
    params = {
        "a": given[0],
        "b": given[1],
        "code": code,
        "kind": task,
        "goals": host.control.goals,
        "demonstrations": None if demonstrations is None else str(demonstrations.resolve()),
        "orientations": orientations,
        "seed": seed,
        "dtype": str(dtype).removeprefix("torch."),
        "device": str(device),
        "trust": list(trust),
    }
    return Comparison(*sides, (runs[0], runs[1]), params)


def compare(
    between: Comparison,
    test: Test,
    *,
    outcome: str,
    criterion: str | None = None,
    episodes: int,
    store: Path,
    jobs: int = 1,
    known: CompareResult | None = None,
    progress: Progress | None = None,
) -> CompareResult:
    """Pairs until the test has decided, or there are `episodes` of them.

    Args:
        between: what is compared.
        test: the test.
        outcome: `success`, `final`, `error` or `reward`.
        criterion: whose criterion success is, as of `scores.criterion_of`, which has resolved it.
        episodes: largest number of pairs.
        store: folder in which finished pairs are kept, made if it is missing.
        jobs: processes.
        known: an earlier result of the same comparison, whose pairs are taken over.
        progress: called with (pairs done, most).

    Raises:
        ConfigError: fewer than one pair.
        DataError: rewards outside of [0, 1], which the test is not made for.
        ClosedLoopError: a pair failed; the others are kept.
        RunError: the store cannot be used.
    """
    if episodes < 1:
        raise ConfigError(f"--episodes: got {episodes}, expected at least 1 pair of episodes.")
    pairs = _known(known, between)[:episodes]
    while len(pairs) < episodes and test.decide(_differences(pairs, outcome, criterion)) is None:
        numbers = range(len(pairs), min(len(pairs) + BATCH, episodes))
        cells = [Cell(f"task={k}", {**between.params, "task": k}) for k in numbers]
        done = run_grid(pair_cell, cells, store / f"{numbers[0]}-{numbers[-1]}", jobs=jobs, resume=True)
        failed = [(cell.cell.key, cell.error) for cell in done if cell.error]
        if failed:
            key, error = failed[0]
            assert error is not None
            raise ClosedLoopError(f"{len(failed)} of {len(done)} pairs failed, the first at {key}: {error.message}")
        pairs += [door.read(Pair, cell.result) for cell in done if cell.result is not None]
        if progress:
            progress(len(pairs), episodes)
    decided = test.decide(_differences(pairs, outcome, criterion))
    if decided is not None:
        pairs = pairs[: decided[0]]
    return _result(between, test, pairs, (outcome, criterion), episodes, None if decided is None else decided[1])


def _known(known: CompareResult | None, between: Comparison) -> list[Pair]:
    if known is None or known.definition != between.definition:
        return []
    sides = []
    for side in (known.a, known.b):
        rows = zip(side.reached, side.reached_last, side.errors_deg, side.poses, side.reasons, strict=True)
        sides.append(
            [
                Done(
                    *row,
                    met={source: found.met[k] for source, found in side.criteria.items()},
                    met_last={source: found.met_last[k] for source, found in side.criteria.items()},
                    reward=side.rewards[k] if side.rewards else UNKNOWN,
                )
                for k, row in enumerate(rows)
            ]
        )
    return [Pair(a, b) for a, b in zip(*sides, strict=True)]


def _differences(pairs: Sequence[Pair], outcome: str, criterion: str | None) -> np.ndarray:
    found = [score(pair.a, outcome, criterion) - score(pair.b, outcome, criterion) for pair in pairs]
    return np.array(found, dtype=float)


def _result(
    between: Comparison,
    test: Test,
    pairs: Sequence[Pair],
    compared: tuple[str, str | None],
    most: int,
    decided: str | None,
) -> CompareResult:
    outcome, criterion = compared
    differences = _differences(pairs, outcome, criterion)
    given = (between.a, between.b)
    names = [side.name for side in given] if between.a.name != between.b.name else [side.text for side in given]
    asks = between.host.control.asks
    sides = [
        _side(side, name, run, [getattr(pair, which) for pair in pairs], asks)
        for side, name, run, which in zip(given, names, between.runs, ("a", "b"), strict=True)
    ]
    scores = np.array([[score(getattr(pair, name), outcome, criterion) for pair in pairs] for name in ("a", "b")])
    binary = outcome in ("success", "final")
    low, high = confidence_sequence(differences)
    found = float(differences.mean())
    return CompareResult(
        a=sides[0],
        b=sides[1],
        task=between.params["kind"],
        orientations=between.params["orientations"],
        outcome=outcome,
        group=between.host.subject.world.group.name,
        dtype=between.params["dtype"],
        seed=between.params["seed"],
        difference=found,
        ci95=(low, high),
        decided=decided,
        episodes=len(pairs),
        most=most,
        more=None if decided else test.more(differences),
        alpha=test.alpha,
        power=test.power,
        margin=test.margin,
        unpaired_equivalent=unpaired(scores, found, test, binary=binary),
        unpaired_planned=unpaired(scores, test.margin, test, binary=binary),
        correlation=_correlation(scores),
        definition=between.definition,
        criterion=criterion or "",
        goals=between.params["goals"],
    )


def _side(
    side: Side, name: str, run: ControlledRun | None, done: Sequence[Done], asks: Mapping[str, str]
) -> SideResult:
    reached, last = ([getattr(each, name) for each in done] for name in ("success", "final"))
    errors = [each.error_deg for each in done]
    return SideResult(
        name=name,
        checkpoint_sha256=None if run is None else run.subject.checkpoint_sha256,
        planner="" if run is None else side.planner,
        success=_share(reached),
        final=_share(last),
        error_deg=float(np.mean(errors)),
        poses=[each.score for each in done],
        reached=reached,
        reached_last=last,
        errors_deg=errors,
        reasons=[each.excluded for each in done],
        criteria={source: _source(words, source, done) for source, words in asks.items()},
        mean_max_reward=float(np.mean([each.reward for each in done])),
        rewards=[each.reward for each in done] if asks else [],
    )


def _source(words: str, source: str, done: Sequence[Done]) -> SourceResult:
    met, last = [each.met[source] for each in done], [each.met_last[source] for each in done]
    return SourceResult(words, _share(met), _share(last), met, last)


def _share(reached: Sequence[bool]) -> Share:
    found = wilson_interval(sum(reached), len(reached))
    return Share(found.estimate, (found.low, found.high))


def unpaired(scores: np.ndarray, difference: float, test: Test, *, binary: bool) -> float:
    """Episodes of each side that a two-sided unpaired test of fixed size needs to find a difference.

    n = (z_{1 - alpha/2} + z_power)^2 (v_a + v_b) / difference^2, with the variances v of the scores found; that of a
    share is p (1 - p) with p = (successes + 1) / (n + 2), so that a side that always succeeds is not taken for certain.

    Args:
        scores: (2, n).
        difference: to be found.
        test: alpha and power.
        binary: whether the scores are successes.
    """
    from scipy.stats import norm

    if difference == 0.0:
        return math.nan
    n = scores.shape[1]
    if binary:
        shares = (scores.sum(1) + 1.0) / (n + 2.0)
        variance = float((shares * (1.0 - shares)).sum())
    else:
        variance = float(scores.var(1, ddof=1).sum()) if n > 1 else math.nan
    sure = norm.ppf(1.0 - test.alpha / 2.0) + norm.ppf(test.power)
    return float(sure**2 * variance / difference**2)


def _correlation(scores: np.ndarray) -> float:
    if scores.shape[1] < 2 or not (scores.std(1) > 0.0).all():
        return math.nan
    return float(np.corrcoef(scores)[0, 1])
