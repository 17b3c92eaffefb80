"""A policy: one network from what is observed and what is to be reached to an action, in the place of a planner."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError, RepError
from equiwm.models.choice import group_of
from equiwm.models.factory import build_encoder, seeded
from equiwm.models.typed import TypedEncoder
from equiwm.nn.layer import Layer
from equiwm.nn.normalise import Normalise
from equiwm.policy import PolicyConfig
from equiwm.symmetry.groups import O2, Group
from equiwm.symmetry.kinds import SCALAR
from equiwm.symmetry.orientations import Quaternion
from equiwm.symmetry.reps import Rep

NEAR = 0.1
"""Size, in units of what is usual, below which the direction of a goal fades."""


class Policy(nn.Module):
    """pi(x, x*, left) = B(net(U N D [x, x*, left])): pi(g x, g x*, left) = rho(g) pi(x, x*, left) where net commutes.

    D takes the first of the `positions` of x off all of them, in x and in x*; where the policy sees the `difference` to
    its goal, it gives x* - x in the place of x* (but for quaternions, which have a sign of their own). N scales to unit
    size (`nn.normalise`). U adds, where the policy sees the direction of its goal, v / sqrt(|v|^2 + 0.01) of every copy
    v of a kind in N (x* - x): near the goal that says where it lies when v itself says little. B divides every copy of
    a kind in the action by max(1, its norm), as a planner bounds it.
    All commute with the group; points are the network's own to take relative to one another. The network gives a
    `plan`, of which pi is the first action: what follows is taught beside it, and planners that improve it begin there.

    Args:
        network: from `taken_rep(observation_rep, timed, difference, direction)` to the actions of a plan, one after
            another (`plan_rep`).
        observation_rep: of x and x*.
        action_rep: of one action.
        plan: P, actions of a plan.
        timed: whether it sees `left`.
        positions: channels of positions in an observation, the reference first; () for none.
        difference: whether it sees x* - x.
        direction: whether it sees the direction of that besides.
        normalise: N, or None.

    Raises:
        ConfigError: positions that an observation does not have.
        RepError: a network of other reps.
    """

    differences: Tensor

    def __init__(
        self,
        network: Layer,
        observation_rep: Rep,
        action_rep: Rep,
        *,
        timed: bool,
        plan: int = 1,
        positions: Sequence[int] = (),
        difference: bool = False,
        direction: bool = False,
        normalise: Normalise | None = None,
    ) -> None:
        super().__init__()
        seen = seen_rep(observation_rep, timed, difference)
        taken = taken_rep(observation_rep, timed, difference, direction)
        if network.in_rep != taken:
            raise RepError(
                f"a policy of observations {observation_rep} sees {taken}; its network takes {network.in_rep}."
            )
        if network.out_rep != plan_rep(action_rep, plan):
            raise RepError(
                f"a policy that gives {plan} actions of {action_rep} has a network of {plan_rep(action_rep, plan)}; "
                f"this one gives {network.out_rep}."
            )
        self.direction, self.plan = direction, plan
        self.network, self.normalise = network, normalise
        self.observation_rep, self.action_rep, self.timed = observation_rep, action_rep, timed
        self.register_buffer(
            "differences", _differences(seen, observation_rep, tuple(positions), difference), persistent=False
        )

    @property
    def equivariant(self) -> bool:
        """Whether the network is meant to be (`Layer.equivariant`); what it is, `equiwm.audit` measures."""
        return self.network.equivariant

    @property
    def parameter_count(self) -> int:
        """Number of trained scalars."""
        return sum(parameter.numel() for parameter in self.parameters())

    def seen(self, observation: Tensor, goal: Tensor, left: Tensor | None = None) -> Tensor:
        """D [x, x*, left], flat: (B, *shape) twice and (B, 1) -> (B, dim of `seen_rep`)."""
        inner = len(self.observation_rep.shape)
        parts = [observation.flatten(-inner), goal.flatten(-inner)]
        if self.timed:
            if left is None:
                raise RepError("this policy sees which share of the episode is left: give left, (B, 1).")
            parts.append(left)
        return torch.cat(parts, -1) @ self.differences.mT

    def unbounded(self, seen: Tensor) -> Tensor:
        """net(U N y) of y from `seen`: (B, dim) -> (B, P, *action_rep.shape), as labels are held against it."""
        scaled = seen if self.normalise is None else self.normalise(seen)
        if self.direction:
            start = self.observation_rep.dim
            copies = scaled[..., start : 2 * start].split(list(self.observation_rep.linear_part.channels), -1)
            units = [part / (part.square().sum(-1, keepdim=True) + NEAR**2).sqrt() for part in copies]
            scaled = torch.cat([scaled, *units], -1)
        made: Tensor = self.network(scaled.reshape(*scaled.shape[:-1], *self.network.in_rep.shape))
        return made.reshape(*scaled.shape[:-1], self.plan, *self.action_rep.shape)

    def forward(self, observation: Tensor, goal: Tensor, left: Tensor | None = None) -> Tensor:
        """Actions (B, *action_rep.shape) in the unit of plans: every copy of a kind in the unit ball.

        Args:
            observation, goal, left: as of `plans`.

        Raises:
            RepError: `left` is missing.
        """
        made = self.unbounded(self.seen(observation, goal, left))
        return self._bounded(made.select(-1 - len(self.action_rep.shape), 0))

    def plans(self, observation: Tensor, goal: Tensor, left: Tensor | None = None) -> Tensor:
        """Plans (B, P, *action_rep.shape), the action of `forward` and what is meant to follow it.

        Args:
            observation: x, (B, *shape) of `observation_rep`.
            goal: x*, likewise.
            left: (B, 1), the share of the episode's steps that is left, in (0, 1]; of a policy that is `timed`.

        Raises:
            RepError: `left` is missing.
        """
        return self._bounded(self.unbounded(self.seen(observation, goal, left)))

    def _bounded(self, made: Tensor) -> Tensor:
        if self.action_rep.structured:  # channel by channel already
            return made / made.square().sum(-1, keepdim=True).clamp(min=1.0).sqrt()
        copies = made.split(list(self.action_rep.channels), -1)
        return torch.cat([part / part.square().sum(-1, keepdim=True).clamp(min=1.0).sqrt() for part in copies], -1)


def plan_rep(action_rep: Rep, plan: int) -> Rep:
    """Rep of so many actions, one after another."""
    return Rep(action_rep.terms * plan, action_rep.d)


def taken_rep(observation_rep: Rep, timed: bool, difference: bool, direction: bool) -> Rep:
    """Rep of what a policy's network takes: what it sees, and the direction of its goal."""
    seen = seen_rep(observation_rep, timed, difference)
    return seen + observation_rep.linear_part if direction else seen


def seen_rep(observation_rep: Rep, timed: bool, difference: bool) -> Rep:
    """Rep of what a policy sees: the state, the goal or its difference to the state and, where it is timed, the share
    of the episode that is left."""
    both = observation_rep + (observation_rep.linear_part if difference else observation_rep)
    return both + Rep(((1, SCALAR),), observation_rep.d) if timed else both


def _differences(rep: Rep, observation_rep: Rep, positions: tuple[int, ...], difference: bool) -> Tensor:
    """D, (dim, dim)."""
    matrix, start = torch.eye(rep.dim), 0
    for count, kind in observation_rep.terms:
        stop = start + count * kind.dim(observation_rep.d)
        if difference and not isinstance(kind, Quaternion):
            matrix[range(observation_rep.dim + start, observation_rep.dim + stop), range(start, stop)] = -1.0
        start = stop
    if not positions:
        return matrix
    widths = observation_rep.channels
    if len(set(positions)) < len(positions) or max(positions) >= len(widths):
        raise ConfigError(
            f"policy.relative: got {list(positions)}, expected different channels of the observation, 0 to "
            f"{len(widths) - 1}."
        )
    if len({widths[channel] for channel in positions}) > 1:
        raise ConfigError(f"policy.relative: the channels {list(positions)} are not all of one kind.")
    starts = [sum(widths[:channel]) for channel in positions]
    for half in (0,) if difference else (0, observation_rep.dim):
        for start in starts:
            for entry in range(widths[positions[0]]):
                matrix[half + start + entry, starts[0] + entry] -= 1.0
    return matrix


def build_policy(
    config: PolicyConfig,
    observation_rep: Rep,
    action_rep: Rep,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    group: Group,
) -> Policy:
    """The policy of a configuration whose nulls are settled, with the weights that `seed` gives (as `build_model`).

    Raises:
        ConfigError: settings that do not fit the reps, or an encoder that is not found.
        RepError: actions with points, which no planner draws, or layers that do not fit each other.
    """
    if action_rep.has_points:
        raise RepError(f"actions of rep {action_rep} hold points: a planner draws about 0, and has no such plans.")

    def build() -> Policy:
        difference, direction = config.goal in ("difference", "direction"), config.goal == "direction"
        seen = seen_rep(observation_rep, bool(config.timed), difference)
        taken = taken_rep(observation_rep, bool(config.timed), difference, direction)
        plan = config.plan or 1
        network = _network(config, taken, plan_rep(action_rep, plan), group)
        normalise = Normalise(seen, group) if config.normalise else None
        return Policy(
            network,
            observation_rep,
            action_rep,
            timed=bool(config.timed),
            plan=plan,
            positions=config.relative or (),
            difference=difference,
            direction=direction,
            normalise=normalise,
        )

    return seeded(build, seed=seed, dtype=dtype).train()


def _network(config: PolicyConfig, taken: Rep, given: Rep, group: Group) -> Layer:
    d = taken.d
    weights = config.weights or ("complex" if d == 2 and O2 not in group else "real")
    shape = ModelConfig(encoder=config.encoder, weights=weights, encoder_widths=config.widths, encoder_skip=config.skip)
    if config.encoder == "vn" and d != 2:  # vector neurons alone have no cross products: a policy needs them
        return TypedEncoder(taken, given, config.widths, group_of(shape, group, d))
    return build_encoder(shape, taken, given, group)
