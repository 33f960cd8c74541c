"""One network for every grid: an EDSR whose last convolution gives as many sub-voxels as a target needs.

A trunk on the scan's own grid is followed by one convolution to 4 x 4 x 4 sub-voxels of every voxel. Where a target
needs fewer along an axis it gives their means, which is a convolution again: any choice of 1 to 4 an axis has the same
weights, and costs no more than it gives. What is known of the scan shifts the features, by the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .base import Factor, conv, interpolated
from .shuffle import VoxelShuffle
from .told import Told, bias_of

# The most sub-voxels along an axis, and how many numbers tell of scan and target (models/grids.py).
FINEST = 4
TRAITS = 9
NETWORK = "anygrid3d"
# Those of twice as fine voxels on every axis, an assumed profile as wide as they are apart, and 1% noise.
USUAL = (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)


class AnyGrid3d(Told):
    """A 3D EDSR for factors of 1 to 4 along each axis; its axes are ordered by falling factor."""

    usual = USUAL

    def __init__(
        self, factor: Factor = 2, features: int = 32, blocks: int = 9, scale: float = 0.1, residual: bool = True
    ):
        super().__init__(factor, 1, FINEST**3, features, blocks, scale, residual)
        if max(self.factor) > FINEST:
            raise ValueError(f"a factor is larger than {FINEST}")

    def settle(self, traits: np.ndarray) -> None:
        """Become the plain network for its factor and a scan's traits; there is no way back."""
        super().settle(traits)
        with torch.no_grad():
            weight, bias = self._tail(self.factor)
            self.tail = conv(3, weight.shape[1], len(weight)).requires_grad_(False)
            self.tail.weight.copy_(weight)
            bias_of(self.tail).copy_(bias)

    def unsettled(self, x: torch.Tensor, traits: torch.Tensor, factor: Sequence[int]) -> torch.Tensor:
        """What the network settled for each sample's traits [N, TRAITS] gives, differentiable in all weights."""
        y = VoxelShuffle(factor)(F.conv3d(self.deep(x, traits), *self._tail(factor), padding=1))
        return y + interpolated(x, factor) if self.residual else y

    def _tail(self, factor: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the convolution to fewer sub-voxels: means of the finest by the extent they share."""
        joint = np.ones((1, 1))
        for f in factor:
            joint = np.kron(joint, _shares(f))
        means, weight = self.tail.weight.new_tensor(joint), self.tail.weight
        return (means @ weight.flatten(1)).view(-1, *weight.shape[1:]), means @ bias_of(self.tail)


def _shares(f: int) -> np.ndarray:
    """What part of each of f sub-voxels each of the finest is: (f, FINEST)."""
    edges, finest = np.arange(f + 1) * FINEST / f, np.arange(FINEST + 1)
    shared = np.minimum.outer(edges[1:], finest[1:]) - np.maximum.outer(edges[:-1], finest[:-1])
    return np.maximum(shared, 0) * f / FINEST
