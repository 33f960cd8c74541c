"""2D and 3D SRCNN, the baselines in the 3D FSRCNN paper: both sharpen an interpolated volume."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .base import Network, conv, pass_through, start, wake


class Srcnn(Network):
    """ReLU after every convolution. Starts as the identity for a non-negative input."""

    def __init__(self, dimensions: int, layers: Sequence[tuple[int, int]], residual: bool = False):
        super().__init__(dimensions, on_interpolated=True, residual=residual)
        inputs = (1, *(features for _, features in layers))
        made = [conv(dimensions, n, features, k) for n, (k, features) in zip(inputs, layers)]
        self.layers = nn.ModuleList(made)
        for layer in made:
            start(layer)
            if not residual:
                pass_through(layer)
        if not made[0].weight.is_meta:
            wake(made, torch.rand(1, 1, *(16,) * dimensions))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for layer in self.layers:
            y = F.relu(layer(y))
        return self.with_residual(y, x)


class Srcnn2d(Srcnn):
    """9x9x128, 3x3x64, 1x1x32, 5x5x1."""

    def __init__(self, features: Sequence[int] = (128, 64, 32), residual: bool = False):
        super().__init__(2, tuple(zip((9, 3, 1, 5), (*features, 1))), residual)


class Srcnn3d(Srcnn):
    """9^3 x 64, 1^3 x 32, 5^3 x 1."""

    def __init__(self, features: Sequence[int] = (64, 32), residual: bool = False):
        super().__init__(3, tuple(zip((9, 1, 5), (*features, 1))), residual)
