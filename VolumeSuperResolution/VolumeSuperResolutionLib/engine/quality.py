"""How close a restored volume is to the truth, measured where there is tissue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .callbacks import Cancel, Place, Progress
from .physics import separable
from .volumes.intensity import CT_FOREGROUND, MR_FOREGROUND, PERCENTILES

BORDER = 8
DILATION = 2
SSIM_SIGMA = 1.5
SSIM_TRUNCATE = 3.5
SSIM_K = (0.01, 0.03)


def data_range(truth: np.ndarray) -> float:
    """The 0.1-99.9 percentile range, the peak of PSNR and SSIM."""
    low, high = np.percentile(truth, PERCENTILES)
    return float(high - low)


def foreground(truth: np.ndarray, modality: str) -> np.ndarray:
    """Where there is tissue, dilated by two voxels, the border excluded (as far as the volume allows)."""
    if modality == "CT":
        mask = truth > CT_FOREGROUND
    else:
        low, high = np.percentile(truth, PERCENTILES)
        mask = truth > low + MR_FOREGROUND * (high - low)
    mask = _dilated(mask, DILATION)
    inner = np.zeros_like(mask)
    inner[tuple(slice(b, n - b) for n, b in ((n, min(BORDER, (n - 1) // 2)) for n in mask.shape))] = True
    return mask & inner


def psnr(result: np.ndarray, truth: np.ndarray, mask: np.ndarray, peak: float) -> float:
    """Peak signal to noise ratio in dB over the mask; infinite where nothing differs."""
    error = np.subtract(result, truth, dtype=np.float32)[mask]
    mean_square = float(np.mean(np.square(error, dtype=np.float64)))
    return float("inf") if mean_square == 0 else 10 * np.log10(peak**2 / mean_square)


def ssim(result: np.ndarray, truth: np.ndarray, mask: np.ndarray, peak: float) -> float:
    """Structural similarity in 3D with a Gaussian window (sigma 1.5), averaged over the mask."""
    x, y = result.astype(np.float32) / peak, truth.astype(np.float32) / peak
    # Differences from the mean keep float32 exact enough for CT, whose offset dwarfs its contrast.
    offset = np.float32(y.mean())
    blur = _gaussian(x.shape)
    mean_x, mean_y = blur(x - offset), blur(y - offset)
    variance_x = blur((x - offset) ** 2) - mean_x**2
    variance_y = blur((y - offset) ** 2) - mean_y**2
    covariance = blur((x - offset) * (y - offset)) - mean_x * mean_y
    mean_x, mean_y = mean_x + offset, mean_y + offset
    c1, c2 = (k**2 for k in SSIM_K)
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(similarity[mask].mean(dtype=np.float64))


def consistency_residual(
    high: np.ndarray,
    low: np.ndarray,
    seen: separable.Matrices,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
) -> float:
    """Mean |A high - low| in input units: how far the result, as the scanner would have `seen` it, is from the scan."""
    total = 0.0

    def add(part: slice, values: np.ndarray) -> None:
        nonlocal total
        total += float(np.abs(values - low[part]).sum(dtype=np.float64))

    separable.apply(high, seen, add, progress, cancel, place)
    return total / low.size


def _dilated(mask: np.ndarray, steps: int) -> np.ndarray:
    """Grown by `steps` voxels along the six face directions each."""
    for _ in range(steps):
        grown = mask.copy()
        for axis in range(mask.ndim):
            ahead, behind = [slice(None)] * 3, [slice(None)] * 3
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            grown[tuple(ahead)] |= mask[tuple(behind)]
            grown[tuple(behind)] |= mask[tuple(ahead)]
        mask = grown
    return mask


def _gaussian(shape: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """A Gaussian blur for arrays of this shape, the border mirrored (its edge voxel repeated)."""
    radius = int(SSIM_TRUNCATE * SSIM_SIGMA + 0.5)
    taps = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (taps / SSIM_SIGMA) ** 2)
    kernel /= kernel.sum()

    def matrix(n: int) -> np.ndarray:
        mirrored = np.abs(np.arange(n)[:, None] + taps[None, :] + 0.5) - 0.5
        index = (mirrored % (2 * n)).astype(int)
        index = np.minimum(index, 2 * n - 1 - index)
        blur = np.zeros((n, n))
        np.add.at(blur, (np.arange(n)[:, None], index), kernel[None, :])
        return blur

    depth, height, width = shape
    operator = (matrix(depth), matrix(height), matrix(width))
    return lambda array: separable.apply(array, operator)
