"""Some tasks of a round of a distillation, driven and labelled as a cell of a grid."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from equiwm.claims.closed_loop.episode import ControlledRun, controlled
from equiwm.config import PlanningConfig
from equiwm.distilling.improve import Near, improve
from equiwm.distilling.labels import Driven, Labels, drive
from equiwm.errors import RunError
from equiwm.loading import load_run, policy_network
from equiwm.models.policy import Policy
from equiwm.runs import Run
from equiwm.tensors import read_tensors, require_tensors, size_limit

_TASKS = 0xD15_71  # a stream of random numbers of its own
_COPIES = 64


def label_cell(params: dict[str, Any]) -> dict[str, Any]:
    """Some tasks of a round, as a cell of a grid.

    Args:
        params: of the teacher `run`, `checkpoint` (its hash) and `trust`; `planning` (its settings) and `task` (which
            tasks); `seed` of the policy, `round`, and the numbers of the tasks, `first` and `count`; `length` of a
            label, `share` and `mean`; `near`, the settings of `Near` in a round that improves the policy, null in
            others; and of the policy `policy` (its run, whose `resume.pt` has its weights), `weights` (their hash) and
            `policy_trust`; null in a round that the planner drives alone.

    Returns:
        `Driven` as JSON data.
    """
    run = _teacher(params["run"], params["checkpoint"], tuple(params["trust"]), params["task"])
    network = None
    if params["policy"] is not None:
        network = _network(params["policy"], params["weights"], tuple(params["policy_trust"]))
    numbers = range(params["first"], params["first"] + params["count"])
    # Of each round its own tasks, and none that an evaluation has: its seeds are drawn in another way.
    seed = int(np.random.SeedSequence((_TASKS, params["seed"], params["round"])).generate_state(1, np.uint64)[0] >> 1)
    config, tasks = PlanningConfig(**params["planning"]), run.control.tasks(numbers[-1] + 1, seed).take(list(numbers))
    seeds = [[params["seed"], params["round"], number] for number in numbers]
    length = params["length"]
    with torch.no_grad():
        if params["near"] is None:
            settings = {"share": params["share"], "mean": params["mean"]}
            driven = drive(run, config, tasks, seeds, network=network, length=length, **settings)
        else:
            assert network is not None
            driven = improve(run, config, Near(**params["near"]), tasks, seeds, network=network, length=length)
    labels = {name: getattr(driven.labels, name).tolist() for name in Labels.names()}
    return {**labels, "solved": driven.solved.tolist(), "plans": driven.plans}


def as_driven(result: dict[str, Any]) -> Driven:
    """What `label_cell` gave."""
    labels = Labels(*(torch.tensor(result[name], dtype=torch.float64) for name in Labels.names()))
    return Driven(labels, torch.tensor(result["solved"], dtype=torch.bool), int(result["plans"]))


@lru_cache(maxsize=1)
def _teacher(run: str, checkpoint: str, trust: tuple[str, ...], task: str) -> ControlledRun:
    """Kept from cell to cell; in float32, as it was trained: labels need not be exact, and cost half the time."""
    return controlled(load_run(run, torch.float32, "cpu", trust=trust), task)


@lru_cache(maxsize=1)
def _network(path: str, weights: str, trust: tuple[str, ...]) -> Policy:
    """The policy that stands in the `resume.pt` of its run."""
    run = Run.open(path, needs_checkpoint=False, trust=trust)
    from equiwm.worlds.factory import build_world

    policy = policy_network(run, build_world(run.config.world))
    state = read_tensors(run.resume_point, limit=size_limit(policy, _COPIES))
    require_tensors(state.get("policy"), policy, run.resume_point)
    if state.get("weights") != weights:
        raise RunError(f"{run.resume_point} was changed while its policy was in use; distill again with --resume.")
    policy.load_state_dict(state["policy"])
    return policy.eval()
