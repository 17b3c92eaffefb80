"""What is compared of an episode: success by somebody's criterion, the error of its pose, or its reward."""

from __future__ import annotations

from equiwm.claims.closed_loop.episode import ControlledRun
from equiwm.claims.compare.pairs import Done, task_of
from equiwm.errors import ConfigError, DataError, nearest
from equiwm.printable import quoted


def criterion_of(run: ControlledRun, name: str | None) -> str | None:
    """Whose criterion success is: a source, or None for that of the world's own tasks.

    Args:
        run: the run whose tasks they are.
        name: as it was asked for; None is the criterion that the tasks come with.

    Raises:
        ConfigError: a source that the world does not know.
    """
    asks = run.control.asks
    if name is None:
        return run.control.decides or None
    if name not in asks:
        world = run.subject.world.name
        if not asks:
            raise ConfigError(f"--criterion {quoted(name)}: nobody else measures the world '{world}'; leave it out.")
        known = "; ".join(f"{source} ({words})" for source, words in asks.items())
        raise ConfigError(f"--criterion: unknown criterion {quoted(name)}: {nearest(name, list(asks))} {known}.")
    return name


def check_outcome(run: ControlledRun, outcome: str, seed: int) -> None:
    """Refuse rewards where the world gives none.

    Raises:
        ConfigError: such an outcome.
    """
    if outcome != "reward":
        return
    tasks = task_of(run, 0, seed)
    _, reward = run.control.judge(tasks.goal, tasks.goal)
    if not bool(reward.isfinite().all()):
        raise ConfigError(
            f"--outcome reward: the world '{run.subject.world.name}' gives no rewards; expected success, final, error."
        )


def score(done: Done, outcome: str, criterion: str | None) -> float:
    """What is compared of an episode, in [0, 1].

    Args:
        done: the episode.
        outcome: `success`, `final`, `error` or `reward`.
        criterion: the source whose criterion success is; None for that of the world's own tasks.

    Raises:
        DataError: a reward outside of [0, 1]: the test is of bounded scores.
    """
    if outcome == "error":
        return done.score
    if outcome == "reward":
        if not 0.0 <= done.reward <= 1.0:
            raise DataError(f"--outcome reward: an episode has the reward {done.reward:g}, expected 0 to 1.")
        return done.reward
    if criterion is None:
        return float(done.success if outcome == "success" else done.final)
    return float((done.met if outcome == "success" else done.met_last)[criterion])
