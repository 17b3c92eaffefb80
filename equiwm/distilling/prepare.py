"""The run directory of a policy: what is refused before anything is written, and what its config.yaml says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from equiwm.claims.closed_loop.claim import OWN
from equiwm.claims.closed_loop.episode import ControlledRun, check_controller, controlled, usual_task
from equiwm.claims.distill.claim import CLAIM
from equiwm.claims.store import Stores
from equiwm.disk.drafts import remove_stale
from equiwm.disk.ownership import remove_file
from equiwm.distilling.labels import VARIANT
from equiwm.errors import ConfigError, RunError
from equiwm.models.policy import build_policy
from equiwm.planning.control import build_planner
from equiwm.policy import UNTIL_SOLVED, PolicyConfig, Teacher, as_sections
from equiwm.runs import Run, check_name
from equiwm.schema import plain
from equiwm.subject import Subject
from equiwm.training.run import leaves_resume_point


@dataclass(frozen=True)
class Recipe:
    """What is to be distilled.

    Attributes:
        subject: the teacher, in float32.
        config: section `policy`, its nulls settled.
        seed: of tasks, weights and order.
    """

    subject: Subject
    config: PolicyConfig
    seed: int

    @property
    def teacher(self) -> Teacher:
        """The teacher, as the policy's run names it."""
        sha = self.subject.checkpoint_sha256
        assert sha is not None
        return Teacher(self.subject.name, self.subject.seed, sha, self.subject.model.parameter_count)

    def sections(self) -> dict[str, Any]:
        """The sections of the policy's config.yaml."""
        of_run = self.subject.stored.config.as_dict()
        kind = "augmented" if self.config.augment else self.config.encoder.replace(":", "-")
        preset = f"{of_run['preset']}-policy" + ("" if kind == "vn" else f"-{kind}")
        told = {
            "preset": preset,
            "description": f"policy ({kind}) cloned from the planner of {self.subject.name}, task {self.config.task}",
            "baseline": None,
        }
        planning = plain(asdict(self.subject.planning))
        return {**of_run, **told, "planning": planning, **as_sections(self.config, self.teacher)}


def asked_task(subject: Subject, config: PolicyConfig, task: str | None) -> str:
    """The tasks that a teacher's policy is for: those named, else the configuration's, and where these are the world's
    own, those that the world says."""
    return task or (config.task if config.task != OWN else usual_task(subject.world))


def usual_settings(subject: Subject, config: PolicyConfig, task: str | None) -> tuple[str, ...]:
    """Assignments of section `policy` that the tasks of a teacher ask for, over its defaults and below the user's.

    Args:
        subject, config, task: as `recipe`.

    Raises:
        ConfigError, DataError: as `controlled`.
    """
    return UNTIL_SOLVED if controlled(subject, asked_task(subject, config, task)).control.steps else ()


def recipe(subject: Subject, config: PolicyConfig, task: str | None, seed: int) -> tuple[Recipe, ControlledRun]:
    """What is to be distilled, once it is certain that it can be: with the nulls of its configuration settled.

    Args:
        subject: the teacher.
        config: section `policy`.
        task: in its place; None is the configuration's, or where that is `own`, what the world says.
        seed: of tasks, weights and order.

    Raises:
        RunError: the teacher is a policy itself.
        ConfigError, RepError: settings that do not fit its world, or augmentation in a world without the symmetry.
        DataError: a world in which there is nothing to reach.
    """
    if subject.policy is not None:
        raise RunError(f"{subject.path} is a policy itself; expected the run whose planner it was cloned from.")
    world = subject.world
    if config.augment and not world.equivariant:
        raise ConfigError(
            f"policy.augment: the world '{world.name}' does not carry {world.group}, so that labels turned by it are "
            "wrong; expected augment=false."
        )
    positions = subject.stored.config.world.positions
    settled = replace(
        config,
        task=asked_task(subject, config, task),
        relative=positions if config.relative is None else config.relative,
        timed=subject.planning.shrink if config.timed is None else config.timed,
    )
    run = controlled(subject, settled.task)
    actions = subject.planning.horizon // subject.planning.hold
    plan = settled.plan or (actions if settled.improved else 1)
    if plan > actions:
        raise ConfigError(f"policy.plan: got {plan}, expected at most the {actions} actions of a plan.")
    settled = replace(settled, plan=plan)
    build_planner(subject.planning, VARIANT)
    check_controller(run, "model", subject.planning)
    build_policy(settled, world.observation_rep, world.action_rep, seed=seed, group=world.group)
    return Recipe(subject, settled, seed), run


def policy_name(teacher: str, kind: str, seed: int) -> str:
    """Name of a policy's run that is given none: `RUN-policy`, `RUN-policy-mlp`; `-sN` follows for a seed N not 0."""
    return f"{teacher}-policy" + ("" if kind == "vn" else f"-{kind}") + (f"-s{seed}" if seed else "")


def _clear(run: Run, made: Recipe) -> None:
    """Remove what a complete distillation does not need any more: a kill came between its last steps."""
    if leaves_resume_point(run):
        remove_file(run.resume_point)
    if (run.path / CLAIM.name).exists():
        with Stores(run.path / CLAIM.name) as stores:
            stores.open(made.sections())
            stores.remove()


def prepare_policy(made: Recipe, folder: Path, name: str, *, resume: bool, command: Sequence[str] = ()) -> Run:
    """The directory to distill into: a new one, or with `resume` the one that is there if it fits.

    Raises:
        RunError: it exists and `resume` is not set, or it was started with another configuration or teacher.
    """
    check_name(name)
    run = Run(folder / name, made.subject.trust)
    if resume and run.state != "absent":
        run = Run.open(run.path, needs_checkpoint=False, trust=made.subject.trust)
        run.require_same(made.sections(), made.seed)
        remove_stale(run.path)
        if run.state == "complete":
            _clear(run, made)
        return run
    run = Run.create(folder, name, made.sections(), seed=made.seed, kind="policy", command=command)
    return Run(run.path, made.subject.trust)
