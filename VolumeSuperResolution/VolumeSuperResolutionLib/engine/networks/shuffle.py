"""Sub-pixel upsampling in 2D and 3D, with its own factor for each axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from .base import Convolution, conv, stages


class VoxelShuffle(nn.Module):
    """[N, C * prod(factor), *spatial] -> [N, C, *spatial times factor].

    Channel c * prod(factor) + p becomes phase p of channel c; p counts the phases with the last axis fastest, so that
    two equal factors give torch's pixel shuffle. A leaf of the traced graph.
    """

    def __init__(self, factor: Sequence[int]):
        super().__init__()
        self.factor = tuple(factor)
        self.phases = 1
        for f in self.factor:
            self.phases *= f

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = len(self.factor)
        batch, channels, spatial = x.shape[0], x.shape[1] // self.phases, x.shape[2:]
        x = x.reshape(batch, channels, *self.factor, *spatial)
        order = [0, 1]
        for axis in range(axes):
            order += [2 + axes + axis, 2 + axis]
        return x.permute(order).reshape(batch, channels, *(n * f for n, f in zip(spatial, self.factor)))


def repeat_phases_(layer: Convolution, phases: int) -> None:
    """ICNR: all phases of a channel start alike, so that the shuffle starts as nearest-neighbor upsampling."""
    if layer.weight.is_meta:
        return
    with torch.no_grad():
        weight = layer.weight[::phases].clone()
        layer.weight.copy_(weight.repeat_interleave(phases, dim=0))
        if layer.bias is not None:
            layer.bias.zero_()


def upsampling(
    features: int, factor: Sequence[int], activation: Callable[[], nn.Module] | None = None
) -> nn.Sequential:
    """Steps of a convolution to the phases and a shuffle, until the whole factor is reached."""
    layers = nn.Sequential()
    for step in stages(factor):
        shuffle = VoxelShuffle(step)
        widen = conv(3, features, features * shuffle.phases)
        repeat_phases_(widen, shuffle.phases)
        layers.extend([widen, shuffle] if activation is None else [widen, shuffle, activation()])
    return layers
