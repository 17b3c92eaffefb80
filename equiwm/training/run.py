"""A training in a run directory: it can be interrupted anywhere and taken up again."""

from __future__ import annotations

import copy
import hashlib
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from equiwm.audit.spread import Spread, latent_spread, spread_in_parts
from equiwm.boundary import machine_error
from equiwm.config import Config, foreign_names
from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import atomic_writer, write_atomic
from equiwm.disk.ownership import remove_file
from equiwm.errors import ConfigError, EquiwmError, RunError, TrainingError
from equiwm.layout.binding import Binding, read_binding
from equiwm.layout.history import history_sha256, require_history
from equiwm.loading import checkpoint_state, read_checkpoint
from equiwm.locate import RAISED, is_foreign
from equiwm.models.factory import build_model, check_objective
from equiwm.models.world_model import WorldModel
from equiwm.nn.layer import Layer
from equiwm.results.measured import Measured, to_builtins
from equiwm.results.train import TrainResult
from equiwm.runs import Run, check_name
from equiwm.tensors import read_tensors, require_same_precision, require_tensors, size_limit
from equiwm.training.data import check_augmentation, parts_of, training_data
from equiwm.training.fit import Fit
from equiwm.training.objective import columns
from equiwm.training.optimizers import build_optimizer
from equiwm.training.trackers import NoTracker, Tracker
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Sequences, Transitions, World

_RESUME_COPIES = 32
"""Of a model's tensors in `resume.pt`: model, target, and what an optimiser keeps of each parameter."""


class TrainingProgress(Protocol):
    """What a training tells whoever watches it."""

    def data(self, done: int, total: int) -> None:
        """Transitions collected so far."""
        ...

    def epoch(self, done: int, total: int, loss: float) -> None:
        """Epochs trained so far, and the last one's loss."""
        ...


class NoProgress(TrainingProgress):
    """A training that nobody watches."""

    def data(self, done: int, total: int) -> None:
        pass

    def epoch(self, done: int, total: int, loss: float) -> None:
        pass


def weights_moved(model: nn.Module, initial: nn.Module) -> float:
    """|W - W0| / |W0| over all parameters: 0 for a network that was never trained."""
    pairs = list(zip(model.parameters(), initial.parameters(), strict=True))
    moved = sum(float((now.detach().cpu().double() - was.detach().cpu().double()).square().sum()) for now, was in pairs)
    size = sum(float(was.detach().cpu().double().square().sum()) for _, was in pairs)
    return (moved / size) ** 0.5 if size else 0.0


def check_run(config: Config, folder: Path, name: str, *, seed: int, resume: bool) -> None:
    """Refuse what `prepare_run` would refuse, and write nothing: for several runs that are made together.

    Raises:
        RunError, ConfigError: as `prepare_run`.
    """
    check_name(name)
    world = build_world(config.world)
    try:
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed, group=world.group)
        check_objective(config.training, model)
        check_augmentation(config.training, world)
        if foreign_names(config.as_dict()):
            _rehearse(config, model, world)
    except (MemoryError, RuntimeError) as error:  # torch's allocator raises RuntimeError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise machine_error(error, "the model cannot be built") or ConfigError(
            f"the model cannot be built: {reason}"
        ) from None
    run = Run(folder / name)
    if resume and run.state != "absent":
        run = Run.open(run.path, needs_checkpoint=False)
        run.require_same(config.as_dict(), seed)
        if run.state == "complete":
            read_checkpoint(run, model)
    else:
        run.refuse_existing()


def _rehearse(config: Config, model: WorldModel, world: World) -> None:
    """One update on two transitions, for what somebody else's parts refuse only then; nothing is written.

    Raises:
        ConfigError, RepError, DataError: the optimiser, a part of the model or the world is none.
    """
    data = world.transitions(2, seed=0).to(torch.float32, "cpu")
    optimizers = build_optimizer(
        config.training.optimizer, model, lr=config.training.lr, weight_decay=config.training.weight_decay
    )
    model.predict(model.encode(data.observation), data.action).square().mean().backward()
    optimizers.zero_grad()
    optimizers.step()


@contextmanager
def refused_whole(run: Run, *, made: bool) -> Iterator[None]:
    """Training that is refused before its first epoch leaves no run behind, if it was made for this training.

    Args:
        run: the run that is trained.
        made: whether it was made just now, rather than taken up again.
    """
    try:
        yield
    except RAISED as error:
        refused = isinstance(error, EquiwmError) or machine_error(error) is not None
        if made and refused and not isinstance(error, TrainingError):
            run.discard_untrained()
        raise


def prepare_run(
    config: Config, folder: Path, name: str, *, seed: int, resume: bool, command: Sequence[str] = ()
) -> Run:
    """The directory to train in: a new one, or with `resume` the one that is there if it fits.

    Raises:
        RunError: it exists and `resume` is not set, or it was started with another configuration.
        ConfigError: a configuration that builds no model; nothing is written then.
    """
    check_run(config, folder, name, seed=seed, resume=resume)
    if resume and Run(folder / name).state != "absent":
        run = Run.open(folder / name, needs_checkpoint=False)
        if leaves_resume_point(run):
            remove_file(run.resume_point)
        remove_stale(run.path)
        return run
    return Run.create(folder, name, config.as_dict(), seed=seed, command=command)


def leaves_resume_point(run: Run) -> bool:
    """Whether a complete run has a `resume.pt` of its own that nothing needs: a kill came between the last two steps.

    One that cannot be read, or that another run left there, is nobody's to remove.
    """
    if run.state != "complete" or not run.resume_point.is_file():
        return False
    try:
        binding = read_binding(read_tensors(run.resume_point), run.resume_point)
        if binding is not None:
            run.require_own(binding, run.resume_point)
    except RunError:
        return False
    return True


class Training:
    """A training under way in its run directory, which it holds: its data and its model, put where it stands.

    Whoever drives it trains epochs of `fit` and commits each. After every epoch history and `resume.pt` are written;
    when the last is done, `checkpoint.pt` replaces it. The weights do not depend on how often it was interrupted.

    Args:
        run: the run, which the caller holds.
        device: where to train.
        progress: is told of data and epochs.
        tracker: is told of the training, its epochs and its end (`equiwm.training.trackers`).

    Raises:
        RunError: the run is complete, or its `resume.pt` is damaged.
    """

    def __init__(self, run: Run, *, device: torch.device, progress: TrainingProgress, tracker: Tracker) -> None:
        if run.state == "complete":
            raise RunError(f"the run {run.path} is complete; pass another --name to train again.")
        self._started = time.perf_counter()
        self.run, self._progress, self._tracker = run, progress, tracker
        config, self._seed = run.config, run.header.seed
        world = build_world(config.world)
        self._data = training_data(config.training, world, seed=self._seed, progress=progress.data)
        reps = world.observation_rep, world.action_rep
        model = build_model(config.model, *reps, seed=self._seed, group=world.group).to(device)
        self._initial = copy.deepcopy(model)
        # On the CPU each batch is cast as it is taken, so that data which lies on disk is not copied into memory.
        given = self._data if device.type == "cpu" else self._data.to(torch.float32, device)
        group = world.group if config.training.augment else None
        self.fit = Fit(config.training, model, given, seed=self._seed, group=group)
        self._before = _taken_up(run, self.fit) if os.path.lexists(run.resume_point) else 0.0
        self._history = history_sha256(run.history_path, self.fit.epoch) if self.fit.epoch else None
        self._rows = run.history_writer()
        tracker.start({"name": run.name, "seed": self._seed, **config.as_dict()})
        self._steps_started = time.perf_counter()

    @property
    def _seconds(self) -> float:
        return self._before + time.perf_counter() - self._started

    def commit(self, row: dict[str, float]) -> None:
        """Write down an epoch that `fit` has trained."""
        run, fit = self.run, self.fit
        self._history = self._rows.extend([row])
        place = run.binding(fit.epoch, self._history).as_entries()
        with atomic_writer(run.resume_point) as file:
            torch.save({**fit.state_dict(), "seconds": self._seconds, **place}, file)
        self._progress.epoch(fit.epoch, fit.config.epochs, row["loss"])
        self._tracker.log(row, fit.epoch)

    def fail(self, error: TrainingError) -> None:
        """Say that it diverged or collapsed; history and the last good `resume.pt` stay."""
        self._tracker.finish({"error": str(error)})

    def finish(self) -> TrainResult:
        """Write checkpoint and metrics of a training whose epochs are done."""
        run, fit = self.run, self.fit
        steps_seconds = time.perf_counter() - self._steps_started
        result = _result(run, fit.model, self._initial, self._data, self._seed, self._seconds, steps_seconds)
        weights = io.BytesIO()
        binding = run.binding(fit.epoch, self._history)
        torch.save(checkpoint_state(fit.model, fit.target.state_dict(), binding), weights)
        # The run is complete once the checkpoint is there, so the result that names it comes first.
        sha256 = hashlib.sha256(weights.getbuffer()).hexdigest()
        run.record("train", None, to_builtins(Measured(result, checkpoint_sha256=sha256)))
        write_atomic(run.checkpoint, weights.getvalue())
        remove_file(run.resume_point)
        self._tracker.finish(result.as_dict())
        return result


def train_run(
    run: Run,
    *,
    device: torch.device,
    progress: TrainingProgress | None = None,
    tracker: Tracker | None = None,
    completed: Callable[[Run], None] | None = None,
) -> TrainResult:
    """Train what `run.config` describes, from where it stands, and write checkpoint, history and metrics.

    Args:
        run: the run.
        device: where to train.
        progress: is told of data and epochs.
        tracker: is told of the training, its epochs and its end (`equiwm.training.trackers`).
        completed: is given the complete run while it is still held, so that nobody finds it without what this adds.

    Raises:
        RunError: the run is in use, complete, or its `resume.pt` is damaged.
        TrainingError: the training diverged or collapsed; history and the last good `resume.pt` stay.
    """
    with run.lock():
        training = Training(run, device=device, progress=progress or NoProgress(), tracker=tracker or NoTracker())
        while not training.fit.done:
            try:
                row = training.fit.run_epoch()
            except TrainingError as error:
                training.fail(error)
                raise
            training.commit(row)
        result = training.finish()
        if completed is not None:
            completed(run)
    return result


def read_resume_point(run: Run, model: WorldModel, target: Layer) -> tuple[dict[str, Any], Binding | None]:
    """The content of `resume.pt`, once it is certain that it belongs to the run, to its model and to its history.

    Args:
        run: the run.
        model: its model in float32; its weights do not matter.
        target: its target, of which the same holds.

    Returns:
        The content; and what it says of where it belongs, None if 0.1 wrote it.

    Raises:
        RunError: it is damaged, or another run's; or the history is not the one up to its epoch.
    """
    path = run.resume_point
    state = read_tensors(path, limit=size_limit(model, _RESUME_COPIES))
    binding = read_binding(state, path)
    if binding is not None:
        run.require_own(binding, path)
    require_tensors(state.get("model"), model, path)
    require_tensors(state.get("target"), target, path)
    training = run.config.training
    if not is_foreign(training.optimizer):
        require_same_precision(state.get("optimizers"), path)
    epoch, seconds = state.get("epoch"), state.get("seconds")
    if (
        type(epoch) is not int
        or not 1 <= epoch <= training.epochs
        or (binding is not None and binding.epoch != epoch)
        or not isinstance(seconds, float)
        or not 0 <= seconds < math.inf
    ):
        raise RunError(f"{path} is damaged: it stands at no epoch of this training; delete {run.path} and train again.")
    require_history(run.history_path, epoch, None if binding is None else binding.history_sha256, path)
    return state, binding


def _taken_up(run: Run, fit: Fit) -> float:
    """Put a training where its `resume.pt` stands.

    Returns:
        Seconds that it has taken so far.

    Raises:
        RunError: as `read_resume_point`.
    """
    state, _ = read_resume_point(run, fit.model, fit.target)
    try:
        fit.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError, TypeError):
        raise RunError(f"{run.resume_point} is damaged: delete {run.path} and train again.") from None
    return float(state["seconds"])


@torch.no_grad()
def _spread(model: WorldModel, observation: Tensor) -> Spread:
    """Spread of the latents of all training data, encoded part by part."""
    like = next(model.parameters())
    parts = parts_of(len(observation))
    if len(parts) == 1:
        return latent_spread(model.encode(observation.to(like)))
    return spread_in_parts(lambda: (model.encode(observation[part].to(like)) for part in parts))


def _result(
    run: Run,
    model: WorldModel,
    initial: WorldModel,
    data: Transitions | Sequences,
    seed: int,
    seconds: float,
    steps_seconds: float,
) -> TrainResult:
    history = run.history()
    spread = _spread(model, columns(data)[0])
    return TrainResult(
        parameters=model.parameter_count,
        transitions=data.transitions if isinstance(data, Sequences) else len(data),
        excluded=dict(data.excluded),
        seconds=seconds,
        steps_seconds=steps_seconds,
        first_loss=history[0]["loss"],
        final_loss=history[-1]["loss"],
        latent_std=spread.latent_std,
        effective_rank=spread.effective_rank,
        weights_moved=weights_moved(model, initial),
        seed=seed,
    )
