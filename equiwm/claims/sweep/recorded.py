"""The sweep of a world that cannot be stepped: its test sets are turned, or lie where they were recorded."""

from __future__ import annotations

from equiwm.claims.probe import held_out_seed
from equiwm.errors import DataError
from equiwm.symmetry.group import Group
from equiwm.worlds.world import RecordedBin, RecordedWorld, World


def refuse_larger(world: World, group: Group) -> None:
    """Refuse a group that the world's does not hold: what would follow a scene under it was never recorded.

    Raises:
        DataError: such a group.
    """
    if group not in world.group:
        raise DataError(
            f"{group} is not in {world.group}, the group of the world '{world.name}', which cannot be stepped to see "
            "what follows under it; pass --group " + f"{world.group.name}."
        )


def recorded_bins(world: RecordedWorld, transitions: int, bins: int | None, seed: int) -> list[RecordedBin]:
    """The bins of held-out transitions by the orientations they were recorded at, those of training first.

    Raises:
        DataError: no held-out transition lies where training has seen any.
    """
    held_out = world.held_out
    assert isinstance(held_out, RecordedWorld)
    return held_out.recorded_bins(transitions, seed=held_out_seed(seed), bins=bins)
