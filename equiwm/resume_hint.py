"""The command that finishes a run, as an error says it: people copy it into their shell, so nothing in it is taken on
trust.

A run's `config.yaml` remembers the command line that made it, and a run may come from somebody else. What is printed is
`equiwm` with options that are checked one by one and with the run's own path; or, where that is not enough, words.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equiwm.config import assembled, foreign_names, load, parse, preset_names, settings
from equiwm.errors import EquiwmError
from equiwm.locate import known_names
from equiwm.trust import is_sealed, modules_of

if TYPE_CHECKING:
    from equiwm.runs import Header

IN_WORDS = "the command that made it, and --resume"
_SHARED: dict[str, str | None] = {"--seeds": r"\d{1,4}", "--quick": None, "--jobs": r"-?\d{1,4}"}
_OPTIONS = {"ablate": {"--world": "[a-z0-9_]+", "--dim": "[23]", **_SHARED}, "reproduce": _SHARED}
"""Options of a study that its resumption needs, each with what its value looks like."""
_PLACE = ("--name", "--out")
"""Options that the run's own path replaces."""
_SILENT = ("--resume", "--quiet", "-q", "--json")
_CLAIM = re.compile("[A-Za-z]{1,20}")


def resume_command(path: Path, header: Header, data: Mapping[str, Any]) -> str:
    """The command that finishes a run, or `IN_WORDS` where it cannot be told safely.

    Args:
        path: the run's directory.
        header: of its `config.yaml`.
        data: the sections.
    """
    if header.kind == "policy":  # its teacher is a path, which nothing in a run is trusted for
        return IN_WORDS
    options = list(_split(header.command[2:]))
    command = _training(header, data, options) if header.kind == "train" else _study(header, data, options)
    if command is None:
        return IN_WORDS
    place = path if path.name else path.absolute()
    return shlex.join([*command, "--name", place.name, "--out", str(place.parent), "--resume"])


def _split(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Options with their values, and positional arguments as values of the option ``."""
    flags = {*_SILENT, *(name for known in _OPTIONS.values() for name, value in known.items() if value is None)}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            yield "", argument
        elif equals or name in flags:
            yield name, value if equals else None
        else:
            yield name, next(rest, "")


def _training(header: Header, data: Mapping[str, Any], options: Sequence[tuple[str, str | None]]) -> list[str] | None:
    """The options that give the very configuration of the run, if they do, and name no code that is not this user's.

    Those of the command line; or the preset that the run names, with what of the run is not as the preset has it.
    """
    given = [(name, value or "") for name, value in options]
    named = str(data.get("preset"))
    preset = next((value for name, value in given if name == "--preset"), named)
    files = [value for name, value in given if name == "--config"][-1:]
    assignments = [value for name, value in given if name == "--set"]
    ours = set(header.code) if is_sealed(header.code, header.seal) else set()
    found = _options(preset, files, assignments, data, ours)
    if found is None and named in preset_names():
        found = _options(named, [], _assignments(named, data), data, ours)
    seed = ["--seed", str(header.seed)] if header.seed else []
    return None if found is None else ["equiwm", "train", *found[:2], *seed, *found[2:]]


def _options(
    preset: str, files: Sequence[str], assignments: Sequence[str], data: Mapping[str, Any], ours: set[str]
) -> list[str] | None:
    """Options of `train`, if they give the configuration `data` and import no module that is none of `ours`."""
    try:
        found, _ = assembled(preset, Path(files[0]) if files else None, assignments)
        modules = {*modules_of(foreign_names(found)), *modules_of(foreign_names(data))}
        if not modules <= ours or (not modules and parse(found) != parse(data)):
            return None
    except EquiwmError:
        return None
    sets = [part for assignment in assignments for part in ("--set", assignment)]
    return ["--preset", preset, *(part for file in files for part in ("--config", file)), *sets]


def _assignments(preset: str, data: Mapping[str, Any]) -> list[str]:
    """What of a run is not as its preset has it, as `--set` takes it."""
    try:
        if foreign_names(data):
            return []
        usual = {key: value for key, value, _ in settings(load(preset))}
        return [
            f"{key}={value if value == 'null' else json.dumps(value)}"
            for key, value, _ in settings(parse(data))
            if usual.get(key, _NOTHING) != value
        ]
    except EquiwmError:
        return []


_NOTHING = object()


def _study(header: Header, data: Mapping[str, Any], options: Sequence[tuple[str, str | None]]) -> list[str] | None:
    """The options of a study of ours, if there is nothing else in its command line."""
    called = header.command[1] if len(header.command) > 1 else ""
    known = _OPTIONS.get(called)
    if known is None or foreign_names(data):
        return None
    command = ["equiwm", called]
    for name, value in options:
        if name in (*_PLACE, *_SILENT):
            continue
        if name == "":
            names = known_names("ablation") if called == "ablate" else None
            if not (value in names if names is not None else _CLAIM.fullmatch(value or "")):
                return None
            command.append(str(value))
        elif name not in known or not _fits(known[name], value):
            return None
        else:
            command += [name] if value is None else [name, value]
    return command


def _fits(pattern: str | None, value: str | None) -> bool:
    return (
        value is None if pattern is None else value is not None and re.fullmatch(pattern, value, re.ASCII) is not None
    )
