"""What has to hold of a closed loop: the verdict is that it is invariant."""

from __future__ import annotations

from equiwm.claims.closed_loop.result import ClosedLoopResult


def broken(result: ClosedLoopResult) -> str | None:
    """Why the verdict fails, or None where it does not."""
    return None if result.passed else f"{result.verdict}: {result.reason}."
