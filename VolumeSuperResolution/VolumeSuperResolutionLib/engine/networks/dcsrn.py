"""3D DCSRN and mDCSRN: densely connected units on a volume interpolated to the fine grid (Chen et al. 2018)."""

from __future__ import annotations

import torch
from torch import nn

from .base import Network, conv


class Unit(nn.Module):
    """Batch norm, ELU, convolution; its output is appended to its input."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm3d(inputs), nn.ELU(), conv(3, inputs, growth, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], dim=1)


class Dcsrn3d(Network):
    """No convolution has a bias."""

    ends_plainly = True

    def __init__(self, growth: int = 24, units: int = 3, residual: bool = False):
        super().__init__(3, on_interpolated=True, residual=residual)
        self.head = conv(3, 1, 2 * growth, bias=False)
        self.units = nn.Sequential(*(Unit((2 + n) * growth, growth) for n in range(units)))
        self.tail = conv(3, (2 + units) * growth, 1, kernel=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_residual(self.tail(self.units(self.head(x))), x)


class CompressedBlock(nn.Module):
    """Densely connected units, compressed to `growth` channels, which are appended to the block's input."""

    def __init__(self, inputs: int, growth: int, units: int):
        super().__init__()
        self.units = nn.Sequential(*(Unit(inputs + n * growth, growth) for n in range(units)))
        self.compressor = conv(3, inputs + units * growth, growth, kernel=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.compressor(self.units(x))], dim=1)


class Mdcsrn3d(Network):
    """Blocks densely connected like the units inside them."""

    ends_plainly = True

    def __init__(self, growth: int = 16, units: int = 4, blocks: int = 4, residual: bool = False):
        super().__init__(3, on_interpolated=True, residual=residual)
        self.head = conv(3, 1, 2 * growth, bias=False)
        self.blocks = nn.Sequential(*(CompressedBlock((2 + n) * growth, growth, units) for n in range(blocks)))
        self.tail = conv(3, (2 + blocks) * growth, 1, kernel=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_residual(self.tail(self.blocks(self.head(x))), x)
