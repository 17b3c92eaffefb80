"""SchNet of torch_geometric on a fully connected graph."""

import torch

from equiwm import Probe

PACKAGES = ("torch_geometric",)
CLAIMS = "energy invariant under E(3)"


def complete(pos, batch):
    """Every pair of atoms, and its distance: the graph of a cut-off that nothing passes."""
    edges = torch.combinations(torch.arange(len(pos))).T
    edges = torch.cat([edges, edges.flip(0)], 1)
    return edges, (pos[edges[0]] - pos[edges[1]]).norm(dim=-1)


def probe():
    from torch_geometric.nn.models import SchNet

    torch.manual_seed(0)
    model = SchNet(hidden_channels=32, num_filters=32, num_interactions=3, interaction_graph=complete).eval()
    molecules = [{"z": torch.randint(1, 9, (n,)), "pos": 1.5 * torch.randn(n, 3)} for n in range(5, 15)]
    return Probe(model, molecules, "e3", takes={"pos": "p", "z": "same"}, gives="0e", call="**")
