"""The key of data that a world makes: equal keys, equal bits. What cannot be named with certainty has no key.

It is the hash of all that the bits depend on: the world's class and its whole state (its configuration, what it has
seen of its group, whatever it has been given), the seed, the numbers of transitions and of a part's episodes, the code
of this package and, of a world that is not ours, of every loaded module that no installed package has; the names and
versions of all installed packages, Python, the processor, and the files that the world says it reads. A world of
somebody else's has a key only if it says which files those are (`PartedWorld.data_files`); a class of a notebook or a
script has none.
"""

from __future__ import annotations

import copyreg
import hashlib
import os
import platform
import re
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from equiwm.disk.strict_json import canonical_json
from equiwm.foreign import bare, is_ours
from equiwm.worlds.world import PartedWorld

VERSION = 1
"""Of the key itself."""
_DEPTH = 32
_FILES = Path(__file__).resolve().parents[1]
"""Of this package."""
_OF_CYTHON = re.compile(r"cython_runtime|_cython_[0-9_]+")
"""Modules without a file that extensions which Cython compiled make for themselves."""
_PLAIN = (type(None), bool, int, str, bytes)


class Unknown(Exception):
    """Something that the data may depend on and that has no name."""


def key_of(world: PartedWorld, *, seed: int, transitions: int) -> str | None:
    """The key of `transitions` of a world, 64 hexadecimal digits; None where it has none.

    Args:
        world: the world.
        seed: seed of the data.
        transitions: how many.
    """
    code = code_of(world)
    if code is None:
        return None
    try:
        made = {
            "version": VERSION,
            "class": _named(type(bare(world))),
            "state": described(bare(world)),
            "files": _files(world),
            "code": code,
            "installed": _installed(),
            "machine": _machine(),
            "seed": seed,
            "transitions": transitions,
            "part": world.part_episodes,
        }
    except (Unknown, OSError, ValueError):
        return None
    return hashlib.sha256(canonical_json(made).encode()).hexdigest()


def code_of(world: PartedWorld) -> Mapping[str, str] | None:
    """Name -> hash of the code that is loaded and that the data may depend on; None where that is not certain.

    It is this package's as a whole, and of a world that is not ours every loaded module of no installed package. A file
    that is younger than this process's import of the package is not certain: what is loaded may be older.
    """
    return _code(is_ours(type(world)), len(sys.modules))


@lru_cache(maxsize=2)
def _code(ours: bool, loaded: int) -> Mapping[str, str] | None:
    """`loaded` counts the modules: what is imported later may be more code."""
    try:
        own = {path.relative_to(_FILES).as_posix(): _hash_settled(path) for path in _own_files()}
        others = {} if ours else {f"{name}:{path}": _hash_settled(path) for name, path in _loaded_elsewhere()}
    except (Unknown, OSError):
        return None
    return {"equiwm": hashlib.sha256(canonical_json(own).encode()).hexdigest(), **others}


def _hash_settled(path: Path) -> str:
    loaded_at: float = sys.modules[__name__.partition(".")[0]].LOADED_AT  # before any module of the package was
    if path.stat().st_mtime >= loaded_at:
        raise Unknown("code that has changed")
    return _hash(path)


def _own_files() -> Iterator[Path]:
    for folder, inner, names in os.walk(_FILES):
        inner[:] = [each for each in inner if each != "__pycache__"]
        yield from (Path(folder) / name for name in names)


def _loaded_elsewhere() -> Iterator[tuple[str, Path]]:
    """Loaded modules of neither Python, this package, nor an installed one, and their files."""
    for name, module in list(sys.modules.items()):
        root = name.partition(".")[0]
        if root in ("equiwm", "__main__", "__mp_main__") or root in sys.stdlib_module_names or not _is_module(module):
            continue
        file = _file(module)
        if file is not None and not _is_installed(file):
            yield name, file
        elif file is None and not (_has_installed_root(root, module) or _OF_CYTHON.fullmatch(name)):
            raise Unknown(name)


def _is_module(module: object) -> bool:
    return isinstance(module, ModuleType)


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) and os.path.isfile(file) else None


def _has_installed_root(root: str, module: ModuleType) -> bool:
    """Whether a module without a file is part of an installed package, built in, or a mere folder of modules."""
    top = sys.modules.get(root)
    file = None if top is None else _file(top)
    spec = getattr(module, "__spec__", None)
    folder_alone = spec is not None and spec.origin is None and hasattr(module, "__path__")
    return folder_alone or root in sys.builtin_module_names or (file is not None and _is_installed(file))


@cache
def _installed_folders() -> tuple[Path, ...]:
    named = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = [*(sysconfig.get_paths()[name] for name in named), *site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(path).resolve() for path in paths)


def _is_installed(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in _installed_folders())


@cache
def _installed() -> str:
    """Hash of Python's version and those of all installed packages."""
    found = sorted({f"{each.metadata['Name']} {each.version}" for each in metadata.distributions()})
    return hashlib.sha256("\n".join([sys.version, *found]).encode()).hexdigest()


@cache
def _machine() -> list[str]:
    """System and processor: another one may round otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    about = hashlib.sha256("\n".join(sorted(set(wanted))).encode()).hexdigest()
    capability = torch.backends.cpu.get_cpu_capability()
    return [
        platform.system(),
        platform.machine(),
        platform.processor(),
        about,
        capability,
        "".join(platform.libc_ver()),
    ]


def _files(world: PartedWorld) -> dict[str, str]:
    files = world.data_files
    if files is None:
        raise Unknown("what the data are read from")
    return {str(Path(path).resolve()): _hash(Path(path)) for path in files}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(value: Any) -> str:
    """A class or function by the name that it is imported by.

    Raises:
        Unknown: it cannot be imported, or is of a notebook or a script.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value or module in ("__main__", "__mp_main__"):
        raise Unknown(name)
    return f"{module}:{name}"


def described(value: Any, depth: int = 0) -> Any:
    """Any value as JSON data that is equal only where the value is: what `pickle` would keep of it, without identities.

    Raises:
        Unknown: it cannot be pickled, or refers to itself.
    """
    if depth > _DEPTH:
        raise Unknown("too deep")
    if isinstance(value, torch.Tensor):
        return ["tensor", str(value.dtype), described(value.detach().cpu().numpy(), depth + 1)]
    kind = type(value)
    if kind in _PLAIN:
        return [kind.__name__, value.hex() if isinstance(value, bytes) else value if value is None else str(value)]
    if kind is float:
        return ["float", value.hex()]
    if kind is np.ndarray and not value.dtype.hasobject:
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return ["array", value.dtype.str, list(value.shape), content]
    if kind in (list, tuple):
        return [kind.__name__, *(described(each, depth + 1) for each in value)]
    if kind is dict:
        return ["dict", *([described(key, depth + 1), described(each, depth + 1)] for key, each in value.items())]
    if kind in (set, frozenset):
        return [kind.__name__, *sorted(canonical_json(described(each, depth + 1)) for each in value)]
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return ["name", _named(value)]
    return ["object", *_reduced(value, depth)]


def _reduced(value: Any, depth: int) -> list[Any]:
    """What `pickle` makes an object of again."""
    special = copyreg.dispatch_table.get(type(value))
    try:
        made = special(value) if special is not None else value.__reduce_ex__(4)
    except Exception as error:  # an object's own code, which may refuse in any way
        raise Unknown(type(value).__name__) from error
    if isinstance(made, str):
        return [_named(type(value)), made]
    rest = [list(part) if isinstance(part, Iterator) else part for part in made[1:]]
    return [_named(type(value)), *(described(part, depth + 1) for part in (made[0], *rest))]
