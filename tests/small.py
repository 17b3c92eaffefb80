"""Sizes at which every command does all it does and nothing well: for tests of what happens, not of how good it is."""

from __future__ import annotations

from dataclasses import replace

from equiwm.claims.ablation.kind import Kind
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.reproduce.statement import Size
from equiwm.grid import Cell

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

_ABLATION = {"steps": 2, "copies": 1, "scenes": 64, "batch": 32, "test": 16, "width": 8, "updates": 2, "epochs": 1}


def shrunk(name: str) -> Kind:
    """An ablation whose networks are hardly trained."""
    kind = load_kind(name)

    def cells(scope):
        return [
            Cell(each.key, _smaller(dict(each.params) | {"elements": 2} if "elements" in each.params else each.params))
            for each in kind.cells(replace(scope, quick=True))
        ]

    return replace(kind, cells=cells)


def _smaller(params):
    made = {**params, **{key: value for key, value in _ABLATION.items() if key in params}}
    if "config" in params:
        config = params["config"]
        made["config"] = {**config, "training": {**config["training"], "epochs": 1}}
    return made
