"""`ablate data`: world models trained in memory on given sizes, their test sets, and the cells."""

from dataclasses import replace

import pytest
import torch

from equiwm.claims.ablation.arms import arm_config, sized
from equiwm.claims.ablation.claim import CLAIM
from equiwm.claims.ablation.data import KIND
from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.lockstep import alone
from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.study import ablation_study, decided, resolve_scope, study_name
from equiwm.claims.ablation.world_models import model_columns, train_model
from equiwm.claims.probe import held_out_pair
from equiwm.cli.main import run
from equiwm.cli.output import publish
from equiwm.config import load
from equiwm.disk.strict_json import plain
from equiwm.errors import ConfigError
from equiwm.grid import Cell
from equiwm.models.factory import build_model
from equiwm.results.ablation import ReadoutErrors, read_rows
from equiwm.results.measured import Measured
from equiwm.symmetry.coverage import Arc
from equiwm.training.objective import Forward
from equiwm.worlds.factory import build_world

PRESETS = {(world, dim): preset for world, own in KIND.runs_on().items() for dim, preset in own.items()}
WORLDS = list(PRESETS)


@pytest.mark.parametrize(("world", "dim"), WORLDS)
def test_the_arms_differ_in_the_model_alone(world, dim):
    vn, mlp = (arm_config(PRESETS[world, dim], arm) for arm in ("vn", "mlp"))
    assert vn.world == mlp.world
    assert vn.world.name == world
    assert build_world(vn.world).coverage == Arc(0.0, 90.0, dim)
    assert vn.training.schedule == mlp.training.schedule == "cosine"
    assert vn.model.predictor.startswith("vn")
    assert mlp.model.predictor == "mlp"


def test_settings_of_the_world_reach_both_arms():
    for arm in ("vn", "mlp"):
        config = arm_config("vn-3d", arm, ["world.breaking=0.2", "training.ema=0.5"])
        assert (config.world.breaking, config.training.ema) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("n", "updates", "expected"), [(16, 600, 600), (512, 600, 600), (2048, 600, 608), (2048, 5, 16)]
)
def test_updates_are_rounded_up_to_whole_epochs(n, updates, expected):
    config = sized(load("vn-3d"), n, updates=updates)
    assert config.training.updates == expected
    assert (config.training.transitions, config.training.batch) == (n, min(n, 128))


def test_training_takes_the_steps_it_is_said_to():
    config = sized(load("vn-3d"), 48, updates=5)
    world = build_world(config.world)
    calls = []

    class Counted(Forward):
        def __call__(self, *batch):
            calls.append(1)
            return super().__call__(*batch)

    model = build_model(replace(config.model, encoder="identity"), world.observation_rep, world.action_rep, seed=0)
    data = world.transitions(48, seed=0)
    objective = Counted(model.encoder, data.to(torch.float32, "cpu"))
    alone(train_model(config, data, seed=0, model=model, objective=objective))
    assert len(calls) == config.training.updates == 5


@pytest.mark.parametrize(("world", "dim"), WORLDS)
def test_the_test_sets_are_one_but_for_their_orientation(world, dim):
    config = arm_config(PRESETS[world, dim], "vn")
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
    config = arm_config(PRESETS[world, dim], "vn")
    built = build_world(config.world)
    model = build_model(config.model, built.observation_rep, built.action_rep, seed=0).eval()
    columns = model_columns(model, built, built.transitions(60, seed=0), transitions=60, elements=4)
    assert columns["ood_factor"] == pytest.approx(1.0, abs=1e-5)
    assert columns["relative_residual"] < 1e-6
    readouts = columns.get("readouts", {})
    assert len(readouts) == {"cloud": 1, "pusht": 2, "field": 0}[world]
    for errors in readouts.values():
        assert errors.ood == pytest.approx(errors.seen, rel=1e-4)


def small(world, dim, **changes):
    """Cells of a tiny study of one seed: two sizes, both arms."""
    cells = KIND.cells(resolve_scope(KIND, world=world, dim=dim, seeds=1, quick=True))
    shorter = {"updates": 4, "epochs": 3, **changes}
    return [{**plain(dict(cell.params)), **shorter} for cell in cells if cell.params["transitions"] <= 128]


@pytest.fixture(scope="module")
def rows():
    return read_rows(KIND.row, [row for params in small("cloud", 3) for row in KIND.compute(params)["rows"]])


def test_rows_say_what_was_trained(rows):
    assert [(row.arm, row.transitions, row.fixed, row.updates) for row in rows[:4]] == [
        ("vn", 16, "updates", 4),
        ("vn", 16, "epochs", 3),
        ("vn", 128, "updates", 4),
        ("vn", 128, "epochs", 3),
    ]
    assert len({(row.dim, row.arm, row.cell, row.seed) for row in rows}) == len(rows) == 8


def test_one_training_is_not_done_twice():
    """Where both schedules come to the same updates, their rows are those of one training, to the bit."""
    updates, epochs = read_rows(KIND.row, KIND.compute(small("cloud", 3, updates=3)[0])["rows"])
    assert (updates.fixed, epochs.fixed) == ("updates", "epochs")
    assert replace(updates, fixed="epochs", cell=epochs.cell) == epochs


def test_a_model_that_diverges_is_reported():
    params = small("cloud", 3)[0]
    training = {**params["config"]["training"], "lr": 1e30, "optimizer": "sgd"}
    found = KIND.compute({**params, "config": {**params["config"], "training": training}})
    assert found["rows"] == []
    assert [line[:22] for line in found["failed"]] == ["fixed updates, seed 0:", "fixed epochs, seed 0: "]
    assert all("diverged" in line or "collapsed" in line for line in found["failed"])


def test_the_statements_follow_the_numbers(rows):
    def holds(mlp):
        made = [
            replace(
                row,
                readouts={"centred_cloud": ReadoutErrors(seen=0.4, ood=mlp if row.arm == "mlp" else 0.5, action=1.0)},
            )
            for row in rows
        ]
        scope = resolve_scope(KIND, seeds=1, quick=True)
        return {each.quantity: each.holds for each in decided(KIND, scope, made, whole=True)}

    reach = "OOD error, best size / the VN's from the fewest"
    assert holds(0.9)[reach] is True
    assert holds(0.1)[reach] is False
    assert holds(0.9)["seen error, most data / fewest"] is False


def test_tables_and_figure(rows, tmp_path):
    measured = StudyRows("study", "cloud", (3,), rows)
    fixed_updates, fixed_epochs = KIND.tables(measured)
    assert [row[:3] for row in fixed_updates.rows[:2]] == [("VN", "16", "4"), ("VN", "128", "4")]
    assert fixed_epochs.rows[0][2] == "3"
    assert fixed_updates.columns[3:6] == ("read-out, centred cloud, seen", "unseen", "action alone")
    assert KIND.figure(measured, tmp_path).stat().st_size > 10_000
    assert (tmp_path / "ablate_data.csv").read_text().count("MLP, unseen") == 2


# A preset, and a world, from outside


SPRING = """
world: {name: "toy_spring:Spring"}
model: {encoder: identity, predictor: vn, weights: real, predictor_widths: [8]}
training: {transitions: 64, objective: forward, optimizer: adamw, lr: 3.0e-3, epochs: 4, batch: 32}
"""


def test_a_preset_of_the_user_s_is_compared_with_an_mlp(tmp_path, capsys):
    """Its own world, dimension and name; the baseline of a preset that names none is an MLP of its widths."""
    (tmp_path / "spring.yaml").write_text(SPRING)
    scope = resolve_scope(KIND, world=None, dim=None, seeds=1, quick=True, preset=str(tmp_path / "spring.yaml"))
    assert (scope.dims, scope.world) == ((2,), "toy_spring:Spring")
    assert study_name(KIND, scope) == "ablate-data-spring-quick"
    small = replace(
        KIND,
        cells=lambda scope: [
            Cell(cell.key, {**cell.params, "updates": 4, "epochs": 2})
            for cell in KIND.cells(scope)
            if cell.params["transitions"] <= 128
        ],
    )
    study, result = ablation_study(small, scope, tmp_path)
    assert not result.failed
    rows = read_rows(KIND.row, result.rows)
    vn, mlp = (next(row for row in rows if row.arm == arm) for arm in ("vn", "mlp"))
    assert vn.relative_residual < 1e-6 < 1e-2 < mlp.relative_residual
    publish(study, CLAIM, Measured(result), out=None)
    assert run(["report", str(study.path)]) == 0
    assert "relMSE of the next state" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "asked", "words"),
    [
        ("soft", {}, "has arms of its own"),
        ("data", {"dim": 2}, "give --preset alone"),
        ("data", {"world": "cloud"}, "give --preset alone"),
        ("data", {"preset": "vn-9d"}, "vn-9d"),
    ],
)
def test_presets_that_make_no_study_are_refused(kind, asked, words):
    with pytest.raises(ConfigError, match=words):
        resolve_scope(
            load_kind(kind), **{"world": None, "dim": None, "seeds": 1, "quick": True, "preset": "vn-3d"} | asked
        )
