"""Bins of a sweep: what they turn, and how much of them training has seen."""

import numpy as np
import pytest
import torch

from equiwm.claims.bins import angle_from_wedge, orbit_bins
from equiwm.symmetry.groups import GROUPS, O2, O3, SE3, SO2, SO3

WEDGE = (0.0, 90.0)


@pytest.mark.parametrize("group", GROUPS.values(), ids=str)
def test_the_identity_comes_first_and_alone_is_seen(group):
    bins = orbit_bins(group, 6, 0, WEDGE)
    assert [entry.seen for entry in bins].count("true") == 1
    assert bins[0].seen == "true"
    assert torch.equal(bins[0].element.linear, torch.eye(group.d, dtype=torch.float64))
    assert not bins[0].element.translation.any()
    assert len({entry.label for entry in bins}) == len(bins)


def test_planar_bins_are_partial_exactly_where_turned_scenes_meet_the_wedge():
    for entry in orbit_bins(SO2, 36, 0, WEDGE)[1:]:
        turned = (np.linspace(0, 90, 1801)[:-1] + float(entry.label)) % 360
        assert (entry.seen == "partial") == bool((turned < 90).any()), entry.label


def test_a_full_circle_leaves_nothing_unseen():
    assert {entry.seen for entry in orbit_bins(SO2, 12, 0, (0.0, 360.0))[1:]} == {"partial"}


def test_mirrored_bins_reflect_and_are_unseen():
    bins = orbit_bins(O2, 8, 0, WEDGE)
    mirrored = [entry for entry in bins if entry.part == "reflection"]
    assert len(bins) == 16
    assert len(mirrored) == 8
    assert all(entry.seen == "false" and float(entry.element.determinant) == -1.0 for entry in mirrored)


def test_space_has_the_papers_named_bins():
    bins = {entry.label: entry for entry in orbit_bins(SO3, 4, 0, WEDGE)}
    assert [bins[name].seen for name in ("identity", "z45", "z180", "x90", "y90", "random 1")] == [
        "true", "partial", "false", "false", "false", "false"
    ]  # fmt: skip
    east, up = torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 0, 1.0]).double()
    assert torch.allclose(bins["x90"].element.linear @ up, torch.tensor([0, -1.0, 0]).double(), atol=1e-12)
    assert torch.allclose(bins["z180"].element.linear @ east, -east, atol=1e-12)
    assert sum(entry.part == "reflection" for entry in orbit_bins(O3, 64, 0, WEDGE)) > 16


def test_the_ladder_takes_translation_and_rotation_apart():
    bins = orbit_bins(SE3, 3, 0, WEDGE)
    assert [entry.part for entry in bins[1:]] == ["translation", "translation", "rotation", *["both"] * 5]
    assert bins[1].element.translation.tolist() == [2.0, -1.5, 1.0]
    assert bins[2].element.translation.tolist() == [10.0, -8.0, 6.0]
    assert torch.equal(bins[3].element.linear, bins[4].element.linear)


def test_angle_from_the_wedge():
    assert angle_from_wedge(SO3.rotation(30.0), WEDGE) == pytest.approx(0.0, abs=1e-6)
    assert angle_from_wedge(SO3.rotation(180.0), WEDGE) == pytest.approx(135.0, abs=1e-6)
    assert angle_from_wedge(SO3.rotation(90.0, "x"), WEDGE) == pytest.approx(90.0, abs=1e-3)
    assert angle_from_wedge(SO2.rotation(225.0), WEDGE) == pytest.approx(90.0, abs=1e-6)


def test_random_bins_come_from_the_seed():
    first, again, other = (orbit_bins(SO3, 4, seed, WEDGE)[-1].element.linear for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_named_bins_follow_the_width_of_the_wedge():
    seen = {width: {b.label: b.seen for b in orbit_bins(SO3, 1, 0, (0.0, width))} for width in (30.0, 90.0, 270.0)}
    assert [seen[width]["z45"] for width in seen] == ["false", "partial", "partial"]
    assert [seen[width]["z180"] for width in seen] == ["false", "false", "partial"]
