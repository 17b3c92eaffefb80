"""SE3Transformer of se3-transformer-pytorch, scalars in, scalars and vectors out, three degrees inside."""

import torch

from equiwm import Probe

PACKAGES = ("se3-transformer-pytorch",)
CLAIMS = "equivariant under SE(3)"


def probe():
    from se3_transformer_pytorch import SE3Transformer

    torch.manual_seed(0)
    model = SE3Transformer(dim=8, heads=2, dim_head=8, depth=2, num_degrees=3, output_degrees=2, num_neighbors=7).eval()
    clouds = {"feats": torch.randn(16, 8, 8), "coors": torch.randn(16, 8, 3)}
    gives = {"0": "8x0e", "1": "8x1o"}
    return Probe(model, clouds, "se3", takes={"coors": "p", "feats": "8x0e"}, gives=gives, call="**")
