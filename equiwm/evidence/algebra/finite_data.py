"""Finite symmetries of data: which mirrors and turns by a part of a circle the test of `check-data` refutes."""

from __future__ import annotations

import torch

from equiwm.errors import DataError, GroupError
from equiwm.evidence.algebra.steps import Steps
from equiwm.evidence.data.check import check_observed
from equiwm.evidence.data.observed import of_transitions
from equiwm.symmetry.named import parse_group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import Transitions

_MIRRORS = {
    2: {"mirrorx2": "mirror x", "mirrory2": "mirror y"},
    3: {**{f"mirror{axis}": f"mirror {axis}" for axis in "xyz"}, "inversion": "inversion"},
}
_TURNS = {
    2: {f"c{n}": f"C{n}" for n in (2, 3, 4)},
    3: {f"c{n}{axis}": f"C{n} about {axis}" for n, axis in ((2, "x"), (2, "y"), (2, "z"), (3, "z"), (4, "z"))},
}
"""Dimension -> group -> its name as the search on maps says it."""


def finite_of_data(steps: Steps, *, turning: bool, seed: int) -> list[str]:
    """Which finite symmetries transitions refute, do not refute, and cannot tell, as notes.

    Not to be refuted is no proof: data of a cloud that a torque moves, which has no mirror, do not refute one.

    Args:
        steps: the transitions.
        turning: whether their continuous symmetries have rotations, which contain turns by a part of a circle.
        seed: of folds, centres and signs.

    Returns:
        The notes.
    """
    rep = steps.state_rep
    if rep is None or rep.d not in _MIRRORS:
        return ["Finite symmetries of data are looked for where reps of the plane or of space are known."]
    action, moved = steps.action, steps.action_rep
    if moved is None:
        action, moved = torch.zeros(len(steps), 1, dtype=torch.float64), Rep.parse("0e", rep.d)
    data = of_transitions(Transitions(steps.state, action, steps.following, steps.episode), rep, moved)
    found: dict[str, list[str]] = {"consistent": [], "broken": [], "cannot tell": [], "none": []}
    for group, name in (_MIRRORS[rep.d] | ({} if turning else _TURNS[rep.d])).items():
        try:
            verdict = check_observed(data, parse_group(group), seed=seed).verdict
        except DataError:  # no frame can be read off these states under it
            verdict = "cannot tell"
        except GroupError:  # a kind that it cannot move: a quaternion has no mirror image
            verdict = "none"
        found[verdict].append(name)
    notes = ["Data prove no finite symmetry; check-data's test was asked for each, at 5%."]
    for verdict, words in (
        ("broken", "They refute"),
        ("consistent", "They do not refute"),
        ("cannot tell", "They cannot tell"),
        ("none", "Their reps know no"),
    ):
        if found[verdict]:
            notes.append(f"{words} {', '.join(found[verdict])}.")
    return notes
