"""The operations a stream knows. Each says which inputs an output needs, and computes a block of planes.

Blocks are [planes, height, width, channels], channels innermost: planes are then contiguous, and oneDNN takes a view of
them as channels-last without copying.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

import torch

from ..networks.noise import Noise
from .tiles import Range

Ranges = tuple[Range, ...]  # of the three axes
ONE: Ranges = ((0, 1), (0, 1), (0, 1))
Activation = tuple[str, tuple[float, ...]]  # oneDNN's name of it, and its numbers


@dataclass(frozen=True)
class Reach:
    """Output o along an axis needs the inputs (o + before) // factor to (o + after) // factor."""

    factor: int = 1
    before: int = 0
    after: int = 0

    def needs(self, start: int, stop: int) -> Range:
        """The inputs that the outputs start..stop-1 need; may reach beyond the border."""
        return (start + self.before) // self.factor, (stop - 1 + self.after) // self.factor + 1


SAME = Reach()


class Piece(NamedTuple):
    """A part of an input: consecutive planes, over just the cross-section that the output needs."""

    start: int
    block: torch.Tensor


class Input(NamedTuple):
    """What a node reads of one input: the pieces cover `inside`; `outside` counts what is missing beyond the border."""

    pieces: list[Piece]
    inside: Ranges
    outside: Ranges
    owned: bool  # nobody else will read it: it may be overwritten


def bytes_of(dtype: torch.dtype) -> int:
    """How many bytes a floating-point number takes."""
    return torch.finfo(dtype).bits // 8


class Scratch:
    """Memory in which all operations gather and compute in turn: new memory costs time and fragments the heap."""

    def __init__(self, device: torch.device):
        self.device = device
        self.memory: dict[torch.dtype, torch.Tensor] = {}

    def take(self, shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> list[torch.Tensor]:
        """Blocks of undefined content, until the next call."""
        if not shapes:
            return []
        sizes = [math.prod(shape) for shape in shapes]
        size = sum(sizes)
        if dtype not in self.memory or self.memory[dtype].numel() < size:
            self.memory.pop(dtype, None)  # the old goes before the new comes
            self.memory[dtype] = torch.empty(size, dtype=dtype, device=self.device)
        parts = self.memory[dtype][:size].split(sizes)
        return [part.view(*shape) for part, shape in zip(parts, shapes)]


class Node:
    """One operation. `post` are elementwise functions applied in place to what it has computed."""

    reach: tuple[Reach, ...] = (SAME, SAME, SAME)
    pads = False  # whether it takes zeros from outside the border
    precise = False  # whether it is computed in float32 even where the others are in half precision

    def __init__(self, inputs: Sequence[int], channels: int):
        self.inputs = list(inputs)
        self.channels = channels
        self.post: list[Pointwise] = []

    def size(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The output's size along the three axes."""
        return tuple(n * r.factor for n, r in zip(sizes[0], self.reach))

    def needs(self, position: int, wanted: Ranges, size: Sequence[int]) -> Ranges:
        """What a part of the output needs of the input at this position in `inputs`, which is of this size."""
        needs = (reach.needs(*each) for reach, each in zip(self.reach, wanted))
        return tuple((max(low, 0), min(high, n)) for (low, high), n in zip(needs, size))

    def block(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        """The planes, rows and columns `wanted` of the output."""
        out = self.compute(inputs, wanted)
        for function in self.post:
            out = function.apply(out)
        return out

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        """The block before `post`, in memory of its own."""
        raise NotImplementedError

    def planes_at_once(self, area: int) -> int:
        """How many planes of such an area it computes together, as they then take less time; most go one by one."""
        return 1

    def gathers(self, planes: int, area: int) -> int:
        """How many elements of the scratch it needs, for so many input planes of this area."""
        return 0

    def parts_in(self, planes: int, area: int) -> int:
        """How many elements of temporary memory it needs beside the output."""
        return 0

    def to(self, device: torch.device, dtype: torch.dtype, scratch: Scratch) -> None:
        """Prepares to compute on this device, in this precision."""


@dataclass(frozen=True)
class Pointwise:
    """An elementwise function; `apply` may overwrite its argument. `fused`: the same for oneDNN."""

    apply: Callable[[torch.Tensor], torch.Tensor]
    fused: Activation | None = None


class Source(Node):
    """The input volume; its blocks come from outside."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__([], channels)


class Shuffle(Node):
    """A voxel shuffle that could not be joined to the convolution before it."""

    def __init__(self, inputs: Sequence[int], channels: int, factor: Sequence[int]):
        super().__init__(inputs, channels // (factor[0] * factor[1] * factor[2]))
        self.factor = tuple(factor)
        self.reach = tuple(Reach(f) for f in factor)

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        x = joined(inputs[0])
        z, y, w, _ = x.shape
        fz, fy, fw = self.factor
        out = x.new_empty((z, fz, y, fy, w, fw, self.channels))
        out.copy_(x.view(z, y, w, self.channels, fz, fy, fw).permute(0, 4, 1, 5, 2, 6, 3))
        return trimmed(out.view(z * fz, y * fy, w * fw, self.channels), inputs[0], self, wanted)


class Nearest(Node):
    """Every voxel repeated."""

    def __init__(self, inputs: Sequence[int], channels: int, factor: Sequence[int]):
        super().__init__(inputs, channels)
        self.reach = tuple(Reach(f) for f in factor)

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        x = joined(inputs[0])
        fz, fy, fw = (r.factor for r in self.reach)
        z, y, w, c = x.shape
        out = x.new_empty((z, fz, y, fy, w, fw, c))
        out.copy_(x.view(z, 1, y, 1, w, 1, c))
        return trimmed(out.view(z * fz, y * fy, w * fw, c), inputs[0], self, wanted)


class Linear(Node):
    """Linear interpolation over the same field of view; beyond the border the outermost voxel is repeated."""

    def __init__(self, inputs: Sequence[int], channels: int, factor: Sequence[int]):
        super().__init__(inputs, channels)
        self.reach = tuple(Reach(f, -(f // 2), f // 2) for f in factor)
        self.kept: dict[int, tuple[Any, list[torch.Tensor]]] = {}  # the last of each axis: of two it stays the same

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        x = joined(inputs[0])
        for axis in range(3):
            x = self._along(x, axis, inputs[0].inside[axis], wanted[axis])
        return x

    def _along(self, x: torch.Tensor, axis: int, inside: Range, wanted: Range) -> torch.Tensor:
        if self.reach[axis].factor == 1:
            return x
        key = inside, wanted, x.dtype, x.device
        if axis not in self.kept or self.kept[axis][0] != key:
            numbers = self._neighbors(axis, inside, wanted, x.dtype)
            quickly = x.device.type == "cuda"  # which has taken such small copies before it is asked to wait
            self.kept[axis] = key, [each.to(x.device, non_blocking=quickly) for each in numbers]
        low, high, weight = self.kept[axis][1]
        near, far = x.index_select(axis, low), x.index_select(axis, high)
        return near.lerp_(far, weight.view([-1 if a == axis else 1 for a in range(4)]))

    def _neighbors(self, axis: int, inside: Range, wanted: Range, dtype: torch.dtype) -> list[torch.Tensor]:
        """Which voxels each of the wanted lies between, and how far from the first; made on the CPU."""
        # Not every device has 64 bits.
        place = (torch.arange(*wanted, dtype=torch.float64) + 0.5) / self.reach[axis].factor - 0.5
        low = place.floor()
        first, last = inside[0], inside[1] - 1
        return [*(n.clamp(first, last).long() - first for n in (low, low + 1)), (place - low).to(dtype)]


class Elementwise(Node):
    """A pointwise function of an input that others read too."""

    def __init__(self, inputs: Sequence[int], channels: int, function: Pointwise):
        super().__init__(inputs, channels)
        self.function = function

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        return self.function.apply(own(inputs[0]))


class Scale(Node):
    """A factor and an offset for each channel: batch normalization with its running statistics."""

    def __init__(self, inputs: Sequence[int], channels: int, factor: torch.Tensor, offset: torch.Tensor):
        super().__init__(inputs, channels)
        self.factor = factor
        self.offset = offset

    def to(self, device: torch.device, dtype: torch.dtype, scratch: Scratch) -> None:
        self.moved = self.factor.to(device, dtype), self.offset.to(device, dtype)

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        factor, offset = self.moved
        return torch.addcmul(offset, joined(inputs[0]), factor)


class Sum(Node):
    """Adds its inputs, each times its sign."""

    def __init__(self, inputs: Sequence[int], channels: int, signs: Sequence[int]):
        super().__init__(inputs, channels)
        self.signs = list(signs)

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        order = sorted(range(len(inputs)), key=lambda n: (not inputs[n].owned, self.signs[n] < 0))
        total = own(inputs[order[0]])
        widest = max((given.pieces[0].block.dtype for given in inputs), key=bytes_of)
        total = total.to(widest)
        total = total.neg_() if self.signs[order[0]] < 0 else total
        for n in order[1:]:
            start = inputs[n].inside[0][0]
            for piece in inputs[n].pieces:
                part = total[piece.start - start : piece.start - start + piece.block.shape[0]]
                part.add_(piece.block, alpha=self.signs[n])
        return total


class Concat(Node):
    """Concatenation along the channels."""

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        like = inputs[0].pieces[0].block
        out = like.new_empty((*(stop - start for start, stop in wanted), self.channels))
        channel = 0
        for each in inputs:
            count = each.pieces[0].block.shape[3]
            place(each, out[..., channel : channel + count])
            channel += count
        return out


class Crop(Node):
    """Leaves out the first and the last voxels of each axis."""

    def __init__(self, inputs: Sequence[int], channels: int, first: Sequence[int], last: Sequence[int]):
        super().__init__(inputs, channels)
        self.reach = tuple(Reach(1, f, f) for f in first)
        self.cut = [front + back for front, back in zip(first, last)]

    def size(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return tuple(n - c for n, c in zip(sizes[0], self.cut))

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        return own(inputs[0])


class Pool(Node):
    """The mean over the whole volume, or over the column that is run: one voxel. It waits for all planes."""

    def size(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return (1, 1, 1)

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        blocks = [piece.block for piece in inputs[0].pieces]
        count = sum(block[..., 0].numel() for block in blocks)
        means = [block.mean((0, 1, 2), dtype=torch.float32) * (block[..., 0].numel() / count) for block in blocks]
        return torch.stack(means).sum(0).to(blocks[0].dtype).view(1, 1, 1, -1)


class Product(Node):
    """A volume times another with as many channels, or with one."""

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        volume, factor = inputs
        return own(volume).mul_(joined(factor))


class Gate(Product):
    """Channel attention: each channel times its factor, the second input, computed from a pooled voxel."""

    def size(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return sizes[0]

    def needs(self, position: int, wanted: Ranges, size: Sequence[int]) -> Ranges:
        return super().needs(0, wanted, size) if position == 0 else ONE


class Phases(Node):
    """The noise of all fine voxels of each coarse one: what a shuffle lays out."""

    def __init__(self, inputs: Sequence[int], noise: Noise):
        super().__init__(inputs, len(noise.keys))
        self.noise = noise

    def compute(self, inputs: Sequence[Input], wanted: Ranges) -> torch.Tensor:
        return self.noise.phases(joined(inputs[0]))


def joined(given: Input) -> torch.Tensor:
    """All pieces as one block, which others may read too."""
    if len(given.pieces) == 1:
        return given.pieces[0].block
    like = given.pieces[0].block
    out = like.new_empty((*(stop - start for start, stop in given.inside), like.shape[3]))
    place(given, out)
    return out


def own(given: Input) -> torch.Tensor:
    """All pieces as one block that may be overwritten."""
    if len(given.pieces) == 1 and not given.owned:
        return given.pieces[0].block.clone(memory_format=torch.contiguous_format)
    return joined(given)


def place(given: Input, out: torch.Tensor) -> None:
    """Copies all pieces."""
    for piece in given.pieces:
        start = piece.start - given.inside[0][0]
        out[start : start + piece.block.shape[0]].copy_(piece.block)


def trimmed(block: torch.Tensor, given: Input, node: Node, wanted: Ranges) -> torch.Tensor:
    """The wanted part of a block that holds every output of the inputs given."""
    for axis, ((low, high), reach) in enumerate(zip(wanted, node.reach)):
        start = (given.inside[axis][0] - given.outside[axis][0]) * reach.factor - (reach.before if node.pads else 0)
        block = block.narrow(axis, low - start, high - low)
    return block
