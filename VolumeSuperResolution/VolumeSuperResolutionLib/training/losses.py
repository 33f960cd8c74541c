"""What a network is told about its errors: a sum of named parts, each a mean over a patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional

import torch
from torch import nn

from ..engine.errors import RefusalError
from ..engine.networks import Network

Out = tuple[torch.Tensor, Optional[torch.Tensor]]


def l1(out: Out, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of each patch."""
    return (out[0] - target).abs().flatten(1).mean(1)


def mse(out: Out, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each patch."""
    return (out[0] - target).square().flatten(1).mean(1)


def intermediate_l1(out: Out, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of what stands right behind CNN-IL's shuffle."""
    return (out[1] - target).abs().flatten(1).mean(1)


PARTS: dict[str, Callable[[Out, torch.Tensor], torch.Tensor]] = {
    "l1": l1,
    "mse": mse,
    "intermediate_l1": intermediate_l1,
}
# The power of an error that each part grows with: what a patch's weight is raised to.
POWERS = {"l1": 1, "mse": 2, "intermediate_l1": 1}


class Trained(nn.Module):
    """A network with all that its losses need: forward gives (output, intermediate output or None)."""

    def __init__(self, network: Network, parts: Mapping[str, float]):
        super().__init__()
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise RefusalError(f"No loss is called {unknown[0]}; known are {', '.join(PARTS)}.")
        if "intermediate_l1" in parts and not hasattr(network, "forward_with_intermediate"):
            raise RefusalError("This network has no intermediate output; take intermediate_l1 out of its losses.")
        self.network = network
        self.with_intermediate = "intermediate_l1" in parts

    def forward(self, x: torch.Tensor) -> Out:
        return self.network.forward_with_intermediate(x) if self.with_intermediate else (self.network(x), None)


def total(parts: Mapping[str, float], out: Out, target: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The weighted sum, every patch relative to `scale`, the error that interpolation makes on its volume.

    So a decibel counts the same on every volume, however strong its contrast.
    """
    sums = [weight * (PARTS[name](out, target) / scale ** POWERS[name]).mean() for name, weight in parts.items()]
    return torch.stack(sums).sum()
