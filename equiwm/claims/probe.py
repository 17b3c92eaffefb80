"""Which groups a run can be asked about, and the data it is asked on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from equiwm.errors import DataError, GroupError
from equiwm.subject import Subject
from equiwm.symmetry.groups import Group
from equiwm.symmetry.laws import changes
from equiwm.worlds.world import (
    Orientations,
    Progress,
    RecordedWorld,
    Sequences,
    SequenceWorld,
    Transitions,
    World,
    moving,
)

_HELD_OUT = 0x7E57
PROBE_SEED = 1000
"""Default seed of probe data and tasks: never that of a training."""


def fitting_group(subject: Subject, name: str | None) -> Group:
    """The group to probe: the one that the model was built for, the world's own as a rule, unless `name` is given.

    Raises:
        GroupError: an unknown group, one of another dimension, one whose translations do not act in this world, or
            one that changes nothing in it.
    """
    world = subject.world
    if name is None and subject.group is world.group:
        return world.group
    asked = subject.group.name if name is None else name
    group = world.group if asked == world.group.name else Group.parse(asked)
    if group.d != world.group.d:
        raise GroupError(
            f"{group} acts on {group.d}D, but {subject.path} lives in the {world.group.d}D world '{world.name}' "
            f"(group {world.group}); pass --group {world.group.name}."
        )
    if group.translations and not world.group.translations:
        raise GroupError(
            f"translations of {group} do not act on the observations of '{world.name}' (group {world.group}: "
            f"turned about a fixed centre); pass --group {world.group.name}."
        )
    if not any(changes(group, rep) for rep in (world.observation_rep, world.action_rep)):
        raise GroupError(
            f"{group} changes neither the observations ({world.observation_rep}) nor the actions "
            f"({world.action_rep}) of '{world.name}': every model is equivariant under it; pass --group "
            f"{world.group.name}."
        )
    return group


def probed(world: World) -> World:
    """The world that evaluation asks: of one that was recorded, the episodes that training never sees."""
    return world.held_out if isinstance(world, RecordedWorld) else world


def held_out(subject: Subject, n: int, seed: int) -> Transitions:
    """`n` transitions from the training wedge, float64, never those of a training whatever the seeds.

    Fewer where the world was recorded and has no more.

    Raises:
        DataError: a world in which nothing moves.
    """
    return moving(subject.world, probed(subject.world).transitions(n, seed=held_out_seed(seed)))


def held_out_pair(world: World, n: int, seed: int, unseen: Orientations = "unseen") -> tuple[Transitions, Transitions]:
    """`n` transitions at seen orientations and the same ones at others, float64, never those of a training.

    Scenes and actions are turned, each pair by an element of its own; the outcome is the world's own at both.

    Args:
        world: the world.
        n: transitions of each set.
        seed: seed of both.
        unseen: where the second set lies; `all` where training has seen every orientation.

    Raises:
        DataError: no orientation is unseen, or nothing moves.
    """
    world = probed(world)
    seen = moving(world, world.transitions(n, seed=held_out_seed(seed)))
    return seen, world.transitions(n, seed=held_out_seed(seed), orientations=unseen)


def held_out_pairs(
    subject: Subject, n: int, horizon: int, seed: int, progress: Progress | None = None
) -> tuple[Sequences, Sequences]:
    """Up to `n` sequences at seen orientations, and each again at an unseen one; never a training's data.

    The same starts and actions, turned, with the world's own outcome of both. A sequence that the world's guard drops
    at one of its two orientations is dropped at both.

    Raises:
        DataError: a world that gives no sequences or in which nothing moves, a horizon that none survives, or no
            orientation that is unseen.
    """
    world, whole = probed(subject.world), 2 * n
    if not isinstance(world, SequenceWorld):
        raise DataError(f"the world '{world.name}' gives no sequences, so no rollout can be measured on it.")

    def draw(orientations: Orientations, before: int) -> Sequences:
        def count(done: int, _: int) -> None:
            if progress:
                progress(before + done, whole)

        return world.sequences(n, horizon, seed=held_out_seed(seed), orientations=orientations, progress=count)

    seen, unseen = moving(world, draw("seen", 0)), draw("unseen", n)
    pair = (
        seen.select(torch.isin(seen.episode, unseen.episode)),
        unseen.select(torch.isin(unseen.episode, seen.episode)),
    )
    alone = len(seen) - len(pair[0])
    excluded = {**seen.excluded, "its turned copy is excluded": alone} if alone else seen.excluded
    return replace(pair[0], excluded=excluded), pair[1]


def held_out_seed(seed: int) -> int:
    """A seed of data far from every training's."""
    return int(np.random.SeedSequence((seed, _HELD_OUT)).generate_state(1, np.uint64)[0] >> 1)
