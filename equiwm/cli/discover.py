"""`equiwm discover`: which symmetries a world, a model or data really have."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equiwm.cli.options import JsonOption, SeedOption, SetOption, TrustOption, parse_reps
from equiwm.errors import ConfigError

if TYPE_CHECKING:
    from equiwm.evidence.algebra.discover import Target

HELP = (
    "a world or preset by name, module:World; FILE.py:probe or module:probe; the directory of a trained run; or "
    "a log: npz, csv, parquet, hdf5, a Zarr, Minari or LeRobot folder with its reps.yaml"
)
REPS = "rep of one input or output, repeatable (state=2xp+2x1o); none: any matrix on each"


def discover(
    target: Annotated[str, typer.Argument(metavar="WORLD|DATA|MODEL", help=HELP)],
    reps: Annotated[list[str] | None, typer.Option("--reps", metavar="LEAF=REP", help=REPS)] = None,
    space: Annotated[int | None, typer.Option("--space", min=1, help=r"dimension of the space of DATA \[2]")] = None,
    finite: Annotated[bool, typer.Option("--finite/--no-finite", help="look for finite symmetries too")] = True,
    seed: SeedOption = 1000,
    set_: SetOption = None,
    trust: TrustOption = None,
    json: JsonOption = False,
) -> None:
    """Which symmetries does it really have?

    The continuous ones as a Lie algebra, by one linear problem, each generator by its name and tried to the end;
    the finite ones (mirrors, C_n, exchanges, signs) by search. It says "unsure" where it cannot tell.

    Examples: equiwm discover vn-field-3d ; equiwm discover runs/vn-2d ; equiwm discover log.npz --reps
    state=4x1o --reps action=1o
    """
    from equiwm.cli.output import print_json, print_tables, print_text
    from equiwm.disk.strict_json import plain
    from equiwm.evidence.algebra.discover import discover as discovered
    from equiwm.evidence.algebra.words import tables, text

    found, given = _target(target, trust or [], set_ or [], space), "none" if reps == ["none"] else parse_reps(reps)
    result = discovered(found, reps=given, seed=seed, finite=finite, space=space or 2)
    if json:
        print_json(plain(result.as_dict()))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print_text(text(result, width) + "\n\n")
    print_tables(tables(result, target))


def _target(target: str, trust: list[str], settings: list[str], space: int | None) -> Target:
    """What is meant.

    Raises:
        ConfigError: nothing of that name.
    """
    from equiwm.config import is_path, load, preset_names, world_config
    from equiwm.disk.ownership import is_run
    from equiwm.errors import nearest
    from equiwm.loading import load_run
    from equiwm.locate import known_names
    from equiwm.logs.formats import is_log
    from equiwm.worlds.factory import build_world

    path = Path(target)
    if not is_run(path) and is_log(path):  # a run holds a CSV of its own
        return _of_log(path)
    if path.is_dir():
        import torch

        return load_run(path, torch.float64, trust=trust)
    if space is not None:
        raise ConfigError("--space: it is asked of data alone; a world and a probe have a space.")
    name, colon, _ = target.rpartition(":")
    if colon and (name.endswith(".py") or not is_path(target)):
        return _of_module(target)
    if is_path(target) or target in preset_names():
        return build_world(load(target, None, settings).world)
    if settings:
        raise ConfigError("--set: it changes the settings of a preset's world; give a preset.")
    if target in known_names("world"):
        return build_world(world_config({"name": target}))
    raise ConfigError(
        f"no world, preset, run or file {target!r}: {nearest(target, [*known_names('world'), *preset_names()])}"
    )


def _of_log(path: Path) -> Target:
    """Transitions of a log by the reps.yaml that lies with it, or of an npz file that has them row by row.

    Raises:
        ConfigError: there is no reps.yaml, or it does not fit.
    """
    from equiwm.evidence.algebra.steps import Steps, read_npz
    from equiwm.logs.episodes import load_logs
    from equiwm.logs.spec import read_spec, required_spec, spec_of

    if path.suffix.lower() == ".npz" and spec_of(path) is None:
        return read_npz(path)
    return Steps.of_logs(load_logs(path, read_spec(required_spec(path))))


def _of_module(target: str) -> Target:
    """A world or a probe of a module or a file.

    Raises:
        ConfigError: it is neither.
    """
    from equiwm.audit.probe import Probe
    from equiwm.config import world_config
    from equiwm.foreign import called
    from equiwm.locate import locate, locate_in_file
    from equiwm.worlds.factory import build_world

    path, _, name = target.rpartition(":")
    found = locate_in_file(Path(path), name) if path.endswith(".py") else locate("probe", target)
    if isinstance(found, Probe):
        return found
    if isinstance(found, type):
        if not path.endswith(".py"):
            return build_world(world_config({"name": target}))
        found = called(found, target, *([found.Config()] if hasattr(found, "Config") else []))
    elif callable(found) and not hasattr(found, "step"):
        found = called(found, target)
    if not isinstance(found, Probe) and not hasattr(found, "step"):
        raise ConfigError(
            f"{target}: got {type(found).__name__}, expected a world, a Probe, or a function that makes one."
        )
    return found
