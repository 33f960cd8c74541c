"""SimpleITK without a word of its own on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import SimpleITK as sitk

from .grid import Volume


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
    image = sitk.GetImageFromArray(volume.array, isVector=volume.array.ndim > 3)
    image.SetSpacing(volume.grid.spacing)
    image.SetOrigin(volume.grid.origin)
    image.SetDirection(volume.grid.direction)
    return image
