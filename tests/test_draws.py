"""Orientations of scenes follow from what training has seen and from the group, for every world alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.symmetry.coverage import Arc, Ball, Coverage, Shell, Whole
from equiwm.symmetry.elements import Elements, rotations
from equiwm.symmetry.groups import SE3, SO2, SO3, Group
from equiwm.worlds.draws import Moved, generator, generators, orientations_of, place
from equiwm.worlds.scene import Scene

SO2Z, C5Z = Group.parse("so2z"), Group.parse("c5z")


class Drift(Scene):
    """A point that drifts, in space; the group is given to it."""

    observation_rep, action_rep = "3x1o", "1o"

    def __init__(self, group: Group, coverage: Coverage | None = None) -> None:
        self.group, self.coverage = group, coverage
        super().__init__()

    def start(self, rng):
        return rng.normal(size=(3, 3))

    def step(self, observation, action):
        return observation + 0.1 * action[:, None]


@pytest.mark.parametrize(
    ("coverage", "group", "everything", "rest"),
    [
        (Arc(10.0, 100.0), SO2, Whole(2), Arc(100.0, 370.0)),
        (Arc(0.0, 90.0, 3), SO3, Whole(3), Whole(3)),  # of measure zero
        (Arc(0.0, 90.0, 3), SE3, Whole(3), Whole(3)),
        (Arc(0.0, 90.0, 3), SO2Z, Arc(0.0, 360.0, 3), Arc(90.0, 360.0, 3)),
        (Ball(40.0), SO3, Whole(3), Shell(40.0, 180.0)),
    ],
)
def test_all_and_unseen_orientations(coverage, group, everything, rest):
    assert orientations_of(coverage, "seen", group) is coverage
    assert orientations_of(coverage, "all", group) == everything
    assert orientations_of(coverage, "unseen", group) == rest


@pytest.mark.parametrize(
    ("coverage", "group"),
    [(Arc(0.0, 360.0), SO2), (Whole(2), SO2), (Whole(3), SO3), (Ball(180.0), SO3), (Arc(-90.0, 270.0, 3), SO2Z)],
)
def test_nothing_is_unseen(coverage, group):
    with pytest.raises(DataError, match="none is unseen"):
        orientations_of(coverage, "unseen", group)


def test_a_finite_group_moves_what_was_seen():
    """C_5: only the turns by 144 and 216 degrees lead off an arc of 90."""
    world = Drift(C5Z)
    assert isinstance(orientations_of(world.coverage, "all", C5Z), Moved)
    seen, unseen, every = (world.turns(60, 3, kind) for kind in ("seen", "unseen", "all"))
    assert bool(world.coverage.contains(seen).all())
    assert not bool(world.coverage.contains(unseen).any())
    for moved, angles in ((unseen, {144.0, 216.0}), (every, {0.0, 72.0, 144.0, 216.0, 288.0})):
        by = moved @ seen.inverse()
        turned = torch.rad2deg(torch.atan2(by.linear[:, 1, 0], by.linear[:, 0, 0])) % 360.0
        assert {round(angle, 6) % 360.0 for angle in turned.tolist()} == angles
    with pytest.raises(DataError, match="none is unseen"):
        Drift(C5Z, Arc(0.0, 220.0, 3)).turns(2, 0, "unseen")


def test_scenes_stay_upright_in_a_world_about_an_axis():
    world = Drift(SO2Z)
    for kind in ("seen", "all", "unseen"):
        assert (world.turns(50, 0, kind).linear[:, 2, 2] > 1.0 - 1e-12).all()
    assert world.coverage.contains(world.turns(200, 0, "all")).double().mean() == pytest.approx(0.25, abs=0.1)


@dataclass(frozen=True)
class Two(Coverage):
    """A user's own: a quarter turn either way."""

    d = 2
    label = "a quarter turn"

    def contains(self, g: Elements) -> Tensor:
        return g.linear[..., 0, 0].abs() < 1e-9

    def sample(self, n: int, seed: int | np.random.Generator) -> Elements:
        return rotations(90.0 * np.random.default_rng(seed).choice([-1.0, 1.0], n), 2)


def test_a_coverage_of_somebody_elses_is_sampled_scene_by_scene():
    uniform = np.random.default_rng(0).random(40)
    few, many = (place(Two(), uniform[:n], np.zeros((n, 4))) for n in (10, 40))
    assert torch.equal(few.linear, many.linear[:10])
    assert bool(Two().contains(many).all())
    assert 5 < int((many.linear[:, 1, 0] > 0).sum()) < 35
    rest = place(orientations_of(Two(), "unseen", SO2), uniform, np.zeros((40, 4)))
    assert not bool(Two().contains(rest).any())


@pytest.mark.parametrize("columns", [3, 4])
def test_haar_turns_from_axes_and_from_quaternions(columns):
    rng = np.random.default_rng(0)
    turns = place(Whole(3), rng.random(20_000), rng.normal(size=(20_000, columns)))
    mean = turns.linear.mean(0)
    assert mean.abs().max() < 0.02
    assert turns.linear[:, 0, 0].square().mean() == pytest.approx(1 / 3, abs=0.01)


def test_generators_are_of_their_own():
    first, second = generators(1, 7, range(2))
    assert first.random() != second.random()
    assert generator(1, 0, seed=7).random() == generators(1, 7, [0])[0].random()
    with pytest.raises(DataError, match="seed: got -1"):
        generator(1, seed=-1)
