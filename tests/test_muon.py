"""Batched Muon against torch's own."""

import pytest
import torch
from torch import nn

from equiwm.training.muon import StackedMuon, orthogonalize

SHAPES = [(64, 64), (64, 4), (4, 64), (64, 65), (65, 64), (16, 24), (100, 30), (1, 7), (64, 64)]
NEWTON_SCHULZ = {"coefficients": (3.4445, -4.7750, 2.0315), "steps": 5, "eps": 1e-7}


def test_orthogonalize_gives_orthogonal_matrices_of_every_shape():
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in SHAPES]
    for matrix, found in zip(matrices, orthogonalize(matrices, **NEWTON_SCHULZ), strict=True):
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        assert found.shape == matrix.shape
        # Muon's coefficients send singular values to between 0.5 and 1.5, not to 1; the singular vectors are kept.
        aligned = u.T @ found.float() @ vh.T
        values = aligned.diagonal()[s > 0.05 * s.max()]
        assert ((values > 0.4) & (values < 1.6)).all()
        assert (aligned - aligned.diagonal().diag()).abs().max() < 0.1


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw", None])
def test_steps_equal_those_of_torch(nesterov, adjust):
    torch.manual_seed(1)
    ours = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    reference = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95, "nesterov": nesterov, "adjust_lr_fn": adjust}
    optimizers = StackedMuon(ours, **settings), torch.optim.Muon(reference, **settings)
    for _ in range(4):
        for mine, theirs in zip(ours, reference, strict=True):
            mine.grad = torch.randn_like(mine)
            theirs.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, theirs in zip(ours, reference, strict=True):
        # bfloat16 products may be summed in another order; on this machine they agree to the bit.
        assert (mine - theirs).abs().max() < 4e-3 * theirs.abs().max()


def test_state_is_torchs_and_parameters_without_gradient_stay():
    moved, still = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(8, 4))
    before = still.detach().clone()
    optimizer = StackedMuon([moved, still], lr=0.02)
    moved.grad = torch.randn_like(moved)
    optimizer.step()
    assert torch.equal(still, before)
    reference = torch.optim.Muon([nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(8, 4))], lr=0.02)
    reference.load_state_dict(optimizer.state_dict())
    buffer = next(iter(reference.state.values()))["momentum_buffer"]
    assert torch.equal(buffer, optimizer.state[moved]["momentum_buffer"])


def test_a_zero_gradient_moves_nothing():
    parameter = nn.Parameter(torch.randn(5, 3))
    before = parameter.detach().clone()
    parameter.grad = torch.zeros_like(parameter)
    StackedMuon([parameter], lr=0.02, weight_decay=0.0).step()
    assert torch.equal(parameter, before)
