"""Who else hears of a training: TensorBoard, Weights & Biases, or a tracker of one's own.

`history.csv` is written whatever a tracker does, and no tracker can lose a training: what it raises is told once, and
the training goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from equiwm.adapters.packages import imported
from equiwm.errors import ConfigError, EquiwmError
from equiwm.locate import RAISED, locate, reason_of
from equiwm.printable import quoted


class Tracker(Protocol):
    """What a training tells a tracker. A tracker is made by a call with the run's directory, before it is there."""

    def start(self, config: Mapping[str, Any]) -> None:
        """The training begins, or is taken up again: `name`, `seed` and all settings as in `config.yaml`."""
        ...

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        """An epoch is done, and its row stands in `history.csv`: `loss`, `prediction`, `variance`, `latent_std`."""
        ...

    def finish(self, summary: Mapping[str, Any]) -> None:
        """It is over: the section `train` of `metrics.json`, or `error` of a training that diverged or collapsed.

        Not called where the process was interrupted: the training is not over then.
        """
        ...


class NoTracker(Tracker):
    """A training that nobody tracks."""

    def start(self, config: Mapping[str, Any]) -> None:
        pass

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        pass

    def finish(self, summary: Mapping[str, Any]) -> None:
        pass


class WatchedTracker(Tracker):
    """A tracker that cannot stop a training.

    Whatever it raises (no memory and a full disk too: the training meets them itself, if they last) is told once, and
    it is called no more.

    Args:
        tracker: the tracker.
        name: as the user named it.
        tell: takes a line for the user.
    """

    def __init__(self, tracker: Tracker, name: str, tell: Callable[[str], None]) -> None:
        self._tracker: Tracker | None = tracker
        self._name, self._tell = name, tell

    def start(self, config: Mapping[str, Any]) -> None:
        self._call("start", dict(config))

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        self._call("log", dict(row), epoch)

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._call("finish", dict(summary))

    def _call(self, method: str, *arguments: Any) -> None:
        if self._tracker is None:
            return
        try:
            getattr(self._tracker, method)(*arguments)
        except RAISED as error:
            self._tracker = None
            self._tell(
                f"tracker {quoted(self._name)}: {method} raised {reason_of(error)} The training goes on without it."
            )


def build_tracker(name: str, run: Path, tell: Callable[[str], None]) -> WatchedTracker:
    """The tracker of that name for a run; nothing is written before the training starts.

    Args:
        name: `tensorboard`, `wandb`, an installed entry point of `equiwm.trackers`, or `module:name` of a class or
            function that is called with the run's directory.
        run: that directory, which need not be there.
        tell: takes a line for the user.

    Raises:
        ConfigError: an unknown name, a call that raises, or gives something without the three methods.
        MissingExtraError: what it needs is not installed.
    """
    make = locate("tracker", name)
    try:
        made = make(run)
    except EquiwmError:
        raise
    except RAISED as error:
        raise ConfigError(f"tracker {quoted(name)}: making it raised {reason_of(error)}") from None
    missing = [method for method in ("start", "log", "finish") if not callable(getattr(made, method, None))]
    if missing:
        raise ConfigError(
            f"tracker {quoted(name)}: got {type(made).__name__}, which has no {' and no '.join(missing)}; expected "
            "start(config), log(row, epoch), finish(summary)."
        )
    return WatchedTracker(made, name, tell)


class TensorBoard(Tracker):
    """Event files in `RUN/tensorboard`, a scalar a column of `history.csv`: `tensorboard --logdir runs`.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, run: Path) -> None:
        imported("tensorboard", "tensorboard", "tracker tensorboard")
        self._folder, self._config = run / "tensorboard", ""
        self._writer: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        self._config = "\n".join(f"    {key}: {value}" for key, value in _flat(config).items())

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # What an interrupted training has written of this epoch and of later ones is taken back.
            self._writer = SummaryWriter(str(self._folder), purge_step=epoch)
            self._writer.add_text("config", self._config, epoch)
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def finish(self, summary: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases(Tracker):
    """An offline run of Weights & Biases in `RUN/wandb`; `wandb sync` sends it where you say.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, run: Path) -> None:
        self._wandb = imported("wandb", "wandb", "tracker wandb")
        self._folder = run
        self._run: Any = None

    def start(self, config: Mapping[str, Any]) -> None:
        settings = self._wandb.Settings(silent=True, console="off")
        self._run = self._wandb.init(
            project="equiwm",
            name=config["name"],
            config=dict(config),
            dir=str(self._folder),
            mode="offline",
            settings=settings,
        )

    def log(self, row: Mapping[str, float], epoch: int) -> None:
        self._run.log({name: value for name, value in row.items() if name != "epoch"}, step=epoch)

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=1 if "error" in summary else 0)


def _flat(config: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Settings by dotted keys, as `--set` takes them."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{where}{key}.") if isinstance(value, Mapping) else {f"{where}{key}": value}
    return found
