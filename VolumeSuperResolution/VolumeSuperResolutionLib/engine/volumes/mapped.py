"""Arrays that lie in files instead of in memory: scans where they are, results where they will be.

Such an array is used as any other, but what it holds is in the system's cache, which lets go of it where memory is
short. Every file gets all of its room on the disk before it is mapped: a full disk can then be told, as nothing that is
written into a mapped file later can fail any more.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
import tempfile
import weakref
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import RefusalError
from . import itk, nifti, stored, writing
from .grid import Grid, Volume
from .headers import header as header_of
from .stored import Header, Part

# How headers write the size of a volume of two voxels an axis, and of any.
TINY = (2, 2, 2)
SIZES = {
    "nrrd": (rb"^sizes: 2 2 2$", b"sizes: %d %d %d"),
    "metaimage": (rb"^DimSize = 2 2 2\s*$", b"DimSize = %d %d %d"),
}
# What file systems answer that cannot set room aside.
NO_SUCH_SERVICE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Scratch:
    """Arrays in files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._lasting: dict[Path, weakref.ref[mmap.mmap]] = {}

    def empty(self, shape: int | Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        """As np.empty; the file goes when the array does."""
        dtype = np.dtype(dtype)
        handle, name = tempfile.mkstemp(dir=self.folder)
        os.close(handle)
        path, shape = Path(name), (shape,) if isinstance(shape, int) else tuple(shape)
        self._make_room(path, _count(shape) * dtype.itemsize)
        array = self._map(path, shape, dtype, 0, writable=True)
        with suppress(OSError):  # Windows keeps it as long as the folder
            path.unlink()
        return array

    def lasting(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike, there: bool) -> np.ndarray:
        """The same in a file that stays, by its name; `there`: the one that is there already."""
        path, dtype = self.folder / name, np.dtype(dtype)
        if not there:
            path.write_bytes(b"")
            self._make_room(path, _count(shape) * dtype.itemsize)
        return self._map(path, shape, dtype, 0, writable=True, lasting=True)

    def load(self, header: Header) -> tuple[np.ndarray, tuple[str, ...]]:
        """As stored.load: the voxels where they lie, or, where they are not there as they are used, in a copy."""
        whole = stored.whole(header)
        if whole is None:
            return stored.load(header, self.empty)
        offset, notes = whole
        return self._map(header.parts[0].path, header.grid.size[::-1], header.dtype, offset), notes

    def create(self, made: Path, grid: Grid, dtype: np.dtype, metadata: Mapping[str, str]) -> np.ndarray:
        """A new volume file that is whole but for the values of its voxels, and the array that these are put into."""
        path, offset = _write_header(made, grid, dtype, metadata)
        self._make_room(path, offset + _count(grid.size) * dtype.itemsize)
        writing.check_written(grid, dtype, made)
        return self._map(path, grid.size[::-1], dtype, offset, writable=True, lasting=True)

    def reopen(self, made: Path, grid: Grid, dtype: np.dtype, metadata: Mapping[str, str]) -> np.ndarray:
        """The array of a file that `create` made with the same."""
        writing.check_written(grid, dtype, made)
        part = _part_of(made)
        return self._map(part.path, grid.size[::-1], dtype, part.offset or 0, writable=True, lasting=True)

    def flush(self) -> dict[str, int]:
        """Bring all that lasts to the disk; the names of its files and their sizes."""
        sizes = {}
        for path, reference in self._lasting.items():
            held = reference()
            if held is not None:
                held.flush()
            for file in {path, *path.parent.glob("*")} if path.parent != self.folder else {path}:
                with open(file, "rb+") as opened:
                    os.fsync(opened.fileno())
                sizes[file.relative_to(self.folder).as_posix()] = os.path.getsize(file)
        return sizes

    def relax(self) -> None:
        """Leave to the system what was looked at so far: this process no longer counts as holding it."""
        for each in list(self._maps):
            if hasattr(each, "madvise"):
                each.madvise(mmap.MADV_DONTNEED)

    def _make_room(self, path: Path, size: int) -> None:
        try:
            with open(path, "r+b") as file:
                _set_aside(file, size)
        except OSError as error:
            raise RefusalError(
                f"There is no space for a file of {size / 1e6:.0f} MB in {self.folder} ({error.strerror}); free some, "
                "or give the result a name on another disk."
            ) from error

    def _map(
        self,
        path: Path,
        shape: Sequence[int],
        dtype: np.dtype,
        offset: int,
        writable: bool = False,
        lasting: bool = False,
    ) -> np.ndarray:
        with open(path, "r+b" if writable else "rb") as file:
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        self._maps.add(held)
        if lasting:
            self._lasting[path] = weakref.ref(held)
        return np.frombuffer(held, dtype, _count(shape), offset).reshape(shape)


def clear(folder: Path, kept: Collection[str]) -> None:
    """Remove all files below a folder but some, by their names from there."""
    for path in list(folder.rglob("*")):
        if not path.is_dir() and path.relative_to(folder).as_posix() not in kept:
            path.unlink()


def _count(shape: Sequence[int]) -> int:
    return int(np.prod([int(n) for n in shape], dtype=object))


def _set_aside(file: BinaryIO, size: int) -> None:
    """Let a file grow to a size, all of it on the disk."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_SUCH_SERVICE:
            raise
        left = size - file.seek(0, os.SEEK_END)
        while left > 0:
            left -= file.write(bytes(min(left, stored.CHUNK)))


def _write_header(made: Path, grid: Grid, dtype: np.dtype, metadata: Mapping[str, str]) -> tuple[Path, int]:
    """A header without voxels, as SimpleITK writes it, but for any size; where the voxels are to be.

    It is that of a tiny volume, in which then only the size is another.
    """
    image = itk.to_image(Volume(np.zeros(TINY, dtype), replace(grid, size=TINY)))
    for key, value in writing.keys(metadata, made.suffix).items():
        image.SetMetaData(key, value)
    with itk.quiet():
        sitk.WriteImage(image, str(made), useCompression=False)
    if made.suffix == ".nii" and "intent_code" in metadata:
        writing.keep_intent(made, metadata)
    part = _part_of(made)
    alone = part.path != made
    text = _resized(made, made.read_bytes()[: None if alone else part.offset], grid.size)
    made.write_bytes(text)
    if not alone:
        return made, len(text)
    part.path.write_bytes(b"")
    return part.path, 0


def _part_of(made: Path) -> Part:
    """Where a file that was just written has its voxels."""
    try:
        found = header_of(made)
        if found is None:
            raise OSError("what was written is something else")
    except RefusalError as error:
        raise OSError("what was written is not whole") from error
    return found.parts[0]


def _resized(made: Path, text: bytes, size: Sequence[int]) -> bytes:
    """The header of a tiny volume as that of one of another size."""
    if made.suffix == ".nii":
        layout, place = nifti.FIELDS["dim"][0]
        try:
            dim = struct.pack("=" + layout, len(size), *size, 1, 1, 1, 1)
        except struct.error as error:
            raise RefusalError("NIfTI files hold up to 32767 voxels along an axis; choose .nrrd or .mha.") from error
        return text[:place] + dim + text[place + len(dim) :]
    pattern, words = SIZES["metaimage" if made.suffix.startswith(".mh") else "nrrd"]
    changed, count = re.subn(pattern, words % tuple(size), text, count=1, flags=re.MULTILINE)
    assert count == 1
    return changed
