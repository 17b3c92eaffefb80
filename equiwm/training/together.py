"""Several trainings to their ends, stacked where they can be; each may fail by itself, and be anywhere at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import torch

from equiwm.boundary import machine_error
from equiwm.errors import TrainingError
from equiwm.locate import RAISED
from equiwm.results.train import TrainResult
from equiwm.runs import Run
from equiwm.training.fit import Fit
from equiwm.training.room import in_parts, room_for
from equiwm.training.run import NoProgress, Training, TrainingProgress, refused_whole
from equiwm.training.stack import build_stack
from equiwm.training.trackers import NoTracker, Tracker

Failure = BaseException
"""What ended a training: `TrainingError`, or whatever somebody else's code has raised."""


_watching: ContextVar[TrainingProgress | None] = ContextVar("watching", default=None)


@contextmanager
def watched_by(progress: TrainingProgress) -> Iterator[None]:
    """Inside the block the trainings of this process tell `progress` how far they are, whoever starts them."""
    token = _watching.set(progress)
    try:
        yield
    finally:
        _watching.reset(token)


def train_together(fits: Sequence[Fit], commit: Callable[[int, dict[str, float] | Failure], bool]) -> None:
    """Train every epoch of several trainings, those that are behind first until they are level with the others.

    Args:
        fits: the trainings.
        commit: is given a training's place in `fits`, and the row of an epoch or why it has failed; says whether it
            goes on.

    Raises:
        MachineError: no memory; every training stands at its last epoch.
    """
    going = [index for index, fit in enumerate(fits) if not fit.done]
    stack, members = None, list[int]()

    def alone(index: int) -> None:
        try:
            outcome: dict[str, float] | Failure = fits[index].run_epoch()
        except RAISED as error:  # a model may be a user's code
            if machine_error(error) is not None:
                raise
            outcome = error
        settle(index, outcome)

    def settle(index: int, outcome: dict[str, float] | Failure) -> None:
        goes_on = commit(index, outcome)
        if not goes_on or fits[index].done:
            going.remove(index)

    while going:
        least = min(fits[index].epoch for index in going)
        front = [index for index in going if fits[index].epoch == least]
        if front != members:
            stack, members = build_stack([fits[index] for index in front]), front
        if stack is not None:
            for index, outcome in zip(front, stack.run_epoch(), strict=True):
                settle(index, outcome)
        elif len(front) == 1:
            alone(front[0])
        else:
            while front[0] in going:
                alone(front[0])


def train_fits(fits: Sequence[Fit]) -> list[Fit | Failure]:
    """Train all of several trainings in memory, as one program where they can be stacked.

    Returns:
        Each one, at its end; or what has ended it: `TrainingError`, or what somebody else's code has raised.

    Raises:
        MachineError: the machine stopped them.
    """
    found: list[Fit | Failure] = list(fits)

    def commit(place: int, outcome: dict[str, float] | Failure) -> bool:
        if isinstance(outcome, Failure):
            found[place] = outcome
        return not isinstance(outcome, Failure)

    train_together(fits, commit)
    return found


def train_runs(
    runs: Sequence[Run],
    *,
    made: Sequence[bool],
    trackers: Sequence[Tracker] | None = None,
    completed: Callable[[Run], None] | None = None,
) -> list[TrainResult | Failure]:
    """`train_run` of several runs on the CPU, as one program where they can be stacked.

    Each run has the files that it has when it is trained alone, after every epoch: an interruption keeps them, and
    `train_run` or another stack goes on with them to the same bits. Whoever watches (`watched_by`) is told of the data
    and the epochs of all of them.

    Args:
        runs: the runs, none of them complete.
        made: whether each was made just now: if its training is refused, it goes.
        trackers: one a run.
        completed: as `train_run` has it.

    Returns:
        Of each run its result, or what `train_run` would have raised.

    Raises:
        MachineError: the machine stopped the trainings, which can be resumed.
    """
    told = _Sum(_watching.get() or NoProgress(), runs)
    watching = list(trackers) if trackers is not None else [NoTracker() for _ in runs]
    found: dict[int, TrainResult | Failure] = {}
    needs = [room_for(run.config.training.transitions, run.data) for run in runs]
    for part in in_parts(needs):
        found |= _train_part(part, runs, made, told, watching, completed)
    return [found[index] for index in range(len(runs))]


def _train_part(
    part: Sequence[int],
    runs: Sequence[Run],
    made: Sequence[bool],
    told: _Sum,
    trackers: Sequence[Tracker],
    completed: Callable[[Run], None] | None,
) -> dict[int, TrainResult | Failure]:
    """What comes of the runs at some places, which are held until each has ended."""
    found: dict[int, TrainResult | Failure] = {}
    begun: dict[int, Training] = {}
    with ExitStack() as everything:
        held = {index: everything.enter_context(ExitStack()) for index in part}

        @contextmanager
        def failing(index: int) -> Iterator[None]:
            """What is raised inside ends this training alone, unless it was the machine; it is let go then."""
            try:
                yield
            except RAISED as error:
                if machine_error(error) is not None:
                    raise
                found[index] = error
                held[index].__exit__(type(error), error, error.__traceback__)

        def finish(index: int) -> None:
            found[index] = begun[index].finish()
            if completed is not None:
                completed(runs[index])
            held[index].close()

        for index in part:
            with failing(index):
                held[index].enter_context(refused_whole(runs[index], made=made[index]))
                held[index].enter_context(runs[index].lock())
                begun[index] = Training(
                    runs[index], device=torch.device("cpu"), progress=told.of(index), tracker=trackers[index]
                )
                if begun[index].fit.done:  # a kill came between the last epoch and the checkpoint
                    finish(index)
        places = [index for index in begun if index not in found]

        def commit(place: int, outcome: dict[str, float] | Failure) -> bool:
            index = places[place]
            with failing(index):
                if isinstance(outcome, TrainingError):
                    begun[index].fail(outcome)
                if isinstance(outcome, Failure):
                    raise outcome
                begun[index].commit(outcome)
                if begun[index].fit.done:
                    finish(index)
            return index not in found

        train_together([begun[index].fit for index in places], commit)
    return found


class _Sum:
    """The progress of several trainings as that of one: each tells its own part."""

    def __init__(self, progress: TrainingProgress, runs: Sequence[Run]) -> None:
        self.progress = progress
        epochs = [run.config.training.epochs for run in runs]
        self.total, self.done = sum(epochs), [0] * len(runs)
        self.collected, self.transitions = [0] * len(runs), [run.config.training.transitions for run in runs]

    def of(self, index: int) -> TrainingProgress:
        """What the training at a place of the runs is told to tell."""
        return _Part(self, index)


class _Part(TrainingProgress):
    def __init__(self, whole: _Sum, index: int) -> None:
        self._whole, self._index = whole, index

    def data(self, done: int, total: int) -> None:
        whole = self._whole
        whole.collected[self._index], whole.transitions[self._index] = done, total
        whole.progress.data(sum(whole.collected), sum(whole.transitions))

    def epoch(self, done: int, total: int, loss: float) -> None:
        whole = self._whole
        whole.done[self._index] = done
        whole.progress.epoch(sum(whole.done), whole.total, loss)
