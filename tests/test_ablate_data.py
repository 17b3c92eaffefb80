"""`ablate data`: world models trained in memory on given sizes, their test sets, and the cells."""

import pytest
import torch

from equiwm.claims.ablation import data
from equiwm.claims.ablation.data import KIND
from equiwm.claims.ablation.kind import DIMENSIONS, Scope
from equiwm.claims.ablation.world_models import arm_config, model_columns, sized, train_model
from equiwm.claims.probe import held_out_pair
from equiwm.config import load
from equiwm.errors import TrainingError
from equiwm.files import plain
from equiwm.models.factory import build_model
from equiwm.report.ablation.data import figure, tables
from equiwm.worlds.factory import build_world

WORLDS = [(world, dim) for world in ("cloud", "pusht", "field") for dim in DIMENSIONS[world]]


@pytest.mark.parametrize(("world", "dim"), WORLDS)
def test_the_arms_differ_in_the_model_alone(world, dim):
    vn, mlp = (arm_config(world, dim, arm) for arm in ("vn", "mlp"))
    assert vn.world == mlp.world
    assert vn.world.name == world
    assert vn.world.wedge == (0.0, 90.0)
    assert vn.training.schedule == mlp.training.schedule == "cosine"
    assert vn.model.predictor.startswith("vn")
    assert mlp.model.predictor == "mlp"


def test_settings_of_the_world_reach_both_arms():
    for arm in ("vn", "mlp"):
        config = arm_config("cloud", 3, arm, ["world.breaking=0.2", "training.ema=0.5"])
        assert (config.world.breaking, config.training.ema) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("n", "updates", "expected"), [(16, 600, 600), (512, 600, 600), (2048, 600, 608), (2048, 5, 16)]
)
def test_updates_are_rounded_up_to_whole_epochs(n, updates, expected):
    config = sized(load("vn-3d"), n, updates=updates)
    assert config.training.updates == expected
    assert (config.training.transitions, config.training.batch) == (n, min(n, 128))


def test_training_takes_the_steps_it_is_said_to(monkeypatch):
    from equiwm.training import fit

    steps = []
    update = fit.Fit._update_target
    monkeypatch.setattr(fit.Fit, "_update_target", lambda self: (steps.append(1), update(self)))
    config = sized(load("vn-3d"), 48, updates=5)
    train_model(config, build_world(config.world).transitions(48, seed=0), seed=0)
    assert len(steps) == config.training.updates == 5


@pytest.mark.parametrize(("world", "dim"), WORLDS)
def test_the_test_sets_are_one_but_for_their_orientation(world, dim):
    config = arm_config(world, dim, "vn")
    built = build_world(config.world)
    seen, unseen = held_out_pair(built, 40, 1000)
    for name in ("observation", "next_observation"):
        straight, turned = getattr(seen, name), getattr(unseen, name)
        assert torch.allclose(straight.norm(dim=-1), turned.norm(dim=-1), atol=1e-9)
        assert not torch.allclose(straight, turned, atol=0.1)
    assert torch.allclose(seen.action.norm(dim=-1), unseen.action.norm(dim=-1), atol=1e-12)
    train = built.transitions(40, seed=1000)
    assert not torch.equal(train.observation, seen.observation)


@pytest.mark.parametrize(("world", "dim"), WORLDS)
def test_columns_of_an_equivariant_model_at_any_weights(world, dim):
    config = arm_config(world, dim, "vn")
    built = build_world(config.world)
    model = build_model(config.model, built.observation_rep, built.action_rep, seed=0).eval()
    columns = model_columns(model, built, built.transitions(60, seed=0), transitions=60, elements=4)
    assert columns["ood_factor"] == pytest.approx(1.0, abs=1e-5)
    assert columns["relative_residual"] < 1e-6
    read = [key for key in columns if key.startswith("readout_")]
    assert len(read) == {"cloud": 3, "pusht": 6, "field": 0}[world]
    for key in read:
        if key.endswith("_ood"):
            assert columns[key] == pytest.approx(columns[key.removesuffix("_ood")], rel=1e-4)


def small(world, dim, **changes):
    """Cells of a tiny study of one seed: two sizes, both arms."""
    cells = KIND.cells(Scope(dims=(dim,), seeds=(0,), quick=True, world=world))
    shorter = {"updates": 4, "epochs": 3, **changes}
    return [{**plain(dict(cell.params)), **shorter} for cell in cells if cell.params["transitions"] <= 128]


@pytest.fixture(scope="module")
def rows():
    return [row for params in small("cloud", 3) for row in KIND.compute(params)["rows"]]


def test_rows_say_what_was_trained(rows):
    assert [(row["arm"], row["transitions"], row["fixed"], row["updates"]) for row in rows[:4]] == [
        ("vn", 16, "updates", 4),
        ("vn", 16, "epochs", 3),
        ("vn", 128, "updates", 4),
        ("vn", 128, "epochs", 3),
    ]
    assert len({(row["dim"], row["arm"], row["cell"], row["seed"]) for row in rows}) == len(rows) == 8


def test_one_training_is_not_done_twice(monkeypatch):
    calls = []
    monkeypatch.setattr(data, "train_and_measure", lambda config, seed: calls.append(config) or {"parameters": 1})
    found = KIND.compute(small("cloud", 3, updates=3)[0])["rows"]
    assert len(calls) == 1
    assert [row["fixed"] for row in found] == ["updates", "epochs"]


def test_a_model_that_diverges_is_reported(monkeypatch):
    def diverge(config, seed):
        raise TrainingError("the loss is nan")

    monkeypatch.setattr(data, "train_and_measure", diverge)
    found = KIND.compute(small("cloud", 3)[0])
    assert found["rows"] == []
    assert found["failed"] == ["fixed updates, seed 0: the loss is nan", "fixed epochs, seed 0: the loss is nan"]


def test_the_answer_follows_the_numbers(rows):
    def with_ood(mlp):
        return [
            {**row, "readout_centred_cloud_ood": mlp if row["arm"] == "mlp" else 0.5, "readout_centred_cloud": 0.4}
            for row in rows
        ]

    assert "no number of them takes the MLP" in KIND.answer(with_ood(0.9))
    assert "the MLP needs 16 to reach" in KIND.answer(with_ood(0.1))
    assert "the better one at 0 of 2 sizes" in KIND.answer(with_ood(0.9))


def test_tables_and_figure(rows, tmp_path):
    entry = {"rows": rows, "dims": [3], "world": "cloud"}
    fixed_updates, fixed_epochs = tables(entry, "study")
    assert [row[:3] for row in fixed_updates.rows[:2]] == [("VN", "16", "4"), ("VN", "128", "4")]
    assert fixed_epochs.rows[0][2] == "3"
    assert "action alone" in fixed_updates.columns
    assert figure(entry, "study", tmp_path).stat().st_size > 10_000
    assert (tmp_path / "ablate_data.csv").read_text().count("MLP, unseen") == 2
