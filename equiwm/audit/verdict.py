"""The one set of verdicts: of foreign networks, of trained runs, of worlds, and of assertions in test suites.

What each means is measured by `measure` and decided by `judgement`, of a world by `evidence.world.judge`. A trained run
has conditions besides, which are here, since a network that does nothing and one that was never trained are perfectly
equivariant.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from equiwm.errors import ConfigError, nearest
from equiwm.printable import quoted

TOLERANCES = {"float32": 1e-5, "float64": 1e-10}
"""Bounds on residuals, by dtype."""

MIN_SPREAD = 0.1
"""A latent standard deviation below this is a network that does (almost) nothing."""

MIN_MOVED = 0.01
"""|W - W0| / |W0| below this is a network that was (almost) not trained."""

MIN_CONTROL = 0.01
"""The control's relative residual has to be at least this: else the probe does not see a broken symmetry."""


class Verdict(StrEnum):
    """A verdict, from the best to the worst.

    A value is its word: `Verdict.EXACT == "exact"`.
    """

    EXACT = "exact"
    """Within tolerance; or within 8 times the network's own rounding, and exact in float64."""
    LIMITED = "precision-limited"
    """Above tolerance, and explained by rounding."""
    NOT_JUDGED = "not judged"
    """Something has to be done before it can be judged: the reason says what."""
    VACUOUS = "vacuous"
    """The output does not depend on the input, nothing is turned, or the control does not fail."""
    MUTATING = "mutating"
    """A call changes the network, and with it the next call."""
    COUPLED = "batch-dependent"
    """The output of a sample depends on the others in its batch."""
    RANDOM = "not deterministic"
    """Two calls on the same input differ."""
    APPROXIMATE = "approximate"
    """Not explained by rounding, at most 0.05."""
    BROKEN = "broken"
    """More; or a share of the pairs of sample and element breaks."""

    @classmethod
    def _missing_(cls, value: object) -> Verdict:
        raise ConfigError(f"unknown verdict {quoted(value)}: {nearest(str(value), list(cls))}")

    @property
    def holds(self) -> bool:
        """Whether nothing but rounding was found: `exact` or `precision-limited`."""
        return self in (Verdict.EXACT, Verdict.LIMITED)

    @property
    def breaks(self) -> bool:
        """Whether something was found that rounding does not explain: `approximate` or `broken`."""
        return self in (Verdict.APPROXIMATE, Verdict.BROKEN)

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """The worst of several."""
        order = list(cls)
        return max(verdicts, key=order.index)


def condition(*, spread: float, moved: float | None, control: float) -> tuple[Verdict, str] | None:
    """What keeps a trained network without a verdict although no residual is found: which verdict, and why.

    Args:
        spread: standard deviation of its latents.
        moved: |W - W0| / |W0|; None where W0 is not known, and then nothing is asked of it.
        control: relative residual of the network that has to fail.
    """
    if not spread >= MIN_SPREAD:  # also NaN
        return Verdict.VACUOUS, f"latent spread {spread:.1e} < {MIN_SPREAD:g}: a collapsed latent is invariant"
    if moved is not None and not moved >= MIN_MOVED:
        return Verdict.NOT_JUDGED, f"the weights moved by {moved:.1e} < {MIN_MOVED:g}: the network is not trained"
    if not control >= MIN_CONTROL:
        return Verdict.VACUOUS, f"the control's residual is {control:.1e}: the probe sees no broken symmetry"
    return None
