"""Write a trained model to files that need no training stack, and refuse what is not the run's own model."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from equiwm.audit.audit import audit
from equiwm.audit.pooled import SAMPLES
from equiwm.audit.probe import Probe
from equiwm.audit.words import deciding, passes
from equiwm.claims.probe import PROBE_SEED, held_out
from equiwm.claims.residual.probes import part_probes
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.ownership import drafted_folder
from equiwm.errors import ConfigError, DataError, EquiwmError, RunError
from equiwm.export.card import card
from equiwm.export.loaded import load_export
from equiwm.export.programs import onnx_files, torch_files
from equiwm.export.record import SCHEMA, ExportRecord, Figures, Format, PartRecord, PlanRecord, Reps, write_record
from equiwm.export.view import measured
from equiwm.export.weights import others_code, weight_files
from equiwm.models.world_model import WorldModel
from equiwm.planning.step_metric import StepMetric, latent_metric
from equiwm.subject import Subject
from equiwm.symmetry.reps import Rep
from equiwm.trust import seal
from equiwm.worlds.world import ControlWorld, Transitions

AGREEMENT = 1e-6
"""Largest difference of an exported model from the run's, over the largest output, with which it is written."""

_HOLDS = "precision-limited"
"""The verdict that counts as equivariant."""


def check_export(subject: Subject, out: Path, format: Format) -> None:
    """Refuse what cannot be exported, before anything is computed or written.

    Raises:
        ConfigError: a group-averaged model, code that is not this package's in a file of weights, or reps that cannot
            be read again from their text.
        RunError: something is in the way of `out`.
    """
    model, config = subject.model, subject.config
    averaged = [type(part).__name__ for part in model.modules() if getattr(part, "group_averaged", False)]
    if averaged:
        raise ConfigError(
            f"{subject.path} is averaged over a group ({averaged[0]}): its frames are eigenvectors in float64, which "
            "other runtimes lack or order in their own way. Use the run itself, with equiwm.load_run."
        )
    foreign = None if config is None else others_code(config.model)
    if format == "safetensors" and foreign is not None:
        raise ConfigError(
            f"{subject.path} is made with code from outside equiwm ({foreign}), which a file of weights does not hold; "
            "pass --format torch-export or onnx."
        )
    for rep in (model.observation_rep, model.action_rep, model.latent_rep):
        if not read_again(rep):
            raise ConfigError(f"{subject.path}: rep {rep} has a kind of your own, which an export does not hold.")
    refuse_taken(out)


def refuse_taken(out: Path) -> None:
    """Refuse a folder that is there, and not empty.

    Raises:
        RunError: something is in the way.
    """
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise RunError(f"{out} exists; pass another --out, or remove it.")


def read_again(rep: Rep) -> bool:
    """Whether the text of a rep says all of it."""
    try:
        return Rep.parse(str(rep), rep.d) == rep
    except EquiwmError:
        return False


def export_model(subject: Subject, out: Path, format: Format, *, seed: int = PROBE_SEED) -> ExportRecord:
    """Write the model of a run to the new folder `out`: its files, `export.json` and `MODEL_CARD.md`, or nothing.

    What was written is loaded again, as a user will, compared with the run's own model on held-out transitions, and
    audited as that is.

    Args:
        subject: the run, in the dtype to export, on the CPU.
        out: the folder; made, or empty.
        format: of the files.
        seed: of the transitions and group elements that it is held against.

    Raises:
        ConfigError: as `check_export`, or torch cannot export the model.
        MissingExtraError: what the format needs is not installed.
        RunError: as `check_export`; or the exported model disagrees with the run's by more than `AGREEMENT`, or is no
            longer equivariant.
    """
    check_export(subject, out, format)
    model = subject.model
    wide = held_out(subject, SAMPLES, seed)
    data = wide.to(subject.dtype, "cpu")
    plan, no_plan = _plan(subject, wide.observation)
    files = _files(model, data, format)
    sha = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    config = subject.config
    record = ExportRecord(
        schema=SCHEMA,
        format=format,
        dtype="float64" if subject.dtype == torch.float64 else "float32",
        name=subject.name,
        preset="" if config is None else config.preset,
        seed=subject.seed,
        group=str(subject.group),
        equivariant=model.equivariant,
        latent_is_state=model.latent_is_state,
        reps=Reps(model.latent_rep.d, str(model.observation_rep), str(model.action_rep), str(model.latent_rep)),
        model={} if config is None else config.as_dict()["model"],
        parameters=model.parameter_count,
        files=sha,
        seal=seal(sha) if format == "torch-export" else "",
        checkpoint_sha256=subject.checkpoint_sha256,
        plan=plan,
        no_plan=no_plan,
        parts={},
    )
    try:
        with drafted_folder(out, "export") as (draft, _):
            for name, content in files.items():
                write_atomic(draft / name, content)
            write_record(draft, record)
            parts = _held_against(subject, load_export(draft, trust=True).model, format, data, seed)
            record = dataclasses.replace(record, parts=parts)
            write_record(draft, record)
            write_atomic(draft / "MODEL_CARD.md", card(record, subject, _coverage(subject)))
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise RunError(f"{out} was just made by another process.") from None
        raise RunError(f"cannot make {out}: {reason(error)}; pass another --out.") from None
    return record


def _plan(subject: Subject, observation: Tensor) -> tuple[PlanRecord | None, str]:
    """How the model plans; or None and why it does not."""
    world = subject.world
    control = world.control(observation) if isinstance(world, ControlWorld) else None
    model = subject.model

    def metric() -> StepMetric:
        return latent_metric(model, subject.train_transitions, subject.group, control)

    try:
        return measured(model, subject.planning, control, observation, metric), ""
    except (ConfigError, DataError) as error:
        return None, str(error)


def _files(model: WorldModel, data: Transitions, format: Format) -> dict[str, bytes]:
    if format == "safetensors":
        return weight_files(model)
    made = torch_files if format == "torch-export" else onnx_files
    few = data.take(4)
    return made(model, few.observation, few.action)


def _held_against(
    subject: Subject, exported: WorldModel, format: Format, data: Transitions, seed: int
) -> dict[str, PartRecord]:
    """Both models on the same inputs, part by part: how far they are apart, and one audit of each.

    Raises:
        RunError: an exported model that is not the run's: what differs, in which part.
    """
    model, group = subject.model, subject.group
    with torch.no_grad():
        latent = model.encode(data.observation)
        calls: dict[str, Callable[[WorldModel, int], Tensor]] = {
            "encoder": lambda m, n: m.encode(data.observation[:n]),
            "predictor": lambda m, n: m.predict(latent[:n], data.action[:n]),
            "composed": lambda m, n: m(data.observation[:n], data.action[:n]),
        }
        apart = {
            name: max(difference_of(call(model, n), call(exported, n)) for n in (len(data), 1))
            for name, call in calls.items()
        }
    for name, difference in apart.items():
        if not difference <= AGREEMENT:
            raise RunError(
                f"the {format} export of {subject.path} is refused: its {name} differs from the run's by "
                f"{difference:.1e} of the largest output, expected at most {AGREEMENT:g}; nothing was written.\n"
                "Where that is rounding, pass --dtype float64, or another --format."
            )
    own, other = part_probes(model, data, group), part_probes(exported, data, group)
    found = {}
    for name in calls:
        part = PartRecord(audited_figures(own[name], seed), audited_figures(other[name], seed), apart[name])
        if passes(part.run.verdict, _HOLDS) and not passes(part.export.verdict, _HOLDS):
            raise RunError(
                f"the {format} export of {subject.path} is refused: its {name} is {part.export.verdict} under {group}, "
                f"and the run's is {part.run.verdict}; nothing was written."
            )
        found[name] = part
    return found


def difference_of(given: Tensor, exported: Tensor) -> float:
    """max |F - F'| / max |F|; infinite for another shape, or what is not finite."""
    if given.shape != exported.shape or given.dtype != exported.dtype or not bool(exported.isfinite().all()):
        return float("inf")
    size = float(given.abs().max())
    return float((given - exported).abs().max()) / size if size else float(exported.abs().max())


def audited_figures(probe: Probe, seed: int) -> Figures:
    """What an audit says of a part."""
    result = audit(probe, explain=False, seed=seed)
    leaf = deciding(result.verdict, result.leaves) or max(result.leaves, key=lambda leaf: leaf.residual, default=None)
    return Figures(
        str(result.verdict),
        None if leaf is None else leaf.residual,
        None if leaf is None else leaf.rounding,
        "float64" if result.float64 else result.dtype,
    )


def _coverage(subject: Subject) -> str:
    coverage = getattr(subject.world, "coverage", None)
    return "" if coverage is None else coverage.label
