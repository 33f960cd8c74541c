"""Muon: what it does to a gradient, and to which weights."""

from __future__ import annotations

import pytest
import torch
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.training.optimizers import LENGTH, OUTER, Muon, orthogonalized


@pytest.mark.parametrize("shape", [(8, 216), (64, 27), (16, 16)])
def test_a_gradient_keeps_its_directions_and_loses_their_lengths(shape):
    torch.manual_seed(2)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    lengths = left.T @ orthogonalized(matrix) @ right.T
    assert torch.allclose(lengths, torch.diag(lengths.diag()), atol=1e-3)
    assert lengths.diag().min() > 0.5
    assert lengths.diag().max() < 1.3


def test_weights_between_features_move_by_the_learning_rate_and_all_others_as_with_a_slower_adamw():
    torch.manual_seed(2)
    one, other = (build("edsr3d", factor=2, features=8, blocks=1) for _ in range(2))
    other.load_state_dict(one.state_dict())
    muon, adamw = Muon(one, 0.01), torch.optim.AdamW(other.parameters(), lr=OUTER * 0.01, weight_decay=0.0)
    before = {name: p.detach().clone() for name, p in one.named_parameters()}
    x = torch.rand(1, 1, 6, 6, 6)
    for network, optimizer in ((one, muon), (other, adamw)):
        network(x).square().mean().backward()
        optimizer.step()
    for (name, p), q in zip(one.named_parameters(), other.parameters()):
        if name.startswith(("head", "tail")) or name.endswith("bias"):
            assert torch.equal(p, q), name
        else:
            moved = (p - before[name]).square().mean().sqrt()
            assert 0.4 < moved / (0.01 * LENGTH) < 1.4, name
