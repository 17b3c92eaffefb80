"""Section `compare` of metrics.json."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field

from equiwm.results.result import UNKNOWN, Real, Result


@dataclass(frozen=True)
class Share(Result):
    """A share of the episodes with its 95% Wilson interval."""

    share: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class SourceResult(Result):
    """How often the criterion of one source was met.

    Attributes:
        asks: what it asks, in words.
        success: by any pose of an episode.
        final: by its last pose.
        met, met_last: the same of each pair.
    """

    asks: str
    success: Share
    final: Share
    met: list[bool]
    met_last: list[bool]


@dataclass(frozen=True)
class SideResult(Result):
    """What one side did.

    Attributes:
        name: as it was given.
        checkpoint_sha256: of its weights; None of a policy that is no run.
        planner: variant of its planner; empty of such a policy.
        success: by the best pose on the way, by the criterion of the world's own tasks.
        final: by the final pose, likewise.
        error_deg: mean angle of the scored pose.
        poses: 1 - the scored pose's error over the criterion's, at least 0, one a pair.
        reached: of each pair whether the best pose met the criterion.
        reached_last: the same of the final pose.
        errors_deg: angle of the scored pose, one a pair.
        reasons: of each pair why the symmetry does not cover the episode (it met a wall, or diverged), or None; such
            episodes count as they ended.
        criteria: by source, the criteria of everybody who measures this world; empty where nobody else does.
        mean_max_reward: mean of `rewards`; not finite where the world has none.
        rewards: the largest reward of each episode.
    """

    name: str
    checkpoint_sha256: str | None
    planner: str
    success: Share
    final: Share
    error_deg: Real
    poses: list[float]
    reached: list[bool]
    reached_last: list[bool]
    errors_deg: list[Real]
    reasons: list[str | None]
    criteria: dict[str, SourceResult] = field(default_factory=dict)
    mean_max_reward: Real = UNKNOWN
    rewards: list[Real] = field(default_factory=list)


@dataclass(frozen=True)
class CompareResult(Result):
    """Section `compare`: two sides on the same tasks with the same random numbers, a pair a task.

    Attributes:
        a, b: the sides.
        task: which tasks.
        orientations: `all` turns every task by an element of its own, `seen` leaves it as it is.
        outcome: what is compared: `success` (best pose on the way), `final`, `error` (1 - the scored pose's error
            over that of the criterion, at least 0), or `reward` (the largest of an episode).
        group: that tasks are turned by.
        dtype: of the models.
        seed: of tasks, elements and planners.
        difference: mean over pairs of A's score less B's.
        ci95: interval that holds it at every number of pairs at once, so also at the one where the test stopped.
        decided: `a` (A is better), `b`, `equivalent` (they differ by less than the margin), or None: open.
        episodes: pairs, so episodes of each side.
        most: largest number of pairs that was allowed.
        more: pairs that decide it with the power asked for, if they come as those so far; None where it is decided, or
            10,000 do not do.
        alpha: largest probability of `a` or `b` where there is no difference.
        power: least probability of finding a difference of the margin, if the pairs go on.
        margin: smallest difference that is worth telling.
        unpaired_equivalent: episodes of each side that an unpaired test of fixed size needs for the difference found,
            as if it had been known, with the same alpha and power; not finite where none was found.
        unpaired_planned: the same for a difference of the margin: what has to be planned where it is not known.
        correlation: of the two scores over pairs; not finite where one never changes.
        definition: hash of all that a pair depends on; further pairs are added to those of the same one.
        criterion: whose criterion success is, by source; empty for that of the world's own tasks.
        goals: where starts and goals come from, in words; empty for the world's own tasks.
    """

    a: SideResult
    b: SideResult
    task: str
    orientations: str
    outcome: str
    group: str
    dtype: str
    seed: int
    difference: float
    ci95: tuple[float, float]
    decided: str | None
    episodes: int
    most: int
    more: int | None
    alpha: float
    power: float
    margin: float
    unpaired_equivalent: Real
    unpaired_planned: Real
    correlation: Real
    definition: str = field(default="")
    criterion: str = ""
    goals: str = ""

    @property
    def variant(self) -> str:
        """Key among the section's variants: what it is compared with, on what, by what."""
        other = self.b.name.replace("/", "_")
        return "/".join([other, f"{self.task}-{self.orientations}", self.outcome, *filter(None, [self.criterion])])

    @property
    def misfit(self) -> str | None:
        """Lists that have not one entry a pair, or no pair."""
        if self.episodes < 1:
            return "it has no pair"
        for side in (self.a, self.b):
            lists: tuple[Sized, ...] = (side.poses, side.reached, side.reached_last, side.errors_deg, side.reasons)
            lists += tuple(each for found in side.criteria.values() for each in (found.met, found.met_last))
            lists += (side.rewards,) if side.criteria else ()
            if any(len(each) != self.episodes for each in lists):
                return f"{side.name} has not {self.episodes} episodes"
        return None

    @property
    def verdict(self) -> str:
        """What is decided, in words."""
        return {
            "a": f"{self.a.name} is better",
            "b": f"{self.b.name} is better",
            "equivalent": f"they differ by less than {self.margin:g}",
        }.get(self.decided or "", "open")
