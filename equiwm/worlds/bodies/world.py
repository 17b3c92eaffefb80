"""The world of bodies: a set of them in any order, trained on a few and asked about others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from equiwm.models.clouds import centred
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.bodies.config import BodiesConfig
from equiwm.worlds.bodies.physics import DRIFT, SPEED, moved, placed
from equiwm.worlds.scene import Scene

MASSES = (0.5, 2.0)


class Bodies(Scene):
    """`bodies` bodies in `places` places: a mask, positions, velocities, masses, and which body an action pushes.

        observation permO*mask + permO*p + permO*1o + permO + permO,   action 1o

    They push each other apart where they overlap, attract each other, and are slowed down (`physics`), which commutes
    with every rotation, reflection and translation, and with every exchange of places. A scene is long in one
    direction, in which its bodies drift and are counted, the pushed one first, in the first places; it is turned as a
    whole by [0, 90) degrees (about z in space). What training has not seen are other orientations, other orders, and
    other numbers of bodies.

    Args:
        config: dimension, bodies and places.
    """

    Config = BodiesConfig
    in_parts, data_files = True, ()
    components: Mapping[str, int] = {"position": 1, "velocity": 2}
    # A set of bodies has no pose to reach.
    control = None  # type: ignore[assignment]

    def __init__(self, config: BodiesConfig | None = None) -> None:
        config = config or BodiesConfig()
        d, places = config.dimension, config.places
        self._each = f"perm{places}"
        self.group = Group.parse(f"se{d}*s{places}")
        text = f"{self._each}*mask+{self._each}*p+{self._each}*1o+{self._each}+{self._each}"
        self.observation_rep, self.action_rep = Rep.parse(text, d), vectors(1, d)
        super().__init__(config)

    def start(self, rng: np.random.Generator) -> np.ndarray:
        count, places, d = self.config.bodies, self.config.places, self.config.dimension
        there, mass, pushed = np.zeros(places), np.zeros(places), np.zeros(places)
        position, velocity = np.zeros((places, d)), np.zeros((places, d))
        there[:count], pushed[0] = 1.0, 1.0
        mass[:count] = rng.uniform(*MASSES, count)
        position[:count], velocity[:count] = placed(rng, count, d), rng.normal(0.0, SPEED, (count, d))
        velocity[:count, 0] += DRIFT
        return np.concatenate([there, position.ravel(), velocity.ravel(), mass, pushed])

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        there, position, velocity, mass, pushed = self._parts(observation)
        filled = torch.where(there > 0, mass, torch.ones_like(mass))  # an empty place has no mass to divide by
        x, v = moved(position, velocity, filled, pushed[..., None] * action[..., None, :], there)
        kept = (there > 0)[..., None]
        after = torch.where(kept, x, position), torch.where(kept, v, velocity)
        return torch.cat([there, *(part.flatten(-2) for part in after), mass, pushed], -1)

    def _parts(self, observation: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Masks (B, O), positions and velocities (B, O, d), masses and which is pushed (B, O)."""
        places, d = self.config.places, self.config.dimension
        there, position, velocity, mass, pushed = observation.split(
            [places, places * d, places * d, places, places], -1
        )
        return there, position.unflatten(-1, (places, d)), velocity.unflatten(-1, (places, d)), mass, pushed

    def readout_targets(self, observation: Tensor) -> Mapping[str, Tensor]:
        """`positions`, less their mean, and `velocities`: flat (n, O d), of `permO*1o`."""
        _, position, velocity, _, _ = self._parts(centred(observation, self.observation_rep, self.group))
        return {"positions": position.flatten(-2), "velocities": velocity.flatten(-2)}

    @property
    def target_reps(self) -> Mapping[str, Rep]:
        """Reps of the two targets."""
        rep = Rep.parse(f"{self._each}*1o", self.config.dimension)
        return {"positions": rep, "velocities": rep}
