"""Where a symmetry breaks, as a map: how far out of a position it holds, by direction, found by bisection.

One channel of the state, a position, is moved outwards from the point that the group fixes, until a step and its copies
no longer agree. Under a group that turns, what counts is the direction in the frame of the rest of the state: where the
state has an angle, the bound is a function of that angle less the direction; under other groups of the direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.audit.verdict import Verdict
from equiwm.errors import DataError, nearest
from equiwm.evidence.world.acting import motions
from equiwm.evidence.world.centre import fixed_point
from equiwm.evidence.world.columns import Column, differences
from equiwm.evidence.world.judge import EXACT, EXPLAINED
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.result import WorldResult
from equiwm.evidence.world.rollouts import one_ulp, rollout
from equiwm.results.guard import GuardMap
from equiwm.symmetry.elements import Elements
from equiwm.worlds.guard import RadialGuard

KNOTS, ELEMENTS, SCENES = 48, 16, 2
_AGREE = 2000
"""States in which a map is compared with the world's own guard."""
_STEPS = 2
_PRECISION = 0.002
"""Of a bound, relative to it."""
_GOLDEN = 137.50776405003785
"""Degrees: so many turns of it meet the four walls of a room at as many different angles."""


@dataclass(frozen=True, eq=False)
class BreakMap:
    """The bound on one position.

    Attributes:
        channel: the position.
        centre: (2,) the point that the group fixes.
        angles: (K,) radians, ascending: of the direction, or of an angle of the state less it.
        radius: (K,) how far out the symmetry holds; infinite where no bound was found.
        position: the position's two entries of the state.
        angle: the entry of the state's angle; None where the direction alone counts.
        guard: (K,) the bound of the world's own guard; None where it has none.
        agreement: share of the world's own states in which map and guard say the same; NaN where it has none.
        size: S, how many numbers a state has.
        world, group: names of both.
    """

    channel: str
    centre: np.ndarray
    angles: np.ndarray
    radius: np.ndarray
    position: tuple[int, int]
    angle: int | None
    guard: np.ndarray | None
    agreement: float
    size: int
    world: str
    group: str

    @cached_property
    def saved(self) -> GuardMap:
        """The map as it is saved, to be a world's guard."""
        bounds = [float(f"{each:.6g}") if np.isfinite(each) else float("nan") for each in self.radius]
        return GuardMap(
            self.world,
            self.group,
            self.channel,
            self.size,
            list(self.position),
            self.centre.tolist(),
            self.angle,
            bounds,
        )

    def holds(self, states: np.ndarray) -> np.ndarray:
        """Whether the symmetry holds in each of the states (..., S), (...) bool; at rest, as it was measured."""
        return RadialGuard(self.saved).holds(states)

    @property
    def off_guard(self) -> float:
        """The largest distance of the bound from that of the world's own guard; NaN where it has none."""
        return float("nan") if self.guard is None else float(np.abs(self.radius - self.guard).max())

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "channel": self.channel,
            "centre": self.centre.tolist(),
            "angles": self.angles.tolist(),
            "radius": self.radius.tolist(),
            "guard": None if self.guard is None else self.guard.tolist(),
            "off_guard": self.off_guard,
            "agreement": self.agreement,
        }

    def text(self, width: int | None = None) -> str:
        """The map in a sentence."""
        low, high = float(self.radius.min()), float(self.radius.max())
        said = f"it holds while '{self.channel}' is within {low:.4g} to {high:.4g} of its centre, by direction"
        if not np.isfinite(low):
            said = f"no bound on '{self.channel}' was found"
        if self.guard is not None:
            said += f"; the world's own guard is at most {self.off_guard:.2g} away"
            said += f", and says the same in {self.agreement:.1%} of {_AGREE:,} states"
        return f"map: {said}."

    def draw(self, folder: Path, name: str) -> Path:
        """The bound as a figure, with its CSV."""
        import pandas as pd

        from equiwm.figures.canvas import COLOURS, canvas, save

        data = pd.DataFrame({"angle_deg": np.rad2deg(self.angles), "radius": self.radius})
        if self.guard is not None:
            data["guard"] = self.guard
        with canvas(5.0, 3.2) as figure:
            panel = figure.add_subplot()
            panel.plot(data["angle_deg"], data["radius"], color=COLOURS[0], label="measured")
            if self.guard is not None:
                panel.plot(
                    data["angle_deg"], data["guard"], color=COLOURS[1], linestyle="--", label="the world's guard"
                )
            what = "direction" if self.angle is None else "angle of the state less direction"
            panel.set_xlabel(f"{what} (degrees)")
            panel.set_ylabel(f"largest distance of {self.channel}")
            panel.legend()
            return save(figure, data, folder, name)


def break_map(probe: WorldProbe, channel: str, *, seed: int = 1000, knots: int = KNOTS) -> BreakMap:
    """The map of one position.

    Args:
        probe: the world and the group.
        channel: a position of two or more entries, of which the first two are moved.
        seed: of scenes, plans and elements.
        knots: directions.

    Raises:
        DataError: no such channel, or one of a single entry.
    """
    scenes = probe.starts(max(SCENES, 4), seed)
    plans = probe.plans(len(scenes), _STEPS, seed)
    columns = probe.columns(scenes.shape[1])
    known = {column.name: column for column in columns if len(column.index) > 1 and column.kind == "number"}
    if channel not in known:
        raise DataError(f"--where '{channel}': {nearest(channel, known)} A position has two entries or more.")
    column = known[channel]
    position = (column.index[0], column.index[1])
    elements = _elements(probe, seed)
    centre = fixed_point(probe, column, scenes[0], elements)[:2]
    turning = bool(elements.turns.any() and (elements.determinant > 0).any())
    angle = next((each.index[0] for each in columns if each.kind == "angle"), None) if turning else None
    finder = _Finder(probe, columns, scenes[:SCENES], plans[:SCENES], elements, position, centre, angle, seed)
    angles = np.linspace(-np.pi, np.pi, knots, endpoint=False)
    radius = finder.bounds(angles, finder.breaks)
    guard = None if probe.guard is None else finder.bounds(angles, finder.left)
    size, names = scenes.shape[1], (probe.name, str(probe.group))
    found = BreakMap(channel, centre, angles, radius, position, angle, guard, float("nan"), size, *names)
    if probe.guard is None or not np.isfinite(radius).any():
        return found
    states = probe.starts(_AGREE, seed + 1)
    return replace(found, agreement=float((found.holds(states) == probe.guard(states)).mean()))


def with_map(result: WorldResult, found: BreakMap) -> WorldResult:
    """The result of a check, broken where its states did not reach the bound that the map has found."""
    if not (result.verdict.holds or result.verdict is Verdict.APPROXIMATE) or not np.isfinite(found.radius).any():
        return result
    where = f"where '{found.channel}' is further than {float(found.radius.min()):.4g} from its centre, by direction"
    said = f"{result.world} is NOT symmetric under {result.group}, {where}: the map of the break found it."
    return replace(result, verdict=Verdict.BROKEN, sentence=said, region=replace(result.region, where=where))


def _elements(probe: WorldProbe, seed: int) -> Elements:
    """Elements that are tried at every state: turns at many different angles where the group has them."""
    drawn, names = motions(probe.symmetry, ELEMENTS, seed, probe.sigma)
    if "rotation" not in names or probe.symmetry.is_finite:
        return drawn
    return probe.symmetry.rotation(np.arange(1, ELEMENTS + 1) * _GOLDEN)


class _Finder:
    """Bisects the distance at which a predicate becomes true."""

    def __init__(
        self,
        probe: WorldProbe,
        columns: tuple[Column, ...],
        scenes: np.ndarray,
        plans: np.ndarray,
        elements: Elements,
        position: tuple[int, int],
        centre: np.ndarray,
        angle: int | None,
        seed: int,
    ) -> None:
        self.probe, self.columns, self.elements = probe, columns, elements
        self.scenes, self.plans = scenes, plans
        self.position, self.centre, self.angle = list(position), centre, angle
        self.rng = np.random.default_rng((seed, 5))
        runs = np.array([rollout(probe.running, *pair).states for pair in zip(scenes, plans, strict=True)])
        moved = np.sqrt(np.square(differences(columns, runs, runs[:, :1])).mean((0, 1)))
        sizes = np.array([column.size(runs) for column in columns])
        self.scale = np.maximum(moved, 1e-3 * np.maximum(sizes, 1e-12))
        self.reach = max(float(np.linalg.norm(scenes[:, self.position] - centre, axis=1).max()), 1e-6)

    def state(self, k: int, at: float, distance: float) -> np.ndarray:
        """Scene k with the position that far out, in the direction (or at the angle of the state less it) asked for."""
        state = self.scenes[k].copy()
        direction = at if self.angle is None else state[self.angle] - at
        state[self.position] = self.centre + distance * np.array([np.cos(direction), np.sin(direction)])
        return state

    def left(self, at: float, distance: float) -> bool:
        """Whether the world's own guard says that the state is outside, in every scene."""
        guard = self.probe.guard
        states = np.array([self.state(k, at, distance) for k in range(len(self.scenes))])
        return guard is not None and not bool(guard(states).any())

    def breaks(self, at: float, distance: float) -> bool:
        """Whether the symmetry breaks there, in every scene: in one alone something may stand in the position's way."""
        return all(self._breaks_in(k, self.state(k, at, distance)) for k in range(len(self.scenes)))

    def _breaks_in(self, k: int, state: np.ndarray) -> bool:
        probe, plan = self.probe, self.plans[k]
        try:
            run = rollout(probe.running, state, plan).states
            near = rollout(probe.running, one_ulp(state, np.abs(state), 2.0**-52, self.rng), plan).states
            growth = float((differences(self.columns, near, run)[1:] / self.scale).max())
            for n in range(len(self.elements)):
                g = self.elements[n]
                turned = np.array([probe.acts_on_action(action, g) for action in plan])
                copy = rollout(probe.running, probe.acts_on_state(state, g), turned).states
                expected = np.array([probe.acts_on_state(each, g) for each in run])
                apart = float((differences(self.columns, copy, expected)[1:] / self.scale).max())
                if apart > max(EXACT, EXPLAINED * growth):
                    return True
        except DataError:  # the simulator cannot be placed there
            return True
        return False

    def bounds(self, angles: np.ndarray, predicate: Callable[[float, float], bool]) -> np.ndarray:
        """The distance at which a predicate becomes true, by angle; infinite where it does not within 64 times the
        scenes'. Each search begins around what the last one found."""
        found: list[float] = []
        guess = self.reach
        for at in angles.tolist():
            low, high, step = guess, guess, max(0.03 * guess, 1e-9)
            if predicate(at, guess):
                while low > 0.0 and predicate(at, low := max(low - step, 0.0)):
                    high, step = low, 2 * step
            else:
                while not predicate(at, high := high + step):
                    low, step = high, 2 * step
                    if high > 64 * self.reach:
                        high = float("inf")
                        break
            while np.isfinite(high) and high - low > _PRECISION * high:
                middle = (low + high) / 2
                low, high = (low, middle) if predicate(at, middle) else (middle, high)
            found.append((low + high) / 2)
            guess = found[-1] if np.isfinite(found[-1]) and found[-1] > 0.0 else self.reach
        return np.array(found)
