"""What claims need: trainings, measurements of them, ablations. No torch here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from equiwm.claims.statement import Bound, Estimate, Statement
from equiwm.config import Config, load
from equiwm.runs import run_name

R = TypeVar("R", contravariant=True)

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
    def dtype(self) -> str:
        """What models are evaluated in."""
        named = dict(self.options).get("dtype")
        return str(named) if named is not None else "float32"

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
    dtype = "float32"
    """What its networks are evaluated in."""

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
class SourcedStatement(Statement[R]):
    """A statement and what has to be computed for it.

    Attributes:
        source: what it is read from.
        dtype: that the quantity was evaluated in, where the source has it in several; empty is the source's own.
    """

    source: Source = field(kw_only=True)
    dtype: str = field(default="", kw_only=True)


def stated(
    setting: str,
    quantity: str,
    paper: str,
    source: Source,
    read: Callable[[Sequence[R]], Estimate | None],
    bound: Bound,
    *,
    ours: bool = False,
    dtype: str = "",
) -> SourcedStatement[R]:
    """A statement about a source."""
    return SourcedStatement(setting, quantity, paper, read, bound, ours, source=source, dtype=dtype)


@dataclass(frozen=True)
class PaperClaim:
    """A claim of the paper, or one that is stated beside it.

    Attributes:
        name: as the command line calls it.
        text: what it says, one sentence.
        statements: its lines at a size.
    """

    name: str
    text: str
    statements: Callable[[Size], list[SourcedStatement[Any]]]
