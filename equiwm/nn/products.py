"""Products of degree 2."""

from __future__ import annotations

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.nn.linear import VNLinear
from equiwm.symmetry.reps import Rep


class CrossProduct(Layer):
    """Cross products of learned mixtures, d = 3: V'_c = (A V)_c x (B V)_c.

    R(a x b) = R a x R b for every rotation R, so the layer is equivariant to SO(3). It is not to O(3): a product of
    two vectors is a pseudovector, and is here called a vector, which it is under rotations alone. That is wanted
    where the world does the same, as a cloud whose torque is driven by a polar vector does.

    Linear and VN-ReLU layers give, from vectors, only vectors in their span; a torque a x r is in the span of neither
    a nor r. With this layer it is in the class exactly. The output is quadratic in the input and nothing bounds it:
    put one such product beside a network, not several after one another. Channels-last (..., 3, C_in) ->
    (..., 3, C_out). Source: ours; paper, section "Models", has degree 1 only.

    Raises:
        RepError: d is not 3, or a rep holds anything but vectors.
    """

    def __init__(self, in_rep: Rep, out_rep: Rep) -> None:
        super().__init__(in_rep, out_rep, "channels_last")
        self._require_vectors(in_rep, out_rep)
        if in_rep.d != 3:
            raise RepError(f"cross products need d = 3; got rep {in_rep} with d = {in_rep.d}.")
        # A and B apart, and not as one matrix: Muon orthogonalises each.
        self.left, self.right = VNLinear(in_rep, out_rep), VNLinear(in_rep, out_rep)

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.cross(self.left(x), self.right(x), dim=-2)
