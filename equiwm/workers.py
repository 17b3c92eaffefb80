"""Worker processes: how they are started, how they bind themselves to the process that did, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

T = TypeVar("T")

WATCH_SECONDS = 0.1
"""How long a worker may outlive its parent. Asking the system costs microseconds."""

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

_bound: list[int] = []


def computed(
    function: Callable[..., T], work: Iterable[tuple[Any, ...]], jobs: int | None, *, ordered: bool = False
) -> Generator[T, None, None]:
    """What a function gives of each piece of work, computed by other processes, one thread each.

    They end with this process, however it ends. What is not taken to the end is closed (`contextlib.closing`): that
    cancels what is running.

    Args:
        function: importable.
        work: arguments of each call.
        jobs: how many local processes, -1 for every core; None takes the backend of a surrounding
            `joblib.parallel_config`.
        ordered: give results in the order of the work, rather than as they arrive.

    Raises:
        BrokenExecutor: a process died.
    """
    import joblib

    local: AbstractContextManager[Any] = nullcontext()
    if jobs is not None:
        bound = {"initializer": bind_to, "initargs": (os.getpid(),)}
        local = joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1, **bound)
    with local, signals_held():
        # one piece a batch: what has finished is never held back by a neighbour
        parallel = joblib.Parallel(batch_size=1, return_as="generator" if ordered else "generator_unordered")
        arriving = parallel(joblib.delayed(function)(*each) for each in work)
    with warnings.catch_warnings(), closing_quietly(arriving):
        # loky replaces a worker whose memory has grown, between two pieces: none is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        # Who has enough of a result in order lets the rest go.
        warnings.filterwarnings("ignore", message=r"\d+ tasks have been successfully executed\s+but not used")
        warnings.filterwarnings("ignore", message=".*still being processed by the workers have been cancelled")
        yield from arriving


@contextmanager
def closing_quietly(arriving: Generator[Any, None, None]) -> Iterator[None]:
    """Close what a `joblib.Parallel` gives, as `contextlib.closing` does.

    Where work is left, loky's own thread may look for a piece that was just cancelled. It says so by a KeyError, which
    would stand in the command's output, and ends, as it should.
    """
    told = threading.excepthook

    def unless_cancelled(raised: threading.ExceptHookArgs) -> None:
        if raised.exc_type is not KeyError or getattr(raised.thread, "name", "") != "ExecutorManagerThread":
            told(raised)

    try:
        yield
    finally:
        threading.excepthook = unless_cancelled
        try:
            arriving.close()
        finally:
            threading.excepthook = told


def release() -> None:
    """End the local processes that wait for more work, and with them what they hold of memory."""
    from joblib.externals.loky import get_reusable_executor

    with signals_held():
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def is_worker() -> bool:
    """Whether this process was started to share work with others, so that it starts none itself."""
    return bool(_bound) or multiprocessing.parent_process() is not None


@contextmanager
def signals_held() -> Iterator[None]:
    """Inside the block a signal waits: processes are started whole or not at all.

    What is started here begins with its signals held, too, so that Ctrl-C in a terminal, which goes to every process
    of the command, never meets a worker that is still importing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def bind_to(parent: int) -> None:
    """End this process when the process `parent` has ended, however it did, and leave Ctrl-C to it.

    Called in the worker, in its main thread. SIGTERM ends the worker as ever; Ctrl-C is the parent's to answer, which
    stops its workers itself.

    Args:
        parent: its process id.
    """
    _bound.append(parent)
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_watch, args=(parent,), name="equiwm-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    # No clean-up: it could wait for the parent. Files are whole or absent, and the system releases the locks.
    os._exit(1)
