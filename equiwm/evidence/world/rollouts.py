"""Rollouts of a simulator from states that are set, beside their transformed copies and copies one ulp away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from equiwm.errors import DataError
from equiwm.evidence.world.columns import Column, differences
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.simulator import Simulator, observation_of, touching
from equiwm.symmetry.elements import Elements


@dataclass(frozen=True, eq=False)
class Rollout:
    """One rollout of H steps.

    Attributes:
        states: (H + 1, S), the start included.
        observations: (H + 1, O), or None.
        rewards: (H,), NaN where there is none.
        terminated: (H,) bool, or None where the simulator does not say.
        contacts: H + 1 sets of names, of what is in contact.
    """

    states: np.ndarray
    observations: np.ndarray | None
    rewards: np.ndarray
    terminated: np.ndarray | None
    contacts: Sequence[frozenset[str]]


def rollout(
    simulator: Simulator,
    start: np.ndarray,
    actions: np.ndarray,
    jitter: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Rollout:
    """Place `start` (S,), then act once for each of `actions` (H, A); with a jitter, place its result after each step.

    Raises:
        DataError: a state that is not finite on the way, or of another width.
    """
    simulator.place(start)
    states, seen, contacts = [simulator.state()], [observation_of(simulator)], [frozenset(touching(simulator))]
    rewards, ended = [], []
    for action in actions:
        step = simulator.act(action)
        rewards.append(np.nan if step.reward is None else step.reward)
        ended.append(step.terminated)
        if jitter is not None:
            simulator.place(jitter(simulator.state()))
        states.append(simulator.state())
        seen.append(observation_of(simulator))
        contacts.append(frozenset(touching(simulator)))
        if not np.isfinite(states[-1]).all():
            raise DataError(f"the simulator's state is NaN or infinite after {len(states) - 1} steps: it blows up.")
    shown = None if any(each is None for each in seen) else np.array(seen)
    known = None if any(each is None for each in ended) else np.array(ended, dtype=bool)
    return Rollout(np.array(states), shown, np.array(rewards, dtype=np.float64), known, contacts)


def one_ulp(rows: np.ndarray, sizes: np.ndarray, eps: float, rng: np.random.Generator) -> np.ndarray:
    """Rows a rounding away: each entry moved by at most one ulp of itself, or of its channel's size where it is less.

    Args:
        rows: (..., S).
        sizes: (S,) typical sizes of the entries.
        eps: of the number format that the simulator keeps its state in.
        rng: of the draws.
    """
    return np.asarray(rows + eps * np.maximum(np.abs(rows), sizes) * rng.uniform(-1.0, 1.0, rows.shape))


@dataclass(frozen=True, eq=False)
class Measured:
    """n rollouts, m transformed copies and k rounded copies of each. Steps run from 0 (the start itself) to H.

    Attributes:
        columns: the C channels of a state.
        straight: the rollouts.
        elements: (n, m) of the copies, as a batch of n * m.
        motions: n * m words for what each does.
        apart: (n, m, H + 1, C) |T^h(g s, g a) - g T^h(s, a)|.
        growth: (n, k, H + 1, C) |T^h(s', a') - T^h(s, a)| of starts and actions one ulp away: what rounding alone does.
        moved: (H + 1, C) RMS over the rollouts of how far each channel has gone from its start.
        sizes: (C,) RMS size of each channel.
        copies: n lists of m rollouts.
        rounded: n lists of k rollouts.
        eps: of the number format.
    """

    columns: tuple[Column, ...]
    straight: list[Rollout]
    elements: Elements
    motions: list[str]
    apart: np.ndarray
    growth: np.ndarray
    moved: np.ndarray
    sizes: np.ndarray
    copies: list[list[Rollout]]
    rounded: list[list[Rollout]]
    eps: float

    @property
    def steps(self) -> int:
        """H."""
        return self.apart.shape[2] - 1


def measure(
    probe: WorldProbe,
    starts: np.ndarray,
    plans: np.ndarray,
    elements: Elements,
    names: list[str],
    *,
    eps: float,
    rounded: int,
    seed: int,
    complete: bool = False,
) -> Measured:
    """Every rollout, its copies under its share of the elements, and its copies one ulp away.

    Args:
        probe: the world.
        starts: (n, S).
        plans: (n, H, A).
        elements: n * m of them; start i has those from i m on.
        names: what each does.
        eps: of the number format of the state.
        rounded: k.
        seed: of the roundings.
        complete: whether a state says all there is. Then the rounded copies are rounded anew in every step, as the
            simulator's own arithmetic does: where a step forgets, the rounding of the start says nothing of later ones.
    """
    simulator, each = probe.running, len(elements) // len(starts)
    columns = probe.columns(starts.shape[1])
    rng = np.random.default_rng((seed, 2))
    entry, action_entry = np.abs(starts).mean(0), np.abs(plans).mean((0, 1))
    straight = [rollout(simulator, start, plan) for start, plan in zip(starts, plans, strict=True)]
    copies: list[list[Rollout]] = []
    near: list[list[Rollout]] = []
    apart, growth = [], []
    for i, (start, plan, run) in enumerate(zip(starts, plans, straight, strict=True)):
        copies.append([])
        for g in (elements[i * each + j] for j in range(each)):
            turned = np.array([probe.acts_on_action(action, g) for action in plan])
            copy = rollout(simulator, probe.acts_on_state(start, g), turned)
            expected = np.array([probe.acts_on_state(state, g) for state in run.states])
            copies[-1].append(copy)
            apart.append(differences(columns, copy.states, expected))
        near.append([])
        for _ in range(rounded):
            copy = rollout(
                simulator,
                one_ulp(start, entry, eps, rng),
                one_ulp(plan, action_entry, eps, rng),
                (lambda state: one_ulp(state, entry, eps, rng)) if complete else None,
            )
            near[-1].append(copy)
            growth.append(differences(columns, copy.states, run.states))
    states = np.array([run.states for run in straight])
    moved = differences(columns, states, states[:, :1])
    return Measured(
        columns,
        straight,
        elements,
        names,
        np.array(apart).reshape(len(starts), each, *apart[0].shape),
        np.array(growth).reshape(len(starts), rounded, *apart[0].shape),
        np.sqrt(np.square(moved).mean(0)),
        np.array([column.size(states) for column in columns]),
        copies,
        near,
        eps,
    )
