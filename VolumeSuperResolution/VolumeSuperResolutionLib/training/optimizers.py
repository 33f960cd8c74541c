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
        gradients = [p.grad for p in self.inner if p.grad is not None]
        means = [self.state[p]["exp_avg"] for p in self.inner]
        assert len(gradients) == len(means)
        torch._foreach_lerp_(means, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, means, MOMENTUM)
        torch._foreach_mul_(self.inner, 1 - group["lr"] * group["weight_decay"])
        # Weights of one shape together: a GPU waits for a step of one more than for one of all.
        shapes: dict[torch.Size, list[int]] = {}
        for n, p in enumerate(self.inner):
            shapes.setdefault(p.shape, []).append(n)
        for alike in shapes.values():
            updates = orthogonalized(torch.stack([ahead[n].flatten(1) for n in alike]))
            length = LENGTH * math.sqrt(max(updates.shape[1:])) * group["lr"]
            for n, update in zip(alike, updates):
                self.inner[n].sub_(update.view_as(self.inner[n]), alpha=length)
        for p in self.inner:
            p.grad = None  # AdamW skips parameters without a gradient.
        outer = self.param_groups[0]
        rate, outer["lr"] = outer["lr"], OUTER * outer["lr"]
        super().step()
        outer["lr"] = rate


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices [..., rows, columns] with their singular vectors unchanged and all singular values close to 1."""
    a, b, c = POLYNOMIAL
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).float()
    x = x / (x.flatten(-2).norm(dim=-1)[..., None, None] + 1e-12)
    for _ in range(STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)


OPTIMIZERS: dict[str, Callable[[nn.Module, float, float], torch.optim.Optimizer]] = {
    "adamw": lambda network, rate, decay: torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay),
    "muon": Muon,
}
