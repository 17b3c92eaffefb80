"""What is compared: a run, a run with other settings, or a policy of one's own, by one text each."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import as_finite
from equiwm.claims.closed_loop.claim import OWN
from equiwm.claims.closed_loop.episode import ControlledRun, acting, check_controller, controlled
from equiwm.config import PlanningConfig, planning_of
from equiwm.errors import ConfigError, DataError
from equiwm.foreign import called
from equiwm.loading import load_run
from equiwm.locate import locate, locate_in_file
from equiwm.planning.control import Policy, build_planner
from equiwm.planning.variants import parse_variant
from equiwm.symmetry.groups import Elements

PLANNER = "planner"


@dataclass(frozen=True)
class Side:
    """One side, as plain data: a worker process builds it again.

    Attributes:
        text: as it was given.
        run: directory of the run; None of a policy.
        policy: `module:name` or `FILE.py:name`; None of a run.
        planner: variant of the run's planner.
        assignments: `planning.key=value` over the run's.
    """

    text: str
    run: str | None
    policy: str | None
    planner: str = "equivariant"
    assignments: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> Side:
        """A side from `RUN`, `RUN:planning.samples=100,planner=ordinary`, `module:name` or `FILE.py:name`.

        Raises:
            ConfigError: none of these.
        """
        if Path(text).is_dir():
            return Side(text, str(Path(text).resolve()), None)
        head, colon, tail = text.rpartition(":")
        if "=" in tail and colon:
            if not Path(head).is_dir():
                raise ConfigError(f"'{text}': there is no run {head}; expected RUN:planning.key=value,...")
            return _with_settings(text, head, tail)
        if colon and head and tail:
            return Side(text, None, text)
        raise ConfigError(
            f"'{text}' is no directory of a run; expected RUN, RUN:planning.samples=100, or a policy as module:name."
        )

    @property
    def name(self) -> str:
        """What tables call it: the folder of the run and its settings, or the policy, without the way there."""
        where = self.run if self.policy is None else self.policy.rpartition(":")[0]
        settings = [f"{PLANNER}={self.planner}"] * (self.planner != "equivariant") + list(self.assignments)
        rest = settings if self.policy is None else [self.policy.rpartition(":")[2]]
        return ":".join([Path(where or "").name, *([",".join(rest)] if rest else [])])

    def planning(self, base: PlanningConfig) -> PlanningConfig:
        """The settings of section planning, over a run's."""
        return planning_of(base, self.assignments)


def _with_settings(text: str, run: str, tail: str) -> Side:
    planner, assignments = "equivariant", []
    for part in _split(tail):
        key, _, value = part.partition("=")
        if key.strip() == PLANNER:
            planner = parse_variant(value.strip()).name
        elif key.strip().startswith("planning."):
            assignments.append(part.strip())
        else:
            raise ConfigError(f"'{text}': got {part.strip()}, expected planning.key=value or planner=NAME.")
    return Side(text, str(Path(run).resolve()), None, planner, tuple(assignments))


def _split(tail: str) -> list[str]:
    """At commas that a `key=` follows: a value may have commas of its own."""
    parts: list[str] = []
    for piece in tail.split(","):
        if "=" in piece or not parts:
            parts.append(piece)
        else:
            parts[-1] += f",{piece}"
    return parts


class _Foreign:
    """A policy of the user, whose actions are checked.

    Raises:
        ConfigError: when it is called: it raises something.
        DataError: when it is called: what it gives are no actions.
    """

    def __init__(self, name: str, function: Any, shape: tuple[int, int]) -> None:
        self._name, self._function, self._shape = name, function, shape

    def __call__(self, observation: Tensor, goal: Tensor, remaining: int) -> Tensor:
        said = f"policy '{self._name}'"
        given = called(self._function, said, observation.clone(), goal.clone(), remaining)
        if not isinstance(given, Tensor | np.ndarray) or given.ndim != 4:
            got = f"shape {tuple(given.shape)}" if isinstance(given, Tensor | np.ndarray) else type(given).__name__
            a, d = self._shape
            raise DataError(f"{said}: got {got}, expected actions of shape (episodes, steps, {a}, {d}), steps >= 1.")
        actions = as_finite(given, self._shape, f"action of {said}")
        if len(actions) != len(observation) or actions.shape[1] < 1:
            raise DataError(f"{said}: got actions {tuple(actions.shape)} for {len(observation)} episodes.")
        return actions


def located_policy(name: str) -> Any:
    """What the name of a policy stands for.

    Raises:
        ConfigError: there is none, or it cannot be called.
    """
    head, _, tail = name.rpartition(":")
    found = locate_in_file(Path(head), tail) if head.endswith(".py") else locate("policy", name)
    if not callable(found) or isinstance(found, type):
        raise ConfigError(
            f"policy '{name}': got {type(found).__name__}, expected a function of (observation, goal, steps left)."
        )
    return found


def code_of(name: str) -> str | None:
    """Hash of the file that a policy stands in, once it is certain that there is one; None where it has no file.

    Raises:
        ConfigError: as `located_policy`.
    """
    found = located_policy(name)
    module = sys.modules.get(getattr(found, "__module__", ""), None)
    head = name.rpartition(":")[0]
    path = head if head.endswith(".py") else getattr(module, "__file__", None)
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


def loaded(
    side: Side,
    dtype: torch.dtype,
    device: torch.device | str,
    trust: tuple[str, ...],
    task: str = OWN,
    demonstrations: Path | None = None,
) -> ControlledRun:
    """A side's run and the tasks of its world, once it is certain that it can plan for them.

    Args:
        side: a run.
        dtype, device, trust: as of `load_run`.
        task, demonstrations: which tasks, as of `controlled`.

    Raises:
        RunError, ConfigError, DataError: no such run, settings that do not fit, a world without such tasks, or a goal
            that the model cannot express.
    """
    assert side.run is not None
    subject = load_run(side.run, dtype, device, trust=trust)
    subject = subject.altered(planning=side.planning(subject.planning))
    run = controlled(subject, task, demonstrations)
    if subject.policy is not None and side.planner != "equivariant":
        raise ConfigError(f"'{side.text}': {side.run} is a policy, which has no planner.")
    build_planner(subject.planning, parse_variant(side.planner))
    check_controller(run, "model", subject.planning)
    return run


def policy_of(side: Side, run: ControlledRun, seeds: list[list[int]], g: Elements) -> tuple[Policy, int]:
    """What drives the episodes of a side, and how many of its actions are carried out before it is asked again.

    Args:
        side: the side.
        run: its run, or of a policy the other side's.
        seeds: of the planner, one an episode.
        g: how the tasks are turned; only the planner `paper` looks at it.
    """
    world = run.subject.world
    if side.policy is not None:
        shape = (world.action_rep.multiplicity, world.action_rep.d)
        return _Foreign(side.policy, located_policy(side.policy), shape), run.subject.planning.replan
    return acting(run, run.subject.planning, parse_variant(side.planner), seeds, g)


def as_params(side: Side, run: ControlledRun) -> dict[str, Any]:
    """A side as a cell has it: plain data, with all that its episodes depend on."""
    return {
        "run": side.run,
        "policy": side.policy,
        "planner": side.planner,
        "checkpoint": run.subject.checkpoint_sha256 if side.run else None,
        "planning": asdict(run.subject.planning),
    }
