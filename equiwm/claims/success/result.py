"""Section `sweep_success` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from equiwm.claims.sweep.result import Overlap
from equiwm.results.result import FileName, Real, Result


@dataclass(frozen=True)
class Share(Result):
    """Episodes that were solved, of how many.

    Attributes:
        solved: how many.
        tasks: of how many: one a task and orientation.
        share: solved / tasks.
        low, high: Wilson's 95% interval, of as many trials as there are tasks, however often each was turned.
    """

    solved: int
    tasks: int
    share: Real
    low: Real
    high: Real


@dataclass(frozen=True)
class SuccessBin(Result):
    """One orientation.

    Attributes:
        label: `40` (degrees) or a name.
        overlap: of the turned tasks with what training has seen: `full`, `partial` or `none`.
        from_wedge_deg: angle between the turned wedge's middle and the wedge.
        turn_deg: angle in [0, 360) of a rotation of the plane, else None.
        direction: where the element takes the middle of the orientations of training, a unit vector of space; empty in
            the plane.
        any: by the best pose on the way.
        final: by the last pose.
        excluded: episodes that touched what is outside the symmetry.
    """

    label: str
    overlap: Overlap
    from_wedge_deg: float
    turn_deg: float | None
    direction: list[float]
    any: Share
    final: Share
    excluded: int


@dataclass(frozen=True)
class SuccessSweep(Result):
    """Section `sweep_success`.

    Attributes:
        group: the world's group.
        dtype: dtype of the evaluation.
        device: device of the evaluation.
        criterion: when a pose counts as reached, in words.
        tasks: tasks, the same at every orientation.
        bins: one entry an orientation; the first is that of the tasks.
        unseen_any, unseen_final: over all orientations that training has not seen; None where there are none.
        pairs: episodes at other orientations whose pair did not touch what is outside the symmetry.
        disagree: of these, how many are solved (by the last pose) where the same task, unturned, is not, or the other
            way round.
        parameters: trained scalars of the model.
        seed: of tasks, planner and orbit.
    """

    group: FileName
    dtype: FileName
    device: str
    criterion: str
    tasks: int
    bins: list[SuccessBin]
    unseen_any: Share | None
    unseen_final: Share | None
    pairs: int
    disagree: int
    parameters: int
    seed: int

    @property
    def variant(self) -> str:
        """Key among the section's variants: `so2/float64`."""
        return f"{self.group}/{self.dtype}"

    @property
    def misfit(self) -> str | None:
        """No orientation."""
        return None if self.bins else "it has no orientation"
