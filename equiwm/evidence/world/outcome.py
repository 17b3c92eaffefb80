"""Reward, termination and observation: do they follow the state's symmetry, where the states themselves do?

A world may turn with its scene and pay for moving along the lab's x, or show an angle that is measured from it. Each is
compared only where a rollout and its copy still agree, so that a break of the dynamics is not counted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from equiwm.audit.judgement import APPROXIMATE
from equiwm.audit.verdict import Verdict
from equiwm.errors import DataError
from equiwm.evidence.world.columns import Column, columns_of
from equiwm.evidence.world.judge import Judged
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.rollouts import Measured
from equiwm.evidence.world.simulator import observation_of

_ROUNDING = 1e-5
"""A reward is often a difference quotient of states that agree to 1e-6 of what they move."""
_ROWS = 240
"""States at which observations are compared, at least; four an entry of the observation where there are so many."""
_ATOMS = 4
"""An entry of an observation under g is a sum of at most so many entries: of a vector, a quaternion, a tensor."""
_FITS = 1e-8
_TRAIN = 0.75
_ENOUGH = 1.2
"""Training rows an entry, from which on a combination of all entries is fitted too."""


@dataclass(frozen=True)
class Part:
    """A verdict on the reward, the termination or the observation.

    Attributes:
        verdict: `exact`, `approximate`, `broken`, `none` (there is none) or `not judged`.
        residual: relative to how it varies; of terminations the share that differ.
        note: one sentence.
    """

    verdict: Verdict | Literal["none"]
    residual: float
    note: str


def _by_size(residual: float, tolerance: float) -> Verdict:
    if residual <= tolerance:
        return Verdict.EXACT
    return Verdict.APPROXIMATE if residual <= APPROXIMATE else Verdict.BROKEN


def judge_reward(measured: Measured, judged: Judged) -> Part:
    """Whether r(g s, g a) = r(s, a)."""
    straight = np.array([run.rewards for run in measured.straight])
    if np.isnan(straight).all():
        return Part("none", 0.0, "The simulator gives no reward.")
    copies = np.array([[copy.rewards for copy in row] for row in measured.copies])
    agree = judged.agree[:, :, 1:] & judged.agree[:, :, :-1]
    apart = np.abs(copies - straight[:, None])[agree]
    if not len(apart):
        return Part(Verdict.NOT_JUDGED, 0.0, "No step was left in which copies and rollouts agree.")
    spread = max(float(np.nanstd(straight)), 1e-9 * float(np.nanmax(np.abs(straight))), 1e-300)
    residual = float(np.sqrt(np.mean(np.square(apart)))) / spread
    verdict = _by_size(residual, _ROUNDING)
    note = "" if verdict is Verdict.EXACT else f"The reward changes by up to {float(apart.max()):.3g} under g."
    return Part(verdict, residual, note)


def judge_termination(measured: Measured, judged: Judged) -> Part:
    """Whether an episode ends in a state exactly if it ends in its copy."""
    if any(run.terminated is None for run in measured.straight):
        return Part("none", 0.0, "The simulator does not say when an episode ends.")
    straight = np.array([run.terminated for run in measured.straight])
    copies = np.array([[copy.terminated for copy in row] for row in measured.copies])
    agree = judged.agree[:, :, 1:]
    differ = (copies != straight[:, None])[agree]
    if not len(differ):
        return Part(Verdict.NOT_JUDGED, 0.0, "No step was left in which copies and rollouts agree.")
    share = float(differ.mean())
    if not straight.any() or straight.all():
        always = "never" if not straight.any() else "always"
        if not share:
            return Part(Verdict.EXACT, 0.0, f"Episodes {always} end here; that they do so alike is little evidence.")
    return Part(
        Verdict.BROKEN if share else Verdict.EXACT,
        share,
        f"{share:.1%} of the steps end otherwise under g." if share else "",
    )


def judge_observation(probe: WorldProbe, measured: Measured, seed: int) -> Part:
    """Whether the observation of g s follows from that of s: by the probe's own action, or by some fixed linear map.

    Without an action of its own an observation passes if, for each motion, every entry of o(g s) is one affine
    combination of at most four entries of o(s), or, with rows enough, of any. An angle that is measured from the lab's
    axes, or a position where translations are asked of, is none (but for a constant).
    """
    simulator = probe.running
    visited = np.concatenate([run.states for run in measured.straight])
    rng = np.random.default_rng((seed, 4))
    first = _seen(probe, visited[:1])
    if first is None:
        return Part("none", 0.0, "The simulator shows no observation beside its state.")
    rows = visited[rng.permutation(len(visited))[: max(_ROWS, 4 * first.shape[1])]]
    straight = _seen(probe, rows)
    assert straight is not None
    spread = straight.std(0)
    alive = spread > 1e-9 * np.maximum(np.abs(straight).max(0), 1e-12)
    motions = {name: measured.elements[k] for k, name in reversed(list(enumerate(measured.motions)))}
    worst, leaks, unchanged = 0.0, set(), alive.copy()
    for g in motions.values():
        turned = _seen(probe, np.array([probe.acts_on_state(state, g) for state in rows]))
        if turned is None:
            raise DataError(f"{type(simulator).__name__} shows an observation at some states and none at others.")
        if probe.acts_on_observation is not None:
            expected = np.array([probe.acts_on_observation(seen, g) for seen in straight])
            off = np.sqrt(np.square(turned - expected).mean(0)) / np.where(alive, spread, 1.0)
        else:
            off = _misfit(straight, turned, alive)
        live = alive | (turned.std(0) > 1e-9 * np.maximum(np.abs(turned).max(0), 1e-12))
        off = np.where(live, off, 0.0)
        worst = max(worst, float(off.max()))
        leaks |= set(np.flatnonzero(off > 1e-6).tolist())
        unchanged &= np.abs(turned - straight).max(0) <= 1e-9 * np.maximum(np.abs(straight).max(0), 1e-12)
    names = [column.name for column in _observation_columns(probe, straight.shape[1])]
    verdict = _by_size(worst, 1e-6)
    if verdict is Verdict.EXACT:
        turn = int((alive & ~unchanged).sum())
        return Part(
            verdict, worst, f"Of its entries {int(unchanged.sum())} stay, {turn} transform, each by a fixed map."
        )
    which = ", ".join(names[k] for k in sorted(leaks)[:6]) + (f" and {len(leaks) - 6} more" if len(leaks) > 6 else "")
    return Part(verdict, worst, f"It leaks the lab's frame: {which} of o(g s) do not follow from o(s).")


def _observation_columns(probe: WorldProbe, width: int) -> tuple[Column, ...]:
    return columns_of(width, probe.observation_channels, what="observation")


def _seen(probe: WorldProbe, states: np.ndarray) -> np.ndarray | None:
    found = []
    for state in states:
        probe.running.place(state)
        seen = observation_of(probe.running)
        if seen is None:
            return None
        found.append(seen)
    return np.array(found)


def _misfit(straight: np.ndarray, turned: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """(O,) of each entry of o(g s) what no affine combination of few entries of o(s) explains, on held-out rows."""
    part = int(_TRAIN * len(straight))
    mean, spread = straight[:part].mean(0), straight[:part].std(0)
    inputs = ((straight - mean) / np.where(spread > 0, spread, 1.0))[:, alive]
    size = turned.std(0)
    targets = (turned - turned[:part].mean(0)) / np.where(size > 1e-12, size, 1.0)
    off = np.array([_sparse(inputs, targets[:, k], part) if size[k] > 1e-12 else 0.0 for k in range(len(size))])
    hard = np.flatnonzero(off > _FITS)
    if len(hard) and part > _ENOUGH * inputs.shape[1]:
        wide = np.column_stack([inputs, np.ones(len(inputs))])
        fit = np.linalg.lstsq(wide[:part], targets[:part][:, hard], rcond=None)[0]
        error = np.sqrt(np.mean(np.square(wide[part:] @ fit - targets[part:][:, hard]), axis=0))
        off[hard] = np.minimum(off[hard], error)
    return off


def _sparse(inputs: np.ndarray, target: np.ndarray, half: int) -> float:
    """Orthogonal matching pursuit with at most four atoms: the error on the held-out rows."""
    chosen: list[int] = []
    left, best = target[:half], float(np.sqrt(np.mean(np.square(target[half:]))))
    for _ in range(_ATOMS):
        chosen.append(int(np.abs(inputs[:half].T @ left).argmax()))
        part = np.column_stack([inputs[:, chosen], np.ones(len(inputs))])
        fit = np.linalg.lstsq(part[:half], target[:half], rcond=None)[0]
        left = target[:half] - part[:half] @ fit
        best = min(best, float(np.sqrt(np.mean(np.square(target[half:] - part[half:] @ fit)))))
        if best <= _FITS:
            break
    return best
