"""VNTransformer with a bias of length epsilon = 1e-6 in every linear map, as its README makes it."""

import torch

from equiwm import Probe

PACKAGES = ("VN-transformer",)
CLAIMS = "equivariant under rotations, quasi-equivariant by its bias epsilon"

NOTE = """
The bias is the cause: a vector of length epsilon along (1, 1, 1) in every channel, which no rotation turns. With
epsilon = 0 the same weights are exact (`vn_transformer_exact`). Layer norms divide by small lengths, and 1e-6 becomes
1e-4 at the output.
"""


def probe():
    return made(1e-6)


def made(epsilon):
    from VN_transformer import VNTransformer

    torch.manual_seed(0)
    model = VNTransformer(dim=16, depth=2, dim_head=8, heads=4, bias_epsilon=epsilon).eval()
    return Probe(model, torch.randn(32, 8, 3), "o3", takes="1o", gives="1o")
