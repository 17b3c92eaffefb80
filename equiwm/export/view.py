"""What a planner reads off observations, without a world: measured on the world once, and kept in `export.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from equiwm.config import PlanningConfig
from equiwm.errors import ConfigError, DataError
from equiwm.export.record import CentroidRecord, MetricRecord, PlanRecord
from equiwm.models.world_model import WorldModel
from equiwm.planning.costs import CentroidGoal, PoseGoal
from equiwm.planning.frames import CloudFrames, Frames
from equiwm.planning.goals import goal_kind
from equiwm.planning.step_metric import StepMetric
from equiwm.planning.view import PlannerView

_CLOSE = 1e-9
"""Relative difference up to which a world's own closed form is taken for the linear one that is kept."""


class ExportedView(PlannerView):
    """Frames read off the latent, pose and centroid as the world gave them.

    For E(g x) = rho(g) E(x) the frame of E(x) turns with the scene, as any that a world reads off its own observations.

    Args:
        model: whose latents are vectors alone.
        plan: what was measured.
    """

    def __init__(self, model: WorldModel, plan: PlanRecord) -> None:
        self._model, self._plan = model, plan
        self._frames = CloudFrames(torch.tensor(plan.frame, dtype=torch.float64))
        self._dtype = next(model.parameters()).dtype

    @torch.no_grad()
    def frames(self, observation: Tensor) -> Frames:
        return self._frames(_latent_vectors(self._model, observation.to(self._dtype)))

    def physical(self, actions: Tensor) -> Tensor:
        return actions

    def keypoint_term(self, goal: Tensor, *, running: float, approach: float, passing: bool) -> None:
        return None

    def pose_term(self, goal: Tensor, *, running: float, approach: float, weight: float) -> PoseGoal | None:
        channels = self._plan.pose
        if channels is None:
            return None
        _, position, direction = channels
        return PoseGoal(goal[:, position], goal[:, direction], channels, running, approach, weight)

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal | None:
        kept = self._plan.centroid
        if kept is None:
            return None
        if horizon > len(kept.start):
            raise ConfigError(
                f"planning.horizon: got {horizon}, expected at most {len(kept.start)}, as it was exported."
            )
        start = _combined(kept.start[horizon - 1], observation)
        drift = torch.tensor(kept.drift[horizon - 1], dtype=torch.float64)
        return CentroidGoal(start, _combined(kept.goal, goal), kept.factor * weight, drift, kept.channel)


def _latent_vectors(model: WorldModel, observation: Tensor) -> Tensor:
    return model.encode(observation).unflatten(-1, (-1, model.latent_rep.d)).double()


def _combined(weights: list[float], channels: Tensor) -> Tensor:
    """sum_c w_c x_c: (n, C, d) -> (n, d)."""
    return torch.einsum("c,ncd->nd", torch.tensor(weights, dtype=torch.float64), channels.double())


def measured(
    model: WorldModel,
    config: PlanningConfig,
    control: PlannerView | None,
    observation: Tensor,
    metric: Callable[[], StepMetric],
) -> PlanRecord:
    """What an export has to keep of a world for the plans of the run.

    Args:
        model: of the run.
        config: how it plans.
        control: the world's tasks; None of a world that has none: the goal is then a latent, and nothing else counts.
        observation: (n, C, d) float64, held out, which frames are fitted on.
        metric: of the latents; called for a goal `steps` alone.

    Raises:
        ConfigError, DataError: it cannot plan, and why: latents or actions that are no vectors, a goal that the model
            cannot express, or terms that are not the pose or the linear centroid of `planning.costs`.
    """
    for rep, what in ((model.latent_rep, "latents"), (model.action_rep, "actions")):
        if not rep.vectors_only:
            raise DataError(f"its {what} ({rep}) are not vectors alone.")
    kind = (config.goal or "latent") if control is None else goal_kind(config, model, control)
    if control is None and kind == "pose":
        raise ConfigError("planning.goal: pose, and its world has no tasks that say what a pose is.")
    if kind == "keypoints":
        raise DataError(
            "its goal is the keypoints of an outline, which an export does not keep; it keeps pose and latent goals."
        )
    actions = torch.ones(1, 1, 1, model.action_rep.multiplicity, model.action_rep.d, dtype=torch.float64)
    if control is not None and not torch.equal(control.physical(actions), actions):
        raise DataError("its world takes actions in units of its own, which an export does not keep.")
    frame = CloudFrames.fit(_latent_vectors(model, observation.to(next(model.parameters()))).detach().cpu())
    pose = None if control is None or kind != "pose" else _pose(config, control, observation)
    centroid = None
    if control is not None and kind != "pose" and config.centroid:
        centroid = _centroid(config, control, observation)
    kept = None
    if kind == "steps":
        found = metric()
        kept = MetricRecord(found.matrix.tolist(), found.centroid)
    settings = dataclasses.asdict(config)
    return PlanRecord(settings, kind, frame.weights.tolist(), pose, centroid, kept)  # type: ignore[arg-type]


def _pose(config: PlanningConfig, control: PlannerView, goal: Tensor) -> tuple[int, int, int]:
    term = control.pose_term(goal, running=config.running, approach=config.approach, weight=config.position_weight)
    if type(term) is not PoseGoal:
        raise DataError(f"the cost of its pose is a {type(term).__name__}, which an export does not keep.")
    _, position, direction = term.channels
    _require_same("position of its goal", term.position, goal[:, position])
    _require_same("direction of its goal", term.direction, goal[:, direction])
    if (term.running, term.approach, term.weight) != (config.running, config.approach, config.position_weight):
        raise DataError("the weights of its pose are not those of section planning, which an export keeps.")
    return term.channels


def _centroid(config: PlanningConfig, control: PlannerView, observation: Tensor) -> CentroidRecord | None:
    """The weights of a linear centroid, found on one channel at a time and held against the world's own."""
    found = control.centroid_term(observation, observation, weight=config.centroid, horizon=1)
    if found is None:
        return None
    starts, drifts, other = [], [], observation.roll(1, 0)
    for horizon in range(1, config.horizon + 1):
        read = partial(_centroid_goal, config, control, horizon)
        here = read(observation, other)
        starts.append(_weights(read, "start", observation))
        goal = _weights(read, "goal", observation)
        _require_same("start of its centroid", here.start, _combined(starts[-1], observation))
        _require_same("goal of its centroid", here.goal, _combined(goal, other))
        drifts.append(torch.as_tensor(here.drift).double().expand(horizon).tolist())
    return CentroidRecord(starts, goal, drifts, here.channel, here.weight / config.centroid)


def _centroid_goal(
    config: PlanningConfig, control: PlannerView, horizon: int, start: Tensor, wanted: Tensor
) -> CentroidGoal:
    made = control.centroid_term(start, wanted, weight=config.centroid, horizon=horizon)
    if type(made) is not CentroidGoal:
        raise DataError(f"the cost of its centroid is a {type(made).__name__}, which an export does not keep.")
    return made


def _weights(read: Callable[[Tensor, Tensor], CentroidGoal], what: str, like: Tensor) -> list[float]:
    """The weight of each channel in a linear map (n, C, d) -> (n, d), the `start` or the `goal` of what is read."""
    channels, d = like.shape[1:]
    unit = torch.zeros(channels, channels, d, dtype=torch.float64)
    unit[range(channels), range(channels), 0] = 1.0
    weights: list[float] = getattr(read(unit, unit), what)[:, 0].tolist()
    return weights


def _require_same(what: str, given: Tensor, kept: Tensor) -> None:
    size = float(given.abs().max())
    if given.shape != kept.shape or not float((given - kept).abs().max()) <= _CLOSE * max(size, 1e-300):
        raise DataError(f"the {what} is no fixed combination of what is observed, which is all that an export keeps.")
