"""Bins of a sweep: what they turn, and how much of them training has seen."""

import numpy as np
import pytest
import torch

from equiwm.symmetry.bins import part_of
from equiwm.symmetry.coverage import Arc, Ball, Whole
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import GROUPS, O2, O3, SE3, SO2, SO3

NAMES = [*GROUPS, "so2z", "o2x", "se2z", "c5", "d4", "c5z", "d3y", "mirrorx", "mirrory2", "oct", "octh", "so3*s4", "s4"]


def wedge(d: int, low: float = 0.0, high: float = 90.0) -> Arc:
    return Arc(low, high, d or 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_identity_comes_first_and_alone_is_whole(name):
    group = Group.parse(name)
    bins = group.bins(6, 0, wedge(group.d))
    assert [entry.overlap for entry in bins].count("full") == 1
    assert bins[0].overlap == "full"
    assert torch.equal(bins[0].element.linear, torch.eye(group.d, dtype=torch.float64))
    assert not bins[0].element.translation.any()
    assert not bins[0].drawn
    assert len({entry.label for entry in bins}) == len(bins)
    assert all(bool(group.contains(entry.element)) for entry in bins)
    assert sum(entry.drawn for entry in bins) == (6 if group.draws else 0)


def test_the_bins_of_a_finite_group_are_its_elements():
    for name, order in {"c5z": 5, "d4": 8, "octh": 48, "mirrorz": 2}.items():
        group = Group.parse(name)
        assert len(group.bins(None, 0, wedge(group.d))) == order
    labels = {entry.label: entry for entry in Group.parse("oct").bins(None, 0, wedge(3))}
    assert {"identity", "90 about (0,0,1)", "120 about (1,1,1)", "180 about (1,1,0)"} <= set(labels)
    assert labels["90 about (0,0,1)"].overlap == "none"
    assert labels["120 about (1,1,1)"].from_wedge_deg > 30


def test_how_many_there_are_unless_it_is_said():
    assert len(SO2.bins(None, 0, wedge(2))) == 36
    assert len(SO3.bins(None, 0, wedge(3))) == 5 + 64
    assert len(Group.parse("so2z").bins(None, 0, wedge(3))) == 36


def test_about_an_axis_the_bins_are_those_of_the_plane():
    plane, upright = (Group.parse(name).bins(12, 0, wedge(d)) for name, d in (("o2", 2), ("o2z", 3)))
    assert [entry.label for entry in plane] == [entry.label for entry in upright]
    assert [entry.overlap for entry in plane] == [entry.overlap for entry in upright]
    assert [entry.part for entry in plane] == [entry.part for entry in upright]


def test_planar_bins_are_partial_exactly_where_turned_scenes_meet_the_wedge():
    for entry in SO2.bins(36, 0, wedge(2))[1:]:
        turned = (np.linspace(0, 90, 1801)[:-1] + float(entry.label)) % 360
        assert (entry.overlap == "partial") == bool((turned < 90).any()), entry.label


def test_a_full_circle_leaves_nothing_unseen():
    for coverage in (Arc(0.0, 360.0), Whole(2)):
        bins = O2.bins(12, 0, coverage)
        assert {entry.overlap for entry in bins[:12]} == {"full"}
        assert {entry.overlap for entry in bins[12:]} == {"none"}


def test_mirrored_bins_reflect_and_are_unseen():
    bins = O2.bins(8, 0, wedge(2))
    mirrored = [entry for entry in bins if entry.part == "reflection"]
    assert len(bins) == 16
    assert len(mirrored) == 8
    assert all(entry.overlap == "none" and float(entry.element.determinant) == -1.0 for entry in mirrored)


def test_space_has_the_papers_named_bins():
    bins = {entry.label: entry for entry in SO3.bins(4, 0, wedge(3))}
    assert [bins[name].overlap for name in ("identity", "z45", "z180", "x90", "y90", "random 1")] == [
        "full", "partial", "none", "none", "none", "none"
    ]  # fmt: skip
    assert [bins[name].drawn for name in ("identity", "y90", "random 1")] == [False, False, True]
    east, up = torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 0, 1.0]).double()
    assert torch.allclose(bins["x90"].element.linear @ up, torch.tensor([0, -1.0, 0]).double(), atol=1e-12)
    assert torch.allclose(bins["z180"].element.linear @ east, -east, atol=1e-12)
    assert sum(entry.part == "reflection" for entry in O3.bins(64, 0, wedge(3))) > 16


def test_the_ladder_takes_translation_and_rotation_apart():
    bins = SE3.bins(3, 0, wedge(3))
    assert [entry.part for entry in bins[1:]] == ["translation", "translation", "rotation", *["both"] * 5]
    assert bins[1].element.translation.tolist() == [2.0, -1.5, 1.0]
    assert bins[2].element.translation.tolist() == [10.0, -8.0, 6.0]
    assert torch.equal(bins[3].element.linear, bins[4].element.linear)
    flat = Group.parse("se2z").bins(3, 0, wedge(3))
    assert flat[1].element.translation.tolist() == [2.0, -1.5, 0.0]
    assert all(float(entry.element.translation[2]) == 0.0 for entry in flat)


def test_a_scene_that_is_moved_has_not_been_seen():
    """Also where it is turned within the wedge at once, or its items are exchanged."""
    overlaps = {entry.label: entry.overlap for entry in SE3.bins(1, 0, wedge(3))}
    assert overlaps["small translation"] == "none"
    assert {entry.overlap for entry in Group.parse("s4").bins(4, 0, Whole(3))[1:]} <= {"none", "full"}
    for entry in Group.parse("s4").bins(4, 0, Whole(3)):
        assert (entry.overlap == "none") == (part_of(entry.element) == "permutation")


def test_random_bins_come_from_the_seed():
    first, again, other = (SO3.bins(4, seed, wedge(3))[-1].element.linear for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_named_bins_follow_the_width_of_the_wedge():
    seen = {w: {b.label: b.overlap for b in SO3.bins(1, 0, wedge(3, 0.0, w))} for w in (30.0, 90.0, 270.0)}
    assert [seen[width]["z45"] for width in seen] == ["none", "partial", "partial"]
    assert [seen[width]["z180"] for width in seen] == ["none", "none", "partial"]


def test_bins_of_a_ball():
    bins = {entry.label: entry for entry in SO3.bins(8, 0, Ball(60.0))}
    words = {label: bins[label].overlap for label in ("identity", "z45", "z180", "x90")}
    assert words == {"identity": "full", "z45": "partial", "z180": "none", "x90": "partial"}
    assert bins["x90"].from_wedge_deg == pytest.approx(30.0)
    for entry in bins.values():
        if entry.drawn:
            assert entry.overlap == ("none" if float(entry.element.angle_deg) >= 120.0 else "partial")
    # At a right angle the half turns alone are unseen, as many as there are, and mirrored scenes all are.
    wide = {entry.label: entry for entry in O3.bins(16, 0, Ball(90.0))}
    assert wide.pop("z180").overlap == "none"
    assert all((entry.part == "reflection") == (entry.overlap == "none") for entry in wide.values())
