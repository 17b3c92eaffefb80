"""TensorNet of matgl for O(3), tensors of degree 2 inside: the energy of a molecule."""

import torch

from equiwm import Probe

PACKAGES = ("matgl",)
CLAIMS = "energy invariant under O(3) and translations"


def molecules(data):
    """Graphs of every pair of atoms."""
    graphs = []
    for n in range(4, 10):
        edges = torch.combinations(torch.arange(n)).T
        atoms = {"node_type": torch.randint(0, 4, (n,)), "pos": torch.randn(n, 3)}
        graphs.append(data(edge_index=torch.cat([edges, edges.flip(0)], 1), **atoms))
    return graphs


def made(acting):
    from matgl.models import TensorNet
    from torch_geometric.data import Data

    torch.manual_seed(0)
    elements = ("H", "C", "N", "O")
    model = TensorNet(elements, units=16, cutoff=8.0, is_intensive=False, equivariance_invariance_group=acting).eval()
    return model, molecules(Data)


def probe():
    return Probe(*made("O(3)"), "e3", takes={"pos": "p"}, gives="0e")
