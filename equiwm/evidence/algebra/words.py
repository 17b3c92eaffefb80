"""What was found, in words and in a table."""

from __future__ import annotations

import textwrap

from equiwm.evidence.algebra.result import DiscoverResult
from equiwm.tables.table import Table, number


def text(result: DiscoverResult, width: int | None = None) -> str:
    """The answer, why it may not be relied on, and what a reader should know; wrapped where a width is given."""
    lines = [_answer(result)]
    lines += [f"why: {reason}." for reason in result.reasons]
    if result.dimension is not None and result.source != "data":
        lines.append(
            "finite: " + ("; ".join(result.finite) if result.finite else "none of those that were tried") + "."
        )
    lines += [f"nearly: {near.name}: {_near(near.residual, near.share)}." for near in result.near]
    lines += [f"note: {note}" for note in result.notes]
    if width is not None:
        lines = [textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False) for line in lines]
    return "\n".join(lines)


def _answer(result: DiscoverResult) -> str:
    if result.dimension is None:
        return "UNSURE: nothing can be said of the continuous symmetries."
    names = ", ".join(generator.name for generator in result.generators) or "no continuous symmetry"
    said = f"dimension {result.dimension}: {names}"
    if not result.sure:
        return f"UNSURE, perhaps {said}."
    seen = f" A break below {number(result.resolution, 2)} would not have been seen." if result.resolution > 0 else ""
    return f"{said[0].upper()}{said[1:]} (gap {number(result.gap, 2)}).{seen}"


def _near(residual: float, share: float) -> str:
    if share < 1.0:
        return f"holds to first order, and fails at {100 * share:.0f}% of the samples after a finite motion"
    return f"broken by {number(residual, 2)}"


def tables(result: DiscoverResult, name: str) -> list[Table]:
    """The generators, and the singular values on both sides of the gap."""
    rows = [(generator.name, number(generator.residual, 2)) for generator in result.generators]
    count, values = len(result.generators), result.singular_values
    shown = [number(value, 2) for value in values[max(0, count - 2) : count + 3]]
    note = "Singular values (0 of a symmetry, 1 of a motion that changes all): "
    note += ("... " if count > 2 else "") + ", ".join(shown) + (" ..." if count + 3 < len(values) else "") + "."
    reps = ", ".join(f"{leaf} {rep}" for leaf, rep in result.reps.items())
    title = f"{name}: {result.source}, {result.samples} samples; {reps}"
    return (
        [Table(title, ("generator", "residual" if result.source == "data" else "after a finite motion"), rows, (note,))]
        if values
        else []
    )
