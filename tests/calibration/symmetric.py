"""Symmetric logs of several worlds, each with its group: what a calibrated test must not call broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from equiwm.evidence.data.observed import Observed, Part, of_transitions
from equiwm.symmetry.coverage import Whole
from equiwm.symmetry.reps import Rep
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field
from equiwm.worlds.pusht.world import PushT
from equiwm.worlds.world import Transitions


@dataclass(frozen=True)
class Stratum:
    """One kind of symmetric log.

    Attributes:
        make: seed -> transitions.
        group: that the world carries.
    """

    make: Callable[[int], Observed]
    group: str


def pusht(n: int, orientations: str, drift: float = 0.0) -> Callable[[int], Observed]:
    """PushT's exploration; `drift` px a step that the table moves the block along x: then it is not symmetric."""

    def make(seed: int) -> Observed:
        world = PushT()
        data = world.transitions(n, seed=seed, orientations=orientations)  # type: ignore[arg-type]
        after = data.next_observation.clone()
        after[:, 2, 0] += drift / 256.0
        return _of(world, replace(data, next_observation=after))

    return make


def field(
    n: int, d: int, coverage: float | None, noise: float = 0.0, breaking: float = 0.0
) -> Callable[[int], Observed]:
    """The velocity field; None covers everything."""

    def make(seed: int) -> Observed:
        world = Field(FieldConfig(dimension=d, coverage=coverage, breaking=breaking))  # type: ignore[arg-type]
        data = world.transitions(n, seed=seed, orientations="seen" if coverage is not None else "all")
        return _of(world, _noisy(data, noise, seed))

    return make


def cloud(n: int, *, whole: bool, noise: float = 0.0) -> Callable[[int], Observed]:
    """The point cloud, on its wedge about z or everywhere."""

    def make(seed: int) -> Observed:
        world = Cloud(CloudConfig())
        if whole:
            world.coverage = Whole(3)
        return _of(world, _noisy(world.transitions(n, seed=seed), noise, seed))

    return make


def _of(world: PushT | Field | Cloud, data: Transitions) -> Observed:
    return of_transitions(data, world.observation_rep, world.action_rep, world.components)


def _noisy(data: Transitions, noise: float, seed: int) -> Transitions:
    drawn = np.random.default_rng([seed, 7]).normal(0.0, noise, data.next_observation.shape)
    return replace(data, next_observation=data.next_observation + torch.from_numpy(drawn))


STEPS = 20


def glider(
    n: int, *, half: bool = False, goal: bool = False, noise: float = 0.05, drift: float = 0.0
) -> Callable[[int], Observed]:
    """A glider in the plane: place, velocity and heading; it thrusts forward and steers, with noise that turns along.

    Args:
        n: transitions, in episodes of 20 steps.
        half: headings start in half of the circle.
        goal: it steers to one place of the lab, so that frame and state depend on each other.
        noise: of velocity and heading, a step.
        drift: wind along y, a step; then it is not symmetric.
    """

    def make(seed: int) -> Observed:
        rng = np.random.default_rng([seed, 3])
        count = -(-n // STEPS)
        place, velocity = rng.normal(0, 2, (count, 2)), rng.normal(0, 0.3, (count, 2))
        angle = rng.uniform(0, np.pi if half else 2 * np.pi, count)
        rows = []
        for _ in range(STEPS):
            heading = np.stack([np.cos(angle), np.sin(angle)], 1)
            steer = rng.uniform(-1, 1, count)
            if goal:
                wanted = np.arctan2(1.0 - place[:, 1], 3.0 - place[:, 0])
                steer = np.clip(np.sin(wanted - angle) + 0.5 * steer, -1, 1)
            thrust = rng.uniform(0, 1, count)
            speed = (velocity * heading).sum(1)
            after_angle = angle + 0.4 * np.tanh(2 * steer) * (0.3 + speed**2) + noise * rng.normal(size=count)
            after_velocity = 0.8 * velocity + 0.3 * np.maximum(thrust - 0.3, 0)[:, None] * heading
            after_velocity += noise * rng.normal(size=(count, 2)) + [0.0, drift]
            after = place + after_velocity
            turned = np.stack([np.cos(after_angle), np.sin(after_angle)], 1)
            rows.append(
                (place, velocity, heading, after - place, after_velocity - velocity, turned - heading, steer, thrust)
            )
            place, velocity, angle = after, after_velocity, after_angle
        columns = [torch.from_numpy(np.concatenate(part)[:n].reshape(n, -1)) for part in zip(*rows, strict=True)]
        p, v, h, dp, dv, dh, steer_of, thrust_of = columns
        parts = (
            Part("place", Rep.parse("p", 2), p, dp, "m"),
            Part("velocity", Rep.parse("1o", 2), v, dv, "m"),
            Part("heading", Rep.parse("1o", 2), h, dh, "rad"),
            Part("steer", Rep.parse("0o", 2), steer_of, None),
            Part("thrust", Rep.parse("0e", 2), thrust_of, None),
        )
        return Observed(parts, np.tile(np.arange(count), STEPS)[:n], (), "glider")

    return make


STRATA: dict[str, Stratum] = {
    "pusht all 500": Stratum(pusht(500, "all"), "so2"),
    "pusht all 3000": Stratum(pusht(3000, "all"), "so2"),
    "pusht wedge 500": Stratum(pusht(500, "seen"), "so2"),
    "pusht wedge 3000": Stratum(pusht(3000, "seen"), "so2"),
    "pusht wedge 20000": Stratum(pusht(20_000, "seen"), "so2"),
    "field plane all 500": Stratum(field(500, 2, 360.0), "so2"),
    "field plane half 1500": Stratum(field(1500, 2, 180.0), "so2"),
    "field plane quarter 3000": Stratum(field(3000, 2, 90.0), "so2"),
    "field plane half noisy 1500": Stratum(field(1500, 2, 180.0, noise=0.05), "so2"),
    "field plane half 20000": Stratum(field(20_000, 2, 180.0), "so2"),
    "field space all 1500": Stratum(field(1500, 3, None), "so3"),
    "field space ball 1500": Stratum(field(1500, 3, 90.0), "so3"),
    "field space ball so2z 3000": Stratum(field(3000, 3, 90.0), "so2z"),
    "cloud wedge so2z 1500": Stratum(cloud(1500, whole=False), "so2z"),
    "cloud wedge noisy so3 1500": Stratum(cloud(1500, whole=False, noise=0.05), "so3"),
    "cloud all noisy so3 1500": Stratum(cloud(1500, whole=True, noise=0.05), "so3"),
    "glider all 1500": Stratum(glider(1500), "so2"),
    "glider half 3000": Stratum(glider(3000, half=True), "so2"),
    "glider half se2 3000": Stratum(glider(3000, half=True), "se2"),
    "glider all o2 3000": Stratum(glider(3000), "o2"),
    "glider all mirror 1500": Stratum(glider(1500), "mirrorx2"),
    "glider exact 1500": Stratum(glider(1500, noise=0.0), "so2"),
    "glider goal 3000": Stratum(glider(3000, goal=True), "so2"),
    "glider goal exact 3000": Stratum(glider(3000, goal=True, noise=0.0), "so2"),
}
"""Name -> a kind of symmetric log: five worlds, full and partial coverage, 500 to 20,000 transitions, noisy or not."""

BROKEN: dict[str, Stratum] = {
    "pusht all 3000 drift 2 px": Stratum(pusht(3000, "all", 2.0), "so2"),
    "pusht wedge 3000 drift 2 px": Stratum(pusht(3000, "seen", 2.0), "so2"),
    "pusht wedge 3000 drift 1 px": Stratum(pusht(3000, "seen", 1.0), "so2"),
    "field plane half 1500 breaking 0.005": Stratum(field(1500, 2, 180.0, breaking=0.005), "so2"),
    "field space ball 1500 breaking 0.02": Stratum(field(1500, 3, 90.0, breaking=0.02), "so3"),
    "glider half 3000 wind 0.01": Stratum(glider(3000, half=True, drift=0.01), "so2"),
}
"""Name -> a kind of log whose world is not symmetric."""
