"""A network that improves what several scans were combined to.

It works on blocks of 2 x 2 x 2 voxels, each a voxel with eight channels, and so costs an eighth of one that works on
the voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .told import Told

NETWORK = "combined3d"
# Voxels of a block along each axis.
BLOCK = 2
# Three scans with slices four voxels thick and apart, and 1% noise (engine/combined.py).
USUAL = (*(4 / 3,) * 6, 0.5)


class Combined3d(Told):
    """A 3D EDSR on blocks of voxels: [N, 8, *spatial] -> [N, 1, *spatial times 2]."""

    usual = USUAL
    ends_plainly = True

    def __init__(self, features: int = 32, blocks: int = 9, scale: float = 0.1, residual: bool = True):
        super().__init__(BLOCK, BLOCK**3, BLOCK**3, features, blocks, scale, residual)

    def unsettled(self, x: torch.Tensor, traits: torch.Tensor, factor: Sequence[int] = ()) -> torch.Tensor:
        """What the network settled for each sample's traits [N, TRAITS] gives, differentiable in all weights."""
        return self.with_residual(self.shuffle(self.tail(self.deep(x, traits))), x)

    def with_residual(self, out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Adds the voxels of the blocks where the network was built with `residual`."""
        return out + self.shuffle(x) if self.residual else out
