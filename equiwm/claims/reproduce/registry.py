"""The claims by name, the paper's and two beside it, and the two sizes of a reproduction. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from equiwm.claims.closed_loop import paper as closed_loops
from equiwm.claims.reproduce import ablations, baselines, standard
from equiwm.claims.reproduce.sources import PaperClaim, Size
from equiwm.claims.residual import paper as residuals
from equiwm.claims.rollout import paper as rollouts
from equiwm.claims.sweep import paper as sweeps
from equiwm.errors import ConfigError, nearest
from equiwm.locate import is_foreign, locate

PAPER = (
    residuals.CLAIM,
    sweeps.CLAIM,
    closed_loops.CLAIM,
    rollouts.CLAIM,
    ablations.AUGMENTATION,
    ablations.SCALE,
    ablations.SOFT,
)
"""The paper's claims: all of a reproduction for which none is named."""
BESIDE = (baselines.CLAIM, standard.CLAIM)
"""Claims of ours beside the paper's."""
CLAIMS = {claim.name: claim for claim in (*PAPER, *BESIDE)}
SEEDS = 5

_QUICK_SETTINGS = {
    "": ("training.epochs=30",),
    "vn-2d": ("training.epochs=25",),
    "vn-2d-forward": ("training.epochs=60",),
    "mlp-2d-forward": ("training.epochs=60",),
    "vn-3d-goal": ("training.epochs=60",),
    "mlp-3d-goal": ("training.epochs=60",),
    **dict.fromkeys(("vn-2d-arena", "mlp-2d-arena"), ("training.transitions=20000", "training.epochs=60")),
}
_QUICK_OPTIONS = {
    "verify-equivariance": {"samples": 16},
    "sweep-group": {"transitions": 500},
    "rollout": {"sequences": 128},
    **{f"closed-loop {name}-2d-forward": {"tasks": 6} for name in ("vn", "mlp", "augmented", "canonical", "frame")},
    **{f"closed-loop {preset}": {"tasks": 2} for preset in ("vn-2d-arena", "mlp-2d-arena")},
}


def parse_claims(names: Sequence[str]) -> list[PaperClaim]:
    """The claims of those names, the paper's in its order and then ours, each once; no names are the paper's.

    After them come claims from outside this package, `module:name`, each a `PaperClaim`.

    Raises:
        ConfigError: an unknown name, with the nearest ones; or something from outside that is no claim.
    """
    known = {name.lower(): name for name in CLAIMS}
    own = [name for name in names if not is_foreign(name)]
    for name in own:
        if name.lower() not in known:
            raise ConfigError(f"unknown claim '{name}': {nearest(name, CLAIMS)}")
    asked = {known[name.lower()] for name in own} if names else {claim.name for claim in PAPER}
    foreign = {name: locate("claim", name) for name in names if is_foreign(name)}
    for name, claim in foreign.items():
        if not isinstance(claim, PaperClaim):
            raise ConfigError(f"claim '{name}': got {type(claim).__name__}, expected a PaperClaim.")
    return [*(claim for name, claim in CLAIMS.items() if name in asked), *foreign.values()]


def resolve_size(seeds: int | None, *, quick: bool) -> Size:
    """The size that is asked for.

    Args:
        seeds: how many; None is 5, or 1 of the quick version.
        quick: the smoke test.

    Raises:
        ConfigError: no seeds.
    """
    count = (1 if quick else SEEDS) if seeds is None else seeds
    if count < 1:
        raise ConfigError(f"--seeds: got {count}, expected how many seeds, at least 1.")
    return Size(count, quick=True, settings=_QUICK_SETTINGS, options=_QUICK_OPTIONS) if quick else Size(count)
