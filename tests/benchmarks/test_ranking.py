"""Closed loops with samples ranked in float32 against all in float64: the same episodes, bit for bit, in less time.

On the trained runs of the reference, at their own settings; CPU seconds of this process, in turn, on one thread.
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from equiwm.claims.closed_loop.episode import controlled, drive
from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.probe import held_out_seed
from equiwm.loading import load_run
from equiwm.planning import sampling
from equiwm.planning.ranking import BANDS, SAFETY, Scored, Scoring, _band
from equiwm.planning.variants import parse_variant
from equiwm.symmetry.groups import Elements

RUNS = Path(__file__).resolve().parents[2] / "runs" / "reference" / "runs"
TASKS, SEEDS = 1, range(1000, 1003)  # of tasks, planner and orbit
ASKED = {"vn-2d-forward": 1.6, "mlp-2d-forward": 1.3, "vn-3d-goal": 1.5, "mlp-3d-goal": 1.3}
"""Least ratio of CPU seconds, by preset; the claim's is the first."""


def _drive(run, seed, number, ranking):
    """A task and its turned copies, as the claim has them, and their CPU seconds."""
    g = Elements.cat([run.subject.world.group.identity(1), parse_orbit(None, run.subject.world, seed).elements])
    tasks = run.control.turned(run.control.tasks(number + 1, held_out_seed(seed)).take([number] * len(g)), g)
    config = replace(run.subject.planning, ranking=ranking)
    began = time.process_time()
    episodes = drive(run, "model", config, parse_variant("equivariant"), tasks, g, [[seed, number]] * len(g))
    return episodes, time.process_time() - began


@pytest.mark.benchmark
@pytest.mark.parametrize("preset", ASKED)
def test_the_same_episodes_in_less_time(board, preset):
    seconds, scored = [], Scored()
    run = controlled(load_run(RUNS / preset, torch.float64))
    for seed in SEEDS:
        for number in range(TASKS):
            order = ("none", "float32") if number % 2 else ("float32", "none")
            found = {ranking: _drive(run, seed, number, ranking) for ranking in order}
            (exact, slow), (ranked, fast) = found["none"], found["float32"]
            assert torch.equal(ranked.observations, exact.observations)
            seconds.append((slow, fast))
            scored += ranked.scored
    board.pairs(
        f"loop of {preset}, float64 / ranked in float32, bitwise equal ({scored.again / scored.candidates:.1%} again, "
        f"{scored.wholly} fell back)",
        seconds,
        asked=f"{ASKED[preset]}x",
        unit="task and orbit",
    )


@pytest.mark.slow
@pytest.mark.parametrize("preset", ASKED)
def test_the_rounding_of_what_is_not_scored_again(preset, monkeypatch):
    """All candidates scored both ways: how close the rounding of those outside the band comes to the cut."""
    outside, measured = [], []

    class Watched(Scoring):
        def __call__(self, candidates, cuts, settled):
            exact, rough = self._exact(candidates), self._rough(candidates).double()
            for cut in cuts:
                near, reach = _band(rough, cut, BANDS[0])
                error = (exact - rough).abs()
                ordered = exact.sort(1).values[:, cut - 1 : cut + 1]
                share = error / (exact - ordered.mean(1, keepdim=True)).abs()
                outside.append(share.scatter(1, near, 0.0).amax(1))
                measured.append(error.gather(1, near).amax(1) / reach)
            return super().__call__(candidates, cuts, settled)

    monkeypatch.setattr(sampling, "Scoring", Watched)
    run = controlled(load_run(RUNS / preset, torch.float64))
    for seed in SEEDS:
        _drive(run, seed, 0, "float32")
    rest, band = torch.cat(outside), torch.cat(measured)
    print(
        f"\n{preset}: {len(rest)} rankings; rounding over distance from the cut, largest of those not scored "
        f"again {float(rest.max()):.1e} (1 would change a choice), of those scored again over the band "
        f"{float(band.max()):.1e} ({1 / SAFETY:.1e} falls back)"
    )
    assert rest.max() < 1.0
