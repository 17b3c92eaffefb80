"""What every claim measures: a model in its world, with the data that it was trained on."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from equiwm.config import Config, PlanningConfig
from equiwm.errors import DataError, RunError
from equiwm.models.factory import build_model, own_group
from equiwm.models.foreign import as_world_model
from equiwm.models.normalised import copy_normalisation
from equiwm.models.policy import Policy
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.group import Group
from equiwm.training.data import training_data, transitions_of
from equiwm.worlds.foreign import checked_world
from equiwm.worlds.world import Sequences, Transitions, World

if TYPE_CHECKING:
    from equiwm.runs import Run


class Subject:
    """A model, its world and its training data, in one dtype on one device.

    `load_run` makes one from a run directory. One made by hand is measured by the same claims:

        subject = Subject(MyNet(), MyWorld(), train=data)

    Args:
        model: a `WorldModel`, a module with `encode`, `predict` and `latent_rep`, or a module that maps an observation
            and an action to the next observation (`models.foreign.as_world_model`). It is put into evaluation mode.
        world: its world.
        policy: in the place of a model: what acts without one. The configuration is then its teacher's.
        train: the very transitions, or sequences, that it was trained on, float64; None is what the configuration's
            recipe gives, or without a configuration `transitions` of the world with `seed`.
        seed: seed of its training.
        dtype: dtype to evaluate in; None is the model's.
        device: device to evaluate on.
        name: what tables call it.
        initial: the model before training; None is rebuilt from configuration and seed, if there is a configuration.
        config: the configuration it was built from; None of a model that was built by hand.
        run: the run directory that it came from.
        planning: how it plans; None is the configuration's section, or the defaults.
        transitions: how many training transitions are drawn where neither `train` nor `config` says so.
        notice: something the user should know about dtype or device.

    Raises:
        RepError: a model that does not fit the world's reps, or whose latents have no rep.
        DataError: a world that is not ours and lacks something (`worlds.foreign.checked_world`), or neither a model nor
            a policy.
    """

    def __repr__(self) -> str:
        what = f"{type(self.policy or self.model).__name__} of {type(self.world).__name__}"
        return f"<Subject {self.name}: {what}, {self.dtype}, seed {self.seed}>"

    def __init__(
        self,
        model: nn.Module | None,
        world: World,
        *,
        policy: Policy | None = None,
        train: Transitions | Sequences | None = None,
        seed: int = 0,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        name: str = "model",
        initial: nn.Module | None = None,
        config: Config | None = None,
        run: Run | None = None,
        planning: PlanningConfig | None = None,
        transitions: int = 1500,
        notice: str | None = None,
    ) -> None:
        network = policy if model is None else model
        if network is None:
            raise DataError(f"{name}: got neither a model nor a policy; expected one of them.")
        if not isinstance(network, nn.Module):
            raise DataError(f"Subject: got {type(network).__name__} as the model, expected a torch.nn.Module.")
        self.dtype = dtype or next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
        self.device = torch.device(device)
        world = checked_world(world)
        self.policy = None if policy is None else policy.to(self.device, self.dtype).eval()
        self._model: WorldModel | None = None
        if model is not None:
            made = as_world_model(model, world.observation_rep, world.action_rep, world.group)
            self._model = made.to(self.device, self.dtype).eval()
        self.world, self.seed, self.name = world, seed, name if run is None else run.name
        self.run, self.config, self.notice = run, config, notice
        self.planning = planning or (PlanningConfig() if config is None else config.planning)
        self._train, self._initial, self._transitions = train, initial, transitions

    @property
    def model(self) -> WorldModel:
        """The world model.

        Raises:
            RunError: a policy, which has none.
        """
        if self._model is None:
            raise RunError(
                f"{self.path} is a policy and has no world model; expected a run of `equiwm train`. `equiwm audit`, "
                "`closed-loop`, `compare` and `export` take policies."
            )
        return self._model

    @property
    def group(self) -> Group:
        """The group that it is judged by: the one that its model was built for, or its world's.

        Raises:
            GroupError: a `model.group` that is none.
        """
        if self.policy is not None or self.config is None or self.config.model.group is None:
            return self.world.group
        return own_group(self.config.model.group, self.world.dimension)

    @property
    def parameter_count(self) -> int:
        """Trained scalars of the model, or of the policy that stands in its place."""
        return self.policy.parameter_count if self.policy is not None else self.model.parameter_count

    @cached_property
    def train(self) -> Transitions | Sequences:
        """The data that the model was trained on, float64."""
        if self._train is not None:
            return self._train
        if self.config is not None:
            return training_data(self.config.training, self.world, seed=self.seed)
        return self.world.transitions(self._transitions, seed=self.seed)

    @property
    def knows_initial(self) -> bool:
        """Whether the model before training can be had."""
        return self._initial is not None or self.config is not None

    @property
    def has_own_data(self) -> bool:
        """Whether its data was given by hand, so that no recipe makes it again."""
        return self._train is not None

    @cached_property
    def train_transitions(self) -> Transitions:
        """The same as single transitions: what read-outs and frames are fitted on."""
        return transitions_of(self.train)

    @property
    def path(self) -> str:
        """Where it came from, for messages."""
        return self.name if self.run is None else str(self.run.path)

    @property
    def stored(self) -> Run:
        """The run directory that it came from.

        Raises:
            RunError: it was built by hand.
        """
        if self.run is None:
            raise RunError(f"{self.name} was built by hand; save it first, with equiwm.save_subject.")
        return self.run

    def altered(
        self, *, model: WorldModel | None = None, world: World | None = None, planning: PlanningConfig | None = None
    ) -> Subject:
        """The same subject with another model, in another world of the same reps, or planning with other settings."""
        other = copy.copy(self)
        if world is not None:
            other.__dict__.pop("train", None)
            other.__dict__.pop("train_transitions", None)
        other._model, other.world = model or self._model, world or self.world
        other.planning = planning or self.planning
        return other

    @cached_property
    def checkpoint_sha256(self) -> str | None:
        """Hash of the weights' file; None of a subject that was not loaded."""
        return None if self.run is None else self.run.checkpoint_sha256()

    @property
    def trust(self) -> tuple[str, ...]:
        """Modules that its run may import, for the processes that load it again."""
        return () if self.run is None else self.run.trust

    def initial_model(self) -> WorldModel:
        """The model as it was before training.

        Raises:
            DataError: a model that was built by hand, without `initial`.
        """
        world = self.world
        if self._initial is not None:
            model = as_world_model(self._initial, world.observation_rep, world.action_rep, world.group)
            return model.to(self.device, self.dtype).eval()
        if self.config is None:
            raise DataError(
                f"{self.name} was built by hand, so its weights before training are unknown: pass Subject(initial=...)."
            )
        model = build_model(
            self.config.model,
            world.observation_rep,
            world.action_rep,
            seed=self.seed,
            dtype=self.dtype,
            group=world.group,
        )
        copy_normalisation(self.model, model)
        return model.to(self.device).eval()

    def provenance(self) -> dict[str, Any]:
        """Which weights a result belongs to, as it stands under `baseline` in metrics.json."""
        return {
            "name": self.name,
            "preset": None if self.config is None else self.config.preset,
            "train_seed": self.seed if self.policy is None or self.run is None else self.run.header.seed,
            "checkpoint_sha256": self.checkpoint_sha256,
        }
