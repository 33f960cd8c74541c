"""3D SRResNet without batch normalization, on top of the interpolated input (compared in Ha et al. 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .base import Factor, Network, Residual, conv
from .shuffle import upsampling

SLOPE = 0.1


class Srresnet3d(Network):
    """16 blocks of 64, 4x as published; other factors take one upsampling step for each halving."""

    ends_plainly = True

    def __init__(self, factor: Factor = 4, features: int = 64, blocks: int = 16, residual: bool = True):
        super().__init__(3, factor, residual=residual)
        self.head = conv(3, 1, features)

        def block() -> Residual:
            first, second = conv(3, features, features), conv(3, features, features)
            # small weights in each second convolution keep sixteen unnormalized blocks from amplifying at the start
            with torch.no_grad():
                second.weight *= 0.1
            return Residual(first, nn.ReLU(), second)

        self.body = nn.Sequential(*(block() for _ in range(blocks)))
        self.upsampling = upsampling(features, self.factor, lambda: nn.LeakyReLU(SLOPE))
        self.fine = conv(3, features, features)
        self.tail = conv(3, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.upsampling(self.body(F.leaky_relu(self.head(x), SLOPE)))
        return self.with_residual(self.tail(F.leaky_relu(self.fine(y), SLOPE)), x)
