"""Worker processes: each binds itself to the process that started it, and gives what it computes as it finishes."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, TypeVar

T = TypeVar("T")

WATCH_SECONDS = 0.1
"""How long a worker may outlive its parent. Asking the system costs microseconds."""

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


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


def unordered(
    function: Callable[..., T], work: Iterable[tuple[Any, ...]], jobs: int | None
) -> Generator[T, None, None]:
    """What a function gives of each tuple of arguments, as it finishes, in any order, in processes of their own.

    What is not taken to the end is closed (`contextlib.closing`): that ends the processes.

    Args:
        function: of module level, or what cloudpickle takes; so are the arguments and what it gives.
        work: one tuple a call.
        jobs: processes, one thread each, bound to this one; -1 is every core; None takes the backend of a surrounding
            `joblib.parallel_config`.

    Raises:
        BrokenExecutor: a process died.
    """
    import joblib

    local: AbstractContextManager[Any] = nullcontext()
    if jobs is not None:
        bound = {"initializer": bind_to, "initargs": (os.getpid(),)}
        local = joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1, **bound)
    with local, signals_held():
        # one call a batch: what has finished is never held back by a neighbour
        parallel = joblib.Parallel(batch_size=1, return_as="generator_unordered")
        arriving = parallel(joblib.delayed(function)(*each) for each in work)
    with warnings.catch_warnings(), closing(arriving):  # on an interruption, cancels what is running
        # loky replaces a worker whose memory has grown, between two calls: none is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        warnings.filterwarnings("ignore", message=".*still being processed by the workers have been cancelled")
        yield from arriving
