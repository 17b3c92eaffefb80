"""An exported model in use: `equiwm.load_export("runs/vn-2d/export/onnx").plan(observation, goal)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.checks import as_finite, as_path
from equiwm.config import PlanningConfig, planning_of
from equiwm.devices import DTYPES
from equiwm.errors import ConfigError, DataError, TrustError
from equiwm.export.programs import ProgramLayer, onnx_call, torch_call
from equiwm.export.record import FILES, ExportRecord, PlanRecord, read_record
from equiwm.export.view import ExportedView
from equiwm.export.weights import from_weights
from equiwm.models.world_model import WorldModel
from equiwm.planning.control import build_planner
from equiwm.planning.costs import Objective
from equiwm.planning.goals import model_goal
from equiwm.planning.sampling import PlanSeed
from equiwm.planning.step_metric import StepMetric
from equiwm.planning.variants import parse_variant
from equiwm.schema import build
from equiwm.symmetry.reps import Rep
from equiwm.trust import is_sealed

Given = Tensor | np.ndarray
"""Numbers from a user: a tensor or a numpy array of any float dtype."""


class ExportedModel:
    """A world model that was exported, for use in a loop: on the CPU, without gradients.

    Use `equiwm.load_export`.

    Attributes:
        record: what it says of itself.
        model: encoder and predictor, as those of a run.
        planning: how it plans.
    """

    def __init__(self, record: ExportRecord, model: WorldModel, planning: PlanningConfig) -> None:
        self.record, self.model, self.planning = record, model, planning
        self.dtype = DTYPES[record.dtype]
        self.observation_rep, self.action_rep = model.observation_rep, model.action_rep
        self.latent_rep = model.latent_rep
        self._planner = build_planner(planning, parse_variant("equivariant"))
        self._view = None if record.plan is None else ExportedView(model, record.plan)
        self._goal = (
            None
            if self._view is None or record.plan is None
            else model_goal(planning, record.plan.kind, model, self._view, kept_metric(record.plan))
        )

    def __repr__(self) -> str:
        record = self.record
        return (
            f"ExportedModel({record.name!r}, {record.format}, {record.dtype}, {record.group}, observation "
            f"{self.observation_rep}, action {self.action_rep}, latent {self.latent_rep})"
        )

    @torch.inference_mode()
    def encode(self, observation: Given) -> Tensor:
        """z = E(x): (B, C, d) of `observation_rep` -> (B, D) of `latent_rep`, in the dtype of the export.

        Raises:
            RepError: observations of another shape.
        """
        return self.model.encode(torch.as_tensor(observation, dtype=self.dtype))

    @torch.inference_mode()
    def predict(self, latent: Given, action: Given) -> Tensor:
        """z' = f(z, a): (B, D), (B, d) or (B, C, d) of `action_rep` -> (B, D).

        Raises:
            DataError: numbers of another shape.
        """
        z, a = torch.as_tensor(latent, dtype=self.dtype), torch.as_tensor(action, dtype=self.dtype)
        if (
            z.shape[1:] != (self.latent_rep.dim,)
            or a.shape[:1] != z.shape[:1]
            or a.numel() != len(z) * self.action_rep.dim
        ):
            raise DataError(
                f"predict takes latents (B, {self.latent_rep.dim}) and as many actions of rep {self.action_rep}; got "
                f"{tuple(z.shape)} and {tuple(a.shape)}."
            )
        return self.model.predict(z, a)

    def plan(
        self,
        observation: Given,
        goal: Given,
        *,
        seed: PlanSeed = 0,
        horizon: int | None = None,
        frame: Given | None = None,
        start: Given | None = None,
    ) -> Tensor:
        """The next actions towards a goal, (H, A, d) float64: carry out the first ones, observe, plan again.

        With an equivariant model plan(g x, g x*) = g plan(x, x*) for every seed: the noise is drawn in a frame that is
        read off the latent (`export.view`).

        Args:
            observation: (C, d), what is observed now.
            goal: (C, d), what would be observed at the goal.
            seed: of the plan's random numbers; a `numpy.random.Generator` goes on from plan to plan.
            horizon: steps of this plan, at most; None is the configuration's.
            frame: (d, d), axes to draw the noise in, in place of those of the latent.
            start: (H, A, d), the plan to begin from, such as the former one less what was carried out.

        Raises:
            DataError: this model cannot plan, and why; numbers of another shape, or not finite.
            ConfigError: a horizon below 1.
        """
        if self._goal is None or self._view is None:
            raise DataError(f"{self.record.name} cannot plan: {self.record.no_plan}")
        steps = self.planning.horizon if horizon is None else min(horizon, self.planning.horizon)
        d, channels = self.observation_rep.d, (self.observation_rep.multiplicity, self.observation_rep.d)
        now, wanted = (as_finite(x, channels, "observation", single=True)[None] for x in (observation, goal))
        axes = self._view.frames(now).axes if frame is None else as_finite(frame, (d, d), "frame", single=True)[None]
        shape = (steps, self.action_rep.multiplicity, d)
        begin = None if start is None else as_finite(start, shape, "start", single=True)[None]
        planner = replace(self._planner, horizon=steps)
        objective = self._goal(now, wanted, steps)
        rough = objective.rough if isinstance(objective, Objective) else None
        plan = planner.plan(objective, self.action_rep, [seed], frame=axes, start=begin, rough=rough)
        return plan.actions[0]


def kept_metric(plan: PlanRecord) -> StepMetric | None:
    """The metric that a record keeps; None of a plan whose goal is not `steps`."""
    kept = plan.metric
    return None if kept is None else StepMetric(torch.tensor(kept.matrix, dtype=torch.float64), kept.centroid)


def load_export(path: Path | str, *, settings: Sequence[str] = (), trust: bool = False) -> ExportedModel:
    """Load a model that `equiwm export` wrote: neither the run, nor its world, nor what trains is needed.

    Args:
        path: the export's directory.
        settings: `planning.key=value` over the run's own, such as `planning.iterations=2` for a faster loop.
        trust: read programs of `torch.export` that this user has not exported: such a file may run code.

    Raises:
        RunError: no export, or one that is damaged.
        TrustError: somebody else's programs of `torch.export`.
        MissingExtraError: safetensors or onnxruntime is not installed.
        ConfigError: a setting that is none.
    """
    folder = as_path(path, "load_export")
    record = read_record(folder)
    if record.format == "torch-export" and not trust and not is_sealed(record.files, record.seal):
        raise TrustError(
            f"{folder} holds programs of torch.export that you did not export here, and such a file may run code. To "
            "read it, pass trust=True; safetensors and onnx need no trust."
        )
    observation_rep, action_rep, latent_rep = (
        Rep.parse(text, record.reps.d) for text in (record.reps.observation, record.reps.action, record.reps.latent)
    )
    dtype, files = DTYPES[record.dtype], [folder / name for name in FILES[record.format]]
    if record.format == "safetensors":
        model = from_weights(files[0], record.model, observation_rep, action_rep, dtype)
    else:
        made: Any = torch_call if record.format == "torch-export" else onnx_call
        encode, predict = map(made, files)
        layer = partial(ProgramLayer, dtype=dtype, equivariant=record.equivariant)
        encoder = layer(encode, observation_rep, latent_rep, latent_is_state=record.latent_is_state)
        model = WorldModel(encoder, layer(predict, latent_rep, latent_rep), action_rep)
    model = model.eval().requires_grad_(False)
    planning = PlanningConfig() if record.plan is None else build(PlanningConfig, record.plan.settings, "planning")
    if settings:
        planning = planning_of(planning, settings)
    if record.plan is not None and planning.goal not in (None, record.plan.kind):
        raise ConfigError(f"planning.goal: got {planning.goal}, expected {record.plan.kind}, as it was exported.")
    return ExportedModel(record, model, planning)
