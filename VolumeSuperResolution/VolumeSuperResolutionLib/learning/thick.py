"""A thick scan as something to learn from: pairs of its in-plane slices as they are, and made coarse along one axis.

What the scanner did across the slices is done along an axis of the slices, by the profile and thickness that are known
of the scan; noise is added until there is as much of it as in the scan. Without torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..engine.errors import RefusalError
from ..engine.layout import Prepared
from ..engine.physics import interpolation
from ..engine.physics.degradation import training_profile
from ..engine.physics.scanner import Axis, slice_axis
from ..engine.volumes.grid import Grid
from ..engine.volumes.intensity import percentiles

# How much finer pixels have to be than slices are apart, and how many pixels and slices there have to be.
THICK, FEWEST_PIXELS, FEWEST_SLICES = 1.5, 96, 4
MOST_FACTOR = 16
# A patch: fine pixels along the axis that is made coarse and across it, and how many are in a batch.
ALONG, ASIDE, BATCH = 96, 40, 16
FEWEST_COARSE = 4
# Edges are looked for in squares of so many pixels.
SQUARE = 8
# Slices may be thinner or thicker than told by this part: a thickness is seldom known exactly.
DOUBT = 0.15


def why_not(grid: Grid) -> str:
    """Why nothing can be learned from a scan on this grid, in a sentence; empty where it can."""
    across = slice_axis(grid.spacing)
    size, spacing = ([values[axis] for axis in range(3) if axis != across] for values in (grid.size, grid.spacing))
    apart, pixel = grid.spacing[across], min(spacing)
    if apart < THICK * pixel:
        return (
            f"The slices are {apart:.3g} mm apart and the pixels {pixel:.3g} mm wide, so the slices have next to "
            f"nothing to learn from them; learn from scans whose slices are at least {THICK:g} times as far apart."
        )
    if min(size) < FEWEST_PIXELS:
        return (
            f"Slices of {size[0]} x {size[1]} pixels are too small to learn from; they need {FEWEST_PIXELS} along each "
            "edge, so leave the learning out."
        )
    if grid.size[across] < FEWEST_SLICES:
        return f"{grid.size[across]} slices are too few to learn from; at least {FEWEST_SLICES} are needed."
    return ""


def factor_of(grid: Grid) -> int:
    """How many sub-voxels across the slices reach the finest pixels."""
    return min(MOST_FACTOR, math.ceil(max(grid.spacing) / min(grid.spacing) - 0.01))


@dataclass(frozen=True)
class ThickScan:
    """Slices in network units, axis 0 across them; spacings in mm of the same axes. Noise is a sigma in these units."""

    slices: np.ndarray
    spacing: tuple[float, float, float]
    profile: Axis
    noise: float

    @property
    def fine_axes(self) -> list[int]:
        """The axes of the slices along which they can be made coarse."""
        return [axis for axis in (1, 2) if self.spacing[0] >= THICK * self.spacing[axis]]

    def doubted(self, width: float, chance: float) -> Axis:
        """The profile so many times as wide; where its shape is only assumed, any that scanners have, by chance."""
        changed = replace(self.profile, width=self.profile.width_at(self.spacing[0]) * width)
        if changed.shape != "assumed":
            return changed
        return replace(changed, profile=training_profile(chance).name)

    def patch(self, axis: int) -> tuple[int, int]:
        """How many coarse voxels, and how many fine ones in their place, a patch has along an axis."""
        ratio = self.spacing[0] / self.spacing[axis]
        coarse = max(FEWEST_COARSE, int(ALONG / ratio))
        while round(coarse * ratio) > self.slices.shape[axis]:
            coarse -= 1
        return coarse, round(coarse * ratio)


def thick_scan(grid: Grid, prepared: Prepared) -> ThickScan:
    """The scan of a request that was checked, on its whole grid; refused where it shows nothing to learn from."""
    across = slice_axis(grid.spacing)
    order = [2 - across, *(axis for axis in range(3) if axis != 2 - across)]
    window = prepared.carrier.window(prepared.window)
    slices = window.to_network(np.ascontiguousarray(prepared.carrier.carry(prepared.array).transpose(order)))
    low, high = percentiles(slices)
    if not high > low:
        raise RefusalError("The scan shows no structure to learn from: nearly all of its voxels are alike.")
    k, j, i = (grid.spacing[2 - axis] for axis in order)
    noise = (prepared.scanner.noise or 0.0) * (high - low)
    return ThickScan(slices, (k, j, i), prepared.scanner.axes[across], noise)


class Pairs:
    """Batches of patches, drawn in proportion to their edges; the same for the same seed and step."""

    def __init__(self, scan: ThickScan, slices: Sequence[int], seed: int):
        """Only some of the slices, by their numbers, are drawn from."""
        self.scan, self.slices, self.seed = scan, slices, seed
        edges = np.stack([_edges(scan.slices[k]) for k in slices])
        self.shape = edges.shape
        self.edges = np.cumsum(edges, dtype=np.float64)
        if not self.edges[-1] > 0:
            raise RefusalError("The scan shows no structure to learn from: nearly all of its voxels are alike.")

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Coarse and fine patches, each [BATCH, 1, ...], whose last axis was made coarse."""
        random = np.random.default_rng([self.seed, step])
        axes = self.scan.fine_axes
        axis = axes[step % len(axes)]
        pairs = [self._pair(axis, random) for _ in range(BATCH)]
        coarse, fine = (np.stack(each)[:, None] for each in zip(*pairs))
        return coarse, fine

    def _pair(self, axis: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        scan = self.scan
        where = np.searchsorted(self.edges, random.random() * self.edges[-1], side="right")
        k, *square = np.unravel_index(min(where, self.edges.size - 1), self.shape)
        center = [SQUARE * int(n) + int(random.integers(SQUARE)) for n in square]
        plane = scan.slices[self.slices[k]]
        if axis == 1:
            plane, center = plane.T, center[::-1]
        n, m = scan.patch(axis)
        aside = min(ASIDE, plane.shape[0])
        row, start = (
            int(np.clip(c - size // 2 + random.integers(-(size // 4), size // 4 + 1), 0, length - size))
            for c, size, length in zip(center, (aside, m), plane.shape)
        )
        rows = plane[row : row + aside]
        profile = scan.doubted(1 + random.uniform(-DOUBT, DOUBT), random.random())
        seen = observing(scan, axis, profile, start, n, m)
        coarse = rows @ seen.T.astype(np.float32)
        coarse += _added_noise(scan.noise, seen) * random.standard_normal(coarse.shape, np.float32)
        fine = rows[:, start : start + m]
        up, along = (slice(None, None, int(step)) for step in random.choice((1, -1), 2))
        return coarse[up, along], fine[up, along]


def observing(scan: ThickScan, axis: int, profile: Axis, start: int, n: int, m: int) -> np.ndarray:
    """What n voxels as far apart as slices see of an axis of them, over m fine ones from `start` on."""
    centers = start + (np.arange(n) + 0.5) * (m / n) - 0.5
    return profile.rows(centers, scan.slices.shape[axis], scan.spacing[0], scan.spacing[axis])


def _added_noise(noise: float, seen: np.ndarray) -> np.ndarray:
    """The sigma that is missing of the scan's noise where some of it is averaged out."""
    return (noise * np.sqrt(np.maximum(0.0, 1 - (seen**2).sum(axis=1)))).astype(np.float32)


def _edges(plane: np.ndarray) -> np.ndarray:
    """The mean length of the gradient in each square."""
    length = np.hypot(*np.gradient(plane))
    padded = np.pad(length, [(0, -n % SQUARE) for n in plane.shape])
    rows, columns = (n // SQUARE for n in padded.shape)
    return padded.reshape(rows, SQUARE, columns, SQUARE).mean(axis=(1, 3))


@lru_cache(maxsize=8)
def resampling(sub_voxels: int, fine: int) -> np.ndarray | None:
    """From the sub-voxels of a network to fine voxels over the same extent; None where these are the same."""
    return interpolation.axis_matrix(sub_voxels, fine, "lanczos")
