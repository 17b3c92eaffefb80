"""Sections `policy` and `teacher` of a distilled policy's `config.yaml`: the network, and how it was cloned.

Such a run's other sections (world, model, training, planning) are its teacher's, so that its tasks are the very ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equiwm.errors import ConfigError
from equiwm.schema import build, plain, read_assignment, section_of, setting

SECTION, TEACHER = "policy", "teacher"
SECTIONS = (SECTION, TEACHER)
"""What the `config.yaml` of a policy has besides the sections of a training."""


@dataclass(frozen=True)
class PolicyConfig:
    """A policy pi(state, goal) = action, cloned from a planner and improved on its own mistakes (DAgger).

    Source of the mixture: Ross, Gordon and Bagnell 2011, "A Reduction of Imitation Learning and Structured Prediction
    to No-Regret Online Learning".
    """

    encoder: str = setting(
        "vn",
        "the network, an encoder of state and goal whose latent is the action: vn (exact for any rep), mlp, or any "
        "other of model.encoder, your own as module:name too",
    )
    weights: Literal["real", "complex"] | None = setting(
        None, "weights of vector neurons; null is complex in the plane under rotations alone, else real"
    )
    widths: tuple[int, ...] = setting((64, 64), "hidden widths, in channels or units", at_least=1)
    skip: bool = setting(False, "a linear path beside the network (vn in the plane)")
    normalise: bool = setting(True, "scale what it sees to unit size, by what its teacher's episodes show")
    relative: tuple[int, ...] | None = setting(
        None,
        "channels of positions that it sees, in state and goal, less the first of them in the state; null is what the "
        "world says, [] as they are",
        at_least=0,
    )
    goal: Literal["absolute", "difference", "direction"] = setting(
        "absolute",
        "it sees the goal as it is, or as its difference to the state, scaled by itself (finer near the goal, where "
        "rounding then grows faster), or the direction of that besides, which does not fade where it is small",
    )
    timed: bool | None = setting(
        None, "it also sees which share of the episode is left; null is where plans end with the episode"
    )
    augment: bool = setting(False, "turn state, goal and label by fresh elements of the world's group in every epoch")
    task: str = setting("own", "the tasks that it is cloned on: the world's own, or a name of closed-loop --task")
    tasks: int = setting(48, "tasks of a round, each round's its own", at_least=1)
    rounds: int = setting(4, "rounds: in the first the planner drives, then the policy more and more", at_least=1)
    planner_share: float = setting(
        0.5, "share of stretches that the planner drives in the second round; its square in the third", at_least=0.0
    )
    label: Literal["mean", "carried"] = setting(
        "mean",
        "what of a plan is learnt: the mean of its last distribution, which random numbers move least, or what of it "
        "is carried out",
    )
    fresh: bool = setting(
        True,
        "labels are of plans that begin afresh: one that begins from what is left of the last (planning.warm) depends "
        "on what the policy does not see",
    )
    improved: int = setting(
        0, "rounds after those, in which it drives alone and learns the best plans near its own", at_least=0
    )
    improved_states: int = setting(
        15, "states of an episode of such a round, drawn from those it decided in, that are planned for", at_least=1
    )
    improved_margin: float = setting(
        0.6, "share of the cost of the best plan near its own below which the planner's is learnt in the place of that"
    )
    improved_sigma: float = setting(0.15, "planning.sigma of plans near its own", above=0.0)
    improved_epochs: int = setting(10, "passes over the labels in such a round", at_least=1)
    improved_from: int = setting(12, "rounds, the last ones, whose labels such a round fits it to", at_least=1)
    plan: int | None = setting(
        None,
        "actions of a plan that its network gives, of which the first is what it does and the others are learnt beside "
        "it; null is a whole plan where rounds improve it, else 1",
        at_least=1,
    )
    epochs: int = setting(60, "passes over all labels so far, in each other round", at_least=1)
    batch: int = setting(256, "batch size, in labels", at_least=1)
    optimizer: str = setting("adam", "as training.optimizer")
    lr: float | None = setting(None, "learning rate, to 0 in each round; null is the optimiser's own", above=0.0)
    weight_decay: float | None = setting(None, "weight decay; null is the optimiser's own", at_least=0.0)
    least_success: float = setting(
        0.5, "share of the first round's tasks that the planner has to solve; below it there is nothing to clone"
    )

    def check(self) -> None:
        """Refuse shares that are none.

        Raises:
            ConfigError: such a share.
        """
        for name in ("planner_share", "least_success", "improved_margin"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"policy.{name}: got {getattr(self, name):g}, expected a share, 0 to 1.")

    @property
    def total_rounds(self) -> int:
        """Those that the planner takes part in, and those that improve the policy."""
        return self.rounds + self.improved

    @property
    def total_epochs(self) -> int:
        """Of all rounds."""
        return self.last_epoch(self.total_rounds - 1)

    def last_epoch(self, round: int) -> int:
        """Epochs by the end of a round, counted from 0."""
        improved = max(0, round + 1 - self.rounds)
        return (round + 1 - improved) * self.epochs + improved * self.improved_epochs

    def finished(self, epoch: int) -> int:
        """How many rounds are finished after so many epochs."""
        cloned = self.rounds * self.epochs
        return min(epoch, cloned) // self.epochs + max(0, epoch - cloned) // self.improved_epochs

    def share(self, round: int) -> float:
        """Of the stretches of a round, counted from 0, that the planner drives."""
        return 1.0 if round == 0 else self.planner_share**round if round < self.rounds else 0.0


@dataclass(frozen=True)
class Teacher:
    """Which run a policy was cloned from.

    Attributes:
        name: of the run.
        seed: of its training, which gives its data.
        checkpoint_sha256: of its weights.
        parameters: trained scalars of its model.
    """

    name: str
    seed: int
    checkpoint_sha256: str
    parameters: int


KINDS: Mapping[str, tuple[str, ...]] = {
    "vn": (),
    "mlp": ("policy.encoder=mlp",),
    "augmented": ("policy.encoder=mlp", "policy.augment=true"),
}
"""The policies of `equiwm distill --policy` by name: what each sets."""


UNTIL_SOLVED = (
    "policy.goal=direction",
    "policy.widths=[96,96]",
    "policy.tasks=64",
    "policy.rounds=1",
    "policy.fresh=false",
    "policy.label=carried",
    "policy.improved=40",
    "policy.batch=128",
    "policy.optimizer=adam",
    "policy.lr=2e-3",
)
"""What `equiwm distill` sets of itself where an episode ends with its task solved: such tasks are long, and solved to
the last pixel, which a clone alone is not near to."""


def policy_config(assignments: Sequence[str]) -> PolicyConfig:
    """Section `policy` from `policy.key=value` assignments, later ones over earlier ones.

    Raises:
        ConfigError: an unknown key or value, or another section.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        values |= read_assignment(assignment, [SECTION])[1]
    return build(PolicyConfig, values, SECTION)


def policy_of(data: Mapping[str, Any]) -> tuple[PolicyConfig, Teacher]:
    """Both sections from the plain data of a `config.yaml`.

    Raises:
        ConfigError: a section that is missing, an unknown key or a wrong value.
    """
    found = build(PolicyConfig, section_of(SECTION, data.get(SECTION)), SECTION)
    return found, build(Teacher, section_of(TEACHER, data.get(TEACHER)), TEACHER)


def as_sections(config: PolicyConfig, teacher: Teacher) -> dict[str, Any]:
    """Both sections as plain data: `policy_of(as_sections(config, teacher)) == (config, teacher)`."""
    return plain({SECTION: dataclasses.asdict(config), TEACHER: dataclasses.asdict(teacher)})


def without_policy(data: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that a training has as well."""
    return {key: value for key, value in data.items() if key not in SECTIONS}
