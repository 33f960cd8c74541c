"""Training batches. Each is drawn with its own seed, so that it depends on the number of the step alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from .patches import Cut, Patch, Scan, fitting_orders, kind_shares, random_patch
from .validation import interpolation_error, tensors

# For how many steps at the least patches are drawn in advance, while the network computes.
AHEAD = 4


class Batch(NamedTuple):
    """One training batch.

    `scale` and `spread` have one value a sample, both of the volume that it was cut from: the error of interpolation,
    and the range of intensities.
    """

    input: torch.Tensor
    target: torch.Tensor
    scanned: torch.Tensor
    scale: torch.Tensor
    spread: torch.Tensor

    @property
    def given(self) -> tuple[torch.Tensor, ...]:
        """What the network and its data consistency see."""
        return self.input, self.scanned

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(part.to(device) for part in self))


class Ahead:
    """Gives the batch of each step, which depends on the number of the step alone; some are drawn in advance."""

    # Whether no two batches may be drawn at the same time.
    one_by_one = False

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.ahead = 0
        self.drawn: dict[int, Future] = {}

    def draw_ahead(self, device: torch.device) -> None:
        """From now on, batches are drawn in the background: by one thread where the CPU trains the network, too."""
        threads = 1 if self.one_by_one or device.type == "cpu" else os.cpu_count() or 1
        self.pool, self.ahead = ThreadPoolExecutor(threads), max(AHEAD, threads)

    def __call__(self, step: int) -> Any:
        if self.pool is None:
            return self._draw(step)
        for ahead in range(step, step + self.ahead):
            if ahead not in self.drawn:
                self.drawn[ahead] = self.pool.submit(self._draw, ahead)
        return self.drawn.pop(step).result()

    def _draw(self, step: int) -> Any:
        raise NotImplementedError


class Feed(Ahead):
    """This process's share of each batch. Modalities alternate; within one, kinds count by the root of their number."""

    def __init__(
        self, scans: Sequence[Scan], cut: Cut, dimensions: int, seed: int, batch: int, rank: int = 0, world: int = 1
    ):
        super().__init__()
        for scan in scans:
            fitting_orders(scan, cut)
        self.cut, self.dimensions, self.seed, self.batch = cut, dimensions, seed, batch
        self.indices = range(rank, batch, world)
        self.groups = [[scan for scan in scans if scan.modality == m] for m in sorted({s.modality for s in scans})]
        self.shares = [kind_shares(group) for group in self.groups]
        self.errors: Mapping[str, float] = {scan.name: interpolation_error(scan, cut, dimensions) for scan in scans}

    def _draw(self, step: int) -> Batch:
        drawn = [self._patch(step, index) for index in self.indices]
        patches = [patch for patch, _ in drawn]
        scans = [scan for _, scan in drawn]
        x, y, scanned = (tensors(parts, self.dimensions) for parts in zip(*patches))
        samples = len(x) // len(patches)
        scale = torch.tensor([self.errors[scan.name] for scan in scans]).repeat_interleave(samples)
        spread = torch.tensor([scan.spread for scan in scans], dtype=torch.float32).repeat_interleave(samples)
        return Batch(x, y, scanned, scale, spread)

    def _patch(self, step: int, index: int) -> tuple[Patch, Scan]:
        random = np.random.default_rng([self.seed, step, index])
        chosen = (step * self.batch + index) % len(self.groups)
        group = self.groups[chosen]
        scan = group[random.choice(len(group), p=self.shares[chosen])]
        return random_patch(scan, self.cut, random), scan
