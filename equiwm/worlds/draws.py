"""Random draws of worlds: generators that do not depend on how much is drawn, and how scenes are turned.

A world draws plain random numbers for a scene, and what training has seen of the group (`Coverage`) turns them into
the scene's orientation: the one place where `seen`, `all` and `unseen` are given a meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from equiwm.errors import DataError, GroupError
from equiwm.symmetry.coverage import Arc, Complement, Coverage, Shell, Whole
from equiwm.symmetry.elements import Elements, rotations
from equiwm.symmetry.groups import Group

Orientations = Literal["seen", "all", "unseen"]
"""Scene orientations to draw from: those of training, the whole group, or what training does not see.

For one seed the scenes of all three are the same but for how each is turned as a whole. `unseen` is the complement
of the training's orientations, or, where that is a set of measure zero (a wedge about z in space), the whole group.
"""


def check_orientations(orientations: str) -> None:
    """Refuse a name that is none of `Orientations`.

    Raises:
        DataError: such a name.
    """
    known = get_args(Orientations)
    if orientations not in known:
        names = ", ".join(map(repr, known[:-1]))
        raise DataError(f"orientations: got {orientations!r}, expected {names} or {known[-1]!r}.")


def generator(*stream: int, seed: int) -> np.random.Generator:
    """The generator of a stream: of one purpose, or of one purpose and one episode, task or rollout.

    Raises:
        DataError: a negative seed.
    """
    if seed < 0:
        raise DataError(f"seed: got {seed}, expected an integer of at least 0.")
    return np.random.default_rng([*stream, seed])


def generators(stream: int, seed: int, indices: Iterable[int]) -> list[np.random.Generator]:
    """One generator an episode, task or rollout: what one draws does not depend on how many there are.

    Raises:
        DataError: a negative seed.
    """
    return [generator(stream, index, seed=seed) for index in indices]


def orientations_of(coverage: Coverage, orientations: Orientations, group: Group) -> Coverage:
    """The set that scenes are turned by: what training has seen, all of the group, or the rest of it.

    Args:
        coverage: what training has seen.
        orientations: which of the three.
        group: of the world. All of it are all rotations where it has them all, the whole circle about the arc's axis
            where it has that one, and else what it samples, on top of what training has seen (`Moved`).

    Raises:
        DataError: unknown orientations, or `unseen` where training has seen them all.
    """
    check_orientations(orientations)
    if orientations == "seen":
        return coverage
    everything = _all_of(group, coverage)
    if orientations == "all":
        return everything
    try:
        if isinstance(everything, Moved):
            return everything.away()
        if isinstance(everything, Arc) and isinstance(coverage, Arc):
            return _rest_of_circle(coverage)
        rest = coverage.complement
        thin = isinstance(coverage, Arc) and coverage.d == 3  # of measure zero: its complement is everything
        return everything if thin and isinstance(rest, Complement) else rest
    except GroupError:
        raise DataError(f"orientations: none is unseen, training covers all of {group} ({coverage.label}).") from None


def _all_of(group: Group, coverage: Coverage) -> Coverage:
    every = Whole(group.d)
    if bool(group.contains(every.sample(2, 0)).all()):
        return every
    if isinstance(coverage, Arc):
        circle = Arc(0.0, 360.0, coverage.d, coverage.axis)
        if bool(group.contains(circle.sample(2, 0)).all()):
            return circle
    return Moved(group, coverage)


def _rest_of_circle(arc: Arc) -> Arc:
    if arc.high >= arc.low + 360.0:
        raise GroupError(f"'{arc.label}' is the whole circle: nothing is unseen.")
    return Arc(arc.high, arc.low + 360.0, arc.d, arc.axis)


class Moved(Coverage):
    """What training has seen, moved by elements of a group that has no law of angles (a finite one).

    Args:
        group: whose elements move it, translations taken off.
        coverage: what training has seen.
        apart: only elements that move the coverage off itself.
    """

    def __init__(self, group: Group, coverage: Coverage, *, apart: bool = False) -> None:
        self.d, self._group, self._coverage, self._apart = group.d, group, coverage, apart

    def away(self) -> Moved:
        """The same, by elements that move the coverage off itself alone.

        Raises:
            GroupError: there are none.
        """
        moved = Moved(self._group, self._coverage, apart=True)
        moved.move(0)
        return moved

    @property
    def label(self) -> str:
        return f"{self._coverage.label}, moved by {self._group}"

    def contains(self, g: Elements) -> torch.Tensor:
        raise GroupError(f"whether an element is one of '{self.label}' is not known.")

    def move(self, seed: int) -> Elements:
        """One element (1,) of the group.

        Raises:
            GroupError: none of 256 draws moves the coverage off itself.
        """
        drawn = self._group.sample(256 if self._apart else 1, seed)
        drawn = Elements(drawn.linear, torch.zeros_like(drawn.translation), drawn.permutation)
        for k in range(len(drawn)):
            if not self._apart or self._coverage.overlap(drawn[k]) == "none":
                return drawn[k : k + 1]
        raise GroupError(f"no element of {self._group} moves '{self._coverage.label}' off itself: nothing is unseen.")

    def sample(self, n: int, seed: int | np.random.Generator) -> Elements:
        rng = np.random.default_rng(seed)
        moves = [self.move(int(rng.integers(2**53))) for _ in range(n)]
        return Elements.cat(moves) @ self._coverage.sample(n, rng)


def planar_angles(turns: Coverage, uniform: np.ndarray) -> np.ndarray:
    """Angles of the plane in degrees, distributed as `turns`, from numbers (n,) uniform in [0, 1).

    The arc [low, high) gives low + (high - low) u, and all rotations those of the arc [0, 360).
    """
    if isinstance(turns, Whole):
        turns = Arc(0.0, 360.0)
    if isinstance(turns, Arc):
        return turns.low + (turns.high - turns.low) * uniform
    g = _sampled(turns, uniform)
    return np.rad2deg(np.arctan2(g.linear[:, 1, 0].numpy(), g.linear[:, 0, 0].numpy()))


def place(turns: Coverage, uniform: np.ndarray, normal: np.ndarray) -> Elements:
    """n elements distributed as `turns`, each from the random numbers of its own scene.

    Args:
        turns: what to draw from; other coverages than those of this package's are sampled with a seed of the scene's.
        uniform: (n,) in [0, 1).
        normal: (n, 4) or (n, 3) standard normal numbers, of which turns in space are made: of four a quaternion
            (for all rotations), of three an axis (whose angle is then the uniform number's).
    """
    if isinstance(turns, Arc):
        return rotations(planar_angles(turns, uniform), turns.d, turns.axis)
    if turns.d == 2 and isinstance(turns, Whole):
        return rotations(planar_angles(turns, uniform), 2)
    if turns.d == 3 and isinstance(turns, Whole):
        if normal.shape[1] == 4:
            return _in_space(Rotation.from_quat(normal))
        turns = Shell(0.0, 180.0)
    if turns.d == 3 and isinstance(turns, Shell):
        axes = normal[:, :3] / np.linalg.norm(normal[:, :3], axis=1, keepdims=True)
        angles = haar_angles(uniform, np.deg2rad(turns.inner), np.deg2rad(turns.outer))
        return _in_space(Rotation.from_rotvec(angles[:, None] * axes))
    return _sampled(turns, uniform)


def _in_space(turns: Rotation) -> Elements:
    linear = torch.from_numpy(turns.as_matrix())
    return Elements(linear, linear.new_zeros(linear.shape[:-1]))


def _sampled(turns: Coverage, uniform: np.ndarray) -> Elements:
    return Elements.cat([turns.sample(1, int(number * 2.0**53)) for number in uniform])


def haar_angles(uniform: np.ndarray, low: float, high: float) -> np.ndarray:
    """Angles in radians in [low, high] of Haar rotations of space, from numbers uniform in [0, 1).

    The law F(x) = (x - sin x) / pi is inverted by bisection, to rounding; an angle depends on its own number alone.
    (`Shell.sample` draws the same law by rejection, where one angle depends on those before it.)
    """
    start, stop = low - np.sin(low), high - np.sin(high)
    wanted = start + (stop - start) * uniform
    below, above = np.full_like(uniform, low), np.full_like(uniform, high)
    for _ in range(60):
        middle = 0.5 * (below + above)
        left = middle - np.sin(middle) > wanted
        above, below = np.where(left, middle, above), np.where(left, below, middle)
    return 0.5 * (below + above)
