"""Progress on stderr, and none of it where nobody looks."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from equiwm import interrupts
from equiwm.printable import printable


def seconds_left(elapsed: float, before: float, share: float) -> float | None:
    """Time that the rest of some work takes at the pace so far; None before there is a pace.

    Args:
        elapsed: seconds since the start.
        before: share of the work in [0, 1] that was done at the start.
        share: share that is done now.
    """
    return elapsed * (1.0 - share) / (share - before) if share > before else None


class _TimeLeft(TimeRemainingColumn):
    """Time left by the pace of the bar, or, where steps differ in length, until the moment in the field `end`."""

    def render(self, task: Task) -> Text:
        if "end" not in task.fields:
            return super().render(task)
        end = task.fields["end"]
        left = None if end is None else end - time.monotonic()
        if left is None or left < 0:  # overdue: there is no honest figure until the next cell is done
            return Text("-:--:--", style="progress.remaining")
        minutes, seconds = divmod(round(left), 60)
        return Text(f"{minutes // 60}:{minutes % 60:02}:{seconds:02}", style="progress.remaining")


class ProgressBars:
    """Bars that come and go with the phases of a command; silent when `quiet` or when stderr is no terminal.

    It is a `TrainingProgress`, and counts whatever else is counted through `count`.
    """

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._grid_start: tuple[float, float] | None = None

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def count(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` are done in a phase; between two steps, end if a signal was swallowed in one."""
        interrupts.check()
        if phase not in self._tasks:
            # A phase may be called like a run: nothing of its name is an escape of the terminal or markup of rich.
            self._tasks[phase] = self._bars.add_task(escape(printable(phase)), total=total, note=note)
        self._bars.update(self._tasks[phase], completed=done, total=total, note=note)

    def data(self, done: int, total: int) -> None:
        """Transitions collected."""
        self.count("collecting transitions", done, total)

    def epoch(self, done: int, total: int, loss: float) -> None:
        """Epochs trained."""
        self.count("training", done, total, f"loss {loss:.4g}")

    def episodes(self, round: int, done: int, total: int) -> None:
        """Blocks of labelled episodes driven, in a round of a distillation."""
        self.count(f"episodes of round {round}", done, total)

    def grid(self, done: int, total: int, share: float) -> None:
        """Cells of a grid, some longer than others: `share` of the whole work is done. The first call is the start."""
        now = time.monotonic()
        self._grid_start = self._grid_start or (now, share)
        self.count("cells", done, total)
        left = seconds_left(now - self._grid_start[0], self._grid_start[1], share)
        self._bars.update(self._tasks["cells"], end=None if left is None else now + left)
