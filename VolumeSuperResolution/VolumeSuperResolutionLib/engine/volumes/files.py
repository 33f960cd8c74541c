"""Volumes from files and into files: read right or refused, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..errors import RefusalError
from . import dicom, itk, labels, metaimage, nifti, nrrd, stored
from .grid import Grid, Volume
from .itk import to_image

__all__ = [
    "Loaded",
    "check_apart",
    "check_writable",
    "from_image",
    "read",
    "read_by",
    "to_image",
    "write",
    "written_by",
]

# Endings that are written, and those of the files that some formats write beside the one that is named.
ENDINGS = {".nrrd": (), ".nhdr": (".raw.gz",), ".nii": (), ".nii.gz": (), ".mha": (), ".mhd": (".zraw",)}
START = 1024
# Of a scan, and no longer true of what is made from it.
NOT_OF_A_RESULT = ("SliceThickness", "SpacingBetweenSlices")


class Loaded(NamedTuple):
    """A volume from a file, and what the file and the voxels tell of it.

    `label_map` is None where it could be either. `metadata` are the file's own keys (NRRD, NIfTI, MetaImage), or DICOM
    values by keyword (Modality, SliceThickness, SpacingBetweenSlices as the positions have it, ...).
    """

    volume: Volume
    label_map: bool | None
    notes: tuple[str, ...]
    metadata: Mapping[str, str]


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


def read(path: str | Path, series: str | None = None) -> Loaded:
    """The volume in a file, or in a folder of DICOM slices.

    `series` picks one of several DICOM series by its UID or number; ":2" behind it, the second of the time points,
    echoes and the like that it holds.
    """
    path = Path(path)
    header = _header(path)
    if header is not None:
        header.grid.check()
        try:
            array, notes = stored.load(header)
        except OSError as error:
            raise RefusalError(f"{path} cannot be read to its end: {error.strerror}.") from error
        label_map = header.label_map if header.label_map is not None else labels.looks_like_labels(array)
        return Loaded(Volume(array, header.grid), label_map, (*header.notes, *notes), header.metadata)
    stack = dicom.select(path, series)
    stack.grid.check()
    array = itk.pixels(path, stack.slices)
    return Loaded(Volume(array, stack.grid), False, stack.notes, stack.metadata)


def read_by(path: str | Path) -> set[Path]:
    """Every file that reading a path would read."""
    path = Path(path)
    header = _header(path)
    if header is not None:
        return {path, *(part.path for part in header.parts)}
    return set(dicom.files_of(path)) if path.is_dir() else {path}


def written_by(path: str | Path) -> set[Path]:
    """Every file that writing to a path would write."""
    path = Path(path)
    ending = _ending(path)
    return {path, *(path.with_name(path.name[: -len(ending)] + second) for second in ENDINGS[ending])}


def check_apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse where a file that will be written is one that is read, whatever the two are called."""
    sources = list(read)
    for target in written:
        for source in sources:
            with suppress(OSError):
                if os.path.samefile(target, source):
                    raise RefusalError(f"{target} would overwrite what is read; give another name.")


def write(volume: Volume, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """The volume in a file, complete or not at all; what was there before stays until the new one is checked."""
    path = Path(path)
    check_writable(path)
    ending = _ending(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".vsr-") as folder:
            made = Path(folder) / (path.name[: -len(ending)] + ending)
            image = to_image(volume)
            for key, value in _keys(metadata or {}, ending).items():
                image.SetMetaData(key, value)
            with itk.quiet():
                sitk.WriteImage(image, str(made), useCompression=True)
            if ending.startswith(".nii") and "intent_code" in (metadata or {}):
                _keep_intent(made, metadata or {})
            _check_written(volume, made)
            _move(made, path)
    except (RuntimeError, OSError) as error:
        raise RefusalError(f"{path} cannot be written; check the space and the rights in its folder.") from error


def check_writable(path: Path) -> None:
    """Refuse a target that cannot be written, before anything is computed."""
    _check_name(path)
    if path.is_dir() or not path.parent.is_dir():
        raise RefusalError(f"{path} cannot be written: its folder does not exist, or it is a folder itself.")
    _ending(path)
    for each in written_by(path):
        if os.path.lexists(each) and not each.is_file():
            raise RefusalError(f"{each} is there already and no regular file; give another name.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".vsr-") as folder:
            for each in written_by(path):
                (Path(folder) / each.name).touch()
    except OSError as error:
        raise RefusalError(f"{path} cannot be written to: {error.strerror}; choose another folder or name.") from error


def _ending(path: Path) -> str:
    """The ending of a format that is written, in lower case."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return ending
    raise RefusalError(f"{path.name} has no ending of a volume format; use .nrrd, .nii.gz or .mha.")


def _check_name(path: Path) -> None:
    """Refuse what no file can be called, or C++ cannot be told."""
    try:
        os.fspath(path).encode("utf-8")
        os.path.lexists(path)
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise RefusalError(f"The name {shown} is not UTF-8; rename the file or folder.") from error
    except ValueError as error:
        raise RefusalError("The name of the file cannot be one; check it.") from error


def _header(path: Path) -> stored.Header | None:
    """What a file of a format other than DICOM says of its volume; None for DICOM."""
    _check_name(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise RefusalError(f"There is no file or folder {path}; check the name.") from error
    except OSError as error:
        raise RefusalError(f"{path} cannot be opened: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        return None
    stored.file_size(path)
    try:
        if path.name.lower().endswith((".img", ".img.gz")):
            path = _header_of(path)
        with open(path, "rb") as file:
            start = file.read(1 << 16)
        packed = start[:2] == b"\x1f\x8b"
        if packed:
            start = nifti.unpacked_start(start)
    except OSError as error:
        raise RefusalError(f"{path} cannot be opened: {error.strerror}.") from error
    except stored.zlib.error as error:
        raise RefusalError(f"{path} is damaged: it cannot be unpacked; copy it again.") from error
    if nifti.is_header(start):
        return nifti.header(path, start[:START], packed)
    if not packed and nrrd.is_header(start):
        return nrrd.header(path)
    if not packed and metaimage.is_header(start):
        return metaimage.header(path)
    if start[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".ima", ".dicom"):
        return None
    raise RefusalError(f"{path} cannot be read as a volume; give a NIfTI, NRRD, MetaImage or DICOM one.")


def _header_of(voxels: Path) -> Path:
    """The NIfTI header that a file of voxels belongs to."""
    stem = voxels.name[: voxels.name.lower().rindex(".img")]
    for ending in (".hdr", ".hdr.gz", ".HDR"):
        if voxels.with_name(stem + ending).is_file():
            return voxels.with_name(stem + ending)
    return voxels


def _keys(metadata: Mapping[str, str], ending: str) -> dict[str, str]:
    """The keys that a format keeps, and that are still true."""
    if ending.startswith(".nii"):
        names = {"descrip": "ITK_FileNotes", "aux_file": "aux_file"}
        return {names[key]: value for key, value in metadata.items() if key in names}
    kept = {
        key: value
        for key, value in metadata.items()
        if key not in NOT_OF_A_RESULT
        and not key.startswith(("NRRD_", "ITK_"))
        and not key.endswith(("_Extent", "Offset"))
    }
    if ending.startswith(".mh"):
        kept = {
            key: " ".join(value.split())
            for key, value in kept.items()
            if key not in metaimage.FIELDS and key.replace("_", "").isalnum() and value.strip()
        }
    return {key: value for key, value in kept.items() if key and not set(key) & set("\n\r") and ":=" not in key}


def _keep_intent(path: Path, metadata: Mapping[str, str]) -> None:
    """NIfTI's intent in the header of a file that was just written; SimpleITK has no word for it."""
    import gzip

    opener = gzip.open if path.name.endswith(".gz") else open
    changed = path.with_name("intent")
    with opener(path, "rb") as source, opener(changed, "wb") as target:
        target.write(nifti.with_metadata(source.read(348), metadata))
        while chunk := source.read(stored.CHUNK):
            target.write(chunk)
    os.replace(changed, path)


def _check_written(volume: Volume, made: Path) -> None:
    """Read back what was written: the header, and whether every voxel is there."""
    header = _header(made)
    if header is None or header.grid.size != volume.grid.size or header.dtype.newbyteorder("=") != volume.array.dtype:
        raise OSError(f"{made.name} is not what was written")
    near = np.allclose(header.grid.spacing, volume.grid.spacing, rtol=1e-4)
    if not near or not np.allclose(header.grid.direction, volume.grid.direction, atol=1e-3):
        raise RefusalError(f"The geometry of the result cannot be stored in {made.suffix} files; choose .nrrd.")
    try:
        stored.verify(header)
    except RefusalError as error:
        raise OSError("what was written is cut off") from error
    for part in made.parent.iterdir():
        with open(part, "rb+") as file:
            os.fsync(file.fileno())


def _move(made: Path, path: Path) -> None:
    """Give the checked files their names, voxels before header; what they replace comes back where that fails."""
    ending = _ending(made)
    parts = sorted(made.parent.iterdir(), key=lambda part: part.name == made.name)
    replaced: list[tuple[Path, Path | None]] = []
    try:
        for number, part in enumerate(parts):
            target = path if part.name == made.name else path.with_name(part.name)
            kept = None
            if len(parts) > 1 and target.exists():
                kept = made.parent / f"{number}{ending}.old"
                os.replace(target, kept)
            replaced.append((target, kept))
            os.replace(part, target)
    except OSError:
        for target, kept in replaced:
            with suppress(OSError):
                if kept is not None:
                    os.replace(kept, target)
                elif len(parts) > 1:
                    target.unlink()
        raise
