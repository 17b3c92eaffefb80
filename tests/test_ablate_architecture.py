"""`ablate architecture`: which arms there are, what a row says, and that the answer may be no."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations

import pytest

from equiwm.claims.ablation import architecture
from equiwm.claims.ablation.architecture import KIND, ArchitectureRow
from equiwm.claims.ablation.baselines import ARMS, arm_of, in_equal_time, plain_model
from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.study import decided, resolve_scope, study_name
from equiwm.config import load
from equiwm.errors import ConfigError
from equiwm.figures import classes
from equiwm.models.factory import build_model
from equiwm.results.ablation import ReadoutErrors, read_rows
from equiwm.worlds.pusht.world import PushT

PUSHT = resolve_scope(KIND, world="pusht", seeds=1, quick=True)


@pytest.mark.parametrize("preset", ["vn-2d-forward", "vn-2d", "vn-3d", "vn-body", "vn-ring"])
def test_arms_differ_in_class_alone(preset):
    """The same world, planning and training, but for augmentation; the same latent; the ordinary ones of one size."""
    config = load(preset)
    made = {arm: found for arm in ARMS if (found := arm_of(config, arm)) is not None}
    assert made["vn"] == config
    assert {"plain", "augmented", "canonical", "frame", "soft"} <= set(made)
    assert ("canonical-se" in made) == (
        preset == "vn-2d-forward"
    )  # elsewhere points carry translations, or nothing does
    plain = plain_model(config)
    for arm, found in made.items():
        own = {"augment": True} if arm == "augmented" else {}
        assert found.training == replace(config.training, **own), arm
        assert (found.world, found.planning, found.baseline) == (config.world, config.planning, config.baseline)
        if arm not in ("vn", "soft"):
            assert found.model.predictor_widths == plain.predictor_widths
    assert made["canonical"].model.frame == config.world.frame


def test_the_presets_are_the_arms():
    """What is named in `presets/` is what the study trains."""
    for preset, ending in (("vn-2d-forward", "2d-forward"), ("vn-2d", "2d"), ("vn-3d", "3d")):
        for arm in ("augmented", "canonical", "soft"):
            ours, named = arm_of(load(preset), arm), load(f"{arm}-{ending}")
            assert (ours.model, ours.training) == (named.model, named.training), f"{arm}-{ending}"


def test_arms_of_a_preset_with_relative_positions_have_them_too():
    """Of a preset in SE(2): the presets of the arena, which differ from its ordinary network in one thing each."""
    config, ordinary = load("vn-2d-arena"), load("mlp-2d-arena")
    for arm, preset, section, differ in (
        ("plain", "mlp-2d-arena", "model", set()),
        ("augmented", "augmented-2d-arena", "training", {"augment"}),
        ("canonical", "canonical-2d-arena", "model", {"predictor", "frame"}),
    ):
        made, named = arm_of(config, arm), load(preset)
        assert (made.world, made.model, made.training, made.planning) == (
            named.world,
            named.model,
            named.training,
            named.planning,
        )
        theirs, own = ordinary.as_dict(), named.as_dict()
        assert {key for key in own[section] if own[section][key] != theirs[section][key]} == differ
        others = {"world", "model", "training", "planning"} - {section}
        assert all(own[each] == theirs[each] for each in others)
        build_model(made.model, PushT.observation_rep, PushT.action_rep, seed=0)
    assert [arm_of(config, arm) for arm in ("canonical-se", "frame", "soft")] == [None] * 3
    assert plain_model(load("vn-table")).normalise


def test_equal_time_is_as_many_epochs_as_cost_the_same():
    config = load("vn-2d")
    plain = in_equal_time(arm_of(config, "plain"), "plain", 2)
    assert plain.training.epochs == round(160 / 2.61)
    assert in_equal_time(load("vn-2d-forward"), "plain", 2) is None  # it costs about the same
    assert in_equal_time(load("vn-ring"), "unknown", 2) is None


def test_cells_and_what_may_be_asked_for():
    cells = KIND.cells(PUSHT)
    assert [cell.params["arm"] for cell in cells if cell.params["budget"] == "epochs"] == list(ARMS)
    assert all(cell.params["config"]["training"]["epochs"] <= 6 for cell in cells)
    by_name = resolve_scope(KIND, world="vn-ring-clear", seeds=2)  # a preset in the place of a world
    assert (by_name.preset, by_name.world, by_name.dims) == ("vn-ring-clear", "ring", (2,))
    assert study_name(KIND, by_name) == "ablate-architecture-vn-ring-clear"
    with pytest.raises(ConfigError, match="cannot run on 'mars'"):
        resolve_scope(KIND, world="mars")


def measured(arm: str, **training: int) -> ArchitectureRow:
    cell = next(cell for cell in KIND.cells(PUSHT) if cell.params["arm"] == arm)
    params = json.loads(json.dumps(dict(cell.params))) | {"test": 100, "tasks": 1}
    params["config"]["training"] |= {"transitions": 128, "batch": 64, "epochs": 2, **training}
    params["config"]["planning"] |= {"horizon": 4, "samples": 16, "iterations": 2, "elites": 4, "steps": 6}
    (row,) = read_rows(ArchitectureRow, KIND.compute(params)["rows"])
    return row


def test_rows_of_exact_arms_are_flat_in_error_and_in_control_and_others_are_not():
    rows = {arm: measured(arm) for arm in ("vn", "plain", "canonical", "canonical-se", "frame", "soft")}
    for arm in ("vn", "canonical", "canonical-se", "frame"):
        assert rows[arm].ood_factor == pytest.approx(1.0, abs=1e-4)
        assert rows[arm].paired_max_deg <= 1e-6
        errors = rows[arm].readouts["block_position"]
        assert errors.seen == pytest.approx(errors.ood, rel=1e-3)
    for arm in ("plain", "soft"):
        assert rows[arm].relative_residual > 1e-3
        assert rows[arm].paired_max_deg > 1e-6
    assert math.isnan(rows["vn"].certainty_least)
    for arm in ("canonical", "canonical-se"):
        assert rows[arm].certainty_least > 1.0  # the block's direction has norm 1
        assert rows[arm].frame_turn_deg < 2.0


def row(arm: str, seed: int, *, unseen: float, factor: float = 1.0, solved: float = 1.0) -> ArchitectureRow:
    return ArchitectureRow(
        arm=arm,
        cell="budget=epochs",
        dim=2,
        seed=seed,
        parameters=10,
        budget="epochs",
        epochs=6,
        seen_relmse=unseen / factor,
        ood_relmse=unseen,
        ood_factor=factor,
        relative_residual=1e-7,
        readouts={"block": ReadoutErrors(seen=unseen / factor, ood=unseen, action=math.nan)},
        final_unseen=solved,
    )


def test_the_answer_may_be_no():
    """A canonical network that is as good and solves as much: it is not shown that the architecture is needed."""
    rows = [
        each
        for seed in (0, 1)
        for each in (
            row("vn", seed, unseen=0.01),
            row("plain", seed, unseen=1.0, factor=50.0, solved=0.1),
            row("augmented", seed, unseen=0.03, solved=0.5),
            row("canonical", seed, unseen=0.008),
            row("frame", seed, unseen=0.02, solved=0.9),
        )
    ]
    found = decided(KIND, PUSHT, rows, whole=True)
    holds = {(each.setting, each.quantity): each.holds for each in found}
    error = "its unseen error over the preset's"
    assert holds[f"needed beside {ARMS['augmented']}, 2D", error] is True
    assert holds[f"needed beside {ARMS['canonical']}, 2D", error] is False
    assert [each.holds for each in found if "canonical" in each.setting or "one frame" in each.setting] == [
        False,
        False,
    ]


def test_a_network_that_there_is_not_decides_nothing():
    """A table's state is no set of vectors alone, so that there is no average over frames: open, and not a NO."""
    rows = [row("vn", 0, unseen=0.01), row("plain", 0, unseen=1.0, factor=50.0), row("augmented", 0, unseen=0.03)]
    found = decided(KIND, PUSHT, rows, whole=True)
    assert [each.holds for each in found if "frame" in each.setting] == [None] * 4
    assert [each.holds for each in found if "augmented" in each.setting] == [True, False]
    without = [replace(each, final_unseen=math.nan) for each in rows]  # a world in which nothing is to be reached
    found = decided(KIND, PUSHT, without, whole=True)
    assert [each.holds for each in found if "augmented" in each.setting] == [True, None]


@pytest.mark.parametrize("arm", ["canonical", "frame"])
def test_arms_of_a_world_with_scalars(arm):
    """SE(2) about the vertical: one frame is the heading of the T's stem; principal axes are none."""
    pytest.importorskip("mujoco")
    scope = resolve_scope(KIND, world="vn-table", seeds=1, quick=True)
    cell = next(cell for cell in KIND.cells(scope) if cell.params["arm"] == arm)
    params = json.loads(json.dumps(dict(cell.params))) | {"test": 60, "tasks": 1}
    params["config"]["training"] |= {"transitions": 64, "batch": 64, "epochs": 1}
    params["config"]["planning"] |= {"horizon": 2, "samples": 8, "iterations": 1, "elites": 2, "steps": 2}
    found = KIND.compute(params)
    if arm == "frame":
        assert found["rows"] == []
        assert "no such network of this world" in found["failed"][0]
        return
    (made,) = read_rows(ArchitectureRow, found["rows"])
    assert made.ood_factor == pytest.approx(1.0, abs=1e-4)
    assert made.paired_max_deg <= 1e-6
    assert made.frame_off_deg <= 1e-4
    assert made.certainty_least > 0.0


def test_tables_and_figure(tmp_path):
    rows = [row(arm, seed, unseen=0.1) for arm in ("vn", "canonical") for seed in (0, 1)]
    rows[2:] = [replace(each, certainty_least=0.5, frame_turn_deg=3.0) for each in rows[2:]]
    data = StudyRows("study", "pusht", (2,), rows)
    tables = KIND.tables(data)
    assert [len(table.rows) for table in tables] == [2, 2, 1]
    assert KIND.figure(data, tmp_path).exists()
    assert (tmp_path / "ablate_architecture.csv").exists()
    assert architecture.tables(StudyRows("study", "pusht", (2,), [])) != []


@pytest.mark.parametrize("factor", [1.4, 300.0])
def test_no_words_of_the_figure_cover_one_another(tmp_path, monkeypatch, factor):
    """Seven classes with long names; numbers of an axis of less than a decade, and of several."""
    overlaps, names = [], []

    def looked_at(figure, *_):
        figure.draw_without_rendering()
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            words = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]
            boxes = [text.get_window_extent() for text in words if text.get_visible()]
            overlaps.extend(pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1]))
        names.extend(text.get_text() for text in figure.axes[0].get_yticklabels())

    monkeypatch.setattr(classes, "save", looked_at)
    rows = [row(arm, 0, unseen=0.1 * (1 if arm == "vn" else factor), factor=factor) for arm in ARMS]
    KIND.figure(StudyRows("study", "pusht", (2,), rows), tmp_path)
    assert names == list(ARMS.values())
    assert overlaps == []
