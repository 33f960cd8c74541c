"""A 3D EDSR that is told of a scan: what is known of it shifts the features, by the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .base import Convolution, Factor, Network, Residual, conv
from .shuffle import VoxelShuffle


class Told(Network):
    """Its trunk. Once it is settled for what is known of a scan it is a plain network."""

    tail: Convolution
    # What it is told where nothing is known: that of the usual scan.
    usual: Sequence[float] = ()

    def __init__(
        self, factor: Factor, inputs: int, outputs: int, features: int, blocks: int, scale: float, residual: bool
    ):
        super().__init__(3, factor, residual=residual)
        self.inputs = inputs
        self.head = conv(3, inputs, features)
        self.body = Residual(
            *(
                Residual(conv(3, features, features), nn.ReLU(), conv(3, features, features), scale=scale)
                for _ in range(blocks)
            ),
            conv(3, features, features),
        )
        self.tail = conv(3, features, outputs)
        self.shuffle = VoxelShuffle(self.factor)
        self.condition = nn.Linear(len(self.usual), features * (1 + blocks), bias=False)
        nn.init.zeros_(self.condition.weight)
        self.settled = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What it gives for the usual scan; once it is settled, for that."""
        if not self.settled:
            return self.unsettled(x, x.new_tensor(self.usual).expand(len(x), -1), self.factor)
        return self.with_residual(self.shuffle(self.tail(self.body(self.head(x)))), x)

    def unsettled(self, x: torch.Tensor, traits: torch.Tensor, factor: Sequence[int]) -> torch.Tensor:
        """What the network settled for each sample's traits [N, TRAITS] gives, differentiable in all weights."""
        raise NotImplementedError

    def settle(self, traits: np.ndarray) -> None:
        """Become the plain network for a scan's traits; there is no way back."""
        blocks = self._blocks()
        with torch.no_grad():
            first, *others = self.condition(torch.from_numpy(traits).float()).chunk(1 + len(blocks))
            for layer, shift in zip([self.head, *(block.body[0] for block in blocks)], [first, *others]):
                bias_of(layer).add_(shift)
        self.settled = True

    def deep(self, x: torch.Tensor, traits: torch.Tensor) -> torch.Tensor:
        """The features for each sample's traits [N, TRAITS]."""
        shifts = self.condition(traits).view(len(x), -1, self.head.out_channels, 1, 1, 1).unbind(1)
        shallow = y = self.head(x) + shifts[0]
        last = self.body.body[-1]
        for block, shift in zip(self._blocks(), shifts[1:]):
            first, activation, second = block.body
            y = y + block.scale * second(activation(first(y) + shift))
        return shallow + last(y)

    def _blocks(self) -> list[Residual]:
        return [block for block in self.body.body if isinstance(block, Residual)]


def bias_of(layer: nn.Module) -> torch.Tensor:
    """A convolution's bias."""
    assert isinstance(layer.bias, torch.Tensor)
    return layer.bias
