"""The names of groups: what `Group.parse` reads."""

from __future__ import annotations

import re
from functools import cache

from equiwm.errors import GroupError, nearest
from equiwm.locate import is_foreign, locate
from equiwm.printable import quoted
from equiwm.symmetry.about import AXES, about
from equiwm.symmetry.finite import cyclic, dihedral, inversion, mirror, octahedral
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import E2, GROUPS, O2, SE2, SO2
from equiwm.symmetry.laws import check_group
from equiwm.symmetry.permutations import SymmetricGroup
from equiwm.symmetry.product_group import product

_CONSTANTS: dict[str, Group] = {
    **GROUPS,
    **{f"{group.name}{axis}": about(group, axis) for group in (SO2, O2, SE2, E2) for axis in AXES},
    **{f"mirror{axis}": mirror(axis, 3) for axis in AXES},
    **{f"mirror{axis}2": mirror(axis, 2) for axis in AXES[:2]},
    "inversion": inversion(),
    "oct": octahedral(reflections=False),
    "octh": octahedral(reflections=True),
}
_POLYGON = re.compile(r"([cd])(\d{1,9})([xyz]?)")
_SYMMETRIC = re.compile(r"s(\d{1,9})")
_EXAMPLES = tuple(f"{family}{n}{axis}" for family in "cd" for n in (2, 3, 4, 5, 6, 8) for axis in ("", *AXES))

MOST_NAME = 200
"""Characters of a group's name."""


@cache
def parse_group(name: str) -> Group:
    """The group of a name, in any case and with or without round brackets; the same object for the same name.

    | name | group |
    |---|---|
    | `so2` `o2` `se2` `e2` `so3` `o3` `se3` `e3` | of the plane and of space |
    | `so2z` `o2z` `se2z` `e2z`, also `x` and `y` | about an axis of space (`equiwm.symmetry.about`) |
    | `c4` `d4`, `c5z` `d4z`, also `x` and `y` | C_n and D_n, in the plane and about an axis |
    | `mirrorx` `mirrory` `mirrorz`, `mirrorx2` `mirrory2` | negates that coordinate, in space and in the plane |
    | `inversion` `oct` `octh` | x -> -x; the symmetries of the cube without and with reflections |
    | `s5` | all permutations of 5 items |
    | `so3*s5` | products |
    | `my_package.groups:FIVE` | a `Group` of the user's |

    Raises:
        GroupError: no such group, or one of the user's that breaks the laws of a group.
        ConfigError: a module that is not found.
    """
    given: object = name
    if not isinstance(given, str):
        raise GroupError(f"group: got {type(given).__name__}, expected a name such as so3 or a group.")
    if len(name) > MOST_NAME:
        raise GroupError(f"unknown group {quoted(name)}: expected a name of at most {MOST_NAME} characters.")
    if is_foreign(name):
        found = locate("group", name)
        try:
            return check_group(found)
        except GroupError as error:
            raise GroupError(f"group '{name}': {error}") from None
    key = re.sub(r"[()\s]", "", name.lower())
    if "*" in key:
        first, *others = (parse_group(part) for part in key.split("*"))
        for other in others:
            first = product(first, other)
        return first
    if key in _CONSTANTS:
        return _CONSTANTS[key]
    polygon, symmetric = _POLYGON.fullmatch(key), _SYMMETRIC.fullmatch(key)
    if polygon:
        group: Group = (cyclic if polygon[1] == "c" else dihedral)(int(polygon[2]))
        return about(group, polygon[3]) if polygon[3] else group
    if symmetric:
        return SymmetricGroup(int(symmetric[1]))
    raise GroupError(f"unknown group {quoted(name)}: {nearest(key, [*_CONSTANTS, *_EXAMPLES, 's5', 'so3*s5'])}")
