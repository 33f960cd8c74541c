"""A network over a volume on a device: precision, memory and back-off, progress, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..callbacks import NOTHING_KEPT, Cancel, Convert, Progress, ReadBlock, ReadThere, Step, WriteBlock, end_if
from ..errors import NotFiniteError, RefusalError
from ..networks.base import Network
from . import kernels
from .devices import (
    PRECISIONS,
    Transfers,
    budget_bytes,
    choose_device,
    choose_precision,
    fast_precisions,
    give_back,
    is_out_of_memory,
    peak_of,
    settled,
)
from .nodes import Ranges
from .stream import Stream
from .tiles import Column, fit, halves

CHUNK_ON_CPU = 8 << 20  # bytes of one block: on the CPU it should fit the cache, and malloc should not map it anew
CHUNK_ON_GPU = 128 << 20
THICKEST = 64
FAR = 1 << 20  # voxels: more than any network looks around it
SLACK, OVERHEAD = 1.15, 32 << 20  # what oneDNN, cuDNN and the allocators need beside the blocks, as measured


Streams = dict[tuple[torch.nn.Module, torch.device, str], Stream]


class _OverflownError(Exception):
    """A number was too large for fp16."""


@dataclass(frozen=True)
class Compute:
    """Where and how to run. `memory` is the budget in bytes; None takes it from what is free."""

    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None


@dataclass(frozen=True)
class Account:
    """What was done. `thickness` is in input planes; `exact`: the result does not depend on slabs and columns."""

    device: str
    precision: str
    thickness: int
    slabs: int
    columns: int
    exact: bool
    seconds: float
    peak_bytes: int
    warnings: tuple[str, ...] = ()


def apply(
    network: Network,
    read: ReadBlock,
    shape: Sequence[int],
    write: WriteBlock,
    compute: Compute,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    precisions: Sequence[str] = (),
    streams: Streams | None = None,
    convert: Convert | None = None,
    kept: Step = NOTHING_KEPT,
) -> Account:
    """Runs a network over a volume, reading its input and writing its output block by block.

    The shape is the input's, in the network's own axis order. A 3D network is streamed along axis 0; a 2D network sees
    axes 1 and 2, slice by slice. Arrays are float32 in network units, the input's channels last where there are
    several; what is written, as `convert` makes it of those.
    Where memory runs out the work goes on in smaller steps from where it stood, at last on the CPU. Raises
    CancelledError between two steps once `cancel` answers True.
    `precisions` are those beside fp32 in which the network keeps its quality. Who runs a network many times hands over
    a dictionary in which it is kept as it was made ready.
    A run that was broken off goes on where it was `kept`, with the same blocks, so that the result is the same bit for
    bit; all of it is run again where the blocks would be others now.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise RefusalError(f"A volume of {tuple(shape)} voxels has nothing to upscale.")
    return _Run(network, read, shape, write, compute, progress, cancel, precisions, streams, convert, kept).go()


def halo(network: Network, streams: Streams) -> tuple[int, int, int]:
    """How many input voxels around it an output depends on along each axis, means over the volume apart."""
    key = network, torch.device("cpu"), "fp32"
    if key not in streams:
        streams[key] = Stream(network)
    middle = FAR // 2
    factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
    box = tuple((middle * f, (middle + 1) * f) for f in factor)
    needed = streams[key].needs((FAR,) * 3, box)[0]
    return tuple(max(middle - low, high - middle - 1) for low, high in needed)  # type: ignore[return-value]


class _Run:
    """One call of `apply`."""

    def __init__(
        self,
        network: Network,
        read: ReadBlock,
        shape: Sequence[int],
        write: WriteBlock,
        compute: Compute,
        progress: Progress | None,
        cancel: Cancel | None,
        precisions: Sequence[str],
        streams: Streams | None,
        convert: Convert | None,
        kept: Step,
    ):
        self.network, self.compute, self.precisions, self.convert = network, compute, precisions, convert
        self.kept = kept
        self.streams = {} if streams is None else streams
        self.read, self.write, self.progress, self.cancel = read, write, progress, cancel
        self.shape = tuple(int(n) for n in shape)
        self.factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
        self.size = tuple(n * f for n, f in zip(self.shape, self.factor))
        self.device = choose_device(compute.device)
        self.precision, self.warnings = choose_precision(compute.precision, self.device, precisions)
        self.slabs = self.columns = 0
        self.overflown = False
        self.total = _voxels(tuple((0, n) for n in self.size))
        self.finished = self.reported = 0  # voxels

    def go(self) -> Account:
        start = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with torch.inference_mode():
            pending, first = self._go_on(self._prepare())
            while pending:
                box = pending.pop(0)
                self.boxes = [box, *pending]
                rest = self._work(box, first)
                first = None
                self.finished += _voxels(box) - (_voxels(rest) if rest else 0)
                if rest:
                    pending = self._back_off(rest, pending)
        self.engine.rest()
        exact = self.engine.local or self.columns == 1
        if not exact:
            self.warnings.append(
                "This network weighs its features by their mean over the whole volume, which did not fit into memory: "
                f"the result depends on the {self.columns} tiles it ran in."
            )
        seconds, peak = time.perf_counter() - start, peak_of(self.device)
        place = str(self.device), self.precision
        work = self.thickness, self.slabs, self.columns
        return Account(*place, *work, exact, seconds, peak, tuple(self.warnings))

    def _prepare(self) -> list[Ranges]:
        """Chooses slabs and columns, and returns the boxes of the output to compute."""
        self.engine = self._ready()
        self.transfers = Transfers(self.device)
        self.chunk = CHUNK_ON_CPU if self.device.type == "cpu" else CHUNK_ON_GPU
        budget = budget_bytes(self.device) if self.compute.memory is None else self.compute.memory

        def cost(thickness: int, column: Column) -> int:
            box = ((0, self.size[0]), *column)
            return OVERHEAD + int(SLACK * self.engine.bytes(self.shape, box, thickness, self.chunk))

        tiling = fit(budget, self.size[1:], self.factor[1:], min(THICKEST, self.shape[0]), cost)
        boxes = [((0, self.size[0]), *column) for column in tiling.columns]
        self.thickness = self.engine.grains(self.shape, boxes[0], tiling.thickness, self.chunk)[0]
        return boxes

    def _go_on(self, planned: list[Ranges]) -> tuple[list[Ranges], int | None]:
        """The boxes that are left to compute, and the plane to begin with in the first of them."""
        left, mine = self.kept.state, (self.thickness, self.chunk)
        if not left or (left["device"], left["precision"]) != (str(self.device), self.precision):
            return planned, None
        boxes = [tuple((low, high) for low, high in box) for box in left["boxes"]]
        self.thickness, self.chunk = left["thickness"], left["chunk"]
        if self._blocks(boxes[0]) != left["blocks"]:
            self.thickness, self.chunk = mine
            return planned, None
        self.slabs, self.columns, self.warnings = left["slabs"], left["columns"], list(left["warnings"])
        self.finished = self.total - sum(map(_voxels, boxes))
        return boxes, left["written"]

    def _where(self) -> Mapping[str, Any]:
        """All that `_go_on` needs."""
        return {
            "written": self.written,
            "planes": self.boxes[0][0][1],
            "boxes": self.boxes,
            "blocks": self._blocks(self.boxes[0]),
            "thickness": self.thickness,
            "chunk": self.chunk,
            "device": str(self.device),
            "precision": self.precision,
            "slabs": self.slabs,
            "columns": self.columns,
            "warnings": self.warnings,
        }

    def _blocks(self, box: Ranges) -> list[list[int]]:
        """What the last digits of a box depend on: the planes that each operation computes at once."""
        grains = self.engine.grains(self.shape, box, self.thickness, self.chunk)
        return [grains, self.engine.at_once(self.shape, box)]

    def _ready(self) -> Stream:
        """The network ready for the device, or for one that can be trusted."""
        if (self.network, self.device, self.precision) not in self.streams:
            self.device, self.precision, notes = settled(self.device, self.precision, self.compute.device == "auto")
            for note in notes:
                self._warn(note)
        key = self.network, self.device, self.precision
        if key not in self.streams:
            with kernels.tf32(self.precision == "tf32"):
                self.streams[key] = Stream(self.network, self.device, PRECISIONS[self.precision])
        return self.streams[key]

    def _work(self, box: Ranges, first: int | None = None) -> Ranges | None:
        """Computes a box of the output, from a plane on; returns what is left of it if memory ran out."""
        self.written = box[0][0] if first is None else first
        try:
            with kernels.tf32(self.precision == "tf32"):
                self._pass(box, first)
        except _OverflownError:
            self.overflown = True
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            self.columns += 1
            return None
        # A mean over the whole volume needs all of its planes again.
        return ((self.written, box[0][1]), *box[1:]) if self.engine.local else box

    def _pass(self, box: Ranges, first: int | None) -> None:
        flow = self.engine.run(self._load, self.shape, box, self.thickness, self.chunk, first)
        done, voxels = 0, _voxels(box)
        waiting = None  # a block on its way from the device, while the next is computed
        end_if(self.cancel)
        for item in flow:
            if item is None:
                done += 1
                self.slabs += 1
                end_if(self.cancel)
                self._report(self.finished + voxels * done // len(flow.steps))
                continue
            planes, block = item
            arriving = (planes, *box[1:]), self.transfers.fetch(block[..., 0], self.convert)
            if waiting:
                self._store(*waiting)
            waiting = arriving
        if waiting:
            self._store(*waiting)

    def _load(self, ranges: Ranges) -> torch.Tensor:
        if self.transfers.apart and isinstance(self.read, ReadThere):
            return self.read.there(self.transfers, _slices(ranges)).contiguous().unsqueeze(3)
        block = self.transfers.send(self.read(_slices(ranges)))
        return block if block.dim() == 4 else block.unsqueeze(3)

    def _store(self, ranges: Ranges, arrived: Callable[[], np.ndarray]) -> None:
        try:
            values = arrived()
        except NotFiniteError as error:
            if self.precision == "fp16":
                raise _OverflownError from error
            raise
        if self.precision == "fp16" and self.convert is None and not np.isfinite(values).all():
            raise _OverflownError
        self.write(_slices(ranges), values)
        self.written = ranges[0][1]
        self.kept.reached(self._where)

    def _back_off(self, rest: Ranges, pending: list[Ranges]) -> list[Ranges]:
        """After memory or numbers ran out: what is left of a box, and the boxes after it, in steps that fit."""
        give_back(self.device)
        if self.overflown:
            self.overflown = False
            wide = "bf16" if "bf16" in self.precisions and "bf16" in fast_precisions(self.device) else "fp32"
            self._warn(f"Numbers grew beyond what fp16 can hold, so the rest ran in {wide}.")
            return self._otherwise(self.device, wide, [rest, *pending])
        column = tuple(rest[1:])
        if self.thickness > 1:
            self.thickness //= 2
            self.chunk //= 2
            boxes = [rest]
        else:
            boxes = [(rest[0], *half) for half in halves(column, self.factor[1:])]
        if boxes:
            self._warn("Memory ran out on the way, so the work went on in smaller steps.")
            return boxes + pending
        if self.device.type == "cpu":
            raise RefusalError(
                "There is not enough memory even for the smallest step: "
                "close other programs, or upscale a smaller region."
            )
        self._warn(f"The memory of the device {self.device} was not enough, so the rest ran on the CPU.")
        return self._otherwise(torch.device("cpu"), "fp32", [rest, *pending])

    def _otherwise(self, device: torch.device, precision: str, boxes: Sequence[Ranges]) -> list[Ranges]:
        """The boxes on another device or in another precision."""
        self.engine.rest()
        self.device, self.precision = device, precision
        planned = self._prepare()
        return [part for box in boxes for part in _common(box, planned)]

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def _report(self, voxels: int) -> None:
        if self.progress is not None and voxels > self.reported:
            self.reported = voxels
            self.progress(voxels, self.total)


def _voxels(box: Ranges) -> int:
    depth, height, width = (high - low for low, high in box)
    return depth * height * width


def _common(box: Ranges, others: Sequence[Ranges]) -> list[Ranges]:
    """What a box has in common with each of the others."""
    parts = [tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, other)) for other in others]
    return [part for part in parts if all(low < high for low, high in part)]


def _slices(ranges: Ranges) -> tuple[slice, slice, slice]:
    return tuple(slice(low, high) for low, high in ranges)  # type: ignore[return-value]
