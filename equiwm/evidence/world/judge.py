"""From rollouts and their copies to a verdict: what rounding alone explains, and what it does not.

Contacts amplify rounding. A copy that drifts away from its rollout has broken the symmetry only if it drifts faster
than copies one ulp away, which need no group element. With d the largest relative difference over the channels, and u
the same of the rounded copies, the largest up to that step,

    explained   d <= 1024 u, or d <= the largest u of any rollout at that step, if that happens to rounded copies too;
    blind       1024 u > 0.05: rounding alone may do what would be called broken, and nothing is said from there on.

Where a symmetry holds, d / u reaches 53 over bodies that walk and fall and 92 over a chaotic map that forgets what it
was rounded to (960 rollouts); in the step in which one breaks it is 1e6 and more (gravity tilted by 1e-6: 3e6).

The second explanation is for an event that rounding sets off in some copies only, as a contact that one of them
misses. It is lent by other rollouts, so that one chaotic rollout could hide a break in all the others. But rounding
sets it off in rounded copies as often: if transformed copies stray 1024-fold from what their own rounded copies do in
significantly more rollouts than a rounded copy does from its fellows (sign test), nothing is lent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from equiwm.audit.judgement import APPROXIMATE
from equiwm.audit.verdict import Verdict
from equiwm.evidence.world.rollouts import Measured

EXPLAINED = 1024.0
"""So many times what one ulp grows to is explained by rounding."""
EXACT = 1e-6
"""The largest relative difference, over all steps, of what is called exact; it has to be explained as well."""
EVERYWHERE = 0.9
"""From this share of the states on a break is one everywhere."""
_FEW = 4
"""Fewer breaks in either half of the rollouts say nothing of where they are."""
_SEPARATES = 0.85
"""A bound has to be right for this share of the states, on rollouts that it was not chosen on."""
_STRAYS = 1e-3
"""The level at which copies stray more often than rounding makes them: ten rollouts against none."""
_SMALL = 1e-3
"""A channel that has hardly moved is compared with this share of its size."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What the copies say.

    Attributes:
        verdict: `exact`, `precision-limited`, `approximate`, `broken` or `not judged`.
        relative: (n, m, H + 1, C) differences relative to how far the channel has moved.
        rounding: (n, H + 1) u.
        broken_at: (n, m) first step whose difference is not explained; 0 where there is none.
        blind_from: first step at which half of the rollouts are blind; None if there is none.
        agree: (n, m, H + 1) whether copy and rollout still agree (to 1e-6 and explained).
    """

    verdict: Verdict
    relative: np.ndarray
    rounding: np.ndarray
    broken_at: np.ndarray
    blind_from: int | None
    agree: np.ndarray

    @property
    def broken(self) -> np.ndarray:
        """(n, m) which pairs break."""
        return np.asarray(self.broken_at > 0)

    def share(self, step: int) -> float:
        """Share of the states of which a copy breaks within that many steps."""
        return float(((self.broken_at > 0) & (self.broken_at <= step)).any(1).mean())


def judge(measured: Measured) -> Judged:
    """The verdict on a world's dynamics."""
    apart, growth = measured.apart.copy(), measured.growth
    scale = np.maximum(measured.moved, _SMALL * np.maximum(measured.sizes, 1e-12))
    floor = measured.eps * measured.sizes / scale
    relative = apart / scale
    relative[:, :, 0] = 0.0  # the copy's start is the start's copy
    each = np.maximum(growth / scale, floor)
    each[:, :, 0] = 0.0
    rounded = np.maximum.accumulate(each.max(-1), 2)
    rounding = rounded.max(1)
    difference = relative.max(-1)
    sees = (EXPLAINED * rounding <= APPROXIMATE)[:, None] & np.ones_like(difference, dtype=bool)
    bound = EXPLAINED * rounding[:, None]
    if _rounding_strays_as_often(difference, rounded, sees):
        bound = np.maximum(bound, rounding.max(0))
    unexplained = (difference > bound) & sees
    unexplained[:, :, 0] = False
    broken_at = np.where(unexplained.any(-1), unexplained.argmax(-1), 0)
    blind = np.flatnonzero((~sees[:, 0]).mean(0)[1:] >= 0.5)
    blind_from = int(blind[0]) + 1 if len(blind) else None
    agree = (difference <= EXACT) & ~np.logical_or.accumulate(unexplained, -1)
    if (broken_at > 0).any():
        after = np.logical_or.accumulate(unexplained, -1) & sees
        verdict = Verdict.APPROXIMATE if float(difference[after].max()) <= APPROXIMATE else Verdict.BROKEN
    elif blind_from == 1:
        verdict = Verdict.NOT_JUDGED
    else:
        verdict = Verdict.EXACT if blind_from is None and float(difference.max()) <= EXACT else Verdict.LIMITED
    return Judged(verdict, relative, rounding, broken_at, blind_from, agree)


def _rounding_strays_as_often(difference: np.ndarray, rounded: np.ndarray, sees: np.ndarray) -> bool:
    """Whether transformed copies stray from their rollouts no more often than one rounded copy strays from the others.

    Args:
        difference: (n, m, H + 1) of the transformed copies.
        rounded: (n, k, H + 1) growth of the rounded ones.
        sees: (n, m, H + 1) where rounding does not blind.
    """
    k = rounded.shape[1]
    if k < 2:
        return True
    others = np.stack([np.delete(rounded, j, axis=1).max(1) for j in range(k)], 1)
    there = (difference > EXPLAINED * rounded.max(1)[:, None]) & sees
    here = (rounded > EXPLAINED * others) & (EXPLAINED * others <= APPROXIMATE)
    strayed = [int(each[:, :k, 1:].any((1, 2)).sum()) for each in (there, here)]
    if not any(strayed):
        return True
    return bool(binomtest(strayed[0], sum(strayed), 0.5, alternative="greater").pvalue > _STRAYS)


def region(measured: Measured, judged: Judged, centres: Mapping[str, np.ndarray]) -> str:
    """Where a symmetry breaks, in words: everywhere, in which contact, or beyond which value of which channel.

    Args:
        measured, judged: the rollouts.
        centres: of channels of several entries, the point that the group fixes: distances are measured from it.
    """
    total = float(judged.broken.any(1).mean())
    if total == 0.0:
        return ""
    first = judged.share(1)
    if first >= EVERYWHERE:
        return "everywhere"
    return _by_contact(measured, judged) or _by_channel(measured, judged, centres) or f"in {total:.0%} of the states"


def _by_contact(measured: Measured, judged: Judged) -> str:
    """What is always in contact in the step that breaks, and mostly not in the steps before."""
    at_break: list[frozenset[str]] = []
    before: list[frozenset[str]] = []
    for i, run in enumerate(measured.straight):
        for j, copy in enumerate(measured.copies[i]):
            stop = int(judged.broken_at[i, j])
            unbroken = range(1, stop or measured.steps + 1)
            before += [run.contacts[t - 1] | run.contacts[t] for t in unbroken]
            if stop:
                at_break.append(run.contacts[stop - 1] | run.contacts[stop] | copy.contacts[stop])
    if not at_break:
        return ""
    touching = np.mean([bool(each) for each in at_break])
    free = np.mean([bool(each) for each in before]) if before else 0.0
    if touching < 0.95:
        return ""
    counts = Counter(name for each in at_break for name in each)
    often = max(counts.values())
    most = sorted(name for name, count in counts.items() if count == often)
    shares = [float(np.mean([name in each for each in before])) if before else 0.0 for name in most]
    rare, name = min(zip(shares, most, strict=True))
    if often >= 0.95 * len(at_break) and rare <= 0.8:
        return f"in contact of {name} ({rare:.0%} of the steps that break nothing have it too)"
    if free <= 0.8:
        named = " or ".join(most)
        return f"in contact, mostly of {named} ({free:.0%} of the steps that break nothing have a contact too)"
    return ""


def _by_channel(measured: Measured, judged: Judged, centres: Mapping[str, np.ndarray]) -> str:
    """The one channel and bound that separate states that break in their next step from those that do not.

    They are chosen on every other rollout, and have to separate the states of the others too: of many channels one
    always fits a few breaks.
    """
    states: list[list[np.ndarray]] = [[], []]
    broke: list[list[np.ndarray]] = [[], []]
    for i, run in enumerate(measured.straight):
        for stop in judged.broken_at[i]:
            last = int(stop) or measured.steps
            states[i % 2].append(run.states[:last])
            broke[i % 2].append(np.arange(last) == int(stop) - 1 if stop else np.zeros(last, dtype=bool))
    (here, there), (labels, others) = map(np.concatenate, states), map(np.concatenate, broke)
    if min(labels.sum(), others.sum()) < _FEW:
        return ""
    best = (0.0, 0.0, "")
    for column in measured.columns:
        index, centre = list(column.index), centres.get(column.name, 0.0)
        pairs = zip(*(_features(column.name, table[:, index] - centre) for table in (here, there)), strict=True)
        for (name, values), (_, held_out) in pairs:
            for sign, word in ((1.0, ">"), (-1.0, "<")):
                cut, score = _stump(sign * values, labels)
                if score > best[0]:
                    best = score, _right(sign * held_out > cut, others), f"where {name} {word} {sign * cut:.3g}"
    return best[2] if min(best[:2]) >= _SEPARATES else ""


def _right(said: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the shares that are right of those that break and of those that do not."""
    return float((said[labels].mean() + (~said[~labels]).mean()) / 2)


def _features(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if values.shape[1] == 1:
        return [(name, values[:, 0]), (f"|{name}|", np.abs(values[:, 0]))]
    return [(f"|{name}| (from the centre)", np.linalg.norm(values, axis=1))]


def _stump(values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The bound above which labels are true, and how well: the mean of both shares that are right."""
    order = np.argsort(values)
    sorted_values, sorted_labels = values[order], labels[order].astype(float)
    ones, zeros = sorted_labels.sum(), (1 - sorted_labels).sum()
    if not ones or not zeros:
        return 0.0, 0.0
    right = (ones - np.cumsum(sorted_labels)) / ones
    wrong = np.cumsum(1 - sorted_labels) / zeros
    score = (right + wrong) / 2
    k = int(score[:-1].argmax()) if len(score) > 1 else 0
    return float((sorted_values[k] + sorted_values[min(k + 1, len(values) - 1)]) / 2), float(score[k])


def worst_channels(measured: Measured, judged: Judged, step: int) -> Sequence[tuple[str, float]]:
    """Channels by their residual, RMS over pairs, at a step; the worst first."""
    residual = np.sqrt(np.square(judged.relative[:, :, step]).mean((0, 1)))
    order = np.argsort(-residual)
    return [(measured.columns[k].name, float(residual[k])) for k in order]
