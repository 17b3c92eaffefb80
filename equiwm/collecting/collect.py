"""Collect episodes into a folder: in blocks, in parallel, resumable, then written as one log."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from equiwm.collecting.episodes import check_recipe, episodes_cell, part_file, read_part
from equiwm.collecting.recipe import Recipe
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.ownership import make_folder, marker_of, remove_folder
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.environments.environment import Environment
from equiwm.environments.explore import Episode
from equiwm.environments.spaces import Flat
from equiwm.errors import ConfigError, DataError, MissingExtraError, RunError
from equiwm.grid import Cell, CellResult, run_grid
from equiwm.logs.guess import guess
from equiwm.logs.raw import Array
from equiwm.logs.spec import LogSpec, text_of
from equiwm.logs.writing import ENDS, INDEX, require_pyarrow, write_lerobot, write_npz

Format = Literal["lerobot", "npz"]
Progress = Callable[[int, int], None]

RECIPE, STORE = "collect.json", ".collect"
_BLOCKS, _LARGEST_BLOCK = 40, 32
_RATE = 10.0
_SIMULATED = "# From a simulator: what stands still is no fault of the recording.\nduplicates: keep\njumps: allow\n"


@dataclass(frozen=True)
class Collected:
    """What was collected.

    Attributes:
        path: the log: a LeRobot folder, or an npz.
        reps: the `reps.yaml` beside it.
        episodes: how many.
        transitions: in all of them.
        terminated: episodes that ended by their own rules.
    """

    path: str
    reps: str
    episodes: int
    transitions: int
    terminated: int


def collect(
    recipe: Recipe,
    episodes: int,
    out: Path,
    *,
    format: Format = "lerobot",
    jobs: int = 1,
    resume: bool = False,
    trust: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Collected:
    """Collect episodes; the same recipe gives the same bits, whatever the jobs and the interruptions.

    Args:
        recipe: what is collected.
        episodes: how many, at least 2: what is independent of each other is counted in episodes.
        out: the folder of the log, made.
        format: a LeRobot folder v3.0, or `episodes.npz`.
        jobs: processes.
        resume: go on with a folder of the same recipe.
        trust: modules that a run as policy may name.
        progress: called with (episodes done, episodes).

    Returns:
        Where the log is, and what is in it.

    Raises:
        ConfigError: fewer than 2 episodes, or what `check_recipe` refuses.
        RunError: the folder is there, or holds something else.
        DataError: an episode raised: the message names it and its step. The finished ones are written, and `resume`
            tries the others again.
        MachineError: a full disk; what was finished is kept.
        MissingExtraError: a LeRobot folder, and pyarrow is not installed; nothing is made.
    """
    if format == "lerobot":
        try:
            require_pyarrow()
        except MissingExtraError as error:
            raise MissingExtraError(f"{error} An npz file needs no more than is there: --format npz.") from None
    if episodes < 2:
        raise ConfigError(f"--episodes: got {episodes}, expected at least 2: independence is counted in episodes.")
    collector = check_recipe(recipe, trust)
    definition = {**asdict(recipe), "episodes": episodes, "format": format}
    if _opened(out, definition, resume) and not (out / STORE).exists():
        return _told(out)
    block = min(_LARGEST_BLOCK, max(1, episodes // _BLOCKS))
    cells = [
        Cell(f"episodes={first}", {"recipe": asdict(recipe), "trust": list(trust), "first": first, "count": count})
        for first, count in ((k, min(block, episodes - k)) for k in range(0, episodes, block))
    ]
    store = out / STORE

    def counted(done: int, total: int, _: Sequence[CellResult]) -> None:
        if progress is not None:
            progress(min(done * block, episodes), episodes)

    found = run_grid(episodes_cell, cells, store, jobs=jobs, resume=True, progress=counted, root=store)
    failed = [cell.error for cell in found if cell.error]
    if not any(True for _ in _episodes(store, found)):
        assert failed[0] is not None
        raise DataError(f"{failed[0].message} No episode finished, nothing is written in {out}.")
    made = _written(out, recipe, collector.environment, lambda: _episodes(store, found), format, definition)
    if failed and failed[0] is not None:
        raise DataError(
            f"{failed[0].message} {made.episodes} of {episodes} episodes finished and are written in {out}; --resume "
            "tries the others again."
        )
    remove_folder(store, "store")
    return made


def _opened(out: Path, definition: Mapping[str, Any], resume: bool) -> bool:
    """Make the folder, or go on with it: whether it was there.

    Raises:
        RunError: it may not be used.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        if marker_of(out) != "episodes":
            raise RunError(f"{out} is there, and holds no episodes of ours; pass another --out.")
        if not resume:
            raise RunError(f"{out} holds collected episodes; pass --resume to go on, or another --out.")
        before = {name: read_json(out / RECIPE).get(name) for name in definition}
        other = [name for name in definition if before[name] != definition[name]]
        if other:
            raise RunError(f"{out} was collected with another {', '.join(other)}; pass the same, or another --out.")
        _make_store(out)
        return True
    try:
        make_folder(out, "episodes", {RECIPE: canonical_json(definition, indent=2) + "\n"})
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise RunError(f"{out} is there; pass another --out.") from None
        raise RunError(f"cannot make {out}: {reason(error)}; choose another --out.") from None
    _make_store(out)
    return False


def _make_store(out: Path) -> None:
    """The store, unless everything is finished."""
    if (out / STORE).exists() or "collected" in read_json(out / RECIPE):
        return
    make_folder(out / STORE, "store", parents=False)


def _told(out: Path) -> Collected:
    """What a finished folder says of itself.

    Raises:
        RunError: it says nothing.
    """
    said = read_json(out / RECIPE).get("collected")
    if not isinstance(said, Mapping):
        raise RunError(f"{out} is neither finished nor being collected; remove it and collect again.")
    return Collected(**{**said, "path": str(out / said["path"]), "reps": str(out / said["reps"])})


def _episodes(store: Path, found: list[CellResult]) -> Iterator[Episode]:
    """The finished episodes in order."""
    for cell in found:
        file = part_file(store, cell.cell.params["first"])
        if cell.result is None and not file.exists():
            continue
        for _, episode in read_part(file, None if cell.result is None else cell.result["sha256"]):
            yield episode


def _written(
    out: Path,
    recipe: Recipe,
    environment: Environment,
    episodes: Callable[[], Iterator[Episode]],
    format: Format,
    definition: Mapping[str, Any],
) -> Collected:
    """The log and its `reps.yaml`."""
    counts = [(len(episode), episode.terminated) for episode in episodes()]
    columns = (_columns(environment, episode) for episode in episodes())
    spec = recipe.spec
    if format == "npz":
        log = write_npz(out, columns)
    else:
        rate = (spec.rate if spec is not None else None) or environment.rate or _RATE
        log = write_lerobot(out, columns, rate=rate, task=recipe.env)
    text = guess(log) if spec is None else text_of(_renamed(spec, environment, format))
    write_atomic(out / "reps.yaml", f"{text}{_SIMULATED}")
    made = Collected(
        str(log), str(out / "reps.yaml"), len(counts), sum(n for n, _ in counts), sum(ended for _, ended in counts)
    )
    if len(counts) == definition["episodes"]:
        where = {"path": os.path.relpath(log, out), "reps": "reps.yaml"}
        said = {**definition, "collected": {**asdict(made), **where}}
        write_atomic(out / RECIPE, canonical_json(said, indent=2) + "\n")
    return made


def _columns(environment: Environment, episode: Episode) -> dict[str, Array]:
    """An episode as columns, in the dtypes of the environment's spaces."""
    found: dict[str, Array] = {}
    for flat, rows in ((environment.observations, episode.observations), (environment.actions, episode.actions)):
        for part in flat.parts:
            found[flat.logged(flat.column(part))] = rows[:, part.entries].astype(part.box.dtype)
    found["next.reward"] = np.append(episode.rewards, 0.0)
    done = np.zeros(len(episode) + 1, bool)
    done[-2] = episode.terminated
    found["next.done"] = done
    return found


def _renamed(spec: LogSpec, environment: Environment, format: Format) -> LogSpec:
    """A specification of an environment as one of the log."""
    from dataclasses import replace

    def of(flat: Flat, part: Any) -> Any:
        return tuple(
            replace(entry, sources=tuple(flat.logged(flat.resolved(source)) for source in entry.sources))
            for entry in part
        )

    episodes = ("ends", (ENDS,)) if format == "npz" else ("index", (INDEX,))
    return replace(
        spec,
        state=of(environment.observations, spec.state),
        action=of(environment.actions, spec.action),
        episodes=episodes,
    )
