"""What `discover` says: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from equiwm.results.result import Real, Result
from equiwm.tables.cell import brief, cell


@dataclass(frozen=True)
class GeneratorResult(Result):
    """One infinitesimal symmetry.

    Attributes:
        name: what it is.
        matrix: leaf -> its homogeneous matrix [[A, b], [0, 0]]: on one channel where a leaf has reps and all its
            channels move alike, else on the whole leaf.
        residual: f(g x) against g f(x) after a finite motion g, relative to the outputs' variation; of data that of the
            linear problem.
    """

    name: str
    matrix: dict[str, list[list[float]]]
    residual: Real


@dataclass(frozen=True)
class NearResult(Result):
    """A motion that is no symmetry and nearly one, or one at most samples.

    Attributes:
        name: what it is.
        residual: how far it is from one.
        share: of the samples at which it fails after a finite motion.
    """

    name: str
    residual: Real
    share: float


@dataclass(frozen=True)
class DiscoverResult(Result):
    """The symmetries of a map.

    Attributes:
        dimension: of the Lie algebra within the family that was searched; the best guess where it is not sure, null
            where there is none.
        sure: whether the dimension can be relied on.
        reasons: why not.
        generators: a basis.
        finite: names of the finite symmetries that were tried and hold.
        near: what is nearly a symmetry, and is not counted.
        singular_values: ascending: residuals of motions of relative size 1; 0 of a symmetry.
        gap: the first that is none against the last that is one.
        noise: what a singular value of a symmetry would read.
        resolution: of data: the smallest break that would have been seen; null where rounding decides.
        source: `world`, `model` or `data`.
        reps: leaf -> its rep, or `free`.
        notes: what a reader should know.
        samples: how many.
        seconds: how long it took.
        seed: of samples and directions.
    """

    dimension: int | None
    sure: bool
    reasons: list[str]
    generators: list[GeneratorResult]
    finite: list[str]
    near: list[NearResult]
    singular_values: list[float]
    gap: Real
    noise: Real
    resolution: Real
    source: str
    reps: dict[str, str]
    notes: list[str]
    samples: int
    seconds: float
    seed: int

    def __str__(self) -> str:
        """The answer in a few lines."""
        text: str = import_module("equiwm.evidence.algebra.words").text(self)
        return brief(text)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and the tables."""
        # By name: the module of words shows values of this class, and imports this one.
        words = import_module("equiwm.evidence.algebra.words")
        return cell(words.text(self), words.tables(self, self.source))
