"""Noise to draw texture with, for networks that are trained for looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from .shuffle import VoxelShuffle

# About what values are multiplied with before only their fractions are kept: the last digits decide, not the contrast.
SHAKE = 1e4


class Noise(nn.Module):
    """[N, 1, *spatial] -> white noise of mean 0 and variance 1, [N, 1, *spatial times factor]. It has no parameters.

    It depends on nothing but the last digits of each coarse value: the same scan always gets the same noise, and a tile
    gets that of the whole. A leaf of the traced graph.
    """

    def __init__(self, factor: Sequence[int]):
        super().__init__()
        self.factor = tuple(factor)
        self.shuffle = VoxelShuffle(self.factor)
        scattered = (abs(43758.5453 * math.sin(12.9898 * (1 + n))) % 1 for n in range(math.prod(self.factor)))
        self.keys = [SHAKE * (0.5 + 1.5 * part) for part in scattered]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.phases(x.movedim(1, -1)).movedim(-1, 1))

    def phases(self, values: torch.Tensor) -> torch.Tensor:
        """[..., 1] -> [..., prod(factor)]: the noise of all fine voxels of each coarse one."""
        shaken = values.float() * torch.tensor(self.keys, device=values.device)
        return (math.sqrt(12) * (shaken.frac().abs() - 0.5)).to(values.dtype)
