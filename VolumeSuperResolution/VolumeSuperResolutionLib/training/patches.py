"""Pairs of degraded and true patches, drawn from volumes held in memory.

A stage says by what factor its input is coarser than the volume along each axis (`degraded`), and by what factor its
target still is (`target`). CNN-IL's in-plane network, for example, sees volumes that are coarse along the depth axis
too, but does not refine that axis.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import quality
from ..engine.checks import all_numbers, filled
from ..engine.errors import RefusalError, about
from ..engine.physics import degradation, interpolation, separable
from ..engine.physics.degradation import Blur
from ..engine.volumes import files
from ..engine.volumes.intensity import Window, guess_modality, percentiles, window_for

JITTER = 0.03
TISSUE_STEP = 4
# Sizes are cut to a multiple of this, so that every factor in use divides them.
MULTIPLE = 4
# How many coarse voxels beyond a patch an interpolation by Lanczos reads.
REACH = interpolation.LANCZOS_RADIUS + 1


@dataclass(frozen=True)
class Scan:
    """A volume from which patches are cut.

    `spread` is the 0.1-99.9 percentile range in network units, `tissue` holds positions (k, j, i) where there is some.
    """

    path: Path
    modality: str
    spacing: tuple[float, float, float]
    array: np.ndarray
    window: Window
    spread: float
    tissue: np.ndarray

    @property
    def name(self) -> str:
        """The file's name, which tells scans apart."""
        return self.path.name


class Patch(NamedTuple):
    """Network units; all arrays have three axes, of which the first counts slices for a 2D network.

    `scanned` is the degraded patch itself, whether `input` is interpolated or not.
    """

    input: np.ndarray
    target: np.ndarray
    scanned: np.ndarray


@dataclass(frozen=True)
class Cut:
    """The shape and statistics of a stage's training patches.

    `size` is that of the target for a network on the interpolated input, otherwise that of the input. A fraction
    `flat_share` of the patches is not degraded along the axes that the stage does not refine (see `flat`). Along the
    first axis only every `step`-th plane is used. They are degraded as the `protocol` says, or over the whole range
    expected of scanners, of which a fraction `clean_share` has no noise. A fraction `tissue_share` is centered in
    tissue, the rest anywhere.
    """

    size: tuple[int, int, int]
    degraded: tuple[int, int, int]
    target: tuple[int, int, int] = (1, 1, 1)
    interpolated: bool = False
    flat_share: float = 0.0
    step: int = 1
    protocol: str = degradation.EXPECTED
    clean_share: float = 1 / 6
    tissue_share: float = 0.9

    def flat(self) -> Cut:
        """The same cut, with full resolution along the axes that the stage does not refine."""
        k, j, i = (d // t for d, t in zip(self.degraded, self.target))
        return replace(self, degraded=(k, j, i), target=(1, 1, 1))

    def extent(self) -> tuple[int, ...]:
        """The patch in coarse voxels."""
        if not self.interpolated:
            return self.size
        return tuple(n // d for n, d in zip(self.size, self.degraded))

    def scaled(self) -> tuple[int, ...]:
        """The factor by which the stage refines each axis."""
        return tuple(d // t for d, t in zip(self.degraded, self.target))


def read_scan(path: Path, fill_nonfinite: bool = False) -> Scan:
    """A volume file as a scan."""
    with about(path.name):
        volume = files.read(path).volume
        array = volume.array
        if not all_numbers(array):
            if not fill_nonfinite:
                raise RefusalError(
                    f"{path.name} holds values that are not numbers; take it out of the training folder, or ask for "
                    "them to be replaced (--fill-nonfinite)."
                )
            array = filled(array, allowed=True)
    array = np.ascontiguousarray(array[tuple(slice(n // MULTIPLE * MULTIPLE) for n in array.shape)])
    low, high = percentiles(array) if array.size else (0.0, 0.0)
    if high <= low:
        raise RefusalError(
            f"{path.name} is too small, or all its voxels are alike; take it out of the training folder."
        )
    modality = guess_modality(array)
    window = window_for(array, modality)
    tissue = np.argwhere(quality.foreground(array, modality)[(slice(None, None, TISSUE_STEP),) * 3]) * TISSUE_STEP
    spread = (high - low) / (window.high - window.low)
    return Scan(path, modality, volume.grid.spacing, array, window, spread, tissue.astype(np.int32))


def kind_shares(scans: Sequence[Scan]) -> np.ndarray:
    """How often each scan is drawn: files whose names differ in numbers only are of a kind."""
    kinds = [re.sub(r"\d+", "", scan.name) for scan in scans]
    shares = np.array([kinds.count(kind) ** -0.5 for kind in kinds])
    return shares / shares.sum()


def random_blur(random: np.random.Generator, cut: Cut) -> Blur:
    """How a patch is degraded; of what is expected of scanners, one in five with noise has the maximum."""
    if cut.protocol != degradation.EXPECTED:
        return degradation.PROTOCOLS[cut.protocol].draw(random)
    clean_share = cut.clean_share
    profile = degradation.training_profile(random.random())
    lowest = -1.25 * clean_share / (1 - clean_share)
    noise = degradation.SCANNER_NOISE * float(np.clip(random.uniform(lowest, 1.25), 0.0, 1.0))
    width = random.uniform(*degradation.SCANNER_WIDTHS)
    return Blur(profile.name, width if profile.varies else 1.0, noise)


def random_patch(scan: Scan, cut: Cut, random: np.random.Generator) -> Patch:
    """A patch in random orientation, mostly in tissue, with a slightly jittered intensity window."""
    if random.random() < cut.flat_share:
        cut = cut.flat()
    orders = fitting_orders(scan, cut)
    order = orders[random.integers(len(orders))]
    flips = random.integers(0, 2, 3).astype(bool)
    if len(scan.tissue) and random.random() < cut.tissue_share:
        center = scan.tissue[random.integers(len(scan.tissue))]
    else:
        center = random.integers(0, scan.array.shape)
    center = np.array([center[axis] for axis in order])
    shape = np.array([scan.array.shape[axis] for axis in order])
    center = np.where(flips, shape - 1 - center, center)
    extent, degraded = np.array(cut.extent()), np.array(cut.degraded)
    start = center // degraded - random.integers(0, extent)
    start = np.clip(start, 0, shape // degraded - extent)
    gain, offset = 1 + random.uniform(-JITTER, JITTER), random.uniform(-JITTER, JITTER) / 3
    patch = cut_patch(scan, cut, start, random_blur(random, cut), random, order, flips.tolist())
    return Patch(*(np.float32(gain) * part + np.float32(offset) for part in patch))


def fitting_orders(scan: Scan, cut: Cut) -> list[tuple[int, ...]]:
    """The axis orders in which the scan is large enough for a patch."""
    needed = [n * d for n, d in zip(cut.extent(), cut.degraded)]
    orders = [
        order
        for order in itertools.permutations(range(3))
        if all(scan.array.shape[axis] >= n for axis, n in zip(order, needed))
    ]
    if not orders:
        raise RefusalError(
            f"{scan.name} is smaller than one training patch ({needed[0]} x {needed[1]} x {needed[2]} voxels); take it "
            "out of the training folder or make the patches smaller."
        )
    return orders


def cut_patch(
    scan: Scan,
    cut: Cut,
    start: Sequence[int],
    blur: Blur,
    random: np.random.Generator,
    order: Sequence[int] = (0, 1, 2),
    flips: Sequence[bool] = (False, False, False),
) -> Patch:
    """The patch whose first coarse voxel is `start`, in the volume turned and flipped."""
    view = scan.array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    extent = cut.extent()
    if cut.interpolated:
        low = tuple(max(0, s - REACH) for s in start)
        high = tuple(min(n // d, s + e + REACH) for n, d, s, e in zip(view.shape, cut.degraded, start, extent))
    else:
        low, high = tuple(start), tuple(s + e for s, e in zip(start, extent))
    region = tuple(slice(a, b) for a, b in zip(low, high))
    coarse = scan.window.to_network(degradation.observed(view, cut.degraded, region, blur.profile, blur.width))
    if blur.noise:
        coarse += random.standard_normal(coarse.shape, np.float32) * np.float32(blur.noise * scan.spread)
    scanned = coarse[tuple(slice(s - a, s - a + e) for s, a, e in zip(start, low, extent))]
    fine = tuple(slice(s * f, (s + e) * f) for s, e, f in zip(start, extent, cut.scaled()))
    if cut.interpolated:
        up: separable.Matrices = tuple(  # type: ignore[assignment]
            None if f == 1 else _lanczos(b - a, f) for a, b, f in zip(low, high, cut.scaled())
        )
        local = tuple(slice(part.start - a * f, part.stop - a * f) for part, a, f in zip(fine, low, cut.scaled()))
        coarse = separable.block(coarse, up, local)
    target = scan.window.to_network(degradation.observed(view, cut.target, fine, blur.profile, blur.width))
    return Patch(coarse[:: cut.step], target[:: cut.step], scanned[:: cut.step])


def lanczos(patch: Patch) -> np.ndarray:
    """The interpolation that a network is measured against."""
    return interpolation.resample(patch.input, patch.target.shape)


@lru_cache(maxsize=64)
def _lanczos(n: int, factor: int) -> np.ndarray | None:
    return interpolation.axis_matrix(n, n * factor, "lanczos")
