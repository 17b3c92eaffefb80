"""EnTransformer of en-transformer, random weights of the size of trained ones."""

import torch

from equiwm import Probe

PACKAGES = ("en-transformer",)
CLAIMS = "features invariant and coordinates equivariant under E(n)"


def probe():
    from en_transformer import EnTransformer

    torch.manual_seed(0)
    model = EnTransformer(dim=16, depth=2, dim_head=32, heads=2, init_eps=0.1).eval()
    clouds = {"feats": torch.randn(32, 8, 16), "coors": torch.randn(32, 8, 3)}
    return Probe(model, clouds, "e3", takes={"coors": "p", "feats": "16x0e"}, gives=("16x0e", "p"), call="**")
