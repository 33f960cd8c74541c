"""The interface of all networks, and the few building blocks that most of them share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Union

import torch
import torch.nn.functional as F
from torch import nn

Factor = Union[int, Sequence[int]]
Convolution = Union[nn.Conv2d, nn.Conv3d]
LARGEST_FACTOR = 16


class Network(nn.Module):
    """forward: [N, inputs, *spatial] -> [N, 1, *spatial times factor].

    `factor` has one int per spatial axis in the network's own array order. `on_interpolated`: the input already lies
    on the fine grid, and the factor is all ones. `residual`: the output is added to the aligned linear interpolation
    of the input, which the published network may not have.
    """

    # Whether its last layer is the convolution `tail`, with no activation after it that would cut off negative values.
    ends_plainly = False
    tail: nn.Module
    inputs = 1

    def __init__(self, dimensions: int, factor: Factor = 1, on_interpolated: bool = False, residual: bool = False):
        super().__init__()
        self.dimensions = dimensions
        self.factor = per_axis(factor, dimensions)
        self.on_interpolated = on_interpolated
        self.residual = residual

    def with_residual(self, out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Adds the interpolated input where the network was built with `residual`."""
        return out + interpolated(x, self.factor) if self.residual else out


class Residual(nn.Module):
    """x + scale * body(x)."""

    def __init__(self, *body: nn.Module, scale: float = 1.0):
        super().__init__()
        self.body = nn.Sequential(*body)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return x + (y if self.scale == 1.0 else y * self.scale)


def per_axis(factor: Factor, dimensions: int) -> tuple[int, ...]:
    """One whole number an axis."""
    factors = (factor,) * dimensions if isinstance(factor, int) else tuple(factor)
    if len(factors) != dimensions or not all(1 <= f <= LARGEST_FACTOR for f in factors):
        raise ValueError(f"{factor!r} is no factor for {dimensions} axes")
    return factors


def stages(factor: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """A factor as upsampling steps, of 2 along each axis as long as it is even: (4, 1, 1) -> (2, 1, 1), (2, 1, 1)."""
    steps = []
    rest = tuple(factor)
    while any(f > 1 for f in rest):
        step = tuple(2 if f % 2 == 0 else f for f in rest)
        steps.append(step)
        rest = tuple(f // s for f, s in zip(rest, step))
    return tuple(steps)


def conv(dimensions: int, inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> Convolution:
    """A "same" convolution with zero padding."""
    layer = nn.Conv2d if dimensions == 2 else nn.Conv3d
    return layer(inputs, outputs, kernel, padding=kernel // 2, bias=bias)


def interpolated(x: torch.Tensor, factor: Sequence[int]) -> torch.Tensor:
    """Linear interpolation to the fine grid over the same field of view."""
    if all(f == 1 for f in factor):
        return x
    mode = "bilinear" if len(factor) == 2 else "trilinear"
    return F.interpolate(x, scale_factor=tuple(float(f) for f in factor), mode=mode, align_corners=False)


def start(layer: Convolution, gain: float = 1.0) -> None:
    """Kaiming's distribution for the weights, times `gain`, and no bias."""
    if layer.weight.is_meta:  # there is nothing to fill, and to do as if, torch would load its compiler for seconds
        return
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight).mul_(gain)
        if layer.bias is not None:
            layer.bias.zero_()


def pass_through(layer: Convolution) -> None:
    """Lets a convolution's output channel 0 start as a copy of input channel 0, so that training starts from the input.

    The other inputs of channel 0 start at zero; the other channels keep their random start.
    """
    with torch.no_grad():
        layer.weight[0].zero_()
        layer.weight[(0, 0, *(k // 2 for k in layer.kernel_size))] = 1.0
        if layer.bias is not None:
            layer.bias[0] = 0.0


def wake(layers: Iterable[Convolution], x: torch.Tensor) -> torch.Tensor:
    """Flips the sign of filters that start dead: those whose output, for an input like `x`, is mostly negative.

    Behind a ReLU they would hardly learn. The usual initial distributions are symmetric, so this stays a draw from
    them. Returns the output of the last layer, before its ReLU.
    """
    with torch.no_grad():
        for layer in layers:
            answer = layer(F.relu(x)).flatten(2).median(dim=2).values[0]
            layer.weight *= torch.where(answer < 0, -1.0, 1.0).view(-1, *(1,) * (layer.weight.dim() - 1))
            x = layer(F.relu(x))
    return x
