"""3D EDSR: residual blocks without normalization and one global skip (jamesgolden1, after Lim et al. 2017)."""

from __future__ import annotations

import torch
from torch import nn

from .base import Factor, Network, Residual, conv
from .shuffle import upsampling


class Edsr3d(Network):
    """9 blocks of 64 as published; the upsampler is ours, the original only sharpens at the same matrix size."""

    ends_plainly = True

    def __init__(
        self, factor: Factor = 2, features: int = 64, blocks: int = 9, scale: float = 0.1, residual: bool = False
    ):
        super().__init__(3, factor, residual=residual)
        self.head = conv(3, 1, features)
        self.body = Residual(
            *(
                Residual(conv(3, features, features), nn.ReLU(), conv(3, features, features), scale=scale)
                for _ in range(blocks)
            ),
            conv(3, features, features),
        )
        self.upsampling = upsampling(features, self.factor)
        self.tail = conv(3, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_residual(self.tail(self.upsampling(self.body(self.head(x)))), x)
