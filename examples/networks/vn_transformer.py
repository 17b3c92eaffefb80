"""VNTransformer with a bias of length epsilon = 1e-6 in every linear map, as its README makes it."""

import torch

from equiwm import Probe

PACKAGES = ("VN-transformer",)
CLAIMS = "equivariant under rotations, quasi-equivariant by its bias epsilon"


def probe():
    return made(1e-6)


def made(epsilon):
    from VN_transformer import VNTransformer

    torch.manual_seed(0)
    model = VNTransformer(dim=16, depth=2, dim_head=8, heads=4, bias_epsilon=epsilon).eval()
    return Probe(model, torch.randn(32, 8, 3), "o3", takes="1o", gives="1o")
