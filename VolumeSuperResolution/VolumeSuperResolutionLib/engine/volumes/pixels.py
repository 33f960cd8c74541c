"""The voxels of DICOM images: plain ones as they are stored, compressed ones by SimpleITK; each scaled as it says.

The scalar type is the one SimpleITK chooses: the narrowest that holds whatever the stored bits can mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import RefusalError
from . import elements
from .itk import quiet
from .slices import Slice
from .stored import Empty

WHOLE_TYPES = ("u1", "u2", "u4", "i1", "i2", "i4")


def read(path: Path, slices: list[Slice], empty: Empty = np.empty) -> np.ndarray:
    """The voxels (k, j, i) of the images in their order."""
    dtype = _scalar_type(slices)
    try:
        array = empty((len(slices), *slices[0].shape), dtype)
        held: tuple[Path, np.ndarray] | None = None
        for plane, each in zip(array, slices):
            if each.place is not None:
                plane[...] = _scaled(_stored(each), each.scaling, dtype)
                continue
            if each.stored is not None:
                raise ValueError("said to be compressed, and is not")
            if held is None or held[0] != each.path:
                held = each.path, _decoded(each)
            plane[...] = _scaled_again(held[1][each.frame], each, slices, dtype)
    except (RuntimeError, ValueError, IndexError, elements.DamagedError) as error:
        raise RefusalError(
            f"The images in {path} cannot be decoded (transfer syntax {slices[0].syntax or 'unknown'}); export the "
            "series uncompressed."
        ) from error
    return array


def _scalar_type(slices: list[Slice]) -> np.dtype:
    formats = {s.pixel_format for s in slices}
    scalings = {s.scaling for s in slices}
    if scalings == {(1.0, 0.0)} and len(formats) == 1:
        allocated, _, _, signed = slices[0].pixel_format
        return np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    ends = [
        slope * stored + intercept
        for _, bits, _, signed in formats
        for slope, intercept in scalings
        for stored in ((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1))
    ]
    if all(value == int(value) for scaling in scalings for value in scaling):
        for code in WHOLE_TYPES:
            if np.iinfo(code).min <= min(ends) and max(ends) <= np.iinfo(code).max:
                return np.dtype(code)
    return np.dtype(np.float64 if len(scalings) == 1 else np.float32)


def _stored(each: Slice) -> np.ndarray:
    """The numbers of one uncompressed image, without what other bits of a word hold."""
    allocated, bits, high, signed = each.pixel_format
    count = each.shape[0] * each.shape[1]
    size = count * allocated // 8
    data = elements.stored_pixels(each.path, each.deflated, each.place + each.frame * size, size)  # type: ignore[operator]
    order = ">" if each.syntax == elements.BIG_ENDIAN else "<"
    words = np.frombuffer(data, f"{order}{'i' if signed else 'u'}{allocated // 8}", count).reshape(each.shape)
    if bits == allocated:
        return words
    return words << (allocated - 1 - high) >> (allocated - bits)


def _scaled(stored: np.ndarray, scaling: tuple[float, float], dtype: np.dtype) -> np.ndarray:
    if scaling == (1.0, 0.0):
        return stored
    values = stored.astype(np.float64) * scaling[0] + scaling[1]
    return values if dtype.kind == "f" else np.rint(values)


def _decoded(each: Slice) -> np.ndarray:
    """All frames of a file, scaled as its first frame is."""
    with quiet():
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(each.path)))
    array = array.reshape(-1, *array.shape[-2:])
    if array.shape != (each.frames, *each.shape):
        raise ValueError("not what the header promises")
    return array


def _scaled_again(plane: np.ndarray, each: Slice, slices: list[Slice], dtype: np.dtype) -> np.ndarray:
    """A frame that is scaled as the first of its file, as it says itself."""
    slope, intercept = next(s.scaling for s in slices if s.path == each.path and s.frame in (0, each.frame))
    if (slope, intercept) == each.scaling:
        return plane
    return _scaled((plane.astype(np.float64) - intercept) / slope, each.scaling, dtype)
