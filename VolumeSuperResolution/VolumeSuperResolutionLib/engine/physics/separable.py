"""Linear resampling of a volume, one banded matrix an axis, a few planes at a time.

Every interpolation and every degradation here is such an operator. A matrix is (n_out, n_in); None stands for an axis
that stays as it is. The products are numpy's, or, where a place for them is given, a device's.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Callable, Optional, overload

import numpy as np
import numpy.typing as npt

from ..callbacks import NOTHING_KEPT, Cancel, Convert, Place, Progress, Step, Way, end_if

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
    rows, used = _used(matrices, region)
    return product(array[used], rows)


def block_there(
    place: Way, array: np.ndarray, matrices: Matrices, region: Sequence[slice], kept: dict[Any, Any]
) -> Any:
    """The same in another place, where it stays. What is kept of the matrices there has its place in `kept`."""
    rows, used = _used(matrices, region)
    sent = [None if m is None else place.send(m) for m in rows[:1]]
    for axis, m in enumerate(rows[1:], 1):
        key = axis, region[axis].start, region[axis].stop
        if m is not None and key not in kept:
            kept[key] = place.send(m)
        sent.append(None if m is None else kept[key])
    return along(place.send(array[used]), sent)


def product(given: np.ndarray, rows: Sequence[np.ndarray | None]) -> np.ndarray:
    """All of an array times a matrix along each axis, as float32."""
    rows = [m if m is None else m.astype(np.float32, copy=False) for m in rows]
    if rows[0] is None:
        part = given.astype(np.float32, order="K")
    else:
        flat = given.reshape(len(given), -1)
        part = np.empty((len(rows[0]), *given.shape[1:]), np.float32)
        out = part.reshape(len(part), -1)
        for some in pieces(flat.shape[1], rows[0].size):  # as floats a piece at a time, too
            np.matmul(rows[0], flat[:, some].astype(np.float32, copy=False), out=out[:, some])
    for axis, matrix in enumerate(rows[1:], 1):
        if matrix is not None:
            part = _along(part, matrix, axis)
    return part


def _used(matrices: Matrices, region: Sequence[slice]) -> tuple[list[np.ndarray | None], tuple[slice, ...]]:
    """The rows of the matrices that a region needs, with the columns that they use, and those as parts of the input."""
    rows = [m if m is None else m[part] for m, part in zip(matrices, region)]
    used = [part if m is None else band(m) for m, part in zip(rows, region)]
    return [m if m is None else m[:, part].astype(np.float32) for m, part in zip(rows, used)], tuple(used)


def along(array: Any, matrices: Sequence[Any]) -> Any:
    """One matrix along each of the last three axes, of numpy or torch, in the array's own type and on its device."""
    for axis, matrix in zip((-3, -2, -1), matrices):
        if matrix is not None:
            array = (array.swapaxes(axis, -1) @ like(array, matrix).T).swapaxes(axis, -1)
    return array


def like(array: Any, values: Any) -> Any:
    """Values of numpy in the type of an array, and where it is; others are there already."""
    if not isinstance(values, np.ndarray):
        return values
    return values.astype(array.dtype) if isinstance(array, np.ndarray) else array.new_tensor(values)


@overload
def apply(
    array: np.ndarray,
    matrices: Matrices,
    write: None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
) -> np.ndarray: ...


@overload
def apply(
    array: np.ndarray,
    matrices: Matrices,
    write: WriteSlab,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
    convert: Convert | None = None,
    kept: Step = NOTHING_KEPT,
) -> None: ...


def apply(
    array: np.ndarray,
    matrices: Matrices,
    write: WriteSlab | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
    convert: Convert | None = None,
    kept: Step = NOTHING_KEPT,
) -> np.ndarray | None:
    """The whole result as float32, or, given `write`, handed over in slabs of planes so that it is never held.

    `write` is called in the order of the planes, by the thread that called, with what `convert` makes of them. It must
    not change the array. What an earlier process `kept` is not computed again, except in a place, where slabs may be
    others.
    """
    shape = output_shape(array.shape, matrices)
    result = None
    if write is None:
        result = np.empty(shape, np.float32)
        write = result.__setitem__

    def compute(part: slice) -> np.ndarray:
        values = block(array, matrices, (part, slice(None), slice(None)))
        return values if convert is None else convert(values)

    area = max(1, max(shape[1], array.shape[1]) * max(shape[2], array.shape[2]))
    if place is None:
        done = kept.state.get("written", 0)
        slabs = [slab for slab in _slabs(shape[0], SLAB_VOXELS // area) if slab.stop > done]
        results = _in_threads(compute, slabs)
    else:
        slabs = _slabs(shape[0], place.voxels * shape[0] // (area * max(shape[0], array.shape[0])))
        results = _elsewhere(array, matrices, slabs, place, convert, compute)
    for part, values in zip(slabs, results):
        end_if(cancel)
        write(part, values)
        kept.reached(partial(dict, written=part.stop, planes=shape[0]))
        if progress is not None:
            progress(part.stop, shape[0])
    return result


def _slabs(length: int, thickness: int) -> list[slice]:
    thickness = max(1, thickness)
    return [slice(start, min(start + thickness, length)) for start in range(0, length, thickness)]


def _elsewhere(
    array: np.ndarray,
    matrices: Matrices,
    slabs: Sequence[slice],
    place: Place,
    convert: Convert | None,
    compute: Callable[[slice], np.ndarray],
) -> Iterator[np.ndarray]:
    """The results in their order, each on its way back while the next is computed; by `compute` where memory ends."""
    kept: dict[Any, Any] = {}

    def started(part: slice) -> Callable[[], np.ndarray]:
        if not place.full:
            try:
                return place.fetch(block_there(place, array, matrices, (part, slice(None), slice(None)), kept), convert)
            except Exception as error:
                if not place.gives_up(error):
                    raise
        values = compute(part)
        return lambda: values

    waiting: deque[Callable[[], np.ndarray]] = deque()
    for part in slabs:
        waiting.append(started(part))
        if len(waiting) > 1:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


# Threads of a pool start no others.
_here = threading.local()


def _enter_pool() -> None:
    _here.in_pool = True


def _in_threads(compute: Callable[[Any], Any], slabs: Sequence[Any]) -> Iterator[Any]:
    """The results in their order, some of the next being computed meanwhile."""
    count = min(_threads(), len(slabs))
    if count <= 1 or getattr(_here, "in_pool", False):
        yield from map(compute, slabs)
        return
    with ThreadPoolExecutor(count, initializer=_enter_pool) as pool:
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


def for_all(work: Callable[[Any], None], parts: Sequence[Any]) -> None:
    """`work` for each of some parts, in threads."""
    deque(_in_threads(work, parts), maxlen=0)


def _threads() -> int:
    """As many as this process may use, unless its environment asks for fewer; each holds a slab, so not too many."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, MOST_THREADS, max(1, int(asked)) if asked.isdigit() else cores)


def pieces(length: int, products: int) -> Iterator[slice]:
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
        for some in pieces(slab.shape[3 - axis], block.size):
            if axis == 1:
                np.matmul(block, slab[:, used, some], out=result[:, out, some])
            else:
                np.matmul(slab[:, some, used], block.T, out=result[:, some, out])
    return result


def block_means(array: np.ndarray, sizes: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
    """The means of blocks of these sizes, summed in a type; what is left over at the ends is in none."""
    counts = [n // size for n, size in zip(array.shape, sizes)]
    whole = array[tuple(slice(n * size) for n, size in zip(counts, sizes))]
    split = whole.reshape([n for pair in zip(counts, sizes) for n in pair])
    return split.mean(axis=tuple(range(1, split.ndim, 2)), dtype=dtype)
