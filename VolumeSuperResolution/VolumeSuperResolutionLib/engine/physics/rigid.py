"""A volume seen at rigidly moved positions, one shear at a time, with the exact adjoint.

A rotation is four shears, each of which shifts whole lines of voxels along one axis. Each shift is a windowed sinc, so
little is blurred that linear interpolation would blur (test_stacks has the numbers), and its adjoint is the same shift
backwards. Outside the volume there are zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

import numpy as np

TAPS = 8
# Of the Kaiser window: the best of 4 to 8 for rotations of brains.
BETA = 4.0
# What moves no voxel by more than this does not move.
STILL = 0.01
# Positions between two voxels that are told apart.
PHASES = 2048
# What is not worth a thread.
LEAST_VOXELS = 100_000

# Lower and upper corner in voxels, both within it.
Box = tuple[np.ndarray, np.ndarray]


class Shear(NamedTuple):
    """Lines along one axis, each read `slopes @ (position - center) + offset` voxels further on; slopes[along] is 0."""

    along: int
    slopes: tuple[float, float, float]
    offset: float = 0.0

    def matrix(self, center: np.ndarray) -> np.ndarray:
        """The affine map (4 x 4) from where a value is wanted to where it is read."""
        result = np.eye(4)
        result[self.along, :3] += self.slopes
        result[self.along, 3] = self.offset - np.dot(self.slopes, center)
        return result

    def most(self, shape: Sequence[int]) -> float:
        """The furthest that a voxel moves."""
        return abs(self.offset) + float(np.abs(self.slopes) @ np.asarray(shape)) / 2


class Rigid:
    """(T x)(g) = x(R (g - c) + c + t) for the voxels g of a box; `shape` is that of x, c its center.

    All coordinates are voxels in array order (k, j, i). The result covers `box`: what is wanted, and what the shears
    touch on their way.
    """

    def __init__(self, rotation: np.ndarray, shift: Sequence[float], shape: Sequence[int], wanted: Box):
        self.shape = tuple(shape)
        self.center = (np.asarray(shape) - 1) / 2.0
        self.shears = _shears(np.asarray(rotation, float), np.asarray(shift, float), self.center, shape)
        self.box = self._extent(wanted)
        self.size = tuple(int(n) for n in self.box[1] - self.box[0] + 1)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """T x over the box, float32."""
        inside, there = self._overlap()
        if not self.shears and self.size == self.shape:
            return array
        buffer = np.zeros(self.size, np.float32)
        buffer[there] = array[inside]
        return self._run(buffer, self.shears, 1)

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        """T' y, back on the grid of x."""
        buffer = self._run(values, self.shears[::-1], -1)
        inside, there = self._overlap()
        result = np.zeros(self.shape, np.float32)
        result[inside] = buffer[there]
        return result

    def _run(self, buffer: np.ndarray, shears: Iterable[Shear], sign: int) -> np.ndarray:
        other = np.empty(self.size, np.float32)
        for n, shear in enumerate(shears):
            _shift(buffer, other, shear, self.center - self.box[0], sign)
            buffer, other = other, np.empty(self.size, np.float32) if n == 0 and sign < 0 else buffer
        return buffer

    def _overlap(self) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """The part of x that the box holds, in x and in the box."""
        low = np.maximum(self.box[0], 0)
        high = np.maximum(low, np.minimum(self.box[1] + 1, self.shape))
        inside = tuple(slice(int(a), int(b)) for a, b in zip(low, high))
        there = tuple(slice(int(a - o), int(b - o)) for a, b, o in zip(low, high, self.box[0]))
        return inside, there

    def _extent(self, wanted: Box) -> Box:
        """What the shears have to hold: where there is something, as far as it will be wanted."""
        content = (np.zeros(3), np.asarray(self.shape) - 1.0)
        maps = [shear.matrix(self.center) for shear in self.shears]
        whole, done = np.eye(4), np.eye(4)
        for m in maps:
            whole = whole @ m
        low, high = np.asarray(wanted[0], int), np.asarray(wanted[1], int)
        for m in [np.eye(4), *maps] if maps else []:
            done = done @ m
            back = np.linalg.inv(done)
            there, asked = _hull(back, content), _hull(back @ whole, wanted)
            low = np.minimum(low, np.floor(np.maximum(there[0], asked[0])).astype(int) - TAPS // 2)
            high = np.maximum(high, np.ceil(np.minimum(there[1], asked[1])).astype(int) + TAPS // 2)
        return low, high


def _hull(matrix: np.ndarray, box: Box) -> Box:
    """The box around a box that was moved by an affine map."""
    corners = np.array([[box[n >> axis & 1][axis] for n in range(8)] for axis in range(3)] + [[1.0] * 8])
    moved = (matrix @ corners)[:3]
    return moved.min(axis=1), moved.max(axis=1)


def _shears(rotation: np.ndarray, shift: np.ndarray, center: np.ndarray, shape: Sequence[int]) -> list[Shear]:
    """The affine map to rotation (g - center) + center + shift as shears, those that do nothing left out."""
    found = [_factors(rotation, order) for order in permutations(range(3))]
    best = min((f for f in found if f is not None), key=lambda f: max(np.abs(s.slopes).max() for s in f))
    result = [s for s in best if s.most(shape) > STILL]
    for axis in range(3):
        if abs(shift[axis]) > STILL and axis not in {s.along for s in result}:
            result.append(Shear(axis, (0.0, 0.0, 0.0)))
    last = {s.along: n for n, s in enumerate(result)}

    def moved(offsets: Iterable[float]) -> np.ndarray:
        """Where the whole takes the center."""
        trial = list(result)
        for n, offset in zip(last.values(), offsets):
            trial[n] = trial[n]._replace(offset=offset)
        total = np.eye(4)
        for shear in trial:
            total = total @ shear.matrix(center)
        return (total @ [*center, 1.0])[list(last)] - center[list(last)]

    if last:
        columns = np.stack([moved(unit) for unit in np.eye(len(last))], axis=1)
        for n, offset in zip(last.values(), np.linalg.solve(columns, shift[list(last)])):
            result[n] = result[n]._replace(offset=float(offset))
    return result


def _factors(rotation: np.ndarray, order: tuple[int, ...]) -> list[Shear] | None:
    """R as shears along p, q, r and p again; None where that order of axes cannot do it.

    With the last one taken from R, what is left is unit upper times unit lower triangular in the order p, q, r if its
    last two diagonal minors are 1: two linear equations for the two slopes of the last shear.
    """
    p, q, r = order
    m = rotation[np.ix_(order, order)]
    if abs(m[2, 0]) < 1e-12:
        to_r = 0.0
        if abs(m[2, 2] - 1) > 1e-9:
            return None
    else:
        to_r = (m[2, 2] - 1) / m[2, 0]
    m = m - np.outer(m[:, 0], [0.0, 0.0, to_r])
    # The minor of rows and columns 1 and 2 falls by to_q times that of columns 0 and 2.
    minor, slope = m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1], m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0]
    if abs(slope) < 1e-12:
        to_q = 0.0
        if abs(minor - 1) > 1e-9:
            return None
    else:
        to_q = (minor - 1) / slope
    m = m - np.outer(m[:, 0], [0.0, to_q, 0.0])
    d = m[1, 2]
    a, b = m[2, 0], m[2, 1]
    c = m[1, 0] - d * a
    e, f = np.linalg.solve(m[1:, 1:].T, m[0, 1:])

    def shear(along: int, one: tuple[int, float], two: tuple[int, float]) -> Shear:
        slopes = [0.0, 0.0, 0.0]
        slopes[one[0]], slopes[two[0]] = float(one[1]), float(two[1])
        return Shear(along, tuple(slopes))  # type: ignore[arg-type]

    return [
        shear(p, (q, e), (r, f)),
        shear(q, (p, c), (r, d)),
        shear(r, (p, a), (q, b)),
        shear(p, (q, to_q), (r, to_r)),
    ]


@lru_cache(maxsize=1)
def _kernels() -> np.ndarray:
    """Weights of TAPS voxels for positions 0 to 1 beyond the one before their middle: (PHASES + 1, TAPS)."""
    phase = np.arange(PHASES + 1)[:, None] / PHASES
    distance = np.arange(TAPS) - (TAPS // 2 - 1) - phase
    weights = np.sinc(distance) * np.i0(BETA * np.sqrt(np.maximum(0.0, 1 - (2 * distance / TAPS) ** 2)))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _shift(source: np.ndarray, target: np.ndarray, shear: Shear, center: np.ndarray, sign: int) -> None:
    """One shear, or with sign -1 its adjoint, a few planes at a time in every thread."""
    along = shear.along
    third, across = ((1, 2), (0, 2), (0, 1))[along]
    order = (third, along, across)
    src, dst = source.transpose(order), target.transpose(order)
    places = [np.arange(n) - c for n, c in zip(source.shape, center)]

    def part(bounds: Sequence[int]) -> None:
        lines = _Lines(src.shape[1], src.shape[2])
        start, stop = bounds
        shifts = shear.offset + shear.slopes[third] * places[third][start:stop, None]
        shifts = shifts + shear.slopes[across] * places[across][None, :]
        whole = np.floor(shifts).astype(np.intp)
        weights = _kernels()[np.rint((shifts - whole) * PHASES).astype(np.intp)]
        first = whole - (TAPS // 2 - 1)
        if sign < 0:
            weights, first = weights[..., ::-1], -first - (TAPS - 1)
        for n in range(stop - start):
            lines.shift(src[start + n], dst[start + n], first[n], np.ascontiguousarray(weights[n].T))

    threads = os.cpu_count() or 1
    count = min(4 * threads, source.size // LEAST_VOXELS)
    if count <= 1:
        part((0, len(src)))
        return
    edges = np.linspace(0, len(src), count + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, zip(edges[:-1], edges[1:])))


class _Lines:
    """Shifts the columns of a plane, each by its own amount."""

    def __init__(self, length: int, lines: int):
        self.length, self.lines = length, lines
        self.padded = np.empty(0, np.float32)
        self.aligned = np.empty((length + TAPS - 1, lines), np.float32)
        self.index = np.empty(self.aligned.shape, np.intp)
        self.steps = np.arange(length + TAPS - 1)[:, None] * lines
        down, right = self.aligned.strides
        self.windows = np.lib.stride_tricks.as_strided(self.aligned, (TAPS, length, lines), (down, down, right))
        self.result = np.empty((length, lines), np.float32)

    def shift(self, source: np.ndarray, target: np.ndarray, first: np.ndarray, weights: np.ndarray) -> None:
        """`first` is how far from its own place the first voxel lies that a place on the line is made of."""
        # What is read beyond both ends are the zeros around them.
        before = max(0, -int(first.min()))
        rows = before + self.length + max(0, int(first.max()) + TAPS - 1)
        if self.padded.size < rows * self.lines:
            self.padded = np.empty(rows * self.lines, np.float32)
        padded = self.padded[: rows * self.lines].reshape(rows, self.lines)
        padded[:before] = 0.0
        padded[before : before + self.length] = source
        padded[before + self.length :] = 0.0
        np.add(self.steps, (first + before) * self.lines + np.arange(self.lines), out=self.index)
        np.take(padded.reshape(-1), self.index, out=self.aligned, mode="clip")
        np.einsum("tnm,tm->nm", self.windows, weights, out=self.result)
        target[...] = self.result
