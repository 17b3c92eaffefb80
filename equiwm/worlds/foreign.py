"""Worlds that are not ours: their members are checked when they are built, their answers whenever they give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from equiwm.checks import as_finite
from equiwm.errors import DataError, GroupError
from equiwm.foreign import Check, called, guard, is_ours, label
from equiwm.planning.frames import Frames
from equiwm.planning.task import ControlTask, Simulation, Tasks
from equiwm.symmetry.coverage import Coverage
from equiwm.symmetry.groups import Group
from equiwm.symmetry.laws import changes, check_group, check_rep, check_space
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import PartedWorld, Sequences, SymmetryResidual, Transitions, World, action_shape

T = TypeVar("T")
_MEMBERS: dict[str, type] = {
    "name": str,
    "group": Group,
    "observation_rep": Rep,
    "action_rep": Rep,
    "coverage": Coverage,
    "equivariant": bool,
    "components": Mapping,
}
_REPEATS = 1e-9
"""How far two results for one state and action may be apart, relative to their size: a simulator's own rounding."""
_METHODS = ("transitions", "step", "readout_targets", "symmetry_residual")


def checked_world(world: Any) -> World:
    """A world of somebody else's, guarded and tried on two transitions; one of ours as it is.

    Raises:
        DataError: it lacks a member, or has one of another type or shape; the message names both.
        GroupError, RepError: its group or one of its reps breaks a law, or the group changes nothing; the message
            names it and the law.
    """
    if is_ours(type(world)):
        ours: World = world
        return ours
    what = label(type(world))
    for name in (*_MEMBERS, *_METHODS):
        if not hasattr(world, name):
            raise DataError(
                f"{what} lacks '{name}', which a world has; equiwm.worlds.scene.Scene has a default for most."
            )
    for name, kind in _MEMBERS.items():
        _require(getattr(world, name), kind, f"{what}.{name}")
    for name in _METHODS:
        if not callable(getattr(world, name)):
            raise DataError(f"{what}.{name} is {getattr(world, name)!r}; expected a method.")
    check_group(world.group)
    check_space(world.group)
    d, see = world.group.d, world.observation_rep
    for name in ("observation_rep", "action_rep", "coverage"):
        if getattr(world, name).d != d:
            raise DataError(f"{what}.{name} lives in {getattr(world, name).d}D, its group {world.group} in {d}D.")
    for rep in (see, world.action_rep):
        check_rep(rep, world.group)
    if not any(changes(world.group, rep) for rep in (see, world.action_rep)):
        raise GroupError(
            f"{what}.group '{world.group}' changes neither observations ({see}) nor actions ({world.action_rep}): "
            "every model is equivariant under it; expected a group that acts on one of them."
        )
    for name, channel in world.components.items():
        if channel not in range(see.multiplicity):
            raise DataError(
                f"{what}.components: '{name}' is channel {channel!r}, expected 0 to {see.multiplicity - 1}."
            )
    guarded = guarded_world(world)
    data = guarded.transitions(2, seed=0)
    _try_step(guarded, data, f"{what}.step")
    guarded.readout_targets(data.observation)
    if isinstance(guarded, PartedWorld):
        _try_parts(guarded, what)
    return guarded


def guarded_world(world: Any) -> Any:
    """A world whose answers are checked if it is not ours, without trying any."""
    return guard(world, _CHECKS)


def _try_parts(world: Any, what: str) -> None:
    """Refuse parts that are not those of the whole, and files that are none.

    Raises:
        DataError: what is wrong.
    """
    each = called(lambda: world.part_episodes, f"{what}.part_episodes")
    if type(each) is not int or each < 0:
        raise DataError(f"{what}.part_episodes is {each!r}; expected how many episodes are made at once, or 0.")
    files = called(lambda: world.data_files, f"{what}.data_files")
    if files is not None:
        if isinstance(files, str | bytes) or not all(isinstance(file, str | Path) for file in files):
            raise DataError(f"{what}.data_files is {files!r}; expected paths, () for none, or None.")
        missing = [file for file in files if not Path(file).is_file()]
        if missing:
            raise DataError(f"{what}.data_files: there is no file {missing[0]}.")
    if not each:
        return
    second, first = world.episodes(1, 1, seed=0), world.episodes(0, 1, seed=0)
    n = len(first) + len(second)
    if not n:
        return
    whole = world.transitions(n, seed=0)
    for name in ("observation", "action", "next_observation", "episode"):
        parts, expected = torch.cat([getattr(first, name), getattr(second, name)]), getattr(whole, name)
        if not torch.allclose(parts.double(), expected.double(), rtol=_REPEATS, atol=_REPEATS):
            raise DataError(
                f"{what}.episodes gives another {name} than transitions does: expected the same episodes, each with "
                "random numbers of its own, however many are made and in which order."
            )


@torch.no_grad()
def _try_step(world: World, data: Transitions, what: str) -> None:
    """Refuse a step that is no function of its arguments: it would be told as a broken symmetry."""
    state, action = data.observation.clone(), data.action.clone()
    first = world.step(state, action)
    if not (torch.equal(state, data.observation) and torch.equal(action, data.action)):
        raise DataError(
            f"{what} changes its arguments in place; expected a new tensor, as `observation.clone()` makes."
        )
    second = world.step(state, action)
    apart = float((first - second).abs().max())
    if apart > _REPEATS * float(first.abs().max()):
        raise DataError(f"{what} gave results that are {apart:.1e} apart for one state and action; expected the same.")


def _require(value: Any, kind: type[T], what: str) -> T:
    if not isinstance(value, kind):
        given = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
        raise DataError(f"{what} is {given}; expected a {kind.__name__}.")
    return value


def _of(world: Any, method: str) -> str:
    return f"{label(type(world))}.{method}"


def _like(value: Any, lead: tuple[int, ...], inner: tuple[int, ...], world: Any, method: str) -> Tensor:
    if value is None:
        raise DataError(f"{_of(world, method)} returns nothing; expected numbers of shape {(*lead, *inner)}.")
    return as_finite(value, (*lead, *inner), f"result of {_of(world, method)}", single=True)


def _step(world: Any, given: Any, arguments: tuple[Any, ...]) -> Tensor:
    shape = world.observation_rep.shape
    observation = arguments[0] if arguments else given
    lead = tuple(getattr(observation, "shape", ())[: -len(shape)])
    return _like(given, lead, shape, world, "step")


def _columns(world: Any, given: Any, method: str, kind: type[T], shapes: Mapping[str, tuple[int, ...]]) -> T:
    """A dataclass of tensors, each (n, *shape), all of one n."""
    data: Any = _require(given, kind, f"the result of {_of(world, method)}")
    n = len(data.episode)
    found = {
        name: as_finite(getattr(data, name), (n, *shape), f"{name} of {_of(world, method)}", single=True)
        for name, shape in shapes.items()
    }
    checked: T = replace(data, **found)
    return checked


def _shapes(world: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return world.observation_rep.shape, action_shape(world.action_rep)


def _transitions(world: Any, given: Any, arguments: tuple[Any, ...]) -> Transitions:
    see, act = _shapes(world)
    data = _columns(
        world, given, "transitions", Transitions, {"observation": see, "action": act, "next_observation": see}
    )
    if arguments and len(data) != arguments[0]:
        raise DataError(f"{_of(world, 'transitions')} gave {len(data)} transitions; {arguments[0]} were asked for.")
    return data


def _episodes(world: Any, given: Any, arguments: tuple[Any, ...]) -> Transitions:
    see, act = _shapes(world)
    data = _columns(world, given, "episodes", Transitions, {"observation": see, "action": act, "next_observation": see})
    first, count = arguments[:2]
    inside = (data.episode >= first) & (data.episode < first + count)
    if not (bool(inside.all()) and bool((data.episode.diff() >= 0).all())):
        raise DataError(
            f"{_of(world, 'episodes')} numbers its episodes otherwise than {first} to {first + count - 1}, in order."
        )
    return replace(data, episode=data.episode.long())


def _sequences(world: Any, given: Any, arguments: tuple[Any, ...]) -> Sequences:
    see, act = _shapes(world)
    horizon = arguments[1] if len(arguments) > 1 else _require(given, Sequences, _of(world, "sequences")).horizon
    shapes = {"observations": (horizon + 1, *see), "actions": (horizon, *act)}
    return _columns(world, given, "sequences", Sequences, shapes)


def _targets(world: Any, given: Any, arguments: tuple[Any, ...]) -> Mapping[str, Tensor]:
    n, what = len(arguments[0]), f"the result of {_of(world, 'readout_targets')}"
    targets = _require(given, Mapping, what)  # type: ignore[type-abstract]
    for name, value in targets.items():
        shape, rep = tuple(getattr(value, "shape", ())), getattr(world, "target_reps", {}).get(name)
        if rep is not None:
            if shape != (n, rep.dim):
                raise DataError(f"{what}: '{name}' has shape {shape}; expected {rep} flat, ({n}, {rep.dim}).")
        elif len(shape) != 3 or (shape[0], shape[2]) != (n, world.group.d):
            raise DataError(f"{what}: '{name}' has shape {shape}; expected vectors, ({n}, C, {world.group.d}).")
    return targets


def _residual(world: Any, given: Any, arguments: tuple[Any, ...]) -> SymmetryResidual:
    return _require(given, SymmetryResidual, f"the result of {_of(world, 'symmetry_residual')}")


def _control(world: Any, given: Any, arguments: tuple[Any, ...]) -> ControlTask:
    return checked_control(world, _require(given, ControlTask, f"the result of {_of(world, 'control')}"))  # type: ignore[type-abstract]


_CHECKS: dict[str, Check] = {
    "step": _step,
    "transitions": _transitions,
    "episodes": _episodes,
    "sequences": _sequences,
    "readout_targets": _targets,
    "symmetry_residual": _residual,
    "control": _control,
}


def checked_control(world: World, control: ControlTask) -> ControlTask:
    """A control task of somebody else's, guarded and tried on two tasks; one of ours as it is.

    Raises:
        DataError: it lacks a member, or answers otherwise than a control task does.
    """
    what = label(type(control))
    for name in ("criterion", "parts", "references"):
        if not hasattr(control, name):
            raise DataError(f"{what} lacks '{name}', which a control task has.")
    see = world.observation_rep.shape

    def tasks(control: Any, given: Any, arguments: tuple[Any, ...]) -> Tasks:
        found = _require(given, Tasks, f"the result of {what}.tasks")
        goal = as_finite(found.goal, (len(found.start), *see), f"goal of {what}.tasks", single=True)
        return Tasks(found.start, goal, found.actions)

    def pose_error(control: Any, given: Any, arguments: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        if not (isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, Tensor) for part in given)):
            raise DataError(f"{what}.pose_error gave {type(given).__name__}; expected tensors of angles and distances.")
        lead = tuple(arguments[0].shape[: -len(see)])
        for part, name in zip(given, ("angle", "distance"), strict=True):
            if tuple(part.shape) != lead:
                raise DataError(f"{what}.pose_error: the {name} has shape {tuple(part.shape)}; expected {lead}.")
        return given[0], given[1]

    def frames(control: Any, given: Any, arguments: tuple[Any, ...]) -> Frames:
        found = _require(given, Frames, f"the result of {what}.frames")
        d = world.group.d
        as_finite(found.axes, (len(arguments[0]), d, d), f"axes of {what}.frames", single=True)
        return found

    def track(control: Any, given: Any, arguments: tuple[Any, ...]) -> Tensor:
        lead = tuple(arguments[0].shape[: -len(see)])
        return as_finite(given, (*lead, len(control.parts), world.group.d), f"result of {what}.track", single=True)

    def begin(control: Any, given: Any, arguments: tuple[Any, ...]) -> Simulation:
        found = _require(given, Simulation, f"the result of {what}.begin")  # type: ignore[type-abstract]
        return guard(found, {})

    checks = {"tasks": tasks, "pose_error": pose_error, "frames": frames, "track": track, "begin": begin}
    guarded: ControlTask = guard(control, checks)
    some = guarded.turned(guarded.tasks(2, 0), world.group.sample(2, 0))
    seen = guarded.begin(some).observation
    guarded.pose_error(seen, some.goal)
    guarded.frames(seen)
    guarded.track(seen)
    return guarded
