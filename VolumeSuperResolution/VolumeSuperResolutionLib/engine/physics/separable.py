"""Linear resampling of a volume, one banded matrix an axis, a few planes at a time.

Every interpolation and every degradation here is such an operator. A matrix is (n_out, n_in); None stands for an axis
that stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional, overload

import numpy as np

from ..callbacks import Cancel, Progress
from ..errors import CancelledError

Matrices = tuple[Optional[np.ndarray], Optional[np.ndarray], Optional[np.ndarray]]
WriteSlab = Callable[[slice, np.ndarray], None]

# Rows of a matrix multiplied together: enough for BLAS to be fast, few enough for the band to stay narrow.
ROWS = 32
SLAB_VOXELS = 500_000


def band(rows: np.ndarray) -> slice:
    """The columns that some of these rows use; one of none, if they use none."""
    used = np.flatnonzero(np.any(rows != 0, axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)


def output_shape(shape: Sequence[int], matrices: Matrices) -> tuple[int, int, int]:
    """The shape after the operator."""
    return tuple(n if m is None else m.shape[0] for n, m in zip(shape, matrices))  # type: ignore[return-value]


def block(array: np.ndarray, matrices: Matrices, region: Sequence[slice]) -> np.ndarray:
    """One region of the result as float32; only the input voxels it depends on are read."""
    rows = [m if m is None else m[part] for m, part in zip(matrices, region)]
    used = [part if m is None else band(m) for m, part in zip(rows, region)]
    rows = [m if m is None else m[:, part].astype(np.float32) for m, part in zip(rows, used)]
    part = array[tuple(used)].astype(np.float32)
    if rows[0] is not None:
        part = np.tensordot(rows[0], part, axes=1)
    for axis, matrix in enumerate(rows[1:], 1):
        if matrix is not None:
            part = _along(part, matrix, axis)
    return part


@overload
def apply(
    array: np.ndarray,
    matrices: Matrices,
    write: None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> np.ndarray: ...


@overload
def apply(
    array: np.ndarray,
    matrices: Matrices,
    write: WriteSlab,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None: ...


def apply(
    array: np.ndarray,
    matrices: Matrices,
    write: WriteSlab | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> np.ndarray | None:
    """The whole result as float32, or, given `write`, handed over in slabs of planes so that it is never held."""
    shape = output_shape(array.shape, matrices)
    result = None
    if write is None:
        result = np.empty(shape, np.float32)
        write = result.__setitem__
    thickness = max(1, SLAB_VOXELS // max(1, max(shape[1], array.shape[1]) * max(shape[2], array.shape[2])))
    for start in range(0, shape[0], thickness):
        if cancel is not None and cancel():
            raise CancelledError
        stop = min(start + thickness, shape[0])
        part = slice(start, stop)
        write(part, block(array, matrices, (part, slice(None), slice(None))))
        if progress is not None:
            progress(stop, shape[0])
    return result


def _along(slab: np.ndarray, matrix: np.ndarray, axis: int) -> np.ndarray:
    """One matrix along axis 1 or 2 of a slab, in blocks of rows, each with the columns its band covers."""
    shape = list(slab.shape)
    shape[axis] = matrix.shape[0]
    result = np.empty(shape, np.float32)
    for start in range(0, matrix.shape[0], ROWS):
        rows = matrix[start : start + ROWS]
        used = band(rows)
        block = rows[:, used]
        if axis == 1:
            np.matmul(block, slab[:, used], out=result[:, start : start + ROWS])
        else:
            np.matmul(slab[:, :, used], block.T, out=result[:, :, start : start + ROWS])
    return result
