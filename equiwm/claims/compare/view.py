"""How a comparison is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from equiwm.claims.compare.result import CompareResult, Share, SideResult
from equiwm.claims.view import View
from equiwm.results.measured import Measured
from equiwm.tables.columns import Column, Estimate
from equiwm.tables.table import Table, number

WORDS = {
    "success": "success, best pose on the way",
    "final": "success, final pose",
    "error": "1 - pose error / the criterion's",
    "reward": "largest reward of an episode",
}
_SHORT = partial(number, digits=3)


def _share(share: Share) -> str:
    return f"{share.share:.2f} [{share.ci95[0]:.2f}, {share.ci95[1]:.2f}]"


_SIDE: dict[str, Callable[[SideResult], str]] = {
    "success, best pose on the way [95%, Wilson]": lambda side: _share(side.success),
    "success, final pose [95%, Wilson]": lambda side: _share(side.final),
    "mean angle of the scored pose (deg)": lambda side: number(side.error_deg),
    "mean of 1 - pose error / the criterion's": lambda side: number(sum(side.poses) / len(side.poses)),
}
_ENDED: dict[str, Callable[[SideResult], str]] = {
    "episodes at a wall, or diverged": lambda side: str(sum(reason is not None for reason in side.reasons)),
    "planner": lambda side: side.planner or "–",
}


def _by_source(source: str) -> dict[str, Callable[[SideResult], str]]:
    """Rows of the criterion of one source."""
    return {
        f"success by {source}, any pose [95%, Wilson]": lambda side: _share(side.criteria[source].success),
        f"success by {source}, final pose [95%, Wilson]": lambda side: _share(side.criteria[source].final),
    }


def _rows(result: CompareResult) -> dict[str, Callable[[SideResult], str]]:
    """What is said of either side; criteria and rewards where somebody else measures the world too."""
    rows = dict(_SIDE)
    for source in result.a.criteria:
        rows |= _by_source(source)
    if result.a.criteria:
        rows["mean of the largest rewards"] = lambda side: number(side.mean_max_reward)
    return rows | _ENDED


def _compared(result: CompareResult) -> str:
    """What is compared, in words."""
    if not result.criterion or result.outcome not in ("success", "final"):
        return WORDS[result.outcome]
    pose = "any pose on the way" if result.outcome == "success" else "final pose"
    return f"success by {result.criterion}, {pose}"


def _size(value: float) -> str:
    return f"{round(value):,} of each" if value == value else number(None)


def compare_tables(measured: Measured[CompareResult], name: str) -> list[Table]:
    """Both sides, then what the pairs say of their difference."""
    result = measured.result
    where = "every task turned by an element of its own" if result.orientations == "all" else "as they stand"
    title = f"{result.a.name} and {result.b.name}: the same {result.task} tasks, {where} ({result.group.upper()})"
    sides = [(quantity, cell(result.a), cell(result.b)) for quantity, cell in _rows(result).items()]
    low, high = result.ci95
    rows = [
        ("what is compared", _compared(result)),
        ("difference, A less B", number(result.difference)),
        ("its 95% interval, at any stop", f"[{low:.3f}, {high:.3f}]"),
        ("decided", result.verdict),
        ("pairs of episodes", f"{result.episodes:,} (at most {result.most:,})"),
        ("correlation of the two", number(result.correlation)),
        ("unpaired, the difference known", _size(result.unpaired_equivalent)),
        (f"unpaired, planned for {result.margin:g}", _size(result.unpaired_planned)),
    ]
    if result.decided is None:
        said = "more than 10,000" if result.more is None else f"{result.more:,}"
        rows.insert(5, (f"more pairs for a verdict, at {result.power:.0%}", said))
    notes = (
        f"A verdict that they differ is wrong with probability at most {result.alpha:g}, whenever it falls; a "
        f"difference of {result.margin:g} is found with probability at least {result.power:g}, if pairs go on. "
        f"Models in {result.dtype}, seed {result.seed}.",
    )
    asked = [f"{source}: {found.asks}." for source, found in result.a.criteria.items()]
    asked += [f"Tasks: {result.goals}."] * bool(result.goals)
    return [
        Table(title, ("quantity", f"A: {result.a.name}", f"B: {result.b.name}"), sides, tuple(asked)),
        Table("their difference", ("quantity", "pairs"), rows, notes),
    ]


VIEW: View[CompareResult] = View(
    heading="Paired comparisons",
    about="Both sides do the same tasks with the same random numbers; a sequential test stops when it is decided.",
    columns=(
        Column("decided", "decided", lambda result: result.verdict),
        Column("difference", "A less B", lambda result: Estimate(result.difference, *result.ci95)),
        Column("episodes", "pairs", lambda result: result.episodes),
        Column(
            "success_a", "success: A", lambda result: Estimate(result.a.success.share, *result.a.success.ci95), _SHORT
        ),
        Column("success_b", "B", lambda result: Estimate(result.b.success.share, *result.b.success.ci95), _SHORT),
        Column("unpaired_equivalent", "unpaired", lambda result: result.unpaired_equivalent, _SHORT),
    ),
    tables=compare_tables,
    asked=lambda result: f"with {result.b.name}, {_compared(result)}",
    probe=lambda result: f"{result.task} tasks, {result.orientations} orientations, {result.group.upper()}",
)
