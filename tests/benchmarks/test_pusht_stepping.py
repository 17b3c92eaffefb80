"""Speed of the PushT world: its stepping against gym-pusht's `env.step`, and collecting transitions."""

import time

import numpy as np
import pytest

from equiwm.worlds.pusht.physics import REACH, PushTPhysics
from equiwm.worlds.pusht.world import PushT


@pytest.mark.benchmark
def test_stepping_against_env_step(board):
    starts = PushT().tasks(200, seed=0, orientations="all").start
    plans = np.random.default_rng(0).uniform(-0.7, 0.7, (200, 16, 2))
    reference, ours = PushTPhysics(), PushTPhysics()
    seconds = []
    for start, plan in zip(starts, plans, strict=True):  # interleaved: the same noise
        reference.reset(start)
        ours.reset(start)
        began = time.process_time()
        for action in plan:
            reference.arena.step(np.array(reference.arena.agent.position) + REACH * action)
        between = time.process_time()
        for action in plan:
            ours.act(action)
        seconds.append((between - began, time.process_time() - between))
        assert np.array_equal(reference.state, ours.state)
    board.pairs("PushT, gym-pusht's env.step / ours (bitwise equal)", np.array(seconds) / plans.shape[1], unit="step")


@pytest.mark.benchmark
def test_collecting(board):
    world = PushT()
    world.transitions(100, seed=0)
    began = time.process_time()
    world.transitions(3000, seed=1)
    seconds = time.process_time() - began
    board.note("PushT, collecting", f"{seconds / 3:.3f} s", cost=f"{1e6 * seconds / 3000:.0f} us a transition")
