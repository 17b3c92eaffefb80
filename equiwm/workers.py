"""What a worker process of a grid does before its first cell: it binds itself to the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
