"""Large data in parts: the same bits by one process, by several and from the cache; small data pay nothing."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm import workers
from equiwm.config import WorldConfig, load
from equiwm.errors import ConfigError, DataError, MachineError
from equiwm.symmetry.coverage import Arc
from equiwm.training import parts
from equiwm.training.data import training_data
from equiwm.training.parts import COLUMNS, collected
from equiwm.worlds import scene
from equiwm.worlds.factory import build_world
from equiwm.worlds.foreign import checked_world
from equiwm.worlds.guard import _Guarded, _mixed
from equiwm.worlds.pusht import world as pusht
from equiwm.worlds.scene import Scene
from equiwm.worlds.world import PART, PartedWorld, Transitions


def same(some: Transitions, other: Transitions) -> bool:
    return dict(some.excluded) == dict(other.excluded) and all(
        torch.equal(getattr(some, name), getattr(other, name))
        and getattr(some, name).dtype == getattr(other, name).dtype
        for name in COLUMNS
    )


def world_of(preset: str, *assignments: str):
    return build_world(load(preset, None, assignments).world)


class Swing(Scene):
    """A world from outside: points that one action moves and turns."""

    group, observation_rep, action_rep, episode_steps = "so2", "3x1o", "1o", 4
    in_parts = True

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=(3, 2))

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        return observation + 0.1 * action[..., None, :] * observation.square().sum((-1, -2), keepdim=True).sqrt()


class Remembering(Swing):
    """Its scenes depend on those before."""

    made = 0

    def start(self, rng: np.random.Generator) -> np.ndarray:
        Remembering.made += 1
        return super().start(rng) + Remembering.made


class Elsewhere(Swing):
    """It is another one in another process."""

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return super().start(rng) + os.getpid()


class Held(Swing):
    """What it holds cannot be sent to another process."""

    def __init__(self, config: WorldConfig | None = None) -> None:
        super().__init__(config)
        self.lock = threading.Lock()


class Raising(Swing):
    """It fails in the second part of its data."""

    def start(self, rng: np.random.Generator) -> np.ndarray:
        if self._first_scene > 1:  # what is tried of a world before is scene 1 alone
            raise ValueError("no second part")
        return super().start(rng)


SMALL = 512
"""Transitions of a part of these tests, about."""


@pytest.fixture(autouse=True)
def _small_parts(request, monkeypatch):
    if "pay_nothing" not in request.node.name:
        for module in (parts, pusht, scene):
            monkeypatch.setattr(module, "PART", SMALL)


@pytest.fixture
def worth(monkeypatch):
    """Two processes for any data in parts."""
    monkeypatch.setattr(parts, "WORTH", 0.0)
    monkeypatch.setattr(parts, "SHARE", 1e-9)
    monkeypatch.setenv(parts.JOBS_VARIABLE, "2")


@pytest.mark.parametrize(
    ("preset", "n"),
    [
        *(("vn-2d", n) for n in (SMALL + 1, 640, 1777)),
        *((preset, SMALL + 70) for preset in ("vn-2d-arena", "vn-ring-noise", "vn-pair")),
        pytest.param("vn-bodies", 1300, marks=pytest.mark.slow),
        pytest.param("vn-bodies-3d", 1300, marks=pytest.mark.slow),
    ],
)
def test_parts_are_the_whole(preset, n):
    """Also what is counted as dropped, which ends with the last episode that is needed."""
    world = world_of(preset)
    assert isinstance(world, PartedWorld)
    assert world.part_episodes
    assert same(collected(world, n, seed=3), world.transitions(n, seed=3))


def test_several_processes_make_the_same_bits(worth, monkeypatch):
    world, made_here, made_there = world_of("vn-2d"), [], []
    world.coverage = Arc(100.0, 120.0)  # as a study may change it: what is sent is the world as it stands
    computed = parts.computed_with_help

    def counted(*arguments):
        for each in computed(*arguments):
            (made_here if each.code is None else made_there).append(each)
            yield each

    monkeypatch.setattr(parts, "computed_with_help", counted)
    told = []
    found = collected(world, 4000, seed=3, progress=lambda done, total: told.append((done, total)))
    assert len(made_there) >= 2
    assert made_here, "this process makes parts while the other starts"
    assert told[-1] == (4000, 4000)
    monkeypatch.setenv(parts.JOBS_VARIABLE, "1")
    assert same(collected(world, 4000, seed=3), found)
    assert same(world.transitions(4000, seed=3), found)
    _nobody_waits()


def _nobody_waits() -> None:
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    assert executor is None or not executor._processes


def _never(*_: object, **__: object) -> None:
    raise AssertionError("small data pay nothing")


@pytest.mark.parametrize("n", [1500, PART, 6000])
def test_small_data_pay_nothing(n, monkeypatch):
    """Neither a process nor a look into the cache; at most `PART` are made as ever."""
    for name in ("computed_with_help", "key_of", "_packed", "cache_folder"):
        monkeypatch.setattr(parts, name, _never)
    if n <= PART:
        monkeypatch.setattr(parts, "_made_here", _never)
    config = load("vn-2d", None, (f"training.transitions={n}",))
    assert len(training_data(config.training, build_world(config.world), seed=0)) == n


def test_what_is_left_decides_how_many_processes(monkeypatch):
    import joblib

    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert [parts._jobs(seconds) for seconds in (1.0, parts.WORTH - 1e-3, parts.WORTH, 16.0, 1e6)] == [1, 1, 2, 4, 8]
    monkeypatch.setenv(parts.JOBS_VARIABLE, "3")
    assert parts._jobs(1e6) == 3
    monkeypatch.setattr(workers, "_bound", [1])
    assert parts._jobs(1e6) == 1, "in a process of a grid"


@pytest.mark.parametrize("given", ["0", "two", "-1", "1.5", "²"])
def test_a_number_of_processes_that_is_none(given, monkeypatch):
    monkeypatch.setenv(parts.JOBS_VARIABLE, given)
    with pytest.raises(ConfigError, match=f"EQUIWM_DATA_JOBS: got '{given}'"):
        collected(world_of("vn-2d"), SMALL + 1, seed=0)


def test_a_table_is_made_in_one_piece():
    pytest.importorskip("mujoco")
    assert world_of("vn-table").part_episodes == 0


def test_worlds_that_are_made_in_one_piece():
    """A guard drops what it likes, recordings are there, and others have not said that they can be made in parts."""
    assert not isinstance(world_of("vn-3d"), PartedWorld)
    assert world_of("vn-2d").part_episodes > 0
    guarded = _mixed(world_of("vn-2d"), _Guarded, lambda seen: torch.ones(seen.shape[:-2], dtype=torch.bool))
    assert guarded.part_episodes == 0
    world = world_of("vn-2d")
    world._demonstrated = object()
    assert world.part_episodes == 0


# Worlds from outside


@pytest.mark.parametrize("kind", [pytest.param(Swing, marks=pytest.mark.slow), Held])
def test_a_world_from_outside(kind, worth, caplog):
    world = checked_world(kind())
    assert same(collected(world, 2500, seed=2), world.transitions(2500, seed=2))
    assert caplog.text == ""


def test_parts_that_depend_on_what_was_made_before_are_refused():
    with pytest.raises(DataError, match=r"Remembering.episodes gives another observation than transitions does"):
        checked_world(Remembering())


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("part_episodes", 2.5, r"Swing.part_episodes is 2.5; expected how many episodes"),
        ("data_files", "data.npz", r"Swing.data_files is 'data.npz'; expected paths"),
        ("data_files", ("/nowhere/data.npz",), r"Swing.data_files: there is no file /nowhere/data.npz"),
        ("episodes", lambda self, first, count, *, seed, orientations="seen": None, "Transitions"),
    ],
)
def test_parts_that_are_none(member, value, said):
    kind = type("Swing", (Swing,), {member: value, "__module__": __name__})
    with pytest.raises(DataError, match=said):
        checked_world(kind())


def test_episodes_numbered_otherwise():
    class Numbered(Swing):
        def episodes(self, first: int, count: int, **options: object) -> Transitions:
            data = super().episodes(first, count, **options)
            return replace(data, episode=data.episode - first)

    with pytest.raises(DataError, match=r"Numbered.episodes numbers its episodes otherwise than 1 to 1"):
        checked_world(Numbered())


@pytest.mark.slow
def test_a_world_that_is_another_elsewhere_is_made_here(worth, caplog):
    world = checked_world(Elsewhere())
    assert same(collected(world, 2500, seed=2), world.transitions(2500, seed=2))
    assert "gives other transitions in another process; all transitions are made in this one." in caplog.text


@pytest.mark.slow
def test_what_a_world_raises_in_another_process_is_told_as_here(worth):
    world = checked_world(Raising())
    with pytest.raises(DataError, match=r"Raising.(start|episodes|transitions) raised ValueError: no second part"):
        collected(world, 2500, seed=2)
    _nobody_waits()


def test_parts_that_differ_are_made_here(worth, monkeypatch, caplog):
    """And whatever other processes have made is not used."""
    world = world_of("vn-2d")

    def others(function, work, here, helpers):
        for _, first, count, seed in work:
            part = parts._as_part(world.episodes(first, count, seed=seed))
            part.rows["action"][-1, 0] += 1e-16 + np.spacing(part.rows["action"][-1, 0])
            yield part

    monkeypatch.setattr(parts, "computed_with_help", others)
    assert same(collected(world, 2500, seed=2), world.transitions(2500, seed=2))
    assert "the world 'pusht' gives other transitions in another process" in caplog.text


def test_a_process_that_dies_is_told(worth, monkeypatch):
    from concurrent.futures import BrokenExecutor

    def broken(*_: object, **__: object):
        raise BrokenExecutor
        yield

    monkeypatch.setattr(parts, "computed_with_help", broken)
    with pytest.raises(MachineError, match=r"a process that made transitions died .* EQUIWM_DATA_JOBS=1"):
        collected(world_of("vn-2d"), 4000, seed=0)
