"""The mirror doctor: is a map an involution, a signed permutation, does the simulator agree, and which map would?

The map that would agree is solved from rollouts. One step of the simulator tells most: an entry with a wrong sign or in
a wrong place is off by as much as it varies, all others by what one step carries over. Signs and exchanges are tried,
the worst entries first, until the simulator agrees; then the map is tried on fresh rollouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from equiwm.audit.verdict import Verdict
from equiwm.errors import ConfigError
from equiwm.evidence.world.columns import columns_of
from equiwm.evidence.world.judge import judge
from equiwm.evidence.world.observed_map import examine_observation
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.result import MapResult
from equiwm.evidence.world.rollouts import measure
from equiwm.evidence.world.signed_map import MirrorMap, as_text, entry_names, read_map
from equiwm.symmetry.elements import Elements

_STATES, _STEPS = 6, 3
_AGREES = 1e-6
_ROUNDS = 12
"""Signs and exchanges that are mended one after another, at most."""
_SUSPECTS = 10
"""Entries that exchanges are tried with: those that are off most."""
_FRESH = 7919


@dataclass(frozen=True, eq=False)
class _Tried:
    """One step from some states: what every candidate is compared on."""

    probe: WorldProbe
    before: np.ndarray
    actions: np.ndarray
    after: np.ndarray
    scale: np.ndarray

    def off(self, map_: MirrorMap) -> np.ndarray:
        """(S,) how far each entry of T(M s, M a) is from that of M T(s, a), relative to how it varies."""
        simulator = self.probe.running
        found = []
        for state, action in zip(map_.on_state(self.before), map_.on_action(self.actions), strict=True):
            simulator.place(state)
            simulator.act(action)
            found.append(simulator.state())
        apart = np.abs(np.array(found) - map_.on_state(self.after))
        return np.asarray(np.sqrt(np.square(apart).mean(0)) / self.scale)


def examine(probe: WorldProbe, source: str, *, seed: int = 1000) -> MapResult:
    """What the doctor says of a map.

    Args:
        probe: the world; its own action is tried where no map can be solved.
        source: a YAML file, or `module:function`.
        seed: of the rollouts.

    Raises:
        ConfigError: a map that cannot be read or has another length.
    """
    starts, plans = probe.starts(_STATES, seed), probe.plans(_STATES, _STEPS, seed)
    states, actions = _names(probe, starts.shape[1], plans.shape[2])
    own = _own(probe, len(states), len(actions))
    map_ = read_map(source, states, actions, own)
    found = diagnosed(probe, map_, seed=seed)
    seen = examine_observation(probe, source, map_ if found.agrees or own is None else own, seed)
    if seen is None:
        return found
    return replace(
        found,
        involution=found.involution and seen.involution,
        agrees=found.agrees and not seen.wrong,
        disagree=[*found.disagree, *(f"observation {name}" for name in seen.wrong)],
        repaired=found.repaired + seen.repaired,
        verdict=found.verdict or (Verdict.EXACT if seen.repaired else ""),
    )


def diagnosed(probe: WorldProbe, map_: MirrorMap, *, seed: int = 1000) -> MapResult:
    """What the doctor says of a map that has been read; as `examine`."""
    starts, plans = probe.starts(_STATES, seed), probe.plans(_STATES, _STEPS, seed)
    states, actions = _names(probe, starts.shape[1], plans.shape[2])
    if (len(map_.state), len(map_.action)) != (len(states), len(actions)):
        raise ConfigError(
            f"the map is of {len(map_.state)} and {len(map_.action)} entries; the world has {len(states)} of a state "
            f"and {len(actions)} of an action."
        )
    involution, signed = map_.is_involution, map_.is_signed_permutation
    verdict = _verdict(probe, map_, seed)
    tried = _tried(probe, starts, plans)
    if verdict.holds and involution and float(tried.off(map_).max()) <= _AGREES:
        return MapResult(involution, signed, True, [], "", "")
    repaired = _repaired(tried, map_) if signed else None
    repaired = repaired or _own(probe, len(states), len(actions))
    fresh = None if repaired is None else _verdict(probe, repaired, seed + _FRESH)
    if repaired is None or fresh is None or not fresh.holds:
        off = tried.off(map_)
        return MapResult(involution, signed, False, [states[k] for k in np.flatnonzero(off > _AGREES)], "", "")
    disagree = [states[k] for k in np.flatnonzero((repaired.state != map_.state).any(1))]
    disagree += [f"action {actions[k]}" for k in np.flatnonzero((repaired.action != map_.action).any(1))]
    return MapResult(involution, signed, False, disagree, as_text(repaired, states, actions), fresh)


def _names(probe: WorldProbe, states: int, actions: int) -> tuple[list[str], list[str]]:
    return entry_names(probe.columns(states), states), entry_names(
        columns_of(actions, probe.action_channels, what="action"), actions
    )


def _verdict(probe: WorldProbe, map_: MirrorMap, seed: int) -> Verdict:
    """Of the simulator on a map, as a check gives it."""
    starts, plans = probe.starts(_STATES, seed), probe.plans(_STATES, 5, seed)
    probe = replace(
        probe,
        group="mirror",
        state=lambda x, g: map_.on_state(x) if bool(g.turns) else x,
        action=lambda x, g: map_.on_action(x) if bool(g.turns) else x,
    )
    drawn = probe.symmetry.sample(64, 0)
    g = Elements.cat([drawn[drawn.turns][:1]] * _STATES)
    eps = float(np.finfo(np.float64).eps)
    return judge(measure(probe, starts, plans, g, ["reflection"] * _STATES, eps=eps, rounded=2, seed=seed)).verdict


def _tried(probe: WorldProbe, starts: np.ndarray, plans: np.ndarray) -> _Tried:
    simulator = probe.running
    # An entry that is zero in every state (the velocity of a goal) says nothing of its sign: it is moved.
    typical = float(np.sqrt(np.square(starts).mean()))
    rng = np.random.default_rng(0)
    before, after = [], []
    for start, plan in zip(starts, plans, strict=True):
        simulator.place(start)
        for action in plan[:-1]:  # a few steps on: velocities that are zero say nothing of their signs
            simulator.act(action)
        unseen = np.where(np.abs(starts).max(0) == 0.0, 0.1 * typical * rng.normal(size=len(start)), 0.0)
        unseen = np.where(np.abs(simulator.state()) > 0.0, 0.0, unseen)
        before.append(simulator.state() + unseen)
        simulator.place(before[-1])
        simulator.act(plan[-1])
        after.append(simulator.state())
    states = np.array(before)
    scale = np.abs(np.array(after) - states)
    scale = np.maximum(np.sqrt(np.square(scale).mean(0)), 1e-3 * np.maximum(np.sqrt(np.square(states).mean(0)), 1e-6))
    return _Tried(probe, states, plans[:, -1], np.array(after), scale)


def _repaired(tried: _Tried, map_: MirrorMap) -> MirrorMap | None:
    """The nearest map that one step agrees with, by signs and exchanges, one after another."""
    present, off = map_, tried.off(map_)
    for _ in range(_ROUNDS):
        if float(off.max()) <= _AGREES:
            return present if present.is_involution else None
        best = min(
            ((_loss(each_off := tried.off(each)), k, each, each_off) for k, each in enumerate(_moves(present, off))),
            default=None,
        )
        if best is None or best[0] >= _loss(off):
            return None
        present, off = best[2], best[3]
    return present if float(off.max()) <= _AGREES and present.is_involution else None


def _loss(off: np.ndarray) -> float:
    """How many orders of magnitude the entries are off, together: one that is mended counts much, whatever its size."""
    return float(np.log10(np.maximum(off, _AGREES) / _AGREES).sum())


def _moves(map_: MirrorMap, off: np.ndarray) -> list[MirrorMap]:
    """Maps that differ by one sign or one exchange."""
    suspects = set(np.argsort(-off)[:_SUSPECTS].tolist())
    found = [replace(map_, state=_flipped(map_.state, k)) for k in range(len(map_.state)) if off[k] > _AGREES]
    found += [replace(map_, action=_flipped(map_.action, k)) for k in range(len(map_.action))]
    pairs = [pair for pair in combinations(range(len(map_.state)), 2) if suspects & set(pair)]
    both = (True, False)
    found += [replace(map_, state=_exchanged(map_.state, *pair, keep)) for pair in pairs for keep in both]
    pairs = list(combinations(range(len(map_.action)), 2))
    found += [replace(map_, action=_exchanged(map_.action, *pair, keep)) for pair in pairs for keep in both]
    return found


def _flipped(matrix: np.ndarray, k: int) -> np.ndarray:
    new = matrix.copy()
    new[k] = -new[k]
    return new


def _exchanged(matrix: np.ndarray, i: int, j: int, keep: bool) -> np.ndarray:
    """Rows i and j exchange the places they take their values from, and keep their signs or exchange them too."""
    new, sign = matrix.copy(), matrix[i].sum() * matrix[j].sum() if keep else 1.0
    new[i], new[j] = sign * matrix[j], sign * matrix[i]
    return new


def _own(probe: WorldProbe, states: int, actions: int) -> MirrorMap | None:
    """The probe's own action as a map, if it is one of order two."""
    if probe.symmetry.order != 2:
        return None
    drawn = probe.symmetry.sample(64, 0)
    g = drawn[drawn.turns | drawn.moves | drawn.permutes][0]
    zero = probe.acts_on_state(np.zeros(states), g), probe.acts_on_action(np.zeros(actions), g)
    found = MirrorMap(
        np.stack([probe.acts_on_state(e, g) - zero[0] for e in np.eye(states)], 1).round(12),
        np.stack([probe.acts_on_action(e, g) - zero[1] for e in np.eye(actions)], 1).round(12),
        zero[0].round(12),
        zero[1].round(12),
    )
    return found if found.is_signed_permutation and found.is_involution else None
