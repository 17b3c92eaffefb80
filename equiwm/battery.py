"""Tests that a package inherits for its networks: one fixture, and a break that has to be seen.

from equiwm.battery import EquivarianceBattery

class TestMyNet(EquivarianceBattery):
    @pytest.fixture
    def probe(self):
        return equiwm.Probe(...)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.audit.audit import ELEMENTS, SEED, audit
from equiwm.audit.calling import cast, left_as_found, spread
from equiwm.audit.preflight import preflight
from equiwm.audit.probe import Probe
from equiwm.audit.pytree import leaves, replaced
from equiwm.audit.words import passes
from equiwm.testing import assert_equivariant

BREAK = 0.1
"""The size of the planted break, relative to the output."""


class EquivarianceBattery:
    """Tests of the network of one probe; a subclass gives the fixture `probe`.

    Attributes:
        expect: the weakest verdict that passes.
        dtypes: of the inputs that it is tried with; the weights follow them.
        elements: how many group elements.
        seed: of the elements.
    """

    expect = "precision-limited"
    dtypes: tuple[str, ...] = ("float32", "float64")
    elements = ELEMENTS
    seed = SEED

    @pytest.fixture
    def probe(self) -> Probe:
        """What is tested: the subclass's own."""
        pytest.fail(f"{type(self).__name__} has no fixture `probe` that returns an equiwm.Probe.", pytrace=False)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_is_equivariant(self, probe: Probe, dtype: str) -> None:
        """The audit passes with inputs and weights of each dtype."""
        __tracebackhide__ = True
        if dtype not in self.dtypes:
            pytest.skip(f"{type(self).__name__}.dtypes has no {dtype}")
        assert_equivariant(in_dtype(probe, dtype), expect=self.expect, elements=self.elements, seed=self.seed)

    def test_is_deterministic_and_leaves_all_as_it_was(self, probe: Probe) -> None:
        """Two calls agree; none changes the inputs, the parameters or the buffers."""
        __tracebackhide__ = True
        with left_as_found(probe.modules):
            found = preflight(probe, self.seed).findings
        wrong = [each for each in found if each.stops or each.name in ("changes its inputs", "changes itself")]
        assert not wrong, "\n".join(each.text for each in wrong)

    def test_a_planted_break_is_seen(self, probe: Probe) -> None:
        """The same network with a tenth of something that does not turn added to each output does not pass."""
        __tracebackhide__ = True
        result = audit(broken(probe, self.seed), elements=self.elements, seed=self.seed)
        told = (
            f"a break of {BREAK:g} of the output was planted and the audit of it says {result.verdict}: the inputs or "
            "the group of this probe show nothing."
        )
        assert not passes(result.verdict, self.expect), told


def in_dtype(probe: Probe, dtype: str) -> Probe:
    """The probe with its floating inputs in another dtype."""
    made = [cast(sample, getattr(torch, dtype)) for sample in probe.samples]
    return replace(probe, inputs=made if isinstance(probe.inputs, list) else made[0])


def broken(probe: Probe, seed: int) -> Probe:
    """The probe with a break planted in every output that has a rep; its model is called and otherwise left alone."""
    return replace(probe, model=Broken(probe, seed))


@dataclass(frozen=True, eq=False)
class Broken:
    """F(x) + 0.1 |F| tanh(w x) b for every output leaf: w and b are random, and turn with nothing.

    Where the first axes of input and output count the same things, w x is taken row by row, so that samples stay
    independent.

    Attributes:
        probe: whose model it is.
        seed: of w and b.
    """

    probe: Probe
    seed: int

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the model gives, moved."""
        call = self.probe.call
        sample: Any = named if call == "**" else arguments if call == "*" else arguments[0]
        given = [leaf.flat(leaves(sample)[leaf.path]) for leaf in self.probe.typed_inputs(sample)]
        made = spread(self.probe.model, sample, call)
        rng = np.random.default_rng(self.seed)
        there, new = leaves(made), {}
        for leaf in self.probe.typed_outputs(made):
            flat = leaf.flat(there[leaf.path])
            along = torch.from_numpy(rng.normal(size=leaf.rep.dim)).to(flat)
            moved = flat + BREAK * _rms(flat) * _seen(given, flat.shape[:-1], rng).to(flat) * along
            new[leaf.path] = leaf.restored(moved, there[leaf.path])
        return replaced(made, new)


def _rms(values: Tensor) -> Tensor:
    return values.detach().square().mean().sqrt().clamp(min=torch.finfo(values.dtype).tiny)


def _seen(given: list[Tensor], lead: torch.Size, rng: np.random.Generator) -> Tensor:
    """tanh(w x), the mean over the inputs and over their axes that an output does not have: (*lead, 1)."""
    found = []
    for flat in given:
        w = torch.from_numpy(rng.normal(size=flat.shape[-1])).to(flat)
        seen = torch.tanh((flat.detach() / _rms(flat)) @ w)
        common = 0
        while common < min(seen.dim(), len(lead)) and seen.shape[common] == lead[common]:
            common += 1
        kept = seen.flatten(common).mean(-1) if seen.dim() > common else seen
        found.append(kept.reshape(*lead[:common], *(1,) * (len(lead) - common), 1).double())
    return torch.stack([each.expand(*lead, 1) for each in found]).mean(0)
