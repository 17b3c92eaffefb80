"""What closed-loop control asks of a world: tasks, their turned copies, episodes that go on, and pose errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.planning.costs import CentroidGoal, Term
from equiwm.planning.frames import Frames
from equiwm.symmetry.groups import Elements

Controller = Literal["model", "centroid", "dynamics", "replay"]
"""What drives the episodes: the planner with the model, with the centroid's closed form alone, with the true dynamics,
or the actions that the task was made with."""

REFERENCES: dict[Controller, str] = {
    "centroid": "centroid only, no world model",
    "dynamics": "true dynamics in the model's place",
    "replay": "replay of the task's own actions",
}
"""The controllers that need no world model, in words."""


@dataclass(frozen=True)
class Criterion:
    """When a pose counts as reached, and which pose of an episode is scored.

    Attributes:
        angle_deg: an angle between body and goal below this is reached.
        distance: and a distance of their positions below this.
        unit: of the distance.
        degrees: degrees that a unit of distance counts for, where the poses of an episode are compared.
        scored: the pose whose error stands for the episode: the `best` on the way, by angle + degrees * distance, or
            the `final` one.
        measure: unit of the errors that stand first: `deg`, or `tolerances` of a goal that is given by channels.
    """

    angle_deg: float
    distance: float
    unit: str
    degrees: float
    scored: Literal["best", "final"]
    measure: Literal["deg", "tolerances"] = "deg"


@dataclass(frozen=True)
class Channel:
    """A quantity that a goal names.

    Attributes:
        tolerance: an error below this is reached.
        unit: of the error.
    """

    tolerance: float
    unit: str


@dataclass(frozen=True, eq=False)
class Tasks:
    """n tasks.

    Attributes:
        start: the simulator's states, n rows, which only the control task reads.
        goal: (n, C, d) float64, what would be observed there.
        actions: (n, S, A, d), the actions that lead from start to goal; None where tasks are not made by actions.
    """

    start: Any
    goal: Tensor
    actions: Tensor | None = None

    def __len__(self) -> int:
        return len(self.goal)

    def take(self, rows: list[int]) -> Tasks:
        """The tasks of these indices, in this order, repeated where an index is."""
        return Tasks(self.start[rows], self.goal[rows], None if self.actions is None else self.actions[rows])


class Simulation(ABC):
    """n episodes side by side, each with a simulator of its own that goes on from step to step.

    Attributes:
        observation: (n, C, d) float64, what is observed now.
        excluded: for each episode the first reason for which the symmetry does not cover it, or None.
        stopped: (n,) bool, episodes whose world diverged: they stay as they were observed last.
    """

    def __init__(self, observation: Tensor) -> None:
        self.observation = observation.clone()
        self.excluded: list[str | None] = [None] * len(observation)
        self.stopped = torch.zeros(len(observation), dtype=torch.bool)

    def advance(self, actions: Tensor) -> None:
        """One control step of every episode that has not stopped, by actions (n, A, d) float64."""
        for k in torch.nonzero(~self.stopped)[:, 0].tolist():
            try:
                seen, reason = self.step(k, actions[k])
            except DataError as error:
                seen, reason = self.observation.new_full((), torch.nan), f"the world refused the action: {error}"
            if bool(seen.isfinite().all()):
                self.observation[k] = seen
            else:
                self.stopped[k] = True
                reason = reason or "the world diverged"
            self.excluded[k] = self.excluded[k] or reason

    @abstractmethod
    def step(self, k: int, action: Tensor) -> tuple[Tensor, str | None]:
        """Advance episode k by the action (A, d).

        Returns:
            The observation (C, d), not finite where the world diverged, and why the symmetry does not cover this step
            (a wall was touched), or None.
        """


class ControlTask(ABC):
    """What there is to do in a world. All that it gives turns with the scene: Q(g s) = R Q(s), errors are invariant.

    Attributes:
        criterion: when a pose counts as reached.
        parts: what each point of `track` belongs to.
        references: controllers without a world model that this world has (of `REFERENCES`), each of which needs
            something: `centroid` the `centroid_term`, `dynamics` a `simulate`, `replay` tasks with actions.
        channels: the quantities that its goals name, where they are given by channels and tolerances; `pose_error`
            then gives the largest error in tolerances first.
        asks: what is asked of an episode by everybody who measures this world, source -> words; `judge` says which
            poses meet it.
        decides: the one of `asks` that an episode is to meet in any of its poses; empty where it is the criterion.
        steps: control steps of an episode; None is what the configuration says.
        most_excluded: share of excluded pairs above which nothing is concluded.
        goals: where starts and goals come from, in words.
        unturned: why its tasks cannot be turned, in words, so that nothing is paired; None where they can.
    """

    criterion: Criterion
    parts: tuple[str, ...]
    references: tuple[Controller, ...] = ()
    channels: Mapping[str, Channel] = {}
    asks: Mapping[str, str] = {}
    decides: str = ""
    steps: int | None = None
    most_excluded: float = 0.05
    goals: str = ""
    unturned: str | None = None

    @abstractmethod
    def tasks(self, n: int, seed: int) -> Tasks:
        """`n` tasks at orientations that training has seen; task k depends on neither `n` nor its neighbours."""

    @abstractmethod
    def turned(self, tasks: Tasks, g: Elements) -> Tasks:
        """The tasks with start, goal and actions moved by g, element k for task k."""

    @abstractmethod
    def begin(self, tasks: Tasks) -> Simulation:
        """Episodes at the start of their tasks."""

    @abstractmethod
    def pose_error(self, observation: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Angle in degrees and distance in the criterion's unit between body and goal: (..., C, d) twice -> (...)."""

    @abstractmethod
    def frames(self, observation: Tensor) -> Frames:
        """Frames (n, d, d) read off observations (n, C, d)."""

    @abstractmethod
    def track(self, observation: Tensor) -> Tensor:
        """Points (..., K, d) in the world's coordinates that show an observation (..., C, d) in a figure."""

    def channel_errors(self, observation: Tensor, goal: Tensor) -> Mapping[str, Tensor]:
        """The error of each of `channels` in its unit: (..., *shape) twice -> (...)."""
        return {}

    def judge(self, observation: Tensor, goal: Tensor) -> tuple[Mapping[str, Tensor], Tensor]:
        """Which poses meet each of `asks`, and the reward of each: (..., C, d) twice -> bool (...) each, and (...).

        A reward is NaN where the world has none.
        """
        return {}, observation.new_full(observation.shape[:-2], torch.nan)

    def achieved(self, observations: Tensor, goal: Tensor) -> Tensor:
        """Which episodes did what was asked: (T, S + 1, C, d) and (T, C, d) -> (T,) bool."""
        if self.decides:
            return self.judge(observations, goal[:, None])[0][self.decides].any(-1)
        angle, distance = self.pose_error(observations, goal[:, None])
        criterion = self.criterion
        at = angle[:, -1:].new_full((len(angle), 1), angle.shape[1] - 1).long()
        if criterion.scored == "best":
            at = (angle + criterion.degrees * distance).argmin(-1, keepdim=True)
        angle, distance = angle.gather(-1, at)[:, 0], distance.gather(-1, at)[:, 0]
        return (angle < criterion.angle_deg) & (distance < criterion.distance)

    def physical(self, actions: Tensor) -> Tensor:
        """A planner's actions, every copy of their rep in the unit ball, in the world's own units."""
        return actions

    def keypoint_term(self, goal: Tensor, *, running: float, approach: float, passing: bool) -> Term | None:
        """The cost of the points of the body's outline in state space; None in a world whose body has none."""
        return None

    def pose_term(self, goal: Tensor, *, running: float, approach: float, weight: float) -> Term | None:
        """The cost of the goal's pose, or of its channels, in state space; None in a world whose observations do not
        show it as vectors."""
        return None

    def centroid_term(self, observation: Tensor, goal: Tensor, *, weight: float, horizon: int) -> CentroidGoal | None:
        """The cost of the body's centroid from the actions alone; None in a world that does not give it in closed form.

        Args:
            observation: (n, C, d), where the plan begins.
            goal: (n, C, d).
            weight: of the term.
            horizon: steps of the plan.
        """
        return None

    def simulate(self, observation: Tensor, actions: Tensor) -> Tensor | None:
        """What would be observed under plans, by the true dynamics; None in a world that does not say.

        Args:
            observation: (T, C, d), up to a translation where the group has them.
            actions: (T, N, H, A, d).

        Returns:
            (T, N, H, C, d) float64.
        """
        return None
