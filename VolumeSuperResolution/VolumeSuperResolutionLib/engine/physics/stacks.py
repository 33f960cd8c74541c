"""A scan as a fine grid sees it: A T x, with the exact adjoint.

T moves the fine volume x rigidly onto the scan's axes and reads it there, through the slice profile across the slices;
A has a matrix for each of the other axes whose pixels are wider than the fine ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from ..volumes.grid import Grid, Volume
from . import interpolation, separable
from .lines import TAPS, is_whole
from .rigid import Moved, Moving, Profile, Slices
from .scanner import Scanner, slice_axis
from .separable import Matrices

# Voxels of a scan up to this many times as wide as the fine ones are points on them, not blurred by them.
SAME_WIDTH = 1.25
# A grid that drifts by less than this many fine voxels from another has its spacing.
DRIFT = 0.05
# What a scan's voxel sees of the volume where it looks at nothing else.
WHOLE = 0.02
# How far a profile reaches, in its own widths.
REACH = 2.0
# Motions are compared over this part of a scan along each axis.
INNER = 0.5


class Pose(NamedTuple):
    """A rigid motion in space (LPS, mm): what is at p in the reference is at `rotation @ p + shift` in the scan."""

    rotation: np.ndarray
    shift: np.ndarray

    def inverse(self) -> Pose:
        """From the scan to the reference."""
        return Pose(self.rotation.T, -self.rotation.T @ self.shift)

    def after(self, first: Pose) -> Pose:
        """This one, applied to what `first` gave."""
        return Pose(self.rotation @ first.rotation, self.rotation @ first.shift + self.shift)

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """How far it moves each of these points (n, 3)."""
        return np.linalg.norm(points @ self.rotation.T + self.shift - points, axis=1)


STILL = Pose(np.eye(3), np.zeros(3))


@dataclass
class Stack:
    """A scan as the fine grid sees it: axes in the grid's order and sense.

    `weights` are those of every voxel (0 where it looks beyond the fine grid) times those of its slice; `tau` is one
    over the variance of the noise. `rows` are those of its `counts` voxels that can be seen from the grid at all.
    """

    values: np.ndarray
    slices: Slices | Moving
    # Of pixels wider than the fine ones, along the other axes.
    matrices: Matrices
    slice_axis: int
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    rows: tuple[slice, slice, slice]
    counts: tuple[int, int, int]
    tau: float = 1.0
    slice_weights: np.ndarray = field(default_factory=lambda: np.ones(1))
    seen: np.ndarray = field(default_factory=lambda: np.ones(1, bool))

    def see(self, fine: np.ndarray) -> np.ndarray:
        """A T x."""
        return self._blurred(self.slices.apply(fine), self.matrices)

    def back(self, values: np.ndarray) -> np.ndarray:
        """T' A' y."""
        transposed: Matrices = tuple(None if m is None else m.T for m in self.matrices)  # type: ignore[assignment]
        return self.slices.adjoint(self._blurred(values, transposed))

    @staticmethod
    def _blurred(values: np.ndarray, matrices: Matrices) -> np.ndarray:
        return values if all(m is None for m in matrices) else separable.apply(values, matrices)

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """tau W y, in place."""
        values *= self.seen
        values *= self.along_slices(np.float32(self.tau) * self.slice_weights.astype(np.float32))
        return values

    def only_slices(self) -> bool:
        """Whether it sees the whole fine volume, unturned, and is coarser along one axis at the most."""
        points = all(m is None for m in self.matrices)
        return self.slices.straight() and points and bool(self.seen.all())

    def weigh(self, weights: np.ndarray) -> None:
        """Take the weights of all the scan's slices, in the scan's own order."""
        self.slice_weights = self.of_slices(weights)

    def look_at(self, covered: np.ndarray) -> None:
        """See from now on only what is covered (1, else 0) of the fine volume."""
        self.seen = self.seen & (np.abs(self.see(covered) - 1) < WHOLE)

    def of_slices(self, values: np.ndarray) -> np.ndarray:
        """A value for each slice seen, of one for all the scan's slices, in the scan's own order."""
        turned = values[::-1] if self.flipped[self.slice_axis] else values
        return turned[self.rows[self.slice_axis]]

    def by_slice(self, values: np.ndarray, fill: float) -> np.ndarray:
        """A value for each slice seen as one for all the scan's slices, in the scan's own order."""
        result = np.full(self.counts[self.slice_axis], fill)
        result[self.rows[self.slice_axis]] = values
        return result[::-1] if self.flipped[self.slice_axis] else result

    def as_scanned(self, values: np.ndarray) -> np.ndarray:
        """Values of its voxels in the order and shape of the scan's array, no number where none is seen."""
        result = np.full([self.counts[self.order.index(axis)] for axis in range(3)], np.nan, np.float32)
        ordered(result, self.order, self.flipped)[self.rows][self.seen] = values[self.seen]
        return result

    def points(self, grid: Grid) -> np.ndarray:
        """Where the voxels seen are in the scan's own space (LPS, mm): (..., 3), in their order here."""
        index = np.empty((*self.values.shape, 3))
        for axis, (scan_axis, flipped, rows) in enumerate(zip(self.order, self.flipped, self.rows)):
            n = grid.size[2 - scan_axis]
            place = np.arange(n, dtype=float)[:: -1 if flipped else 1][rows]
            index[..., 2 - scan_axis] = place.reshape([-1 if a == axis else 1 for a in range(3)])
        return np.asarray(grid.origin) + (index * grid.spacing) @ _directions(grid).T

    def along_slices(self, values: np.ndarray) -> np.ndarray:
        shape = [1, 1, 1]
        shape[self.slice_axis] = len(values)
        return values.reshape(shape)


class _Place(NamedTuple):
    """A scan's first voxel at `start` and one every `scale` voxels of the turned fine grid, array order."""

    rotation: np.ndarray
    start: np.ndarray
    scale: np.ndarray
    # Millimeters of a fine voxel, and how many there are.
    step: np.ndarray
    shape: np.ndarray
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    across: int


def observe(
    volume: Volume, scanner: Scanner, grid: Grid, pose: Pose = STILL, moved: Mapping[int, Pose] | None = None
) -> Stack | None:
    """The scan as the fine grid sees it, moved by `pose`; None where it has no voxel there.

    `moved` are the poses of slices that lie elsewhere, by their number along the coarsest axis.
    """
    place = _place(volume.grid, grid, pose)
    values = ordered(volume.array, place.order, place.flipped)
    return _placed(
        values, scanner, place, {n: _place(volume.grid, grid, own, place) for n, own in (moved or {}).items()}
    )


def ordered(array: np.ndarray, order: Sequence[int], flipped: Sequence[bool]) -> np.ndarray:
    """A view of a scan's array with its axes in a fine grid's order and sense."""
    return array.transpose(order)[tuple(slice(None, None, -1) if flip else slice(None) for flip in flipped)]


def _place(scan: Grid, grid: Grid, pose: Pose, like: _Place | None = None) -> _Place:
    """How the scan's voxels lie on the fine grid; with axes in the order and sense of another pose, if one is given."""
    axes = _directions(grid).T @ pose.rotation.T @ _directions(scan)
    step = np.asarray(grid.spacing)
    # Everything from here on is in array order; the matrix goes from the scan's axes to the fine grid's.
    turn = axes[::-1, ::-1]
    step, spacing = step[::-1], np.asarray(scan.spacing)[::-1]
    order, sense = (like.order, np.where(like.flipped, -1.0, 1.0)) if like else _nearest_axes(turn)
    permutation = np.zeros((3, 3))
    permutation[range(3), order] = sense
    rotation = turn @ permutation.T
    flipped = (bool(sense[0] < 0), bool(sense[1] < 0), bool(sense[2] < 0))
    width = spacing[list(order)]
    counts = np.array(scan.size[::-1])[list(order)]
    # Where the scan's first voxel (after flips) lies on the fine grid.
    corner = np.zeros(3)
    for axis in range(3):
        if flipped[axis]:
            corner[order[axis]] = counts[axis] - 1
    there = pose.inverse()
    point = there.rotation @ scan.to_physical(corner[::-1].tolist()) + there.shift
    first = (_directions(grid).T @ (point - np.asarray(grid.origin)))[::-1] / step
    shape = np.array(grid.size[::-1])
    center = (shape - 1) / 2.0
    # Anisotropic fine voxels cannot be turned; combine() makes them cubes.
    if np.abs(rotation - np.eye(3)).max() * shape.max() / 2 < DRIFT:
        rotation = np.eye(3)
    start = rotation.T @ (first - center) + center
    across = order.index(2 - slice_axis(scan.spacing))
    return _Place(rotation, start, width / step, step, shape, order, flipped, across)


def _placed(values: np.ndarray, scanner: Scanner, place: _Place, moved: Mapping[int, _Place]) -> Stack | None:
    """What the fine grid sees of the scan's values, and how; `moved` are slices that lie elsewhere."""
    rotation, start, scale, _step, shape, order, flipped, across = place
    turned = not np.allclose(rotation, np.eye(3))
    unit = np.abs(scale - 1) * values.shape / 2 < DRIFT
    # x at g is read at R (g - c) + c.
    places = [s + np.arange(n) * (1.0 if u else f) for s, n, f, u in zip(start, values.shape, scale, unit)]
    low, high = _reachable(rotation, shape) if turned else (np.zeros(3), shape - 1.0)
    rows = []
    for axis in range(3):
        inside = np.flatnonzero((places[axis] >= low[axis] - 0.5) & (places[axis] <= high[axis] + 0.5))
        if not len(inside):
            return None
        rows.append(slice(int(inside[0]), int(inside[-1]) + 1))
        places[axis] = places[axis][rows[axis]]
    matrices: list[np.ndarray | None] = [None, None, None]
    for axis in range(3):
        if axis != across and scale[axis] > SAME_WIDTH:
            profile, reach = _profile(scanner, place, axis, 1.0)
            first = max(np.floor(low[axis]), np.floor(places[axis][0]) - reach)
            last = min(np.ceil(high[axis]), np.ceil(places[axis][-1]) + reach)
            beyond = reach if turned else 0
            longer = profile(places[axis] - first + beyond, int(last - first) + 1 + 2 * beyond)
            matrices[axis] = longer[:, beyond : longer.shape[1] - beyond]
            places[axis] = np.arange(first, last + 1)
    slices: Slices | Moving
    if moved:
        last = values.shape[across] - 1
        own = {(last - n if flipped[across] else n) - rows[across].start: where for n, where in moved.items()}
        slices = _moving(scanner, place, own, across, places)
    else:
        slices = _slices(scanner, place, across, places)
    stack = Stack(
        values=np.ascontiguousarray(values[tuple(rows)], np.float32),
        slices=slices,
        matrices=(matrices[0], matrices[1], matrices[2]),
        slice_axis=across,
        order=order,
        flipped=flipped,
        rows=(rows[0], rows[1], rows[2]),
        counts=values.shape,
    )
    stack.slice_weights = np.ones(stack.values.shape[across])
    stack.seen = np.abs(stack.see(np.ones(shape, np.float32)) - 1) < WHOLE
    return stack if stack.seen.any() else None


def _slices(scanner: Scanner, place: _Place, across: int, places: Sequence[np.ndarray]) -> Slices:
    profile, reach = _profile(scanner, place, across, float(place.rotation[across, across]))
    turned = not np.allclose(place.rotation, np.eye(3))
    between = any(not is_whole(places[axis]) for axis in range(3) if axis != across)
    shape = [int(n) for n in place.shape]
    return Slices(place.rotation, shape, across, places, profile, reach if turned or between else None)


def _moving(
    scanner: Scanner, place: _Place, moved: Mapping[int, _Place], across: int, places: Sequence[np.ndarray]
) -> Moving:
    """Slices of which some, by their number among those that are seen, lie elsewhere than the others."""
    count = len(places[across])
    still = np.array([n for n in range(count) if n not in moved], int)
    common = None
    if len(still):
        common = _slices(scanner, place, across, [p[still] if a == across else p for a, p in enumerate(places)])
    alone = []
    for n, own in moved.items():
        if 0 <= n < count:
            lies = [p + own.start[a] - place.start[a] for a, p in enumerate(places)]
            lies[across] = lies[across][n : n + 1]
            region, inner, within = _around(own, lies, _profile(scanner, own, across, 1.0)[1] + TAPS)
            pixels = int(np.prod([len(p) for p in lies]))
            alone.append(Moved(n, region, pixels, partial(_slices, scanner, inner, across, within)))
    return Moving(across, place.shape.tolist(), count, still, common, alone)


def _around(
    place: _Place, places: Sequence[np.ndarray], beyond: int
) -> tuple[tuple[slice, slice, slice], _Place, list[np.ndarray]]:
    """The part of the fine grid that lies around voxels at these places, and how they lie on it."""
    center = (place.shape - 1) / 2.0
    corners = np.array(list(product(*[(p[0], p[-1]) for p in places])))
    read = (corners - center) @ place.rotation.T + center
    low = np.clip(np.floor(read.min(axis=0)) - beyond, 0, place.shape - 1).astype(int)
    high = np.clip(np.ceil(read.max(axis=0)) + beyond, low, place.shape - 1).astype(int) + 1
    middle = (high - low - 1) / 2.0
    shift = middle - center + place.rotation.T @ (center - low - middle)
    region = tuple(slice(int(a), int(b)) for a, b in zip(low, high))
    return region, place._replace(shape=high - low), [p + s for p, s in zip(places, shift)]  # type: ignore[return-value]


def _profile(scanner: Scanner, place: _Place, axis: int, zoom: float) -> tuple[Profile, int]:
    """What the scan's voxels see along one of its axes, and how far, if fine voxels are 1 / zoom as long along it."""
    scale = float(place.scale[axis]) * zoom
    if place.scale[axis] <= SAME_WIDTH:
        factor = min(1.0, 1.0 / scale)
        return lambda centers, length: interpolation.at_positions(length, centers, factor), interpolation.LANCZOS_RADIUS
    step = float(place.step[axis]) / zoom
    own = scanner.axes[2 - place.order[axis]]
    return lambda centers, length: own.rows(centers, length, scale * step, step), int(np.ceil(REACH * scale * 1.5))


def _directions(grid: Grid) -> np.ndarray:
    return np.asarray(grid.direction, float).reshape(3, 3)


def _nearest_axes(turn: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    """Which of the scan's axes lies nearest to each of the fine grid's, and whether it runs with or against it."""
    best = max(permutations(range(3)), key=lambda p: sum(abs(turn[a, b]) for a, b in enumerate(p)))
    sense = np.array([1.0 if turn[a, b] >= 0 else -1.0 for a, b in enumerate(best)])
    return best, sense  # type: ignore[return-value]


def _reachable(rotation: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box of turned coordinates from which some of the fine grid is seen."""
    center = (shape - 1) / 2.0
    half = np.abs(rotation.T) @ (shape / 2.0)
    return center - half, center + half
