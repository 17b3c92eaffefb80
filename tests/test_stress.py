"""`equiwm audit --stress`: what samples do not reach is found, and an exact network is not called broken there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from zoo.case import drawn
from zoo.rare import forces

from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult
from equiwm.cli.main import run

RIGHT, WRONG = ("exact", "precision-limited"), ("approximate", "broken")


def said(probe: Probe) -> tuple[AuditResult, dict[str, str]]:
    """Under stress, and the verdict on every kind."""
    assert audit(probe, elements=16).verdict == "exact"  # at the samples
    result = audit(probe, elements=16, stress=True)
    return result, {each.name: each.verdict for each in result.stress}


# What is found with it alone


def capped(cap: int, r: float):
    """The first neighbours in the order of x, as a cell list keeps them."""

    def field(p: Tensor) -> Tensor:
        order = p[..., 0].argsort(1)
        q = torch.gather(p, 1, order[..., None].expand_as(p))
        offset = q[:, :, None] - q[:, None]
        near = (offset.norm(dim=-1) < r) & ~torch.eye(p.shape[1], dtype=torch.bool)
        near = near & (near.cumsum(2) <= cap)
        found = (offset * (near / (1 + offset.square().sum(-1)))[..., None]).sum(2)
        return torch.empty_like(found).scatter_(1, order[..., None].expand_as(found), found)

    return field


def test_a_cap_on_neighbours_where_points_are_dense():
    probe = Probe(capped(8, 0.7), drawn(16, 12, 3, dtype=torch.float32), "so3", "12xp", "12x1o")
    result, verdicts = said(probe)
    assert (result.verdict, verdicts["dense"]) == ("broken", "broken")
    assert "at the samples it is exact, at inputs" in result.sentence


def test_a_cap_on_neighbours_where_there_are_more_points():
    probe = Probe(
        lambda p: capped(32, 2.0)(p[None])[0], [drawn(10, 3, dtype=torch.float64, seed=k) for k in range(4)], "so3",
        "p", "1o",
    )  # fmt: skip
    result, verdicts = said(probe)
    assert (result.verdict, verdicts["crowded"]) == ("broken", "broken")


def test_a_formula_that_is_singular_on_an_axis_of_the_laboratory():
    def model(v: Tensor) -> Tensor:
        """Longitudes and latitudes, there and back."""
        r, xy = v.norm(dim=-1), v[..., :2].norm(dim=-1)
        cos, sin, up = v[..., 0] / xy, v[..., 1] / xy, v[..., 2] / r
        return r[..., None] * torch.stack([xy / r * cos, xy / r * sin, up], -1)

    result, verdicts = said(Probe(model, drawn(24, 4, 3, dtype=torch.float64), "so3", "4x1o", "4x1o"))
    assert result.verdict == "broken"
    assert verdicts["on an axis"] == "broken"
    assert verdicts["in a plane"] == verdicts["on a line"] == "exact"
    text = next(each.text for each in result.stress if each.name == "on an axis")
    assert "NaN or infinite" in text
    assert "axis of the laboratory" in text


@pytest.mark.parametrize("eps", [1e-10, pytest.param(1e-12, marks=pytest.mark.slow)])
def test_a_whitening_whose_regulariser_knows_the_axes(eps):
    """On clouds of all directions it is hidden by what it regularises."""

    def whitened(v: Tensor) -> Tensor:
        v = v - v.mean(1, keepdim=True)
        axes = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=v.dtype))
        values, frame = torch.linalg.eigh(v.mT @ v / v.shape[1] + eps * axes)
        return (
            v @ (frame * values.clamp(min=eps).rsqrt()[:, None]) @ frame.mT
            + axes.diagonal() * eps / (eps + values.amin(1))[:, None, None]
        )

    probe = Probe(whitened, drawn(32, 12, 3, dtype=torch.float64), "so3", "12x1o", "12x1o")
    assert audit(probe, elements=16).verdict in (*RIGHT, "approximate")
    result = audit(probe, elements=16, stress=True)
    verdicts = {each.name: each.verdict for each in result.stress}
    assert result.verdict == "broken"
    assert verdicts["in a plane"] == "broken"


# What is exact stays so


def directions(p: Tensor) -> Tensor:
    """Unit vectors between neighbours; 0 / 0 where two points are one."""
    offset = p - p.roll(1, 1)
    return offset / offset.norm(dim=-1, keepdim=True)


def main_axis(p: Tensor) -> Tensor:
    """The axis along which a cloud is longest, away from its longest point's opposite side."""
    centred = p - p.mean(1, keepdim=True)
    axis = torch.linalg.eigh(centred.mT @ centred)[1][..., -1]
    return axis * (centred @ axis[..., None]).pow(3).sum(1).sign()


@pytest.mark.parametrize(
    ("model", "gives", "kind", "verdict"),
    [
        (forces, "6x1o", "zero", "exact"),
        (forces, "6x1o", "on a lattice", "exact"),
        (lambda p: torch.cdist(p, p).flatten(1), "36x0e", "duplicated", "exact"),
        (directions, "6x1o", "duplicated", "not finite"),
        (main_axis, "1o", "zero", "unstable"),
    ],
    ids=["forces at zero", "forces on a lattice", "distances", "directions", "an axis"],
)
def test_exact_networks_are_not_broken_where_inputs_are_degenerate(model, gives, kind, verdict):
    result, verdicts = said(Probe(model, drawn(24, 6, 3, dtype=torch.float64), "se3", "6xp", gives))
    assert result.verdict == "exact", result.stress
    assert not set(WRONG) & set(verdicts.values()), result.stress
    assert verdicts[kind] == verdict


def test_nan_is_named():
    result, _ = said(Probe(directions, drawn(24, 6, 3, dtype=torch.float32), "se3", "6xp", "6x1o"))
    (row,) = [each for each in result.stress if each.name == "duplicated"]
    assert "NaN or infinite at 24 of 24 samples" in row.text


def test_a_model_that_raises_under_stress_is_not_judged():
    def model(p: Tensor) -> Tensor:
        if bool((p.norm(dim=-1) > 50).any()):
            raise ValueError("too far")
        return forces(p)

    result, verdicts = said(Probe(model, drawn(24, 4, 3, dtype=torch.float32), "se3", "4xp", "4x1o"))
    assert (result.verdict, verdicts["far away"]) == ("exact", "not judged")


def test_inputs_without_points_or_vectors_have_no_stress():
    probe = Probe(lambda x: x, drawn(16, 5, dtype=torch.float32), "s5", "perm5", "perm5")
    assert audit(probe, elements=8, stress=True).stress == []


# What the inputs span


def test_findings_say_what_the_inputs_span():
    points = drawn(24, 6, 3, dtype=torch.float64)
    points[:, 3:] = points[:, :3] * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)  # left and right agree

    def handed(p: Tensor) -> Tensor:
        return (p - p.mean(1, keepdim=True)).norm(dim=-1)[:, :2]

    result = audit(Probe(handed, points, "o3", "6xp", "2x0e"), elements=16)
    assert "mirror images" in {each.name for each in result.findings}
    assert "mirror images" not in {
        each.name
        for each in audit(
            Probe(handed, drawn(24, 6, 3, dtype=torch.float64), "o3", "6xp", "2x0e"), elements=16
        ).findings
    }
    vectors = drawn(24, 4, 3, dtype=torch.float64)
    vectors[3, 1] = 0
    found = audit(Probe(lambda v: v, vectors, "o3", "4x1o", "4x1o"), elements=8).findings
    assert [each.text for each in found] == ["1 of 96 vectors in it of the inputs are zero."]


def test_a_mirror_of_the_samples_hides_nothing():
    """Each cloud is its own mirror image: what tells left from right is zero there, and at moved inputs it is not."""
    points = drawn(24, 6, 3, dtype=torch.float64)
    points[:, 3:] = points[:, :3] * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)

    def model(p: Tensor) -> Tensor:
        """A triple product of moments: a pseudoscalar."""
        q = p - p.mean(1, keepdim=True)
        n = q.norm(dim=-1, keepdim=True)
        a, b, c = ((n**k * q).sum(1) for k in (1, 2, 3))
        return (torch.linalg.cross(a, b) * c).sum(-1, keepdim=True) + n.square().sum(1)

    result = audit(Probe(model, points, "o3", "6xp", "0e"), elements=16)
    assert result.verdict in WRONG, result.sentence


PROBE = """
import torch
from equiwm import Probe

def model(v):
    return v * (v[..., :2].norm(dim=-1, keepdim=True) / v[..., :2].norm(dim=-1, keepdim=True))

probe = Probe(model, torch.randn(24, 4, 3, generator=torch.Generator().manual_seed(0)), "so3", "4x1o", "4x1o")
"""


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PROBE)
    assert run(["audit", "mine.py:probe", "--elements", "8"]) == 0
    capsys.readouterr()
    assert run(["audit", "mine.py:probe", "--elements", "8", "--stress"]) == 1
    shown = capsys.readouterr().out
    assert "| on an axis | broken |" in shown
    assert "| in a plane | exact |" in shown
    assert run(["audit", "mine.py:probe", "--elements", "8", "--stress", "--json"]) == 1
    assert {each["name"] for each in json.loads(capsys.readouterr().out)["stress"]} >= {"zero", "on a lattice"}
