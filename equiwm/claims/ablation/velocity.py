"""Forward models of the velocity field as arms: the presets' own, in steps of the size of what they have to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from equiwm.claims.ablation.lockstep import Asking
from equiwm.claims.ablation.world_models import model_columns, train_model
from equiwm.claims.probe import held_out_seed
from equiwm.config import Config, ModelConfig
from equiwm.errors import DataError
from equiwm.models.factory import build_model
from equiwm.models.soft import SoftPredictor
from equiwm.models.step import ResidualPredictor, StepPredictor
from equiwm.models.world_model import WorldModel
from equiwm.training.objective import Forward
from equiwm.training.soft import SoftForward
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Orientations, Transitions, World


@runtime_checkable
class AugmentedWorld(Protocol):
    """A world whose scenes can be turned anew at will, each turn within what training covers."""

    def augmented(self, n: int, copies: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """Observations and actions of `n` scenes, each `copies` times."""
        ...

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """Their outcomes."""
        ...


def augmented(world: World, scenes: int, copies: int, *, seed: int) -> Transitions:
    """Each of so many scenes `copies` times, every time turned anew within the coverage, with the world's own outcome.

    Raises:
        TypeError: a world that cannot turn its scenes.
    """
    if not isinstance(world, AugmentedWorld):
        raise TypeError(f"the world '{world.name}' has no scenes to turn anew.")
    observation, action = world.augmented(scenes, copies, seed=seed)
    episode = torch.arange(scenes).repeat(copies)
    return Transitions(observation, action, world.step(observation, action), episode=episode)


def other_orientations(world: World) -> Orientations:
    """`unseen`, or `all` where training covers the whole group and none is."""
    try:
        world.transitions(1, seed=0, orientations="unseen")
    except DataError:
        return "all"
    return "unseen"


def step_size(data: Transitions) -> float:
    """RMS of what changes, over transitions and coordinates."""
    return float((data.next_observation - data.observation).square().mean().sqrt())


def predictors(configs: Sequence[ModelConfig], world: World, seed: int) -> list[ResidualPredictor]:
    """The predictors of forward models at the weights of `seed`.

    Raises:
        TypeError: a predictor that is no residual one.
    """
    found = []
    for config in configs:
        predictor = build_model(config, world.observation_rep, world.action_rep, seed=seed, group=world.group).predictor
        if not isinstance(predictor, ResidualPredictor):
            raise TypeError(f"{type(predictor).__name__} is no residual predictor.")
        found.append(predictor)
    return found


def velocity_columns(
    config: Config,
    *,
    seed: int,
    copies: int = 1,
    test: int,
    free: ModelConfig | None = None,
    penalty: float = 0.0,
) -> Asking[dict[str, Any]]:
    """Train one forward model on the field, and give the columns of its row.

    The predictor is f(s, a) = s + h v(s, a), h the RMS of the true change, so that v is a velocity of RMS 1 and its
    relMSE is that of the next state, E|f - s'|^2 / E|s' - s|^2. The residual and the rounding are those of v. Test
    scenes are held out, another set for each seed; where training covers the whole group there is no unseen
    orientation, and the second set is turned afresh over the whole group.

    Args:
        config: world, model and training, on `training.transitions` transitions with the copies counted.
        seed: of scenes, weights, order and test scenes.
        copies: how often each scene is turned anew (`AugmentedWorld`); 1 is no augmentation.
        test: held-out scenes.
        free: a second predictor beside the configuration's own: the model is then soft.
        penalty: beta of a soft model.

    Raises:
        TrainingError: the training diverged.
    """
    world = build_world(config.world)
    data = augmented(world, config.training.transitions // copies, copies, seed=seed)
    paths = predictors([config.model] if free is None else [config.model, free], world, seed)
    steps = [StepPredictor(path, step_size(data)) for path in paths]
    predictor = steps[0] if free is None else SoftPredictor(*steps)
    encoder = build_model(config.model, world.observation_rep, world.action_rep, seed=seed, group=world.group).encoder
    model = WorldModel(encoder, predictor, world.action_rep)
    objective: Forward | None = None
    if free is not None:
        objective = SoftForward(encoder, data.to(torch.float32, "cpu"), penalty)
    model = yield from train_model(config, data, seed=seed, model=model, objective=objective)
    columns = model_columns(
        model, world, data, unseen=other_orientations(world), transitions=test, probe_seed=seed, of="change"
    )
    if isinstance(predictor, SoftPredictor):
        seen = world.transitions(test, seed=held_out_seed(seed)).to(torch.float32, "cpu")
        with torch.no_grad():
            columns["free_fraction"] = predictor.free_fraction(model.encode(seen.observation), seen.action)
    return columns
