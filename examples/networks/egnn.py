"""EGNN_Network of egnn-pytorch, random weights of the size of trained ones."""

import torch

from equiwm import Probe

PACKAGES = ("egnn-pytorch",)
CLAIMS = "features invariant and coordinates equivariant under E(n)"


def probe():
    from egnn_pytorch import EGNN_Network

    torch.manual_seed(0)
    model = EGNN_Network(num_tokens=5, dim=16, depth=3, init_eps=0.3, norm_coors=True).eval()
    clouds = {"feats": torch.randint(0, 5, (32, 8)), "coors": torch.randn(32, 8, 3)}
    return Probe(model, clouds, "e3", takes={"coors": "p", "feats": "same"}, gives=("16x0e", "p"), call="**")
