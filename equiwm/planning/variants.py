"""The three planners that the closed-loop claim compares, as settings of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from equiwm.errors import ConfigError, nearest
from equiwm.planning.refit import Constraint, Refit
from equiwm.symmetry.groups import Elements


@dataclass(frozen=True)
class Variant:
    """How a planner treats directions.

    Attributes:
        name: `equivariant`, `paper` or `ordinary`.
        constraint: ball or box.
        refit: of the spread.
        frame: where the axes of the noise come from: read off the `state`, an `oracle` (the rotation that the scene was
            turned by), or the `laboratory`.
    """

    name: str
    constraint: Constraint
    refit: Refit
    frame: Literal["state", "oracle", "laboratory"]

    def noise_frame(self, *, state: Tensor | None = None, oracle: Elements | None = None) -> Tensor | None:
        """The `frame` argument of `SamplingPlanner.plan`.

        Args:
            state: (T, d, d) axes read off the states (`frames`); used by `equivariant`.
            oracle: T elements g = (R, t) that the scenes were turned by; used by `paper`.

        Raises:
            ConfigError: what this variant uses was not given.
        """
        if self.frame == "laboratory":
            return None
        axes = state if self.frame == "state" else oracle.linear if oracle is not None else None
        if axes is None:
            what = "a frame read off the state" if self.frame == "state" else "the rotation of the scene"
            raise ConfigError(f"planner '{self.name}' has to be given {what}.")
        return axes


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("equivariant", "ball", "isotropic", "state"),
        Variant("paper", "ball", "isotropic", "oracle"),
        Variant("ordinary", "box", "axis", "laboratory"),
    )
}


def parse_variant(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ConfigError: no such variant.
    """
    if name not in VARIANTS:
        raise ConfigError(f"unknown planner '{name}': {nearest(name, VARIANTS)}")
    return VARIANTS[name]
