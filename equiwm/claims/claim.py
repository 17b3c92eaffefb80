"""A claim: what it measures, the type of its result, how that is shown and what has to hold of it.

Each claim of the package is a folder beside this file; one of a user is a `Claim` in a module of theirs. Parts may be
given as `module:name`: they are imported when they are needed, so that a report imports nothing that measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, Literal, TypeVar, cast

from equiwm.claims.view import View
from equiwm.errors import ConfigError, EquiwmError, ResultError
from equiwm.locate import RAISED, reason_of
from equiwm.results import door
from equiwm.results import measured as entries
from equiwm.results.measured import Measured
from equiwm.results.result import Result

R = TypeVar("R", bound=Result)
T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """An option of a claim's command, and a keyword of its measure.

    Attributes:
        name: the keyword; the option is `--name` with dashes.
        kind: `int`, `float`, `str`, `bool`, `Path`, `list[str]` (may be repeated) or a `StrEnum`.
        default: value without the option; None where the measure has a default of its own.
        help: one line.
        low, high: range of a number.
        metavar: what a help text calls its value.
        flag: the option's name if it is not `name`'s.
        parse: value -> what the measure takes; raises `ConfigError` before anything else is done.
        run_alone: whether it is of the run, and not of the baseline measured beside it.
        beside: whether what is kept in a store does not depend on it: another value goes on with finished work.
    """

    name: str
    kind: type
    default: object = None
    help: str = ""
    low: float | None = None
    high: float | None = None
    metavar: str | None = None
    flag: str = ""
    parse: Callable[[object], object] | None = None
    run_alone: bool = False
    beside: bool = False

    @property
    def option(self) -> str:
        """As the command line calls it."""
        return self.flag or f"--{self.name.replace('_', '-')}"


SHARED_OPTIONS = ("run", "baseline", "dtype", "expect_invariant", "seed", "device", "out", "trust", "quiet", "json")
"""Names that every measuring command has; an option of a claim is called otherwise."""


def _at_least_one(jobs: object) -> object:
    """Refuse a number of jobs before anything is written."""
    if not isinstance(jobs, int) or (jobs < 1 and jobs != -1):
        raise ConfigError(f"--jobs: got {jobs}, expected at least 1, or -1 for every core.")
    return jobs


JOBS = Option("jobs", int, -1, "processes for a grid; -1 is every core", parse=_at_least_one, beside=True)
"""For a measure that is a grid of cells."""


@dataclass(frozen=True)
class Recorded(Generic[R]):
    """A result, and what only its figures need.

    Attributes:
        result: the result.
        recording: handed to the view's drawings, and not stored.
    """

    result: R
    recording: object


@dataclass(frozen=True)
class Claim(Generic[R]):
    """A section of metrics.json: what stands there, how it is measured and how it is shown.

    Attributes:
        name: of the section.
        result: its type.
        view: how it is shown.
        command: of the command line that measures it; empty if none of its own does.
        help: of that command, its first paragraph one sentence.
        measure: `measure(subject, **options)` -> a result, or a `Recorded`. It is given `seed`, `progress(done, total)`
            and, to keep finished work, a folder `store` if it has keywords of these names. The folder is this
            invocation's alone: the same command is given it again after an interruption, and it is removed once the
            result is written.
        options: of the command, besides those that all have (run, baseline, dtype, seed, device, out, quiet, json).
        bounds: result -> why it is not as the claim says, or None where it is.
        expectation: help of `--expect-invariant`, which makes a result out of bounds exit with 1; empty if it
            always does.
        dtype: default precision.
        device: default device.
        study: whether the section is a study's, not a training's.
        source: how a user named it; empty for a claim of the package.
    """

    name: str
    result: type[R] | str
    view: View[R] | str
    command: str = ""
    help: str = ""
    measure: Callable[..., R | Recorded[R]] | str = ""
    options: tuple[Option, ...] = ()
    bounds: Callable[[R], str | None] | str | None = None
    expectation: str = ""
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "auto"
    study: bool = False
    source: str = ""

    @property
    def result_type(self) -> type[R]:
        """Type of its results."""
        return cast(type[R], _located(self.result))

    @property
    def shown(self) -> View[R]:
        """How it is shown."""
        return cast(View[R], _located(self.view))

    @property
    def measured(self) -> Callable[..., R | Recorded[R]]:
        """What measures it."""
        return cast(Callable[..., "R | Recorded[R]"], _located(self.measure))

    def read(self, data: object, where: str = "") -> Measured[R]:
        """An entry of its section.

        Raises:
            ResultError: it is damaged, foreign or of a later version.
        """
        return entries.read(self.result_type, data, where)

    def broken(self, result: R) -> str | None:
        """Why a result is not as the claim says, in a few words; None where it is."""
        bounds = None if self.bounds is None else cast(Callable[[R], str | None], _located(self.bounds))
        return None if bounds is None else bounds(result)

    @contextmanager
    def guard(self, part: str) -> Iterator[None]:
        """Name a part of a user's claim that fails, in one line; a fault of the package's own stays what it is.

        Raises:
            ResultError: the part of a claim from outside the package raised something, or found nothing to show.
        """
        try:
            yield
        except ResultError as error:
            raise ResultError(f"claim '{self.source or self.name}': {error}") from None
        except EquiwmError:
            raise
        except RAISED as error:  # a user's code, which may do anything
            if not self.source:
                raise
            raise ResultError(f"claim '{self.source}': its {part} raised {reason_of(error)}") from None

    def check(self, result: object) -> R:
        """A result that its measure gave, if it is one and fits its columns: as it will be read back.

        Raises:
            ResultError: it is of another type, holds what it does not declare, or a column finds nothing in it.
        """
        kind = self.result_type
        if not isinstance(result, kind):
            given = f"claim '{self.source or self.name}': its measure gave {type(result).__name__}"
            raise ResultError(f"{given}, expected {kind.__name__}.")
        with self.guard("result"):
            try:
                result = door.settled(result)
            except TypeError as error:
                if not self.source:
                    raise
                raise ResultError(f"{error}.") from None
        with self.guard("columns"):
            for column in self.shown.columns:
                column.value(result)
        return result


def _located(target: object) -> object:
    """What `module:name` names; anything else as it is."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


AnyClaim = Claim[Any]
"""A claim of whatever result."""
