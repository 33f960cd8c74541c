"""Makers of inputs: each gets an empty folder and leaves in it what the command of a case reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def nothing(folder: Path) -> None:
    """An empty folder stays empty."""


def ramp(shape: tuple[int, ...] = (5, 6, 7), dtype: type = np.int16) -> np.ndarray:
    """Voxels (k, j, i) of which no two are alike."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def scan(
    folder: Path,
    name: str = "scan.nrrd",
    array: np.ndarray | None = None,
    spacing: tuple[float, float, float] = (0.5, 0.75, 2.0),
) -> Path:
    """A sound volume: oblique, anisotropic, with an origin of its own."""
    image = sitk.GetImageFromArray(ramp() if array is None else array)
    image.SetSpacing(spacing)
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, str(folder / name))
    return folder / name
