"""Interpolations on the exact grid: the upscalers that need no torch, and the first guess of those that do.

Positions beyond the outermost voxel centers, which every finer grid has, repeat the border as ITK does (B-splines
mirror it). Along an axis that gets coarser the kernel is widened, so that nothing aliases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

import numpy as np

from ..callbacks import Cancel, Place, Progress, end_if
from . import degradation, separable

LANCZOS_RADIUS = 5
# How many voxels away a result still depends on; of the B-splines' prefilter, as far as its weights are negligible.
RADII = {"nearest": 1, "linear": 1, "bspline": 18, "lanczos": LANCZOS_RADIUS}
# Weights of the infinitely long B-spline prefilter below this are beyond float32's reach.
NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Fit:
    """How a finer grid lies on a coarser one, along (k, j, i): where its extent begins, and how long its voxels are.

    Both are in voxels of the coarser. Wherever no fit is given, both grids fill the same extent.
    """

    start: tuple[float, float, float]
    step: tuple[float, float, float]

    def along(self, order: Sequence[int]) -> Fit:
        """For arrays whose axes come in another order."""
        return Fit(*(tuple(part[axis] for axis in order) for part in (self.start, self.step)))  # type: ignore[arg-type]

    def flipped(self, steps: Sequence[int], coarse: Sequence[int], fine: Sequence[int]) -> Fit:
        """For both arrays, of these shapes, read backward along the axes whose step is -1."""
        ends = [n - start - m * step for n, m, start, step in zip(coarse, fine, self.start, self.step)]
        starts = (end if back < 0 else start for back, start, end in zip(steps, self.start, ends))
        return Fit(tuple(starts), self.step)  # type: ignore[arg-type]

    def of_finer(self, factor: Sequence[int]) -> Fit:
        """The same upon a grid that divides the voxels of the coarser one."""
        return Fit(*(tuple(v * f for v, f in zip(part, factor)) for part in (self.start, self.step)))  # type: ignore[arg-type]

    def inverse(self) -> Fit:
        """How the coarser grid lies on the finer."""
        starts = tuple(-start / step for start, step in zip(self.start, self.step))
        return Fit(starts, tuple(1 / step for step in self.step))  # type: ignore[arg-type]


def _linear(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < LANCZOS_RADIUS, np.sinc(x) * np.sinc(x / LANCZOS_RADIUS), 0.0)


def _bspline(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.maximum(0.0, 2 - x) ** 3 / 6)


def _clamp(index: np.ndarray, n: int) -> np.ndarray:
    return np.clip(index, 0, n - 1)


def _mirror(index: np.ndarray, n: int) -> np.ndarray:
    if n == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * (n - 1))
    return np.minimum(folded, 2 * (n - 1) - folded)


def _kernel_matrix(
    n_in: int, positions: np.ndarray, kernel: Callable, radius: float, fold: Callable, factor: float
) -> np.ndarray:
    """Normalized kernel weights of the input voxels around each position; indices outside are folded back."""
    widening = max(1.0, 1.0 / factor)
    reach = int(np.ceil(radius * widening))
    taps = np.floor(positions)[:, None].astype(int) + np.arange(-reach, reach + 2)[None, :]
    weights = kernel((positions[:, None] - taps) / widening)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((len(positions), n_in))
    np.add.at(matrix, (np.arange(len(positions))[:, None], fold(taps, n_in)), weights)
    return matrix


def _bspline_matrix(n_in: int, positions: np.ndarray, factor: float) -> np.ndarray:
    """Samples to spline coefficients (so that the spline passes through them) to values at the positions."""
    at_samples = _kernel_matrix(n_in, np.arange(n_in, dtype=float), _bspline, 2, _mirror, 1.0)
    at_positions = _kernel_matrix(n_in, positions, _bspline, 2, _mirror, factor)
    matrix = np.linalg.solve(at_samples.T, at_positions.T).T
    matrix[np.abs(matrix) < NEGLIGIBLE] = 0.0
    return matrix


def centers(n_in: int, n_out: int, start: float = 0.0, step: float | None = None) -> np.ndarray:
    """Where the centers of n_out voxels lie in voxels of n_in, as axis_matrix has them."""
    factor = n_out / n_in if step is None else 1 / step
    return start + (np.arange(n_out) + 0.5) / factor - 0.5


def axis_matrix(n_in: int, n_out: int, kernel: str, start: float = 0.0, step: float | None = None) -> np.ndarray | None:
    """The weights that take n_in voxels to n_out over the same extent; None where nothing changes.

    With a step, one every so many voxels, over an extent that begins at `start`.
    """
    if n_in == n_out and start == 0 and step in (None, 1):
        return None
    factor = n_out / n_in if step is None else 1 / step
    positions = centers(n_in, n_out, start, step)
    if kernel == "nearest":
        matrix = np.zeros((n_out, n_in))
        matrix[np.arange(n_out), _nearest(n_in, positions)] = 1.0
        return matrix
    if kernel == "linear":
        return _kernel_matrix(n_in, positions, _linear, 1, _clamp, factor)
    if kernel == "bspline":
        return _bspline_matrix(n_in, positions, factor)
    if kernel == "lanczos":
        return _kernel_matrix(n_in, positions, _lanczos, LANCZOS_RADIUS, _clamp, factor)
    raise ValueError(f"no interpolation is called {kernel!r}")


def _nearest(n_in: int, positions: np.ndarray) -> np.ndarray:
    """The input voxel that lies nearest to each position."""
    return _clamp(np.floor(positions + 0.5).astype(int), n_in)


def repeat(
    array: np.ndarray,
    target: np.ndarray,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    fit: Fit | None = None,
) -> None:
    """The nearest voxels in `target`, which has their type: copied bit for bit, so that labels stay what they are."""
    placed = zip(array.shape, target.shape, starts_and_steps(fit))
    planes, rows, columns = (_nearest(n, centers(n, m, *place)) for n, m, place in placed)
    for k, source in enumerate(planes):
        end_if(cancel)
        target[k] = array[source][rows][:, columns]
        if progress is not None:
            progress(k + 1, len(planes))


def at_positions(n_in: int, positions: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Lanczos weights for values anywhere along an axis; `factor` below 1 widens the kernel, as for coarser grids."""
    return _kernel_matrix(n_in, positions, _lanczos, LANCZOS_RADIUS, _clamp, factor)


def reach(kernel: str, factor: float) -> int:
    """How many voxels of the input around it a voxel of the result depends on, for a factor along an axis."""
    return 0 if factor == 1 else int(np.ceil(RADII[kernel] * max(1.0, 1.0 / factor))) + 1


def round_reach(factor: float) -> int:
    """The same for one round of back_project, in voxels of the scan."""
    # The profile is cut at two coarse voxels.
    return 0 if factor == 1 else reach("lanczos", factor) + 2 if factor > 1 else 2 * reach("lanczos", factor)


def matrices(shape: Sequence[int], size: Sequence[int], kernel: str, fit: Fit | None = None) -> separable.Matrices:
    """The operator from one shape to another over the same field of view, both in array order (k, j, i)."""
    placed = zip(shape, size, starts_and_steps(fit))
    return tuple(axis_matrix(n, m, kernel, *place) for n, m, place in placed)  # type: ignore[return-value]


def starts_and_steps(fit: Fit | None) -> Sequence[tuple[float, float | None]]:
    """Start and step of each axis."""
    return ((0.0, None),) * 3 if fit is None else list(zip(fit.start, fit.step))


def resample(array: np.ndarray, size: Sequence[int], kernel: str = "lanczos") -> np.ndarray:
    """The array on the grid of another size (k, j, i) over the same field of view, as float32."""
    return separable.apply(array, matrices(array.shape, size, kernel))


def forward_matrices(high: Sequence[int], low: Sequence[int], fit: Fit | None = None) -> separable.Matrices:
    """What a scanner with the coarse grid would see of the fine one: a Gaussian profile as wide as its voxels.

    An axis that the fine grid does not refine is interpolated.
    """

    def one(n_high: int, n_low: int, start: float, zoom: float | None) -> np.ndarray | None:
        if (n_high / n_low if zoom is None else zoom) <= 1:
            return axis_matrix(n_high, n_low, "lanczos", start, zoom)
        if zoom is None:
            return degradation.axis_matrix(n_high, n_low)
        return degradation.seen_from(centers(n_high, n_low, start, zoom), n_high, "gaussian", zoom, zoom)

    placed = zip(high, low, starts_and_steps(fit and fit.inverse()))
    return tuple(one(n, m, *place) for n, m, place in placed)  # type: ignore[return-value]


def back_project(
    high: np.ndarray,
    low: np.ndarray,
    rounds: int,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
    fit: Fit | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> None:
    """Data consistency, in place: high += U(low - D(high)), each round bringing D(high) closer to the scan."""
    down = forward_matrices(high.shape, low.shape, fit)
    up = matrices(low.shape, high.shape, "lanczos", fit)
    residual = empty(low.shape, np.float32)

    def subtract(part: slice, values: np.ndarray) -> None:
        np.subtract(low[part], values, dtype=np.float32, out=residual[part])

    def add(part: slice, values: np.ndarray) -> None:
        high[part] += values

    for done in range(rounds):
        separable.apply(high, down, subtract, cancel=cancel, place=place)
        separable.apply(residual, up, add, cancel=cancel, place=place)
        if progress is not None:
            progress(done + 1, rounds)
