"""The data of a training: one recipe, so that what is fitted on it later is fitted on what was trained on."""

from __future__ import annotations

import torch

from equiwm.config import TrainingConfig
from equiwm.errors import ConfigError, DataError
from equiwm.training.parts import collected
from equiwm.worlds.world import (
    CollectedWorld,
    Progress,
    RecordedWorld,
    Sequences,
    SequenceWorld,
    Transitions,
    World,
    moving,
)

PART = 2**15
"""Transitions that are encoded at once."""


def training_data(
    config: TrainingConfig, world: World, *, seed: int, progress: Progress | None = None
) -> Transitions | Sequences:
    """The data of a training: `config.transitions` transitions, or as many in sequences of `config.horizon` steps.

    Fewer where the world was recorded and has no more. Large data of a world that is made in parts may be mapped from
    files (`equiwm.training.parts`); a pass over all of it is made part by part.

    Raises:
        DataError: nothing moves in the world, or too few sequences of that length stay inside its guard.
    """
    world = world.training_side() if isinstance(world, CollectedWorld) else world
    if config.horizon == 1:
        return moving(world, collected(world, config.transitions, seed=seed, progress=progress))
    if not isinstance(world, SequenceWorld):
        raise DataError(f"the world '{world.name}' gives no sequences; expected training.horizon=1.")
    n = config.transitions // config.horizon
    data = world.sequences(n, config.horizon, seed=seed, progress=progress)
    if len(data) < n and not isinstance(world, RecordedWorld):
        raise DataError(
            f"training.horizon: only {len(data)} of {n} sequences of {config.horizon} steps stay inside the guard of "
            f"'{world.name}'; expected a smaller one."
        )
    return moving(world, data)


def parts_of(n: int, size: int = PART) -> list[slice]:
    """The slices of at most `size` rows that n rows are taken in, so that no pass over all data needs more memory."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def check_augmentation(config: TrainingConfig, world: World) -> None:
    """Refuse to turn the data of a world that does not carry its group: a turned outcome is none of such a world's.

    Raises:
        ConfigError: augmentation in such a world.
    """
    if config.augment and not world.equivariant:
        raise ConfigError(
            f"training.augment: the world '{world.name}' does not carry {world.group}, so that data turned by it is "
            "wrong; expected augment=false."
        )


def transitions_of(data: Transitions | Sequences) -> Transitions:
    """The transitions that some data is made of: n of n, n H of n sequences of H steps, in order of time."""
    if isinstance(data, Transitions):
        return data
    episode = data.episode.repeat_interleave(data.horizon)
    before, after = data.observations[:, :-1], data.observations[:, 1:]
    return Transitions(before.flatten(0, 1), data.actions.flatten(0, 1), after.flatten(0, 1), episode, data.excluded)


def tensors_of(data: Transitions | Sequences) -> dict[str, torch.Tensor]:
    """Data as named tensors, as a run keeps it; `data_of` reads them back."""
    names = _TRANSITIONS if isinstance(data, Transitions) else _SEQUENCES
    return {name: getattr(data, name) for name in names}


def data_of(tensors: dict[str, torch.Tensor]) -> Transitions | Sequences:
    """Data from `tensors_of`.

    Raises:
        DataError: other tensors, or tensors of different lengths.
    """
    if len({len(tensor) for tensor in tensors.values()}) == 1:
        if set(tensors) == set(_TRANSITIONS):
            observation, action, following, episode = (tensors[name] for name in _TRANSITIONS)
            return Transitions(observation, action, following, episode)
        if set(tensors) == set(_SEQUENCES):
            observations, actions, episode = (tensors[name] for name in _SEQUENCES)
            return Sequences(observations, actions, episode)
    raise DataError(f"training data has the tensors {', '.join(_TRANSITIONS)}, each one row a transition.")


_TRANSITIONS = ("observation", "action", "next_observation", "episode")
_SEQUENCES = ("observations", "actions", "episode")
