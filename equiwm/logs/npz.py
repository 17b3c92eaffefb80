"""npz archives of numpy, without pickle: sizes stand in each member's header and are asked before it is unpacked."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from equiwm.disk.text import open_regular
from equiwm.errors import DataError
from equiwm.logs.raw import MOST_COLUMNS, MOST_FILE, Array, Budget, Raw, is_numeric
from equiwm.logs.spool import allocate, blocks
from equiwm.printable import cut, quoted

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError)

_BYTES = 2**20
"""Unpacked at once."""


def read_npz(path: Path) -> Raw:
    """The arrays of an npz file; those that hold no numbers are left out.

    Raises:
        DataError: no archive, a damaged one, or one that unpacks to more than is read.
    """
    budget, columns = Budget(path), {}
    with open_regular(path, most=MOST_FILE, error=DataError) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if len(members) > MOST_COLUMNS:
                    raise DataError(f"{path}: {len(members):,} arrays, expected at most {MOST_COLUMNS:,}.")
                for member in members:
                    if not member.filename.endswith(".npy"):
                        raise DataError(f"{path}: {quoted(member.filename)} is no array; this is no npz of numpy.")
                    with archive.open(member) as stream:
                        found = _array(stream, member, budget)
                    if found is not None:
                        columns[member.filename.removesuffix(".npy")] = found
        except _DAMAGED as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: damaged or no npz archive ({cut(str(error), 120)}).") from None
    return Raw(path, columns)


def _array(stream: IO[bytes], member: zipfile.ZipInfo, budget: Budget) -> Array | None:
    """One member, or None where it holds no numbers."""
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise DataError(f"{budget.path}: {quoted(member.filename)} is of npy version {version}, expected 1.0 or 2.0.")
    shape, fortran, dtype = read(stream)
    if not is_numeric(dtype):
        return None
    budget.take(shape, quoted(member.filename))
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    found = allocate(shape[::-1] if fortran else shape, dtype) if size <= member.file_size else None
    if found is None or not _filled(found, stream):
        raise DataError(
            f"{budget.path}: {quoted(member.filename)} does not hold the {size:,} bytes that its header tells; "
            "it is damaged."
        )
    return found.T if fortran else found


def _filled(found: Array, stream: IO[bytes]) -> bool:
    """Whether a stream has exactly the bytes of an array, which they fill."""
    content = found.reshape(-1).view(np.uint8)
    for part in blocks(len(content), _BYTES):
        block = stream.read(part.stop - part.start)
        if len(block) != part.stop - part.start:
            return False
        content[part] = np.frombuffer(block, np.uint8)
    return not stream.read(1)
