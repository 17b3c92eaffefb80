"""Who explores an environment, and how: what is fixed before the first episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Exploration:
    """Episodes of an environment, but for their seed.

    Attributes:
        env: its id.
        options: keyword arguments of its class; None is none.
        reps: the content of a `reps.yaml`, or None where nobody has said what its numbers are.
        policy: `random`, `module:function`, or the directory of a run.
        bounds: of random actions.
        hold: steps for which a random action is held.
        steps: of an episode at most; None is the environment's limit, or 100.
    """

    env: str
    options: Mapping[str, Any] | None = None
    reps: Mapping[str, Any] | None = None
    policy: str = "random"
    bounds: Literal["ball", "box"] = "ball"
    hold: int = 4
    steps: int | None = None
