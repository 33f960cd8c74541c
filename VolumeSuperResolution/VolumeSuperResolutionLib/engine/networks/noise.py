"""Noise to add to results, for networks that are trained for perceptual quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .shuffle import VoxelShuffle

# Values are multiplied by about this before only their fractions are kept: the last digits decide, not the contrast.
SHAKE = 1e4
# Stronger contrast, relative to the faintest, makes no difference; the square of this is within half precision.
CERTAIN = 100.0


class Noise(nn.Module):
    """[N, 1, D, H, W] -> white noise of mean 0 and variance 1, [N, 1, D, H, W times factor].

    Only where voxels differ from their neighbors by more than `faintest`, in network units: masked background gets
    none. It is a function of the coarse values, mostly of their last digits: the same scan always gets the same noise,
    and a tile gets that of the whole volume. It has no parameters, and is a leaf of the traced graph.
    """

    def __init__(self, factor: Sequence[int], faintest: float):
        super().__init__()
        self.factor = tuple(factor)
        self.faintest = faintest
        self.shuffle = VoxelShuffle(self.factor)
        scattered = (abs(43758.5453 * math.sin(12.9898 * (1 + n))) % 1 for n in range(math.prod(self.factor)))
        self.keys = [SHAKE * (0.5 + 1.5 * part) for part in scattered]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        difference, mean = (kernel.to(x) for kernel in self.kernels())
        energy = F.conv3d(self.energy(F.conv3d(x, difference, padding=1)), mean, padding=1)
        return self.shuffle(self.phases(x.movedim(1, -1)).movedim(-1, 1) * self.presence(energy))

    def phases(self, values: torch.Tensor) -> torch.Tensor:
        """[..., 1] -> [..., prod(factor)]: the noise of all fine voxels of each coarse one."""
        shaken = values.float() * torch.tensor(self.keys, device=values.device)
        return (math.sqrt(12) * (shaken.frac().abs() - 0.5)).to(values.dtype)

    @staticmethod
    def kernels() -> tuple[torch.Tensor, torch.Tensor]:
        """The convolution kernels for a voxel's difference from the mean of its neighborhood, and for that mean."""
        mean = torch.full((1, 1, 3, 3, 3), 1 / 27)
        difference = -mean
        difference[..., 1, 1, 1] += 1
        return difference, mean

    def energy(self, difference: torch.Tensor) -> torch.Tensor:
        """The square of such a difference, in units of the faintest."""
        return (difference.float() / self.faintest).clamp(-CERTAIN, CERTAIN).square().to(difference.dtype)

    @staticmethod
    def presence(energy: torch.Tensor) -> torch.Tensor:
        """How much of the noise there is, from the mean energy around: 0 to 1."""
        return energy / (1 + energy)
