"""The one table that the benchmarks end with: ratios of CPU time in this run, beside what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import process_time

import numpy as np

from equiwm.tables.table import Table

WARM_UP = 2


@dataclass
class Board:
    """What the benchmarks of this session found."""

    rows: list[tuple[str, ...]] = field(default_factory=list)

    def note(self, what: str, figure: str, *, spread: str = "", asked: str = "", cost: str = "") -> None:
        """A line of the table; each is finished text.

        Args:
            what: what was compared, the slow side first.
            figure: the median, with its unit.
            spread: its quartiles.
            asked: the target that the project set itself; empty where there is none.
            cost: CPU time of the fast side.
        """
        self.rows.append((what, figure, spread, asked, cost))
        print(f"\n{what}: {figure} {spread} {cost}".rstrip())

    def ratio(
        self,
        what: str,
        slow: Callable[[], object],
        fast: Callable[[], object],
        *,
        repeats: int = 60,
        asked: str = "",
        share: float = 1.0,
        unit: str = "call",
    ) -> float:
        """Median over `repeats` of slow / fast in CPU time, the two called in turn, so that both meet the same noise.

        Args:
            what: what is compared.
            slow: one side.
            fast: the other.
            repeats: pairs of calls; two more come before them, which do not count.
            asked: the target.
            share: of the time of a call that `unit` takes.
            unit: of what the cost is shown.
        """
        for _ in range(WARM_UP):
            slow(), fast()
        return self.pairs(
            what,
            [(_seconds(slow), _seconds(fast)) for _ in range(repeats)],
            asked=asked,
            share=share,
            unit=unit,
        )

    def pairs(
        self, what: str, seconds: Sequence[tuple[float, float]], *, asked: str = "", share: float = 1.0, unit: str
    ) -> float:
        """The same of CPU seconds that were measured already, (slow, fast) in turn."""
        slow, fast = np.array(seconds).T
        ratios = slow / fast
        low, high = np.percentile(ratios, [25, 75])
        value = float(np.median(ratios))
        cost = f"{_time(share * float(np.median(fast)))} a {unit}"
        self.note(what, f"{value:.2f}x", spread=f"{low:.2f} to {high:.2f}", asked=asked, cost=cost)
        return value

    @property
    def table(self) -> Table:
        """All that was found."""
        columns = ("what", "median", "quartiles", "asked", "CPU time of the fast side")
        return Table("Ratios of CPU time in this run", columns, self.rows)


def _seconds(call: Callable[[], object]) -> float:
    began = process_time()
    call()
    return process_time() - began


def _time(seconds: float) -> str:
    unit, size = next((each for each in (("s", 1.0), ("ms", 1e-3)) if seconds >= each[1]), ("us", 1e-6))
    return f"{seconds / size:.3g} {unit}"
