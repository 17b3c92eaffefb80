"""Configuration of a world that is known by its logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError
from equiwm.logs.spec import LogSpec, parse_spec, required_spec
from equiwm.schema import plain, setting
from equiwm.worlds.described import DescribedConfig


@dataclass(frozen=True)
class DataConfig(DescribedConfig):
    """Recorded episodes of any layout that `equiwm check-data` reads, and a `reps.yaml` that says what they hold."""

    world: ClassVar[str] = "equiwm.worlds.data.world:Recorded"
    title: ClassVar[str] = "recorded episodes"
    has_tasks: ClassVar[bool] = False
    recorded: ClassVar[bool] = True

    name: Literal["data"] = setting("data", "which world")
    path: str = setting("", "the log: an .npz, .csv, .parquet or .hdf5 file, or a Zarr, Minari or LeRobot folder")
    reps: str | dict[str, Any] | None = setting(
        None, "what its columns are: a reps.yaml, or what stands in one; null is the one beside the log"
    )
    symmetric: bool | Literal["auto"] = setting(
        "auto",
        "whether the world carries the group, so that test sets may be turned; auto asks check-data when training",
    )
    orientation: str | None = setting(
        None, "the quantity of the state that orientations are read off; null is the first angle, vector or point"
    )
    held_out: float = setting(0.2, "share of the episodes that training never sees", above=0.0, below=1.0)
    split: int = setting(0, "seed of which episodes those are", at_least=0)
    skip_bad: bool = setting(False, "leave out episodes and files that cannot be read, and say which")

    @property
    def place(self) -> Path:
        """Where the log is.

        Raises:
            ConfigError: nothing says.
        """
        if not self.path:
            raise ConfigError(
                "world.path is missing: which log? Give a file or folder, as in --set world.path=episodes/."
            )
        return Path(self.path)

    def spec(self) -> LogSpec:
        """What the columns of the log are.

        Raises:
            ConfigError: no log or no `reps.yaml` is named or found, or one that is wrong.
        """
        return parse_spec(*self._reps())

    def logs(self) -> Any:
        """Its episodes (`equiwm.logs.episodes.Logs`).

        Raises:
            ConfigError: as `spec`.
            DataError, MissingExtraError: what is wrong with the log.
        """
        from equiwm.logs.episodes import load_logs

        return load_logs(self.place, self.spec(), skip_bad=self.skip_bad)

    def _reps(self) -> tuple[Mapping[str, Any], str]:
        if isinstance(self.reps, Mapping):
            return self.reps, "world.reps"
        if not self.place.exists():
            raise ConfigError(f"world.path: no such log: {self.path}.")
        file = required_spec(self.place) if self.reps is None else Path(self.reps)
        return read_yaml(file), str(file)

    def settled(self, shows: Callable[[Any, Any], tuple[bool, str]] | None = None) -> tuple[Self, tuple[str, ...]]:
        """As a run keeps it: an absolute path, the content of `reps.yaml`, and whether test sets may be turned.

        Args:
            shows: asks a log (`Logs`) whether it shows a group, and says why, where `symmetric` is auto; None leaves it
                auto, nothing is read, and test sets are not turned.

        Raises:
            ConfigError, GroupError: as `spec`; a group that is none.
            DataError, MissingExtraError: what is wrong with the log.
        """
        values, where = self._reps()
        spec = parse_spec(values, where)
        settled = replace(self, path=str(self.place.resolve()), reps=plain(values))
        if shows is None:
            return settled, ()
        from equiwm.logs.episodes import load_logs
        from equiwm.worlds.data.reps import group_of

        group = group_of(self.group, spec.dimension)
        logs = load_logs(settled.place, spec, skip_bad=self.skip_bad)
        if self.symmetric != "auto":
            return settled, logs.notes
        carried, why = shows(logs, group)
        return replace(settled, symmetric=carried), (*logs.notes, why)
