"""`ablate optimizer`: the projection on the commutant, layers inside and outside it, and the cells."""

from dataclasses import replace

import pytest
import torch
from scipy.spatial.transform import Rotation

from equiwm.claims.ablation.commutant import off_commutant, project_on_commutant, train_layer
from equiwm.claims.ablation.kind import StudyRows
from equiwm.claims.ablation.optimizer import KIND
from equiwm.claims.ablation.study import decided, resolve_scope
from equiwm.disk.strict_json import plain
from equiwm.locate import BUILT_IN
from equiwm.results.ablation import read_rows
from equiwm.symmetry.groups import SO2, SO3
from equiwm.symmetry.reps import vectors

# Finite subgroups over which a matrix averages as over the whole group: irreducible on R^3, or of order above 2 on R^2.
OCTAHEDRAL = torch.from_numpy(Rotation.create_group("O").as_matrix())
SUBGROUPS = {2: SO2.rotation([0.0, 72.0, 144.0, 216.0, 288.0]), 3: SO3.elements(OCTAHEDRAL)}


@pytest.mark.parametrize("d", [2, 3])
def test_the_projection_is_the_average_over_the_group(d):
    weight = torch.randn(3 * d, 2 * d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    into, out = vectors(2, d).matrix(SUBGROUPS[d]), vectors(3, d).matrix(SUBGROUPS[d])
    average = (out @ weight @ into.transpose(-1, -2)).mean(0)
    projected = project_on_commutant(weight, d)
    assert torch.allclose(projected, average, atol=1e-13)
    assert torch.allclose(project_on_commutant(projected, d), projected, atol=1e-15)
    assert 0.3 < off_commutant(weight, d) < 1.0


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("optimizer", BUILT_IN["optimizer"])
def test_label_noise_drives_the_dense_layer_alone_out_of_the_commutant(d, optimizer):
    distances = {}
    for name in ("vn_layer", "dense_layer"):
        layer, start = train_layer(name, optimizer, d, steps=40, seed=3)
        assert start <= 1e-15
        distances[name] = off_commutant(layer.matrix(), d)
    assert distances["vn_layer"] <= 1e-15
    assert distances["dense_layer"] > 1e-3


def test_the_layers_learn_the_target():
    """Long enough, either layer is near M x I: the noise is what is left of a dense one's distance."""
    layer, _ = train_layer("dense_layer", "sgd", 3, steps=1500, seed=0)
    assert off_commutant(layer.matrix(), 3) < 0.02


@pytest.fixture(scope="module")
def rows():
    """One seed of every layer, and the two world models of space under Adam, on a tiny training."""
    found = []
    for cell in KIND.cells(resolve_scope(KIND, dim=3, seeds=1, quick=True)):
        params = plain(dict(cell.params))
        if "config" in params:
            if params["optimizer"] != "adam":
                continue
            params["config"]["training"] |= {"transitions": 64, "batch": 32, "epochs": 20}
        else:
            params["steps"] = 20
        found += KIND.compute(params)["rows"]
    return read_rows(KIND.row, found)


def test_rows_hold_residuals_before_and_after(rows):
    vn, mlp = (next(row for row in rows if row.arm == arm) for arm in ("vn", "mlp"))
    assert 0.0 < vn.initial_residual < 1e-6
    assert 0.0 < vn.relative_residual < 1e-6
    assert vn.residual_float64 < 1e-13
    assert vn.ood_factor == pytest.approx(1.0, abs=1e-5)
    assert vn.verdict == "exact"
    assert mlp.relative_residual > 0.1
    assert mlp.verdict == "broken"
    assert next(row for row in rows if row.arm == "vn_layer").verdict is None


def test_verdicts_that_do_not_hold_are_counted(rows):
    def share(made):
        scope = resolve_scope(KIND, dim=3, seeds=1, quick=True)
        (found,) = (each for each in decided(KIND, scope, made, whole=True) if "verdicts" in each.quantity)
        return found.median, found.holds

    assert share(rows) == (1.0, True)

    def said(verdict: str):
        return share([replace(row, verdict=verdict) if row.arm == "vn" else row for row in rows])

    assert {word: said(word) for word in ("equivariant", "exact / precision-limited")} == {  # the first is 0.1's word
        "equivariant": (1.0, True),
        "exact / precision-limited": (1.0, True),
    }
    for word in ("inconclusive", "not equivariant", "vacuous", "exact / broken", "approximate"):
        assert said(word) == (0.0, False), word


def test_tables_and_figure(rows, tmp_path):
    measured = StudyRows("study", "paper", (3,), rows)
    models, layers = KIND.tables(measured)
    assert models.rows[0][:2] == ("adam", "VN")
    assert {row[0] for row in layers.rows} == set(BUILT_IN["optimizer"])
    assert "–" not in {row[2] for row in layers.rows}
    assert KIND.figure(measured, tmp_path).stat().st_size > 10_000
    assert (tmp_path / "ablate_optimizer.csv").is_file()
