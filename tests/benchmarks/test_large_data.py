"""Large data: made by one process and by two, and read from the cache; equal bits, and what each costs."""

import resource
import time

import pytest

from equiwm.config import load
from equiwm.training import parts
from equiwm.training.parts import COLUMNS, collected
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Transitions

TRANSITIONS, TURNS = 1_000_000, 1


def _cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _made(world: object, seed: int) -> tuple[Transitions, float, float]:
    wall, cpu = time.perf_counter(), _cpu()
    data = collected(world, TRANSITIONS, seed=seed)
    return data, time.perf_counter() - wall, _cpu() - cpu


def _same(some: Transitions, other: Transitions) -> bool:
    return all(bool((getattr(some, name) == getattr(other, name)).all()) for name in COLUMNS)


@pytest.mark.slow
def test_large_data(board, tmp_path, monkeypatch):
    world = build_world(load("vn-2d").world)
    walls, costs, reads = [], [], []
    for seed in range(TURNS):
        monkeypatch.setenv("EQUIWM_CACHE", "off")
        monkeypatch.setenv(parts.JOBS_VARIABLE, "1")
        alone, one_wall, one_cpu = _made(world, seed)
        monkeypatch.setenv(parts.JOBS_VARIABLE, "2")
        monkeypatch.setenv("EQUIWM_CACHE", str(tmp_path / "cache"))
        shared, two_wall, two_cpu = _made(world, seed)
        read, _, read_cpu = _made(world, seed)
        assert _same(alone, shared)
        assert _same(alone, read)
        walls.append((one_wall, two_wall))
        costs.append((two_cpu, one_cpu))
        reads.append((one_cpu, read_cpu))
    what = f"{TRANSITIONS:,} PushT transitions"
    board.pairs(f"{what}, wall clock: one process / two, kept", walls, asked="1.8x", unit="data set")
    board.pairs(f"{what}: two processes, kept / one", costs, unit="data set")
    board.pairs(f"{what}: made / read from the cache", reads, unit="data set")
