"""How a process of a campaign ended."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import Any

PATIENCE = 240.0
"""Seconds after which a command is taken to hang; the machine may have other work."""


def wait(process: int, seconds: float) -> dict[str, Any]:
    """How a command ended; one that does not end in time is killed with those that it leads."""
    poll = select.poll()
    descriptor = os.pidfd_open(process)
    poll.register(descriptor, select.POLLIN)
    ended = bool(poll.poll(1000 * seconds))
    os.close(descriptor)
    if not ended:
        with suppress(ProcessLookupError):
            (os.killpg if os.getpgid(process) == process else os.kill)(process, signal.SIGKILL)
    _, status, usage = os.wait4(process, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "hung": not ended,
        "rss": usage.ru_maxrss * 1024,
        "cpu": usage.ru_utime + usage.ru_stime,
    }
