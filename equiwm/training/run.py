"""A training in a run directory: it can be interrupted anywhere and taken up again."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch

from equiwm.audit.spread import latent_spread
from equiwm.boundary import machine_error
from equiwm.config import Config, foreign_names
from equiwm.disk.files import atomic_writer
from equiwm.errors import ConfigError, EquiwmError, RunError, TrainingError
from equiwm.loading import checkpoint_state, read_tensors
from equiwm.locate import RAISED
from equiwm.models.factory import build_model, check_objective
from equiwm.models.world_model import WorldModel
from equiwm.results.train import TrainResult
from equiwm.runs import Run, check_name
from equiwm.training.data import training_data
from equiwm.training.fit import Fit
from equiwm.training.objective import columns
from equiwm.training.optimizers import build_optimizer
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Sequences, Transitions, World


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


def weights_moved(model: WorldModel, initial: WorldModel) -> float:
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
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed)
        check_objective(config.training, model)
        if foreign_names(config.as_dict()):
            _rehearse(config, model, world)
    except (MemoryError, RuntimeError) as error:  # torch's allocator raises RuntimeError
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise machine_error(error, "the model cannot be built") or ConfigError(
            f"the model cannot be built: {reason}"
        ) from None
    run = Run(folder / name)
    if resume and run.state != "absent":
        Run.open(run.path, needs_checkpoint=False).require_same(config.as_dict(), seed)
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
        return Run.open(folder / name, needs_checkpoint=False)
    return Run.create(folder, name, config.as_dict(), seed=seed, command=command)


def train_run(run: Run, *, device: torch.device, progress: TrainingProgress | None = None) -> TrainResult:
    """Train what `run.config` describes, from where it stands, and write checkpoint, history and metrics.

    After every epoch history and `resume.pt` are written; when the last is done, `checkpoint.pt` replaces it. The
    weights do not depend on how often the training was interrupted.

    Raises:
        RunError: the run is in use, complete, or its `resume.pt` is damaged.
        TrainingError: the training diverged or collapsed; history and the last good `resume.pt` stay.
    """
    progress = progress or NoProgress()
    with run.lock():
        if run.state == "complete":
            raise RunError(f"the run {run.path} is complete; pass another --name to train again.")
        started = time.perf_counter()
        config, seed = run.config, run.header.seed
        world = build_world(config.world)
        data = training_data(config.training, world, seed=seed, progress=progress.data)
        model = build_model(config.model, world.observation_rep, world.action_rep, seed=seed).to(device)
        initial = copy.deepcopy(model)
        fit = Fit(config.training, model, data.to(torch.float32, device), seed=seed)
        before = 0.0
        if run.resume_point.exists():
            state = read_tensors(run.resume_point)
            try:
                fit.load_state_dict(state)
                before = float(state["seconds"])
            except (KeyError, RuntimeError, ValueError, TypeError):
                raise RunError(f"{run.resume_point} is damaged: delete {run.path} and train again.") from None
        steps_started = time.perf_counter()
        while not fit.done:
            row = fit.run_epoch()
            run.extend_history([row])
            seconds = before + time.perf_counter() - started
            with atomic_writer(run.resume_point) as file:
                torch.save({**fit.state_dict(), "seconds": seconds}, file)
            progress.epoch(fit.epoch, config.training.epochs, row["loss"])
        steps_seconds = time.perf_counter() - steps_started
        result = _result(run, model, initial, data, seed, before + time.perf_counter() - started, steps_seconds)
        run.record("train", None, result.as_dict())
        with atomic_writer(run.checkpoint) as file:
            torch.save(checkpoint_state(model, fit.target.state_dict()), file)
        run.resume_point.unlink(missing_ok=True)
    return result


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
    with torch.no_grad():
        spread = latent_spread(model.encode(columns(data)[0].to(next(model.parameters()))))
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
