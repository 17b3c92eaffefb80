"""A machine that refuses: the n-th call of a command under its folder fails, or is its last.

Operations of torch are thousands, and most are the same as another: the same lines of code are running, all the way
from the command down, and the same calls have changed the disk before. What follows a failure depends on nothing else:
who answers it looks at the disk, and counts no steps. So a survey tells operations by that, and of each class the first
and the last one fail.

Loaded into the process of the command, after everything is imported. Writing goes through a raw file of ours, so that
what is counted are the writes that the system sees, whoever buffers them: `torch.save`, pandas, PIL, matplotlib.
"""

from __future__ import annotations

import atexit
import builtins
import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from campaigns.waiting import PATIENCE, wait

WRITES = frozenset({"create", "write", "fsync", "replace", "rename", "mkdir"})
"""What takes space on a disk."""
CHANGES = WRITES | {"unlink", "rmdir", "ftruncate"}
READS = frozenset({"open", "read", "scandir", "listdir"})
TORCH = frozenset({"save", "load"})

KINDS = {
    "full": (WRITES, "from the n-th on the disk is full"),
    "once full": (WRITES, "the n-th finds a full disk"),
    "failing": (CHANGES | READS, "the n-th is an input/output error"),
    "memory": (WRITES | READS | TORCH, "the n-th is out of memory"),
    "kill": (CHANGES | TORCH, "the process dies in the n-th"),
    "allocation": (frozenset({"allocation"}), "the n-th operation of torch gets no memory"),
}
"""Kind of a fault -> which calls it counts, and what it does."""


class Faults:
    """One fault of one command.

    Args:
        root: calls on files below it are counted.
        kind: one of `KINDS`.
        n: which call fails, from 1.
        said: file that is written when it does: the call, and its path.
        calls: what is counted, if not all that the kind counts.
        survey: nothing fails; when the command ends, the class of each operation of torch, and how many changes of
            files were before it, are written to `said`.
        branches: calls before a command changes a file, each of which fails in a branch of the process: a fork, which
            ends as the command does whose n-th call fails, while the process itself waits for it and goes on. How a
            branch ended is a line of `said`; what it printed lies beside that. A branch costs what follows the fault,
            not the whole command.
    """

    def __init__(
        self,
        root: str,
        kind: str,
        n: int,
        said: str,
        calls: Sequence[str] = (),
        survey: bool = False,
        branches: Sequence[int] = (),
    ) -> None:
        self.root, self.kind, self.n, self.said = os.path.realpath(root), kind, n, said
        self.changes, self.survey, self.branches, self.beside = 0, survey, frozenset(branches), said
        self.classes: dict[Any, int] = {}
        self.surveyed: list[tuple[int, int]] = []
        self.counted = frozenset(calls) or KINDS[kind][0]
        self.count = 0
        self.write, self.kill = os.write, os.kill
        self.log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def place(self, path: Any, at: int | None = None) -> str | None:
        """The path of a file or a descriptor, if it is below the root."""
        try:
            if isinstance(path, int):
                found = os.readlink(f"/proc/self/fd/{path}")
            else:
                above = os.getcwd() if at is None else os.readlink(f"/proc/self/fd/{at}")
                found = os.path.normpath(os.path.join(above, os.fsdecode(path)))
        except (OSError, TypeError):
            return None
        return found if found.startswith(self.root + os.sep) else None

    def point(self, name: str, path: str | None) -> None:
        """A call that may fail, and does if it is the one."""
        if path is None:
            return
        self.changes += name in CHANGES
        if name not in self.counted:
            return
        self.count += 1
        if self.branches:
            if self.count not in self.branches or not self._branch(f"{name} {path}"):
                return
        elif self.count < self.n or (self.count > self.n and self.kind != "full"):
            return
        elif self.count == self.n:
            self.write(self.log, f"{name} {path}".encode())
        if self.kind == "kill":
            self.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "memory":
            raise MemoryError
        if self.kind == "allocation":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")
        number = errno.EIO if self.kind == "failing" else errno.ENOSPC
        raise OSError(number, os.strerror(number), path)

    def _branch(self, met: str) -> bool:
        """Fork; whether this is the branch."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        process = os.fork()
        if process == 0:
            self.branches, self.n = frozenset(), 0
            for number, end in ((1, "out"), (2, "err")):
                before = os.pread(os.open(f"/proc/self/fd/{number}", os.O_RDONLY), 2**20, 0)
                path = f"{self.beside}.{self.count}.{end}"
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
                self.write(number, before)
            return True
        ended = {"n": self.count, "met": met, **wait(process, PATIENCE)}
        self.write(self.log, (json.dumps(ended) + "\n").encode())
        return False

    def fails_next(self, name: str) -> bool:
        """Whether the next such call is the one."""
        return name in self.counted and self.count + 1 == self.n

    def install(self) -> None:
        """From now on."""
        if self.kind == "allocation":
            self._count_operations()
        for name, call in {"unlink": "unlink", "remove": "unlink"}.items():
            self._wrap(os, name, call)
        for name in ("replace", "rename", "mkdir", "rmdir", "fsync", "ftruncate", "scandir", "listdir"):
            self._wrap(os, name, name)
        self._wrap_open()
        self._wrap_descriptors()
        real, place = io.open, self.place

        def opened(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Callable[[str, int], int] | None = None,
        ) -> Any:
            path = place(file)
            if path is None:
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            writes = any(letter in mode for letter in "wax+")
            if not isinstance(file, int):
                self.point("create" if writes else "open", path)
            raw = _raw(self, path)(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            kind = io.BufferedRandom if "+" in mode else io.BufferedWriter if writes else io.BufferedReader
            binary: Any = kind(raw)
            return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

        io.open = builtins.open = opened  # type: ignore[assignment]
        import torch

        for name in TORCH:
            self._wrap_torch(torch, name)

    def _wrap(self, module: Any, name: str, call: str) -> None:
        real = getattr(module, name)

        def wrapped(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            at = options.get("dir_fd", options.get("src_dir_fd"))
            self.point(call, self.place(path, at))
            return real(path, *arguments, **options)

        for functions in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if real in functions:
                functions.add(wrapped)
        setattr(module, name, wrapped)

    def _wrap_open(self) -> None:
        real = os.open

        def wrapped(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            self.point("create" if writes else "open", self.place(path, options.get("dir_fd")))
            return real(path, flags, *arguments, **options)

        os.supports_dir_fd.add(wrapped)
        os.open = wrapped

    def _wrap_descriptors(self) -> None:
        write, read = os.write, os.read

        def written(descriptor: int, data: Any) -> int:
            path = self.place(descriptor)
            if path is not None and self.fails_next("write"):  # half of it still fits
                write(descriptor, memoryview(data)[: len(data) // 2])
            self.point("write", path)
            return write(descriptor, data)

        def taken(descriptor: int, length: int) -> bytes:
            self.point("read", self.place(descriptor))
            return read(descriptor, length)

        os.write, os.read = written, taken

    def _wrap_torch(self, torch: Any, name: str) -> None:
        real = getattr(torch, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.point(name, f"torch.{name}")
            return real(*arguments, **options)

        setattr(torch, name, wrapped)

    def _count_operations(self) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode

        meet = self._classify if self.survey else self.point
        if self.survey:
            atexit.register(self._tell_classes)

        class Counting(TorchDispatchMode):
            def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                meet("allocation", str(operation))
                return operation(*args, **(kwargs or {}))

        Counting().__enter__()

    def _classify(self, name: str, operation: str) -> None:
        stack = []
        frame = sys._getframe(2)
        while frame is not None:
            stack.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        key = (operation, self.changes, tuple(stack))
        self.surveyed.append((self.classes.setdefault(key, len(self.classes)), self.changes))

    def _tell_classes(self) -> None:
        self.write(self.log, json.dumps(self.surveyed).encode())


def _raw(faults: Faults, path: str) -> type[io.FileIO]:
    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            if faults.fails_next("write"):  # half of it still fits
                super().write(memoryview(data)[: len(data) // 2])
            faults.point("write", path)
            return super().write(data)

        def readinto(self, buffer: Any) -> int:
            faults.point("read", path)
            return super().readinto(buffer)

        def readall(self) -> bytes:
            faults.point("read", path)
            return super().readall()

    return Raw


def said(path: Path) -> str:
    """What failed; nothing if the command came to its end before."""
    return path.read_text() if path.exists() else ""
