"""A cell on the velocity field: the networks of several seeds, trained as one program, each measured by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.residual import ELEMENTS, SAMPLES, equivariance_residual
from equiwm.audit.rounding import float32_rounding
from equiwm.claims.probe import PROBE_SEED, held_out_seed
from equiwm.grid import Cell
from equiwm.models.regressors import DEFAULT_WIDTH, RegressorKind, build_regressor
from equiwm.models.soft import Regressor, SoftRegressor
from equiwm.symmetry.reps import vectors
from equiwm.training.stacked import Regression, fit_stack
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import STATES, Field
from equiwm.worlds.world import Orientations

HALF = {2: FieldConfig(dimension=2).covered, 3: FieldConfig(dimension=3).covered}
"""The world's own coverage: the arc [0, 180), or the ball of 90 degrees."""


def field_cell_of(
    arm: str,
    cell: str,
    seeds: Sequence[int],
    *,
    model: RegressorKind,
    dim: int,
    columns: dict[str, Any],
    coverage: float,
    breaking: float = 0.0,
    width: int | None = None,
    scenes: int,
    copies: int = 1,
    steps: int,
    batch: int,
    penalty: float = 0.0,
    test: int,
) -> Cell:
    """A cell of `field_cell`.

    Args:
        arm: column `arm` of its rows.
        cell: column `cell` of its rows.
        seeds: one network each; a seed gives scenes, weights and order.
        model: the network.
        dim: dimension d.
        columns: the kind's own columns.
        coverage: orientations of training, degrees (`FieldConfig.coverage`).
        breaking: the world's g.
        width: of the hidden layers; None is that of `DEFAULT_WIDTH`.
        scenes: training scenes.
        copies: how often each scene is turned anew (`Field.augmented`); 1 is no augmentation.
        steps: updates.
        batch: transitions an update.
        penalty: beta of a soft network.
        test: held-out scenes.
    """
    params = {
        "arm": arm,
        "cell": cell,
        "dim": dim,
        "seeds": list(seeds),
        "columns": columns,
        "model": model,
        "width": DEFAULT_WIDTH[model] if width is None else width,
        "coverage": coverage,
        "breaking": breaking,
        "scenes": scenes,
        "copies": copies,
        "steps": steps,
        "batch": batch,
        "penalty": penalty,
        "test": test,
    }
    span = f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    return Cell(f"dim={dim},{arm},{cell},seeds={span}", params)


STACKED_WIDTH = 512
"""A stack of ordinary networks wider than this gains nothing (`equiwm.training.stacked`)."""


def stacks(seeds: Sequence[int], width: int) -> list[Sequence[int]]:
    """The seeds of each cell: all in one stack, or one each where stacking gains nothing and an interruption would lose
    more.
    """
    return [seeds] if width <= STACKED_WIDTH else [[seed] for seed in seeds]


def field_work(params: Mapping[str, Any]) -> float:
    """Work of a cell relative to others: multiplications of the hidden layer, and what a step costs at any width."""
    width = params["width"] if params["model"] != "vn" else 64
    return len(params["seeds"]) * params["steps"] * (1.0 + (width / 256) ** 2)


def _training_data(world: Field, params: dict[str, Any], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """States (N, 6, d), actions (N, d) and velocities (N, 6, d), float32."""
    state, action = world.augmented(params["scenes"], params["copies"], seed=seed)
    return state.float(), action.float(), world.velocity(state, action).float()


def _relmse(model: Regressor | SoftRegressor, data: tuple[Tensor, Tensor, Tensor]) -> float:
    """E|f(s, a) - v|^2 / E|v|^2, accumulated in float64."""
    state, action, target = data
    with torch.no_grad():
        error = model(state.float(), action.float()).double() - target
    return float(error.square().mean() / target.square().mean())


def field_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Train the networks of a cell's seeds on the field's velocity and measure each, in float32.

    `seen_relmse` and `ood_relmse` are E|f - v|^2 / E|v|^2 on the same held-out scenes at orientations that training
    covers and at others, each with the world's own velocity there, never a rotated label. Where training covers the
    whole group there are no others: the second set is then turned afresh over the whole group. The residual is that
    of f under the world's group at the held-out seen scenes (RMS, worst of 64 elements x 256 scenes), and beside it
    stands what rounding moves f at the same scenes.

    Args:
        params: those of `field_cell_of`.
    """
    dim, seeds = params["dim"], params["seeds"]
    world = Field(FieldConfig(dimension=dim, breaking=params["breaking"], coverage=params["coverage"]))
    models = [build_regressor(params["model"], world, params["width"], seed=seed) for seed in seeds]
    state, action, target = (
        torch.stack(parts) for parts in zip(*(_training_data(world, params, seed) for seed in seeds), strict=True)
    )
    settings = Regression(steps=params["steps"], batch=params["batch"], penalty=params["penalty"])
    fit_stack(models, state, action, target, settings, seeds)
    everything = params["coverage"] >= (360.0 if dim == 2 else 180.0)
    elements = world.group.sample(ELEMENTS, PROBE_SEED)
    rows = []
    for seed, model in zip(seeds, models, strict=True):
        model.eval()

        def test(orientations: Orientations, seed: int = seed) -> tuple[Tensor, Tensor, Tensor]:
            data = world.transitions(params["test"], seed=held_out_seed(seed), orientations=orientations)
            return data.observation, data.action, world.velocity(data.observation, data.action)

        seen, unseen = test("seen"), test("all" if everything else "unseen")
        errors = _relmse(model, seen), _relmse(model, unseen)
        few = [part[:SAMPLES].float() for part in seen[:2]]
        reps = vectors(STATES, dim), vectors(1, dim)
        row = {
            "arm": params["arm"],
            "cell": params["cell"],
            "dim": dim,
            "seed": seed,
            "parameters": model.parameter_count,
            "seen_relmse": errors[0],
            "ood_relmse": errors[1],
            "ood_factor": errors[1] / errors[0],
            "relative_residual": equivariance_residual(model, reps, reps[0], elements, few).relative,
            "float32_rounding": float32_rounding(model, few),
            **params["columns"],
        }
        if isinstance(model, SoftRegressor):
            row["free_fraction"] = model.free_fraction(seen[0].float(), seen[1].float())
        rows.append(row)
    return {"rows": rows}
