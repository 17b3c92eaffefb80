"""Five seeds trained as one program against the same five one after another: CPU time of whole epochs, equal bits."""

import time

import pytest

from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.training import stack
from equiwm.training.data import training_data
from equiwm.training.fit import Fit
from equiwm.training.stack import build_stack
from equiwm.worlds.factory import build_world

SEEDS, EPOCHS = 5, 5
PRESETS = ("vn-3d", "vn-2d", "vn-2d-forward", "mlp-2d")


def fits_of(preset: str, *settings: str, seeds: int = SEEDS) -> list[Fit]:
    config = load(preset, None, settings)
    world = build_world(config.world)
    reps, group = (world.observation_rep, world.action_rep), world.group
    return [
        Fit(
            config.training,
            build_model(config.model, *reps, seed=seed, group=group),
            training_data(config.training, world, seed=seed),
            seed=seed,
        )
        for seed in range(seeds)
    ]


@pytest.mark.benchmark
@pytest.mark.parametrize("preset", PRESETS)
def test_stacked_seeds(board, preset):
    seconds = epochs_of(fits_of(preset), fits_of(preset))
    what = f"{SEEDS} seeds of {preset}, each alone / stacked, equal losses"
    board.pairs(what, seconds, asked="2x" if preset in ("vn-3d", "vn-2d") else "", unit="epoch of all")


@pytest.mark.benchmark
@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize("width", [256, 512, 724, 1024])
def test_where_weights_are_too_many(board, monkeypatch, width, seeds):
    """Where stacks stop to gain, whatever the limit is."""
    monkeypatch.setattr(stack, "STACKED_WEIGHTS", 2**40)
    settings = [f"model.predictor_widths=[{width},{width}]", "training.transitions=1024", "training.batch=256"]
    alone, stacked = (fits_of("mlp-field-2d", *settings, seeds=seeds) for _ in range(2))
    weights = seeds * alone[0].model.parameter_count
    seconds = epochs_of(alone, stacked)
    board.pairs(
        f"{seeds} MLPs of width {width}, {weights:,} weights in all, each alone / stacked", seconds, unit="epoch"
    )


def epochs_of(alone: list[Fit], stacked: list[Fit]) -> list[tuple[float, float]]:
    """CPU seconds of epochs of all of them, one after another and stacked, in turn."""
    whole = build_stack(stacked)
    assert whole is not None
    seconds = []
    for _ in range(EPOCHS):
        start = time.process_time()
        expected = [fit.run_epoch() for fit in alone]
        between = time.process_time()
        found = whole.run_epoch()
        seconds.append((between - start, time.process_time() - between))
        assert found == expected
    return seconds
