"""The verdict on a log in words, and the tables behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from equiwm.evidence.data.result import DataResult, EffectResult, RegionResult
from equiwm.tables.table import Table, number

_SAID = {
    "consistent": "The log is consistent with {group}",
    "broken": "The log REFUTES {group}",
    "cannot tell": "The log cannot tell whether its world carries {group}",
}
_AXES = "xyz"


def sentence(
    verdict: str,
    group: str,
    effect: EffectResult | None,
    reasons: Sequence[str],
    detectable: Sequence[EffectResult],
    seen: str,
    whole: bool,
) -> str:
    """What is shown first.

    Args:
        verdict: consistent, broken or cannot tell.
        group: the group as it is shown.
        effect: of a broken one.
        reasons: why it cannot be told.
        detectable: what would have shown.
        seen: the orientations that were seen, in words.
        whole: whether these are all.
    """
    parts = [_SAID[verdict].format(group=group)]
    if effect is not None:
        parts[0] += f": {effect_words(effect)}"
    elif verdict == "cannot tell" and reasons:
        parts[0] += f": {reasons[0]}"
    elif verdict == "consistent" and detectable:
        least = ", ".join(f"{_sized(each)} of {each.column}" for each in detectable[:3])
        parts[0] += f"; a constant drift of {least} a step would have shown"
    if not whole:
        parts.append(f"Seen: {seen}; beyond that it cannot tell")
    return ". ".join(parts) + "."


def _sized(effect: EffectResult) -> str:
    return f"{effect.size:.2g}{f' {effect.unit}' if effect.unit else ''}"


def effect_words(effect: EffectResult) -> str:
    """A break in the data's units."""
    if effect.direction:
        return (
            f"in the lab's {_direction(effect.direction)} {effect.column} moves {_sized(effect)} a step more than "
            "symmetry "
            f"allows (95%: {effect.low:.2g} to {effect.high:.2g})"
        )
    return f"the change of {effect.column} varies by {_sized(effect)} a step (rms) with {effect.varies_with}"


def _direction(direction: Sequence[float]) -> str:
    """+x, or the components of a unit vector."""
    largest = max(range(len(direction)), key=lambda k: abs(direction[k]))
    if abs(direction[largest]) > 0.995:
        return f"{'-' if direction[largest] < 0 else '+'}{_AXES[largest]}"
    return f"({', '.join(f'{x:.2f}' for x in direction)})"


def augmentation(verdict: str, group: str, arcs: Sequence[Sequence[float]], whole: bool) -> str:
    """What turning the data is good for."""
    if verdict == "broken":
        return f"none by {group}: turned copies would teach a symmetry that the data refute"
    if verdict == "cannot tell":
        return f"none that the data support: whether {group} holds is open"
    if whole:
        return f"by every element of {group}, as far as the smallest break that would have shown does no harm"
    if not arcs:
        return "by the elements that lead from one seen frame to another; others are not supported by the data"
    widest = max(high - low for low, high in arcs)
    return (
        f"by turns that lead from one seen orientation to another, within an arc of {widest:g} degrees; wider "
        "ones assume what "
        "the data do not show"
    )


def text(result: DataResult, width: int | None = None) -> str:
    """The verdict and what belongs to it, as lines; wrapped between words where a width is given."""
    lines = [f"{result.verdict.upper()}: {result.sentence}"]
    if result.verdict == "broken" and result.effect is not None and result.effect.direction:
        lines.append(f"size: {_size_words(result)}.")
    lines += [f"strongest: {_region(each)}" for each in result.region[:2] if result.verdict == "broken"]
    shown = result.reasons[1:] if result.verdict == "cannot tell" else result.reasons
    lines += [f"note: {each}." for each in shown]
    even = "covers the group evenly" if result.coverage_symmetric else "does not cover the group evenly"
    lines.append(f"coverage: the log {even}; {result.dependence:.0%} of the frame is explained by the state.")
    lines.append(f"augmentation: {result.augmentation}.")
    if width is not None:
        lines = [textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False) for line in lines]
    return "\n".join(lines)


def _size_words(result: DataResult) -> str:
    """What the size of a drift is, and what the interval does not know of."""
    assert result.effect is not None
    name = result.effect.column.partition("[")[0]
    explained = next((each.explained for each in result.channels if each.name == name), float("nan"))
    share = f", which explains {explained:.0%} of it," if explained == explained else ""
    return (
        f"the mean over the log of what the fit of {name}{share} leaves along that direction; a reaction to the drift "
        "that the fit misses (a contact that pushes back, where the drift goes on from step to step) is in it, and not "
        "in the interval"
    )


def _region(region: RegionResult) -> str:
    unit = " degrees" if region.what == "orientation" else ""
    return (
        f"{region.what} {region.low:.3g} to {region.high:.3g}{unit}, {region.share:.0%} of the evidence from "
        f"{region.of_data:.0%} of the transitions"
    )


def tables(result: DataResult, name: str) -> list[Table]:
    """What was found, a row a column of the state."""
    rows = [
        (
            each.name,
            each.rep,
            number(each.explained, 3),
            number(each.statistic, 3),
            number(each.critical, 3),
            number(each.detectable, 2),
            each.unit,
        )
        for each in result.channels
    ]
    p = "not tested" if result.p_value != result.p_value else f"p = {result.p_value:.3f}"
    title = f"{name}: {result.group}, {result.transitions:,} transitions of {result.episodes:,} episodes, {p}"
    notes = (
        "Drift: how far a constant drift in the lab is from 0, in standard errors; it speaks above the critical value.",
        "Shows: the smallest such drift that is found with probability 0.95, a step, in the unit.",
        f"The frame is read off {result.frame}; p also covers dependences of other forms.",
    )
    columns = ("column", "rep", "explained", "drift", "critical", "shows", "unit")
    return [Table(title, columns, rows, notes)] if rows else []
