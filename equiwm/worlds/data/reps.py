"""The group of a world of data, and how its quantities transform."""

from __future__ import annotations

from equiwm.errors import ConfigError
from equiwm.logs.spec import ColumnSpec
from equiwm.logs.typed import rep_of
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep


def group_of(name: str | None, dimension: int) -> Group:
    """The group of a world of data.

    Args:
        name: as `world.group` says it.
        dimension: of the log's space.

    Raises:
        ConfigError: none is named in space, where gravity decides.
        GroupError: an unknown one.
    """
    if name is not None:
        group = Group.parse(name)
        if group.d != dimension:
            raise ConfigError(
                f"world.group: {group} acts on {group.d} dimensions, and the log has {dimension} (`dimension` in "
                "reps.yaml)."
            )
        return group
    if dimension == 2:
        return Group.parse("so2")
    raise ConfigError(
        "world.group is missing: in space say so2z where gravity singles out the vertical, se2z where places on the "
        "ground do not matter either, so3 or se3 where nothing is singled out."
    )


def reps_of(entries: tuple[ColumnSpec, ...], d: int, group: Group) -> list[Rep]:
    """How each quantity transforms in a world: where nothing translates, a point is a vector from the centre.

    Raises:
        RepError: a rep that cannot be read.
    """
    reps = [rep_of(entry, d) for entry in entries]
    return reps if group.translations else [rep.linear_part for rep in reps]
