"""A small head that no file is needed for, and thick stacks of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from VolumeSuperResolutionLib.engine.physics import interpolation, simulation
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SIZE = 48


@lru_cache
def head(size: int = SIZE, seed: int = 0) -> Volume:
    """Folded tissue of two intensities in an ellipsoid, with texture."""
    random = np.random.default_rng(seed)

    def waves(cell: int) -> np.ndarray:
        return interpolation.resample(random.normal(0, 1, (size // cell,) * 3), (size,) * 3, "bspline")

    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    radius = np.sqrt((place[0] / 0.85) ** 2 + (place[1] / 0.7) ** 2 + (place[2] / 0.75) ** 2)
    tissue = 1 / (1 + np.exp(-4 * waves(6)))
    inside = 1 / (1 + np.exp(25 * (radius - 1)))
    array = 1000 * inside * (0.4 + 0.5 * tissue + 0.04 * waves(3))
    return Volume(array.astype(np.float32), Grid((size,) * 3))


def three(
    volume: Volume, degrees: float, mm: float, thickness: float = 4, gap: float = 0, noise: float = 0.01, seed: int = 0
) -> list[simulation.Simulated]:
    """Axial, sagittal and coronal; the first lies where the volume is."""
    return simulation.orthogonal(volume, thickness, gap, np.random.default_rng(seed), noise, degrees, mm)
