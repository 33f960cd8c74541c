"""SimpleITK without a word of its own: what it reads and writes here, and nothing on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import RefusalError
from .grid import Volume
from .slices import Slice


@contextmanager
def quiet() -> Iterator[None]:
    """Lines that C++ would write to the error channel are dropped: what they tell is checked before."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
    channel = None
    with suppress(OSError):
        channel = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    try:
        yield
    finally:
        if channel is not None:
            os.dup2(channel, 2)
            os.close(channel)
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def to_image(volume: Volume) -> sitk.Image:
    """A SimpleITK image with a copy of the voxels."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.grid.spacing)
    image.SetOrigin(volume.grid.origin)
    image.SetDirection(volume.grid.direction)
    return image


def pixels(path: Path, slices: list[Slice]) -> np.ndarray:
    """The voxels (k, j, i) of DICOM images, each with the scaling that it says itself."""
    alike = len({(s.pixel_format, s.scaling, s.syntax) for s in slices}) == 1
    try:
        with quiet():
            if alike and all(s.frames == 1 for s in slices):
                array = sitk.GetArrayFromImage(sitk.ReadImage([str(s.path) for s in slices]))
            else:
                array = _one_by_one(slices)
    except RuntimeError as error:
        raise RefusalError(
            f"The images in {path} cannot be decoded (transfer syntax {slices[0].syntax or 'unknown'}); export the "
            "series uncompressed."
        ) from error
    if array.shape != (len(slices), *slices[0].shape):
        raise RefusalError(
            f"The images in {path} are {' x '.join(map(str, array.shape))} voxels, where their headers promise "
            f"{len(slices)} x {' x '.join(map(str, slices[0].shape))}."
        )
    return array


def _one_by_one(slices: list[Slice]) -> np.ndarray:
    """Images that are scaled or stored differently, or frames of a file."""
    planes, file, read = [], None, None
    same = len({(s.pixel_format, s.scaling) for s in slices}) == 1
    for each in slices:
        if each.path != file:
            file, read = each.path, sitk.GetArrayFromImage(sitk.ReadImage(str(each.path)))
            read = read.reshape(-1, *read.shape[-2:])
        plane = read[each.frame]
        if not same and each.frames > 1:
            # What is read of a file is scaled as its first frame is.
            slope, intercept = next(s.scaling for s in slices if s.path == file and s.frame == 0)
            stored = (plane.astype(np.float64) - intercept) / slope
            plane = stored * each.scaling[0] + each.scaling[1]
        planes.append(plane)
    stacked = np.stack(planes)
    return stacked if same or stacked.dtype.kind != "f" else stacked.astype(np.float32)
