"""What a world offers: typed transitions, and a measurement of its own equivariance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from equiwm.errors import DataError
from equiwm.planning.task import ControlTask
from equiwm.symmetry.coverage import Coverage, Overlap
from equiwm.symmetry.groups import Elements, Group
from equiwm.symmetry.reps import Rep
from equiwm.tables.cell import cell
from equiwm.tables.table import Table
from equiwm.worlds.draws import Orientations

Progress = Callable[[int, int], None]
"""Called with (done, total) while data is collected."""

PART = 2**12
"""Transitions of a part of large data, about (`PartedWorld`): some tenths of a second of PushT."""


def _without_gradients(data: object, *names: str) -> None:
    """Data is numbers: what a differentiable world made it with is let go, or training would walk back into it."""
    for name in names:
        value = getattr(data, name)
        if isinstance(value, Tensor) and value.requires_grad:
            object.__setattr__(data, name, value.detach())


@dataclass(frozen=True, eq=False)
class Transitions:
    """n transitions (s_i, a_i) -> s'_i, float64, the spatial axis last.

    Attributes:
        observation: (n, *shape) of the world's observation rep: (n, C, d) of vectors and points, else flat (n, dim).
        action: (n, *action_shape) of its action rep: (n, d), (n, A, d), or flat (n, dim).
        next_observation: as `observation`.
        episode: (n,) index of the episode each comes from; neighbours in one episode are not independent.
        excluded: transitions dropped while collecting, by reason.
    """

    observation: Tensor
    action: Tensor
    next_observation: Tensor
    episode: Tensor
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _without_gradients(self, "observation", "action", "next_observation")

    def __len__(self) -> int:
        return len(self.observation)

    def to(self, dtype: torch.dtype, device: torch.device | str) -> Transitions:
        """Cast and move the tensors (once, where they are used)."""
        return replace(
            self,
            observation=self.observation.to(dtype).to(device),
            action=self.action.to(dtype).to(device),
            next_observation=self.next_observation.to(dtype).to(device),
        )

    def take(self, n: int) -> Transitions:
        """The first `n`."""
        return self.rows(slice(n))

    def rows(self, at: slice) -> Transitions:
        """Some of them, one after another."""
        return replace(
            self,
            observation=self.observation[at],
            action=self.action[at],
            next_observation=self.next_observation[at],
            episode=self.episode[at],
        )

    def transform(self, g: Elements, observation_rep: Rep, action_rep: Rep) -> Transitions:
        """Every transition turned by `g`: legitimate test data only where the world itself is equivariant."""
        return replace(
            self,
            observation=observation_rep.transform_samples(self.observation, g),
            action=action_rep.transform(self.action, g),
            next_observation=observation_rep.transform_samples(self.next_observation, g),
        )

    def __repr__(self) -> str:
        shapes = f"observations {tuple(self.observation.shape)}, actions {tuple(self.action.shape)}"
        return f"Transitions({len(self)} of {len(self.episode.unique())} episodes: {shapes})"

    def _repr_html_(self) -> str:
        """What a notebook shows: how many, and the range of each tensor."""
        rows = [
            (name, str(tuple(each.shape)), *(f"{value:.3g}" for value in (each.min(), each.mean(), each.max())))
            for name in ("observation", "action", "next_observation")
            if (each := getattr(self, name)).numel()
        ]
        return cell(repr(self), [Table("Ranges", ("tensor", "shape", "least", "mean", "largest"), rows)])


@dataclass(frozen=True, eq=False)
class Sequences:
    """n sequences of H steps, s_{h+1} = T(s_h, a_h), float64, the spatial axis last.

    Attributes:
        observations: (n, H + 1, *shape) of the world's observation rep, the start included.
        actions: (n, H, *action_shape) of its action rep.
        episode: (n,) index of the draw each comes from, ascending: sequences of two orientations with one index are
            the same but for how they are turned.
        excluded: draws that were dropped, by reason.
    """

    observations: Tensor
    actions: Tensor
    episode: Tensor
    excluded: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _without_gradients(self, "observations", "actions")

    def __len__(self) -> int:
        return len(self.observations)

    @property
    def horizon(self) -> int:
        """H."""
        return self.actions.shape[1]

    @property
    def transitions(self) -> int:
        """n H, the transitions they are made of."""
        return len(self) * self.horizon

    def to(self, dtype: torch.dtype, device: torch.device | str) -> Sequences:
        """Cast and move the tensors (once, where they are used)."""
        return replace(
            self,
            observations=self.observations.to(dtype).to(device),
            actions=self.actions.to(dtype).to(device),
        )

    def select(self, rows: Tensor) -> Sequences:
        """The sequences of given indices, or of a mask."""
        return replace(
            self, observations=self.observations[rows], actions=self.actions[rows], episode=self.episode[rows]
        )


Data = TypeVar("Data", Transitions, Sequences)


def moving(world: World, data: Data) -> Data:
    """Data of a world, if anything moves in it.

    Raises:
        DataError: every observation is followed by itself, whatever is done: there is nothing to predict, and a model
            of it is exact whatever it is.
    """
    if isinstance(data, Transitions):
        before, after = data.observation, data.next_observation
    else:
        before, after = data.observations[:, :-1], data.observations[:, 1:]
    if len(data) and torch.equal(before, after):
        raise DataError(
            f"the world '{world.name}' never moves: all {len(before)} transitions of its data end where they begin; a "
            "claim on it would mean nothing."
        )
    return data


@dataclass(frozen=True)
class SymmetryResidual:
    """How far a world's own dynamics is from equivariant: max |g s_H - s_H(g s_0, g a)| over rollouts.

    Attributes:
        unit: unit of the residuals, `px` for PushT.
        steps: length H of each rollout.
        worst: largest residual, by kind of rollout (for PushT `free`, `overlapping` and `wall`).
        rollouts: number of rollouts, by kind.
    """

    unit: str
    steps: int
    worst: Mapping[str, float]
    rollouts: Mapping[str, int]


class World(Protocol):
    """A controlled dynamics s' = T(s, a); `equivariant` ones have T(g s, g a) = g T(s, a) for all g of `group`.

    A world says itself all that others need to know of it. One that is written anew derives from `scene.Scene`, which
    has all of this but the dynamics; any other class with these members is a world as well.
    """

    name: str
    group: Group
    coverage: Coverage
    """What training has seen: the elements that scenes of orientations `seen` are turned by. Draws follow it when it
    is changed."""
    equivariant: bool
    """Whether the dynamics carries the group. Where it does not, an outcome that is turned with its scene is none of
    this world's: test sets are stepped afresh."""
    observation_rep: Rep
    action_rep: Rep
    components: Mapping[str, int]
    """Named channels of an observation, for errors shown one by one."""

    @property
    def can_step(self) -> bool:
        """Whether `step` knows what follows any observation; where it does not, what the world says of itself holds."""
        return True

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """Reps of those read-out targets that are flat, each of one kind; the others are vectors."""
        return {}

    @property
    def dimension(self) -> int:
        """d of the space that the group acts on."""
        return self.group.d

    def transitions(
        self, n: int, *, seed: int, orientations: Orientations = "seen", progress: Progress | None = None
    ) -> Transitions:
        """`n` exploration transitions; the same arguments give the same tensors."""
        ...

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        """s' = T(s, a) from what an observation shows: (B, *shape), (B, *action_shape) -> (B, *shape), float64."""
        ...

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """What a read-out has to recover from a latent: named vectors (n, C', d), or flat (n, dim) of `target_reps`."""
        ...

    def symmetry_residual(self, rollouts: int = 500, steps: int = 30, *, seed: int = 0) -> SymmetryResidual:
        """The world's own equivariance, measured on random rollouts and their turned copies."""
        ...


def action_shape(rep: Rep) -> tuple[int, ...]:
    """Shape of one action in data: (d,) for one vector, (A, d) for several, (dim,) for a rep that holds more.

    Planners always write (A, d).
    """
    return (rep.dim,) if rep.multiplicity == 1 else rep.shape


@runtime_checkable
class SequenceWorld(Protocol):
    """A world that also gives whole sequences, to measure rollouts on."""

    def sequences(
        self,
        n: int,
        horizon: int,
        *,
        seed: int,
        orientations: Orientations = "seen",
        progress: Progress | None = None,
    ) -> Sequences:
        """`n` sequences of `horizon` exploration steps; the same arguments give the same tensors.

        A world with a guard drops the draws that leave it, and gives fewer than `n` where too many do. Sequences of
        `unseen` and `seen` with one seed are paired by `episode`: the same starts and actions, each pair turned by
        one group element, and the world's own outcome of both.

        Raises:
            DataError: `n` or `horizon` below 1, a negative seed, unknown orientations, or a horizon that no draw
                survives.
        """
        ...


@runtime_checkable
class PartedWorld(Protocol):
    """A world whose transitions are made of episodes 0, 1, 2, ..., each by itself, so that others may make some.

    `transitions(n, seed=seed)` are the first n rows of the episodes in their order; `excluded` counts what is dropped
    in the episodes that those rows come from. Nothing that an episode draws or does depends on the others, on when, or
    in which process it is made. Large data of a training are then made in parts, by several processes, always the same
    parts (`equiwm.training.parts`).
    """

    @property
    def part_episodes(self) -> int:
        """Episodes that are made at once, about `PART` transitions; 0 where transitions are not made in parts."""
        ...

    @property
    def data_files(self) -> Sequence[Path] | None:
        """Files that the transitions are read from, beside code, configuration and seed: () for none.

        None where they may depend on anything else; they are then never kept for another command
        (`equiwm.training.data_key`).
        """
        ...

    def episodes(self, first: int, count: int, *, seed: int, orientations: Orientations = "seen") -> Transitions:
        """All transitions of the episodes `first` to `first + count - 1`, in order, numbered by their episode."""
        ...


@dataclass(frozen=True, eq=False)
class RecordedBin:
    """Transitions that were recorded at orientations of one kind.

    Attributes:
        label: `30 to 60` (degrees), `cell 7`, or for all that training has seen `seen`.
        turn_deg: the angle in the middle of a bin that stands on a circle.
        from_seen_deg: degrees from there to the nearest orientation of training, 0 in a seen bin.
        overlap: whether training has orientations of this bin: as many as others (`full`), some, or none.
        data: the transitions, float64.
    """

    label: str
    turn_deg: float | None
    from_seen_deg: float
    overlap: Overlap
    data: Transitions


@runtime_checkable
class RecordedWorld(Protocol):
    """A world that was recorded and cannot be stepped: it gives what there is, which may be fewer than asked for."""

    @property
    def held_out(self) -> World:
        """The same world, of episodes that training never sees: all evaluation asks it."""
        ...

    @property
    def all_seen(self) -> bool:
        """Whether there is no orientation but those of training that it could give transitions at."""
        ...

    def recorded_bins(self, n: int, *, seed: int, bins: int | None = None) -> list[RecordedBin]:
        """At most `n` transitions at each of some orientations that were recorded, those of training first."""
        ...


@runtime_checkable
class CollectedWorld(Protocol):
    """A world that may be trained on episodes that were collected earlier; whatever is measured asks itself."""

    def training_side(self) -> World:
        """What training draws its data from: itself, or those episodes."""
        ...


@runtime_checkable
class ControlWorld(Protocol):
    """A world in which there is something to reach."""

    def control(self, observations: Tensor) -> ControlTask:
        """The tasks of this world.

        Args:
            observations: (n, C, d), the training's own, on which frames are fitted.
        """
        ...


@runtime_checkable
class StandardWorld(Protocol):
    """A world that others measure too, with tasks of theirs."""

    standard_tasks: Mapping[str, str]
    """Their names, and what each is in words."""

    def standard(self, name: str, demonstrations: Path | None) -> ControlTask:
        """The tasks of that name.

        Args:
            name: one of `standard_tasks`.
            demonstrations: recorded episodes that starts and goals are taken from, where a task takes them.

        Raises:
            ConfigError: an unknown name, or demonstrations for a task that takes none.
            DataError: demonstrations that cannot be read.
        """
        ...


@dataclass(frozen=True, eq=False)
class StateAccess:
    """A world's simulator with its whole state, velocities and all, which an observation may not show.

    Attributes:
        place: puts it in a state (S,), with nothing left of before.
        state: the present state, (S,).
        act: one control step under an action (A,); it may give (reward, whether it terminated).
        turn: (state, element) -> the state under it.
        turn_action: (action, element) -> the action under it.
        starts: (n, seed) -> (n, S) states where the world is used, at its walls too if it has walls.
        plans: (n, H, seed) -> (n, H, A) actions.
        channels: names of the state's channels, name -> entries.
        angles: names of those that are angles, in radians.
        quaternions: names of those that are unit quaternions, w first.
        sigma: standard deviation of the translations that are tried.
        guard: (n, S) -> (n,) where the world's own guard says that its symmetry holds; None where it has no guard.
        seen_as: (n, C, d) -> (n, S) states that are seen as these observations, at rest in what they do not show; None
            where that is not known. A guard of the world asks for it.
        touching: names of what is in contact, or has been since the state was placed; None where nothing says.
        fixed: what stands in the world and is not moved by its group, in words, for the cause of a break.
        observe: the observation (O,) at the present state; None where there is none beside the state.
        observed: names of its entries.
        dimension: d of the space that the group acts on, where no world says it.
        unmoved: elements -> which of them leave it as it stands (a mirror the walls of a square room), so that it is no
            cause; None where none does.
    """

    place: Callable[[np.ndarray], None]
    state: Callable[[], np.ndarray]
    act: Callable[[np.ndarray], object]
    turn: Callable[[np.ndarray, Elements], np.ndarray]
    turn_action: Callable[[np.ndarray, Elements], np.ndarray]
    starts: Callable[[int, int], np.ndarray]
    plans: Callable[[int, int, int], np.ndarray]
    channels: Mapping[str, tuple[int, ...]]
    angles: tuple[str, ...] = ()
    quaternions: tuple[str, ...] = ()
    sigma: float = 1.0
    guard: Callable[[np.ndarray], np.ndarray] | None = None
    seen_as: Callable[[Tensor], np.ndarray] | None = None
    touching: Callable[[], Sequence[str]] | None = None
    fixed: str = ""
    unmoved: Callable[[Elements], Tensor] | None = None
    observe: Callable[[], np.ndarray] | None = None
    observed: tuple[str, ...] | None = None
    dimension: int | None = None

    def fixed_under(self, elements: Elements) -> str:
        """What stands in the way of some of the elements, in words; empty where nothing does."""
        return "" if self.unmoved is not None and bool(self.unmoved(elements).all()) else self.fixed


@runtime_checkable
class AccessibleWorld(Protocol):
    """A world whose simulator can be placed in any of its states."""

    def state_access(self) -> StateAccess:
        """Its simulator, its states and how its group acts on them."""
        ...
