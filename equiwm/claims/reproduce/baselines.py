"""Claim baselines, beside the paper: ordinary networks made symmetric by other means, in the plane and in space."""

from __future__ import annotations

from typing import Any

from equiwm.claims.closed_loop.paper import EXACT_DEG, PAPER_2D, largest_difference, solved_unseen
from equiwm.claims.reproduce.sources import PaperClaim, Size, SourcedStatement, stated
from equiwm.claims.residual.paper import TOLERANCE, trained
from equiwm.claims.statement import FLAT, NOT_FLAT, at_least, at_most, each_seed, near
from equiwm.claims.sweep.result import SweepResult

SETTINGS = (
    ("2D, full state", "2d-forward", "so2"),
    ("2D, latent", "2d", "so2"),
    ("3D, SE(3) ladder, latent", "3d", "se3"),
)
"""Where, what the presets' names end with, and the world's group."""
ORDINARY = {"2d-forward": "mlp", "2d": "plain", "3d": "plain"}
"""What the names begin with of the ordinary network that differs from the equivariant preset in class alone."""
MADE_SYMMETRIC = {"canonical": "MLP in one frame", "frame": "MLP averaged over frames"}
AUGMENTED_RESIDUAL = 1e-3
"""What augmentation leaves in float32 is at least this: a hundred times the tolerance of an exact network."""
TASKS = 24
DIFFERS_DEG = 0.1
"""Turned episodes of a loop that is not exact differ by at least this somewhere, as claim C has it."""


def _ood_factor(result: SweepResult) -> float:
    return result.ood_factor


def statements(size: Size) -> list[SourcedStatement[Any]]:
    """OOD factor and residual of each class; in the plane, where the state is what is planned with, its loop too."""
    lines: list[SourcedStatement[Any]] = []

    def state(name: str, quantity: str, source: Any, read: Any, bound: Any) -> None:
        lines.append(stated(name, quantity, "–", source, read, bound, ours=True))

    for setting, ending, group in SETTINGS:
        classes = {ORDINARY[ending]: "MLP", "augmented": "MLP, augmented", **MADE_SYMMETRIC}
        for beginning, words in classes.items():
            preset = f"{beginning}-{ending}"
            name, exact = f"{words} ({preset}), {setting}", beginning in MADE_SYMMETRIC
            sweep = size.measure(preset, "sweep-group", group=group, dtype="float32")
            flat = near(1.0, FLAT) if exact else at_most(NOT_FLAT) if beginning == "augmented" else at_least(NOT_FLAT)
            state(name, "OOD factor, every bin", sweep, each_seed(_ood_factor), flat)
            verify = size.measure(preset, "verify-equivariance", group=group, dtype="float32")
            bound = at_most(TOLERANCE["float32"]) if exact else at_least(AUGMENTED_RESIDUAL)
            state(name, "relative residual, float32", verify, trained("composed"), bound)
    for beginning, words in {"augmented": "MLP, augmented", **MADE_SYMMETRIC}.items():
        preset = f"{beginning}-2d-forward"
        name = f"{words} ({preset}), 2D, planner told nothing"
        loop = size.measure(preset, "closed-loop", planner="equivariant", orbit=PAPER_2D, dtype="float64", tasks=TASKS)
        bound = at_most(EXACT_DEG) if beginning in MADE_SYMMETRIC else at_least(DIFFERS_DEG)
        state(name, "max |d_i|, deg", loop, largest_difference, bound)
        state(name, "tasks solved, unseen", loop, solved_unseen, at_least(0.5))
    return lines


CLAIM = PaperClaim(
    "baselines",
    "A network in a frame is as flat as an equivariant one; an augmented one is not exact, and flat near its data.",
    statements,
)
