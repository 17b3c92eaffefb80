"""Five seeds trained as one program against the same five one after another: CPU time of whole epochs, equal bits."""

import statistics
import time

import pytest
import torch

from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.training.data import training_data
from equiwm.training.fit import Fit
from equiwm.training.stack import build_stack
from equiwm.worlds.factory import build_world

SEEDS, EPOCHS = 5, 8
LEAST = {"vn-3d": 1.7, "vn-2d": 1.5, "vn-2d-forward": 1.7, "mlp-2d": 1.2}


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
@pytest.mark.parametrize("preset", LEAST)
def test_stacked_seeds(preset):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone, stacked = fits_of(preset), fits_of(preset)
        began = time.process_time()
        stack = build_stack(stacked)
        building = time.process_time() - began
        assert stack is not None
        seconds = []
        for _ in range(EPOCHS):
            start = time.process_time()
            expected = [fit.run_epoch() for fit in alone]
            between = time.process_time()
            found = stack.run_epoch()
            seconds.append((between - start, time.process_time() - between))
            assert found == expected
    finally:
        torch.set_num_threads(threads)
    ratios = sorted(one / other for one, other in seconds)
    slow, fast = (1e3 * statistics.median(each) for each in zip(*seconds, strict=True))
    print(
        f"\n{preset}, {SEEDS} seeds, an epoch: alone {slow:.0f} ms, stacked {fast:.0f} ms, "
        f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f}); comparing {1e3 * building:.0f} ms"
    )
    assert statistics.median(ratios) > LEAST[preset]
