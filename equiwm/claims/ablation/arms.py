"""Arms of an ablation: a preset and its baseline on one world, as configurations of a given size. No torch here.

Both are trained for as many updates, under one schedule; all else (sizes, optimiser, learning rate) is each preset's
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Literal

from equiwm.claims.ablation.kind import Scope
from equiwm.config import Config, load, world_config
from equiwm.errors import ConfigError
from equiwm.schema import read_assignment

Arm = Literal["vn", "mlp"]
ARMS: tuple[Arm, ...] = ("vn", "mlp")


def arm_config(preset: str, arm: Arm, assignments: Sequence[str] = ()) -> Config:
    """The configuration of an arm, on the preset's world seen from the wedge, and under a cosine schedule.

    Args:
        preset: the equivariant preset.
        arm: that preset itself, or its baseline.
        assignments: `section.key=value` over it.

    Raises:
        ConfigError: a preset without a baseline, an unknown one, or an assignment that does not fit.
    """
    equivariant = load(preset)
    chosen = preset if arm == "vn" else equivariant.baseline
    if chosen is None:
        raise ConfigError(f"preset '{preset}' names no baseline, and an ablation compares it with one.")
    others = [assignment for assignment in assignments if not assignment.startswith("world.")]
    # A preset and its baseline may observe different things of one world (axes of a block).
    world = asdict(equivariant.world.on_wedge())
    for assignment in assignments:
        if assignment.startswith("world."):
            world |= read_assignment(assignment, ["world"])[1]
    return replace(load(chosen, None, ["training.schedule=cosine", *others]), world=world_config(world))


def epochs_for(updates: int, transitions: int, batch: int) -> int:
    """Whole epochs of at least so many updates."""
    return -(-updates // -(-transitions // batch))


def sized(config: Config, transitions: int, *, updates: int | None = None, epochs: int | None = None) -> Config:
    """The configuration on so many transitions, for so many updates (rounded up to whole epochs) or epochs.

    Batches are the configuration's, or all transitions where they are fewer.
    """
    batch = min(config.training.batch, transitions)
    if updates is not None:
        epochs = epochs_for(updates, transitions, batch)
    length = config.training.epochs if epochs is None else epochs
    return replace(config, training=replace(config.training, transitions=transitions, batch=batch, epochs=length))


def scope_arm(scope: Scope, dim: int, arm: Arm) -> Config:
    """An arm of a study: of its world, or of the preset that was asked for, under a cosine schedule.

    The baseline of a preset that names none is an MLP of its widths, with the same objective.
    """
    if scope.preset is None:
        return arm_config(scope.presets[dim], arm)
    schedule = ["training.schedule=cosine"]
    config = load(scope.preset, None, schedule)
    if arm == "vn":
        return config
    if config.baseline is not None:
        return replace(load(config.baseline, None, schedule), world=config.world)
    encoder = "identity" if config.training.objective == "forward" else "mlp"
    return replace(config, model=replace(config.model, encoder=encoder, predictor="mlp"))


def paper_arm(
    preset: str,
    arm: Arm,
    assignments: Sequence[str],
    *,
    scenes: int,
    copies: int = 1,
    steps: int,
    batch: int,
    width: int | None = None,
) -> Config:
    """An arm at the constant rate of the paper's own stress tests.

    Args:
        preset: the equivariant preset.
        arm: equivariant, or the baseline.
        assignments: `world.key=value` over the wedge.
        scenes: training scenes.
        copies: how often each is turned anew.
        steps: updates.
        batch: transitions an update.
        width: of two hidden layers; None is the preset's.
    """
    widths = [] if width is None else [f"model.predictor_widths=[{width},{width}]"]
    settings = [*assignments, *widths, "training.schedule=constant", f"training.batch={batch}"]
    return sized(arm_config(preset, arm, settings), scenes * copies, updates=steps)


def with_optimizer(config: Config, optimizer: str) -> Config:
    """The configuration with another optimiser at that one's own learning rate."""
    lr = config.training.lr if optimizer == config.training.optimizer else None
    return replace(config, training=replace(config.training, optimizer=optimizer, lr=lr))
