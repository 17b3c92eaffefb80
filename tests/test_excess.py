"""Does a model carry more symmetry than its world? Both directions of disagreement, and agreement."""

import pytest
import torch

from equiwm.claims.sweep.excess import symmetry_excess, world_residual
from equiwm.config import load
from equiwm.loading import load_run
from equiwm.symmetry.groups import O2, SO2
from equiwm.training.run import prepare_run, train_run

SHORT = ["training.transitions=128", "training.epochs=1"]


def _excess(tmp_path, preset, assignments=()):
    run = prepare_run(load(preset, None, [*SHORT, *assignments]), tmp_path, preset, seed=0, resume=False)
    train_run(run, device=torch.device("cpu"))
    loaded = load_run(run.path, torch.float64)
    return symmetry_excess(loaded, O2, loaded.world.transitions(32, seed=3), O2.sample(8, 0))


def test_real_weights_on_the_body_x_axis_carry_a_false_reflection(tmp_path):
    excess = _excess(tmp_path, "vn-2d-paper")
    assert (excess.world_symmetric, excess.model_symmetric, excess.agree) == (False, True, False)
    assert excess.world > 1e-3
    assert excess.model < 1e-12


def test_real_weights_on_the_stem_agree_with_the_world(tmp_path):
    excess = _excess(tmp_path, "vn-2d-o2")
    assert (excess.world_symmetric, excess.model_symmetric, excess.agree) == (True, True, True)


def test_complex_weights_miss_the_reflection_of_the_stem(tmp_path):
    excess = _excess(tmp_path, "vn-2d")
    assert (excess.world_symmetric, excess.model_symmetric, excess.agree) == (True, False, False)


def test_complex_weights_on_the_body_x_axis_agree(tmp_path):
    excess = _excess(tmp_path, "vn-2d", ["world.direction=body_x"])
    assert (excess.world_symmetric, excess.model_symmetric, excess.agree) == (False, False, True)


def test_the_worlds_own_group_is_carried(tmp_path):
    run = prepare_run(load("vn-2d", None, SHORT), tmp_path, "run", seed=0, resume=False)
    train_run(run, device=torch.device("cpu"))
    loaded = load_run(run.path, torch.float64)
    data = loaded.world.transitions(32, seed=3)
    assert world_residual(loaded.world, data, SO2.sample(8, 0)) == pytest.approx(0.0, abs=1e-9)
