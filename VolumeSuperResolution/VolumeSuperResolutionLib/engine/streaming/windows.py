"""A network that cannot be streamed, over a volume: in overlapping windows, blended.

What a window gives may depend on where it ends, so the result is not that of one pass over the whole volume, and the
account says so. Everything that can be streamed is streamed; this is for networks of one's own.
"""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..callbacks import Cancel, Progress, ReadBlock, WriteBlock, end_if
from ..errors import RefusalError
from ..networks import Network
from . import kernels
from .devices import (
    PRECISIONS,
    Transfers,
    budget_bytes,
    choose_device,
    choose_precision,
    give_back,
    is_out_of_memory,
    peak_of,
    settled,
)
from .inference import OVERHEAD, SLACK, Account, Compute
from .nodes import Range, Ranges

# Voxels of the input along an axis. Larger windows differ less from the whole volume, smaller ones need less memory.
SIZES = (16, 32, 64, 128)
# Networks that reduce the grid on the way want multiples of this at the most; a size with an odd part tells.
MULTIPLES = {1: 17, 2: 18, 4: 20, 8: 24, 16: 16, 32: 32}
WIDEST_OVERLAP = 32
MOST_SLICES = 8


class Axis(NamedTuple):
    """Where the windows lie along one axis of the input, and what each weighs there: together 1 everywhere."""

    size: int
    starts: tuple[int, ...]
    weights: tuple[np.ndarray, ...]


def apply(
    network: Network,
    read: ReadBlock,
    shape: Sequence[int],
    write: WriteBlock,
    compute: Compute,
    progress: Progress | None,
    cancel: Cancel | None,
    precisions: Sequence[str],
    reason: str,
) -> Account:
    """As inference.apply, for what that refuses; `reason` is its sentence, for the account's warning."""
    return _Run(network, read, tuple(shape), write, compute, progress, cancel, precisions).go(reason)


def along(length: int, window: int, multiple: int, overlapping: bool = True) -> Axis:
    """Windows of one size over so many voxels; the last may reach beyond them, to the next multiple."""
    whole = -(-length // multiple) * multiple
    size = min(window, whole)
    # On multiples, so that each window sees the same coarser grids as the whole volume would.
    overlap = min(size // 2, WIDEST_OVERLAP) // multiple * multiple if overlapping else 0
    gaps = -(-(whole - size) // (size - overlap))
    starts = tuple((whole - size) // multiple * n // max(1, gaps) * multiple for n in range(gaps + 1))
    total, parts = np.zeros(whole), []
    for n, start in enumerate(starts):
        distance = np.arange(size) + 0.5 - overlap / 4  # what is nearer to a cut counts for nothing
        before = distance if n > 0 else np.inf
        behind = distance[::-1] if n < gaps else np.inf
        parts.append(np.clip(np.minimum(before, behind) * np.ones(size), 0, max(1, overlap / 2)))
        total[start : start + size] += parts[-1]
    weights = (part / total[start : start + size] for start, part in zip(starts, parts))
    return Axis(size, starts, tuple(weight.astype(np.float32) for weight in weights))


class _Run:
    """One call of `apply`."""

    def __init__(
        self,
        network: Network,
        read: ReadBlock,
        shape: tuple[int, ...],
        write: WriteBlock,
        compute: Compute,
        progress: Progress | None,
        cancel: Cancel | None,
        precisions: Sequence[str],
    ):
        self.name, self.given, self.compute = type(network).__name__, network, compute
        self.read, self.write, self.progress, self.cancel = read, write, progress, cancel
        self.shape, self.flat = shape, network.dimensions == 2
        self.factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
        self.device = choose_device(compute.device)
        self.precision, self.warnings = choose_precision(compute.precision, self.device, precisions)
        self.device, self.precision, notes = settled(self.device, self.precision, compute.device == "auto")
        self.warnings += notes
        self.written = self.reported = self.count = 0  # planes of the output, voxels, windows

    def go(self, reason: str) -> Account:
        started = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with torch.inference_mode(), kernels.tf32(self.precision == "tf32"):
            self._place()
            window = self._fitting()
            while True:
                axes = self._axes(window)
                try:
                    self._over(axes)
                    break
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                window = self._back_off(window)
        columns = len(axes[1].starts) * len(axes[2].starts)
        exact = columns == 1 and (self.flat or len(axes[0].starts) == 1)
        if not exact:
            size = " x ".join(str(axis.size) for axis in axes[self.flat :])
            self.warnings.insert(
                0, f"{reason} It ran in overlapping windows of {size} voxels instead, on which the result depends."
            )
        seconds, peak = time.perf_counter() - started, peak_of(self.device)
        place = str(self.device), self.precision
        return Account(*place, axes[0].size, self.count, columns, exact, seconds, peak, tuple(self.warnings))

    def _place(self) -> None:
        """A copy of the network on the device, and what its windows have to be multiples of."""
        self.network = copy.deepcopy(self.given).to(self.device).eval().requires_grad_(False)
        self.transfers = Transfers(self.device)
        refusal: RefusalError | None = None
        for multiple, size in MULTIPLES.items():
            try:
                self._window(self._middle(size))
            except RefusalError as error:
                refusal = refusal or error
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._leave_device()
                return
            else:
                self.multiple = multiple
                return
        assert refusal is not None
        raise refusal

    def _middle(self, size: int) -> np.ndarray:
        """Some of the input, repeated at its border to this many voxels."""
        wanted = (1 if self.flat else size, size, size)
        starts = [max(0, (n - w) // 2) for n, w in zip(self.shape, wanted)]
        return self._read(tuple((start, start + w) for start, w in zip(starts, wanted)))

    def _fitting(self) -> int:
        """The largest windows that the memory allows: each size is tried on the volume, and foretells the next."""
        budget = budget_bytes(self.device) if self.compute.memory is None else self.compute.memory
        fitting, held, usual = 0, 0, 4 if self.flat else 8
        growth = float(usual)
        for size in SIZES:
            needed = SLACK * held * growth * self._slices(size) + self._summed(size) + OVERHEAD
            if fitting and (needed > budget or fitting >= max(self.shape[self.flat :])):
                break
            fitting = size
            if size < SIZES[-1]:
                with Live() as live:
                    try:
                        self._window(self._middle(self._side(size)))
                    except Exception as error:
                        if is_out_of_memory(error):
                            break
                        raise
                growth = max(usual, live.peak / held) if held else usual
                held = live.peak
        return fitting

    def _side(self, window: int) -> int:
        """The length of such windows: a multiple, and enough of them to overlap."""
        return max(2, -(-window // self.multiple)) * self.multiple

    def _slices(self, window: int) -> int:
        """How many slices a 2D network sees at once."""
        return max(1, MOST_SLICES * SIZES[0] // window) if self.flat else 1

    def _summed(self, window: int) -> int:
        """Bytes of the planes of the output that are being summed up."""
        _, rows, columns = (n * f for n, f in zip(self.shape, self.factor))
        return 4 * (self._slices(window) if self.flat else window) * self.factor[0] * rows * columns

    def _axes(self, window: int) -> list[Axis]:
        sides = [along(n, self._side(window), self.multiple) for n in self.shape]
        if self.flat:
            sides[0] = along(self.shape[0], self._slices(window), 1, overlapping=False)
        return sides

    def _over(self, axes: Sequence[Axis]) -> None:
        """All windows, layer by layer; a layer's planes are written as soon as no later window reaches them."""
        depth = axes[0]
        planes, *sides = (axis.size * f for axis, f in zip(axes, self.factor))
        size = [n * f for n, f in zip(self.shape, self.factor)]
        whole = [(axis.starts[-1] + axis.size) * f for axis, f in zip(axes, self.factor)]
        total = np.zeros((planes, *whole[1:]), np.float32)
        for n, start in enumerate(depth.starts):
            low = start * self.factor[0]
            following = depth.starts[n + 1] * self.factor[0] if n + 1 < len(depth.starts) else low + planes
            stop = min(following, size[0])
            if low + planes > self.written:
                for done, (box, part) in enumerate(self._layer(axes, n), 1):
                    rows, columns = (slice(s * f, s * f + side) for s, f, side in zip(box, self.factor[1:], sides))
                    total[:, rows, columns] += part
                    share = done / (len(axes[1].starts) * len(axes[2].starts))
                    self._report((self.written + (stop - self.written) * share) * size[1] * size[2])
            if stop > self.written:
                ready = total[self.written - low : stop - low, : size[1], : size[2]]
                self.write((slice(self.written, stop), slice(0, size[1]), slice(0, size[2])), ready)
                self.written = stop
            kept = total[following - low :].copy()
            total[: len(kept)], total[len(kept) :] = kept, 0

    def _layer(self, axes: Sequence[Axis], n: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """The windows at one depth: where each starts in a plane, and what it adds to the sum."""
        z, depth = axes[0].starts[n], np.repeat(axes[0].weights[n], self.factor[0])
        for (y, rows), (x, columns) in product(*(zip(axis.starts, axis.weights) for axis in axes[1:])):
            end_if(self.cancel)
            given = self._read(tuple((start, start + axis.size) for start, axis in zip((z, y, x), axes)))
            result = self._window(given)
            self.count += 1
            sides = (np.repeat(w, f) for w, f in zip((rows, columns), self.factor[1:]))
            result *= depth[:, None, None] * np.multiply.outer(*sides)
            yield (y, x), result

    def _read(self, ranges: Ranges) -> np.ndarray:
        """These voxels of the input; beyond its border they repeat."""
        inside: list[Range] = [(min(low, n - 1), min(high, n)) for (low, high), n in zip(ranges, self.shape)]
        depth, rows, columns = (slice(low, high) for low, high in inside)
        block = self.read((depth, rows, columns))
        missing = [(0, high - stop) for (_, high), (_, stop) in zip(ranges, inside)]
        return np.pad(block, missing, "edge") if any(after for _, after in missing) else block

    def _window(self, block: np.ndarray) -> np.ndarray:
        """The network on a block of the input."""
        expected = tuple(n * f for n, f in zip(block.shape, self.factor))
        shape = (expected[0], 1, *expected[1:]) if self.flat else (1, 1, *expected)
        x, dtype = self.transfers.send(block), PRECISIONS[self.precision]
        try:
            with nullcontext() if dtype == torch.float32 else torch.autocast(self.device.type, dtype):
                y = self.network(x[:, None] if self.flat else x[None, None])
            if tuple(y.shape) != shape:
                raise ValueError(f"it gave {tuple(y.shape)} where its factor says {shape}")
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise RefusalError(
                f"The network {self.name} failed on a window of {' x '.join(map(str, block.shape))} voxels ({error}); "
                "correct the network."
            ) from error
        return np.array(self.transfers.fetch(y.reshape(expected))())

    def _back_off(self, window: int) -> int:
        """A smaller window for what is not written yet, after memory ran out."""
        give_back(self.device)
        if window > SIZES[0]:
            self._warn("Memory ran out on the way, so the work went on in smaller windows.")
            return window // 2
        self._leave_device()
        return self._fitting()

    def _leave_device(self) -> None:
        """Goes on on the CPU; refused where that is where memory ran out."""
        if self.device.type == "cpu":
            raise RefusalError(
                "There is not enough memory even for the smallest window: "
                "close other programs, or upscale a smaller region."
            )
        self._warn(f"The memory of the device {self.device} was not enough, so the rest ran on the CPU.")
        self.device, self.precision = torch.device("cpu"), "fp32"
        self._place()

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def _report(self, voxels: float) -> None:
        if self.progress is not None and int(voxels) > self.reported:
            self.reported = int(voxels)
            self.progress(self.reported, int(np.prod(self.shape) * np.prod(self.factor)))


class Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at once while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.users: dict[int, int] = {}  # of each storage

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return result

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
