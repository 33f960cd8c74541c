"""Label maps on a finer grid: rounder than repeated voxels, without labels that were not there.

Each label's share of a voxel is interpolated, and the label with the largest share wins. Shares are weighted so that
labels keep their volumes, and a voxel whose label would be lost, as in a line of single voxels, keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..callbacks import Cancel, Progress, end_if
from ..errors import RefusalError
from ..volumes.grid import Grid, Volume
from . import interpolation, separable

# How far a label's volume may be off before its weight is changed, and how often that is done.
CLOSE = 0.005
ROUNDS = 16
# The power of what is missing that a weight grows by at first, and less later: large things need more than thin ones.
FIRST_STEP = 3.0
# The part of a voxel's share that each of its neighbors gets.
SMOOTHING = 0.15
MOST_LABELS = 1000
# In voxels: how far a label map's grid may be off that of its scan, and, relatively, its spacing and axes.
OFF_GRID, OFF_SPACING = 0.02, 1e-3

Box = tuple[slice, slice, slice]


def placed(labels: Volume, grid: Grid, name: str) -> np.ndarray:
    """The labels on a scan's grid, of which their own may be a part or an extension; refuses another grid."""
    own = labels.grid
    alike = np.allclose(own.spacing, grid.spacing, rtol=OFF_SPACING) and np.allclose(
        own.direction, grid.direction, rtol=0, atol=OFF_SPACING
    )
    direction = np.reshape(grid.direction, (3, 3))
    shift = direction.T @ (np.asarray(own.origin) - np.asarray(grid.origin)) / np.asarray(grid.spacing)
    start = np.rint(shift).astype(int)
    if not alike or np.abs(shift - start).max() > OFF_GRID:
        raise RefusalError(f"{name} lies on another grid than the scan; resample it to the scan's geometry first.")
    result = np.zeros((*grid.size[::-1], *labels.array.shape[3:]), labels.array.dtype)
    into, of = [], []
    for offset, n, m in zip(start[::-1], labels.array.shape, result.shape):
        first, last = max(0, offset), min(m, offset + n)
        into.append(slice(first, max(first, last)))
        of.append(slice(first - offset, max(first, last) - offset))
    result[tuple(into)] = labels.array[tuple(of)]
    return result


def refine(
    labels: np.ndarray, shape: Sequence[int], progress: Progress | None = None, cancel: Cancel | None = None
) -> np.ndarray:
    """The labels on a grid of another shape over the same field of view, as whole numbers of their own type.

    Layers, along a fourth axis, are refined one by one: what overlaps goes on to.
    """
    if labels.ndim > 3:
        return _refine_layers(labels, shape, progress, cancel)
    values = [value for value in np.unique(labels) if value]
    if len(values) > MOST_LABELS:
        raise RefusalError(f"The label map holds {len(values)} labels; this many are no segmentation.")
    matrices = _matrices(labels.shape, shape)
    boxes = [_box(labels == value, matrices) for value in values]
    background = separable.apply((labels == 0).astype(np.float32), matrices)
    targets = [np.count_nonzero(labels == value) * np.prod(shape) / labels.size for value in values]
    weights, best, off = np.ones(len(values)), labels, np.inf
    for number in range(ROUNDS):
        if progress is not None:
            progress(number, ROUNDS)
        result = _assigned(labels, values, weights, boxes, matrices, background, cancel)
        ratios = np.array([count / target for count, target in zip(_counts(result, values), targets)])
        # Of what is a few voxels large, some finer ones are as near as others: as many as one voxel became may be off.
        farthest = float((np.abs(ratios - 1) - np.prod(shape) / labels.size / np.asarray(targets)).max(initial=0.0))
        if farthest < off:
            best, off = result, farthest
        if off <= CLOSE:
            break
        weights *= np.clip(ratios, 0.7, 1.4) ** -(FIRST_STEP / (1 + number / 3))
    return best


def _refine_layers(
    labels: np.ndarray, shape: Sequence[int], progress: Progress | None, cancel: Cancel | None
) -> np.ndarray:
    count = labels.shape[-1]
    result = np.empty((*shape, count), labels.dtype)
    for n in range(count):

        def tell(done: int, total: int, before: int = n) -> None:
            if progress is not None:
                progress(before * total + done, count * total)

        result[..., n] = refine(labels[..., n], shape, tell, cancel)
    return result


def _matrices(shape: Sequence[int], size: Sequence[int]) -> separable.Matrices:
    """Linear interpolation of shares that are a little smoothed: else round surfaces keep steps."""
    found = []
    for n, matrix in zip(shape, interpolation.matrices(shape, size, "linear")):
        if matrix is not None and n > 1:
            smooth = np.eye(n) * (1 - 2 * SMOOTHING) + (np.eye(n, k=1) + np.eye(n, k=-1)) * SMOOTHING
            smooth[0, 0] = smooth[-1, -1] = 1 - SMOOTHING
            matrix = matrix @ smooth
        found.append(matrix)
    return tuple(found)  # type: ignore[return-value]


def _counts(labels: np.ndarray, values: Sequence[int]) -> list[int]:
    return [int(np.count_nonzero(labels == value)) for value in values]


def _box(mask: np.ndarray, matrices: separable.Matrices) -> tuple[Box, Box]:
    """Where a label is, and where on the finer grid it has a share."""
    inner, outer = [], []
    for axis, matrix in enumerate(matrices):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        part = slice(int(used[0]), int(used[-1]) + 1)
        rows = used if matrix is None else np.flatnonzero(matrix[:, part].any(axis=1))
        inner.append(part)
        outer.append(slice(int(rows[0]), int(rows[-1]) + 1))
    return tuple(inner), tuple(outer)  # type: ignore[return-value]


def _share(mask: np.ndarray, matrices: separable.Matrices, inner: Box, outer: Box) -> np.ndarray:
    """A label's share of the voxels of a part of the finer grid."""
    k, j, i = (None if m is None else m[rows, part] for m, rows, part in zip(matrices, outer, inner))
    return separable.block(mask[inner], (k, j, i), [slice(0, rows.stop - rows.start) for rows in outer])


def _assigned(
    labels: np.ndarray,
    values: Sequence[int],
    weights: np.ndarray,
    boxes: Sequence[tuple[Box, Box]],
    matrices: separable.Matrices,
    background: np.ndarray,
    cancel: Cancel | None,
) -> np.ndarray:
    largest, result = background.copy(), np.zeros(background.shape, labels.dtype)
    for value, weight, (inner, outer) in zip(values, weights, boxes):
        end_if(cancel)
        share = np.float32(weight) * _share(labels == value, matrices, inner, outer)
        wins = share > largest[outer]
        largest[outer][wins] = share[wins]
        result[outer][wins] = value
    _keep_lost(labels, result)
    return result


def _keep_lost(labels: np.ndarray, result: np.ndarray) -> None:
    """Give back to voxels what they lost altogether."""
    if any(m < n for n, m in zip(labels.shape, result.shape)):
        return
    cells = [np.minimum((2 * np.arange(m) + 1) * n // (2 * m), n - 1) for n, m in zip(labels.shape, result.shape)]
    repeated = labels[np.ix_(*cells)]
    kept = result == repeated
    for axis, cell in enumerate(cells):
        kept = np.logical_or.reduceat(kept, np.flatnonzero(np.diff(cell, prepend=-1)), axis=axis)
    lost = (~kept & (labels != 0))[np.ix_(*cells)]
    result[lost] = repeated[lost]
