"""From a residual to a verdict. A network that does nothing, or a probe that nothing fails, gets none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TOLERANCES = {"float32": 1e-5, "float64": 1e-10}
"""Default bounds on relative residuals, by dtype."""

MIN_SPREAD = 0.1
"""A latent standard deviation below this is a network that does (almost) nothing."""

MIN_MOVED = 0.01
"""|W - W0| / |W0| below this is a network that was (almost) not trained."""

MIN_CONTROL = 0.01
"""The control's relative residual has to be at least this: else the probe does not see a broken symmetry."""


@dataclass(frozen=True)
class Verdict:
    """A verdict and its reason, one line."""

    name: Literal["equivariant", "not equivariant", "inconclusive"]
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the symmetry was shown to hold."""
        return self.name == "equivariant"


def judge(*, residual: float, tolerance: float, spread: float, moved: float | None, control: float) -> Verdict:
    """Judge a relative residual.

    Args:
        residual: of the trained network.
        tolerance: bound on it.
        spread: standard deviation of its latents.
        moved: |W - W0| / |W0|; None where W0 is not known, and then nothing is asked of it.
        control: relative residual of the network that has to fail.
    """
    if not residual <= tolerance:  # also NaN
        return Verdict("not equivariant", f"relative residual {residual:.1e} > tolerance {tolerance:.0e}")
    if not spread >= MIN_SPREAD:
        return Verdict("inconclusive", f"latent spread {spread:.1e} < {MIN_SPREAD:g}: a collapsed latent is invariant")
    if moved is not None and not moved >= MIN_MOVED:
        return Verdict("inconclusive", f"the weights moved by {moved:.1e} < {MIN_MOVED:g}: the network is not trained")
    if not control >= max(MIN_CONTROL, tolerance):
        return Verdict("inconclusive", f"the control's residual is {control:.1e}: the probe sees no broken symmetry")
    return Verdict(
        "equivariant", f"relative residual {residual:.1e} <= tolerance {tolerance:.0e}, control {control:.1e}"
    )
