"""Equiformer of equiformer-pytorch, three degrees inside; types 0 and 1 out."""

import torch

from equiwm import Probe

PACKAGES = ("equiformer-pytorch",)
CLAIMS = "equivariant under SE(3)"


def probe():
    from equiformer_pytorch import Equiformer

    torch.manual_seed(0)
    model = Equiformer(dim=(8, 8, 8), num_degrees=3, heads=2, dim_head=8, depth=2, num_neighbors=7).eval()
    clouds = {"inputs": torch.randn(16, 8, 8), "coors": torch.randn(16, 8, 3)}
    gives = {"type0": "8x0e", "type1": "8x1o"}
    return Probe(model, clouds, "se3", takes={"coors": "p", "inputs": "8x0e"}, gives=gives, call="**")
