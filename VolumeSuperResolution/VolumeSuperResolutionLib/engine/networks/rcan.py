"""3D RCAN: residual groups of blocks with channel attention (Zhang et al. 2018, in 3D in Ha et al. 2024)."""

from __future__ import annotations

import torch
from torch import nn

from .base import Factor, Network, Residual, conv
from .shuffle import upsampling


class ChannelAttention(nn.Module):
    """Scales each channel by a function of the means over the whole input: the result of a tile depends on the tile."""

    def __init__(self, features: int, reduction: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            conv(3, features, features // reduction, kernel=1),
            nn.ReLU(),
            conv(3, features // reduction, features, kernel=1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.body(x)


class Rcan3d(Network):
    """10 groups of 16 blocks of 64, reduction 16, 4x as published."""

    ends_plainly = True

    def __init__(
        self,
        factor: Factor = 4,
        features: int = 64,
        groups: int = 10,
        blocks: int = 16,
        reduction: int = 16,
        residual: bool = False,
    ):
        super().__init__(3, factor, residual=residual)

        def block() -> Residual:
            return Residual(
                conv(3, features, features),
                nn.ReLU(),
                conv(3, features, features),
                ChannelAttention(features, reduction),
            )

        def group() -> Residual:
            return Residual(*(block() for _ in range(blocks)), conv(3, features, features))

        self.head = conv(3, 1, features)
        self.body = Residual(*(group() for _ in range(groups)), conv(3, features, features))
        self.upsampling = upsampling(features, self.factor)
        self.tail = conv(3, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_residual(self.tail(self.upsampling(self.body(self.head(x)))), x)
