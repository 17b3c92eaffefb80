"""A predictor for numbers of any kind, exact by turning the state back first: a user's, in plain torch."""

import torch

from equiwm.symmetry.elements import Elements


class Canonical(torch.nn.Module):
    """f(z, a) = z + rho(Q) net(rho(Q)^-1 [z, a]), Q the rotation whose first column is the first vector of z."""

    def __init__(self, config, latent_rep, action_rep):
        super().__init__()
        self.latent_rep, self.action_rep = latent_rep, action_rep
        self.start = 0
        for count, kind in latent_rep.terms:
            if kind.structured:
                break
            self.start += count * kind.dim(2)
        width = latent_rep.dim + action_rep.dim
        self.net = torch.nn.Sequential(
            torch.nn.Linear(width, 48),
            torch.nn.Tanh(),
            torch.nn.Linear(48, 48),
            torch.nn.Tanh(),
            torch.nn.Linear(48, latent_rep.dim),
        )

    def forward(self, latent, action):
        x, y = torch.nn.functional.normalize(latent[:, self.start : self.start + 2], dim=-1).unbind(-1)
        turn = torch.stack([torch.stack([x, -y], -1), torch.stack([y, x], -1)], -2)
        g = Elements(turn.double(), turn.new_zeros(len(turn), 2, dtype=torch.float64))
        flat = action.reshape(len(action), -1)
        back = [rep.transform(part, g.inverse()) for rep, part in ((self.latent_rep, latent), (self.action_rep, flat))]
        return latent + self.latent_rep.transform(self.net(torch.cat(back, -1)), g)
