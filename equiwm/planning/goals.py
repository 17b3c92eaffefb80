"""What a plan is to reach, as a cost: by the model, by the true dynamics, or by the centroid alone."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.config import PlanningConfig
from equiwm.errors import ConfigError
from equiwm.models.clouds import centred
from equiwm.models.world_model import IdentityEncoder, WorldModel
from equiwm.planning.control import Goal
from equiwm.planning.costs import LatentGoal, Objective, ProcrustesGoal, Term
from equiwm.planning.rollouts import compile_rollout, ranking_rollout, trajectory_shape
from equiwm.planning.step_metric import StepMetric
from equiwm.planning.task import ControlTask
from equiwm.planning.view import PlannerView
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep


def goal_kind(config: PlanningConfig, model: WorldModel, control: PlannerView) -> str:
    """`pose`, `keypoints`, `latent`, `steps` or `procrustes`: the configured goal, or if it is null what the model can
    express.

    Raises:
        ConfigError: a goal of pose or keypoints for a model whose latent is not the state, or in a world whose state
            shows none; a rotation between latents that are not vectors alone.
    """
    if config.goal == "procrustes" and not model.latent_rep.vectors_only:
        raise ConfigError(
            f"goal procrustes: the best rotation is one between vectors, the latent is {model.latent_rep}; ask for "
            "--goal latent or --goal steps."
        )
    is_state = isinstance(model.encoder, IdentityEncoder)
    anything = torch.ones(1, *model.observation_rep.shape)
    for kind in ("pose", "keypoints"):
        if config.goal == kind and not (is_state and _state_term(kind, config, control, anything) is not None):
            lacks = f"the state shows no {kind}" if is_state else f"the latent ({model.latent_rep}) is not the state"
            raise ConfigError(
                f"goal {kind}: {lacks}, so the pose that a plan leads to is not known; ask for --goal latent or steps."
            )
    return config.goal or (
        "pose" if is_state and _state_term("pose", config, control, anything) is not None else "latent"
    )


def _state_term(kind: str, config: PlanningConfig, control: PlannerView, goal: Tensor) -> Term | None:
    """The cost in state space of a goal `pose` or `keypoints`; None where the world has none."""
    if kind == "keypoints":
        return control.keypoint_term(goal, running=config.running, approach=config.approach, passing=config.passing)
    return control.pose_term(goal, running=config.running, approach=config.approach, weight=config.position_weight)


def _terms(kind: str, config: PlanningConfig, latent: Tensor, metric: StepMetric | None) -> list[Term]:
    if kind == "procrustes":
        return [ProcrustesGoal(latent, running=config.running)]
    return [LatentGoal(latent, running=config.running, matrix=None if metric is None else metric.matrix)]


def model_goal(
    config: PlanningConfig, kind: str, model: WorldModel, control: PlannerView, metric: StepMetric | None = None
) -> Goal:
    """The cost of what the model predicts, and beside a latent goal the centroid's, where the world gives it.

    Args:
        config: weights of the terms.
        kind: of the goal (`goal_kind`).
        model: in the dtype and on the device to evaluate in.
        control: the world's tasks.
        metric: of the latents, for a goal `steps`.
    """
    rollout = compile_rollout(model)
    quick = ranking_rollout(model) if config.ranking == "float32" else None
    parameter = next(model.parameters())

    @torch.no_grad()
    def goal(observation: Tensor, wanted: Tensor, horizon: int) -> Objective:
        latent, aim = (model.encode(part.to(parameter)) for part in (observation, wanted))
        if kind in ("pose", "keypoints"):
            term = _state_term(kind, config, control, wanted)
            assert term is not None  # goal_kind has refused the others
            return Objective([term], rollout, latent, quick)
        terms = [*_terms(kind, config, aim, metric), *_centroid(config, control, observation, wanted, horizon, metric)]
        return Objective(terms, rollout, latent, quick)

    return goal


def _centroid(
    config: PlanningConfig,
    control: PlannerView,
    observation: Tensor,
    wanted: Tensor,
    horizon: int,
    metric: StepMetric | None,
) -> list[Term]:
    if not config.centroid:
        return []
    weight = config.centroid / (metric.centroid if metric is not None and metric.centroid else 1.0)
    term = control.centroid_term(observation, wanted, weight=weight, horizon=horizon)
    return [] if term is None else [term]


def centroid_goal(config: PlanningConfig, control: PlannerView) -> Goal:
    """The cost of the centroid alone, in closed form: what control comes to without a world model.

    Raises:
        ConfigError: when it is called in a world that gives no centroid in closed form.
    """

    def goal(observation: Tensor, wanted: Tensor, horizon: int) -> Objective:
        term = control.centroid_term(observation, wanted, weight=config.centroid or 1.0, horizon=horizon)
        if term is None:
            raise ConfigError("this world does not give its centroid in closed form.")
        return Objective([term])

    return goal


class TrueRollout:
    """The world's own dynamics as a rollout: its latent is the observation, points less their mean.

    Args:
        control: the world's tasks, which can `simulate`.
        rep: of the observations.
        group: of the world: points count from their mean where it translates; None is where they always do.
    """

    def __init__(self, control: ControlTask, rep: Rep, group: Group | None = None) -> None:
        self._control, self._rep, self._group = control, rep, group

    def encode(self, observation: Tensor) -> Tensor:
        """(T, *rep.shape) -> (T, dim)."""
        return centred(observation, self._rep, self._group).flatten(1)

    def __call__(self, latent: Tensor, actions: Tensor) -> Tensor:
        """See `rollouts.Rollout`.

        Raises:
            ConfigError: a world that does not simulate plans.
        """
        found = self._control.simulate(latent.unflatten(-1, self._rep.shape), actions)
        if found is None:
            raise ConfigError("this world does not simulate plans: it has no line of its true dynamics.")
        seen = centred(found, self._rep, self._group).flatten(3).unflatten(3, trajectory_shape(self._rep))
        return seen.permute(0, 2, 3, 4, 1)


def dynamics_goal(
    config: PlanningConfig,
    kind: str,
    control: ControlTask,
    rep: Rep,
    group: Group | None = None,
    metric: StepMetric | None = None,
) -> Goal:
    """The same cost, of true observations in place of latents: what control comes to with a perfect model.

    Args:
        config: weights of the terms.
        kind: of the goal (`goal_kind`).
        control: the world's tasks.
        rep: of the observations.
        group: of the world, as of `TrueRollout`.
        metric: of the observations, for a goal `steps`.
    """
    rollout = TrueRollout(control, rep, group)

    def goal(observation: Tensor, wanted: Tensor, horizon: int) -> Objective:
        terms = [*_terms(kind, config, rollout.encode(wanted), metric)]
        terms += _centroid(config, control, observation, wanted, horizon, metric)
        return Objective(terms, rollout, rollout.encode(observation))

    return goal
