"""What is collected: JSON data that fixes every bit of every episode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equiwm.config import load
from equiwm.disk.safe_yaml import read_yaml
from equiwm.environments.exploration import Exploration
from equiwm.errors import ConfigError
from equiwm.logs.spec import LogSpec, parse_spec
from equiwm.schema import plain

PREFIX = "gym:"


@dataclass(frozen=True)
class Recipe:
    """Episodes of an environment.

    Attributes:
        env: its id.
        options: keyword arguments of its class.
        reps: the content of a `reps.yaml` as JSON, which keeps the order of its quantities; None where nobody has said
            what its numbers are.
        policy: `random`, `module:function`, or the directory of a run.
        bounds: of random actions.
        hold: steps for which a random action is held.
        steps: of an episode at most; None is the environment's limit, or 100.
        seed: of everything.
    """

    env: str
    options: Mapping[str, Any]
    reps: str | None
    policy: str
    bounds: str
    hold: int
    steps: int | None
    seed: int

    @property
    def spec(self) -> LogSpec | None:
        """What its numbers are.

        Raises:
            ConfigError: reps that are wrong.
        """
        return None if self.reps is None else parse_spec(json.loads(self.reps), "reps.yaml")


def recipe_of(
    target: str, *, reps: Path | None, policy: str | None, hold: int | None, steps: int | None, seed: int
) -> Recipe:
    """The recipe of a command.

    Args:
        target: `gym:ENV`, or a preset of an environment.
        reps: a `reps.yaml`; None is the preset's.
        policy, hold, steps: over the preset's.
        seed: of everything.

    Raises:
        ConfigError: a preset of another world, or a `reps.yaml` that is wrong.
    """
    found = _explored(target)
    said = found.reps
    if reps is not None:
        said = read_yaml(reps)
        parse_spec(said, str(reps))
    who = policy or found.policy
    return Recipe(
        found.env,
        dict(found.options or {}),
        None if said is None else json.dumps(plain(said)),
        who if ":" in who or who == "random" else str(Path(who).resolve()),
        found.bounds,
        hold or found.hold,
        steps or found.steps,
        seed,
    )


def _explored(target: str) -> Exploration:
    if target.startswith(PREFIX):
        return Exploration(target.removeprefix(PREFIX))
    world = load(target).world
    exploration = getattr(world, "exploration", None)
    found = exploration() if callable(exploration) else None
    if not isinstance(found, Exploration):
        raise ConfigError(
            f"{target}: its world '{world.name}' is no environment; expected gym:ENV, or a preset with world: "
            "{name: gym, env: ...}."
        )
    return found
