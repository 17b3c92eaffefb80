"""The rollout claim: are many steps as flat as one? `equiwm rollout` asks it."""

from __future__ import annotations

from equiwm.claims.claim import Claim, Option
from equiwm.claims.rollout.result import RolloutResult
from equiwm.errors import ConfigError

MAX_HORIZON = 512


def parse_horizons(text: object) -> list[int]:
    """Horizons from `1,2,4`, in ascending order.

    Raises:
        ConfigError: anything that is no list of integers between 1 and `MAX_HORIZON`.
    """
    parts = [part.strip() for part in str(text).split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_HORIZON for part in parts):
        raise ConfigError(f"--horizons: got '{text}', expected steps of 1 to {MAX_HORIZON}, such as 1,2,4,8.")
    return sorted({int(part) for part in parts})


CLAIM: Claim[RolloutResult] = Claim(
    "rollout",
    RolloutResult,
    "equiwm.claims.rollout.view:VIEW",
    command="rollout",
    help="""Measure H-step rollouts: their error at seen and unseen orientations, OOD factor, residual, and a figure.

    Example: equiwm rollout runs/vn-field-3d --baseline runs/mlp-field-3d
    """,
    measure="equiwm.claims.rollout.measure:rollout",
    options=(
        Option(
            "horizons",
            str,
            help="steps of the rollouts [1,2,4,8,16,32,64, as far as they can go]",
            parse=parse_horizons,
        ),
        Option("sequences", int, 256, "true sequences of each horizon", low=2, high=100_000),
    ),
    bounds="equiwm.claims.rollout.bounds:broken",
    expectation="exit with 1 unless OOD factor and residual hold to 1e-5 (1e-10 in float64)",
)
