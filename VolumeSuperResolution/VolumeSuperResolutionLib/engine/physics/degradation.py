"""The forward model: how a scanner with coarser voxels would have seen a volume.

LR[i] = sum_j w(j - c_i) HR[j] / sum_j w along each axis, with c_i = (i + 0.5) s - 0.5, so the field of view stays.
Training, data consistency and evaluation share it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from ..volumes.intensity import PERCENTILES
from . import separable

# A Gaussian's full width at half maximum in units of its sigma: one coarse voxel wide in the "profile" model.
FWHM = 2.355
SCANNER_SIGMA_SCALES = (0.7, 1.2)
SCANNER_NOISE = 0.01


def _distances(n_high: int, factor: float) -> tuple[np.ndarray, float]:
    """Distance of every fine voxel (columns) from every coarse center (rows), and the exact factor."""
    n_low = max(1, int(np.floor(n_high / factor + 0.5)))
    s = n_high / n_low
    centers = (np.arange(n_low) + 0.5) * s - 0.5
    return np.arange(n_high)[None, :] - centers[:, None], s


def profile_matrix(n_high: int, factor: float, sigma_scale: float = 1.0) -> np.ndarray:
    """Gaussian slice profile, sigma = sigma_scale * s / 2.355, cut at two coarse voxels: (n_low, n_high)."""
    distance, s = _distances(n_high, factor)
    weights = np.exp(-0.5 * (distance / (sigma_scale * s / FWHM)) ** 2)
    weights[np.abs(distance) > 2 * s] = 0.0
    return weights / weights.sum(axis=1, keepdims=True)


def box_matrix(n_high: int, factor: float) -> np.ndarray:
    """The mean over each coarse voxel: (n_low, n_high)."""
    distance, s = _distances(n_high, factor)
    weights = (np.abs(distance) < s / 2).astype(float)
    return weights / weights.sum(axis=1, keepdims=True)


def matrices(
    shape: Sequence[int], factors: Sequence[float], kind: str = "profile", sigma_scale: float = 1.0
) -> separable.Matrices:
    """The operator for an array of this shape; shape and factors in array order (k, j, i)."""

    def one(n: int, factor: float) -> np.ndarray | None:
        if factor == 1:
            return None
        return box_matrix(n, factor) if kind == "box" else profile_matrix(n, factor, sigma_scale)

    return tuple(one(n, factor) for n, factor in zip(shape, factors))  # type: ignore[return-value]


def degrade(array: np.ndarray, factors: Sequence[float], kind: str = "profile", sigma_scale: float = 1.0) -> np.ndarray:
    """The array (k, j, i) on a grid coarser by `factors` (array order), as float32."""
    return separable.apply(array, matrices(array.shape, factors, kind, sigma_scale))


def scanner(array: np.ndarray, factors: Sequence[float], name: str) -> np.ndarray:
    """Degraded with a blur and a noise that the method is not told; both follow from the file's name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    low = degrade(array, factors, "profile", random.uniform(*SCANNER_SIGMA_SCALES))
    bottom, top = np.percentile(array, PERCENTILES)
    return low + random.normal(0.0, SCANNER_NOISE * (top - bottom), low.shape).astype(np.float32)
