"""SE3Transformer of se3-transformer-pytorch, scalars in, scalars and vectors out, three degrees inside."""

import torch

from equiwm import Probe

PACKAGES = ("se3-transformer-pytorch",)
CLAIMS = "equivariant under SE(3)"

NOTE = """
What is left in float64 are constants: `se3_transformer_pytorch/basis.py` computes its basis in float64 and keeps it in
float32. Reflections are not claimed, and products of vectors inside see them.
"""


def probe():
    from se3_transformer_pytorch import SE3Transformer

    torch.manual_seed(0)
    model = SE3Transformer(dim=8, heads=2, dim_head=8, depth=2, num_degrees=3, output_degrees=2, num_neighbors=5).eval()
    clouds = {"feats": torch.randn(8, 6, 8), "coors": torch.randn(8, 6, 3)}
    gives = {"0": "8x0e", "1": "8x1o"}
    return Probe(model, clouds, "se3", takes={"coors": "p", "feats": "8x0e"}, gives=gives, call="**")
