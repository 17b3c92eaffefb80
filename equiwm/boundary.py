"""The one boundary with the machine: whatever the system raises becomes one line that says what to do about it.

A full disk, memory that is used up, a device that fails, a lost cluster arise anywhere, and reach us as an `OSError`, a
`MemoryError`, a `RuntimeError` of torch's allocator or of its writer, or in the context of any of them. They are told
apart here and nowhere else; what is left is a fault of somebody's code.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor

from equiwm.errors import EquiwmError, MachineError

_AGAIN = "run the command again; trainings and studies go on with --resume"

_USED_UP = {
    errno.ENOSPC: ("the disk is full", "free space"),
    errno.EDQUOT: ("the disk quota is used up", "free space"),
    errno.EIO: ("the disk failed (input/output error)", "check the device"),
    errno.EROFS: ("the file system can only be read", "choose another --out"),
    errno.EFBIG: ("the file system takes no file that large", "choose another --out"),
    errno.EMFILE: ("too many open files", "raise `ulimit -n`, or give fewer --jobs"),
    errno.ENFILE: ("too many open files", "close other programs"),
    errno.EAGAIN: ("the system starts no more threads or processes", "raise `ulimit -u`, or give fewer --jobs"),
}
"""What no code can do anything about: errno -> what it is, what to do."""

_MEMORY = ("out of memory", "free some, or give smaller settings or fewer --jobs")
_INTERPRETER = ("the interpreter failed without saying why (out of memory?)", _MEMORY[1])
_WRITER = ("torch could not write a file", "look whether the disk is full")
_WORKER = ("a worker process died (out of memory?)", "give fewer --jobs")
_CLUSTER = ("the Dask cluster is lost", "start it again, or leave --scheduler out,")

_ALLOCATOR_SAYS = re.compile(
    "DefaultCPUAllocator|not enough memory|can't allocate memory|cannot allocate memory|out of memory|bad_alloc|"
    "bad allocation|unable to mmap|failed to map segment",
    re.IGNORECASE,
)
_WRITER_SAYS = re.compile(r"PytorchStreamWriter|inline_container\.cc|basic_ios::clear|iostream error")
_INTERPRETER_SAYS = re.compile("without exception set|without setting an exception")
"""A `SystemError` of C code that found no memory, not even for its own exception."""
_THREADS_SAY = "can't start new thread"
_CLUSTER_RAISES = {"CommClosedError", "KilledWorker", "TimeoutError", "FutureCancelledError", "ClosedClientError"}


def machine_error(error: BaseException, doing: str = "") -> MachineError | None:
    """What the machine refused, if that is why `error` was raised.

    Of an error that says more than the machine's own (one of ours, torch's writer), the causes are searched as well:
    there only for what no code can do anything about, as a full disk or no memory.

    Args:
        error: any exception.
        doing: what was being done, for the message: `cannot write runs/vn-2d/resume.pt`.

    Returns:
        The error to show, or None: then it is somebody's fault.
    """
    if isinstance(error, MachineError):
        return error
    for found in filter(None, map(_used_up, _chain(error))):
        what, remedy = found
        if not doing and isinstance(error, EquiwmError):
            doing = str(error).rstrip(".")
        place = doing or _place(error)
        return MachineError(f"{what}{': ' + place if place else ''}; {remedy} and {_AGAIN}.")
    if isinstance(error, EquiwmError):
        return None
    if isinstance(error, OSError) and (error.errno is not None or doing):
        place = doing or _place(error)
        return MachineError(f"{place + ': ' if place else ''}{error.strerror or error}.")
    if isinstance(error, UnicodeEncodeError):
        return MachineError(
            f"{doing + ': ' if doing else ''}the encoding {error.encoding} has no {error.object[error.start]!a}; "
            "set PYTHONUTF8=1, or give names of ASCII characters."
        )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Causes before effects: torch's writer says less than the full disk below it. `from None` hides nothing."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and not any(link is each for each in links):
        links.append(link)
        link = link.__cause__ or link.__context__
    return reversed(links)


def _place(error: BaseException) -> str:
    """The file that an `OSError` names, in the chain."""
    named = (link.filename for link in _chain(error) if isinstance(link, OSError) and link.filename is not None)
    name = next(named, "")
    return name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)


def _used_up(error: BaseException) -> tuple[str, str] | None:
    """What is used up or gone, and what to do; None for anything else."""
    if isinstance(error, MemoryError):  # its text is mostly empty
        return _MEMORY
    if isinstance(error, SystemError) and _INTERPRETER_SAYS.search(str(error)):
        return _INTERPRETER
    if isinstance(error, BrokenExecutor):
        return _WORKER
    if any(
        base.__module__.startswith("distributed.") and base.__name__ in _CLUSTER_RAISES for base in type(error).__mro__
    ):
        return _CLUSTER
    if isinstance(error, OSError):
        return _MEMORY if error.errno == errno.ENOMEM else _USED_UP.get(error.errno or 0)
    if isinstance(error, RecursionError) or not isinstance(error, RuntimeError | ImportError):
        return None
    text = str(error)
    if _THREADS_SAY in text:
        return _USED_UP[errno.EAGAIN]
    if type(error).__name__ == "OutOfMemoryError" or _ALLOCATOR_SAYS.search(text):
        return _MEMORY
    # what the reader says has the same file's name in it, and is about the input
    return _WRITER if _WRITER_SAYS.search(text) and "PytorchStreamReader" not in text else None
