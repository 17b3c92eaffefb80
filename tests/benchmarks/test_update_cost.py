"""What an update of each class of `ablate scaling` costs: CPU time, by which its axis `time` is measured."""

from time import process_time

import numpy as np
import pytest

from equiwm.claims.ablation.arms import sized
from equiwm.claims.ablation.baselines import ARMS
from equiwm.claims.ablation.lockstep import alone
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.scaling import BATCH, COST_MS
from equiwm.claims.ablation.scaling_columns import whole_group
from equiwm.claims.ablation.study import resolve_scope
from equiwm.claims.ablation.world_models import train_model
from equiwm.config import parse
from equiwm.worlds.factory import build_world

SHORT, LONG, ROUNDS = 8, 40, 5
"""Updates of two trainings, whose difference has neither the model's making nor the first steps in it."""


@pytest.mark.slow
@pytest.mark.parametrize("world", ["pusht", "cloud"])
def test_update_cost(board, world):
    kind = load_kind("scaling")
    scope = resolve_scope(kind, world=world, seeds=1)
    params = next(cell.params for cell in kind.cells(scope) if cell.params["axis"] == "time")
    configs = {arm: parse(config) for arm, config in params["configs"].items()}
    data = whole_group(build_world(next(iter(configs.values())).world), 4 * BATCH, seed=0)

    def seconds(arm: str, updates: int) -> float:
        config = sized(configs[arm], len(data), updates=updates)
        assert config.training.updates == updates
        start = process_time()
        alone(train_model(config, data, seed=0))
        return process_time() - start

    costs: dict[str, list[float]] = {arm: [] for arm in configs}
    for arm in configs:
        seconds(arm, SHORT)
    for _ in range(ROUNDS):
        for arm, found in costs.items():
            found.append(1e3 * (seconds(arm, LONG) - seconds(arm, SHORT)) / (LONG - SHORT))
    own = COST_MS[params["preset"]]
    for arm, found in costs.items():
        low, median, high = np.percentile(found, [25, 50, 75])
        what = f"an update of {BATCH:,} of {params['preset']}, {ARMS[arm]}"
        board.note(what, f"{median:.1f} ms", spread=f"{low:.1f} to {high:.1f}", asked=f"fixed at {own[arm]} ms")
