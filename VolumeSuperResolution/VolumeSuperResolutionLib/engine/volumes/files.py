"""Volumes from and to files and SimpleITK images."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import RefusalError
from .grid import Grid, Volume

NIFTI_LABELS = "1002"
# Whole numbers from zero up to here, few of them, are taken for labels rather than a scan.
MOST_LABELS = 32
VOLUME_PATTERNS = ("*.nii", "*.nii.gz", "*.nrrd", "*.mha", "*.mhd")


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


def to_image(volume: Volume) -> sitk.Image:
    """A SimpleITK image with a copy of the voxels."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.grid.spacing)
    image.SetOrigin(volume.grid.origin)
    image.SetDirection(volume.grid.direction)
    return image


def read(path: str | Path) -> tuple[Volume, bool]:
    """A volume from a file, or from a folder with one DICOM series, and whether it looks like a label map."""
    path = Path(path)
    if not path.exists():
        raise RefusalError(f"There is no file or folder {path}; check the name.")
    try:
        image = _read_dicom(path) if path.is_dir() else sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise RefusalError(f"{path} cannot be read as a volume; give a NIfTI, NRRD, MetaImage or DICOM one.") from error
    volume = from_image(image)
    intent = image.GetMetaData("intent_code") if image.HasMetaDataKey("intent_code") else ""
    return volume, intent == NIFTI_LABELS or _looks_like_labels(volume.array)


def write(volume: Volume, path: str | Path) -> None:
    """The volume in a file, complete or not at all."""
    path = Path(path)
    check_writable(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".vsr-") as folder:
        try:
            sitk.WriteImage(to_image(volume), str(Path(folder) / path.name), useCompression=True)
            # Some formats write a second file beside the one that is named.
            for part in Path(folder).iterdir():
                shutil.move(str(part), str(path.parent / part.name))
        except (RuntimeError, OSError) as error:
            raise RefusalError(f"{path} cannot be written; check the space and the rights in its folder.") from error


def volumes_in(folder: Path) -> list[Path]:
    """The volume files of a folder, by name."""
    found = sorted({path for pattern in VOLUME_PATTERNS for path in folder.glob(pattern)})
    if not found:
        raise RefusalError(f"There are no volumes in {folder}; give a folder with NIfTI, NRRD or MetaImage files.")
    return found


def check_writable(path: Path) -> None:
    """Refuse a target that cannot be written, before anything is computed."""
    if path.is_dir() or not path.parent.is_dir():
        raise RefusalError(f"{path} cannot be written: its folder does not exist, or it is a folder itself.")
    writer = sitk.ImageFileWriter()
    known = [suffix for io in writer.GetRegisteredImageIOs() for suffix in _SUFFIXES.get(io, ())]
    if not path.name.lower().endswith(tuple(known)):
        raise RefusalError(f"{path.name} has no ending of a volume format; use .nrrd, .nii.gz or .mha.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RefusalError(f"{path.parent} cannot be written to; choose another folder.") from error


_SUFFIXES = {"NiftiImageIO": (".nii", ".nii.gz"), "NrrdImageIO": (".nrrd", ".nhdr"), "MetaImageIO": (".mha", ".mhd")}


def _read_dicom(folder: Path) -> sitk.Image:
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise RefusalError(f"There is no DICOM series in {folder}; give the folder that holds the slices.")
    if len(series) > 1:
        raise RefusalError(
            f"{folder} holds {len(series)} DICOM series; move the one you want into a folder of its own."
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    return sitk.ReadImage(files)


def _looks_like_labels(array: np.ndarray) -> bool:
    """Few whole numbers counted up from zero, as segmentations have them."""
    if array.dtype.kind not in "biu" or array.size < 2 or array.min() != 0 or not 0 < array.max() <= MOST_LABELS:
        return False
    return bool(2 * len(np.unique(array)) > int(array.max()))
