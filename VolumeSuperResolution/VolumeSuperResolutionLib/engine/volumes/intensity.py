"""Intensities to network units and back, and the scalar type of the result.

The map is affine, one for the whole volume, and never clips: what goes in comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CT_WINDOW = (-1024.0, 3071.0)
PERCENTILES = (0.1, 99.9)
# Air in a CT is near -1000 HU; no MR sequence goes there.
CT_AIR = -500.0
# Tissue is above this part of the range in MR, above these HU in CT.
MR_FOREGROUND = 0.08
CT_FOREGROUND = -900.0
LARGEST_SAMPLE = 2_000_000
# An integer type rounds visibly when the whole volume spans fewer steps than this.
FEWEST_LEVELS = 64
# How far beyond the input's range (in parts of it) a sharper volume may reach at its edges.
OVERSHOOT = 0.25
TOUCHING = 0.01


@dataclass(frozen=True)
class Window:
    """`low` becomes 0 and `high` becomes 1."""

    low: float
    high: float

    def to_network(self, array: np.ndarray) -> np.ndarray:
        """Network units, float32."""
        return ((array.astype(np.float32) - np.float32(self.low)) * np.float32(1.0 / self._width())).astype(np.float32)

    def to_scanner(self, array: np.ndarray) -> np.ndarray:
        """The scan's own units, float32."""
        return array * np.float32(self._width()) + np.float32(self.low)

    def _width(self) -> float:
        return self.high - self.low if self.high > self.low else 1.0


def percentiles(array: np.ndarray) -> tuple[float, float]:
    """The 0.1 and 99.9 percentile; of a regular subset where the volume is very large."""
    flat = array.reshape(-1)
    low, high = np.percentile(flat[:: max(1, flat.size // LARGEST_SAMPLE)], PERCENTILES)
    return float(low), float(high)


def guess_modality(array: np.ndarray, limits: tuple[float, float] | None = None) -> str:
    """ "CT" where the volume holds air in HU, else "MR". `limits` are the array's percentiles, where they are known."""
    low, _ = percentiles(array) if limits is None else limits
    return "CT" if low < CT_AIR or float(array.min()) <= CT_AIR else "MR"


def window_for(array: np.ndarray, modality: str) -> Window:
    """The window of a volume: fixed for CT so that HU survive, by percentiles for everything else."""
    return Window(*CT_WINDOW) if modality == "CT" else Window(*percentiles(array))


def output_type(array: np.ndarray) -> np.dtype:
    """The input's scalar type, or float32 where integers would round or clip visibly.

    A limit that the input itself touches (the zero of a magnitude image) is the scan's own and does not count.
    """
    if array.dtype.kind == "f":
        return array.dtype if array.dtype.itemsize >= 4 else np.dtype(np.float32)
    if array.dtype.kind == "b":
        return np.dtype(np.uint8)
    low, high = float(array.min()), float(array.max())
    reach = high - low
    limits = np.iinfo(array.dtype)
    rounds = 0 < reach < FEWEST_LEVELS
    clips = any(TOUCHING * reach < room < OVERSHOOT * reach for room in (low - limits.min, limits.max - high))
    return np.dtype(np.float32) if rounds or clips else array.dtype


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float values in a scalar type: rounded to nearest, held at the type's limits."""
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    rounded = np.rint(values)
    return np.clip(rounded, limits.min, limits.max, out=rounded).astype(dtype)
