"""Linear resampling of a volume, one banded matrix an axis, a few planes at a time.

Every interpolation and every degradation here is such an operator. A matrix is (n_out, n_in); None stands for an axis
that stays as it is.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Callable, Optional, overload

import numpy as np

from ..callbacks import Cancel, Progress
from ..errors import CancelledError

Matrices = tuple[Optional[np.ndarray], Optional[np.ndarray], Optional[np.ndarray]]
WriteSlab = Callable[[slice, np.ndarray], None]

# Rows of a matrix multiplied together: enough for BLAS to be fast, few enough for the band to stay narrow.
ROWS = 32
# Products that OpenBLAS does in one thread. It is slabs that are shared among threads, here: threads that wait for each
# other after every small matrix take twenty times as long where another program keeps a core busy.
ONE_THREAD = 1 << 18
SLAB_VOXELS = 500_000
MOST_THREADS = 8


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
    if rows[0] is None:
        part = array[tuple(used)].astype(np.float32, order="K")
    else:
        given = array[tuple(used)]
        flat = given.reshape(len(given), -1)
        part = np.empty((len(rows[0]), *given.shape[1:]), np.float32)
        out = part.reshape(len(part), -1)
        for some in _pieces(flat.shape[1], rows[0].size):  # as floats a piece at a time, too
            np.matmul(rows[0], flat[:, some].astype(np.float32, copy=False), out=out[:, some])
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
    """The whole result as float32, or, given `write`, handed over in slabs of planes so that it is never held.

    `write` is called in the order of the planes, by the thread that called. It must not change the array.
    """
    shape = output_shape(array.shape, matrices)
    result = None
    if write is None:
        result = np.empty(shape, np.float32)
        write = result.__setitem__
    thickness = max(1, SLAB_VOXELS // max(1, max(shape[1], array.shape[1]) * max(shape[2], array.shape[2])))
    slabs = [slice(start, min(start + thickness, shape[0])) for start in range(0, shape[0], thickness)]

    def compute(part: slice) -> np.ndarray:
        return block(array, matrices, (part, slice(None), slice(None)))

    for part, values in zip(slabs, _in_threads(compute, slabs)):
        if cancel is not None and cancel():
            raise CancelledError
        write(part, values)
        if progress is not None:
            progress(part.stop, shape[0])
    return result


def _in_threads(compute: Callable[[slice], np.ndarray], slabs: Sequence[slice]) -> Iterator[np.ndarray]:
    """The results in their order, some of the next being computed meanwhile."""
    count = min(_threads(), len(slabs))
    if count <= 1:
        yield from map(compute, slabs)
        return
    with ThreadPoolExecutor(count) as pool:
        rest = iter(slabs)
        waiting = deque(pool.submit(compute, part) for part in islice(rest, count))
        try:
            while waiting:
                values = waiting.popleft().result()
                waiting.extend(pool.submit(compute, part) for part in islice(rest, 1))
                yield values
        finally:
            for future in waiting:
                future.cancel()


def _threads() -> int:
    """As many as this process may use, unless its environment asks for fewer; each holds a slab, so not too many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, MOST_THREADS, max(1, int(asked)) if asked.isdigit() else cores)


def _pieces(length: int, products: int) -> Iterator[slice]:
    """An axis in parts so small that BLAS takes one thread for `products` times each."""
    step = max(16, ONE_THREAD // products // 16 * 16)
    return (slice(start, start + step) for start in range(0, length, step))


def _along(slab: np.ndarray, matrix: np.ndarray, axis: int) -> np.ndarray:
    """One matrix along axis 1 or 2 of a slab, in blocks of rows, each with the columns its band covers."""
    shape = list(slab.shape)
    shape[axis] = matrix.shape[0]
    result = np.empty(shape, np.float32)
    for start in range(0, matrix.shape[0], ROWS):
        rows = matrix[start : start + ROWS]
        used = band(rows)
        block, out = rows[:, used], slice(start, start + ROWS)
        for some in _pieces(slab.shape[3 - axis], block.size):
            if axis == 1:
                np.matmul(block, slab[:, used, some], out=result[:, out, some])
            else:
                np.matmul(slab[:, some, used], block.T, out=result[:, some, out])
    return result
