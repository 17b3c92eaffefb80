"""IPABlock of invariant-point-attention: features of residues, each with a frame, the rows of its rotation its axes."""

import torch

from equiwm import Probe

PACKAGES = ("invariant-point-attention",)
CLAIMS = "invariant under SE(3) of all frames"


def probe():
    from invariant_point_attention import IPABlock

    torch.manual_seed(0)
    model = IPABlock(dim=16, heads=4, require_pairwise_repr=False).eval()
    frames = torch.linalg.qr(torch.randn(32, 8, 3, 3)).Q
    residues = {"x": torch.randn(32, 8, 16), "rotations": frames, "translations": torch.randn(32, 8, 3)}
    takes = {"x": "16x0e", "rotations": "3x1o", "translations": "p"}
    return Probe(model, residues, "se3", takes=takes, gives="16x0e", call="**")
