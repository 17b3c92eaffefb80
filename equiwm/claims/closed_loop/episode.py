"""One task of a closed loop over its orbit, as a cell of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from equiwm.claims.closed_loop.claim import OWN
from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.claims.closed_loop.result import Paths, Ranking, TaskResult
from equiwm.claims.probe import held_out_seed
from equiwm.config import PlanningConfig
from equiwm.devices import DTYPES
from equiwm.errors import ConfigError, DataError, nearest
from equiwm.loading import load_run
from equiwm.planning.acting import NetworkPolicy
from equiwm.planning.control import Episodes, Goal, PlannerPolicy, Policy, ReplayPolicy, build_planner, run_episodes
from equiwm.planning.goals import TrueRollout, centroid_goal, dynamics_goal, goal_kind, model_goal
from equiwm.planning.ranking import Scored
from equiwm.planning.sampling import PlanSeed
from equiwm.planning.step_metric import StepMetric, fitted, latent_metric
from equiwm.planning.task import REFERENCES, Controller, ControlTask, Tasks
from equiwm.planning.variants import Variant, parse_variant
from equiwm.printable import quoted
from equiwm.results import door
from equiwm.subject import Subject
from equiwm.symmetry.groups import Elements
from equiwm.symmetry.reps import Rep
from equiwm.worlds.world import ControlWorld, StandardWorld, World


@dataclass(frozen=True, eq=False)
class ControlledRun:
    """A run, and what there is to do in its world.

    Attributes:
        subject: the run.
        control: the tasks of its world.
        policy: the policy that acts in the place of the run's planner; None where the run acts itself.
    """

    subject: Subject
    control: ControlTask
    policy: Subject | None = None

    @cached_property
    def step_metric(self) -> StepMetric:
        """That of the latents, fitted on the steps of the training data."""
        subject = self.subject
        return latent_metric(subject.model, subject.train_transitions, subject.group, self.control)

    @cached_property
    def true_metric(self) -> StepMetric:
        """That of the observations, as true dynamics have them for a latent."""
        world = self.subject.world
        rollout = TrueRollout(self.control, world.observation_rep, world.group)
        data = self.subject.train_transitions
        rep = world.observation_rep.linear_part
        return fitted(rollout.encode, data, rep, world.group, equivariant=True, control=self.control)

    @property
    def actor(self) -> Subject:
        """What acts: the policy, or the run."""
        return self.policy or self.subject

    def driven_by(self, policy: Subject) -> ControlledRun:
        """The same tasks, with a policy in the place of the run's planner.

        Raises:
            ConfigError: no policy, or one of another world or of other reps.
        """
        if policy.policy is None:
            raise ConfigError(f"{policy.path} is no policy; expected a run of `equiwm distill`.")
        ours, theirs = self.subject.world, policy.world
        if ours.name != theirs.name or ours.group != theirs.group:
            raise ConfigError(
                f"the policy {policy.path} was cloned in the world '{theirs.name}' ({theirs.group}); "
                f"{self.subject.path} lives in '{ours.name}' ({ours.group})."
            )
        given = [(world.observation_rep, world.action_rep, world.components) for world in (ours, theirs)]
        if given[0] != given[1]:
            raise ConfigError(
                f"the policy {policy.path} takes observations {theirs.observation_rep} and gives actions "
                f"{theirs.action_rep}; those of {self.subject.path} are {ours.observation_rep} and {ours.action_rep}."
            )
        return replace(self, policy=policy)


def controlled(subject: Subject, task: str = OWN, demonstrations: Path | None = None) -> ControlledRun:
    """A run with the tasks of its world, whose frames are fitted to the data it was trained on.

    Args:
        subject: the run.
        task: the world's own tasks, or the name of those that others measure it by.
        demonstrations: recorded episodes, for tasks that take starts and goals from them.

    Raises:
        ConfigError: a task that the world does not have, or demonstrations for one that takes none.
        DataError: a world in which there is nothing to reach, or demonstrations that cannot be read.
    """
    world = subject.world
    if task != OWN:
        if not isinstance(world, StandardWorld):
            raise ConfigError(
                f"--task {quoted(task)}: the world '{world.name}' has no tasks but its own; leave --task out."
            )
        if task not in world.standard_tasks:
            raise ConfigError(f"--task: unknown task {quoted(task)}: {nearest(task, [OWN, *world.standard_tasks])}")
        return ControlledRun(subject, world.standard(task, demonstrations))
    if demonstrations is not None:
        raise ConfigError("--demonstrations goes with --task wm; the world's own tasks have starts of their own.")
    if not isinstance(world, ControlWorld):
        raise DataError(f"the world '{world.name}' has no tasks, so no loop can be closed in it: give it a `control`.")
    return ControlledRun(subject, world.control(subject.train_transitions.observation))


def usual_task(world: World) -> str:
    """The tasks that a policy of a world is for: the world's own, unless it says which."""
    return str(getattr(world, "usual_task", OWN))


@lru_cache(maxsize=2)
def _controlled(
    run: str,
    checkpoint: str,
    trust: tuple[str, ...],
    dtype: str,
    device: str,
    task: str,
    demonstrations: Path | None,
    policy: str | None,
    policy_checkpoint: str | None,
) -> ControlledRun:
    """A run and its tasks, kept from cell to cell; another checkpoint at the same place is another one."""
    found = controlled(load_run(run, DTYPES[dtype], device, trust=trust), task, demonstrations)
    return found if policy is None else found.driven_by(load_run(policy, DTYPES[dtype], device, trust=trust))


def check_controller(run: ControlledRun, controller: Controller, config: PlanningConfig) -> str:
    """The kind of goal (`planning.goals.goal_kind`) of a controller; `none` of a policy, which plans for none.

    Raises:
        ConfigError: planning settings out of range, a goal that the model cannot express, or a reference that the
            world does not have.
    """
    if controller != "model" and controller not in run.control.references:
        raise ConfigError(
            f"the world '{run.subject.world.name}' has no line '{controller}' ({REFERENCES[controller]}); it has: "
            f"{', '.join(run.control.references) or 'none'}."
        )
    if controller == "model" and run.actor.policy is not None:
        return "none"
    return goal_kind(config, run.subject.model, run.control)


def _goal(run: ControlledRun, controller: Controller, config: PlanningConfig) -> Goal:
    kind = check_controller(run, controller, config)
    if controller == "centroid":
        return centroid_goal(config, run.control)
    if controller == "dynamics":
        world = run.subject.world
        metric = run.true_metric if kind == "steps" else None
        return dynamics_goal(config, kind, run.control, world.observation_rep, world.group, metric)
    return model_goal(config, kind, run.subject.model, run.control, run.step_metric if kind == "steps" else None)


def _idle(action_rep: Rep, steps: int) -> ReplayPolicy:
    """No action in any step of one episode."""
    return ReplayPolicy(torch.zeros(1, steps, *action_rep.shape, dtype=torch.float64), steps)


def drive(
    run: ControlledRun,
    controller: Controller,
    config: PlanningConfig,
    variant: Variant,
    tasks: Tasks,
    g: Elements,
    seeds: list[PlanSeed],
) -> Episodes:
    """Episodes of tasks turned by g; one seed for a task, whichever way it is turned: paired."""
    steps, replan = run.control.steps or config.steps, config.replan
    policy: Policy
    if controller == "replay":
        assert tasks.actions is not None  # check_controller
        policy = ReplayPolicy(tasks.actions, steps)
    elif controller == "model":
        policy, replan = acting(run, config, variant, seeds, g)
    else:
        policy = planning(run, config, variant, seeds, g, controller)
    episodes = run_episodes(run.control, tasks, policy, steps=steps, replan=replan)
    return replace(episodes, scored=policy.scored) if isinstance(policy, PlannerPolicy) else episodes


def planning(
    run: ControlledRun,
    config: PlanningConfig,
    variant: Variant,
    seeds: Sequence[PlanSeed],
    g: Elements,
    controller: Controller = "model",
) -> PlannerPolicy:
    """The planner of a run, an episode a seed; `g` is how each is turned, which only the variant `paper` looks at.

    Raises:
        ConfigError: as `check_controller`.
    """
    return PlannerPolicy(
        run.control,
        build_planner(config, variant),
        variant,
        _goal(run, controller, config),
        run.subject.world.action_rep,
        seeds,
        oracle=g,
        shrink=config.shrink,
        hold=config.hold,
        warm=config.warm,
    )


def acting(
    run: ControlledRun, config: PlanningConfig, variant: Variant, seeds: Sequence[PlanSeed], g: Elements
) -> tuple[Policy, int]:
    """What drives the episodes of a run, its policy or its planner, and how many of its actions are carried out before
    it is asked again.

    Raises:
        ConfigError: as `check_controller`.
    """
    actor = run.actor
    if actor.policy is None:
        return planning(run, config, variant, seeds, g), config.replan
    hold = actor.planning.hold
    steps = run.control.steps or config.steps
    return NetworkPolicy(actor.policy, run.control, steps=steps, hold=hold), hold


@torch.no_grad()
def orbit_cell(params: dict[str, Any]) -> dict[str, Any]:
    """One task at the identity and at every element of the orbit, with one planner seed.

    Args:
        params: `run`, `checkpoint` (its hash), `trust`, `dtype`, `device`, `controller`, `planner` (variant),
            `planning` (its settings), `task` (its number), `orbit` (as `parse_orbit` takes it; null is the identity
            alone), `seed` (of tasks, planner and orbit) and `record` (whether to keep what a figure needs); of tasks
            that are not the world's own `of` (their name) and `demonstrations` (a path, or null); of a policy in the
            place of the run's planner `policy` (its run) and `policy_checkpoint` (its hash).

    Returns:
        A `TaskResult` as JSON data; with `record` its points as well.
    """
    recorded = params.get("demonstrations")
    run = _controlled(
        params["run"],
        params["checkpoint"],
        tuple(params.get("trust", ())),
        params["dtype"],
        params["device"],
        params.get("of", OWN),
        None if recorded is None else Path(recorded),
        params.get("policy"),
        params.get("policy_checkpoint"),
    )
    world, control = run.subject.world, run.control
    config, variant, seed = PlanningConfig(**params["planning"]), parse_variant(params["planner"]), params["seed"]
    g = world.group.identity(1)
    if params["orbit"] is not None and control.unturned is None:
        orbit = parse_orbit(params["orbit"], world, seed).elements
        g = Elements.cat([g, orbit])
    task = params["task"]
    tasks = control.tasks(task + 1, held_out_seed(seed)).take([task] * len(g))
    tasks = tasks if control.unturned else control.turned(tasks, g)
    if control.steps is None:
        episodes = drive(run, params["controller"], config, variant, tasks, g, [[seed, task]] * len(g))
    else:  # each ends when it is solved, so that none waits for another
        parts = [
            drive(run, params["controller"], config, variant, tasks.take([m]), g[m : m + 1], [[seed, task]])
            for m in range(len(g))
        ]
        episodes = Episodes(
            torch.cat([part.observations for part in parts]),
            [r for part in parts for r in part.excluded],
            sum((part.scored for part in parts), Scored()),
        )
    angle, distance = control.pose_error(episodes.observations, tasks.goal[:, None])
    moved, _ = control.pose_error(episodes.observations[:, -1], episodes.observations[:, 0])
    errors = control.channel_errors(episodes.observations, tasks.goal[:, None])
    reached, reward = control.judge(episodes.observations, tasks.goal[:, None])
    result = TaskResult(
        angle.tolist(),
        distance.tolist(),
        moved.tolist(),
        list(episodes.excluded),
        channels={name: error.tolist() for name, error in errors.items()},
        reached={source: poses.any(-1).tolist() for source, poses in reached.items()},
        begun={source: poses[:, 0].tolist() for source, poses in reached.items()},
        reward=reward.amax(-1).tolist() if reached else [],
        ranking=Ranking(**asdict(episodes.scored)),
    )
    if params["controller"] == "model":
        steps = control.steps or config.steps
        left_alone = run_episodes(control, tasks.take([0]), _idle(world.action_rep, steps), steps=steps, replan=steps)
        steered, _ = control.pose_error(episodes.observations[:1, -1], left_alone.observations[:, -1])
        result = replace(result, steered_deg=float(steered[0]))
    if params["record"]:
        track, aim = control.track(episodes.observations), control.track(tasks.goal)
        points = Rep(((track.shape[-2], "p"),), world.group.d)
        back = g.inverse()
        paths = Paths(
            parts=list(control.parts),
            track=track.tolist(),
            goal=aim.tolist(),
            track_back=points.transform_samples(track, back[:, None]).tolist(),
            goal_back=points.transform_samples(aim, back).tolist(),
        )
        result = replace(result, points=paths)
    return door.to_builtins(result)
