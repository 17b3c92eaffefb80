"""A block of episodes, as a cell of a grid: it leaves them in a file and says what is in it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.collecting.planned import planned
from equiwm.collecting.recipe import Recipe
from equiwm.disk.files import write_atomic
from equiwm.disk.strict_json import canonical_json
from equiwm.environments.bounds import ActionBounds
from equiwm.environments.environment import Environment
from equiwm.environments.explore import Actor, Episode, Explorer, run_episode
from equiwm.environments.layout import Layout
from equiwm.errors import ConfigError, DataError, RunError

_STEPS = 100
PARTS = "parts"
_ARRAYS = ("observations", "actions", "rewards", "terminated")


class Collector:
    """Makes the episodes of a recipe one by one.

    Args:
        recipe: what is collected.
        trust: modules that a run as policy may name.

    Raises:
        ConfigError, DataError, RepError: an environment, a policy or reps that do not fit together.
    """

    def __init__(self, recipe: Recipe, trust: tuple[str, ...] = ()) -> None:
        self.recipe, self.environment = recipe, Environment(recipe.env, recipe.options)
        layout = bounds = None
        spec = recipe.spec
        if spec is not None:
            Layout(self.environment.observations, spec.state, spec, translations=True)  # refused here, not when read
            if spec.action:
                layout = Layout(self.environment.actions, spec.action, spec, translations=True)
                bounds = ActionBounds.of(layout, "box" if recipe.bounds == "box" else "ball")
        self.steps = recipe.steps or self.environment.steps or _STEPS
        self._make: Callable[[int], Callable[[np.random.Generator], Actor]]
        if recipe.policy == "random" or ":" in recipe.policy:
            explorer = Explorer(recipe.policy, self.environment, layout, bounds, recipe.hold)
            self._make = lambda index: explorer.actor
        else:
            run = planned(Path(recipe.policy), recipe.env, self.steps, trust)
            self._make = lambda index: run.actor(index, recipe.seed)

    def episode(self, index: int) -> Episode:
        """Episode `index`: what it is depends on the recipe and on nothing else.

        Raises:
            DataError: the environment or the policy raises; the message names episode and step.
        """
        return run_episode(self.environment, self._make(index), index, self.recipe.seed, self.steps)


@lru_cache(maxsize=1)
def _collector(recipe: str, trust: tuple[str, ...]) -> Collector:
    import json

    return Collector(Recipe(**json.loads(recipe)), trust)


def episodes_cell(params: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Some episodes, into `root/parts`; those that finished are kept if another raises.

    Args:
        params: `recipe`, `trust`, `first` and `count` of the episodes.
        root: folder of the parts.

    Returns:
        `episodes`, `rows` and `sha256` of the file.

    Raises:
        DataError: an episode raises; the message names episode and step.
    """
    collector = _collector(canonical_json(params["recipe"]), tuple(params["trust"]))
    found: dict[int, Episode] = {}
    failed: DataError | None = None
    for index in range(params["first"], params["first"] + params["count"]):
        try:
            found[index] = collector.episode(index)
        except DataError as error:
            failed = failed or error
    kept = _write(root, params["first"], found)
    if failed is not None:
        raise failed
    return kept


def part_file(root: Path, first: int) -> Path:
    """The file of the block that begins with an episode."""
    return root / PARTS / f"episodes-{first:08d}.npz"


def _write(root: Path, first: int, found: Mapping[int, Episode]) -> dict[str, Any]:
    arrays: dict[str, Any] = {"index": np.array(list(found), np.int64)}
    for index, episode in found.items():
        arrays |= {
            f"{index}/observations": episode.observations,
            f"{index}/actions": episode.actions,
            f"{index}/rewards": episode.rewards,
            f"{index}/terminated": np.array(episode.terminated),
        }
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    file = part_file(root, first)
    file.parent.mkdir(exist_ok=True)
    write_atomic(file, content.getvalue())
    rows = sum(len(episode) + 1 for episode in found.values())
    return {"episodes": len(found), "rows": rows, "sha256": hashlib.sha256(content.getbuffer()).hexdigest()}


def read_part(file: Path, sha256: str | None) -> Iterator[tuple[int, Episode]]:
    """The episodes of a part.

    Args:
        file: of the part.
        sha256: what its content has; None of a block in which an episode failed.

    Raises:
        RunError: it is gone, or has another content.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"{file}: {error.strerror}; remove the folder and collect again.") from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(f"{file} is damaged; remove the folder and collect again.")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for index in arrays["index"].tolist():
            seen, done, rewards, ended = (arrays[f"{index}/{name}"] for name in _ARRAYS)
            yield index, Episode(seen, done, rewards, bool(ended))


def check_recipe(recipe: Recipe, trust: tuple[str, ...]) -> Collector:
    """Refuse what would fail in every episode, before anything is written.

    Raises:
        ConfigError, DataError, RepError: see `Collector`.
    """
    if recipe.policy != "random" and ":" not in recipe.policy and not Path(recipe.policy).is_dir():
        raise ConfigError(f"--policy {recipe.policy}: expected random, module:function, or the directory of a run.")
    return Collector(recipe, trust)
