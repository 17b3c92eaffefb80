"""A mirror map of observations, as policies are regularised with: does it follow from the state's, and which does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equiwm.disk.safe_yaml import read_yaml
from equiwm.errors import ConfigError
from equiwm.evidence.world.columns import columns_of
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.rollouts import rollout
from equiwm.evidence.world.signed_map import MirrorMap, entry_names, rows_as_text, signed_matrix
from equiwm.evidence.world.simulator import observation_of

_STATES, _STEPS = 8, 10
_FITS = 1e-9


@dataclass(frozen=True)
class Observed:
    """What is wrong with a map of observations, and the map that is right; empty where that is the given one, or none.

    Attributes:
        involution: whether twice is the identity.
        wrong: names of the entries that do not follow.
        repaired: the section of the file that does.
    """

    involution: bool
    wrong: Sequence[str]
    repaired: str


def examine_observation(probe: WorldProbe, source: str, map_: MirrorMap, seed: int) -> Observed | None:
    """What is said of the section `observation` of a map's file; None where it has none.

    Args:
        probe: the world.
        source: the YAML file.
        map_: the map of states, which is taken to be right.
        seed: of the states.

    Raises:
        ConfigError: a section that cannot be read, or a world that shows no observation.
    """
    given = read_yaml(Path(source)).get("observation") if source.endswith((".yaml", ".yml")) else None
    if given is None:
        return None
    starts, plans = probe.starts(_STATES, seed), probe.plans(_STATES, _STEPS, seed)
    pairs = zip(starts, plans, strict=True)
    states = np.concatenate([rollout(probe.running, start, plan).states for start, plan in pairs])
    seen, mirrored = _seen(probe, states), _seen(probe, map_.on_state(states))
    width = seen.shape[1]
    names = entry_names(columns_of(width, probe.observation_channels, what="observation"), width)
    matrix = signed_matrix(given, names, f"{source}: observation")
    scale = np.maximum(np.abs(seen).max(0), 1e-12)
    wrong = np.flatnonzero(np.abs(mirrored - seen @ matrix.T).max(0) > _FITS * scale)
    involution = bool(np.allclose(matrix @ matrix, np.eye(width)))
    if not len(wrong):
        return Observed(involution, [], "")
    right = matrix.copy()
    for k in wrong:
        fits = [(j, sign) for j in range(width) for sign in (1.0, -1.0) if _fits(mirrored[:, k], sign * seen[:, j])]
        if not fits:
            return Observed(involution, [names[j] for j in wrong], "")
        right[k] = 0.0
        right[k, fits[0][0]] = fits[0][1]
    return Observed(involution, [names[j] for j in wrong], rows_as_text("observation", right, names))


def _fits(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() <= _FITS * max(float(np.abs(one).max()), 1e-12))


def _seen(probe: WorldProbe, states: np.ndarray) -> np.ndarray:
    found = []
    for state in states:
        probe.running.place(state)
        seen = observation_of(probe.running)
        if seen is None:
            raise ConfigError(f"the map has observations, and {probe.name} shows none.")
        found.append(seen)
    return np.array(found)
