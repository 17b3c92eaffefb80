"""e3nn's SimpleNetwork, hidden features up to degree 2 of both parities."""

import torch

from equiwm import Probe

PACKAGES = ("e3nn",)
CLAIMS = "equivariant under E(3)"

NOTE = """
What is left in float64 are constants: the network was built in float32, and its Clebsch-Gordan coefficients are rounded
to it.
"""


def probe():
    from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

    torch.manual_seed(0)
    model = SimpleNetwork("4x0e + 1x1o", "4x0e + 2x1o + 1x2e", 3.0, num_neighbors=5.0, num_nodes=8.0, mul=4)
    graphs = [{"pos": 1.5 * torch.randn(8, 3), "x": torch.randn(8, 7)} for _ in range(6)]
    return Probe(model, graphs, "e3", takes={"pos": "p", "x": model.irreps_in}, gives=model.irreps_out)
