"""AdamW, and Muon, which reaches more in a short training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

MOMENTUM = 0.95
# The odd polynomial of Jordan et al. 2024 ("Muon"): applied five times, it brings every singular value close to 1.
STEPS, POLYNOMIAL = 5, (3.4445, -4.7750, 2.0315)
# Muon's steps are as long as AdamW's commonly are (Liu et al. 2025).
LENGTH = 0.2
# The fraction of the learning rate that the parameters left to AdamW get: the last layer sums up hundreds of features,
# and steps as long as Muon's would make its output too unstable.
OUTER = 0.1


class Muon(torch.optim.AdamW):
    """Muon for the weights between feature maps; AdamW with a lower learning rate for all other parameters."""

    def __init__(self, network: nn.Module, lr: float, weight_decay: float = 0.0):
        self.inner: list[torch.Tensor] = []
        outer: list[torch.Tensor] = []
        for p in network.parameters():
            (self.inner if p.ndim > 2 and min(p.shape[:2]) > 1 else outer).append(p)
        super().__init__([{"params": outer}, {"params": self.inner}], lr=lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # nothing here evaluates the loss again
        """One step; it consumes the gradients."""
        group = self.param_groups[1]
        for p in self.inner:
            if not self.state[p]:
                # Named as in AdamW, whose load_state_dict expects these names.
                self.state[p].update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(p))
            assert p.grad is not None
            mean = self.state[p]["exp_avg"].lerp_(p.grad, 1 - MOMENTUM)
            update = orthogonalized(p.grad.lerp(mean, MOMENTUM).flatten(1))
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.sub_(update.view_as(p), alpha=LENGTH * math.sqrt(max(update.shape)) * group["lr"])
            # AdamW skips parameters without a gradient.
            p.grad = None
        outer = self.param_groups[0]
        rate, outer["lr"] = outer["lr"], OUTER * outer["lr"]
        super().step()
        outer["lr"] = rate


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with its singular vectors unchanged and all singular values close to 1."""
    a, b, c = POLYNOMIAL
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / (x.norm() + 1e-12)
    for _ in range(STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


OPTIMIZERS: dict[str, Callable[[nn.Module, float, float], torch.optim.Optimizer]] = {
    "adamw": lambda network, rate, decay: torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay),
    "muon": Muon,
}
