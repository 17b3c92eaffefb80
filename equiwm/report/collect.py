"""The runs of some folders, read from their files alone, and a line for each that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import Stored, stored_results
from equiwm.config import readable
from equiwm.disk.files import reason
from equiwm.errors import EquiwmError, ResultError, RunError
from equiwm.layout.header import RunKind
from equiwm.report.weights import of_other_weights, own_weights
from equiwm.runs import STUDY_RUNS, Run
from equiwm.schema import coerce


@dataclass(frozen=True)
class CollectedRun:
    """A run that is whole.

    Attributes:
        path: its directory.
        kind: `train`, `policy` or `study`.
        preset: the preset it was made from; None of a study.
        baseline: preset of the ordinary model that it is compared with, or None.
        seed: seed of its training.
        settings: everything that its weights and its world depend on besides the seed, by section.
        metrics: content of `metrics.json`, as it stands there.
        results: what of it can be read.
        unread: a line for each result that cannot.
        weights: SHA-256 of its checkpoint, or None where nobody knows.
        opened: of a study, whether it or the one that it is part of was named, not a folder that holds it.
    """

    path: Path
    kind: RunKind
    preset: str | None
    baseline: str | None
    seed: int
    settings: Mapping[str, object]
    metrics: Mapping[str, object]
    results: tuple[Stored, ...]
    unread: tuple[str, ...]
    weights: str | None = None
    opened: bool = True

    @property
    def other_weights(self) -> tuple[str, ...]:
        """Sections and variants of the results that were measured on other weights than the run has."""
        return of_other_weights(self.results, self.weights)

    @property
    def name(self) -> str:
        """Name of the directory."""
        return Run(self.path).name


def collect(places: Sequence[Path], claims: Sequence[AnyClaim]) -> tuple[list[CollectedRun], list[str]]:
    """The runs that some places are or hold.

    Args:
        places: runs, folders that hold runs, and studies, of which those that hold runs of their own are opened; of two
            that are the same directory the second is ignored.
        claims: whose results are read.

    Returns:
        The runs, in the order of the places and by name within a folder; and a line for each that is incomplete,
        damaged or foreign, with what to do about it. Other folders and files are not mentioned.

    Raises:
        RunError: a place does not exist, or none of them holds a run.
    """
    found: list[CollectedRun] = []
    skipped: list[str] = []
    opened: dict[Path, bool] = {}
    for path, named in _runs(places):
        opened[path.absolute()] = opened.get(path.absolute(), False) or named
    for path, named in opened.items():
        shown = Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
        try:
            run = _read(Run(shown), claims)
        except EquiwmError as error:
            skipped.append(str(error))
        else:
            found.append(replace(run, opened=named))
    if not found and not skipped:
        where = ", ".join(map(str, places))
        raise RunError(f"{where} holds no run: expected directories with a config.yaml, as `equiwm train` makes them.")
    return found, skipped


def _runs(places: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each run, and whether it was named, or is part of a study that was."""
    for place in places:
        if not os.path.isdir(place):  # unlike Path's method it says False, and raises nothing, where it may not look
            what = "is a file" if os.path.isfile(place) else "does not exist"
            raise RunError(f"{place}: expected a folder that holds runs; it {what}.")
        if not os.path.lexists(place / "config.yaml"):
            yield from ((path, False) for path in _runs_in(place))
            continue
        yield place, True
        # Opened when it is asked for by name only: among other runs a study speaks for what it holds.
        if os.path.isdir(place / STUDY_RUNS):
            yield from ((path, True) for path in _runs_in(place / STUDY_RUNS))


def _runs_in(place: Path) -> Iterator[Path]:
    try:
        folders = sorted(path for path in place.iterdir() if os.path.isdir(path) and not path.name.startswith("."))
    except OSError as error:
        raise RunError(f"cannot read {place}: {reason(error)}.") from None
    yield from (path for path in folders if any(os.path.lexists(path / name) for name in _MARKS))


_MARKS = ("config.yaml", "metrics.json", "checkpoint.pt")
"""A folder with one of them, be it a file or not, was meant to be a run."""


def _read(run: Run, claims: Sequence[AnyClaim]) -> CollectedRun:
    if not os.path.lexists(run.config_path):
        raise RunError(f"{run.path} is no run: it has no config.yaml (--out of an evaluation leaves such folders).")
    header, data = run.header, run.data
    metrics = run.metrics()
    read = list(stored_results(metrics, claims, study=header.kind == "study", where=str(run.metrics_path)))
    results = tuple(each for each in read if isinstance(each, Stored))
    unread = tuple(str(each) for each in read if isinstance(each, ResultError))
    if header.kind == "study":
        if not metrics:
            raise RunError(f"{run.path} is a study that has no result yet; go on with: {run.resume_command}")
        return CollectedRun(run.path, "study", None, None, header.seed, data, metrics, results, unread)
    # A copy without its checkpoint, which is the heavy part, is whole to a reader of results.
    made = "distill" if header.kind == "policy" else "train"
    if not os.path.isfile(run.checkpoint) and (made not in metrics or os.path.lexists(run.resume_point)):
        raise RunError(f"{run.path} is incomplete; finish it with: {run.resume_command}")
    try:
        settings = readable(data)
        told = {key: coerce(settings.pop(key, None), str | None, key) for key in ("preset", "baseline", "description")}
    except EquiwmError as error:
        raise RunError(f"{run.config_path}: {error}") from None
    preset, baseline, _ = told.values()
    weights = own_weights(run, metrics)
    return CollectedRun(
        run.path, header.kind, preset, baseline, header.seed, settings, metrics, results, unread, weights
    )
