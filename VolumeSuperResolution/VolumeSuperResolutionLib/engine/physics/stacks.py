"""Several scans of one thing as one linear system, and the volume that explains them all.

Scan k is y_k = A_k T_k x + noise: T_k moves the fine volume x rigidly onto the scan's axes, A_k has one matrix an axis.
With tau_k = 1 / sigma_k^2, slices weighted by W_k and D the differences between neighbors, the volume is

    argmin sum_k tau_k |A_k T_k x - y_k|^2_Wk + smoothness |D x|^2.

Where no scan is turned and each is coarse along one axis, the normal matrix is a Kronecker sum, M0 + M1 + M2 with one
small matrix an axis: x = V [Vt b / (l0[k] + l1[j] + l2[i])] in closed form. In every other case that inverse is the
preconditioner of conjugate gradients. So one road serves both: in the first case it has arrived after one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

import numpy as np

from ..callbacks import Cancel, Progress
from ..errors import CancelledError
from ..volumes.grid import Grid, Volume
from . import interpolation, separable
from .rigid import Rigid
from .scanner import Scanner
from .separable import Matrices

# Voxels of a scan up to this many times as wide as the fine ones are points on them, not blurred by them.
SAME_WIDTH = 1.25
# A grid that drifts by less than this many fine voxels from another has its spacing.
DRIFT = 0.05
# What a scan's voxel sees of the volume where it looks at nothing else.
WHOLE = 0.02
# How far a profile reaches, in its own widths.
REACH = 2.0
# Of the preconditioner where stacks are turned or see parts only, relative to its largest entry: those are the parts
# of the volume that it would weigh wrongly.
FLOOR = 0.05
ITERATIONS = 8
TOLERANCE = 2e-3


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
    rigid: Rigid
    part: tuple[slice, slice, slice]
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
        return separable.apply(self.rigid.apply(fine)[self.part], self.matrices)

    def back(self, values: np.ndarray) -> np.ndarray:
        """T' A' y."""
        buffer = np.zeros(self.rigid.size, np.float32)
        transposed: Matrices = tuple(None if m is None else m.T for m in self.matrices)  # type: ignore[assignment]
        buffer[self.part] = separable.apply(values, transposed)
        return self.rigid.adjoint(buffer)

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """tau W y, in place."""
        values *= self.seen
        values *= self.along_slices(np.float32(self.tau) * self.slice_weights.astype(np.float32))
        return values

    def only_slices(self) -> bool:
        """Whether it sees the whole fine volume, unturned, and is coarser along one axis at the most."""
        others = [axis for axis in range(3) if axis != self.slice_axis or self.matrices[axis] is None]
        whole = all(self.matrices[a] is None and self.values.shape[a] == self.rigid.shape[a] for a in others)
        return whole and not self.rigid.shears and bool(self.seen.all())

    def weigh(self, weights: np.ndarray) -> None:
        """Take the weights of all the scan's slices, in the scan's own order."""
        turned = weights[::-1] if self.flipped[self.slice_axis] else weights
        self.slice_weights = turned[self.rows[self.slice_axis]]

    def by_slice(self, values: np.ndarray, fill: float) -> np.ndarray:
        """A value for each slice seen as one for all the scan's slices, in the scan's own order."""
        result = np.full(self.counts[self.slice_axis], fill)
        result[self.rows[self.slice_axis]] = values
        return result[::-1] if self.flipped[self.slice_axis] else result

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


def observe(volume: Volume, scanner: Scanner, grid: Grid, pose: Pose = STILL) -> Stack | None:
    """The scan as the fine grid sees it, moved by `pose`; None where it has no voxel there."""
    axes = _directions(grid).T @ pose.rotation.T @ _directions(volume.grid)
    step = np.asarray(grid.spacing)
    # Everything from here on is in array order; the matrix goes from the scan's axes to the fine grid's.
    turn = axes[::-1, ::-1]
    step, spacing = step[::-1], np.asarray(volume.grid.spacing)[::-1]
    order, sense = _nearest_axes(turn)
    permutation = np.zeros((3, 3))
    permutation[range(3), order] = sense
    rotation = turn @ permutation.T
    flipped = (bool(sense[0] < 0), bool(sense[1] < 0), bool(sense[2] < 0))
    values = volume.array.transpose(order)[tuple(slice(None, None, -1) if f else slice(None) for f in flipped)]
    width = spacing[list(order)]
    counts = np.array(values.shape)
    # Where the scan's first voxel (after flips) lies on the fine grid.
    corner = np.zeros(3)
    for axis in range(3):
        if flipped[axis]:
            corner[order[axis]] = counts[axis] - 1
    there = pose.inverse()
    point = there.rotation @ volume.grid.to_physical(corner[::-1].tolist()) + there.shift
    first = (_directions(grid).T @ (point - np.asarray(grid.origin)))[::-1] / step
    shape = np.array(grid.size[::-1])
    center = (shape - 1) / 2.0
    # Anisotropic fine voxels cannot be turned; combine() makes them cubes.
    if np.abs(rotation - np.eye(3)).max() * shape.max() / 2 < DRIFT:
        rotation = np.eye(3)
    start = rotation.T @ (first - center) + center
    return _placed(values, scanner, _Place(rotation, start, width / step, step, shape, order, flipped))


def _placed(values: np.ndarray, scanner: Scanner, place: _Place) -> Stack | None:
    """What the fine grid sees of the scan's values, and how."""
    rotation, start, scale, step, shape, order, flipped = place
    turned = not np.allclose(rotation, np.eye(3))
    counts = np.array(values.shape)
    unit = np.abs(scale - 1) * counts / 2 < DRIFT
    blurred = scale > SAME_WIDTH
    reach = np.where(blurred, np.ceil(REACH * scale * 1.5), interpolation.LANCZOS_RADIUS)
    shift = np.where(unit & ~blurred, np.rint(start) - start, 0.0)
    centers = [s + d + np.arange(n) * (1.0 if u else f) for s, d, n, f, u in zip(start, shift, counts, scale, unit)]
    # x at g is read at R (g - c) + c - R shift: what lies between the voxels is in T.
    low, high = _reachable(rotation, shape) if turned else (np.zeros(3), shape - 1.0)
    rows = []
    for axis in range(3):
        inside = np.flatnonzero((centers[axis] >= low[axis] - 0.5) & (centers[axis] <= high[axis] + 0.5))
        if not len(inside):
            return None
        rows.append(slice(int(inside[0]), int(inside[-1]) + 1))
    centers = [c[r] for c, r in zip(centers, rows)]
    wanted = (
        np.array([max(lo, np.floor(c[0]) - n) for c, n, lo in zip(centers, reach, np.floor(low))]).astype(int),
        np.array([min(hi, np.ceil(c[-1]) + n) for c, n, hi in zip(centers, reach, np.ceil(high))]).astype(int),
    )
    fine = (int(shape[0]), int(shape[1]), int(shape[2]))
    rigid = Rigid(rotation, -rotation @ shift, fine, wanted)
    parts: list[slice] = []
    matrices: list[np.ndarray | None] = []
    for axis in range(3):
        origin, size = int(rigid.box[0][axis]), rigid.size[axis]
        if unit[axis] and not blurred[axis]:
            begin = int(np.rint(centers[axis][0])) - origin
            parts.append(slice(begin, begin + len(centers[axis])))
            matrices.append(None)
            continue
        parts.append(slice(0, size))
        # Rows are complete on a longer axis, so that what a profile sees beyond the box is not put into the box.
        beyond = int(reach[axis]) if turned else 0
        inner, longer = centers[axis] - origin + beyond, size + 2 * beyond
        if blurred[axis]:
            profile = scanner.axes[2 - order[axis]]
            matrix = profile.rows(inner, longer, scale[axis] * step[axis], step[axis])
        else:
            matrix = interpolation.at_positions(longer, inner, min(1.0, 1.0 / scale[axis]))
        matrices.append(matrix[:, beyond : beyond + size])
    stack = Stack(
        values=np.ascontiguousarray(values[tuple(rows)], np.float32),
        rigid=rigid,
        part=(parts[0], parts[1], parts[2]),
        matrices=(matrices[0], matrices[1], matrices[2]),
        slice_axis=int(np.argmax(scale)),
        order=order,
        flipped=flipped,
        rows=(rows[0], rows[1], rows[2]),
        counts=values.shape,
    )
    stack.slice_weights = np.ones(stack.values.shape[stack.slice_axis])
    stack.seen = np.abs(stack.see(np.ones(fine, np.float32)) - 1) < WHOLE
    return stack if stack.seen.any() else None


class System:
    """The normal equations of several stacks on a fine grid of this shape (k, j, i)."""

    def __init__(self, stacks: Sequence[Stack], shape: Sequence[int], smoothness: float):
        self.stacks, self.shape, self.smoothness = list(stacks), tuple(shape), smoothness
        self._edges: tuple[np.ndarray, float] | None = None
        self.exact = all(s.only_slices() for s in self.stacks)
        self.powers, self.vectors = zip(*(np.linalg.eigh(m) for m in self._axes()))

    def solve(
        self,
        start: np.ndarray | None = None,
        prior: np.ndarray | None = None,
        iterations: int = ITERATIONS,
        tolerance: float = TOLERANCE,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> np.ndarray:
        """The volume, from a start, by conjugate gradients; float32. Its differences are to be those of `prior`."""
        wanted = np.zeros(self.shape, np.float32)
        for stack in self.stacks:
            wanted += stack.back(stack.weighted(stack.values.copy()))
        if prior is not None:
            self._add_smoothness(prior, wanted)
        scale = _dot(wanted, wanted)
        x = self._first(wanted) if start is None else start.astype(np.float32)
        residual = wanted
        residual -= self.normal(x)
        direction, old = None, 0.0
        for done in range(iterations):
            check(cancel)
            if progress is not None:
                progress(done + 1, iterations)
            if _dot(residual, residual) <= tolerance**2 * scale:
                break
            step = self.precondition(residual)
            new = _dot(residual, step)
            if direction is None:
                direction = step
            else:
                direction *= np.float32(new / old)
                direction += step
            old = new
            image = self.normal(direction)
            length = np.float32(new / _dot(direction, image))
            image *= length
            residual -= image
            np.multiply(direction, length, out=image)
            x += image
        return x

    def keep_edges(self, x: np.ndarray, size: float) -> None:
        """From now on differences cost the less, the larger they are in x: half as much at about twice this size.

        That is one step toward the volume whose differences cost in proportion to them, not to their squares.
        """
        self._edges = x, size

    def _first(self, wanted: np.ndarray) -> np.ndarray:
        """Where to start: the solution where it has a closed form, else the mean of what all stacks say."""
        if self.exact:
            return self.precondition(wanted)
        weight = np.zeros(self.shape, np.float32)
        for stack in self.stacks:
            weight += stack.back(stack.weighted(np.ones(stack.values.shape, np.float32)))
        return wanted / np.maximum(weight, FLOOR * weight.max())

    def normal(self, x: np.ndarray) -> np.ndarray:
        """The normal matrix times x."""
        result = np.zeros(self.shape, np.float32)
        for stack in self.stacks:
            result += stack.back(stack.weighted(stack.see(x)))
        self._add_smoothness(x, result)
        return result

    def precondition(self, x: np.ndarray) -> np.ndarray:
        """The inverse of the Kronecker sum times x."""
        result = separable.apply(x, tuple(v.T for v in self.vectors))
        for k in range(self.shape[0]):
            result[k] /= self.powers[0][k] + np.add.outer(self.powers[1], self.powers[2]).astype(np.float32)
        return separable.apply(result, self.vectors)

    def _axes(self) -> list[np.ndarray]:
        """The three matrices of the Kronecker sum: what every stack's slices see, as if none were turned."""
        result = []
        for n in self.shape:
            differences = np.diff(np.eye(n), axis=0)
            result.append(self.smoothness * differences.T @ differences)
        for stack in self.stacks:
            axis = stack.slice_axis
            matrix = stack.matrices[axis]
            weight = stack.tau * float(stack.seen.mean())
            if matrix is None:
                result[axis] += weight * float(stack.slice_weights.mean()) * np.eye(self.shape[axis])
                continue
            low = stack.rigid.box[0][axis]
            inside = slice(max(0, -low), max(0, min(matrix.shape[1], self.shape[axis] - low)))
            seen = matrix[:, inside]
            product = seen.T @ (seen * (weight * stack.slice_weights)[:, None])
            at = slice(low + inside.start, low + inside.stop)
            result[axis][at, at] += product
        floor = (1e-6 if self.exact else FLOOR) * max(float(np.abs(m).max()) for m in result)
        result[0] += floor * np.eye(self.shape[0])
        return result

    def _add_smoothness(self, x: np.ndarray, result: np.ndarray) -> None:
        """smoothness D'E D x, added to what is there; E is 1 where no edges are to be kept."""
        s = np.float32(self.smoothness)
        for axis in range(3):
            ahead = [slice(None)] * 3
            behind = [slice(None)] * 3
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            change = x[tuple(ahead)] - x[tuple(behind)]
            change *= s
            if self._edges is not None:
                edge = self._edges[0][tuple(ahead)] - self._edges[0][tuple(behind)]
                edge /= np.float32(self._edges[1])
                np.square(edge, out=edge)
                edge += np.float32(1)
                change /= np.sqrt(edge, out=edge)
            result[tuple(ahead)] += change
            result[tuple(behind)] -= change


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


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(sum(float(np.vdot(p, q)) for p, q in zip(a, b)))


def check(cancel: Cancel | None) -> None:
    """End where that is wanted."""
    if cancel is not None and cancel():
        raise CancelledError
