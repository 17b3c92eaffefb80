"""`ablate breaking`, and what a broken world does to the claims that would turn a test set."""

import math
from dataclasses import replace

import pytest
import torch

from equiwm.claims.ablation.breaking import KIND, BreakingRow, plane
from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.study import decided, resolve_scope
from equiwm.claims.probe import held_out
from equiwm.claims.sweep.measure import relmse, sweep
from equiwm.config import load
from equiwm.disk.strict_json import plain
from equiwm.errors import ConfigError
from equiwm.loading import load_run
from equiwm.results.ablation import read_rows
from equiwm.symmetry.groups import SE3
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.factory import build_world
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.pusht.config import PushTConfig

FORWARD = ("model.encoder=identity", "training.objective=forward")
TINY = ("training.transitions=64", "training.batch=32", "training.epochs=2")


def test_which_worlds_are_broken():
    exact = PushTConfig(), CloudConfig(), FieldConfig()
    broken = CloudConfig(breaking=0.1), FieldConfig(breaking=0.1)
    assert all(build_world(config).equivariant for config in exact)
    assert not any(build_world(config).equivariant for config in broken)
    with pytest.raises(ConfigError, match=r"world\.breaking"):
        load("vn-3d", None, ["world.breaking=-0.1"])


def test_a_sweep_of_a_broken_world_is_stepped_afresh_not_turned(tmp_path):
    run = prepare_run(
        load("vn-3d", None, [*FORWARD, *TINY, "world.breaking=0.4"]), tmp_path, "run", seed=0, resume=False
    )
    train_run(run, device=torch.device("cpu"))
    loaded = load_run(run.path, torch.float64)
    result = sweep(loaded, group="so3", bins=2, transitions=40)
    data = held_out(loaded, 40, 1000)
    turned = data.transform(SE3.rotation(90.0, "x"), loaded.world.observation_rep, loaded.world.action_rep)
    stepped = replace(turned, next_observation=loaded.world.step(turned.observation, turned.action))
    tipped = next(entry for entry in result.bins if entry.label == "x90")
    assert tipped.relmse == pytest.approx(relmse(loaded.model, stepped), rel=1e-12)
    assert relmse(loaded.model, turned) == pytest.approx(result.seen, rel=1e-9)  # what a fake label would give
    assert abs(tipped.relmse / result.seen - 1.0) > 1e-2
    # Turns about the vertical are still symmetries.
    upright = next(entry for entry in result.bins if entry.label == "z180")
    assert upright.relmse == pytest.approx(result.seen, rel=1e-9)


def rows_of(errors):
    """Rows of one column from {(g, N): (vn by seed, mlp by seed)}."""
    return [
        BreakingRow(
            arm=arm,
            cell=f"{g},{n}",
            dim=3,
            seed=seed,
            parameters=1,
            breaking=g,
            transitions=n,
            seen_relmse=value,
            ood_relmse=1.0,
        )
        for (g, n), pair in errors.items()
        for arm, by_seed in zip(("vn", "mlp"), pair, strict=True)
        for seed, value in enumerate(by_seed)
    ]


def seen(errors):
    frame = plane(rows_of(errors))
    return frame[frame["side"] == "seen_relmse"].to_dict("records")


def test_winners_are_paired_by_seed():
    (cell,) = seen({(0.1, 32): ([1.0, 1.0, 4.0], [10.0, 100.0, 2.0])})
    assert cell["log_ratio"] == pytest.approx(1.0)
    assert (cell["error"], cell["mlp"], cell["every_seed"]) == (1.0, 10.0, False)
    (mlp_wins,) = seen({(0.1, 32): ([2.0, 4.0], [1.0, 1.0])})
    assert mlp_wins["log_ratio"] == pytest.approx(-0.5 * math.log10(8.0))
    assert mlp_wins["every_seed"]
    alone = [row for row in rows_of({(0.1, 32): ([2.0], [1.0])}) if row.arm == "vn"]
    assert plane(alone).empty


@pytest.fixture(scope="module")
def rows():
    """A seed of the weakest and the strongest breaking, on the fewest transitions."""
    found = []
    for cell in KIND.cells(resolve_scope(KIND, seeds=1, quick=True)):
        params = plain(dict(cell.params))
        config = params["config"]
        if config["training"]["transitions"] == 32 and config["world"]["breaking"] in (0.0, 0.8):
            config["training"]["epochs"] = 10
            found += KIND.compute(params)["rows"]
    return read_rows(BreakingRow, found)


def test_an_equivariant_model_is_exact_in_any_world_and_flat_in_the_exact_one(rows):
    assert len(rows) == 6
    for row in rows:
        if row.arm == "mlp":
            assert row.relative_residual > 0.1
            continue
        assert row.relative_residual < 1e-6
        off = abs(row.ood_factor - 1.0)
        assert (off < 1e-5) == (row.breaking == 0.0), row
    assert not any(row.readouts for row in rows)


def test_the_statements_count_the_plane(rows):
    def won(vn, mlp):
        made = [replace(row, ood_relmse=mlp if row.arm == "mlp" else vn) for row in rows]
        scope = resolve_scope(KIND, seeds=1, quick=True)
        found = {(each.setting, each.quantity): each for each in decided(KIND, scope, made, whole=True)}
        return found["VN, 3D", "share of conditions won against the MLP, across the group"]

    assert (won(0.1, 0.2).median, won(0.1, 0.2).holds) == (1.0, True)
    assert (won(0.2, 0.1).median, won(0.2, 0.1).holds) == (0.0, False)
    assert won(0.1, 0.1).holds is False, "a tie is no win"


def test_tables_and_figure(rows, tmp_path):
    measured = StudyRows("study", "cloud", (3,), rows)
    grids = KIND.tables(measured)
    assert len(grids) == 6
    assert grids[0].columns == ("g", "N = 32")
    assert KIND.figure(measured, tmp_path).stat().st_size > 10_000
    assert len((tmp_path / "ablate_breaking.csv").read_text().splitlines()) == 1 + 2 * 2 * 2
