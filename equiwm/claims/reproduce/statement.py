"""What a claim is made of: trainings, measurements of them, and statements that bounds decide. No torch here."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from equiwm.config import Config, load
from equiwm.runs import run_name
from equiwm.stats import Interval, median_and_range

Entry = Mapping[str, Any]
"""A run's section of metrics.json, or a row of an ablation."""

Command = Literal["verify-equivariance", "sweep-group", "rollout", "closed-loop"]


@dataclass(frozen=True)
class Training:
    """A preset to train, once a seed.

    Attributes:
        preset: its name.
        settings: `section.key=value` over it.
    """

    preset: str
    settings: tuple[str, ...] = ()

    @property
    def config(self) -> Config:
        """The configuration."""
        return load(self.preset, None, self.settings)

    @property
    def arguments(self) -> list[str]:
        """The command line that trains it, but for seeds."""
        overrides = [part for assignment in self.settings for part in ("--set", assignment)]
        return ["equiwm", "train", "--preset", self.preset, *overrides]


@dataclass(frozen=True)
class Measurement:
    """A command on each run of a training.

    Attributes:
        training: the training.
        command: the command.
        options: of the command, as the command line calls them, in order.
    """

    training: Training
    command: Command
    options: tuple[tuple[str, Any], ...]

    @property
    def key(self) -> str:
        """Command and options as text."""
        return shlex.join([self.command, *self._flags])

    @property
    def _flags(self) -> list[str]:
        return [
            part
            for name, value in self.options
            for part in (f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value))
        ]

    def by_hand(self, seeds: int) -> str:
        """The shell line that trains and measures the same."""
        train = shlex.join([*self.training.arguments, *(["--seeds", f"0-{seeds - 1}"] if seeds > 1 else [])])
        measure = shlex.join(self._flags)
        run = f"runs/{self.training.preset}"
        if seeds == 1:
            return f"{train}; equiwm {self.command} {run} {measure}"
        suffixes = ",".join(run_name("", seed) for seed in range(seeds))
        return f"{train}; for run in {run}{{{suffixes}}}; do equiwm {self.command} $run {measure}; done"


@dataclass(frozen=True)
class Ablation:
    """A kind of `equiwm ablate` in every dimension that it has.

    Attributes:
        kind: its name.
        quick: whether it is the small version.
    """

    kind: str
    quick: bool

    def by_hand(self, seeds: int) -> str:
        """The shell line that computes the same."""
        return f"equiwm ablate {self.kind} --seeds {seeds}{' --quick' if self.quick else ''}"


Source = Measurement | Ablation


@dataclass(frozen=True)
class Size:
    """How large a reproduction is. Nothing else in it depends on whether it is quick.

    Attributes:
        seeds: trainings of every preset, from seed 0.
        quick: whether it is a smoke test; the ablations have a small version of their own.
        settings: preset -> `section.key=value` over it; those of `""` are for presets that are not named.
        options: command -> options over those of the claims; `closed-loop vn-3d` is for one preset alone.
    """

    seeds: int
    quick: bool = False
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def measure(self, preset: str, command: Command, **options: Any) -> Measurement:
        """A measurement at this size."""
        training = Training(preset, self.settings.get(preset, self.settings.get("", ())))
        own = self.options.get(f"{command} {preset}", self.options.get(command, {}))
        return Measurement(training, command, tuple({**options, **own}.items()))

    @property
    def smaller(self) -> list[str]:
        """What differs from the full size, one line each."""
        lines = [
            f"{preset or 'every other preset'}: " + " ".join(f"--set {assignment}" for assignment in assignments)
            for preset, assignments in self.settings.items()
        ]
        lines += [
            f"equiwm {command}: " + " ".join(f"--{name} {value}" for name, value in options.items())
            for command, options in self.options.items()
        ]
        return [*lines, *(["equiwm ablate: --quick"] if self.quick else [])]

    def ablate(self, kind: str) -> Ablation:
        """An ablation at this size."""
        return Ablation(kind, self.quick)


@dataclass(frozen=True)
class Figure:
    """What was measured: a median with the range over seeds, or an estimate with its interval over tasks.

    Attributes:
        median: the median, or the estimate; None where a value is not finite.
        low, high: of the range, or of the 95% interval.
        over: what they are over.
    """

    median: float | None
    low: float | None
    high: float | None
    over: Literal["seeds", "tasks"]

    @staticmethod
    def of_seeds(values: Sequence[float | None]) -> Figure:
        """From one value a seed."""
        numbers = np.asarray(values, dtype=float)  # None, which JSON has for it, becomes NaN
        if not np.isfinite(numbers).all():
            return Figure(None, None, None, "seeds")
        found = median_and_range(numbers)
        return Figure(found.median, found.low, found.high, "seeds")

    @staticmethod
    def of_tasks(found: Interval) -> Figure:
        """From an interval over tasks."""
        return Figure(found.estimate, found.low, found.high, "tasks")


@dataclass(frozen=True)
class Bound:
    """What decides a statement: the whole range or interval has to lie within it.

    Attributes:
        low, high: the bound, inclusive; None is none.
        text: the same in words.
    """

    low: float | None
    high: float | None
    text: str

    def holds(self, figure: Figure) -> bool:
        """Whether the figure lies within; one that is not finite does not."""
        if figure.low is None or figure.high is None:
            return False
        return (self.low is None or figure.low >= self.low) and (self.high is None or figure.high <= self.high)


def at_most(value: float) -> Bound:
    """No larger than `value`."""
    return Bound(None, value, f"at most {value:g}")


def at_least(value: float) -> Bound:
    """No smaller than `value`."""
    return Bound(value, None, f"at least {value:g}")


def above(value: float) -> Bound:
    """Larger than `value`."""
    return Bound(math.nextafter(value, math.inf), None, f"above {value:g}")


def below(value: float) -> Bound:
    """Smaller than `value`."""
    return Bound(None, math.nextafter(value, -math.inf), f"below {value:g}")


def near(value: float, off: float) -> Bound:
    """`value`, give or take `off`."""
    return Bound(value - off, value + off, f"within {off:g} of {value:g}")


@dataclass(frozen=True)
class Statement:
    """One line of a claim.

    Attributes:
        setting: where: world, kind of model, which model.
        quantity: what is measured.
        paper: the paper's figure as text; a dash where it has none.
        source: what has to be computed.
        read: the entries of a measurement, one a seed, or the rows of an ablation -> the figure.
        bound: decides whether it holds.
        ours: whether it says more than the paper does.
    """

    setting: str
    quantity: str
    paper: str
    source: Source
    read: Callable[[Sequence[Entry]], Figure]
    bound: Bound
    ours: bool = False


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        name: as the command line calls it.
        text: what it says, one sentence.
        statements: its lines at a size.
    """

    name: str
    text: str
    statements: Callable[[Size], list[Statement]]


def each_seed(value: Callable[[Entry], float | None]) -> Callable[[Sequence[Entry]], Figure]:
    """Reads one value from the entry of each seed."""
    return lambda entries: Figure.of_seeds([value(entry) for entry in entries])
