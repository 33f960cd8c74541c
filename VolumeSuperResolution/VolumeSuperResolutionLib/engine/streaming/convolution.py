"""Convolution with the voxel shuffle behind it, in the form that oneDNN and cuDNN do fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .nodes import Activation, Input, Node, Piece, Ranges, Reach, Scratch, place, trimmed

FULL = 16  # channels that fill oneDNN's blocks


class Part(NamedTuple):
    """The kernel of one phase, or of all; `first`: how many leading taps, all zero, were cut off along each axis."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    first: tuple[int, ...]


class Conv(Node):
    """A stride-1 convolution over its inputs' channels, with an optional voxel shuffle of its output.

    The weight is [outputs, inputs, depth, height, width]. `before` is the zero padding in front of each axis,
    `growth` by how much the output is longer than the input, before the shuffle. With a shuffle the outputs of one
    phase stand together: output channel phase * channels + c.
    """

    pads = True

    def __init__(
        self,
        inputs: Sequence[int],
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        before: Sequence[int],
        growth: Sequence[int],
        dilation: Sequence[int] = (1, 1, 1),
        factor: Sequence[int] = (1, 1, 1),
    ):
        self.weight = weight
        self.bias = bias
        self.dilation = tuple(dilation)
        self.growth = tuple(growth)
        self.before = tuple(before)
        self.set_factor(factor)
        super().__init__(inputs, weight.shape[0] // self.phases)

    def set_factor(self, factor: Sequence[int]) -> None:
        """Appends the shuffle."""
        self.factor = tuple(factor)
        self.phases = factor[0] * factor[1] * factor[2]
        self.channels = self.weight.shape[0] // self.phases
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.weight.shape[2:])]
        self.reach = tuple(Reach(f, -b * f, (span - b) * f) for f, b, span in zip(factor, self.before, spans))

    def size(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return tuple((n + g) * f for n, g, f in zip(sizes[0], self.growth, self.factor))

    def to(self, device: torch.device, dtype: torch.dtype, scratch: Scratch) -> None:
        self.scratch = scratch
        self.parts = []
        parts = self._split()
        for rows in torch.arange(self.weight.shape[0]).chunk(parts):
            weight = self.weight[rows[0] : rows[-1] + 1]
            weight, first = trimmed_kernel(weight) if parts > 1 else (weight, (0, 0, 0))
            bias = None if self.bias is None else self.bias[rows[0] : rows[-1] + 1].to(device, dtype)
            self.parts.append(Part(prepared(weight.to(device, dtype), flat=self.weight.shape[2] == 1), bias, first))

    def _split(self) -> int:
        """The number of parts: phases with enough channels are computed one by one, directly into their voxels."""
        return self.phases if self.channels >= FULL else 1

    def gathers(self, planes: int, area: int) -> int:
        return planes * area * self.weight.shape[1] if len(self.inputs) > 1 or self.weight.shape[2] > 1 else 0

    def parts_in(self, planes: int, area: int) -> int:
        return planes * area * self.weight.shape[0] // self._split() if self.phases > 1 else 0

    def block(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        x, padding = self._gathered(inputs)
        if len(self.parts) == 1:
            return shuffled(self._convolved(x, 0, padding), self.factor, self.channels, inputs[0], self, wanted)
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.weight.shape[2:])]
        z, y, w = (n + 2 * p - span for n, p, span in zip(x.shape, padding, spans))
        fz, fy, fw = self.factor
        out = x.new_empty((z, fz, y, fy, w, fw, self.channels))
        for p in range(self.phases):
            _, top, left = (n * d for n, d in zip(self.parts[p].first, self.dilation))
            block = self._convolved(x, p, padding)[:, top : top + y, left : left + w]
            out[:, p // (fy * fw), :, p // fw % fy, :, p % fw] = block
        return trimmed(out.view(z * fz, y * fy, w * fw, self.channels), inputs[0], self, wanted)

    def _convolved(self, x: torch.Tensor, number: int, padding: tuple[int, int, int]) -> torch.Tensor:
        """The output of one part; its cross-section is as large as its own kernel leaves it."""
        part = self.parts[number]
        if len(self.parts) > 1 and self.weight.shape[2] > 1:
            beyond = self.dilation[0] * (self.weight.shape[2] - part.weight.shape[2])
            x = x.narrow(0, part.first[0] * self.dilation[0], x.shape[0] - beyond)
        fused = self.post[0].fused if self.post else None
        out, done = convolve(x, part.weight, part.bias, padding, self.dilation, fused)
        for function in self.post[1 if done else 0 :]:
            out = function.apply(out)
        return out

    def _gathered(self, inputs: Sequence[Input]) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """All inputs as one block, and the padding that the convolution still has to add."""
        first = inputs[0]
        (z0, z1), *sides = first.outside
        symmetric = all(low == high for low, high in sides)
        padding = (0, *((low for low, _ in sides) if symmetric else (0, 0)))
        if len(inputs) == 1 and len(first.pieces) == 1 and symmetric and z0 == z1 == 0:
            return first.pieces[0].block.to(self.parts[0].weight.dtype), padding
        margins = ((0, 0), (0, 0)) if symmetric else tuple(sides)
        lengths = [stop - start for start, stop in first.inside]
        shape = [lengths[0] + z0 + z1, *(n + low + high for n, (low, high) in zip(lengths[1:], margins))]
        x = self.scratch.take((*shape, self.weight.shape[1]), self.parts[0].weight.dtype)
        for axis, (low, high) in enumerate(((z0, z1), *margins)):
            if low:
                x.narrow(axis, 0, low).zero_()
            if high:
                x.narrow(axis, shape[axis] - high, high).zero_()
        middle = x[z0 : z0 + lengths[0]]
        for axis, (low, _) in enumerate(margins, 1):
            middle = middle.narrow(axis, low, lengths[axis])
        channel = 0
        for each in inputs:
            count = each.pieces[0].block.shape[3]
            place(each, middle[..., channel : channel + count])
            channel += count
        return x, padding


def trimmed_kernel(weight: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
    """A kernel without the outer taps that are all zero, and how many leading ones that were along each axis."""
    first = []
    for axis in range(2, 5):
        used = weight.movedim(axis, 0).flatten(1).ne(0).any(1).nonzero().flatten().tolist() or [0]
        weight = weight.narrow(axis, used[0], used[-1] - used[0] + 1)
        first.append(used[0])
    return weight, tuple(first)


def prepared(weight: torch.Tensor, flat: bool) -> torch.Tensor:
    """The weight in the memory format that is read fastest; without the depth axis if flat."""
    weight = weight.squeeze(2) if flat else weight
    if weight.shape[1] == 1:  # oneDNN reads a single channel in the ordinary order
        return weight.contiguous()
    return weight.contiguous(memory_format=torch.channels_last if flat else torch.channels_last_3d)


class TapSum(Node):
    """The second half of a convolution with few output channels: adds up the taps along one axis.

    The input holds, for every tap, the outputs of the flat convolution with that tap: input channel tap * outputs + o.
    """

    pads = True

    def __init__(self, inputs: Sequence[int], conv: Conv, axis: int):
        super().__init__(inputs, conv.channels)
        self.axis = axis
        self.outputs = conv.weight.shape[0]
        self.taps = conv.weight.shape[2 + axis]
        self.bias, self.dilation, self.before = conv.bias, conv.dilation[axis], conv.before[axis]
        self.growth, self.factor, self.post = conv.growth[axis], conv.factor, conv.post
        self.reach = tuple(r if a == axis else Reach(r.factor) for a, r in enumerate(conv.reach))

    def size(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return tuple((n + self.growth * (a == self.axis)) * f for a, (n, f) in enumerate(zip(sizes[0], self.factor)))

    def to(self, device: torch.device, dtype: torch.dtype, scratch: Scratch) -> None:
        bias = torch.zeros(self.outputs) if self.bias is None else self.bias
        self.offset = bias.to(device, dtype)

    def parts_in(self, planes: int, area: int) -> int:
        return planes * area * self.outputs if self.channels < self.outputs else 0

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        given = inputs[0]
        # the range of outputs, before the shuffle, that the given inputs and the zeros around them contribute to
        starts = [low - before for (low, _), (before, _) in zip(given.inside, given.outside)]
        lengths = [high + after - low for low, (_, high), (_, after) in zip(starts, given.inside, given.outside)]
        starts[self.axis] += self.before
        lengths[self.axis] -= self.dilation * (self.taps - 1)
        out = self.offset.new_empty((*lengths, self.outputs)).copy_(self.offset)
        for tap in range(self.taps):
            shift = tap * self.dilation - self.before
            for piece in given.pieces:
                self._add(out, starts, piece, given, tap, shift)
        return shuffled(out, self.factor, self.channels, given, self, wanted)

    def _add(self, out: torch.Tensor, starts: Sequence[int], piece: Piece, given: Input, tap: int, shift: int) -> None:
        """One tap's part of one piece: output o takes input o + shift."""
        begin = piece.start if self.axis == 0 else given.inside[self.axis][0]
        target = out if self.axis == 0 else out.narrow(0, piece.start - starts[0], piece.block.shape[0])
        low = max(starts[self.axis], begin - shift)
        high = min(starts[self.axis] + out.shape[self.axis], begin + piece.block.shape[self.axis] - shift)
        if high > low:
            part = piece.block.narrow(self.axis, low + shift - begin, high - low)
            part = part[..., tap * self.outputs : (tap + 1) * self.outputs]
            target.narrow(self.axis, low - starts[self.axis], high - low).add_(part)


def shuffled(
    block: torch.Tensor, factor: Sequence[int], channels: int, given: Input, node: Node, wanted: Ranges
) -> torch.Tensor:
    """Shuffles a block that holds one phase after the other, and returns the wanted part."""
    z, y, w, outputs = block.shape
    if outputs > channels:
        fz, fy, fw = factor
        out = block.new_empty((z, fz, y, fy, w, fw, channels))
        out.copy_(block.view(z, y, w, fz, fy, fw, channels).permute(0, 3, 1, 4, 2, 5, 6))
        block = out.view(z * fz, y * fy, w * fw, channels)
    return trimmed(block, given, node, wanted)


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    fused: Activation | None = None,
) -> tuple[torch.Tensor, bool]:
    """Convolves [planes, height, width, channels]; says whether `fused` was applied.

    For a kernel one plane deep, the planes are the batch. A deeper one gets a batch of one, whose stride must be that
    of a longer batch: otherwise torch does not recognize channels-last.
    """
    flat = weight.dim() == 4
    view = x.permute(0, 3, 1, 2) if flat else x.unsqueeze(0).permute(0, 4, 1, 2, 3)
    padding, dilation = (padding[1:], dilation[1:]) if flat else (padding, dilation)
    fast = x.device.type == "cpu" and x.dtype == torch.float32 and can_fuse()
    if fast:
        out = _fused_convolution(view, weight, bias, padding, dilation, fused or ("none", ()))
    else:
        out = (F.conv2d if flat else F.conv3d)(view, weight, bias, 1, padding, dilation)
    out = out.permute(0, 2, 3, 1) if flat else out.permute(0, 2, 3, 4, 1)[0]
    return out.contiguous(), fast and fused is not None


def _fused_convolution(
    view: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: Sequence[int],
    dilation: Sequence[int],
    activation: Activation,
) -> torch.Tensor:
    name, numbers = activation
    return torch.ops.mkldnn._convolution_pointwise(
        view, weight, bias, list(padding), [1] * len(padding), list(dilation), 1, name, list(numbers), ""
    )


@cache
def can_fuse() -> bool:
    """Whether torch has oneDNN's convolution with a fused activation: a private function, which may change."""
    x, weight, bias = torch.rand(2, 3, 4, 5, 6) - 0.5, torch.rand(2, 3, 3, 3, 3) - 0.5, torch.rand(2)
    known: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
        ("none", ()): lambda y: y,
        ("relu", ()): F.relu,
        ("leaky_relu", (0.2,)): lambda y: F.leaky_relu(y, 0.2),
    }
    try:
        for activation, plain in known.items():
            for axes, convolution in ((3, F.conv3d), (2, F.conv2d)):
                view, kernel = (x, weight) if axes == 3 else (x[..., 0], weight[..., 0])
                out = _fused_convolution(view, kernel, bias, [1] * axes, [1] * axes, activation)
                if not torch.allclose(out, plain(convolution(view, kernel, bias, padding=1)), atol=1e-4):
                    return False
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
