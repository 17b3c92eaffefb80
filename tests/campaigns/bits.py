"""What has to be the same after any fault as without one: everything on disk but times and command lines."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

TIMES = {"seconds", "steps_seconds", "seconds_per_episode"}
_NAMES_ALONE = {"summary.txt", "summary.svg", "seconds.json", ".train.lock", ".metrics.lock"}
"""Files that hold times, or nothing."""


def timeless(value: Any) -> Any:
    """JSON data without times."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key not in TIMES}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def bits(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its content as far as that must not depend on what happened."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


_DRAFT = re.compile(r"(\..+)\.\d+-[0-9a-f]{16}\.tmp")


def state(folder: Path) -> str:
    """All that a later command finds below a folder: two states that are equal go on to the same.

    Of the name of an unfinished file, process and random part are left out: whoever wrote it has ended.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = "/".join(_DRAFT.sub(r"\1.tmp", part) for part in path.relative_to(folder).parts)
        found.append((name, _content(path) if path.is_file() else "folder"))
    return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()


def _content(path: Path) -> str:
    if path.name in _NAMES_ALONE or path.suffix in (".png", ".svg"):
        return "there"
    if path.suffix == ".json":
        return json.dumps(timeless(json.loads(path.read_text())), sort_keys=True)
    if path.name == "config.yaml":
        return json.dumps({**yaml.safe_load(path.read_text()), "command": None}, sort_keys=True)
    data = path.read_bytes()
    return data.decode() if path.suffix in (".csv", ".md") else hashlib.sha256(data).hexdigest()
