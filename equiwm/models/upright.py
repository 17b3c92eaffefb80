"""An ordinary network in one frame, where a group turns about an axis alone and a state holds more than vectors.

    f(z, a) = z + rho(Q(z)) net(rho(Q(z))^-1 [z, a]),   Q(z) the turn about the axis by the heading of a vector of z

Under a turn g about the axis Q(g z) = g Q(z), so f is equivariant at any weights, whatever kinds the reps hold: scalars
and heights are the same in every such frame. A vector along the axis has no heading, and there is no frame then: see
`equiwm.models.canonical`, also for the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equiwm.config import ModelConfig
from equiwm.errors import ConfigError, RepError
from equiwm.models.canonical import LEAST_SINE, CanonicalPredictor, Frame
from equiwm.models.choice import vectors_alone
from equiwm.models.mlp import mlp_network
from equiwm.models.step import ResidualPredictor
from equiwm.nn.layer import Layer
from equiwm.symmetry.about import AboutAxis
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.groups import SO2
from equiwm.symmetry.kinds import VECTOR
from equiwm.symmetry.reps import Rep


def canonical_predictor(config: ModelConfig, latent_rep: Rep, action_rep: Rep, *, group: Group | None = None) -> Layer:
    """Predictor `canonical` of a configuration: by the reps and the group.

    Args:
        config: settings; `frame` names the channels that the frame is read off.
        latent_rep: rep of the latents.
        action_rep: rep of the actions.
        group: the world's.

    Raises:
        ConfigError: channels that the latent does not have, or that give no frame.
        RepError: reps that hold more than vectors under a group that does not turn about one axis.
    """
    if vectors_alone(group, latent_rep, action_rep) or group is None or not _turns_about_an_axis(group):
        return CanonicalPredictor.of(config, latent_rep, action_rep)
    if len(config.frame) != 1:
        raise ConfigError(f"model.frame: got {list(config.frame)}, expected one vector, whose heading is the frame.")
    norm = config.encoder != "identity"
    return UprightPredictor(latent_rep, action_rep, config.predictor_widths, config.frame[0], group, norm=norm)


def _turns_about_an_axis(group: Group) -> bool:
    spatial = group.spatial
    return isinstance(spatial, AboutAxis) and SO2 in spatial.planar


class UprightPredictor(ResidualPredictor):
    """f(z, a) = z + rho(Q) mlp(rho(Q)^-1 [z, a]): latents (B, D) flat, actions (B, *action_shape); gives (B, D).

    Args:
        latent_rep: rep of the latents.
        action_rep: rep of the actions.
        widths: hidden widths of the ordinary network, in units.
        channel: the vector of the latent whose heading gives the frame; counted as `Rep.channels`.
        group: turns about an axis, as `se2z`.
        norm: whether the network carries layer norms, as `MLPPredictor`.

    Raises:
        ConfigError: a channel that is no vector of the latent.
        RepError: a group that does not turn about an axis.
    """

    axis: Tensor
    """(3, 3): the plane that turns, first and second column, and the axis."""

    def __init__(
        self,
        latent_rep: Rep,
        action_rep: Rep,
        widths: Sequence[int],
        channel: int,
        group: Group,
        *,
        norm: bool = False,
    ) -> None:
        super().__init__(latent_rep, action_rep)
        spatial = group.spatial
        if not isinstance(spatial, AboutAxis) or SO2 not in spatial.planar:
            raise RepError(f"a frame that is a heading goes with turns about an axis; got the group {group}.")
        kinds = [kind for count, kind in latent_rep.terms for _ in range(count)]
        if not 0 <= channel < len(kinds) or kinds[channel] != VECTOR:
            raise ConfigError(f"model.frame: channel {channel} is no vector (1o) of {latent_rep}; name one that is.")
        begins = sum(latent_rep.channels[:channel])
        self.place = slice(begins, begins + latent_rep.d)
        self.joint_rep = latent_rep + action_rep
        self.network = mlp_network(self.joint_rep, latent_rep, widths, norm=norm)
        self.register_buffer("axis", spatial.frame.clone(), persistent=False)

    @property
    def equivariant(self) -> bool:
        """True: the network is ordinary, what it sees and how its output is turned back are not."""
        return True

    def frame(self, latent: Tensor) -> Frame:
        """Turns about the axis, (..., 3, 3) float64, and how long the horizontal part of the vector is over its length;
        the identity where it has none. Without gradient.
        """
        with torch.no_grad():
            frame = self.axis.double()
            given = latent[..., self.place].double() @ frame
            flat, size = given[..., :2].norm(dim=-1), given.norm(dim=-1)
            there = flat > LEAST_SINE * size
            safe = torch.where(there, flat, 1.0)
            cosine = torch.where(there, given[..., 0] / safe, 1.0)
            sine = torch.where(there, given[..., 1] / safe, 0.0)
            turn = torch.eye(3, dtype=torch.float64, device=latent.device).repeat(*flat.shape, 1, 1)
            turn[..., 0, 0] = turn[..., 1, 1] = cosine
            turn[..., 1, 0], turn[..., 0, 1] = sine, -sine
            return Frame(frame @ turn @ frame.mT, torch.where(there, flat / torch.where(there, size, 1.0), 0.0))

    def change(self, latent: Tensor, action: Tensor) -> Tensor:
        turn = self.frame(latent).axes
        back, forth = (Elements(each, torch.zeros_like(each[..., 0])) for each in (turn.mT, turn))
        seen = self.joint_rep.transform(self.joined(latent, action), back)
        return self.in_rep.transform(self.network(seen), forth)
