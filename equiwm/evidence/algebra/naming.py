"""What a motion is called: its axis, its centre, its factors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equiwm.evidence.algebra.family import AXES, Family

ROUND = 1e-6
"""Numbers of a generator below this, relative to the largest, are zero when it is named."""


def weights_of(family: Family, theta: Tensor, what: str) -> dict[tuple[str, tuple[int, ...]], float]:
    """(leaf, index) -> weight of the columns of a kind that a motion has."""
    largest = float(theta.abs().max())
    return {
        (c.leaf, c.index): float(w)
        for c, w in zip(family.columns, theta, strict=True)
        if c.what == what and abs(float(w)) > ROUND * largest
    }


def first_leaf(family: Family, theta: Tensor, what: str) -> str:
    """The first leaf that a motion moves so; empty where it moves none."""
    return next((leaf for leaf, _ in weights_of(family, theta, what)), "")


def turn_of(family: Family, theta: Tensor, leaf: str) -> np.ndarray:
    """The matrix (d, d) by which a motion turns the vectors of a leaf; of kinds that know rotations, antisymmetric."""
    turned = weights_of(family, theta, "linear")
    matrix = np.zeros((family.d, family.d))
    for (name, (i, j)), weight in turned.items():
        if name == leaf:
            matrix[i, j] = weight
            if (name, (j, i)) not in turned:
                matrix[j, i] = -weight
    return matrix


def shift_of(family: Family, theta: Tensor, leaf: str) -> np.ndarray:
    """By what (d,) a motion translates a leaf."""
    moved = weights_of(family, theta, "translation")
    return np.array([moved.get((leaf, (k,)), 0.0) for k in range(family.d)])


def _axis(direction: np.ndarray) -> str:
    """An axis by its letter, or as a direction."""
    unit = direction / np.linalg.norm(direction)
    if np.abs(unit).max() > 1 - 1e-9:
        return AXES[int(np.abs(unit).argmax())]
    unit = unit * np.sign(unit[np.abs(unit) > 1e-9][0])
    return "(" + ", ".join(f"{value:.3g}" for value in np.where(np.abs(unit) < 1e-9, 0.0, unit)) + ")"


def translation_name(family: Family, theta: Tensor) -> str:
    """The direction, and which leaves where others stay."""
    leaves_ = list(dict.fromkeys(leaf for leaf, _ in weights_of(family, theta, "translation")))
    direction = shift_of(family, theta, leaves_[0])
    have = {c.leaf for c in family.columns if c.what == "translation"}
    alone = "" if len(leaves_) == len(have) else f" of {', '.join(leaves_)} alone"
    return f"translation along {_axis(direction)}{alone}"


def rotation_name(family: Family, theta: Tensor) -> str:
    """The axis, and the centre where it is not free."""
    leaf = first_leaf(family, theta, "linear")
    matrix, shift = turn_of(family, theta, leaf), shift_of(family, theta, leaf)
    if family.d == 3:
        said = f"rotation about {_axis(np.array([matrix[2, 1], matrix[0, 2], matrix[1, 0]]))}"
    else:
        said = "rotation"
    if any(c.what == "translation" for c in family.columns):
        centre = family.centres[leaf].numpy() - np.linalg.pinv(matrix) @ shift
        axis = np.zeros(3)
        if family.d == 3:
            axis = np.array([matrix[2, 1], matrix[0, 2], matrix[1, 0]])
            axis = axis / np.linalg.norm(axis)
            centre = centre - (centre @ axis) * axis
        size = np.abs(family.centres[leaf].numpy()).max() + 1.0
        centre = np.where(np.abs(centre) < 1e-6 * size, 0.0, centre)
        said += " through (" + ", ".join(f"{value:.3g}" for value in centre) + ")"
    return said


def turned_alone(family: Family, theta: Tensor) -> str:
    """Which leaves turn, where others that can be turned do not: the horizontal part of a vector about x."""
    turned = list(dict.fromkeys(leaf for leaf, _ in weights_of(family, theta, "linear")))
    others = {c.leaf for c in family.columns if c.what == "linear"} - set(turned)
    return f" of {', '.join(turned)} alone" if others else ""


def scaling_name(family: Family, theta: Tensor) -> str:
    """What each block is multiplied by, as powers of one factor."""
    scaled = weights_of(family, theta, "scaling")
    weights = np.array(list(scaled.values()))
    weights = weights / np.abs(weights).min()
    near = np.round(weights * 2) / 2
    weights = near if np.abs(weights - near).max() < 1e-4 else weights
    said = [
        f"{family.labels[leaf][number]} {weight:.3g}" for (leaf, (number,)), weight in zip(scaled, weights, strict=True)
    ]
    shifted = [family.labels[leaf][number] for leaf, (number,) in weights_of(family, theta, "shift")]
    return f"scaling ({', '.join(said)})" + (f" with a shift of {', '.join(shifted)}" if shifted else "")


def parts_name(family: Family, theta: Tensor) -> str:
    """The largest columns of a motion."""
    largest = float(theta.abs().max())
    order = torch.argsort(theta.abs(), descending=True)[:6].tolist()
    kept = [k for k in order if abs(float(theta[k])) > 1e-3 * largest]
    return ", ".join(
        f"{float(theta[k]) / largest:+.2g} {family.columns[k].leaf}{list(family.columns[k].index)}" for k in kept
    )


def described(family: Family, theta: Tensor) -> str:
    """What is said of a motion that has no name."""
    return f"motion without a name: {parts_name(family, theta)}"
