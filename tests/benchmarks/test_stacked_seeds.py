"""Five seeds trained as one program against the same five one after another: CPU time of whole epochs, equal bits."""

import time

import pytest

from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.training.data import training_data
from equiwm.training.fit import Fit
from equiwm.training.stack import build_stack
from equiwm.worlds.factory import build_world

SEEDS, EPOCHS = 5, 5
PRESETS = ("vn-3d", "vn-2d", "vn-2d-forward", "mlp-2d")


def fits_of(preset: str) -> list[Fit]:
    config = load(preset)
    world = build_world(config.world)
    reps, group = (world.observation_rep, world.action_rep), world.group
    return [
        Fit(
            config.training,
            build_model(config.model, *reps, seed=seed, group=group),
            training_data(config.training, world, seed=seed),
            seed=seed,
        )
        for seed in range(SEEDS)
    ]


@pytest.mark.benchmark
@pytest.mark.parametrize("preset", PRESETS)
def test_stacked_seeds(board, preset):
    alone, stacked = fits_of(preset), fits_of(preset)
    stack = build_stack(stacked)
    assert stack is not None
    seconds = []
    for _ in range(EPOCHS):
        start = time.process_time()
        expected = [fit.run_epoch() for fit in alone]
        between = time.process_time()
        found = stack.run_epoch()
        seconds.append((between - start, time.process_time() - between))
        assert found == expected
    what = f"{SEEDS} seeds of {preset}, each alone / stacked, equal losses"
    board.pairs(what, seconds, asked="2x" if preset in ("vn-3d", "vn-2d") else "", unit="epoch of all")
