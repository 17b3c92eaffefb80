"""An exported policy in use: `equiwm.load_policy("runs/vn-2d-forward-policy/export/onnx").act(observation, goal)`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from equiwm.adapters.packages import imported
from equiwm.boundary import machine_error
from equiwm.checks import as_finite, as_path
from equiwm.devices import DTYPES
from equiwm.errors import DataError, RunError, TrustError
from equiwm.export.policy_record import FILES, PolicyRecord, read_policy_record
from equiwm.export.programs import onnx_call, torch_call
from equiwm.export.weights import named_code
from equiwm.models.policy import build_policy
from equiwm.policy import PolicyConfig
from equiwm.schema import build
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.tensors import require_tensors
from equiwm.trust import is_sealed

Given = Tensor | np.ndarray
"""Numbers from a user: a tensor or a numpy array of any float dtype."""


class ExportedPolicy:
    """A policy that was exported, for use in a loop: on the CPU, without gradients.

    Use `equiwm.load_policy`.

    Attributes:
        record: what it says of itself.
        network: pi(x, x*) or pi(x, x*, left), of batches, in the unit of plans.
    """

    def __init__(self, record: PolicyRecord, network: Callable[..., Tensor]) -> None:
        self.record, self.network = record, network
        self.dtype = DTYPES[record.dtype]
        self.observation_rep, self.action_rep = (
            Rep.parse(text, record.reps.d) for text in (record.reps.observation, record.reps.action)
        )
        self._scale, self._offset = (
            torch.tensor(values, dtype=torch.float64).reshape(self.action_rep.shape)
            for values in (record.scale, record.offset)
        )

    def __repr__(self) -> str:
        record = self.record
        return (
            f"ExportedPolicy({record.name!r}, {record.format}, {record.dtype}, {record.group}, observation "
            f"{self.observation_rep}, action {self.action_rep})"
        )

    @torch.inference_mode()
    def act(self, observation: Given, goal: Given, *, remaining: int | None = None) -> Tensor:
        """The next action towards a goal, (A, d) or (dim,) float64, in the world's unit; it is held `record.hold`
        steps.

        Args:
            observation: (C, d) or (dim,), what is observed now.
            goal: likewise, what would be observed at the goal.
            remaining: steps until the episode ends; needed of a policy that sees it.

        Raises:
            DataError: numbers of another shape, or not finite; `remaining` is missing, or none.
        """
        shape = self.observation_rep.shape
        given = [
            as_finite(x, shape, what, single=True)[None].to(self.dtype)
            for x, what in ((observation, "observation"), (goal, "goal"))
        ]
        if self.record.policy["timed"]:
            if remaining is None or not 0 < remaining <= self.record.steps:
                raise DataError(
                    f"{self.record.name} sees how much of an episode is left: give remaining=, 1 to "
                    f"{self.record.steps}; got {remaining}."
                )
            given.append(torch.full((1, 1), remaining / self.record.steps, dtype=self.dtype))
        return self._offset + self._scale * self.network(*given)[0].double()


def load_policy(path: Path | str, *, trust: bool = False) -> ExportedPolicy:
    """Load a policy that `equiwm export` wrote: neither the run, nor its world, nor what trains is needed.

    Args:
        path: the export's directory.
        trust: read a program of `torch.export` that this user has not exported: such a file may run code.

    Raises:
        RunError: no exported policy, or one that is damaged.
        TrustError: somebody else's program of `torch.export`.
        MissingExtraError: safetensors or onnxruntime is not installed.
    """
    folder = as_path(path, "load_policy")
    record = read_policy_record(folder)
    if record.format == "torch-export" and not trust and not is_sealed(record.files, record.seal):
        raise TrustError(
            f"{folder} holds a program of torch.export that you did not export here, and such a file may run code. To "
            "read it, pass trust=True; safetensors and onnx need no trust."
        )
    file = folder / FILES[record.format]
    if record.format == "safetensors":
        return ExportedPolicy(record, _from_weights(file, record))
    return ExportedPolicy(record, torch_call(file) if record.format == "torch-export" else onnx_call(file))


def _from_weights(path: Path, record: PolicyRecord) -> Callable[..., Tensor]:
    library = imported("safetensors.torch", "safetensors", "load_policy")
    config = build(PolicyConfig, record.policy, "policy")
    foreign = named_code("encoder", config.encoder)
    if foreign is not None:
        raise RunError(f"{path.parent} names code from outside equiwm ({foreign}): an export of weights has none.")
    reps = [Rep.parse(text, record.reps.d) for text in (record.reps.observation, record.reps.action)]
    policy = build_policy(config, *reps, seed=0, dtype=DTYPES[record.dtype], group=Group.parse(record.group))
    try:
        state = library.load_file(str(path))
    except Exception as error:  # safetensors has one of its own
        if machine_error(error) is not None:
            raise
        raise RunError(f"cannot read {path}: {(str(error).splitlines() or [type(error).__name__])[0]}") from None
    require_tensors(state, policy, path)
    policy.load_state_dict(state)
    return policy.eval().requires_grad_(False)
