"""Configuration of a world of a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from equiwm.disk.safe_yaml import read_yaml
from equiwm.environments.exploration import Exploration
from equiwm.errors import ConfigError, nearest
from equiwm.logs.spec import LogSpec, parse_spec
from equiwm.printable import quoted
from equiwm.schema import coerce, plain, setting
from equiwm.worlds.described import DescribedConfig

_GOAL = ("channels", "from", "approach", "steps")


@dataclass(frozen=True)
class Goal:
    """What there is to reach.

    Attributes:
        channels: quantity of the state -> largest error that counts as reached, in the quantity's unit.
        source: where goals come from: the start of another `reset`, or the end of an `episode` from the same start.
        steps: of that episode.
        approach: two quantities that a plan brings together on the way, such as the hand and the block; or none.
    """

    channels: Mapping[str, float]
    source: Literal["reset", "episode"]
    steps: int
    approach: tuple[str, str] | None


@dataclass(frozen=True)
class GymConfig(DescribedConfig):
    """Any Gymnasium environment whose observations are numbers, typed by a `reps.yaml`."""

    world: ClassVar[str] = "equiwm.worlds.gym.world:GymWorld"
    title: ClassVar[str] = "environment"

    name: Literal["gym"] = setting("gym", "which world")
    env: str = setting("", "the environment: an id, or module:id of a module that registers it (my_pkg:MyPush-v0)")
    options: dict[str, Any] | None = setting(None, "keyword arguments of the environment")
    reps: str | dict[str, Any] | None = setting(
        None,
        "what its observations and actions are: a reps.yaml, or what stands in one (`from` names a key of a Dict, "
        "or observation, or action)",
    )
    symmetric: bool | Literal["auto"] = setting(
        "auto",
        "whether the environment carries the group, so that test sets may be turned; auto measures it where the state "
        "can be set, and says no where it cannot",
    )
    bounds: Literal["ball", "box"] = setting(
        "ball", "of vectors in an action: the largest ball in its box, or the box, which breaks rotations"
    )
    episode_steps: int | None = setting(
        None, "steps of an exploration episode; null is the environment's own limit, or 100", at_least=1
    )
    hold: int = setting(4, "steps for which a random action is held", at_least=1)
    policy: str = setting("random", "who explores: random, or module:function of (observation, generator) -> action")
    episodes: str | None = setting(
        None,
        "a folder of `equiwm collect` to train on; null collects anew. Everything else is measured on new episodes",
    )
    wedge: tuple[float, float] | None = setting(
        None, "orientations that its episodes have, degrees [low, high); null measures them"
    )
    goal: dict[str, Any] | None = setting(
        None, "closed loop: {channels: {block: 0.02, turn: 5}, from: reset or episode, approach: [hand, block]}"
    )

    def check(self) -> None:
        """Refuse a wedge or a goal that is none.

        Raises:
            ConfigError: such a one.
        """
        super().check()
        if self.goal is not None:
            parse_goal(self.goal)

    @property
    def environment(self) -> str:
        """Its id.

        Raises:
            ConfigError: nothing says.
        """
        if not self.env:
            raise ConfigError("world.env is missing: which environment? As in --set world.env=my_pkg:MyPush-v0.")
        return self.env

    def spec(self) -> LogSpec:
        """What its observations and actions are.

        Raises:
            ConfigError: nothing says, or what says it is wrong or asks for what only logs have.
        """
        values, where = self._reps()
        spec = parse_spec(values, where)
        if spec.history:
            raise ConfigError(
                f"{where}: history is for logs; an environment is stepped from what it shows, so let it show them all."
            )
        if not spec.action:
            raise ConfigError(
                f"{where}: action is missing: expected quantities such as push: {{from: action, rep: 1o}}."
            )
        return spec

    def _reps(self) -> tuple[Mapping[str, Any], str]:
        if self.reps is None:
            raise ConfigError(
                "world.reps is missing: a reps.yaml that says what observations and actions are. "
                f"Make one: equiwm collect gym:{self.environment} --out episodes writes a guess to be corrected."
            )
        if isinstance(self.reps, Mapping):
            return self.reps, "world.reps"
        return read_yaml(Path(self.reps)), self.reps

    def exploration(self) -> Exploration:
        """What `equiwm collect` takes from it.

        Raises:
            ConfigError: as `spec`; without `reps` none are taken.
        """
        reps = None
        if self.reps is not None:
            self.spec()
            reps, _ = self._reps()
        return Exploration(
            self.environment, self.options, reps, self.policy, self.bounds, self.hold, self.episode_steps
        )

    def settled(self, shows: Callable[[Any, Any], tuple[bool, str]] | None = None) -> tuple[Self, tuple[str, ...]]:
        """As a run keeps it: the content of `reps.yaml`, and an absolute path of the episodes.

        Raises:
            ConfigError: as `spec`.
        """
        values, _ = self._reps()
        self.spec()
        episodes = None if self.episodes is None else str(Path(self.episodes).resolve())
        return replace(self, reps=plain(values), episodes=episodes), ()


def parse_goal(values: Mapping[str, Any]) -> Goal:
    """`world.goal`.

    Raises:
        ConfigError: an unknown key, or a value of another kind.
    """
    where = "world.goal"
    for key in values:
        if key not in _GOAL:
            raise ConfigError(f"{where}: unknown key {quoted(key)}; {nearest(str(key), _GOAL)}")
    channels = values.get("channels")
    if not isinstance(channels, Mapping) or not channels:
        raise ConfigError(
            f"{where}.channels: got {quoted(channels)}, expected tolerances by quantity, as {{block: 0.02}}."
        )
    tolerances = {str(name): coerce(value, float, f"{where}.channels.{name}") for name, value in channels.items()}
    for name, tolerance in tolerances.items():
        if not tolerance > 0.0:
            raise ConfigError(f"{where}.channels.{name}: got {tolerance:g}, expected an error above 0 in its unit.")
    steps = coerce(values.get("steps", 20), int, f"{where}.steps")
    if steps < 1:
        raise ConfigError(f"{where}.steps: got {steps}, expected at least 1.")
    approach = values.get("approach")
    return Goal(
        tolerances,
        coerce(values.get("from", "reset"), Literal["reset", "episode"], f"{where}.from"),
        steps,
        None if approach is None else coerce(approach, tuple[str, str], f"{where}.approach"),
    )
