"""The sequences that rollouts are compared on: seen ones, and others."""

from __future__ import annotations

from typing import Literal

from equiwm.claims.probe import held_out_pairs, held_out_seed, probed
from equiwm.claims.rollout.result import Compared
from equiwm.subject import Subject
from equiwm.worlds.world import RecordedWorld, Sequences, SequenceWorld, moving


def compared_pairs(
    subject: Subject, n: int, horizon: int, seed: int
) -> tuple[tuple[Sequences, Sequences | None], Compared]:
    """Held-out sequences at seen orientations, and what they are compared with.

    A world that draws its scenes gives each again at an unseen orientation. A recorded one that carries its group gives
    them turned, to any orientation where training has seen all; one that is not known to, others that were recorded at
    unseen orientations, or none.

    Raises:
        DataError: as `held_out_pairs`.
    """
    world = probed(subject.world)
    if not isinstance(subject.world, RecordedWorld) or not isinstance(world, SequenceWorld):
        return held_out_pairs(subject, n, horizon, seed), "unseen"
    seen = moving(world, world.sequences(n, horizon, seed=held_out_seed(seed)))
    if subject.world.all_seen and not world.equivariant:
        return (seen, None), "nothing"
    around: Literal["all", "unseen"] = "all" if subject.world.all_seen else "unseen"
    other = world.sequences(n, horizon, seed=held_out_seed(seed), orientations=around)
    return (seen, other), around if world.equivariant else "recorded"
