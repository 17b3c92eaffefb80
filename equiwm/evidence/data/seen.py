"""Which orientations a log has seen, and in which of them, and where, a break is strongest."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from equiwm.evidence.data.frames import Frames, Numbers
from equiwm.evidence.data.observed import Observed
from equiwm.evidence.data.result import RegionResult
from equiwm.symmetry.elements import rotations
from equiwm.symmetry.finite import octahedral
from equiwm.symmetry.kinds import POINT

BIN_DEG = 10.0
_FEW = 0.1
"""Of the rows that even coverage would put into a bin: with fewer it counts as not seen."""
_SECTORS, _CELLS = 8, 3
_STRONGER = 1.5
_AXES = "xyz"


def seen_arcs(angle_deg: Numbers, cluster: NDArray[np.int64]) -> list[list[float]]:
    """Arcs [from, to] of degrees that hold orientations of at least two episodes; [[0, 360]] is all."""
    count = int(360.0 / BIN_DEG)
    at = (angle_deg // BIN_DEG).astype(np.int64) % count
    rows = np.bincount(at, minlength=count)
    several = np.array([len(np.unique(cluster[at == k])) >= 2 for k in range(count)])
    seen = several & (rows >= max(2.0, _FEW * len(angle_deg) / count))
    if seen.all():
        return [[0.0, 360.0]]
    starts = [k for k in range(count) if seen[k] and not seen[k - 1]]
    arcs = []
    for start in starts:
        stop = start
        while seen[stop % count]:
            stop += 1
        arcs.append([start * BIN_DEG, stop * BIN_DEG])
    return arcs


def all_seen(frames: Frames, cluster: NDArray[np.int64]) -> tuple[list[list[float]], bool, str]:
    """The arcs that were seen, whether everything was, and the same in words."""
    if frames.angle_deg is not None:
        arcs = seen_arcs(frames.angle_deg, cluster)
        whole = arcs == [[0.0, 360.0]]
        handed = frames.blocks.get("handedness")
        both = handed is None or len(np.unique(handed)) == 2
        said = (
            ", ".join(f"{low % 360:g} to {high % 360:g} degrees" for low, high in arcs)
            or "hardly any orientation twice"
        )
        words = ("every orientation" if whole else said) + ("" if both else ", of one handedness")
        return arcs, whole and both, words
    if "element" in frames.blocks:
        found = len(np.unique(frames.blocks["element"].round(6), axis=0))
        count = frames.blocks["element"].shape[1] + 1
        return [], found == count, f"{found} of {count} elements"
    # Space: the nearest of the 24 rotations of a cube, after a turn by which none of them is special.
    cube = octahedral(reflections=False).all_elements.linear
    turn = rotations(31.0, 3, "x").linear @ rotations(17.0, 3, "y").linear
    linear = frames.elements.linear * frames.elements.determinant[:, None, None]
    near = torch.einsum("nij,kij->nk", linear, cube @ turn).argmax(1).numpy()
    rows = np.bincount(near, minlength=24)
    seen = int((rows >= max(2.0, _FEW * len(near) / 24)).sum())
    return [], seen == 24, f"{seen} of 24 cells of the rotations"


def regions(data: Observed, frames: Frames, rows: Numbers) -> list[RegionResult]:
    """The cell of orientations, and of each axis of each point, in which contributions are densest, strongest first.

    Args:
        data: the transitions.
        frames: their frames.
        rows: (n,) contributions of each to the statistic that decides.
    """
    total, n = float(rows.sum()), len(rows)
    found = []

    def densest(what: str, cell: NDArray[np.int64], edges: Numbers) -> None:
        size = np.bincount(cell, minlength=len(edges) - 1)
        share = np.bincount(cell, rows, len(edges) - 1) / total
        density = np.where(size >= max(20, n // 100), share * n / np.maximum(size, 1), -np.inf)
        k = int(density.argmax())
        if density[k] >= _STRONGER:
            found.append(RegionResult(what, float(edges[k]), float(edges[k + 1]), float(share[k]), float(size[k] / n)))

    if total <= 0:
        return []
    if frames.angle_deg is not None:
        edges = np.linspace(0.0, 360.0, _SECTORS + 1)
        densest("orientation", np.minimum(frames.angle_deg // (360.0 / _SECTORS), _SECTORS - 1).astype(np.int64), edges)
    for part in (each for each in data.parts if each.change is not None and each.rep.terms[0][1] == POINT):
        for axis in range(min(part.rep.d, part.rep.dim)):
            values = part.now[:, axis].numpy()
            edges = np.quantile(values, np.linspace(0.0, 1.0, _CELLS + 1))
            cell = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, _CELLS - 1)
            densest(f"{part.name} {_AXES[axis]} from the centre", cell, edges)
    return sorted(found, key=lambda each: -each.share / each.of_data)
