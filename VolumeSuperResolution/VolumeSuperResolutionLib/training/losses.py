"""What a network is told about its errors: a sum of named parts, each a mean over a patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Optional

import numpy as np
import torch
from torch import nn

from ..engine import interpolation
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
    """A network with all that its losses need: forward gives (output, intermediate output or None).

    The output is judged after the rounds of data consistency that the plan applies to it.
    """

    def __init__(self, network: Network, parts: Mapping[str, float], consistency: int = 0):
        super().__init__()
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise RefusalError(f"No loss is called {unknown[0]}; known are {', '.join(PARTS)}.")
        if "intermediate_l1" in parts and not hasattr(network, "forward_with_intermediate"):
            raise RefusalError("This network has no intermediate output; take intermediate_l1 out of its losses.")
        if consistency and (network.on_interpolated or network.dimensions != 3):
            raise RefusalError("Only a 3D network on the scan itself can be trained with data consistency.")
        self.network = network
        self.consistency = consistency
        self.with_intermediate = "intermediate_l1" in parts

    def forward(self, x: torch.Tensor) -> Out:
        out, between = self.network.forward_with_intermediate(x) if self.with_intermediate else (self.network(x), None)
        return consistent(out, x, self.consistency), between


def consistent(out: torch.Tensor, x: torch.Tensor, rounds: int) -> torch.Tensor:
    """The engine's back-projection, differentiable, in full precision."""
    if not rounds:
        return out
    high, low = tuple(out.shape[2:]), tuple(x.shape[2:])
    with torch.autocast(out.device.type, enabled=False):
        out = out.float()
        for _ in range(rounds):
            seen = _resampled(out, interpolation.forward_matrices, high, low)
            out = out + _resampled(x - seen, _lanczos, low, high)
    return out


def _lanczos(shape: Sequence[int], size: Sequence[int]) -> tuple[np.ndarray | None, ...]:
    return interpolation.matrices(shape, size, "lanczos")


@lru_cache(maxsize=32)
def _matrices(operator: Callable, shape: tuple, size: tuple, device: torch.device) -> list[torch.Tensor | None]:
    return [m if m is None else torch.from_numpy(m).float().to(device) for m in operator(shape, size)]


def _resampled(x: torch.Tensor, operator: Callable, shape: tuple, size: tuple) -> torch.Tensor:
    for axis, matrix in enumerate(_matrices(operator, shape, size, x.device)):
        if matrix is not None:
            x = torch.movedim(torch.movedim(x, 2 + axis, -1) @ matrix.T, -1, 2 + axis)
    return x


def total(parts: Mapping[str, float], out: Out, target: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The weighted sum, every patch relative to `scale`, the error that interpolation makes on its volume.

    So a decibel counts the same on every volume, however strong its contrast.
    """
    sums = [weight * (PARTS[name](out, target) / scale ** POWERS[name]).mean() for name, weight in parts.items()]
    return torch.stack(sums).sum()
