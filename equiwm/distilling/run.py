"""A distillation in a run directory: it can be interrupted anywhere and taken up again."""

from __future__ import annotations

import hashlib
import io
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from equiwm.claims.closed_loop.episode import ControlledRun, planning
from equiwm.claims.distill.claim import CLAIM
from equiwm.claims.distill.result import DistillResult, RoundResult
from equiwm.claims.store import Stores
from equiwm.disk.files import atomic_writer, write_atomic
from equiwm.disk.ownership import remove_file
from equiwm.distilling.cells import as_driven, label_cell
from equiwm.distilling.fit import PolicyFit
from equiwm.distilling.improve import Near
from equiwm.distilling.labels import VARIANT, Driven, Labels
from equiwm.distilling.prepare import Recipe
from equiwm.errors import ClosedLoopError, DataError, RunError
from equiwm.grid import Cell, run_grid
from equiwm.grid import Progress as GridProgress
from equiwm.layout.binding import read_binding
from equiwm.layout.history import history_sha256, require_history
from equiwm.loading import policy_network, policy_state
from equiwm.models.policy import Policy
from equiwm.planning.acting import NetworkPolicy
from equiwm.results.measured import Measured, to_builtins
from equiwm.runs import Run
from equiwm.stats import wilson_interval
from equiwm.tensors import read_tensors, require_same_precision, require_tensors, size_limit
from equiwm.training.data import tensors_of

BLOCK = 8
"""Tasks of a cell; one where an episode ends when it is solved, so that none waits for another."""
_COPIES = 64  # of a policy's tensors in `resume.pt`, what an optimiser keeps among them
_REPEATS = 5


class DistillProgress(Protocol):
    """What a distillation tells whoever watches it."""

    def episodes(self, round: int, done: int, total: int) -> None:
        """Blocks of episodes of a round so far."""
        ...

    def epoch(self, done: int, total: int, loss: float) -> None:
        """Epochs so far, and the last one's loss."""
        ...


class NoDistillProgress(DistillProgress):
    """A distillation that nobody watches."""

    def episodes(self, round: int, done: int, total: int) -> None:
        pass

    def epoch(self, done: int, total: int, loss: float) -> None:
        pass


@dataclass(frozen=True, eq=False)
class _Round:
    driven: list[Driven]
    seconds: float

    @property
    def labels(self) -> Labels:
        return Labels.cat([each.labels for each in self.driven])

    @property
    def solved(self) -> tuple[int, int]:
        """How many tasks were solved, of how many."""
        return sum(int(each.solved.sum()) for each in self.driven), sum(len(each.solved) for each in self.driven)


def distill_run(
    made: Recipe,
    teacher: ControlledRun,
    run: Run,
    *,
    jobs: int = 1,
    progress: DistillProgress | None = None,
    completed: Callable[[Run], None] | None = None,
) -> DistillResult:
    """Distill what the run describes, from where it stands, and write checkpoint, history and metrics.

    In each round episodes are driven and labelled, as cells of a grid that keep what is finished; then the policy is
    fitted to all labels so far (in a round that improves it, to those of the last ones), and `resume.pt` is written
    after every epoch. The weights depend neither on how often it was interrupted nor on the number of jobs.

    Args:
        made: what is to be distilled.
        teacher: the teacher, and the tasks of its world.
        run: the policy's run, as `prepare_policy` gives it.
        jobs: processes that drive episodes.
        progress: is told of episodes and epochs.
        completed: is given the complete run while it is still held, as by `train_run`.

    Raises:
        DataError: the planner fails its tasks, so that there is nothing to clone.
        ClosedLoopError: episodes failed; the others are kept.
        TrainingError: the fit diverged; history and the last good `resume.pt` stay.
        RunError: the run is in use or complete, or its `resume.pt` is damaged.
    """
    progress = progress or NoDistillProgress()
    config, world = made.config, teacher.subject.world
    with run.lock():
        if run.state == "complete":
            raise RunError(f"the run {run.path} is complete; pass another --name to distill again.")
        if made.subject.has_own_data and not run.data_path.exists():
            with atomic_writer(run.data_path) as file:
                torch.save(tensors_of(made.subject.train), file)
        policy = policy_network(run, world)
        fit = PolicyFit(config, policy, seed=made.seed, group=world.group)
        weights, seconds = _taken_up(run, fit)
        history = history_sha256(run.history_path, fit.epoch) if fit.epoch else None
        rows, rounds = run.history_writer(), list[_Round]()
        with Stores(run.path / CLAIM.name) as stores:
            store = stores.open(made.sections())
            for number in range(config.total_rounds):
                if number == len(weights):
                    weights.append(fit.weights)
                found = _driven(made, teacher, run, number, weights[number], store, jobs, progress)
                if number == 0:
                    try:
                        _require_teaching(made, found)
                    except DataError:
                        stores.remove()
                        raise
                rounds.append(found)
                if fit.round > number:
                    continue
                last = 0 if number < config.rounds else max(0, number + 1 - config.improved_from)
                fit.take(Labels.cat([each.labels for each in rounds[last:]]))
                started = time.process_time()
                while fit.round <= number:
                    row = fit.run_epoch()
                    history = rows.extend([row])
                    spent = seconds + time.process_time() - started
                    state = {**fit.state_dict(), "rounds": weights, "seconds": spent}
                    with atomic_writer(run.resume_point) as file:
                        torch.save({**state, **run.binding(fit.epoch, history).as_entries()}, file)
                    progress.epoch(fit.epoch, config.total_epochs, row["loss"])
                seconds += time.process_time() - started
            result = _result(made, teacher, run, policy.eval(), rounds, seconds)
            content = io.BytesIO()
            torch.save(policy_state(policy, run.binding(fit.epoch, history)), content)
            # The run is complete once the checkpoint is there, so the result that names it comes first.
            sha256 = hashlib.sha256(content.getbuffer()).hexdigest()
            run.record(CLAIM.name, None, to_builtins(Measured(result, checkpoint_sha256=sha256)))
            write_atomic(run.checkpoint, content.getvalue())
            remove_file(run.resume_point)
            stores.remove()
        if completed is not None:
            completed(run)
    return result


def _driven(
    made: Recipe,
    teacher: ControlledRun,
    run: Run,
    number: int,
    weights: str,
    store: Path,
    jobs: int,
    progress: DistillProgress,
) -> _Round:
    """The episodes of round `number`, counted from 0, whose policy has the weights of that hash.

    Raises:
        DataError: the planner fails the first tasks, so that the others are not driven.
        ClosedLoopError: a cell failed.
    """
    config, subject = made.config, made.subject
    block = 1 if teacher.control.steps else BLOCK
    near = Near(config.improved_states, config.improved_margin, config.improved_sigma)
    params = {
        "run": str(subject.stored.path.resolve()),
        "checkpoint": subject.checkpoint_sha256,
        "trust": list(subject.trust),
        "planning": {**asdict(subject.planning), **({"warm": False} if config.fresh else {})},
        "task": config.task,
        "seed": made.seed,
        "round": number,
        "share": config.share(number),
        "length": config.plan or 1,
        "mean": config.label == "mean",
        "near": asdict(near) if number >= config.rounds else None,
        "policy": str(run.path.resolve()) if number else None,
        "weights": weights if number else None,
        "policy_trust": list(run.trust) if number else [],
    }
    cells = [
        Cell(f"round={number},tasks={first}", {**params, "first": first, "count": min(block, config.tasks - first)})
        for first in range(0, config.tasks, block)
    ]
    found: list[Driven] = []
    seconds = 0.0
    # The first tasks alone, then the others: a planner that fails them all is refused before it fails the rest.
    ahead = -(-BLOCK // block) if number == 0 else 0
    for part, some in enumerate((cells[:ahead], cells[ahead:])):
        if not some:
            continue
        done = run_grid(
            label_cell,
            some,
            store / f"round-{number}-{part}",
            jobs=jobs,
            resume=True,
            progress=_counted(progress, number, len(found), len(cells)),
        )
        failed = [(cell.cell.key, cell.error) for cell in done if cell.error]
        if failed:
            key, error = failed[0]
            assert error is not None
            raise ClosedLoopError(
                f"{len(failed)} of {len(done)} blocks of episodes failed, the first at {key}: {error.type}: "
                f"{error.message} The others are kept; --resume goes on from there."
            )
        found += [as_driven(cell.result) for cell in done if cell.result is not None]
        seconds += sum(cell.seconds for cell in done)
        if number == 0 and part == 0 and _least(_Round(found, 0.0)) < config.least_success:
            break
    return _Round(found, seconds)


def _counted(progress: DistillProgress, number: int, before: int, total: int) -> GridProgress:
    return lambda done, _, __: progress.episodes(number + 1, before + done, total)


def _least(found: _Round) -> float:
    """The largest share of tasks that the planner may solve, by Wilson's interval of those that were tried."""
    return float(wilson_interval(*found.solved).high)


def _require_teaching(made: Recipe, found: _Round) -> None:
    """Refuse a planner that does not solve its own tasks.

    Raises:
        DataError: how many it solved.
    """
    solved, tried = found.solved
    if solved < made.config.least_success * tried:
        raise DataError(
            f"there is nothing to clone: the planner of {made.subject.path} solved {solved} of {tried} tasks "
            f"({made.config.task}), expected a share of {made.config.least_success:g} (policy.least_success).\n"
            "Give a run whose planner solves them, or other --task or settings of planning."
        )


def read_policy_resume(run: Run, policy: Policy) -> dict[str, Any]:
    """The content of `resume.pt`, once it is certain that it belongs to the run, to its network and to its history.

    Args:
        run: the policy's run.
        policy: its network in float32; its weights do not matter.

    Raises:
        RunError: it is damaged, or another run's; or the history is not the one up to its epoch.
    """
    path, (config, _) = run.resume_point, run.policy
    state = read_tensors(path, limit=size_limit(policy, _COPIES))
    binding = read_binding(state, path)
    if binding is not None:
        run.require_own(binding, path)
    require_tensors(state.get("policy"), policy, path)
    require_same_precision(state.get("optimizers"), path)
    epoch, seconds, rounds = state.get("epoch"), state.get("seconds"), state.get("rounds")
    if (
        binding is None
        or type(epoch) is not int
        or not 1 <= epoch <= config.total_epochs
        or binding.epoch != epoch
        or not isinstance(seconds, float)
        or not 0 <= seconds < math.inf
        or not isinstance(rounds, list)
        or not all(isinstance(each, str) for each in rounds)
        or len(rounds) != config.finished(epoch - 1) + 1
    ):
        raise RunError(f"{path} is damaged: it stands at no epoch of this run; delete {run.path} and distill again.")
    require_history(run.history_path, epoch, binding.history_sha256, path)
    return state


def _taken_up(run: Run, fit: PolicyFit) -> tuple[list[str], float]:
    """Put a fit where its `resume.pt` stands: hashes of each round's policy, and the seconds that it has taken.

    Raises:
        RunError: as `read_policy_resume`.
    """
    if not os.path.lexists(run.resume_point):
        return [], 0.0
    state = read_policy_resume(run, fit.policy)
    try:
        fit.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError, TypeError):
        raise RunError(f"{run.resume_point} is damaged: delete {run.path} and distill again.") from None
    return list(state["rounds"]), float(state["seconds"])


def _result(
    made: Recipe, teacher: ControlledRun, run: Run, policy: Policy, rounds: Sequence[_Round], seconds: float
) -> DistillResult:
    history, config = run.history(), made.config
    told, labels = [], 0
    for number, each in enumerate(rounds):
        share = wilson_interval(*each.solved)
        labels += len(each.labels)
        told.append(
            RoundResult(
                planner_share=config.share(number),
                success=share.estimate,
                ci95=(share.low, share.high),
                plans=sum(driven.plans for driven in each.driven),
                labels=labels,
                loss=history[config.last_epoch(number) - 1]["loss"],
            )
        )
    decision, plan = _milliseconds(teacher, policy, rounds[0].labels)
    return DistillResult(
        teacher=made.teacher.name,
        teacher_sha256=made.teacher.checkpoint_sha256,
        encoder=config.encoder,
        augment=config.augment,
        task=config.task,
        group=teacher.subject.world.group.name,
        parameters=policy.parameter_count,
        tasks=config.tasks,
        rounds=told,
        first_loss=history[0]["loss"],
        final_loss=history[-1]["loss"],
        plan_seconds=sum(each.seconds for each in rounds),
        fit_seconds=seconds,
        decision_ms=decision,
        plan_ms=plan,
        seed=made.seed,
    )


def _milliseconds(teacher: ControlledRun, policy: Policy, labels: Labels) -> tuple[float, float]:
    """Medians of one decision and of one plan, from one observation: CPU milliseconds, whoever else is at work."""
    config = teacher.subject.planning
    steps = teacher.control.steps or config.steps
    observation, goal = labels.observation[:1], labels.goal[:1]
    acting = NetworkPolicy(policy, teacher.control, steps=steps, hold=config.hold)
    planner = planning(teacher, config, VARIANT, [[0]], teacher.subject.world.group.identity(1))
    found = []
    for call, repeats in ((acting, 20 * _REPEATS), (planner, _REPEATS)):
        spent = []
        for _ in range(repeats):
            started = time.process_time()
            call(observation, goal, steps)
            spent.append(1e3 * (time.process_time() - started))
        found.append(statistics.median(spent))
    return found[0], found[1]
