"""Noise to draw texture with, for networks that are trained for looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .shuffle import VoxelShuffle

# About what values are multiplied with before only their fractions are kept: the last digits decide, not the contrast.
SHAKE = 1e4
# What a voxel of air differs by from its neighbors, in network units, where it was scanned and not set to one value.
FAINTEST = 3e-4


class Noise(nn.Module):
    """[N, 1, D, H, W] -> white noise of mean 0 and variance 1, [N, 1, D, H, W times factor].

    There is none where all values are the same: they were not scanned but set. It depends on nothing but the coarse
    values, mostly on their last digits: the same scan always gets the same noise, and a tile gets that of the whole. It
    has no parameters, and is a leaf of the traced graph.
    """

    def __init__(self, factor: Sequence[int]):
        super().__init__()
        self.factor = tuple(factor)
        self.shuffle = VoxelShuffle(self.factor)
        scattered = (abs(43758.5453 * math.sin(12.9898 * (1 + n))) % 1 for n in range(math.prod(self.factor)))
        self.keys = [SHAKE * (0.5 + 1.5 * part) for part in scattered]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        contrast = F.conv3d(x, self.kernel().to(x), padding=1)
        return self.shuffle(self.phases(x.movedim(1, -1)).movedim(-1, 1) * self.scanned(contrast))

    def phases(self, values: torch.Tensor) -> torch.Tensor:
        """[..., 1] -> [..., prod(factor)]: the noise of all fine voxels of each coarse one."""
        shaken = values.float() * torch.tensor(self.keys, device=values.device)
        return (math.sqrt(12) * (shaken.frac().abs() - 0.5)).to(values.dtype)

    @staticmethod
    def kernel() -> torch.Tensor:
        """The convolution whose answer is what a voxel differs by from the mean of its neighborhood."""
        kernel = torch.full((1, 1, 3, 3, 3), -1 / 27)
        kernel[..., 1, 1, 1] += 1
        return kernel

    @staticmethod
    def scanned(contrast: torch.Tensor) -> torch.Tensor:
        """How surely a voxel's value was scanned, from that difference: 0 to 1."""
        square = (contrast.float() / FAINTEST).square()
        return (square / (1 + square)).to(contrast.dtype)
