"""A group, a kind of representation and a world from outside: five posts about a tilted axis, a bead among them."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from equiwm import FiniteGroup, Kind
from equiwm.worlds.scene import Scene

AXIS = np.array([0.0, 0.6, 0.8])
TURN = Rotation.from_rotvec(2 * np.pi / 5 * AXIS).as_matrix()
FIVE = FiniteGroup.generated_by([TURN], name="five")


class Stress(Kind):
    """A symmetric tensor, (xx, yy, zz, yz, xz, xy), off-diagonal entries times sqrt(2)."""

    name = "stress"

    def dim(self, d: int) -> int:
        return 6

    def matrix(self, g) -> Tensor:
        basis = torch.zeros(6, 3, 3, dtype=torch.float64)
        for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
            basis[k, i, j] = basis[k, j, i] = 1.0 if i == j else 0.5**0.5
        turned = g.linear[..., None, :, :] @ basis @ g.linear[..., None, :, :].mT
        return torch.einsum("kij,...lij->...kl", basis, turned)


STRESS = Stress()


class Carousel(Scene):
    """x'' = sum_k (p_k - x) exp(-|x - p_k|^2) - x' + a, with posts p_k on a ring about the axis."""

    group, observation_rep, action_rep = FIVE, "2x1o", "1x1o"

    def __init__(self, config) -> None:
        turns = [np.linalg.matrix_power(TURN, k) for k in range(5)]
        self.posts = torch.from_numpy(np.stack([turn @ [1.0, 0.3, 0.0] for turn in turns]))
        super().__init__(config)

    def start(self, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(np.stack([[0.8, 0.2, 0.1], [0.0, 0.3, 0.0]]) + 0.2 * rng.normal(size=(2, 3)))

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        place, speed = observation.unbind(-2)
        apart = self.posts - place[:, None]
        pull = (apart * torch.exp(-apart.square().sum(-1, keepdim=True))).sum(1)
        speed = speed + 0.2 * (pull - speed + action)
        return torch.stack([place + 0.2 * speed, speed], -2)
