"""`config.yaml`: what a run says of itself, and the configuration it was made from."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from equiwm import config as configuration
from equiwm.config import Config
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import ConfigError, RunError, nearest
from equiwm.policy import SECTIONS as POLICY_SECTIONS
from equiwm.printable import quoted

SCHEMA = 1
"""Version of the layout of a run directory; a higher one than ours is refused."""
MAX_SEED = 2**32 - 1
"""Largest seed: what every generator takes, those of a world's streams and of the control included."""

MOST_SEEDS = 1000
"""Seeds of one command: each is a training of its own."""

RunKind = Literal["train", "study", "policy"]

_SECTIONS: Mapping[str, tuple[str, ...]] = {"train": (), "study": ("study",), "policy": POLICY_SECTIONS}
"""Kinds of runs, and the sections that each has besides those of a training."""

_CONFIG_KEYS = tuple(field.name for field in dataclasses.fields(Config))


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on, from the packages' metadata (importing none of them)."""
    found = {"python": platform.python_version()}
    for package in ("equiwm", "torch", "numpy", "gym-pusht"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True)
class Header:
    """What `config.yaml` says about a run besides its sections.

    Attributes:
        kind: `train` and `policy`, which have a checkpoint, or `study` (an ablation, a reproduction), which has none.
        name: the run's name when it was made; the folder may have been renamed since.
        seed: seeds everything in the run.
        command: the command line, one entry an argument; empty when the run was made from Python.
        versions: package -> version.
        schema: version of the layout.
        code: module -> file of the code from outside this package that the run was made with.
        seal: of `code`, by the user who made the run (`equiwm.trust`).
    """

    kind: RunKind
    name: str
    seed: int
    command: tuple[str, ...]
    versions: dict[str, str]
    schema: int = SCHEMA
    code: dict[str, str] = field(default_factory=dict)
    seal: str = ""


def check_seed(seed: int, where: str = "") -> None:
    """Refuse a seed that no generator takes.

    Args:
        seed: the seed.
        where: how the message begins.

    Raises:
        ConfigError: what a seed may be.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"{where}seed: got {seed}, expected 0 to {MAX_SEED}.")


def read_config(path: Path) -> tuple[Header, dict[str, Any]]:
    """Split a `config.yaml` into its header and the rest, which `equiwm.config.parse` takes (for a training).

    A study may have the sections of a training as well, and a section `study` of its own; a policy has those of its
    teacher, and `equiwm.policy`'s.

    Raises:
        ConfigError: the file is not YAML, or a key is missing, unknown or of the wrong type.
        RunError: the run was written by a later version of equiwm.
    """
    data = configuration.read_yaml(path, inside=path.parent)
    types: dict[str, type] = {
        "kind": str,
        "schema": int,
        "name": str,
        "seed": int,
        "command": list,
        "versions": dict,
    }
    optional: dict[str, type] = {"code": dict, "seal": str}
    for key, kind in {**types, **optional}.items():
        if key in optional and key not in data:
            continue
        if key not in data:
            raise ConfigError(f"{path}: no key '{key}'; it was not written by equiwm, or it is damaged.")
        if not isinstance(data[key], kind) or isinstance(data[key], bool):
            raise ConfigError(f"{path}: {key}: got {quoted(data[key])}, expected {kind.__name__}.")
    if data["schema"] > SCHEMA:
        raise RunError(f"{path} has schema {data['schema']}, expected at most {SCHEMA}; install a later equiwm.")
    if data["schema"] < 1:
        raise ConfigError(f"{path}: schema: got {data['schema']}, expected 1 to {SCHEMA}.")
    check_seed(data["seed"], f"{path}: ")
    if data["kind"] not in _SECTIONS:
        raise ConfigError(f"{path}: kind: got {quoted(data['kind'])}, expected {', '.join(_SECTIONS)}.")
    sections = [*_CONFIG_KEYS, *_SECTIONS[data["kind"]]]
    for key in data:
        if key not in types and key not in optional and key not in sections:
            raise ConfigError(f"{path}: unknown key {quoted(key)}: {nearest(str(key), [*types, *sections])}")
    header = Header(
        kind=data["kind"],
        name=data["name"],
        seed=data["seed"],
        command=tuple(map(str, data["command"])),
        versions={str(package): str(version) for package, version in data["versions"].items()},
        schema=data["schema"],
        code={str(module): str(file) for module, file in data.get("code", {}).items()},
        seal=data.get("seal", ""),
    )
    return header, {key: value for key, value in data.items() if key not in types and key not in optional}


def canonical_config(seed: int, data: Mapping[str, Any]) -> str:
    """Seed and sections of a `config.yaml` as one text, equal for equal ones; the description says nothing of the run.

    It is made of what stands in the file, not of what today's defaults add to it: a setting that a later version has
    more does not change what a run belongs to.

    Raises:
        ConfigError: a value that no configuration holds.
    """
    try:
        return canonical_json({**{key: value for key, value in data.items() if key != "description"}, "seed": seed})
    except (TypeError, ValueError, RecursionError):
        raise ConfigError("the configuration holds what is neither text nor a number; restore the file.") from None
