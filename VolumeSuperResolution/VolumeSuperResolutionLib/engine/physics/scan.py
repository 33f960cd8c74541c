"""A scan that is combined with others: what is known of it, what is found out, and the same with its pixels joined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np

from ..volumes.grid import Grid, Volume
from ..volumes.intensity import MR_FOREGROUND, Carrier, percentiles, to_unit_range
from . import stacks
from .noise import white_noise
from .scanner import Scanner, slice_axis
from .separable import block_means
from .stacks import Pose, Stack

# By how much the mean square of a difference between neighbors is exceeded by what it is let be: with much less the
# result is blurred, with more it is noisy. The best for MR with 1 to 3% noise; for CT 3 to 10 is.
ROUGHNESS = 8.0
# What the model of a scan leaves open, in parts of the intensity range, beside noise.
MODEL_ERROR = 0.005
# The brightness of a scan relative to the reference: a polynomial of this degree, held within this factor.
FIELD_DEGREE = 2
FIELD_LIMIT = 3.0
# A slice of one value is no air beyond the patient if one beside it shows this part of what slices usually show.
STRUCTURE = 0.3


@dataclass
class Scan:
    """A scan and what is found out about it on the way. Slices are along its coarsest axis, in its own order.

    Its values are brought to a range of about 1, from `dark` on; `units` brings them back.
    """

    volume: Volume
    scanner: Scanner
    noise: float
    units: Carrier
    dark: float
    pose: Pose = stacks.STILL
    # Relative to the reference: gain, offset, and the terms of a smooth field.
    brightness: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    # Where that was found, from -1 to 1 along each axis (i, j, k): beyond, the field is as at its edge.
    compared: tuple[np.ndarray, np.ndarray] = (-np.ones(3), np.ones(3))
    # Values brought to the brightness of the reference.
    level: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights: np.ndarray = field(default_factory=lambda: np.ones(0))
    # Slices that are not used, and the poses of those that moved alone, by their number.
    left_out: frozenset[int] = frozenset()
    moved: dict[int, Pose] = field(default_factory=dict)
    alike: float = 1.0
    inverted: float = 0.0
    residual: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.volume.array
        self.weigh(np.ones(self.volume.array.shape[self.slice_axis]))

    @property
    def slice_axis(self) -> int:
        """In array order."""
        return 2 - slice_axis(self.volume.grid.spacing)

    @property
    def place(self) -> tuple[Grid, Pose, np.ndarray]:
        """Where it lies, and which of its slices are used."""
        return self.volume.grid, self.pose, self.weights > 0

    def weigh(self, weights: np.ndarray) -> None:
        """Take the weights of all slices that are used."""
        self.weights = weights
        self.weights[list(self.left_out)] = 0.0

    def on(self, grid: Grid) -> Stack | None:
        """As the fine grid sees it."""
        stack = stacks.observe(Volume(self.level, self.volume.grid), self.scanner, grid, self.pose, self.moved)
        if stack is not None:
            stack.weigh(self.weights)
            stack.tau = 1.0 / (self.noise / abs(self.brightness[0])) ** 2
        return stack


def scan_of(
    volume: Volume, scanner: Scanner, modality: str, left_out: Iterable[int] = (), units: Carrier | None = None
) -> Scan:
    """A scan whose noise is told or estimated. Slices that are left out become what those beside them say.

    `units` are those of scans as bright as it, if that is known.
    """
    axis, unused = 2 - slice_axis(volume.grid.spacing), frozenset(left_out)
    used = np.delete(volume.array, list(unused), axis) if unused else volume.array
    units = units or to_unit_range(used, modality)
    values = units.carry(volume.array) if not units.plain else volume.array.astype(np.float32)
    noise = scanner.noise if scanner.noise is not None else white_noise(used, modality)
    noise = float(np.hypot(noise, MODEL_ERROR))
    values = _bridged(values, axis, unused)
    return Scan(Volume(values, volume.grid), scanner, noise, units, percentiles(values)[0], left_out=unused)


def _bridged(values: np.ndarray, axis: int, unused: Iterable[int]) -> np.ndarray:
    """Values with slices that are not used made of the nearest that are."""
    slices = np.moveaxis(values, axis, 0)
    used = np.setdiff1d(np.arange(len(slices)), list(unused))
    for n in unused:
        low, high = _beside(n, used)
        part = np.float32((n - low) / (high - low) if low < n < high else 0.0)
        slices[n] = (1 - part) * slices[low] + part * slices[high]
    return values


def blank_slices(array: np.ndarray, axis: int) -> list[int]:
    """Slices of one value beside one that shows much: nothing was scanned there, or it was lost."""
    spread = np.array([float(plane.std(dtype=np.float64)) for plane in np.moveaxis(array, axis, 0)])
    shown = np.flatnonzero(spread > 0)
    if not len(shown) or len(shown) == len(spread):
        return []
    usual = STRUCTURE * float(np.median(spread[shown]))
    blank = []
    for n in np.flatnonzero(spread == 0):
        low, high = _beside(n, shown)
        if max(spread[low], spread[high]) > usual:
            blank.append(int(n))
    return blank


def _beside(n: int, numbers: np.ndarray) -> tuple[int, int]:
    """Those of some rising numbers that are next below and above another one; the nearest twice at the ends."""
    after = int(np.searchsorted(numbers, n))
    return numbers[max(after - 1, 0)], numbers[min(after, len(numbers) - 1)]


def smoothness(scan: Scan) -> float:
    """One over the mean square difference of neighboring pixels in tissue, without noise: what differences cost."""
    array = scan.volume.array
    total, count = 0.0, 0
    for axis in (a for a in range(3) if a != scan.slice_axis):
        change = np.diff(array, axis=axis)
        inside = np.delete(array, -1, axis=axis) > scan.dark + MR_FOREGROUND
        total += float(np.square(change[inside], dtype=np.float64).sum())
        count += int(inside.sum())
    power = total / max(count, 1) - 2 * scan.noise**2
    return 1.0 / ROUGHNESS / max(power, MODEL_ERROR**2)


def places_in(points: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """From -1 to 1 along each axis, for voxels (i, j, k) of an array of this shape (k, j, i)."""
    return 2 * points / np.maximum(np.array(shape[::-1]) - 1, 1) - 1


def field_terms(places: np.ndarray) -> Iterable[np.ndarray]:
    """The terms of a polynomial without its constant."""
    for degree in range(1, FIELD_DEGREE + 1):
        for axes in combinations_with_replacement(range(3), degree):
            yield np.prod([places[..., a] for a in axes], axis=0).astype(np.float32)


def leveled(scan: Scan) -> np.ndarray:
    """The scan's values at the reference's brightness."""
    gain, offset, *others = scan.brightness
    if not others:
        return scan.volume.array
    shape = scan.volume.array.shape
    result = np.empty(shape, np.float32)
    j, i = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    for k in range(shape[0]):
        places = places_in(np.stack([i, j, np.full_like(i, k)], axis=-1), shape).clip(*scan.compared)
        field_here = np.full(i.shape, gain, np.float32)
        for coefficient, term in zip(others, field_terms(places)):
            field_here += np.float32(coefficient) * term
        limits = sorted((gain / FIELD_LIMIT, gain * FIELD_LIMIT))
        result[k] = (scan.volume.array[k] - offset) / np.clip(field_here, *limits)
    return result


def joined(scan: Scan, grid: Grid, factor: int) -> Scan:
    """The scan with its pixels joined to about the width of the coarser grid's, as means."""
    step = factor * min(grid.spacing)
    array, scanner = scan.volume.array, scan.scanner
    region, sizes, counts = [], [], []
    for axis in range(3):
        spacing = scan.volume.grid.spacing[axis]
        together = max(1, round(step / spacing)) if factor > 1 else 1
        n = scan.volume.grid.size[axis] // together
        region.append((0, n * together))
        counts.append(n)
        sizes.append(together)
        if together > 1:
            scanner = scanner.along(axis, width=max(scanner.axes[axis].width_at(spacing), together * spacing))
    means = block_means(array, sizes[::-1], np.float32)
    place = scan.volume.grid.cropped(tuple(region)).refined(counts)  # type: ignore[arg-type]
    pixels = int(np.prod(sizes))
    noise = float(np.hypot(np.sqrt(max(0.0, scan.noise**2 - MODEL_ERROR**2) / pixels), MODEL_ERROR))
    result = Scan(Volume(means, place), scanner, noise, scan.units, scan.dark)
    if result.slice_axis == scan.slice_axis:
        together = sizes[2 - scan.slice_axis]
        result.left_out = frozenset(min(k // together, len(result.weights) - 1) for k in scan.left_out)
        result.weigh(result.weights)
    return result


def tell_slices(scan: Scan, joined: Scan) -> None:
    """What was found of a scan's joined slices, for each of its own; nothing where its pixels became coarser."""
    if joined.slice_axis != scan.slice_axis:
        return
    count, fewer = len(scan.weights), len(joined.weights)
    found = np.minimum(np.arange(count) // (count // fewer), fewer - 1)
    scan.weigh(joined.weights[found])
    scan.moved = {n: joined.moved[k] for n, k in enumerate(found) if k in joined.moved and n not in scan.left_out}
