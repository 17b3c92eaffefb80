"""Causes in the motions: which of them break it, about which axis, component by component."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from equiwm.audit.causes.experiments import FEW, Experiments
from equiwm.audit.preflight import Finding
from equiwm.symmetry.elements import rotations
from equiwm.symmetry.finite import FiniteGroup


def _apart(tried: Experiments, names: set[str]) -> dict[str, bool]:
    """Whether it holds under each kind of motion alone."""
    sigma = tried.state.runner.reach(tried.probe.samples)
    cosets = tried.probe.acting.cosets(FEW, tried.seed + 3, sigma=sigma)
    return {name: tried.holds(tried.again(part), names) for name, part in cosets.items()}


def one_motion(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Reflections or translations alone break it."""
    apart = _apart(tried, names)
    broken = [name for name, held in apart.items() if not held]
    if len(apart) < 2 or len(broken) != 1:
        return
    if broken == ["reflection"]:
        yield Finding("parity", "Reflections alone break it: it tells left from right (a 0o or 1e?).")
    elif broken == ["translation"]:
        yield Finding("absolute positions", "Translations alone break it: it sees where the origin is.")
    elif broken == ["permutation"]:
        yield Finding("the order of items", "Permutations alone break it: it sees which item stands where.")


def some_motions(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Which motions break it, where only some do."""
    apart = _apart(tried, names)
    broken, fine = [name for name, held in apart.items() if not held], [name for name, held in apart.items() if held]
    if broken and fine:
        yield Finding("some motions", f"{' and '.join(broken)} break it; {' and '.join(fine)} alone does not.")


def lab_axis(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """An axis of the laboratory: it is exact under rotations about that one alone."""
    if tried.probe.d != 3 or not bool(tried.probe.acting.contains(rotations(37.0, 3, "z"))):
        return
    angles = [23.0, 77.0, 141.0, 205.0, 311.0]
    held = {axis: tried.holds(tried.again(rotations(angles, 3, axis)), names) for axis in "xyz"}
    fine = [axis for axis, good in held.items() if good]
    if len(fine) == 1:
        yield Finding(
            "an axis of the laboratory",
            f"Rotations about {fine[0]} leave it exact, about the other axes they break it: {fine[0]} is singled out.",
        )


def by_component(tried: Experiments, names: set[str]) -> Iterator[Finding]:
    """Something done to x, y and z one by one: it is exact where axes only change places."""
    if tried.probe.d == 3:
        cycle = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
        quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
        group = FiniteGroup.generated_by(cycle[None], name="axes exchanged")
    else:
        quarter = torch.tensor([[0.0, -1], [1, 0]], dtype=torch.float64)
        group = FiniteGroup.generated_by(quarter[None], name="quarter turns")
    if not bool(tried.probe.acting.contains(group.generators.discrete).all()):
        return
    if not tried.holds(tried.again(group.sample(FEW, 0)), names):
        return
    signs = tried.holds(
        tried.again(FiniteGroup.generated_by(quarter[None], name="quarter turns").sample(FEW, 0)), names
    )
    what = "exchanging axes with their signs" if signs else "exchanging axes"
    yield Finding(
        "component by component",
        f"It is exact under {what}, not under other rotations: something acts on the components one by one (a "
        "nonlinearity, a bias, a clamp, a normalisation, a difference along the axes).",
    )
