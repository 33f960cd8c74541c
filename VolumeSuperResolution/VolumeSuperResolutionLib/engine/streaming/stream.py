"""A traced network as a stream of planes: exact, and nothing is computed twice.

The volume is read in slabs along its first axis. Each operation computes all planes that its inputs allow so far, and
keeps only those that a later operation still has to read. The cross-section may be cut into columns, which are read
with a halo as wide as the network's receptive field demands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple

import torch

from ..networks.base import Network
from .build import UnstreamableError
from .convolution import Conv
from .nodes import Gate, Input, Node, Piece, Pool, Range, Ranges, Scratch, Source, bytes_of
from .trace import traced

ReadTensor = Callable[[Ranges], torch.Tensor]
CPU = torch.device("cpu")
NOTHING = torch.empty(0)  # the block where only the memory is counted


class Chunk(NamedTuple):
    """Consecutive planes of one node's output."""

    start: int
    stop: int
    block: torch.Tensor


class Queue:
    """The planes of one node that some reader still needs."""

    def __init__(self, readers: Sequence[int]):
        self.chunks: list[Chunk] = []
        self.needed = dict.fromkeys(readers, 0)

    def covering(self, planes: Range) -> list[Chunk]:
        """The chunks that hold these planes."""
        return [c for c in self.chunks if c.stop > planes[0] and c.start < planes[1]]

    def release(self, reader: int, first: int) -> int:
        """The reader needs no planes before `first` any more. Returns how many planes were freed."""
        self.needed[reader] = first
        first = min(self.needed.values())
        freed = 0
        while self.chunks and self.chunks[0].stop <= first:
            chunk = self.chunks.pop(0)
            freed += chunk.stop - chunk.start
        return freed

    def trim(self) -> int:
        """Lets go of the first chunk's memory where half of it or more is not needed. Returns how many planes."""
        if not self.chunks:
            return 0
        start, stop, block = self.chunks[0]
        unneeded = min(min(self.needed.values()), stop) - start
        if 2 * unneeded < stop - start:
            return 0
        kept = None if block is None else block[unneeded:].clone(memory_format=torch.contiguous_format)
        self.chunks[0] = Chunk(start + unneeded, stop, kept)
        return unneeded


class Stream:
    """A network made ready to be streamed on a device. Raises UnstreamableError if it cannot be."""

    def __init__(self, network: Network, device: torch.device = CPU, dtype: torch.dtype = torch.float32):
        self.nodes: list[Node] = traced(network)
        self.scratch, precise = Scratch(device), self._precise()
        self.widths = [bytes_of(torch.float32 if n in precise else dtype) for n in range(len(self.nodes))]
        for n, node in enumerate(self.nodes):
            node.to(device, torch.float32 if n in precise else dtype, self.scratch)
        self.pooled = [size == (1, 1, 1) for size in self.sizes((1 << 20,) * 3)]
        self.readers: list[list[int]] = [[] for _ in self.nodes]
        # What depends on a pool runs in a pass after it; the planes that it reads are kept until then.
        self.passes = [0]
        self.scale: list[tuple[int, ...]] = [(1, 1, 1)]
        self.lag = [0]
        for n, node in enumerate(self.nodes[1:], 1):
            for i in set(node.inputs):
                self.readers[i].append(n)
            self.passes.append(max(self.passes[i] for i in node.inputs) + isinstance(node, Pool))
            factors = [r.factor for r in node.reach]
            self.scale.append(tuple(s * f for s, f in zip(self.scale[node.inputs[0]], factors)))
            waits = [self.lag[i] for i in node.inputs if self.passes[i] == self.passes[n] and not self.pooled[i]]
            self.lag.append(max(waits, default=0) * factors[0] + node.reach[0].after)

    def _precise(self) -> set[int]:
        """What runs in float32 whatever the dtype: the source, the last convolutions, and all that follows them."""
        precise = {0} | {n for n, node in enumerate(self.nodes) if node.precise}
        waiting = [len(self.nodes) - 1]
        while waiting:
            n = waiting.pop()
            precise.add(n)
            if not isinstance(self.nodes[n], Conv):
                waiting += self.nodes[n].inputs
        return precise

    @property
    def local(self) -> bool:
        """Whether each output depends on a bounded neighborhood; else a column's result is not the whole volume's."""
        return self.passes[-1] == 0

    def rest(self) -> None:
        """Lets go of what it holds beside the weights, until it is run again."""
        self.scratch.memory.clear()

    def sizes(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Every node's size, for an input of this shape."""
        sizes = [tuple(shape)]
        for node in self.nodes[1:]:
            given = [sizes[i] for i in node.inputs]
            if len(set(given)) > 1 and not isinstance(node, Gate):
                raise UnstreamableError("The network cannot be streamed: it puts volumes of different sizes together.")
            sizes.append(node.size(given))
        return sizes

    def needs(self, shape: Sequence[int], box: Ranges) -> list[Ranges]:
        """The part of every node, the source first, that a box of the output depends on, halo included; pools aside."""
        sizes = self.sizes(shape)
        wanted: list[Ranges] = [()] * len(self.nodes)
        wanted[-1] = box
        for n in range(len(self.nodes) - 1, 0, -1):
            wanted[n] = wanted[n] or tuple((0, length) for length in sizes[n])
            for position, i in enumerate(self.nodes[n].inputs):
                if not isinstance(self.nodes[n], Pool):
                    inside = self.nodes[n].needs(position, wanted[n], sizes[i])
                    old = wanted[i] or inside
                    wanted[i] = tuple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(old, inside))
        return wanted

    def run(
        self,
        read: ReadTensor,
        shape: Sequence[int],
        box: Ranges,
        thickness: int,
        chunk_bytes: int = 1 << 62,
        first: int | None = None,
    ) -> Flow:
        """Iterates over the result: finished planes of the box with their positions, and None at the end of each step.

        `thickness` is the most input planes a step takes; steps are shortened where a block would pass `chunk_bytes`.
        With `first`, a plane that a block of the result begins with, only that and what follows is computed: bit for
        bit as in the whole run, since every block is the one that it would be there.
        """
        grains = self.grains(shape, box, thickness, chunk_bytes)
        flow = Flow(self, read, shape, box, grains)
        if first is not None and first > box[0][0]:
            flow.first = Flow(self, lambda ranges: NOTHING, shape, box, grains).needed_from(first)
        return flow

    def grains(self, shape: Sequence[int], box: Ranges, thickness: int, chunk_bytes: int) -> list[int]:
        """For each node, how many planes of the source it advances by at once; never more than the node before it.

        Where a node, or one behind it, computes several planes together, it takes as many, or a multiple.
        """
        areas = self._areas(shape, box)
        units = [1]
        for node, at_once in zip(self.nodes[:0:-1], self.at_once(shape, box)[::-1]):
            units.append(max(units[-1], at_once // math.gcd(at_once, self.scale[node.inputs[0]][0])))
        grains = []
        grain = thickness
        for n, (node, unit) in enumerate(zip(self.nodes[1:], units[:0:-1]), 1):
            most = chunk_bytes // (self.scale[n][0] * areas[n] * node.channels * self.widths[n])
            grain = max(1, min(grain, max(unit, most)))
            grain = grain // unit * unit or grain
            grains.append(grain)
        return [grains[0], *grains]

    def at_once(self, shape: Sequence[int], box: Ranges) -> list[int]:
        """For each node but the source, how many planes it computes together."""
        areas = self._areas(shape, box)
        return [node.planes_at_once(areas[node.inputs[0]]) for node in self.nodes[1:]]

    def _areas(self, shape: Sequence[int], box: Ranges) -> list[int]:
        """Voxels of each node's planes."""
        return [(bottom - top) * (right - left) for _, (top, bottom), (left, right) in self.needs(shape, box)]

    def bytes(self, shape: Sequence[int], box: Ranges, thickness: int, chunk_bytes: int = 1 << 62) -> int:
        """The most memory that the blocks of a run hold at once, counted by running it without any data."""
        if self.local:
            # Enough planes to fill all queues; more would not change the peak.
            planes = -(-self.lag[-1] // self.scale[-1][0]) * 2 + 4 * thickness
            shape = (min(shape[0], planes), *shape[1:])
            box = ((0, self.sizes(shape)[-1][0]), *box[1:])
        flow = self.run(lambda ranges: NOTHING, shape, box, thickness, chunk_bytes)
        flow.counting = True
        for _ in flow:
            pass
        return flow.peak + flow.gathered


class Flow:
    """One run of a stream over a box of the output."""

    def __init__(self, stream: Stream, read: ReadTensor, shape: Sequence[int], box: Ranges, grains: Sequence[int]):
        self.stream, self.read, self.grains = stream, read, grains
        self.sizes = stream.sizes(shape)
        self.wanted = stream.needs(shape, box)
        self.done = [wanted[0][0] for wanted in self.wanted]
        self.queues = [Queue(readers) for readers in stream.readers]
        self.counting = False
        # Of each node: blocks that end before this plane are needed by nobody, and are not computed.
        self.first = [0] * len(self.done)
        self.starts: list[list[int]] = [[] for _ in self.done]
        self.live = self.peak = self.gathered = 0  # bytes
        self.steps = [step for number in range(stream.passes[-1] + 1) for step in self._steps(number)]

    def __iter__(self) -> Iterator[tuple[Range, torch.Tensor] | None]:
        for groups, start in self.steps:
            yield from self._advance(groups, start, start + self.grains[groups[0][0]])
            yield None

    def needed_from(self, first: int) -> list[int]:
        """For each node, where the first of its blocks begins that the result depends on from a plane on.

        That is counted, by running it without any data.
        """
        self.counting = True
        for _ in self:
            pass
        needed = [1 << 62] * len(self.done)
        needed[-1] = first
        for n in range(len(needed) - 1, -1, -1):
            begin = max((start for start in self.starts[n] if start <= needed[n]), default=0)
            needed[n] = begin
            wanted = ((begin, begin + 1), *self.wanted[n][1:])
            for position, i in enumerate(self.stream.nodes[n].inputs):
                needed[i] = min(needed[i], self._inside(self.stream.nodes[n], position, wanted)[0][0])
        return needed

    def _steps(self, number: int) -> list[tuple[list[list[int]], int]]:
        """For one pass: its nodes in groups of equal grain, and the first source plane of each step."""
        nodes = [n for n, each in enumerate(self.stream.passes) if each == number]
        groups: list[list[int]] = []
        for n in nodes:
            if groups and self.grains[groups[-1][0]] == self.grains[n]:
                groups[-1].append(n)
            else:
                groups.append([n])
        ends = [-(-(self.wanted[n][0][1] + self.stream.lag[n]) // self.stream.scale[n][0]) for n in nodes]
        return [(groups, start) for start in range(self.wanted[0][0][0], max(ends), self.grains[nodes[0]])]

    def _advance(self, groups: list[list[int]], start: int, stop: int) -> Iterator[tuple[Range, torch.Tensor]]:
        """Brings these nodes, group by group, from input plane `start` to `stop`, as far as their inputs allow."""
        nodes = groups[0]
        grain = self.grains[nodes[0]]
        for low in range(start, stop, grain):
            high = min(low + grain, stop)
            for n in nodes:
                ready = 1 if self.stream.pooled[n] else high * self.stream.scale[n][0] - self.stream.lag[n]
                chunk = self._produce(n, min(ready, self.wanted[n][0][1]))
                if chunk is None:
                    continue
                if n == len(self.done) - 1:
                    if chunk.stop > self.first[n]:
                        yield (chunk.start, chunk.stop), chunk.block
                else:
                    self.queues[n].chunks.append(chunk)
                    self.live += self._bytes(n, chunk.stop - chunk.start)
            if len(groups) > 1:
                yield from self._advance(groups[1:], low, high)

    def _area(self, n: int) -> int:
        _, (top, bottom), (left, right) = self.wanted[n]
        return (bottom - top) * (right - left)

    def _bytes(self, n: int, planes: int) -> int:
        return planes * self._area(n) * self.stream.nodes[n].channels * self.stream.widths[n]

    def _produce(self, n: int, stop: int) -> Chunk | None:
        """The planes of node n from where it stood to `stop`."""
        start = self.done[n]
        if stop <= start:
            return None
        self.done[n] = stop
        self.starts[n].append(start)
        node = self.stream.nodes[n]
        wanted = ((start, stop), *self.wanted[n][1:])
        empty = self.counting or stop <= self.first[n]
        if isinstance(node, Source):
            return Chunk(start, stop, NOTHING if empty else self.read(wanted))
        inside, chunks = [], []
        for position, i in enumerate(node.inputs):
            inside.append(self._inside(node, position, wanted))
            chunks.append(self.queues[i].covering(inside[-1][0]))
        following = ((stop, stop + 1), *wanted[1:])
        freed = 0
        for position, i in enumerate(node.inputs):
            rest = stop < self.wanted[n][0][1]
            first = self._inside(node, position, following)[0][0] if rest else 1 << 62
            freed += self._bytes(i, self.queues[i].release(n, first))
        before = inside[0][0][1] - inside[0][0][0] + 2, self._area(node.inputs[0])
        width = self.stream.widths[n]
        self.gathered = max(self.gathered, node.gathers(*before) * width)
        self.peak = max(self.peak, self.live + node.parts_in(*before) * width + self._bytes(n, stop - start))
        block = NOTHING
        if not empty:
            parts = zip(node.inputs, chunks, inside)
            inputs = [self._input(node, i, held, part, wanted) for i, held, part in parts]
            block = node.block(inputs, wanted)
            del inputs, chunks
        self.live -= freed
        for i in set(node.inputs):
            self.live -= self._bytes(i, self.queues[i].trim())
        return Chunk(start, stop, block)

    def _input(self, node: Node, i: int, chunks: Sequence[Chunk], inside: Ranges, wanted: Ranges) -> Input:
        pieces = []
        for chunk in chunks:
            low, high = max(chunk.start, inside[0][0]), min(chunk.stop, inside[0][1])
            block = chunk.block[low - chunk.start : high - chunk.start]
            for axis in (1, 2):
                start, stop = inside[axis]
                block = block.narrow(axis, start - self.wanted[i][axis][0], stop - start)
            pieces.append(Piece(low, block))
        waiting = self.queues[i].chunks
        owned = (
            len(chunks) == 1
            and (not waiting or waiting[0].start >= chunks[0].stop)
            and chunks[0].block.shape == pieces[0].block.shape
            and node.inputs.count(i) == 1
            and not isinstance(self.stream.nodes[i], Source)
        )
        needs = [r.needs(*w) for r, w in zip(node.reach, wanted)]
        outside = tuple((a - low, high - b) for (a, b), (low, high) in zip(inside, needs))
        return Input(pieces, inside, outside if node.pads else ((0, 0),) * 3, owned)

    def _inside(self, node: Node, position: int, wanted: Ranges) -> Ranges:
        """What a node needs of an input; a pool takes all there is."""
        i = node.inputs[position]
        return self.wanted[i] if isinstance(node, Pool) else node.needs(position, wanted, self.sizes[i])
