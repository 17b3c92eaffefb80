"""Success over the orbit: the same tasks at every orientation, each planned and acted out with one planner seed."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from equiwm.claims.closed_loop.episode import check_controller, controlled
from equiwm.claims.closed_loop.measure import Outcome, run_cells
from equiwm.claims.closed_loop.orbit import Orbit, parse_orbit
from equiwm.claims.probe import PROBE_SEED
from equiwm.claims.success.result import Share, SuccessBin, SuccessSweep
from equiwm.errors import DataError
from equiwm.grid import Cell
from equiwm.planning.control import build_planner
from equiwm.planning.task import Criterion
from equiwm.planning.variants import parse_variant
from equiwm.stats import repeated_wilson_interval
from equiwm.subject import Subject
from equiwm.symmetry.bins import OrbitBin
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.groups import SO2
from equiwm.worlds.world import Progress, World

BINS = 12
"""Orientations unless it is said otherwise: every 30 degrees, or random elements in space."""
_PLANNER = "equivariant"  # is told nothing of how its task is turned


def success_sweep(
    subject: Subject,
    *,
    bins: int | None = None,
    tasks: int = 16,
    seed: int = PROBE_SEED,
    store: Path,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SuccessSweep:
    """The share of tasks that are solved at every orientation, with Wilson's interval.

    Each task is one cell of a grid under `store`, at all orientations at once and with one planner seed: what is
    finished is kept, and the same call goes on from there. Tasks, planner and criterion are those of the closed loop.

    Args:
        subject: the run, in the dtype to evaluate in.
        bins: orientations, that of the tasks included: equal angles in the plane, else random elements of the group.
        tasks: how many, at orientations that training has seen; none of them is training data.
        seed: of tasks, planner and random elements.
        store: folder of the grid, made if it is missing.
        jobs: processes, as in `run_grid`.
        progress: called with (tasks done, tasks).

    Raises:
        DataError: a world without tasks, or whose tasks cannot be turned.
        ClosedLoopError: a cell failed; the others are kept.
    """
    config, run = subject.planning, controlled(subject)
    world = subject.world
    if run.control.unturned is not None:
        raise DataError(f"sweep-group --success turns tasks, and {run.control.unturned}; closed-loop measures success.")
    build_planner(config, parse_variant(_PLANNER))  # refused here, before any cell
    check_controller(run, "model", config)
    orbit = parse_orbit(_orbit_text(world, bins or BINS), world, seed)
    params = {
        "run": str(subject.stored.path.resolve()),
        "checkpoint": subject.checkpoint_sha256,
        "trust": list(subject.trust),
        "dtype": str(subject.dtype).removeprefix("torch."),
        "device": str(subject.device),
        "planner": _PLANNER,
        "planning": asdict(config),
        "seed": seed,
        "controller": "model",
        "orbit": orbit.text,
        "record": False,
    }
    cells = [Cell(f"task={number}", {**params, "task": number}) for number in range(tasks)]
    found, _ = run_cells(cells, store, jobs, progress)
    return _result(subject, Outcome.of(found), run.control.criterion, orbit, seed)


def _orbit_text(world: World, bins: int) -> str:
    """What every task is turned by, as `parse_orbit` reads it: all orientations but the tasks' own."""
    if SO2 in world.group:
        return ",".join(repr(360.0 * k / bins) for k in range(1, bins))
    return f"{world.group.name}:{bins - 1}"


def _result(subject: Subject, outcome: Outcome, criterion: Criterion, orbit: Orbit, seed: int) -> SuccessSweep:
    world = subject.world
    reached, last = outcome.solved(criterion, "best"), outcome.solved(criterion, "final")
    touched = np.array([[reason is not None for reason in reasons] for reasons in outcome.excluded])
    elements = Elements.cat([world.group.identity(1), orbit.elements])
    entries = [OrbitBin.of(elements[k], label, world.coverage) for k, label in enumerate(["identity", *orbit.labels])]
    in_plane = SO2 in world.group
    bins = [
        SuccessBin(
            label=entry.label,
            overlap=entry.overlap,
            from_wedge_deg=entry.from_wedge_deg,
            turn_deg=_turn_deg(entry.element) if in_plane else None,
            direction=_direction(world, entry.element),
            any=_share(reached[:, [k]]),
            final=_share(last[:, [k]]),
            excluded=int(touched[:, k].sum()),
        )
        for k, entry in enumerate(entries)
    ]
    unseen = [k for k, entry in enumerate(entries) if entry.overlap == "none"]
    clear = ~(touched[:, :1] | touched[:, 1:])
    return SuccessSweep(
        group=world.group.name,
        dtype=str(subject.dtype).removeprefix("torch."),
        device=subject.device.type,
        criterion=_words(criterion),
        tasks=len(reached),
        bins=bins,
        unseen_any=_share(reached[:, unseen]) if unseen else None,
        unseen_final=_share(last[:, unseen]) if unseen else None,
        pairs=int(clear.sum()),
        disagree=int(((last[:, 1:] != last[:, :1]) & clear).sum()),
        parameters=subject.parameter_count,
        seed=seed,
    )


def _words(criterion: Criterion) -> str:
    if criterion.measure == "tolerances":
        return "every channel of the goal within its tolerance"
    return f"angle < {criterion.angle_deg:g} deg and position < {criterion.distance:g} {criterion.unit}"


def _share(solved: np.ndarray) -> Share:
    """Of (tasks, orientations): a task counts once in the interval, however often it was turned."""
    found = repeated_wilson_interval(solved)
    return Share(int(solved.sum()), solved.size, found.estimate, found.low, found.high)


def _turn_deg(element: Elements) -> float:
    return math.degrees(math.atan2(float(element.linear[1, 0]), float(element.linear[0, 0]))) % 360.0


def _direction(world: World, element: Elements) -> list[float]:
    """Where an element takes the middle of what training has seen: the mean of the x axes of its draws."""
    if world.group.d != 3:
        return []
    first = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    drawn = world.coverage.sample(256, 0).linear @ first
    middle = torch.nn.functional.normalize(drawn.mean(0), dim=0)
    turned: list[float] = (element.linear @ middle).tolist()
    return turned


def broken(result: SuccessSweep) -> str | None:
    """Which tasks are solved at one orientation and not at another, or None where there is none."""
    if not result.pairs:
        return "not decided: no pair of episodes is left after exclusions."
    if not result.disagree:
        return None
    return f"not invariant: {result.disagree} of {result.pairs} episodes end otherwise than the same task unturned."
