"""What a figure was drawn from, as `NAME.drawn.json` beside its files.

A record holds the SHA-256 of the CSV, of the code that drew, and of each file. A figure is not drawn again where all of
them are the same; one that is damaged, edited, or that other code drew, is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import msgspec

from equiwm.disk.files import write_atomic
from equiwm.disk.inside import read_inside
from equiwm.disk.strict_json import canonical_json
from equiwm.errors import RunError
from equiwm.figures.medium import MAX_FIGURE, code, known_folders


@dataclass(frozen=True)
class Record:
    """What a record says.

    Attributes:
        csv: SHA-256 of the CSV.
        code: digest of the code that drew (`drawing_code`).
        files: SHA-256 of each file, by ending.
    """

    csv: str = ""
    code: str | None = None
    files: dict[str, str] = field(default_factory=dict)


_MAX_RECORD = 2**16
_DRAWING = ("claims", "figures", "report", "results", "tables", "stats.py", "printable.py")
"""Parts of the package that a figure may depend on, besides its CSV."""
_ENDS = {"svg": b"</svg>", "png": b"IEND\xaeB`\x82", "pdf": b"%%EOF"}
"""How the files end that are whole."""


@cache
def drawing_code() -> str:
    """Digest of the code that draws: matplotlib's version, and the parts of this package that a figure depends on."""
    from importlib.metadata import version

    digest = hashlib.sha256(version("matplotlib").encode())
    here = Path(__file__).parents[1]
    for part in _DRAWING:
        for path in sorted((here / part).rglob("*.py")) if (here / part).is_dir() else [here / part]:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(here)} {len(content)} ".encode() + content)
    return digest.hexdigest()


def drawn_before(folder: Path, name: str, csv: str, kinds: Sequence[str]) -> dict[str, bytes] | None:
    """The files of a figure, by ending, from a known folder in which it was drawn from the same CSV; None elsewhere.

    In the folder that it is drawn into it needs a record by the same code; elsewhere, where a command left it, none,
    but what a record says has to hold there, too. No link is followed: a folder may be somebody else's.

    Args:
        folder: that it is drawn into.
        name: of the figure.
        csv: what it is drawn from.
        kinds: endings of the files that are wanted.
    """
    for place in known_folders():
        with suppress(FileNotFoundError, RunError):
            if read_inside(place, f"{name}.csv", limit=MAX_FIGURE) != csv.encode():
                continue
            files = {kind: read_inside(place, f"{name}.{kind}", limit=MAX_FIGURE) for kind in kinds}
            record = _read(place, name)
            if record is None and (place == folder and code() is not None):
                continue
            if all(is_whole(content, kind) for kind, content in files.items()) and _fits(record, csv, files):
                return files
    return None


def is_whole(content: bytes, kind: str) -> bool:
    """Whether a file ends as one of its kind does: else an interrupted copy, or something else."""
    return kind not in _ENDS or content.rstrip().endswith(_ENDS[kind])


def write_record(folder: Path, name: str, csv: str, files: Mapping[str, bytes]) -> None:
    """Write down what a figure was drawn from, where records are kept; what is known of other forms stays, if it fits.

    Args:
        folder: where the files are.
        name: of the figure.
        csv: what it was drawn from.
        files: by ending.
    """
    if code() is None:
        return
    known, of_csv = _read(folder, name) or Record(), _digest(csv.encode())
    others = known.files if (known.csv, known.code) == (of_csv, code()) else {}
    record = Record(of_csv, code(), {**others, **{kind: _digest(content) for kind, content in files.items()}})
    if known != record:
        write_atomic(folder / f"{name}.drawn.json", canonical_json(asdict(record), indent=2) + "\n")


def _read(folder: Path, name: str) -> Record | None:
    """A record; None where there is none. A damaged one fits nothing."""
    try:
        return msgspec.json.decode(read_inside(folder, f"{name}.drawn.json", limit=_MAX_RECORD), type=Record)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, RecursionError, RunError):
        return Record()


def _fits(record: Record | None, csv: str, files: Mapping[str, bytes]) -> bool:
    """Whether files are what a record says; without one there is nothing to say against them."""
    return record is None or (
        (record.csv, record.code) == (_digest(csv.encode()), code())
        and all(record.files.get(kind) == _digest(content) for kind, content in files.items())
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
