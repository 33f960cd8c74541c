"""Which format a file is of, told by what it begins with and not by its name, and what its header says."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

from ..errors import RefusalError
from . import metaimage, nifti, nrrd
from .stored import Header, file_size

START = 1 << 16


def header(path: Path) -> Header | None:
    """What a file of a format other than DICOM says of its volume; None for DICOM."""
    check_name(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise RefusalError(f"There is no file or folder {path}; check the name.") from error
    except OSError as error:
        raise RefusalError(f"{path} cannot be opened: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        return None
    file_size(path)
    try:
        if path.name.lower().endswith((".img", ".img.gz")):
            path = _header_of(path)
        with open(path, "rb") as file:
            start = file.read(START)
        packed = start[:2] == b"\x1f\x8b"
        if packed:
            start = nifti.unpacked_start(start)
    except OSError as error:
        raise RefusalError(f"{path} cannot be opened: {error.strerror}.") from error
    except zlib.error as error:
        raise RefusalError(f"{path} is damaged: it cannot be unpacked; copy it again.") from error
    if nifti.is_header(start):
        return nifti.header(path, start[:1024], packed)
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


def check_name(path: Path) -> None:
    """Refuse what no file can be called, or C++ cannot be told."""
    try:
        os.fspath(path).encode("utf-8")
        os.path.lexists(path)
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise RefusalError(f"The name {shown} is not UTF-8; rename the file or folder.") from error
    except ValueError as error:
        raise RefusalError("The name of the file cannot be one; check it.") from error
