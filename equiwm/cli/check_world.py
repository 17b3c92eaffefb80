"""`equiwm check-world`: which symmetry a simulator really has."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equiwm.cli.options import JsonOption, SeedOption, SetOption, parse_reps
from equiwm.errors import ConfigError, DataError, RunError

if TYPE_CHECKING:
    from equiwm.evidence.world.break_map import BreakMap
    from equiwm.evidence.world.probe import WorldProbe
    from equiwm.evidence.world.result import WorldResult

HELP = (
    "gym:ENV_ID (a MuJoCo body, gym-pusht, what has set_state and get_state, or with --reps FILE.yaml what its "
    "observations show); FILE.py:probe or module:probe, a WorldProbe; or a preset or a world"
)
REPS = (
    "how the group acts on an environment: state=2x1o, action=1o (repeatable) of what has set_state, or a FILE.yaml of "
    "what it observes"
)
GROUP = r"so2z, mirror, se2z, shiftx, ... \[the probe's or the world's own]"
MAP = "mirror doctor: YAML of names and signs, or module:function"


_OF_A_BODY, _OF_OTHERS = 12, 48


class ExpectedWorld(StrEnum):
    """The weakest verdict that passes."""

    exact = "exact"
    limited = "precision-limited"
    approximate = "approximate"


def check_world(
    target: Annotated[str | None, typer.Argument(metavar="WORLD", help=HELP)] = None,
    group: Annotated[str | None, typer.Option("--group", help=GROUP)] = None,
    settings: SetOption = None,
    states: Annotated[
        int | None, typer.Option("--states", min=2, max=10_000, help=r"how many rollouts \[12 of a body, else 48]")
    ] = None,
    copies: Annotated[int, typer.Option("--copies", min=1, max=1_000, help="transformed copies of each")] = 2,
    horizons: Annotated[str, typer.Option("--horizons", help="steps after which they are compared")] = "1,5,20,60",
    expect: Annotated[
        ExpectedWorld | None, typer.Option("--expect", help=r"exit with 1 where it is worse \[precision-limited]")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="reward, termination and observation count too")] = False,
    map_: Annotated[str | None, typer.Option("--map", metavar="MAP", help=MAP)] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="CHANNEL", help="map where it breaks over this position")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder for the result and the figure")] = None,
    survey: Annotated[
        Path | None, typer.Option("--survey", metavar="FILE.md", help="check every body and world, write a document")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="of --survey: keep the rows that are there")] = False,
    seed: SeedOption = 1000,
    json: JsonOption = False,
    reps: Annotated[list[str] | None, typer.Option("--reps", metavar="LEAF=REP|FILE.yaml", help=REPS)] = None,
    save_guard: Annotated[
        Path | None, typer.Option("--save-guard", metavar="FILE.json", help="save the map of --where, for world.guard")
    ] = None,
) -> None:
    """Does a simulator have a symmetry, where does it break, and what breaks it?

    States are set, actions carried out, and all of it done again from the transformed start; beside it the growth of
    one ulp without any group element, so that chaos is not read as a broken world. The symmetries of a MuJoCo body are
    read off its model. Exits with 1 where the verdict is worse than --expect.

    Examples: equiwm check-world gym:Walker2d-v4 --group mirror ; equiwm check-world gym:Humanoid-v5 --group so2z --set
    option.cone=elliptic ; equiwm check-world my_sim.py:probe --group so2
    """
    from equiwm.cli.output import print_json, print_tables, print_text
    from equiwm.disk.strict_json import plain
    from equiwm.evidence.world.check import check_world as checked
    from equiwm.evidence.world.words import tables, text

    if (target is None) == (survey is None):
        raise ConfigError("check-world takes a WORLD to check, or --survey FILE.md to check them all.")
    if survey is not None:
        _survey(survey, seed, resume=resume)
        return
    assert target is not None
    if save_guard is not None:
        _savable(save_guard, where)
    steps = _steps(horizons)
    observed = _file_of(reps)
    body = target.startswith("gym:") and observed is None
    states = states or (_OF_A_BODY if body else _OF_OTHERS)
    probe = _probe(target, group, settings or [], reps, observed)
    result = checked(probe, horizons=steps, states=states, copies=copies, seed=seed)
    if body:
        result = _repaired(result, target, group, settings or [], steps, seed)
    if map_ is not None:
        from equiwm.evidence.world.doctor import examine

        result = replace(result, map=examine(probe, map_, seed=seed))
    drawn = None
    if where is not None:
        from equiwm.evidence.world.break_map import break_map, with_map

        drawn = break_map(probe, where, seed=seed)
        result = with_map(result, drawn)
    if save_guard is not None:
        assert drawn is not None
        _save(save_guard, drawn)
    if out is not None:
        _write(out, result, drawn)
    if json:
        print_json(plain(result.as_dict() | ({} if drawn is None else {"break_map": drawn.as_dict()})))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print_text(text(result, width) + "\n" + ("" if drawn is None else drawn.text(width) + "\n") + "\n")
        print_tables(tables(result))
    if not _passes(result, (expect or ExpectedWorld.limited).value, strict):
        raise typer.Exit(1)


def _steps(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() and 1 <= int(part) <= 10_000 for part in parts):
        raise ConfigError(f"--horizons: got '{text[:60]}', expected steps such as 1,5,20,60.")
    return sorted({int(part) for part in parts})


def _passes(result: WorldResult, expect: str, strict: bool) -> bool:
    from equiwm.audit.words import passes

    good = passes(result.verdict, expect)
    if result.map is not None:
        good = good and result.map.agrees
    if strict:
        parts = (result.reward, result.terminated, result.observation)
        good = good and all(part.verdict == "none" or passes(part.verdict, expect) for part in parts)
    return good


def _file_of(reps: list[str] | None) -> Path | None:
    """The reps.yaml that --reps names; None where it gives reps one by one, or none.

    Raises:
        ConfigError: a file and something besides.
    """
    files = [each for each in reps or [] if each.endswith((".yaml", ".yml"))]
    if not files:
        return None
    if reps != files or len(files) > 1:
        raise ConfigError("--reps: expected one FILE.yaml, or LEAF=REP for each leaf.")
    return Path(files[0])


def _probe(
    target: str, group: str | None, settings: list[str], reps: list[str] | None, observed: Path | None
) -> WorldProbe:
    """The probe of a body, another environment, a file, a module or a preset's world.

    Raises:
        ConfigError: what is none of these.
    """
    from equiwm.evidence.world.environments import environment_probe
    from equiwm.evidence.world.probe import WorldProbe
    from equiwm.evidence.world.worlds import observed_probe, preset_probe
    from equiwm.foreign import called
    from equiwm.locate import is_foreign, locate, locate_in_file

    if target.startswith("gym:"):
        if group is None:
            raise ConfigError(f"{target}: say which symmetry, as --group mirror or --group so2z.")
        if observed is not None:
            if settings:
                raise ConfigError("--set changes the model of a MuJoCo body; with --reps it changes nothing.")
            return observed_probe(target, observed, group)
        return environment_probe(target.removeprefix("gym:"), group, settings, parse_reps(reps))
    if reps:
        raise ConfigError("--reps says how a group acts on an environment, gym:...; this says so itself.")
    if not is_foreign(target):
        return preset_probe(target, group, settings)
    if settings:
        raise ConfigError("--set changes the model of a MuJoCo body (gym:...) or a preset's world; this is a probe.")
    path, _, name = target.rpartition(":")
    found: Any = locate_in_file(Path(path), name) if path.endswith(".py") else locate("probe", target)
    if not isinstance(found, WorldProbe) and callable(found):
        found = called(found, target)
    if not isinstance(found, WorldProbe):
        raise ConfigError(f"{target}: got {type(found).__name__}, expected a WorldProbe or a function that makes one.")
    return found if group is None else replace(found, group=group)


def _repaired(
    result: WorldResult, target: str, group: str | None, settings: list[str], steps: list[int], seed: int
) -> WorldResult:
    """The result with the verdict that the repairs of its causes have, all together."""
    from equiwm.evidence.world.bodies import mended, with_verdict
    from equiwm.evidence.world.check import compared

    probe = mended(target.removeprefix("gym:"), group or "", result.causes, settings)
    if probe is None:
        return result
    verdict = compared(probe, max(steps), states=result.states, copies=result.copies, seed=seed)[1].verdict
    return replace(result, causes=with_verdict(result.causes, verdict))


def _write(out: Path, result: WorldResult, drawn: BreakMap | None) -> None:
    """The result as JSON, and the map as a figure with its CSV."""
    import json
    import re

    from equiwm.disk.files import write_atomic
    from equiwm.disk.strict_json import plain
    from equiwm.figures.canvas import open_folder

    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{result.world} {result.group}").strip("-.")
    open_folder(out, f"check-world-{name}")
    write_atomic(out / f"check-world-{name}.json", json.dumps(plain(result.as_dict()), indent=2) + "\n")
    if drawn is not None:
        drawn.draw(out, f"break-map-{name}")


def _savable(path: Path, where: str | None) -> None:
    """Refuse a place for a map before it is measured.

    Raises:
        ConfigError: no map is asked for, or a file of another ending.
        RunError: its folder does not exist.
    """
    if where is None:
        raise ConfigError("--save-guard saves the map of --where CHANNEL: give both.")
    if path.suffix != ".json":
        raise ConfigError(f"--save-guard {path}: expected a file that ends in .json.")
    if not path.absolute().parent.is_dir():
        raise RunError(f"{path}: there is no folder {path.absolute().parent}.")


def _save(path: Path, drawn: BreakMap) -> None:
    """Write the map that a world takes as its guard.

    Raises:
        DataError: nothing breaks anywhere: there is nothing to guard.
    """
    from equiwm.disk.files import write_atomic

    if drawn.saved.misfit is not None:
        raise DataError(f"--save-guard: no bound on '{drawn.channel}' was found, so there is nothing to save.")
    write_atomic(path, drawn.saved.as_text() + "\n")


def _survey(document: Path, seed: int, *, resume: bool) -> None:
    """Every world there is, into a document.

    Raises:
        RunError: the folder of the document does not exist.
    """
    from equiwm.audit.verdict import Verdict
    from equiwm.cli.output import print_text, say
    from equiwm.evidence.world.survey import survey

    if not document.absolute().parent.is_dir():
        raise RunError(f"{document}: there is no folder {document.absolute().parent}.")
    if document.suffix != ".md":
        raise ConfigError(f"--survey {document}: expected a file that ends in .md.")
    rows = survey(document, seed=seed, resume=resume, say=say)
    broken = sum(not Verdict(row["verdict"]).holds for row in rows)
    print_text(f"{document}: {len(rows)} checks, {broken} of them broken or approximate.\n")
