"""From a run directory to a subject, and from a subject to a run directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from equiwm.checks import as_path
from equiwm.config import Config
from equiwm.devices import evaluation_device, known_device, known_dtype
from equiwm.disk.files import atomic_writer
from equiwm.errors import ConfigError, DataError, RepError, RunError
from equiwm.layout.binding import Binding, read_binding
from equiwm.layout.history import require_history
from equiwm.layout.metrics import weights_named
from equiwm.models.factory import build_model
from equiwm.models.policy import Policy, build_policy
from equiwm.models.world_model import WorldModel
from equiwm.runs import Run
from equiwm.subject import Subject
from equiwm.tensors import read_tensors, require_tensors, size_limit
from equiwm.training.data import data_of, tensors_of
from equiwm.worlds.factory import build_world
from equiwm.worlds.world import Sequences, Transitions, World

_COPIES = 4
"""A checkpoint holds a model and its target, which is less than another one; and names."""


def checkpoint_state(model: WorldModel, target: dict[str, Any], binding: Binding) -> dict[str, Any]:
    """What `checkpoint.pt` holds: tensors and plain data only, readable with `weights_only=True`."""
    return {
        **binding.as_entries(),
        "model": {name: tensor.cpu() for name, tensor in model.state_dict().items()},
        "target": {name: tensor.cpu() for name, tensor in target.items()},
        "reps": {
            "d": model.latent_rep.d,
            "observation": str(model.observation_rep),
            "action": str(model.action_rep),
            "latent": str(model.latent_rep),
        },
    }


def read_checkpoint(run: Run, model: WorldModel) -> tuple[dict[str, Any], Binding | None]:
    """The content of `checkpoint.pt`, once it is certain that it belongs to the run and to its model.

    Args:
        run: the run.
        model: its model in float32, as it was trained; its weights do not matter.

    Returns:
        The content; and what it says of where it belongs, None of a checkpoint of 0.1, which does not say. That one is
        taken for the run's, unless results in metrics.json were measured on another.

    Raises:
        RunError: it is missing, damaged, foreign, or another run's.
    """
    path = run.checkpoint
    state = read_tensors(path, limit=size_limit(model, _COPIES))
    if "schema" not in state or "model" not in state or not isinstance(state.get("reps"), dict):
        raise RunError(f"{path} was not written by equiwm: it has no schema, model and reps.")
    binding = read_binding(state, path)
    if binding is not None:
        run.require_own(binding, path)
    expected = {name: str(getattr(model, f"{name}_rep")) for name in ("observation", "action", "latent")}
    found = {name: state["reps"].get(name) for name in expected}
    if found != expected:
        raise RunError(f"{path} does not fit its config.yaml: it has reps {found}, the configuration gives {expected}.")
    require_tensors(state["model"], model, path)
    require_tensors(state.get("target"), model.encoder, path)
    named = set(weights_named(run.metrics()).values()) if binding is None else set()
    if named and run.checkpoint_sha256() not in named:
        raise RunError(
            f"{path} is not the checkpoint that the results in {run.metrics_path} were measured on: restore it, or "
            "move metrics.json away to measure this one."
        )
    return state, binding


def load_run(
    path: Path | str,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    trust: Sequence[str] = (),
) -> Subject:
    """Load a trained run, or a distilled policy, whose subject has a `policy` in the place of a model.

    Args:
        path: the run directory.
        dtype: dtype to evaluate in; None is float32, as it was trained. Constants are rebuilt in it.
        device: device to evaluate on; float64 moves from MPS, which has none, to the CPU and says so in `notice`.
        trust: modules from outside this package that the run may name although this user has not run it before.

    Raises:
        RunError: no run, an incomplete one, or a checkpoint that is missing, damaged or foreign.
        ConfigError: a `config.yaml` that describes no run.
        DataError, DeviceError: a dtype or device that is none.
        TrustError: it names code from outside this package that is neither this user's nor in `trust`.
    """
    dtype = torch.float32 if dtype is None else known_dtype(dtype)
    place, notice = evaluation_device(known_device(device), dtype)
    run = Run.open(as_path(path, "load_run"), trust=trust)
    config, seed = run.config, run.header.seed
    world = build_world(config.world)
    if run.header.kind == "policy":
        return _policy_subject(run, world, dtype, place, notice)
    trained = model = model_of(run, world)
    if dtype != torch.float32:
        model = build_model(
            config.model, world.observation_rep, world.action_rep, seed=seed, dtype=dtype, group=world.group
        )
    state, binding = read_checkpoint(run, trained)
    model.load_state_dict(state["model"])
    train = own_data(run)
    notice = "\n".join(filter(None, (notice, _other_history(run, binding))))
    return Subject(
        model, world, train=train, seed=seed, dtype=dtype, device=place, config=config, run=run, notice=notice
    )


def _policy_subject(run: Run, world: World, dtype: torch.dtype, place: torch.device, notice: str | None) -> Subject:
    """A distilled policy: its world, tasks and training data are its teacher's."""
    _, teacher = run.policy
    trained = policy = policy_network(run, world)
    if dtype != torch.float32:
        policy = policy_network(run, world, dtype)
    state, binding = read_policy(run, trained)
    policy.load_state_dict(state["policy"])
    notice = "\n".join(filter(None, (notice, _other_history(run, binding))))
    return Subject(
        None,
        world,
        policy=policy,
        train=own_data(run),
        seed=teacher.seed,
        dtype=dtype,
        device=place,
        config=run.config,
        run=run,
        notice=notice,
    )


def policy_network(run: Run, world: World, dtype: torch.dtype = torch.float32) -> Policy:
    """The policy that a run's configuration describes, untrained.

    Raises:
        ConfigError: a configuration that builds none, with the file's name.
    """
    reps = world.observation_rep, world.action_rep
    try:
        return build_policy(run.policy[0], *reps, seed=run.header.seed, dtype=dtype, group=world.group)
    except (ConfigError, RepError) as error:
        raise ConfigError(f"{run.config_path}: {error}") from None


def policy_state(policy: Policy, binding: Binding) -> dict[str, Any]:
    """What the `checkpoint.pt` of a policy holds: tensors and plain data only, readable with `weights_only=True`."""
    return {
        **binding.as_entries(),
        "policy": {name: tensor.cpu() for name, tensor in policy.state_dict().items()},
        "reps": {
            "d": policy.observation_rep.d,
            "observation": str(policy.observation_rep),
            "action": str(policy.action_rep),
        },
    }


def read_policy(run: Run, policy: Policy) -> tuple[dict[str, Any], Binding]:
    """The content of a policy's `checkpoint.pt`, once it is certain that it belongs to the run and to its network.

    Args:
        run: the run.
        policy: its network in float32; its weights do not matter.

    Raises:
        RunError: it is missing, damaged, foreign, or another run's.
    """
    path = run.checkpoint
    state = read_tensors(path, limit=size_limit(policy, _COPIES))
    binding = read_binding(state, path)
    if binding is None or "policy" not in state or not isinstance(state.get("reps"), dict):
        raise RunError(f"{path} was not written by equiwm distill: it has no binding, policy and reps.")
    run.require_own(binding, path)
    expected = {"observation": str(policy.observation_rep), "action": str(policy.action_rep)}
    found = {name: state["reps"].get(name) for name in expected}
    if found != expected:
        raise RunError(f"{path} does not fit its config.yaml: it has reps {found}, the configuration gives {expected}.")
    require_tensors(state["policy"], policy, path)
    return state, binding


def model_of(run: Run, world: World) -> WorldModel:
    """The model that a run's configuration describes, in float32 and untrained.

    Raises:
        ConfigError: a configuration that builds none, with the file's name.
    """
    try:
        return build_model(
            run.config.model, world.observation_rep, world.action_rep, seed=run.header.seed, group=world.group
        )
    except (ConfigError, RepError) as error:
        raise ConfigError(f"{run.config_path}: {error}") from None


def _other_history(run: Run, binding: Binding | None) -> str | None:
    """What is said of a history that is not the one of the weights: nothing that is measured depends on it."""
    if binding is None or binding.epoch is None or not run.history_path.exists():
        return None
    try:
        require_history(run.history_path, binding.epoch, binding.history_sha256, run.checkpoint)
    except RunError as error:
        return str(error)
    return None


def own_data(run: Run) -> Transitions | Sequences | None:
    """The training data that a run brings with it, because no recipe gives it; None where one does.

    Raises:
        RunError: it is damaged.
    """
    if not os.path.lexists(run.data_path):
        return None
    try:
        return data_of(read_tensors(run.data_path))
    except DataError as error:
        raise RunError(f"{run.data_path} is damaged: {error}") from None


def save_subject(
    subject: Subject, folder: Path | str, name: str, *, config: Config | None = None, command: Sequence[str] = ()
) -> Run:
    """Save a subject as the run `folder`/`name`, which every command then takes.

    Args:
        subject: what is saved. Data given to it by hand is kept in the run.
        folder: the folder that holds runs.
        name: the run's name.
        config: how the model is built; None is the subject's own. A model from outside is named in it, as
            `model.module: my_package.nets:build` (`ModelConfig.module`).
        command: the command line, for config.yaml.

    Raises:
        ConfigError: no configuration, or one that does not build this model.
        RunError: the run exists, or cannot be written.
    """
    given: object = subject
    if not isinstance(given, Subject):
        raise DataError(f"save_subject: got {type(given).__name__}, expected a Subject.")
    config = config or subject.config
    if config is None:
        raise ConfigError(
            "a subject that was built by hand is saved with a configuration that builds its model: pass config=, with "
            "model.module='my_package.nets:build' for a model of your own."
        )
    world = subject.world
    rebuilt = build_model(config.model, world.observation_rep, world.action_rep, seed=subject.seed, group=world.group)
    state = subject.model.state_dict()
    try:
        rebuilt.load_state_dict({key: value.to("cpu") for key, value in state.items()})
    except (RuntimeError, TypeError, AttributeError):
        raise ConfigError(
            "the configuration builds another model than this subject's: other layers or sizes."
        ) from None
    run = Run.create(as_path(folder, "save_subject"), name, config.as_dict(), seed=subject.seed, command=command)
    if subject.has_own_data:
        with atomic_writer(run.data_path) as file:
            torch.save(tensors_of(subject.train), file)
    with atomic_writer(run.checkpoint) as file:
        torch.save(checkpoint_state(rebuilt, rebuilt.encoder.state_dict(), run.binding(None, None)), file)
    return run
