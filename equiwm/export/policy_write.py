"""Write a distilled policy to a file that needs no training stack, and refuse what is not the run's own."""

from __future__ import annotations

import copy
import dataclasses
import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from equiwm.audit.pooled import SAMPLES
from equiwm.audit.words import passes
from equiwm.claims.closed_loop.episode import controlled
from equiwm.claims.probe import PROBE_SEED, held_out
from equiwm.claims.residual.probes import acting_probe
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.ownership import drafted_folder
from equiwm.errors import ConfigError, EquiwmError, RunError
from equiwm.export.policy_loaded import load_policy
from equiwm.export.policy_record import FILES, SCHEMA, PolicyRecord, PolicyReps, write_policy_record
from equiwm.export.programs import onnx_program, torch_program
from equiwm.export.record import Format, PartRecord
from equiwm.export.weights import named_code, saved_weights
from equiwm.export.write import AGREEMENT, audited_figures, difference_of, read_again, refuse_taken
from equiwm.models.policy import Policy
from equiwm.planning.view import PlannerView
from equiwm.subject import Subject
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.tables.table import Table, number
from equiwm.trust import seal

_HOLDS = "precision-limited"
_CLOSE = 1e-9
"""Relative difference up to which a world's unit of actions is taken for scale and offset."""


def check_policy_export(subject: Subject, out: Path, format: Format) -> None:
    """Refuse what cannot be exported, before anything is computed or written.

    Raises:
        ConfigError: code that is not this package's in a file of weights; or reps or, there, a group that cannot be
            read again from their text.
        RunError: something is in the way of `out`.
    """
    policy, config = subject.policy, subject.stored.policy[0]
    assert policy is not None
    if format == "safetensors":
        foreign = named_code("encoder", config.encoder)
        said = f"made with code from outside equiwm ({foreign})" if foreign is not None else ""
        if not said and not _named(subject.world.group):
            said = f"of a group of your own ({subject.world.group})"
        if said:
            raise ConfigError(
                f"{subject.path} is {said}, which a file of weights does not hold; pass --format torch-export or onnx."
            )
    for rep in (policy.observation_rep, policy.action_rep):
        if not read_again(rep):
            raise ConfigError(f"{subject.path}: rep {rep} has a kind of your own, which an export does not hold.")
    refuse_taken(out)


def _named(group: Group) -> bool:
    try:
        return Group.parse(group.name) == group
    except EquiwmError:
        return False


def export_policy(subject: Subject, out: Path, format: Format, *, seed: int = PROBE_SEED) -> PolicyRecord:
    """Write the policy of a run to the new folder `out`, its file and `export.json`, or nothing.

    What was written is loaded again, as a user will, compared with the run's own policy on held-out observations, and
    audited as that is.

    Args:
        subject: the policy, in the dtype to export, on the CPU.
        out: the folder; made, or empty.
        format: of the file.
        seed: of the observations and group elements that it is held against.

    Raises:
        ConfigError: as `check_policy_export`, or torch cannot export the policy.
        DataError: a world without the tasks that it was cloned on.
        MissingExtraError: what the format needs is not installed.
        RunError: as `check_policy_export`; or the exported policy disagrees with the run's by more than `AGREEMENT`, or
            is no longer equivariant.
    """
    check_policy_export(subject, out, format)
    policy, (config, teacher) = subject.policy, subject.stored.policy
    assert policy is not None
    control = controlled(subject, config.task).control
    scale, offset = _unit(control, policy.action_rep)
    probe = acting_probe(policy, held_out(subject, SAMPLES, seed).to(subject.dtype, "cpu"), subject.world.group)
    name = FILES[format]
    content = _content(policy, probe.inputs, format)
    sha = {name: hashlib.sha256(content).hexdigest()}
    record = PolicyRecord(
        schema=SCHEMA,
        kind="policy",
        format=format,
        dtype="float64" if subject.dtype == torch.float64 else "float32",
        name=subject.name,
        teacher=teacher.name,
        task=config.task,
        seed=subject.stored.header.seed,
        group=subject.world.group.name,
        equivariant=policy.equivariant,
        reps=PolicyReps(policy.observation_rep.d, str(policy.observation_rep), str(policy.action_rep)),
        policy=dataclasses.asdict(config),
        hold=subject.planning.hold,
        steps=control.steps or subject.planning.steps,
        scale=scale,
        offset=offset,
        parameters=policy.parameter_count,
        files=sha,
        seal=seal(sha) if format == "torch-export" else "",
        checkpoint_sha256=subject.checkpoint_sha256,
        part=None,
    )
    try:
        with drafted_folder(out, "export") as (draft, _):
            write_atomic(draft / name, content)
            write_policy_record(draft, record)
            exported = load_policy(draft, trust=True).network
            part = _held_against(subject, _Exported(exported), probe.inputs, format, seed)
            record = dataclasses.replace(record, part=part)
            write_policy_record(draft, record)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise RunError(f"{out} was just made by another process.") from None
        raise RunError(f"cannot make {out}: {reason(error)}; pass another --out.") from None
    return record


def policy_table(record: PolicyRecord) -> Table:
    """The verdict on the run's own and on the exported policy, and how far they are apart."""
    part = record.part
    assert part is not None
    row = (
        "policy",
        part.run.verdict,
        number(part.run.residual, 2),
        part.export.verdict,
        number(part.export.residual, 2),
        number(part.export.rounding, 2),
        number(part.agreement, 2),
    )
    headings = ("part", "run", "residual", "export", "residual", "rounding", "agreement")
    note = (
        f"Under {record.group.upper()}, the run in {part.run.precision}, the export in {part.export.precision}. "
        "Agreement: largest difference from the run over the largest output."
    )
    return Table(f"{record.name}: {record.format}, {record.dtype}", headings, [row], (note,))


@dataclass(eq=False)
class _Exported:
    """An exported network, for the audit."""

    network: Callable[..., Tensor]

    def __call__(self, *given: Tensor) -> Tensor:
        with torch.no_grad():
            return self.network(*given)


class _Act(nn.Module):
    """pi alone, its arguments by name."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: Tensor, goal: Tensor) -> Tensor:
        made: Tensor = self.policy(observation, goal)
        return made


class _ActInTime(nn.Module):
    """The same of a policy that sees how much of the episode is left."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: Tensor, goal: Tensor, left: Tensor) -> Tensor:
        made: Tensor = self.policy(observation, goal, left)
        return made


def _content(policy: Policy, inputs: tuple[Tensor, ...], format: Format) -> bytes:
    if format == "safetensors":
        return saved_weights(policy)
    still = copy.deepcopy(policy).requires_grad_(False).eval()
    module: nn.Module = _ActInTime(still) if policy.timed else _Act(still)
    few = tuple(part[:4] for part in inputs)
    if format == "torch-export":
        return torch_program(module, few)
    return onnx_program(module, few, ["observation", "goal", "left"][: len(few)], "action")


def _unit(control: PlannerView, rep: Rep) -> tuple[list[float], list[float]]:
    """Scale and offset of each entry of an action, from the network's unit to the world's.

    Raises:
        ConfigError: the world's unit is another function of it.
    """

    def physical(units: Tensor) -> Tensor:
        return control.physical(units.reshape(1, -1, *rep.shape))[0].reshape(-1, rep.dim)

    drawn = torch.rand(4, rep.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / rep.dim**0.5
    offset = physical(drawn.new_zeros(1, rep.dim))[0]
    scale = physical(torch.eye(rep.dim, dtype=torch.float64)).diagonal() - offset
    given, kept = physical(drawn), offset + scale * drawn
    if not float((given - kept).abs().max()) <= _CLOSE * max(1.0, float(given.abs().max())):
        raise ConfigError(
            "its world takes actions in a unit that is no scale and offset, which an export does not keep."
        )
    return scale.tolist(), offset.tolist()


def _held_against(
    subject: Subject, exported: _Exported, inputs: tuple[Tensor, ...], format: Format, seed: int
) -> PartRecord:
    """Both policies on the same inputs: how far they are apart, and an audit of each.

    Raises:
        RunError: an exported policy that is not the run's.
    """
    policy, group = subject.policy, subject.world.group
    assert policy is not None
    with torch.no_grad():
        apart = max(
            difference_of(policy(*few), exported(*few))
            for n in (len(inputs[0]), 1)
            for few in [tuple(part[:n] for part in inputs)]
        )
    if not apart <= AGREEMENT:
        raise RunError(
            f"the {format} export of {subject.path} is refused: it differs from the run's by {apart:.1e} of the "
            f"largest output, expected at most {AGREEMENT:g}; nothing was written.\n"
            "Where that is rounding, pass --dtype float64, or another --format."
        )
    data = held_out(subject, SAMPLES, seed).to(subject.dtype, "cpu")
    own = acting_probe(policy, data, group)
    part = PartRecord(
        audited_figures(own, seed), audited_figures(dataclasses.replace(own, model=exported), seed), apart
    )
    if passes(part.run.verdict, _HOLDS) and not passes(part.export.verdict, _HOLDS):
        raise RunError(
            f"the {format} export of {subject.path} is refused: it is {part.export.verdict} under {group}, and the "
            f"run's is {part.run.verdict}; nothing was written."
        )
    return part
