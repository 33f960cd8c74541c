"""A network that cannot be streamed, such as one that pools over the whole volume: whole, or in overlapping tiles."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .stream_nodes import Range, Ranges

Load = Callable[[Ranges], torch.Tensor]
CONTEXT = 16  # input voxels around a tile; no number makes it exact


class Whole:
    """Stands in for a Stream: the same questions and answers, but a box is computed all at once."""

    exact = False  # as soon as there is more than one box

    def __init__(self, network: torch.nn.Module, device: torch.device, dtype: torch.dtype):
        self.network = copy.deepcopy(network).eval().to(device)
        self.device = device
        self.half = None if dtype == torch.float32 else dtype
        self.dtype = torch.float32  # of its input

    def needs(self, shape: Sequence[int], box: Ranges) -> Ranges:
        """The input that is read for a box of the output."""
        tile = [(0, shape[0])]
        for n, factor, (low, high) in zip(shape[1:], self.network.factor[-2:], box[1:]):
            tile.append((max(low // factor - CONTEXT, 0), min(-(-high // factor) + CONTEXT, n)))
        return tuple(tile)

    def grains(self, shape: Sequence[int], box: Ranges, thickness: int, chunk_bytes: int) -> list[int]:
        """No choice: all planes at once, in steps that cannot be made thinner."""
        return [1]

    def bytes(self, shape: Sequence[int], box: Ranges, thickness: int, chunk_bytes: int) -> int:
        """The most memory that the network's blocks hold at once, counted on torch's device without data."""
        block = torch.empty([high - low for low, high in self.needs(shape, box)] + [1], device="meta")
        with Counting() as counting:
            copy.deepcopy(self.network).to("meta")(self._batch(block))
        return counting.peak

    def run(
        self,
        read: Load,
        shape: Sequence[int],
        box: Ranges,
        thickness: int,
        chunk_bytes: int,
    ) -> Tile:
        """Iterates like a stream's run."""
        return Tile(self, read, shape, box)

    def _batch(self, block: torch.Tensor) -> torch.Tensor:
        """[planes, height, width, 1] as the network wants it."""
        return block.permute(0, 3, 1, 2) if self.network.dimensions == 2 else block.unsqueeze(0).permute(0, 4, 1, 2, 3)

    def result(self, block: torch.Tensor) -> torch.Tensor:
        """What the network makes of a block, in the same order of axes."""
        with nullcontext() if self.half is None else torch.autocast(self.device.type, self.half):
            out = self.network(self._batch(block))
        return out.permute(0, 2, 3, 1) if self.network.dimensions == 2 else out[0].permute(1, 2, 3, 0)


class Tile:
    """One box, in one step."""

    steps = range(1)

    def __init__(self, whole: Whole, read: Load, shape: Sequence[int], box: Ranges):
        self.whole, self.read, self.shape, self.box = whole, read, shape, box

    def __iter__(self) -> Iterator[tuple[Range, torch.Tensor] | None]:
        tile = self.whole.needs(self.shape, self.box)
        out = self.whole.result(self.read(tile))
        factor = (1,) * (3 - len(self.whole.network.factor)) + tuple(self.whole.network.factor)
        for axis, (f, (start, _), (low, high)) in enumerate(zip(factor, tile, self.box)):
            out = out.narrow(axis, low - start * f, high - low)
        yield self.box[0], out
        yield None


class Counting(TorchDispatchMode):
    """Counts the bytes of the tensors alive."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.users: dict[int, int] = {}  # of each storage

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return out

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.users:
            self.users[key] = 0
            self.live += size
            self.peak = max(self.peak, self.live)
        self.users[key] += 1
        weakref.finalize(tensor, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.users[key] -= 1
        if not self.users[key]:
            del self.users[key]
            self.live -= size
