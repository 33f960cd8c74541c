"""Collects the operations of a network for a stream, and fuses those that can be computed in one step."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import RefusalError
from ..networks.base import Network
from .convolution import FULL, Conv, TapSum
from .nodes import Concat, Crop, Elementwise, Nearest, Node, Pointwise, Pool, Scale, Shuffle, Source

FEW = 8  # with so few output channels, most of oneDNN's blocks of 16 may stay empty


class At(int):
    """The index of an operation; other numbers in a graph are constants."""


class UnstreamableError(RefusalError):
    """The network does what a stream of planes cannot: each output must depend on a bounded neighborhood."""


class Builder:
    """Collects the operations. An operation is known by its index; `uses` says how many others read it."""

    def __init__(self, network: Network):
        self.name = type(network).__name__
        self.network = network
        self.axes = network.dimensions
        self.nodes: list[Node] = []
        self.uses: dict[int, int] = {}
        self.pooled: set[At] = set()  # one voxel each

    def refuse(self, why: str) -> UnstreamableError:
        return UnstreamableError(f"The network {self.name} cannot be streamed: {why}.")

    def source(self) -> At:
        if self.nodes:
            raise self.refuse("it takes more than one input")
        return self.add(Source(getattr(self.network, "inputs", 1)))

    def finish(self, result: Any) -> None:
        if not isinstance(result, At):
            raise self.refuse("it has more than one output")
        if result != len(self.nodes) - 1 or result == 0:
            self.add(Elementwise([result], self.channels(result), Pointwise(lambda y: y)))

    def number(self, name: str) -> float:
        value = operator.attrgetter(name)(self.network)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise self.refuse(f"{name} is not one number")
        return value.item()

    def add(self, node: Node) -> At:
        self.nodes.append(node)
        at = At(len(self.nodes) - 1)
        self.uses[at] = 1
        if isinstance(node, Pool) or (node.inputs and self.pooled.issuperset(node.inputs)):
            self.pooled.add(at)
        return at

    def channels(self, at: At) -> int:
        return self.nodes[at].channels

    def alone(self, at: At) -> Node | None:
        """The operation, if it has one reader only, and so may be changed. Never the source, whose data is not ours."""
        return self.nodes[at] if self.uses[at] == 1 and at > 0 else None

    def per_axis(self, value: Any, fill: int) -> tuple[int, int, int]:
        """One number for each axis of the volume; a 2D network, whose slices lie along the first, has `fill` there."""
        values = (value,) * self.axes if isinstance(value, (int, float)) else tuple(value)
        if len(values) != self.axes or any(v != int(v) for v in values):
            raise self.refuse(f"{value} is not one whole number for each axis")
        first, second, third = (fill,) * (3 - self.axes) + tuple(int(v) for v in values)
        return first, second, third

    # each of the following appends an operation, or fuses it with the one before, and returns its index

    def convolution(
        self, at: At, weight: torch.Tensor, bias: torch.Tensor | None, before: Any, growth: Any, dilation: Any
    ) -> At:
        weight = weight.detach() if self.axes == 3 else weight.detach().unsqueeze(2)
        bias = None if bias is None else bias.detach()
        before, growth, dilation = self.per_axis(before, 0), self.per_axis(growth, 0), self.per_axis(dilation, 1)
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
        if any(not 0 <= b <= span or g > b for b, g, span in zip(before, growth, spans)):
            raise self.refuse("it pads by more than a kernel reaches")
        node = self.alone(at)
        plain = dilation == (1, 1, 1) and not any(growth) and weight.shape[0] >= FULL
        if plain and isinstance(node, Nearest) and not node.post:
            factor = [r.factor for r in node.reach]
            weight, before = _behind_nearest(weight, before, factor)
            bias = None if bias is None else bias.repeat(math.prod(factor))
            return self.add(Conv(node.inputs, weight, bias, before, growth, dilation, factor))
        # a concatenation is made while the convolution gathers its input
        inputs = node.inputs if isinstance(node, Concat) and not node.post else [at]
        return self.add(Conv(inputs, weight, bias, before, growth, dilation))

    def shuffle(self, at: At, factor: Any) -> At:
        factor = self.per_axis(factor, 1)
        phases = factor[0] * factor[1] * factor[2]
        if phases == 1:
            return at
        conv = self.alone(at)
        if not isinstance(conv, Conv) or conv.phases > 1:
            return self.add(Shuffle([at], self.channels(at), factor))
        outputs = conv.weight.shape[0]
        order = torch.arange(outputs).view(outputs // phases, phases).t().flatten().to(conv.weight.device)
        conv.weight = conv.weight[order]
        conv.bias = None if conv.bias is None else conv.bias[order]
        conv.set_factor(factor)
        return at

    def pointwise(self, at: At, function: Pointwise) -> At:
        before = self.alone(at)
        if before is None:
            return self.add(Elementwise([at], self.channels(at), function))
        before.post.append(function)
        return at

    def scale(self, at: At, factor: torch.Tensor, offset: torch.Tensor) -> At:
        """Multiplies each channel by its factor and adds its offset."""
        conv = self.alone(at)
        if not isinstance(conv, Conv) or conv.phases > 1 or conv.post:
            return self.add(Scale([at], self.channels(at), factor, offset))
        conv.weight = conv.weight * factor.view(-1, 1, 1, 1, 1)
        conv.bias = offset if conv.bias is None else conv.bias * factor + offset
        return at

    def times(self, at: At, factor: float) -> At:
        conv = self.alone(at)
        if not isinstance(conv, Conv) or conv.post:
            return self.pointwise(at, Pointwise(lambda y: y.mul_(factor)))
        conv.weight = conv.weight * factor
        conv.bias = None if conv.bias is None else conv.bias * factor
        return at

    def crop(self, at: At, first: Any, last: Any) -> At:
        first, last = self.per_axis(first, 0), self.per_axis(last, 0)
        return self.add(Crop([at], self.channels(at), first, last)) if any(first + last) else at


def pruned(nodes: list[Node]) -> list[Node]:
    """Drops the operations that were fused into others, and splits narrow convolutions."""
    read = {len(nodes) - 1}
    for n in range(len(nodes) - 1, 0, -1):
        if n in read:
            read.update(nodes[n].inputs)
    kept: list[Node] = []
    place: dict[int, int] = {}
    for n, node in enumerate(nodes):
        if n not in read:
            continue
        node.inputs = [place[i] for i in node.inputs]
        for part in _narrow_parts(node, len(kept)):
            kept.append(part)
        place[n] = len(kept) - 1
    return kept


def _behind_nearest(
    weight: torch.Tensor, before: Sequence[int], factor: Sequence[int]
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Moves a convolution in front of the nearest-neighbor upsampling that it follows: the new weight and padding.

    It then computes all phases. Taps that read the same voxel are added up, so most taps of a phase are zero.
    """
    reaches = []
    for axis, (k, b, f) in enumerate(zip(weight.shape[2:], before, factor)):
        # tap j of phase r reads the voxel at the offset (r + j - b) // f
        low, high = -b // f, (f - 1 + k - 1 - b) // f
        met = torch.zeros(f, high - low + 1, k, dtype=weight.dtype, device=weight.device)
        for r in range(f):
            for j in range(k):
                met[r, (r + j - b) // f - low, j] = 1
        # the phases of this axis go behind those of the axes before it, in front of the outputs
        weight = torch.tensordot(weight, met, ([axis - 3], [2])).movedim(-2, axis).movedim(-1, axis - 3)
        reaches.append(-low)
    return weight.flatten(0, 3), tuple(reaches)


def _narrow_parts(node: Node, place: int) -> list[Node]:
    """Splits a convolution with few output channels: one with `taps` times as many, flat along an axis, and their sum.

    That fills oneDNN's blocks of 16 channels better. In 3D the axis is the first, so that the planes in the queue
    have few channels too.
    """
    if not isinstance(node, Conv) or node.weight.shape[0] > FEW:
        return [node]
    outputs, inputs, *kernel = node.weight.shape
    axis = 0 if kernel[0] > 1 else 2
    taps = kernel[axis]
    # With a single input channel, or hardly anything saved, the sum would cost more.
    if inputs < FULL or -(-outputs * taps // FULL) >= taps * -(-outputs // FULL):
        return [node]
    flat = node.weight.movedim(2 + axis, 0).flatten(0, 1).unsqueeze(2 + axis)

    def rest(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
        return tuple(fill if a == axis else v for a, v in enumerate(values))

    first = Conv(node.inputs, flat, None, rest(node.before, 0), rest(node.growth, 0), rest(node.dilation, 1))
    return [first, TapSum([place], node, axis)]
