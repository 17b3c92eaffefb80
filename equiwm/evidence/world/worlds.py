"""Worlds of this package, and any that has its form, as probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equiwm.config import WorldConfig, is_path, load, preset_names, world_config
from equiwm.errors import GroupError
from equiwm.evidence.world.acting import group_of
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.result import CauseResult
from equiwm.evidence.world.simulator import Step
from equiwm.locate import known_names
from equiwm.schema import read_assignment
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import AccessibleWorld, StateAccess, World


class Accessed:
    """The simulator of a world that gives access to its whole state."""

    def __init__(self, access: StateAccess) -> None:
        self._access = access

    def place(self, state: np.ndarray) -> None:
        """Put it in a state."""
        self._access.place(state)

    def state(self) -> np.ndarray:
        """The present state."""
        return self._access.state()

    def act(self, action: np.ndarray) -> Step:
        """One control step."""
        self._access.act(action)
        return Step()

    @property
    def touching(self) -> Sequence[str]:
        """Names of what is in contact, where the world says."""
        return () if self._access.touching is None else self._access.touching()


def preset_probe(name: str, group: str | None = None, settings: Sequence[str] = ()) -> WorldProbe:
    """The probe of a preset's world, or of a world by its own short name.

    Args:
        name: of the preset, or the path of its YAML; or of a world (`table`), as it is by default.
        group: another than the world's own.
        settings: `world.key=value`, over the preset or the defaults.

    Raises:
        ConfigError: an unknown preset or setting.
        GroupError: a group of another dimension.
    """
    world = build_world(_world_of(name, settings))
    label = f"{name} ({world.name})" + (f" with {', '.join(settings)}" if settings else "")
    return world_probe(world, group, label)


def _world_of(name: str, settings: Sequence[str]) -> WorldConfig:
    if is_path(name) or name in preset_names() or name not in known_names("world"):
        return load(name, None, settings).world
    values: dict[str, Any] = {"name": name}
    for assignment in settings:
        values |= read_assignment(assignment, ["world"])[1]
    return world_config(values)


def environment_probe(target: str, reps: Path, group: str) -> WorldProbe:
    """The probe of a Gymnasium environment that can be put where its observations show it.

    Args:
        target: `gym:ENV`.
        reps: a `reps.yaml` of its observations and actions.
        group: the symmetry.

    Raises:
        ConfigError: a `reps.yaml` that is wrong.
        DataError: an environment that cannot be made, or whose state cannot be set; the message says why.
        GroupError, RepError: a group or a rep that does not fit.
    """
    kind, _, env = target.partition(":")
    world = build_world(world_config({"name": kind, "env": env, "reps": str(reps), "group": group}))
    return world_probe(world, None, target)


def world_probe(world: World, group: Group | str | None = None, name: str | None = None) -> WorldProbe:
    """The probe of a world: with its whole state where it gives access to it, else by what it observes.

    Args:
        world: any world.
        group: another than its own.
        name: for reports.

    Raises:
        GroupError: a group of another dimension than the world's.
    """
    symmetry = world.group if group is None else group_of(group)
    if symmetry.d != world.dimension:
        raise GroupError(f"{symmetry} acts on d = {symmetry.d}; the world '{world.name}' has d = {world.dimension}.")
    name = name or world.name
    if not isinstance(world, AccessibleWorld):
        return _by_observation(world, symmetry, name)
    access = world.state_access()

    def why(elements: Elements) -> list[CauseResult]:
        return [CauseResult("fixed in the world", f"{access.fixed}.", "", "")] if access.fixed else []

    return WorldProbe(
        Accessed(access),
        access.starts,
        access.plans,
        symmetry,
        access.turn,
        access.turn_action,
        channels=access.channels,
        angles=access.angles,
        quaternions=access.quaternions,
        sigma=access.sigma,
        name=name,
        causes=why,
        guard=access.guard,
    )


def _by_observation(world: World, symmetry: Group, name: str) -> WorldProbe:
    """States are observations, and steps those of the world from what an observation shows."""
    see, do = world.observation_rep, world.action_rep
    shape, width = see.shape, do.dim
    few = world.transitions(2, seed=0)

    def step(state: np.ndarray, action: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(action).reshape(1, *few.action.shape[1:])
        after = world.step(torch.from_numpy(state).reshape(1, *shape), given)
        return after.reshape(-1).numpy()

    def starts(n: int, seed: int) -> np.ndarray:
        return world.transitions(n, seed=seed, orientations="all").observation.reshape(n, -1).numpy()

    def plans(n: int, horizon: int, seed: int) -> np.ndarray:
        drawn = world.transitions(n * horizon, seed=seed + 1, orientations="all").action.reshape(-1, width).numpy()
        return drawn[np.random.default_rng(seed).permutation(len(drawn))].reshape(n, horizon, width)

    known = {channel: label for label, channel in world.components.items()}
    channels = {known.get(k, label): at for k, (label, at) in enumerate(_named(see).items())}
    return WorldProbe(step, starts, plans, symmetry, see, do, channels=channels, name=name)


def _named(rep: Rep) -> dict[str, tuple[int, ...]]:
    """The channels of a rep by their kinds, with their entries."""
    found: dict[str, tuple[int, ...]] = {}
    start = 0
    for count, kind in rep.terms:
        what = "point or vector" if kind.structured else kind.name
        for _ in range(count):
            found[f"{what} {len(found)}"] = tuple(range(start, start + kind.dim(rep.d)))
            start += kind.dim(rep.d)
    return found
