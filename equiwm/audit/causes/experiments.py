"""What an experiment starts from: each changes one thing, and measures and judges again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from equiwm.audit.judgement import APPROX, BROKEN, EXPLAINED, LIMITED, Judged, judge_quantity
from equiwm.audit.measure import measure
from equiwm.audit.preflight import Preflight
from equiwm.audit.probe import Probe
from equiwm.audit.running import CallFailed
from equiwm.errors import EquiwmError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group

FEW = 8
"""Elements of an experiment, and samples of a list."""
CURED = 1e-3
"""What an experiment leaves of a residual where it names the cause, if it does not make it exact. In the zoo one that
cures leaves at most 5e-11, one that does not at least 0.11; float32 alone leaves 5e-4 of a break of 2e-4."""


@dataclass(frozen=True, eq=False)
class Experiments:
    """What an experiment starts from.

    Attributes:
        state: how the model is called.
        judged: every quantity, as declared.
        seed: of elements and directions.
        switched: as `switched_off` finds it.
    """

    state: Preflight
    judged: list[Judged]
    seed: int
    switched: Mapping[str, str] = field(default_factory=dict)

    @property
    def probe(self) -> Probe:
        """The probe."""
        return self.state.runner.probe

    @property
    def failing(self) -> list[Judged]:
        """What is approximate or broken, outputs before increments, the worst first."""
        found = [each for each in self.judged if each.verdict in (APPROX, BROKEN)]
        return sorted(found, key=lambda each: (each.best.quantity.over is not None, -each.verdict))

    @property
    def dtype(self) -> torch.dtype:
        """The best dtype that the model runs in."""
        return torch.float64 if self.state.high else self.state.low

    def few(self, samples: list[Any]) -> list[Any]:
        """Samples of an experiment: of a list, where each is a call, some."""
        return samples[:FEW] if isinstance(self.probe.inputs, list) else samples

    def again(
        self, elements: Elements, probe: Probe | None = None, dtype: torch.dtype | None = None, samples: Any = None
    ) -> list[Judged] | None:
        """Measure and judge with something changed; None where the model then fails.

        Args:
            elements: the elements to take.
            probe: with other reps; None is as declared.
            dtype: to run in; None is the best.
            samples: others than the probe's.
        """
        try:
            here = self.state.runner
            runner = here if probe is None else replace(here, probe=probe, outputs=())
            chosen = self.dtype if dtype is None else dtype
            given = runner.probe.samples if samples is None else samples
            found = measure(
                runner, self.few(given), elements, chosen, batch=self.state.batch, seed=self.seed, brief=True
            )
        except (CallFailed, EquiwmError):
            return None
        return [judge_quantity(each, None if chosen != torch.float64 else each) for each in found]

    def sample(self, group: Group | None = None, n: int = FEW) -> Elements:
        """A few elements of the probe's group, or of another."""
        chosen = self.probe.acting if group is None else group
        return chosen.sample(n, self.seed + 2, sigma=self.state.runner.reach(self.probe.samples))

    def holds(self, found: list[Judged] | None, names: set[str]) -> bool:
        """Whether the quantities of these names are now exact, or as good as cured."""
        if found is None:
            return False
        there = [each for each in found if each.best.quantity.name in names]
        return bool(there) and all(each.verdict <= LIMITED or self._cured(each) for each in there)

    def _cured(self, now: Judged) -> bool:
        """Whether what is left of a residual is little of it, or the rounding of the model."""
        before = next(each for each in self.judged if each.best.quantity.name == now.best.quantity.name).best
        was = float(before.residual.amax())
        if not math.isfinite(was):  # of a channel that does not vary at all: any rest is little of it
            return False
        rounding = min(EXPLAINED * float(before.rounding.amax()), was / 4)
        return float(now.best.residual.amax()) <= max(CURED * was, rounding)
