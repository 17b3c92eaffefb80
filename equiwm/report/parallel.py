"""Figures drawn by several processes: the same bytes as by one, and what goes wrong in one is a line of the command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from equiwm import interrupts
from equiwm.boundary import machine_error
from equiwm.claims.view import Drawing
from equiwm.errors import EquiwmError, MachineError, ResultError
from equiwm.figures.medium import Medium, drawn_for

Progress = Callable[[int, int], None]

_A_PROCESS = 24
"""Figures a process where their number is left open: starting one takes as long as to draw a few."""


def no_progress(done: int, total: int) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Order:
    """A figure to be drawn.

    Attributes:
        drawing: the figure.
        place: its folder.
        medium: what for.
        known: folders in which it may be already.
        code: digest of what draws it, for its record; None keeps none.
        ours: whether all that draws it is of this package. What is not is drawn in this process: it may be known by a
            name that another one does not import.
    """

    drawing: Drawing
    place: Path
    medium: Medium
    known: tuple[Path, ...] = ()
    code: str | None = None
    ours: bool = True


def draw_all(
    orders: Sequence[Order], jobs: int = 1, progress: Progress = no_progress, already: int = 0, total: int | None = None
) -> list[Path]:
    """Draw figures; gives the path of each, in the order of the orders.

    Args:
        orders: no two of them of one name in one place.
        jobs: processes; -1 is as many as there are cores, and work for.
        progress: called with the number of figures that are there, and of all, after each.
        already: figures that are there before the first.
        total: of all figures.

    Raises:
        EquiwmError: what drawing the figures raised: of several the one that came first; a fault of ours as it is.
        MachineError: a process died.
    """
    cores = os.cpu_count() or 1
    apart = [index for index, order in enumerate(orders) if order.ours]
    processes = min(cores, len(apart) // _A_PROCESS) if jobs == -1 else min(jobs, len(apart))
    if processes <= 1:
        apart = []
    here = [index for index in range(len(orders)) if index not in set(apart)]
    found: dict[int, Path] = {}
    drawn = ((index, _draw(orders[index])) for index in here)
    for index, path in chain(drawn, _in_processes([(index, orders[index]) for index in apart], processes)):
        found[index] = path
        progress(already + len(found), total or len(orders))
        interrupts.check()
    return [found[index] for index in range(len(orders))]


def _in_processes(work: Sequence[tuple[int, Order]], processes: int) -> Iterator[tuple[int, Path]]:
    if not work:
        return
    from equiwm.workers import computed

    try:
        with closing(computed(_drawn, work, processes)) as arriving:
            for index, path, error in arriving:
                if path is None:
                    interrupts.check()
                    raise error or ResultError("a figure was not drawn.")
                yield index, path
    except BrokenExecutor:
        interrupts.check()  # a signal to the whole group of processes ends the workers first
        raise MachineError(
            "a process that draws figures died (out of memory?); what is drawn is kept. Give fewer --jobs."
        ) from None


def _draw(order: Order) -> Path:
    with drawn_for(order.medium, order.known, order.code):
        return order.drawing.draw(order.place)


def _drawn(index: int, order: Order) -> tuple[int, Path | None, EquiwmError | None]:
    """In a process of its own: the place of the order with the path, or with what is told of what was raised."""
    try:
        return index, _draw(order), None
    except EquiwmError as error:
        return index, None, _plain(error)
    except Exception as error:
        refused = machine_error(error)
        if refused is None:  # a fault of ours, which is told as one, whoever draws
            raise
        return index, None, refused


def _plain(error: EquiwmError) -> EquiwmError:
    """An error of the same type and words that holds nothing else, which may not go from process to process."""
    return type(error)(str(error))
