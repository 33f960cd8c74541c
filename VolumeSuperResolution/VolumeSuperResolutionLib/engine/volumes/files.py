"""Volumes from files and into files: read right or refused, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..errors import RefusalError
from . import dicom, labels, ome_zarr, pixels, stored
from .grid import Grid, Volume
from .headers import check_name
from .headers import header as header_of
from .itk import to_image
from .mapped import Scratch
from .slices import Slice
from .writing import ENDINGS, check_apart, check_writable, write, written_by

__all__ = [
    "Loaded",
    "check_apart",
    "check_name",
    "check_writable",
    "from_image",
    "read",
    "read_by",
    "to_image",
    "volumes_in",
    "write",
    "written_by",
]

VOLUME_ENDINGS = tuple(ENDINGS)


class Loaded(NamedTuple):
    """A volume from a file, and what the file and the voxels tell of it.

    `label_map` is None where it could be either. `metadata` are the file's own keys (NRRD, NIfTI, MetaImage), or DICOM
    values by keyword (Modality, SliceThickness, SpacingBetweenSlices as the positions have it, ...). `images` are those
    of a DICOM series.
    """

    volume: Volume
    label_map: bool | None
    notes: tuple[str, ...]
    metadata: Mapping[str, str]
    images: Sequence[Slice] = ()


def from_image(image: sitk.Image) -> Volume:
    """A volume from a SimpleITK image; one slice becomes a volume one voxel thick."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise RefusalError(
            f"Each voxel holds {image.GetNumberOfComponentsPerPixel()} values (color or vector); convert the volume to "
            "one value a voxel first."
        )
    if "complex" in image.GetPixelIDTypeAsString():
        raise RefusalError("The voxels are complex numbers; take the magnitude first.")
    if image.GetDimension() == 4:
        if image.GetSize()[3] != 1:
            raise RefusalError(
                f"The file holds a series of {image.GetSize()[3]} volumes; extract the one you want, "
                "for example the first, into a file of its own."
            )
        image = sitk.Extract(image, [*image.GetSize()[:3], 0], [0, 0, 0, 0])
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    if image.GetDimension() != 3:
        raise RefusalError(f"The image has {image.GetDimension()} dimensions; choose a volume with three.")
    grid = Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return Volume(sitk.GetArrayFromImage(image), grid)


def read(path: str | Path, series: str | None = None, layers: bool = False, scratch: Scratch | None = None) -> Loaded:
    """The volume in a file, an OME-Zarr folder, or a folder of DICOM slices.

    `series` picks one of several DICOM series by its UID or number; ":2" behind it, the second of the time points,
    echoes and the like that it holds. With `layers`, segmentations whose segments overlap are read as well, as arrays
    (k, j, i, layer). With `scratch` no voxel is held in memory: they stay in the file where they can, and are else
    copied into one of scratch's.
    """
    path = Path(path)
    empty = np.empty if scratch is None else scratch.empty
    if ome_zarr.is_zarr(path):
        image = ome_zarr.look(path)
        array, notes = ome_zarr.load(image, empty)
        told = (*image.notes, *notes)
        return Loaded(Volume(array, image.grid), labels.looks_like_labels(array), told, {ome_zarr.KEY: image.version})
    header = header_of(path)
    if header is not None:
        _check(header, layers)
        try:
            array, notes = stored.load(header) if scratch is None else scratch.load(header)
        except OSError as error:
            raise RefusalError(f"{path} cannot be read to its end: {error.strerror}.") from error
        label_map = header.label_map if header.label_map is not None else labels.looks_like_labels(array)
        return Loaded(Volume(array, header.grid), label_map, (*header.notes, *notes), header.metadata)
    stack = dicom.select(path, series)
    stack.grid.check()
    array = pixels.read(path, stack.slices, empty)
    return Loaded(Volume(array, stack.grid), False, stack.notes, stack.metadata, stack.slices)


def look(path: str | Path, series: str | None = None) -> tuple[Grid, np.dtype]:
    """Where the voxels of a volume would lie, and about of which type they are, without reading one."""
    path = Path(path)
    if ome_zarr.is_zarr(path):
        image = ome_zarr.look(path)
        return image.grid, image.dtype
    header = header_of(path)
    if header is not None:
        _check(header)
        plain = (header.slope, header.intercept) == (1.0, 0.0)
        return header.grid, header.dtype if plain else np.dtype(np.float32)
    stack = dicom.select(path, series)
    stack.grid.check()
    whole = all(float(value).is_integer() for s in stack.slices for value in s.scaling)
    return stack.grid, np.dtype(np.int16 if whole else np.float32)


def _check(header: stored.Header, layers: bool = False) -> None:
    if header.layers > 1 and not layers:
        raise RefusalError(stored.several_values(header.path, header.layers))
    header.grid.check()


def is_dicom(path: str | Path) -> bool:
    """Whether a path would be read as DICOM."""
    return not ome_zarr.is_zarr(Path(path)) and header_of(Path(path)) is None


def read_by(path: str | Path) -> set[Path]:
    """Every file that reading a path would read."""
    path = Path(path)
    if ome_zarr.is_zarr(path):
        return ome_zarr.files_of(path)
    header = header_of(path)
    if header is not None:
        return {path, *(part.path for part in header.parts)}
    return set(dicom.files_of(path)) if path.is_dir() else {path}


def volumes_in(folder: Path) -> list[Path]:
    """The volume files of a folder, by name."""
    found = [path for path in folder.glob("*") if path.name.lower().endswith(VOLUME_ENDINGS)]
    if not found:
        raise RefusalError(f"There are no volumes in {folder}; give a folder with NIfTI, NRRD or MetaImage files.")
    return sorted(found)
