"""Sizes at which every command does all it does and nothing well: for tests of what happens, not of how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from equiwm.claims.ablation.kind import AblationKind, Scope
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.reproduce.sources import PaperClaim, Size
from equiwm.claims.rollout import paper as rollouts
from equiwm.grid import Cell
from equiwm.locate import BUILT_IN

LOOP = ("planning.horizon=4", "planning.samples=16", "planning.iterations=2", "planning.elites=4", "planning.steps=4")
PLANNING = ("vn-2d-forward", "mlp-2d-forward", "vn-3d-paper", "mlp-3d", "vn-3d-goal", "mlp-3d-goal")
TRAINING = ("training.transitions=200", "training.epochs=2", "training.batch=25")
TINY = Size(
    1,
    settings={"": TRAINING, **dict.fromkeys(PLANNING, (*TRAINING, *LOOP))},
    options={
        "verify-equivariance": {"samples": 2},
        "sweep-group": {"bins": 4, "transitions": 40},
        "rollout": {"sequences": 8},
        "closed-loop": {"tasks": 2},
    },
)
"""A reproduction of hardly trained models."""

_ABLATION = {"copies": 1, "test": 16, "epochs": 1, "updates": 2, "steps": 2, "elements": 2, "tasks": 1}
"""Parameters of a cell of an ablation, where it has them."""


def shrunk(name: str, *, updates: int = 2, **parameters: int) -> AblationKind[Any]:
    """An ablation whose networks are hardly trained: on 64 transitions, for so many updates of 32."""
    kind = load_kind(name)

    def cells(scope: Scope) -> list[Cell]:
        return [
            Cell(each.key, _smaller(each.params, updates, parameters))
            for each in kind.cells(replace(scope, quick=True))
        ]

    return replace(kind, cells=cells)


def _smaller(params: Mapping[str, Any], updates: int, parameters: Mapping[str, int]) -> dict[str, Any]:
    small = {**_ABLATION, **parameters}
    made = {**params, **{key: value for key, value in small.items() if key in params}}
    if "config" in params:
        training = {**params["config"]["training"], "transitions": 64, "batch": 32, "epochs": -(-updates // 2)}
        made["config"] = {**params["config"], "training": training}
        if "tasks" in params:  # a closed loop
            small_loop = {key.partition("=")[0].removeprefix("planning."): int(key.partition("=")[2]) for key in LOOP}
            made["config"]["planning"] = {**params["config"]["planning"], **small_loop}
    return made


ABLATIONS = SimpleNamespace(**{name: shrunk(name) for name in BUILT_IN["ablation"]})
"""`equiwm ablate small:ABLATIONS.soft`."""
ROLLOUT = PaperClaim("rollout", rollouts.CLAIM.text, lambda size: rollouts.statements(replace(TINY, seeds=size.seeds)))
"""`equiwm reproduce small:ROLLOUT`."""
