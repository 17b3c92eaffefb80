"""Speed of the PushT world: its stepping against gym-pusht's `env.step`, and collecting transitions."""

import time

import numpy as np
import pytest

from equiwm.worlds.pusht.physics import REACH, PushTPhysics
from equiwm.worlds.pusht.world import PushT


@pytest.mark.benchmark
def test_stepping_against_env_step():
    starts = PushT().tasks(200, seed=0, orientations="all").start
    plans = np.random.default_rng(0).uniform(-0.7, 0.7, (200, 16, 2))
    reference, ours = PushTPhysics(), PushTPhysics()
    seconds = np.zeros((200, 2))
    for k, (start, plan) in enumerate(zip(starts, plans, strict=True)):  # interleaved: the same noise
        reference.reset(start)
        ours.reset(start)
        began = time.perf_counter()
        for action in plan:
            reference.arena.step(np.array(reference.arena.agent.position) + REACH * action)
        between = time.perf_counter()
        for action in plan:
            ours.act(action)
        seconds[k] = between - began, time.perf_counter() - between
        assert np.array_equal(reference.state, ours.state)
    ratio = np.median(seconds[:, 0] / seconds[:, 1])
    print(f"\nenv.step / ours: {ratio:.1f}x, ours {1e6 * np.median(seconds[:, 1]) / 16:.0f} us a step")


@pytest.mark.benchmark
def test_collecting():
    world = PushT()
    world.transitions(100, seed=0)
    began = time.perf_counter()
    world.transitions(3000, seed=1)
    seconds = (time.perf_counter() - began) / 3
    print(f"\ncollecting: {seconds:.3f} s per 1000 transitions")
