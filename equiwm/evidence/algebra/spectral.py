"""The linear problem solved: its spectrum, the rounding of it, and which singular values are those of symmetries."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equiwm.evidence.algebra.derivative import carries
from equiwm.evidence.algebra.family import AXES, Family, family_of
from equiwm.evidence.algebra.maps import Map, Refused
from equiwm.evidence.algebra.problem import Scales, Spectrum, System, noise_of, scales_of, spectrum_of, system_of
from equiwm.evidence.algebra.recognise import Generator, recognised

EXACT = 1e-11
"""A singular value below this is rounding, whatever the noise."""
_NOISE = 30.0
"""A singular value of at most so many times the measured noise is rounding."""
BROKEN = 1e-5
"""A singular value above this, and above a thousand times the bound on rounding, is a break; between is doubt."""
_CLEAR = 1e3
_SMOOTH = 0.5
"""Share of the samples that have to be smooth."""


@dataclass(frozen=True, eq=False)
class Solved:
    """One pass of the linear problem."""

    built: Map
    scales: Scales
    system: System
    spectrum: Spectrum
    noise: float

    @property
    def bound(self) -> float:
        """Below this a singular value is that of a symmetry."""
        return max(EXACT, _NOISE * self.noise)

    @property
    def clear(self) -> float:
        """Above this it is that of a break."""
        return max(BROKEN, _CLEAR * self.bound)

    @property
    def null(self) -> int:
        """How many are symmetries."""
        return int((self.spectrum.values <= self.bound).sum())

    @property
    def doubtful(self) -> Tensor:
        """Singular values that are neither."""
        values = self.spectrum.values
        return values[(values > self.bound) & (values < self.clear)]


def solve(built: Map, free: bool, seed: int, reasons: list[str]) -> Solved | None:
    """The linear problem; None where nothing can be said, with the reason."""
    family = family_of(built, free=free)
    scales = scales_of(built, family, seed)
    if scales.constant:
        reasons.append("the outputs do not vary at all: every motion of the inputs leaves them as they are")
        return None
    by_gradients = carries(built, seed)
    system = system_of(built, family, scales, by_gradients=by_gradients)
    if system.refused:
        what = sorted({family.columns[k].leaf for k in system.refused})
        reasons.append(f"some motions of {', '.join(what)} lead to inputs that it does not take")
    if system.share < _SMOOTH:
        reasons.append(
            f"only {100 * system.share:.0f}% of the samples are smooth: derivatives do not exist at the others"
        )
    if not len(system.residual):
        return None
    boosts = set(family.where(["boost", "drift"]))
    solved = _spectral(
        built,
        scales,
        system.select([k for k in range(len(system.family)) if k not in boosts]),
        seed,
        by_gradients=by_gradients,
    )
    if solved is None:
        reasons.append("no motion of the family moves anything that it looks at")
        return None
    axes = _free_axes(solved) if boosts else []
    if not axes:
        return solved
    # A boost displaces more from step to step: it is a symmetry only where translations along it are.
    columns = system.family.columns
    keep = [k for k, c in enumerate(columns) if c.what not in ("boost", "drift") or AXES[c.index[0]] in axes]
    return _spectral(built, scales, system.select(keep), seed, by_gradients=by_gradients)


def _spectral(built: Map, scales: Scales, system: System, seed: int, *, by_gradients: bool) -> Solved | None:
    """The spectrum of a problem and its noise; None where no column moves anything."""
    spectrum = spectrum_of(system)
    if not len(spectrum.values):
        return None
    noise = _noise(built, system, scales, spectrum, by_gradients=by_gradients, seed=seed)
    return Solved(built, scales, system, spectrum, noise)


def _free_axes(solved: Solved) -> list[str]:
    """Axes along which translations of everything are symmetries."""
    names = {generator.name for generator in named_null(solved)}
    return [axis for axis in AXES[: solved.system.family.d] if f"translation along {axis}" in names]


def _noise(built: Map, system: System, scales: Scales, spectrum: Spectrum, *, by_gradients: bool, seed: int) -> float:
    """What rounding does to the smallest singular values: the same at points that are a rounding away."""
    few = max(1, int((spectrum.values < 1e-3).sum()))
    directions = spectrum.directions[:, :few]
    family = combined(system.family, directions)
    rng = np.random.default_rng(seed)
    nudged = built.at(
        [
            tuple(
                x
                * (1 + 2 * built.rounding * leaf.free * torch.from_numpy(rng.choice([-1.0, 1.0], size=tuple(x.shape))))
                for x, leaf in zip(point, built.inputs, strict=True)
            )
            for point in built.points
        ]
    )
    try:
        here = system_of(built, family, scales, by_gradients=by_gradients)
        there = system_of(nudged, family, scales, by_gradients=by_gradients, part=0.5)
    except Refused:
        return float("inf")
    if here.residual.shape != there.residual.shape:  # a sample that is smooth here and not there
        return float(torch.linalg.matrix_norm(here.residual, 2))
    plain = Spectrum(spectrum.values[:few], torch.eye(few, dtype=torch.float64), torch.eye(few, dtype=torch.float64))
    return noise_of(here, there, plain) + built.rounding


def combined(family: Family, directions: Tensor) -> Family:
    """A family whose columns are sums of those of another: (p, q)."""

    def mixed(parts: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        return [(torch.einsum("pq,pij->qij", directions, a), directions.T @ b) for a, b in parts]

    made = family.select(range(min(len(family), directions.shape[1])))
    return replace(made, inputs=mixed(family.inputs), outputs=mixed(family.outputs))


def named_null(solved: Solved) -> list[Generator]:
    """The null space in motions that have a name."""
    null = torch.eye(len(solved.spectrum.values), dtype=torch.float64)[:, : solved.null]
    tolerance = max(1e-6, 10 * solved.bound / max(_first_broken(solved), 1e-12))
    return recognised(solved.system.family, null, solved.spectrum.whitening, tolerance)


def _first_broken(solved: Solved) -> float:
    left = solved.spectrum.values[solved.null :]
    return float(left[0]) if len(left) else 1.0
