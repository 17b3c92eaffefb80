"""What a check of a world says: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from equiwm.audit.verdict import Verdict
from equiwm.results.result import Real, Result
from equiwm.tables.cell import brief, cell


@dataclass(frozen=True)
class ChannelResult(Result):
    """One channel of the state.

    Attributes:
        name: of the channel.
        residual: RMS over the pairs, relative to how far the channel moves, one an entry of the horizons.
    """

    name: str
    residual: list[Real]


@dataclass(frozen=True)
class PartResult(Result):
    """Reward, termination or observation.

    Attributes:
        verdict: exact, approximate, broken, none or not judged.
        residual: relative to its variation; of terminations the share that differ.
        note: one sentence.
    """

    verdict: Verdict | Literal["none"]
    residual: Real
    note: str


@dataclass(frozen=True)
class CauseResult(Result):
    """One thing in the world that the symmetry does not move onto its like.

    Attributes:
        name: short: `friction`, `cones`, `armature`.
        text: one sentence that names both sides and their values.
        repair: an option that mends it; empty where there is none.
        repaired: the verdict with it; empty where it was not tried.
    """

    name: str
    text: str
    repair: str
    repaired: Verdict | Literal[""]


@dataclass(frozen=True)
class RegionResult(Result):
    """Where it breaks.

    Attributes:
        where: in words; empty where it does not.
        share: of the states of which a copy breaks within each horizon.
    """

    where: str
    share: list[float]


@dataclass(frozen=True)
class MapResult(Result):
    """What the mirror doctor says of a map.

    Attributes:
        involution: whether twice is the identity.
        signed_permutation: whether every entry is another one, or itself, with a sign.
        agrees: whether the simulator agrees.
        disagree: channels that the repaired map treats otherwise, or that disagree where there is none.
        repaired: the map that agrees, in the form of the file; empty where none was found.
        verdict: of the repaired map on fresh rollouts; empty where none was found.
    """

    involution: bool
    signed_permutation: bool
    agrees: bool
    disagree: list[str]
    repaired: str
    verdict: Verdict | Literal[""]


@dataclass(frozen=True)
class WorldResult(Result):
    """The verdict on a world.

    Attributes:
        verdict: exact, precision-limited, approximate, broken or not judged.
        sentence: the same for a reader.
        world: its name.
        group: the group's name.
        horizons: steps at which the lists below are given.
        residual: RMS over pairs of the worst channel's difference, relative to how far it moves, at each horizon.
        median: the median pair's worst channel, relative.
        worst: the worst pair's.
        rounding_growth: the same of one ulp without any group element, the median rollout's.
        rounding_worst: the worst rollout's.
        says_until: the last step of which something can be said.
        channels: the channels, the worst first.
        cosets: residual of rotations, reflections, translations apart, one list an entry of the horizons.
        reward, terminated, observation: whether they follow.
        causes: what in the world breaks it.
        region: where.
        map: of the mirror doctor; null where no map was given.
        states: how many rollouts.
        copies: of each.
        seed: of all draws.
        seconds: CPU time.
    """

    verdict: Verdict
    sentence: str
    world: str
    group: str
    horizons: list[int]
    residual: list[Real]
    median: list[Real]
    worst: list[Real]
    rounding_growth: list[Real]
    rounding_worst: list[Real]
    says_until: int
    channels: list[ChannelResult]
    cosets: dict[str, list[Real]]
    reward: PartResult
    terminated: PartResult
    observation: PartResult
    causes: list[CauseResult]
    region: RegionResult
    map: MapResult | None
    states: int
    copies: int
    seed: int
    seconds: Real

    def __str__(self) -> str:
        """The answer in a few lines."""
        text: str = import_module("equiwm.evidence.world.words").text(self)
        return brief(text)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, and the tables."""
        # By name: the module of words shows values of this class, and imports this one.
        words = import_module("equiwm.evidence.world.words")
        return cell(words.text(self), words.tables(self))
