"""CNN-IL: two 2D networks with an intermediate loss (Georgescu, Ionescu, Verga 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .base import Convolution, Network, conv
from .shuffle import VoxelShuffle


class Cnnil(Network):
    """The layers before the shuffle work on the coarse grid, those after it on the fine one."""

    def __init__(self, factor: Sequence[int], features: int = 32, residual: bool = False):
        super().__init__(2, factor, residual=residual)
        self.shuffle = VoxelShuffle(self.factor)
        self.head = conv(2, 1, features)
        self.coarse = nn.ModuleList(conv(2, features, features) for _ in range(4))
        self.to_phases = conv(2, features, self.shuffle.phases)
        self.fine_head = conv(2, 1, features)
        self.fine = nn.ModuleList(conv(2, features, features) for _ in range(2))
        self.tail: Convolution = conv(2, features, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if not self.head.weight.is_meta:
            self._wake()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_residual(self._refine(self._intermediate(x)), x)

    def forward_with_intermediate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The output, and the image directly after the shuffle, which has its own loss."""
        intermediate = self._intermediate(x)
        return self.with_residual(self._refine(intermediate), x), self.with_residual(intermediate, x)

    def _intermediate(self, x: torch.Tensor) -> torch.Tensor:
        return self.shuffle(F.relu(self.to_phases(self._coarse_features(x))))

    def _coarse_features(self, x: torch.Tensor) -> torch.Tensor:
        c0 = F.relu(self.head(x))
        t = F.relu(self.coarse[1](F.relu(self.coarse[0](c0)))) + c0
        # the second skip starts from c0 again, as published
        return F.relu(self.coarse[3](F.relu(self.coarse[2](t)))) + c0

    def _refine(self, intermediate: torch.Tensor) -> torch.Tensor:
        return F.relu(self.tail(self._fine_features(intermediate)))

    def _fine_features(self, intermediate: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.fine_head(intermediate))
        return F.relu(self.fine[1](F.relu(self.fine[0](h)))) + h

    def _wake(self) -> None:
        """Flips the sign of output filters that start dead: whose ReLU is zero for a bright image.

        Otherwise half of all outputs would never learn. The Glorot distribution is symmetric, so this stays a draw
        from it.
        """
        with torch.no_grad():
            bright = torch.ones(1, 1, 24, 24)
            parts: list[tuple[Convolution, Callable[[torch.Tensor], torch.Tensor]]]
            parts = [(self.to_phases, self._coarse_features), (self.tail, self._fine_features)]
            for layer, features in parts:
                answer = layer(features(bright))[0, :, 12, 12]
                layer.weight *= torch.where(answer < 0, -1.0, 1.0).view(-1, 1, 1, 1)


class CnnilInPlane(Cnnil):
    """Scales both axes of a slice."""

    def __init__(self, factor: int = 2, features: int = 32, residual: bool = False):
        super().__init__((factor, factor), features, residual)


class CnnilDepth(Cnnil):
    """Scales the last axis of a slice; alone it is an upscaler for thick slices."""

    def __init__(self, factor: int = 2, features: int = 32, residual: bool = False):
        super().__init__((1, factor), features, residual)
