"""Which processes a command has started and left, told by its session."""

from __future__ import annotations

from pathlib import Path


def session_of(leader: int) -> list[int]:
    """Processes in a session, but for zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found
