"""Convolution with the voxel shuffle behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from . import cooktoom, kernels, trials
from .nodes import Input, Node, Piece, Ranges, Reach, Scratch, place, trimmed

FULL = 16  # channels that fill oneDNN's blocks


class Part(NamedTuple):
    """The kernel of one phase, or of all; `first`: how many leading taps, all zero, were cut off along each axis.

    `six` are the flat kernels of the same where four planes can be computed at once.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    first: tuple[int, ...]
    six: Sequence[torch.Tensor] = ()


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
            whole = weight.shape[2] == self.weight.shape[2]
            six = cooktoom.flat(weight) if whole and cooktoom.can(weight, self.dilation, device, dtype) else ()
            weight = kernels.prepared(weight.to(device, dtype), flat=self.weight.shape[2] == 1)
            self.parts.append(Part(weight, bias, first, six))

    def _split(self) -> int:
        """The number of parts: phases with enough channels are computed one by one, directly into their voxels."""
        return self.phases if self.channels >= FULL else 1

    def planes_at_once(self, area: int) -> int:
        """How many planes of so many voxels it can compute for less than one by one; 1 if it cannot."""
        blocks = area >= cooktoom.SMALLEST and all(part.six and trials.blocks_gain(part.weight) for part in self.parts)
        return cooktoom.PLANES if blocks else 1

    def gathers(self, planes: int, area: int) -> int:
        outputs, inputs, depth = self.weight.shape[:3]
        gathered = planes * area * inputs if len(self.inputs) > 1 or depth > 1 else 0
        at_once = self.planes_at_once(area)
        blocks = planes - 2 >= at_once > 1
        return gathered + (cooktoom.TAKEN * area * (inputs + outputs // self._split()) if blocks else 0)

    def parts_in(self, planes: int, area: int) -> int:
        part = area * self.weight.shape[0] // self._split()
        if self.planes_at_once(area) > 1:
            return part * (1 if self.phases == 1 else max(planes, 1 + cooktoom.PLANES))
        return planes * part if self.phases > 1 else 0

    def block(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        first = inputs[0]
        sides = [high - low + before + after for (low, high), (before, after) in zip(first.inside, first.outside)]
        lengths = [n - d * (k - 1) for n, d, k in zip(sides, self.dilation, self.weight.shape[2:])]
        z, y, w = lengths
        fz, fy, fw = self.factor
        cut = z // cooktoom.PLANES * cooktoom.PLANES if self.planes_at_once(y * w) > 1 else 0
        x, padding, spare = self._gathered(inputs, lengths if cut else None)
        if len(self.parts) > 1:
            out = x.new_empty((z, fz, y, fy, w, fw, self.channels))
            places = [out[:, p // (fy * fw), :, p // fw % fy, :, p % fw] for p in range(self.phases)]
        elif cut:
            out = x.new_empty((*lengths, self.weight.shape[0]))
            places = [out]
        else:
            return shuffled(self._convolved(x, 0, padding), self.factor, self.channels, first, self, wanted)
        for start in range(0, cut, cooktoom.PLANES):
            cooktoom.mix(x[start : start + cooktoom.TAKEN], spare[0])
            for p, target in enumerate(places):
                self._combine(spare, p, padding, target[start : start + cooktoom.PLANES])
        for p, target in enumerate(places if cut < z else ()):
            top, left = self._corner(p)
            target[cut:] = self._convolved(x[cut:], p, padding)[:, top : top + y, left : left + w]
        if len(self.parts) > 1:
            return trimmed(out.view(z * fz, y * fy, w * fw, self.channels), first, self, wanted)
        return shuffled(out, self.factor, self.channels, first, self, wanted)

    def _corner(self, number: int) -> tuple[int, ...]:
        """Where in what a part's own kernel gives over the cross-section the result begins."""
        return tuple(n * d for n, d in zip(self.parts[number].first[1:], self.dilation[1:]))

    def _combine(
        self, spare: Sequence[torch.Tensor], number: int, padding: tuple[int, ...], target: torch.Tensor
    ) -> None:
        """Four planes of one part, from what is mixed in the first of the spare blocks."""
        part, (mixed, results) = self.parts[number], spare
        out = target if target.is_contiguous() else target.new_empty(target.shape)
        cooktoom.combine(mixed, part.six, part.bias, padding, self.dilation, results, out, self._corner(number))
        for function in self.post:
            out = function.apply(out)
        if out is not target:
            target.copy_(out)

    def _convolved(self, x: torch.Tensor, number: int, padding: tuple[int, ...]) -> torch.Tensor:
        """The output of one part; its cross-section is as large as its own kernel leaves it."""
        part = self.parts[number]
        if len(self.parts) > 1 and self.weight.shape[2] > 1:
            beyond = self.dilation[0] * (self.weight.shape[2] - part.weight.shape[2])
            x = x.narrow(0, part.first[0] * self.dilation[0], x.shape[0] - beyond)
        fused = self.post[0].fused if self.post else None
        out, done = kernels.convolve(x, part.weight, part.bias, padding, self.dilation, fused)
        for function in self.post[1 if done else 0 :]:
            out = function.apply(out)
        return out

    def _gathered(
        self, inputs: Sequence[Input], lengths: Sequence[int] | None
    ) -> tuple[torch.Tensor, tuple[int, ...], Sequence[torch.Tensor]]:
        """All inputs as one block, the padding that the convolution still has to add, and memory to compute in.

        `lengths` are those of the output, where memory for blocks of planes is wanted.
        """
        first = inputs[0]
        (z0, z1), *sides = first.outside
        symmetric = all(low == high for low, high in sides)
        padding = (0, *((low for low, _ in sides) if symmetric else (0, 0)))
        margins = ((0, 0), (0, 0)) if symmetric else tuple(sides)
        inside = [stop - start for start, stop in first.inside]
        shape = [inside[0] + z0 + z1, *(n + low + high for n, (low, high) in zip(inside[1:], margins))]
        dtype, channels = self.parts[0].weight.dtype, self.weight.shape[1]
        room = []
        if lengths is not None:
            results = (*lengths[1:], self.weight.shape[0] // len(self.parts))
            room = [(cooktoom.TAKEN, *shape[1:], channels), (cooktoom.TAKEN, *results)]
        piece = first.pieces[0].block
        alone = len(inputs) == 1 and len(first.pieces) == 1 and symmetric and z0 == z1 == 0
        if alone and (lengths is None or piece.is_contiguous()):
            return piece.to(dtype), padding, self.scratch.take(room, dtype)
        x, *spare = self.scratch.take([(*shape, channels), *room], dtype)
        for axis, (low, high) in enumerate(((z0, z1), *margins)):
            if low:
                x.narrow(axis, 0, low).zero_()
            if high:
                x.narrow(axis, shape[axis] - high, high).zero_()
        middle = x[z0 : z0 + inside[0]]
        for axis, (low, _) in enumerate(margins, 1):
            middle = middle.narrow(axis, low, inside[axis])
        channel = 0
        for each in inputs:
            count = each.pieces[0].block.shape[3]
            place(each, middle[..., channel : channel + count])
            channel += count
        return x, padding, spare


def trimmed_kernel(weight: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
    """A kernel without the outer taps that are all zero, and how many leading ones that were along each axis."""
    first = []
    for axis in range(2, 5):
        used = weight.movedim(axis, 0).flatten(1).ne(0).any(1).nonzero().flatten().tolist() or [0]
        weight = weight.narrow(axis, used[0], used[-1] - used[0] + 1)
        first.append(used[0])
    return weight, tuple(first)


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
