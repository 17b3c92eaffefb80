"""Two layers GVP of geometric-vector-perceptron."""

import torch
from torch import nn

from equiwm import Probe

PACKAGES = ("geometric-vector-perceptron",)
CLAIMS = "scalars invariant and vectors equivariant under O(3)"


def probe():
    from geometric_vector_perceptron import GVP

    torch.manual_seed(0)
    sizes = {"dim_vectors_in": 8, "dim_feats_in": 16, "dim_vectors_out": 8, "dim_feats_out": 16}
    model = nn.Sequential(GVP(**sizes), GVP(**sizes)).eval()
    pairs = (torch.randn(64, 16), torch.randn(64, 8, 3))
    return Probe(model, pairs, "o3", takes=("16x0e", "8x1o"), gives=("16x0e", "8x1o"))
