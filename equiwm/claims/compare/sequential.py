"""A sequential test of paired differences that may be looked at after every pair: testing by betting.

A pair gives D = a - b in [-1, 1], y = (1 + D) / 2. Against "E[y] <= mu, whatever came before", who starts with 1 and
stakes the share u of what they have on every pair owns after n of them

    W_n(mu) = mean_u prod_i (1 - u + u y_i / mu),

averaged over stakes u in (0, 1) that are fixed in advance. That is a nonnegative supermartingale under the hypothesis,
so that the probability that it *ever* reaches 1 / level is at most `level` (Ville 1939), however the pairs are
distributed and whenever one stops. Against "E[y] >= mu" one bets on 1 - y. Of wins and losses alone at mu = 1/2 it is a
sequential McNemar test: ties change nothing. W_n(mu) falls with mu, so that the means not refused so far are an
interval, which holds at all times together (a confidence sequence).

Sources: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting" (JRSS B 86); the
average over stakes is Robbins' mixture (1970) and Cover's universal portfolio (Orabona and Jun 2024, "Tight
concentrations and confidence sequences from the regret of universal portfolio"); Ramdas et al. 2023, "Game-theoretic
statistics and safe anytime-valid inference".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from equiwm.errors import ConfigError

Floats = NDArray[np.float64]
Decision = Literal["a", "b", "equivalent"]

STAKES: Floats = 1.0 / (1.0 + np.exp(-np.linspace(-3.5, 4.5, 20)))
"""The shares u, all of one weight: small ones find small differences, large ones large differences soon."""
_HALVINGS = 40
_FUTURES = 200
MOST = 10_000
"""Pairs up to which it is said how many more are needed."""


@dataclass(frozen=True)
class Test:
    """What is decided, and how sure it has to be.

    Attributes:
        alpha: largest probability of calling A and B different where they are not.
        power: least probability, if the pairs go on, of calling them different where they differ by the margin: where
            they do, they are called equivalent with probability at most 1 - power.
        margin: the smallest difference that is worth telling, in (0, 1).

    Raises:
        ConfigError: numbers out of their ranges.
    """

    alpha: float
    power: float
    margin: float

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("power", self.power), ("margin", self.margin)):
            if not 0.0 < value < 1.0:
                raise ConfigError(f"--{name}: got {value:g}, expected more than 0 and less than 1.")

    def decisions(self, differences: Floats) -> tuple[list[Floats], list[float]]:
        """The four bets after each pair, and the log wealth that each has to reach.

        In order: against A is no better; B is no better; A is better by the margin; B is better by the margin.
        """
        low, high = 0.5 * (1.0 - self.margin), 0.5 * (1.0 + self.margin)
        y = 0.5 * (1.0 + differences)
        bets = [log_wealth(y, 0.5), log_wealth(1.0 - y, 0.5), log_wealth(1.0 - y, 1.0 - high), log_wealth(y, low)]
        different, alike = math.log(2.0 / self.alpha), -math.log(1.0 - self.power)
        return bets, [different, different, alike, alike]

    def decide(self, differences: Floats) -> tuple[int, Decision] | None:
        """After how many pairs it is decided, and what; None where it is open.

        Args:
            differences: (n,) in [-1, 1], in the order in which they were found.
        """
        firsts = [_first(bet >= least) for bet, least in zip(*self.decisions(differences), strict=True)]
        found: list[tuple[int, Decision]] = []
        for first, name in zip(firsts[:2], ("a", "b"), strict=True):
            if first is not None:
                found.append((first, name))  # type: ignore[arg-type]
        if firsts[2] is not None and firsts[3] is not None:
            found.append((max(firsts[2], firsts[3]), "equivalent"))
        return min(found, default=None)

    def more(self, differences: Floats, *, seed: int = 0) -> int | None:
        """How many more pairs decide it with probability `power`, if they come as those so far.

        The pairs so far are drawn from, with replacement, and the test goes on with them, 200 times.

        Returns:
            None where it is more than `MOST`, or there are no pairs to draw from.
        """
        if not len(differences):
            return None
        rng, ends = np.random.default_rng(seed), []
        for _ in range(_FUTURES):
            length = 100
            drawn = rng.choice(differences, length)
            while (found := self.decide(np.concatenate([differences, drawn]))) is None and length < MOST:
                drawn = np.concatenate([drawn, rng.choice(differences, length)])
                length *= 2
            ends.append(math.inf if found is None else float(found[0] - len(differences)))
            if sum(map(math.isinf, ends)) > (1.0 - self.power) * _FUTURES:
                return None
        needed = float(np.sort(ends)[math.ceil(self.power * _FUTURES) - 1])
        return max(1, int(needed)) if needed <= MOST else None


def log_wealth(y: Floats, mu: float) -> Floats:
    """log W_n(mu) after each of the pairs y, (n,) in [0, 1], in bets against E[y] <= mu."""
    steps = np.log1p(STAKES[:, None] * (y / mu - 1.0))
    grown = np.cumsum(steps, axis=1)
    top = grown.max(axis=0, initial=-np.inf)
    return np.asarray(top + np.log(np.exp(grown - top).mean(axis=0)), dtype=np.float64)


def confidence_sequence(differences: Floats, level: float = 0.95) -> tuple[float, float]:
    """The mean differences that no bet has refused so far; [-1, 1] without pairs.

    It holds the mean with probability `level` after every number of pairs at once, and so whenever one stops.
    """
    if not len(differences):
        return -1.0, 1.0
    y, least = 0.5 * (1.0 + differences), math.log(2.0 / (1.0 - level))
    return 2.0 * _smallest(y, least) - 1.0, 1.0 - 2.0 * _smallest(1.0 - y, least)


def _smallest(y: Floats, least: float) -> float:
    """The smallest mean that bets on larger ones have not refused; the wealth falls with mu."""
    low, high = 0.0, float(y.mean())
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if middle > 0.0 and log_wealth(y, middle)[-1] < least:
            high = middle
        else:
            low = middle
    return low


def _first(reached: NDArray[np.bool_]) -> int | None:
    """How many pairs it took, or None."""
    return int(reached.argmax()) + 1 if reached.any() else None
