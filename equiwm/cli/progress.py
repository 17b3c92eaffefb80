"""Progress on stderr, and none of it where nobody looks."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


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
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def count(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` are done in a phase."""
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase, total=total, note=note)
        self._bars.update(self._tasks[phase], completed=done, total=total, note=note)

    def data(self, done: int, total: int) -> None:
        """Transitions collected."""
        self.count("collecting transitions", done, total)

    def epoch(self, done: int, total: int, loss: float) -> None:
        """Epochs trained."""
        self.count("training", done, total, f"loss {loss:.4g}")
