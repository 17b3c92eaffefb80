"""Section `rollout` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from equiwm.results.result import FileName, Real, Result

Compared = Literal["unseen", "all", "recorded", "nothing"]
"""What stands as `ood`: the same sequences turned to unseen orientations, or to any where none is unseen; others that
were recorded at unseen ones; or nothing."""


@dataclass(frozen=True)
class RolloutResult(Result):
    """Section `rollout`: lists with one entry a horizon.

    Attributes:
        group: the world's group, under which the residual is taken.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        space: where errors are measured: `state` (forward models), or the model's own `latent`.
        elements: group elements of the residual.
        horizons: steps H of a rollout.
        sequences: true sequences at seen orientations; as many, the same ones turned, at unseen ones.
        excluded: sequences that the world's guard dropped, by reason.
        seen_relmse: sum |z_H - E(s_H)|^2 / sum |E(s_H) - E(s_0)|^2 at seen orientations.
        ood_relmse: the same at unseen ones.
        ood_factor: ood_relmse / seen_relmse.
        relative_residual: of the H-step composition, from the same start under the turned plan (RMS, worst element).
        max_abs: its largest absolute entry.
        relmse_state: sum |z_H - E(s_H)|^2 / sum |E(s_H)|^2 at seen orientations.
        ood_relmse_state: the same at unseen ones.
        unmeasured: horizons of the default list that no sequence survives, and why.
        latent_std: spread of the latents of the starts.
        parameters: trained scalars of the model.
        seed: seed of the sequences and the elements.
        compared: what stands as `ood`.
    """

    group: FileName
    dtype: FileName
    device: str
    space: str
    elements: int
    horizons: list[int]
    sequences: list[int]
    excluded: list[dict[str, int]]
    seen_relmse: list[Real]
    ood_relmse: list[Real]
    ood_factor: list[Real]
    relative_residual: list[Real]
    max_abs: list[Real]
    relmse_state: list[Real]
    ood_relmse_state: list[Real]
    unmeasured: dict[str, str]
    latent_std: float
    parameters: int
    seed: int
    compared: Compared = "unseen"

    @property
    def variant(self) -> str:
        """Key among the section's variants: `so3/float64`."""
        return f"{self.group}/{self.dtype}"

    @property
    def misfit(self) -> str | None:
        """A list that has not one entry a horizon."""
        if not self.horizons:
            return "it has no horizon"
        lists = ("sequences", "excluded", "seen_relmse", "ood_relmse", "ood_factor", "relative_residual", "max_abs")
        for name in (*lists, "relmse_state", "ood_relmse_state"):
            if len(getattr(self, name)) != len(self.horizons):
                return f"{name} has {len(getattr(self, name))} entries, expected {len(self.horizons)}, one a horizon"
        return None
