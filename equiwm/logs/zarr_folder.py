"""Zarr folders, version 2 and 3. What the metadata asks for is checked before the library reads a chunk.

Zarr's metadata names the code that decodes a chunk, pickle among others: only codecs of numbers are let through.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equiwm.disk.text import read_text
from equiwm.errors import DataError
from equiwm.logs.raw import MOST_COLUMNS, MOST_FILE, MOST_NUMBERS, Array, Budget, Raw, extra_missing, is_numeric
from equiwm.logs.spool import BLOCK, allocate, blocks
from equiwm.printable import cut, quoted

_MOST_METADATA = 2**20
_MOST_DEPTH = 8
_CODECS = frozenset(
    {"blosc", "zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "shuffle", "delta", "fixedscaleoffset", "crc32", "crc32c"}
    | {"bytes", "transpose", "sharding_indexed", "astype", "adler32", "fletcher32"}
)
_META = {".zarray": 2, ".zgroup": 2, "zarr.json": 3}


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((path / name).is_file() for name in _META)


def read_zarr(path: Path) -> Raw:
    """The arrays of a Zarr folder, named by their paths in it (`data/state`).

    Raises:
        DataError: damaged metadata, codecs that are not for numbers, links out of the folder, or too many numbers.
        MissingExtraError: zarr is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise extra_missing("zarr", "Zarr folders") from None
    budget, columns = Budget(path), {}
    names = [name for name in _arrays(path, path, "", 0) if _is_admitted(path, name, budget)]
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path}: {len(names):,} arrays, expected at most {MOST_COLUMNS:,}.")
    for name in names:
        try:
            columns[name or path.stem] = _laid_out(zarr.open_array(str(path / name), mode="r"))
        except DataError:
            raise
        except Exception as error:  # zarr and its codecs raise whatever they like on damaged chunks
            raise DataError(
                f"{path}: array {quoted(name)} is damaged ({cut(' '.join(str(error).split()), 120)})."
            ) from None
    return Raw(path, columns)


def _laid_out(source: Any) -> Array:
    """The values of an array, read some chunks at a time."""
    if not source.shape:
        return np.asarray(source[...])
    found, deep = allocate(source.shape, source.dtype), max(int(source.chunks[0]), 1)
    for part in blocks(len(found), -(-BLOCK // deep) * deep):
        found[part] = source[part]
    return found


def _arrays(top: Path, folder: Path, name: str, depth: int) -> Iterator[str]:
    """The paths of the arrays in a group, in order."""
    if depth > _MOST_DEPTH:
        raise DataError(f"{top}: groups are nested more than {_MOST_DEPTH} deep.")
    metadata = _metadata(top, folder)
    if "shape" in metadata:
        yield name
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and not child.is_symlink() and is_zarr(child):
            yield from _arrays(top, child, f"{name}/{child.name}" if name else child.name, depth + 1)


def _metadata(top: Path, folder: Path) -> dict[str, Any]:
    file = next(folder / name for name in _META if (folder / name).is_file())
    try:
        found = json.loads(read_text(file, most=_MOST_METADATA, inside=top, error=DataError))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is damaged ({cut(str(error), 120)}).") from None
    if not isinstance(found, dict):
        raise DataError(f"{file} is damaged: expected a JSON object.")
    return found


def _is_admitted(top: Path, name: str, budget: Budget) -> bool:
    """Whether an array holds numbers; what is unsafe to read is refused."""
    folder = top / name
    metadata = _metadata(top, folder)
    try:
        dtype = np.dtype(metadata["dtype"] if "dtype" in metadata else metadata["data_type"])
        shape, chunks = [int(size) for size in metadata["shape"]], _chunks(metadata)
    except (KeyError, TypeError, ValueError):
        return False
    if not is_numeric(dtype):
        return False
    odd = sorted(set(_codecs(metadata)) - _CODECS)
    if odd:
        raise DataError(f"{top}: array {quoted(name)} is packed with {cut(', '.join(odd), 60)}, which is not read.")
    budget.take(shape, quoted(name))
    if min(chunks, default=1) < 1 or math.prod(chunks) > MOST_NUMBERS:
        raise DataError(
            f"{top}: array {quoted(name)} has chunks of {tuple(chunks)}, expected at most {MOST_NUMBERS:,} numbers."
        )
    for entry in folder.rglob("*"):
        found = entry.lstat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or found.st_size > MOST_FILE:
            raise DataError(f"{entry} is no plain file; a Zarr folder holds files and folders alone.")
        if stat.S_ISREG(found.st_mode) and not entry.name.startswith(".") and "blosc" in _codecs(metadata):
            _require_size(entry, math.prod(chunks) * dtype.itemsize)
    return True


def _chunks(metadata: Mapping[str, Any]) -> list[int]:
    sizes = metadata["chunks"] if "chunks" in metadata else metadata["chunk_grid"]["configuration"]["chunk_shape"]
    return [int(size) for size in sizes]


def _codecs(metadata: object) -> list[str]:
    """The names of every codec that metadata asks for, at any depth."""
    names: list[str] = []
    if isinstance(metadata, Mapping):
        for key in ("filters", "compressor", "codecs", "index_codecs"):
            entries = metadata.get(key) or []
            for entry in entries if isinstance(entries, list) else [entries]:
                named = entry.get("id", entry.get("name")) if isinstance(entry, Mapping) else entry
                names.append(str(named))
                names += _codecs(entry.get("configuration")) if isinstance(entry, Mapping) else []
    return names


def _require_size(chunk: Path, most: int) -> None:
    """A chunk of Blosc tells in its header what it unpacks to, and the library believes it."""
    with chunk.open("rb") as file:
        header = file.read(16)
    if len(header) == 16 and header[0] in (1, 2) and int.from_bytes(header[4:8], "little") > most:
        raise DataError(f"{chunk} unpacks to more than a chunk of its array has; it is damaged.")
