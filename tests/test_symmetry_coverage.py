"""What training has seen: membership, draws, complements, and what is left of it when it is moved."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.errors import GroupError
from equiwm.symmetry.coverage import Arc, Ball, Coverage, Shell, Whole, proper
from equiwm.symmetry.groups import E3, O2, O3, SE3, SO2, SO3

SETTINGS = settings(deadline=None, max_examples=40)
COVERAGES = [
    Arc(0.0, 90.0),
    Arc(-30.0, 200.0),
    Arc(137.0, 227.0, d=3),
    Arc(0.0, 40.0, d=3, axis="x"),
    Ball(60.0),
    Ball(20.0, d=2),
    Shell(30.0, 120.0),
]
every = pytest.mark.parametrize("coverage", COVERAGES, ids=lambda coverage: coverage.label)


@every
def test_it_contains_what_it_draws_and_its_complement_does_not(coverage):
    drawn, other = coverage.sample(300, 0), coverage.complement.sample(300, 0)
    assert coverage.contains(drawn).all()
    assert coverage.complement.contains(other).all()
    assert not coverage.contains(other).any()
    assert not coverage.complement.contains(drawn).any()
    assert coverage.label != coverage.complement.label
    assert torch.equal(coverage.sample(5, 3).linear, coverage.sample(5, 3).linear)


@every
def test_the_complement_of_the_complement(coverage):
    back = coverage.complement.complement
    haar = Whole(coverage.d).sample(300, 1)
    assert torch.equal(back.contains(haar), coverage.contains(haar))
    assert torch.equal(coverage.contains(haar), ~coverage.complement.contains(haar))


@every
def test_overlap_and_angle_agree_with_draws(coverage):
    """The closed forms of the box against the definition: turn draws, and see how many lie inside."""
    group = SO2 if coverage.d == 2 else SO3
    elements = [*group.sample(12, 0), *(group.rotation(angle) for angle in (0.0, 10.0, -85.0, 180.0))]
    for g in elements if coverage.d == 2 else [*elements, group.rotation(30.0, "x")]:
        naive, closed = Coverage.overlap(coverage, g), coverage.overlap(g)
        assert (naive == closed) or (naive, closed) == ("none", "partial")  # a sliver that no draw hits


def test_overlap_of_arcs_and_balls():
    arc = Arc(0.0, 90.0)
    assert [arc.overlap(SO2.rotation(a)) for a in (0.0, 89.0, 90.0, 270.0, 271.0)] == [
        "full", "partial", "none", "none", "partial"
    ]  # fmt: skip
    assert Arc(0.0, 360.0).overlap(SO2.rotation(77.0)) == "full"
    assert Ball(180.0).overlap(SO3.sample(1, 0)[0]) == "full"
    assert [Ball(60.0).overlap(SO3.rotation(a, "y")) for a in (0.0, 119.0, 120.0)] == ["full", "partial", "none"]
    upright = Arc(0.0, 90.0, d=3)
    assert upright.overlap(SO3.rotation(30.0)) == "partial"
    assert upright.overlap(SO3.rotation(30.0, "x")) == "none"


def test_reflections_and_translations_are_never_seen():
    for coverage in (Arc(0.0, 360.0, d=3), Ball(180.0), Whole(3)):
        moved = SE3.sample(4, 0)
        assert not coverage.contains(moved).any()
        assert {coverage.overlap(g) for g in moved} == {"none"}
        mirrored = O3.sample(20, 0)
        assert torch.equal(
            coverage.contains(mirrored), coverage.contains(proper(mirrored)) & (mirrored.determinant > 0)
        )
        assert {coverage.overlap(g) for g in mirrored[mirrored.determinant < 0]} == {"none"}
    mirrored = O2.sample(20, 0)
    assert not Whole(2).contains(mirrored[mirrored.determinant < 0]).any()


def test_angle_from_the_coverage():
    upright = Arc(0.0, 90.0, d=3)
    assert upright.distance_deg(SO3.rotation(30.0)) == pytest.approx(0.0, abs=1e-6)
    assert upright.distance_deg(SO3.rotation(180.0)) == pytest.approx(135.0, abs=1e-6)
    assert upright.distance_deg(SO3.rotation(90.0, "x")) == pytest.approx(90.0, abs=1e-3)
    assert Arc(0.0, 90.0).distance_deg(SO2.rotation(225.0)) == pytest.approx(90.0, abs=1e-6)
    assert Ball(60.0).distance_deg(SO3.rotation(100.0)) == pytest.approx(40.0)
    assert Ball(60.0).distance_deg(SO3.rotation(10.0)) == 0.0
    assert Whole(3).distance_deg(E3.sample(1, 0)[0]) == 0.0


@SETTINGS
@given(st.integers(0, 2**32 - 1), st.floats(-360, 360), st.floats(1, 359))
def test_arcs_of_any_place(seed, low, width):
    arc = Arc(low, low + width)
    assert arc.contains(arc.sample(50, seed)).all()
    assert not arc.contains(arc.complement.sample(50, seed)[1:]).all()
    assert arc.distance_deg(SO2.identity()) == pytest.approx(0.0, abs=1e-5)


@dataclass(frozen=True)
class TwoArcs(Coverage):
    """Two wedges: what a user's own needs."""

    d = 2
    label = "two wedges"  # type: ignore[assignment]

    def contains(self, g):
        return Arc(0.0, 30.0).contains(g) | Arc(180.0, 210.0).contains(g)

    def sample(self, n, seed):
        half = SO2.rotation(180.0)
        drawn = Arc(0.0, 30.0).sample(n, seed)
        return type(drawn).cat([drawn[::2], (half @ drawn[1::2])])


def test_a_users_own_has_its_overlap_by_draws():
    mine = TwoArcs()
    words = [mine.overlap(SO2.rotation(angle)) for angle in (0.0, 180.0, 15.0, 90.0)]
    assert words == ["full", "full", "partial", "none"]
    assert mine.distance_deg(SO2.identity()) == pytest.approx(0.0, abs=0.5)
    other = mine.complement.sample(200, 0)
    assert len(other) == 200
    assert not mine.contains(other).any()
    bins = SO2.bins(12, 0, mine)
    assert bins[6].overlap == "full"
    assert [entry.label for entry in bins if entry.overlap != "none"] == ["0", "180"]


def test_refusals():
    for low, high in ((10.0, 10.0), (20.0, 10.0), (0.0, 361.0)):
        with pytest.raises(GroupError, match="wedge"):
            Arc(low, high)
    for inner, outer in ((10.0, 10.0), (-1.0, 10.0), (0.0, 181.0)):
        with pytest.raises(GroupError, match="ball"):
            Shell(inner, outer)
    with pytest.raises(GroupError, match="ball"):
        Ball(0.0)
    for whole in (Arc(0.0, 360.0), Ball(180.0), Whole(2)):
        with pytest.raises(GroupError, match="nothing is unseen"):
            _ = whole.complement
    with pytest.raises(GroupError, match="nothing is unseen"):
        type(Arc(0.0, 1.0, d=3).complement)(Whole(3)).sample(3, 0)
    with pytest.raises(GroupError, match="d = 2; got elements of d = 3"):
        Arc(0.0, 90.0).contains(SO3.sample(2, 0))
    with pytest.raises(GroupError, match="x, y or z"):
        Arc(0.0, 90.0, d=3, axis="w")
