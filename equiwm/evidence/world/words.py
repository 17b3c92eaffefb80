"""The verdict on a world in words, and the tables behind it."""

from __future__ import annotations

import textwrap

from equiwm.audit.verdict import Verdict
from equiwm.evidence.world.result import MapResult, WorldResult
from equiwm.tables.table import Table, number

_MOST_CAUSES = 8

_SAID = {
    Verdict.EXACT: "{world} is symmetric under {group}, as far as float arithmetic goes",
    Verdict.LIMITED: "{world} is symmetric under {group} as far as can be seen: it is chaotic, and rounding grows",
    Verdict.APPROXIMATE: "{world} is only approximately symmetric under {group}",
    Verdict.BROKEN: "{world} is NOT symmetric under {group}",
    Verdict.NOT_JUDGED: "{world} was not judged under {group}: one ulp already decides its first step",
}


def sentence(
    verdict: Verdict,
    world: str,
    group: str,
    *,
    residual: list[float],
    growth: list[float],
    horizons: list[int],
    where: str,
    says_until: int,
    channel: str,
) -> str:
    """What is shown first."""
    said = _SAID[verdict].format(world=world, group=group)
    last = horizons[-1]
    at = f"after {last} steps the residual is {residual[-1]:.1e} in {channel}, one ulp alone grows to {growth[-1]:.1e}"
    if verdict is Verdict.BROKEN and where:
        said += f", {where}"
    limit = "" if says_until >= last else f"; nothing can be said beyond step {says_until}"
    return f"{said}: {at}{limit}."


def tables(result: WorldResult) -> list[Table]:
    """What was measured: by horizon, by motion, by channel; and what the outcome does."""
    steps = tuple(f"{h} step" + ("s" if h != 1 else "") for h in result.horizons)
    rows = [
        ("residual", *(number(x, 2) for x in result.residual)),
        ("median pair", *(number(x, 2) for x in result.median)),
        ("worst pair", *(number(x, 2) for x in result.worst)),
        ("one ulp grows to, median", *(number(x, 2) for x in result.rounding_growth)),
        ("one ulp grows to, worst", *(number(x, 2) for x in result.rounding_worst)),
        ("states that break", *(f"{100 * x:.0f}%" for x in result.region.share)),
    ]
    if len(result.cosets) > 1:
        rows += [(name, *(number(x, 2) for x in values)) for name, values in result.cosets.items()]
    note = "Relative to how far a channel moves. 'One ulp' needs no group element: it is what rounding alone does."
    found = [
        Table(
            f"{result.world}: {result.group}, {result.states} states, {result.copies} copies each",
            ("", *steps),
            rows,
            (note,),
        )
    ]
    worst = [(each.name, *(number(x, 2) for x in each.residual)) for each in result.channels[:8]]
    if result.verdict.breaks:
        found.append(Table(f"{result.world}: the worst channels", ("channel", *steps), worst))
    parts = {"reward": result.reward, "termination": result.terminated, "observation": result.observation}
    outcome = [(name, part.verdict, number(part.residual, 2), part.note or "–") for name, part in parts.items()]
    found.append(Table(f"{result.world}: what else follows", ("", "verdict", "residual", "note"), outcome))
    return found


def text(result: WorldResult, width: int | None = None) -> str:
    """The verdict, its causes and what the doctor says, as lines; wrapped where a width is given."""
    lines = [f"{result.verdict.upper()}: {result.sentence}"]
    for cause in result.causes:
        line = f"cause: {cause.text}"
        if cause.repair:
            line += f" Repair: {cause.repair}" + (f" -> {cause.repaired}." if cause.repaired else ".")
        lines.append(line)
    if len(result.causes) > _MOST_CAUSES:
        lines = [*lines[: 1 + _MOST_CAUSES], f"and {len(result.causes) - _MOST_CAUSES} more causes (--json has all)."]
    if result.map is not None:
        lines += _of_map(result.map)
    if width is not None:
        lines = [textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False) for line in lines]
    return "\n".join(lines)


def _of_map(found: MapResult) -> list[str]:
    """What the doctor says, and the map that would agree in the form of the file."""
    yes = {True: "yes", False: "no"}
    lines = [
        f"map: involution {yes[found.involution]}, signed permutation {yes[found.signed_permutation]}, the simulator "
        f"agrees {yes[found.agrees]}."
    ]
    if found.disagree:
        lines.append(f"map: wrong in {', '.join(found.disagree[:12])}.")
    if found.repaired:
        lines.append(f"map: this one is {found.verdict} on fresh rollouts (what is not named stays):")
        lines += found.repaired.rstrip().splitlines()
    elif not found.agrees:
        lines.append("map: no signs and exchanges were found that make the simulator agree.")
    return lines
