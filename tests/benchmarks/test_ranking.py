"""Closed loops with samples ranked in float32 against all in float64: the same episodes, bit for bit, in less time.

On the trained runs of the reference, at their own settings; CPU seconds of this process, in turn, on one thread.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
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

pytestmark = pytest.mark.benchmark

RUNS = Path(__file__).resolve().parents[2] / "runs" / "reference" / "runs"
TASKS, SEED = 2, 1000
ASKED = {"vn-2d-forward": 1.6, "mlp-2d-forward": 1.3, "vn-3d-goal": 1.5, "mlp-3d-goal": 1.3}
"""Least ratio of CPU seconds, by preset; the claim's is the first."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _tasks(run, number):
    """A task and its turned copies, as the claim has them."""
    g = Elements.cat([run.subject.world.group.identity(1), parse_orbit(None, run.subject.world, SEED).elements])
    return run.control.turned(run.control.tasks(number + 1, held_out_seed(SEED)).take([number] * len(g)), g), g


def _drive(run, number, ranking):
    config = replace(run.subject.planning, ranking=ranking)
    tasks, g = _tasks(run, number)
    began = time.process_time()
    episodes = drive(run, "model", config, parse_variant("equivariant"), tasks, g, [[SEED, number]] * len(g))
    return episodes, time.process_time() - began


@pytest.mark.parametrize("preset", ASKED)
def test_the_same_episodes_in_less_time(preset):
    seconds, scored = [], Scored()
    for seed in range(5):
        run = controlled(load_run(RUNS / (f"{preset}-s{seed}" if seed else preset), torch.float64))
        _drive(run, 0, "float32")  # warm
        for number in range(TASKS):
            order = ("none", "float32") if number % 2 else ("float32", "none")
            found = {ranking: _drive(run, number, ranking) for ranking in order}
            (exact, slow), (ranked, fast) = found["none"], found["float32"]
            assert torch.equal(ranked.observations, exact.observations)
            seconds.append((slow, fast))
            scored += ranked.scored
    slow, fast = np.array(seconds).T
    ratio = float(np.median(slow / fast))
    low, high = np.percentile(slow / fast, [25, 75])
    print(
        f"\n{preset}: 5 seeds x {TASKS} tasks x orbit, float64 / ranked {ratio:.2f}x in CPU seconds (quartiles "
        f"{low:.2f} to {high:.2f}), episodes bitwise equal; of {scored.candidates} candidates "
        f"{scored.again / scored.candidates:.1%} scored again, {scored.wholly} in calls that fell back"
    )
    assert ratio >= ASKED[preset]


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
    for seed in range(5):
        run = controlled(load_run(RUNS / (f"{preset}-s{seed}" if seed else preset), torch.float64))
        _drive(run, 0, "float32")
    rest, band = torch.cat(outside), torch.cat(measured)
    print(
        f"\n{preset}: {len(rest)} rankings; rounding over distance from the cut, largest of those not scored "
        f"again {float(rest.max()):.1e} (1 would change a choice), of those scored again over the band "
        f"{float(band.max()):.1e} ({1 / SAFETY:.1e} falls back)"
    )
    assert rest.max() < 1.0
