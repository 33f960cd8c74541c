"""3D FSRCNN (56, 16) (Mane, Jadhav, Bansal 2020): extract, shrink, map, expand, then one transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .base import Convolution, Factor, Network, conv, pass_through, start
from .shuffle import VoxelShuffle

# Structure is a small part of an image's intensity: this scales the response to it to the size of the image itself.
STRUCTURE_GAIN = 3.0


class CroppedTransposedConv(nn.Module):
    """Transposed convolution with "same" padding as Keras means it: exactly n * stride outputs for n inputs.

    That is a transposed convolution with `padding`, of which the last `crop` planes of each axis are dropped. It is
    computed as an ordinary convolution to the stride's phases and a voxel shuffle (`as_convolution`), which is the same
    sum and faster. A leaf of the traced graph.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: Sequence[int]):
        super().__init__()
        self.kernel = (kernel,) * len(stride)
        self.stride = tuple(stride)
        excess = [kernel - s for s in self.stride]
        if min(excess) < 0:
            raise ValueError("the kernel must cover the stride")
        self.padding = tuple(e // 2 for e in excess)
        self.crop = tuple(e % 2 for e in excess)
        self.weight = nn.Parameter(torch.empty(inputs, outputs, *self.kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.shuffle = VoxelShuffle(self.stride)

    def as_convolution(self) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
        """(weight, bias, padding) of the stride-1 convolution whose shuffled output this is."""
        weight = self.weight.transpose(0, 1)
        padding = []
        for axis, (kernel, stride, before) in enumerate(zip(self.kernel, self.stride, self.padding)):
            taps, reach = _phase_taps(kernel, stride, before)
            padding.append(reach)
            index = torch.tensor(taps, device=weight.device).flatten()
            # the tap after the last is a zero
            weight = F.pad(weight, [0, 0] * (weight.dim() - 3 - axis) + [0, 1])
            weight = weight.index_select(2 + axis, index)
        shape = []
        for stride, reach in zip(self.stride, padding):
            shape += [stride, 2 * reach + 1]
        axes = len(self.stride)
        weight = weight.reshape(*weight.shape[:2], *shape)
        order = [0, *(2 + 2 * a for a in range(axes)), 1, *(3 + 2 * a for a in range(axes))]
        weight = weight.permute(order).flatten(0, axes)
        return weight, self.bias.repeat_interleave(self.shuffle.phases), tuple(padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias, padding = self.as_convolution()
        convolve = F.conv2d if len(padding) == 2 else F.conv3d
        return self.shuffle(convolve(x, weight, bias, padding=padding))


def _phase_taps(kernel: int, stride: int, before: int) -> tuple[list, int]:
    """For each phase, the kernel tap applied to the input at each offset -reach..reach (`kernel`: none)."""
    reach = max((stride - 1 + before) // stride, (kernel - 1 - before) // stride)
    taps = [[phase + before - stride * offset for offset in range(-reach, reach + 1)] for phase in range(stride)]
    return [[tap if 0 <= tap < kernel else kernel for tap in row] for row in taps], reach


class Fsrcnn3d(Network):
    """ReLU after every layer, the last included. Starts as linear interpolation of a non-negative input."""

    def __init__(
        self, factor: Factor = 2, features: int = 56, shrunk: int = 16, mapping: int = 4, residual: bool = False
    ):
        super().__init__(3, factor, residual=residual)
        layers = [
            conv(3, 1, features, 5),
            conv(3, features, shrunk, 1),
            *(conv(3, shrunk, shrunk) for _ in range(mapping)),
            conv(3, shrunk, features, 1),
        ]
        self.layers = nn.ModuleList(layers)
        self.upsampling = CroppedTransposedConv(features, 1, 9, self.factor)
        if not layers[0].weight.is_meta:
            self._start(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for layer in self.layers:
            y = F.relu(layer(y))
        return self.with_residual(F.relu(self.upsampling(y)), x)

    def _wake(self, first: Convolution) -> None:
        """Makes the first filters, except the one that passes the image through, zero-mean and stronger.

        They then respond to structure, of either sign, and not to brightness, which would leave half of them dead.
        """
        with torch.no_grad():
            filters = first.weight[0 if self.residual else 1 :]
            filters -= filters.mean((2, 3, 4), keepdim=True)
            filters *= STRUCTURE_GAIN

    def _start(self, layers: Sequence[Convolution]) -> None:
        for layer in layers:
            start(layer)
            if not self.residual:
                pass_through(layer)
        self._wake(layers[0])
        nn.init.normal_(self.upsampling.weight, std=1e-3)
        if not self.residual:
            with torch.no_grad():
                kernel = torch.ones(())
                for length, stride, before in zip(self.upsampling.kernel, self.factor, self.upsampling.padding):
                    center = before + (stride - 1) / 2
                    distance = (torch.arange(length) - center).abs() / stride
                    kernel = kernel[..., None] * (1 - distance).clamp(min=0)
                self.upsampling.weight[0, 0] = kernel
