"""What is collected: JSON data that fixes every bit of every episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equiwm.config import load
from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError
from equiwm.logs.spec import parse_spec
from equiwm.worlds.gym.config import GymConfig

PREFIX = "gym:"


@dataclass(frozen=True)
class Recipe:
    """Episodes of an environment.

    Attributes:
        env: its id.
        options: keyword arguments of its class.
        reps: the content of a `reps.yaml`, or None where nobody has said what its numbers are.
        policy: `random`, `module:function`, or the directory of a run.
        bounds: of random actions.
        hold: steps for which a random action is held.
        steps: of an episode at most; None is the environment's limit, or 100.
        seed: of everything.
    """

    env: str
    options: Mapping[str, Any]
    reps: Mapping[str, Any] | None
    policy: str
    bounds: str
    hold: int
    steps: int | None
    seed: int


def recipe_of(
    target: str, *, reps: Path | None, policy: str | None, hold: int | None, steps: int | None, seed: int
) -> Recipe:
    """The recipe of a command.

    Args:
        target: `gym:ENV`, or a preset of the world `gym`.
        reps: a `reps.yaml`; None is the preset's.
        policy, hold, steps: over the preset's.
        seed: of everything.

    Raises:
        ConfigError: a preset of another world, or a `reps.yaml` that is wrong.
    """
    config = _config(target)
    said: Mapping[str, Any] | None = None
    if reps is not None:
        said = read_yaml(reps)
        parse_spec(said, str(reps))
    elif config.reps is not None:
        config.spec()
        said = config.reps if isinstance(config.reps, Mapping) else read_yaml(Path(config.reps))
    policy = policy or config.policy
    return Recipe(
        config.environment,
        dict(config.options or {}),
        None if said is None else dict(said),
        policy if ":" in policy or policy == "random" else str(Path(policy).resolve()),
        config.bounds,
        hold or config.hold,
        steps or config.episode_steps,
        seed,
    )


def _config(target: str) -> GymConfig:
    if target.startswith(PREFIX):
        return GymConfig(env=target.removeprefix(PREFIX))
    world = load(target).world
    if not isinstance(world, GymConfig):
        raise ConfigError(
            f"{target}: its world is '{world.name}'; expected gym:ENV, or a preset with world: {{name: gym, env: ...}}."
        )
    return world
