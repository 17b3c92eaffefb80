"""Eight kinds of damage to a file of a run: what a disk, an editor, a stranger or a mistaken copy may leave there."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Draws = np.random.Generator


class Touch:
    """Whoever unpickles it executes it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def truncate(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """Keep the beginning, of a length that is drawn; often nothing."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * draws.choice([0.0, draws.uniform(), draws.uniform(), 0.99]))])


def flip(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """Change one to eight bytes."""
    data = bytearray(path.read_bytes())
    for _ in range(int(draws.integers(1, 9))):
        if data:
            data[int(draws.integers(len(data)))] ^= int(draws.integers(1, 256))
    path.write_bytes(bytes(data))


def splice(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """Put a piece of another file in the middle, or bytes that execute what they are read by."""
    data = path.read_bytes()
    files = [each for each in sorted(other.rglob("*")) if each.is_file()]
    executed = f"!!python/object/apply:os.mkdir ['{canary}']\n".encode()
    foreign = [files[int(draws.integers(len(files)))].read_bytes(), executed, pickle.dumps(Touch(canary))]
    piece = foreign[int(draws.choice(3, p=[0.6, 0.2, 0.2]))]
    place = int(draws.integers(len(data) + 1)) if draws.uniform() < 0.7 else 0
    path.write_bytes(data[:place] + piece + (data[place:] if draws.uniform() < 0.7 else b""))
    if path.suffix == ".pt" and draws.uniform() < 0.4:
        with zipfile.ZipFile(path, "w") as archive:  # a sound archive, of a pickle that executes
            archive.writestr("archive/data.pkl", pickle.dumps({"model": Touch(canary)}))
            archive.writestr("archive/version", "3")


def swap(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """The file of that name of another run: of another seed, or of another length."""
    twins = sorted(run for run in other.iterdir() if (run / path.name).is_file())
    if path.parent.name == "figures" or not twins:
        path.write_bytes(b"")
        return
    shutil.copy(twins[int(draws.integers(len(twins)))] / path.name, path)


_TYPES = (None, True, False, -1, 0, 2.5, "", "x", [], {}, [1, [2]], {"a": 1}, float("nan"), "\x1b[2J", "\u202e", "=1+1")


def types(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """A value of another type, or another value of its type, somewhere in YAML or JSON, or in a cell of a table."""
    _edited(path, draws, lambda old: _TYPES[int(draws.integers(len(_TYPES)))])


def nest(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """Ten thousand levels in the place of a value, or aliases that expand to more than there is memory."""
    depth = int(draws.choice([200, 10_000, 100_000]))
    if path.suffix == ".yaml" and draws.uniform() < 0.5:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
        path.write_text(path.read_text() + "\n".join(lines) + "\n")
        return
    kind = "[" if draws.uniform() < 0.5 else '{"a":'
    end = "]" if kind == "[" else "}"
    _edited(path, draws, lambda old: "NESTED", lambda text: text.replace("NESTED", kind * depth + "1" + end * depth))


_HUGE = (
    "1e999",
    "-1e999",
    "9" * 5000,
    "18446744073709551616",
    "1e308",
    "0x" + "f" * 400,
    "-0",
    "1" + "0" * 30,
    "1:1:1",
)


def huge(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """A number that no float, no word, or no limit of Python takes."""
    number = _HUGE[int(draws.integers(len(_HUGE)))]
    if path.suffix == ".pt":
        _sparse(path, draws)
        return
    _edited(path, draws, lambda old: "HUGE", lambda text: text.replace('"HUGE"', "HUGE").replace("HUGE", number))


def _sparse(path: Path, draws: Draws) -> None:
    """An archive that promises far more than it holds, or a file that has terabytes of nothing."""
    if draws.uniform() < 0.5:
        os.truncate(path, 2 ** int(draws.integers(30, 42)))
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**8))


def replace(path: Path, draws: Draws, other: Path, canary: Path) -> None:
    """Something that is no file: a FIFO, a folder, a link to a file outside, to itself, to a device or to nothing."""
    path.unlink()
    what = int(draws.integers(6))
    if what == 0:
        os.mkfifo(path)
    elif what == 1:
        path.mkdir()
        (path / "mine").write_text("mine")
    else:
        target = [canary.parent / "outside" / "secret", path, Path("/dev/zero"), canary.parent / "nowhere"][what - 2]
        path.symlink_to(target)


KINDS = (truncate, flip, splice, swap, types, nest, huge, replace)


def _edited(
    path: Path, draws: Draws, new: Callable[[Any], Any], text_of: Callable[[str], str] = lambda text: text
) -> None:
    """Change one value of a document, wherever it stands; of other files a stretch of bytes."""
    if path.suffix not in (".yaml", ".json", ".csv"):
        _bytes_edited(path, draws, text_of(json.dumps(new(None), default=str)).encode())
        return
    text = path.read_text()
    if path.suffix == ".csv":
        rows = [line.split(",") for line in text.splitlines()]
        row = rows[int(draws.integers(len(rows)))]
        row[int(draws.integers(len(row)))] = str(new(None))
        path.write_text(text_of("\n".join(",".join(row) for row in rows) + "\n"))
        return
    data = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    places: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        value = waiting.pop()
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                waiting.append(value[key])
    inside, key = places[int(draws.integers(len(places)))]
    inside[key] = new(inside[key])
    made = yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if path.suffix == ".yaml" else json.dumps(data)
    path.write_text(text_of(made.replace('"NESTED"', "NESTED")))


def _bytes_edited(path: Path, draws: Draws, piece: bytes) -> None:
    data = path.read_bytes()
    place = int(draws.integers(len(data) + 1))
    path.write_bytes(data[:place] + piece + data[place + len(piece) :])
