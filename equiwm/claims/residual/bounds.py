"""What has to hold of residuals: the verdict is that the network is equivariant."""

from __future__ import annotations

from equiwm.claims.residual.result import VerifyResult


def broken(result: VerifyResult) -> str | None:
    """Why the verdict fails, or None where it does not."""
    return None if result.passed else f"{result.verdict}: {result.reason}."
