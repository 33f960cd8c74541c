"""Lines of voxels moved by parts of a voxel, with the exact adjoint.

What lies between voxels is a windowed sinc of them, so little is blurred that linear interpolation would blur
(test_stacks has the numbers). Beyond both ends there are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Optional

import numpy as np

from . import separable

TAPS = 12
# Of the Kaiser window: the best of 3 to 7 for rotations of brains.
BETA = 5.0
# What moves no voxel by more than this does not move.
STILL = 0.01
# Positions between two voxels that are told apart.
PHASES = 2048
# Rows of a plane that are moved together.
ROWS = 32

# Where the first voxel read lies, and the weights of TAPS from there on; None where all are moved by whole voxels.
Move = tuple[int, Optional[np.ndarray]]


class Pass:
    """Every plane of an array resampled along one of its axes, each line from places of its own; with the adjoint."""

    def __init__(self, axis: int, places: np.ndarray, given: Sequence[int]):
        """`places` in voxels of a plane given, (q, r) of one that comes out."""
        self.given, self.size = tuple(given), places.shape
        own = np.arange(given[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        self.nothing = self.size == self.given and bool(np.abs(places - own).max() <= STILL)
        if is_whole(places):
            first, weights = np.rint(places).astype(np.intp), np.ones((*places.shape, 1), np.float32)
        else:
            whole = np.floor(places)
            first, weights = whole.astype(np.intp) - (TAPS // 2 - 1), weights_at(places - whole)
        read = first[..., None] + np.arange(weights.shape[-1])
        inside = (read >= 0) & (read < given[axis])
        other = np.arange(given[1 - axis], dtype=np.intp).reshape((1, -1, 1) if axis == 0 else (-1, 1, 1))
        read = np.clip(read, 0, given[axis] - 1)
        read = read * given[1] + other if axis == 0 else other * given[1] + read
        self.read = np.ascontiguousarray(read.reshape(-1, read.shape[-1]).T)
        self.weights = np.ascontiguousarray((weights * inside).reshape(-1, read.shape[-1]).T)
        self._turned: tuple[np.ndarray, np.ndarray] | None = None

    def apply(self, array: np.ndarray) -> np.ndarray:
        return _gathered(array, self.read, self.weights, self.size)

    def adjoint(self, array: np.ndarray) -> np.ndarray:
        if self._turned is None:
            self._turned = _transposed(self.read, self.weights, self.given)
        return _gathered(array, *self._turned, self.given)


def _gathered(array: np.ndarray, read: np.ndarray, weights: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The sum of weights times what is read of each plane."""
    result = np.empty((len(array), *size), np.float32)

    def one(n: int) -> None:
        plane, out = array[n].reshape(-1), result[n].reshape(-1)
        values = np.empty(out.size, np.float32)
        for count, (places, weight) in enumerate(zip(read, weights)):
            np.take(plane, places, out=values if count else out, mode="clip")
            if count:
                values *= weight
                out += values
            else:
                out *= weight

    separable.for_all(one, range(len(array)))
    return result


def _transposed(read: np.ndarray, weights: np.ndarray, given: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each voxel that is read, by whom and with which weight."""
    used = np.flatnonzero(weights)
    voxels = read.reshape(-1)[used]
    order = np.argsort(voxels, kind="stable")
    voxels = voxels[order]
    counts = np.bincount(voxels, minlength=int(np.prod(given)))
    rank = np.arange(len(voxels)) - (np.cumsum(counts) - counts)[voxels]
    back = np.zeros((max(1, counts.max()), counts.size), np.intp)
    shares = np.zeros(back.shape, np.float32)
    back[rank, voxels] = (used % read.shape[1])[order]
    shares[rank, voxels] = weights.reshape(-1)[used][order]
    return back, shares


def is_whole(places: np.ndarray) -> bool:
    """Whether they are those of voxels."""
    return bool(np.abs(places - np.rint(places)).max() <= STILL)


@lru_cache(maxsize=1)
def _kernels() -> np.ndarray:
    """Weights of TAPS voxels for positions 0 to 1 beyond the one before their middle: (PHASES + 1, TAPS)."""
    phase = np.arange(PHASES + 1)[:, None] / PHASES
    distance = np.arange(TAPS) - (TAPS // 2 - 1) - phase
    weights = np.sinc(distance) * np.i0(BETA * np.sqrt(np.maximum(0.0, 1 - (2 * distance / TAPS) ** 2)))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def weights_at(phases: np.ndarray) -> np.ndarray:
    return _kernels()[np.rint(phases * PHASES).astype(np.intp)]


def rows_moved(plane: np.ndarray, move: Move, count: int) -> np.ndarray:
    """So many rows of a plane, each made of those from `first` on; zeros beyond its ends."""
    first, weights = move
    if weights is None:
        return _padded(plane, 0, first, count)
    blocks = -(-count // ROWS)
    source = _padded(plane, 0, first, blocks * ROWS + TAPS - 1)
    result = np.empty((blocks, ROWS, plane.shape[1]), np.float32)
    down, right = source.strides
    shape = (blocks, ROWS + TAPS - 1, plane.shape[1])
    windows = np.lib.stride_tricks.as_strided(source, shape, (ROWS * down, down, right))
    band = _band(weights)
    for some in separable.pieces(plane.shape[1], band.size):
        np.matmul(band, windows[:, :, some], out=result[:, :, some])
    return result.reshape(-1, plane.shape[1])[:count]


def columns_moved(plane: np.ndarray, move: Move, count: int) -> np.ndarray:
    """The same with columns."""
    first, weights = move
    if weights is None:
        return _padded(plane, 1, first, count)
    blocks = -(-count // ROWS)
    source = _padded(plane, 1, first, blocks * ROWS + TAPS - 1)
    result = np.empty((len(plane), blocks, ROWS), np.float32)
    down, right = source.strides
    shape = (blocks, len(plane), ROWS + TAPS - 1)
    windows = np.lib.stride_tricks.as_strided(source, shape, (ROWS * right, down, right))
    band = _band(weights).T
    for some in separable.pieces(len(plane), band.size):
        np.matmul(windows[:, some], band, out=result.transpose(1, 0, 2)[:, some])
    return result.reshape(len(plane), -1)[:, :count]


def _band(weights: np.ndarray) -> np.ndarray:
    """(ROWS, ROWS + TAPS - 1): each row has the weights one column further on."""
    result = np.zeros((ROWS, ROWS + TAPS - 1), np.float32)
    for n in range(ROWS):
        result[n, n : n + TAPS] = weights
    return result


def _padded(plane: np.ndarray, axis: int, first: int, count: int) -> np.ndarray:
    """So many rows or columns from `first` on, zeros where there are none."""
    low, high = max(0, first), min(plane.shape[axis], first + count)
    if (low, high) == (first, first + count):
        return plane[low:high] if axis == 0 else plane[:, low:high]
    shape = (count, plane.shape[1]) if axis == 0 else (len(plane), count)
    result = np.zeros(shape, np.float32)
    if low < high and axis == 0:
        result[low - first : high - first] = plane[low:high]
    elif low < high:
        result[:, low - first : high - first] = plane[:, low:high]
    return result
