"""Worker processes: how they are started, how they bind themselves to the process that did, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

T = TypeVar("T")

WATCH_SECONDS = 0.1
"""How long a worker may outlive its parent. Asking the system costs microseconds."""

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""By which numerical libraries are told how many threads they may start."""

_AHEAD = 2
"""Pieces that each helper is given at a time: one that it computes, and one that it finds when it has."""
_HELD = 64
"""Results that wait here for an earlier one; then this process waits as well."""

_bound: list[int] = []


def computed(function: Callable[..., T], work: Iterable[tuple[Any, ...]], jobs: int | None) -> Generator[T, None, None]:
    """What a function gives of each piece of work, computed by other processes, one thread each, as it arrives.

    They end with this process, however it ends. What is not taken to the end is closed (`contextlib.closing`): that
    cancels what is running.

    Args:
        function: importable.
        work: arguments of each call.
        jobs: how many local processes, -1 for every core; None takes the backend of a surrounding
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
        # one piece a batch: what has finished is never held back by a neighbour
        parallel = joblib.Parallel(batch_size=1, return_as="generator_unordered")
        arriving = parallel(joblib.delayed(function)(*each) for each in work)
    with warnings.catch_warnings(), closing_quietly(arriving):
        # loky replaces a worker whose memory has grown, between two pieces: none is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        yield from arriving


def computed_with_help(
    function: Callable[..., T], work: Sequence[tuple[Any, ...]], here: Callable[[int], T], helpers: int
) -> Generator[T, None, None]:
    """What a function gives of each piece of work, in the order of the work, computed by this process and by others.

    This process computes a piece whenever the first that is wanted has not come, so that it does not wait for others
    to start either. The others end with this process, or by `release`, which whoever has enough calls.

    Args:
        function: importable.
        work: arguments of each call; the first is another process's.
        here: the number of a piece of work -> the same, computed in this process.
        helpers: how many other processes, of one thread each.

    Raises:
        BrokenExecutor: a process died.
    """
    from joblib.externals.loky import get_reusable_executor

    with signals_held():
        executor = get_reusable_executor(
            max_workers=helpers,
            initializer=bind_to,
            initargs=(os.getpid(),),
            env=dict.fromkeys(THREAD_VARIABLES, "1"),
        )
    waiting: deque[Future[T]] = deque()
    given = 0
    while given < len(work) or waiting:
        if waiting and waiting[0].done():
            yield waiting.popleft().result()
        elif given < len(work) and sum(not each.done() for each in waiting) < _AHEAD * helpers:
            with signals_held(), warnings.catch_warnings():
                # loky replaces a helper whose memory has grown, between two pieces: none is lost.
                warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
                waiting.append(executor.submit(function, *work[given]))
            given += 1
        elif given < len(work) and len(waiting) < _HELD:
            waiting.append(_done(here, given))
            # After a piece that failed, which is told in its turn, no more are wanted.
            given = given + 1 if waiting[-1].exception() is None else len(work)
        else:
            wait([waiting[0]])


def _done(here: Callable[[int], T], piece: int) -> Future[T]:
    done: Future[T] = Future()
    try:
        done.set_result(here(piece))
    except Exception as error:  # in its turn: those before may fail too, or be enough
        done.set_exception(error)
    return done


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
