"""Makers of files of every format, sound and damaged, and the check that a result lies where its scan lies.

`cut("scan.nii.gz", 1)` is a maker: a sound scan of which one byte is missing at the end.
"""

from __future__ import annotations

import gzip
import itertools
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hostile.makers import ramp, scan

Maker = Callable[[Path], object]
# Every format that is read, by a file name that SimpleITK writes it under.
NAMES = ("scan.nii", "scan.nii.gz", "scan.hdr", "scan.nrrd", "scan.nhdr", "scan.mha", "scan.mhd")
VOXELS = {"scan.hdr": "scan.img", "scan.nhdr": "scan.raw", "scan.mhd": "scan.raw"}


def noise(shape: tuple[int, ...] = (9, 10, 11), dtype: type = np.int16, high: float = 1000) -> np.ndarray:
    """Voxels that nobody takes for labels."""
    return np.random.default_rng(0).uniform(0, high, shape).astype(dtype)


def cut(name: str, less: int | None) -> Maker:
    """A scan whose voxels end `less` bytes too early; None: of which there is only the header."""

    def make(folder: Path) -> None:
        scan(folder, name)
        path = folder / VOXELS.get(name, name)
        data = path.read_bytes()
        if less is None:
            keep = 0 if name in VOXELS else len(data) - ramp().nbytes
            keep = 10 if name.endswith(".gz") else keep
        else:
            keep = len(data) - less
        path.write_bytes(data[:keep])

    return make


def without_voxels(name: str) -> Maker:
    """A header whose file of voxels is not there."""

    def make(folder: Path) -> None:
        scan(folder, name)
        (folder / VOXELS[name]).unlink()

    return make


def packed(name: str, damage: Callable[[bytes], bytes] = bytes) -> Maker:
    """A compressed scan and what was done to its bytes."""

    def make(folder: Path) -> None:
        image = sitk.ReadImage(str(scan(folder, "made.nrrd", noise())))
        (folder / "made.nrrd").unlink()
        sitk.WriteImage(image, str(folder / name), True)
        (folder / name).write_bytes(damage((folder / name).read_bytes()))

    return make


def flipped(place: int, value: int = 0xFF) -> Callable[[bytes], bytes]:
    """One byte changed; a place below zero counts from the end."""

    def damage(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= value
        return bytes(changed)

    return damage


def nifti(*changes: tuple, name: str = "scan.nii", more: bytes = b"") -> Maker:
    """A NIfTI scan with values in its header changed: (place, struct format, values...)."""

    def make(folder: Path) -> None:
        scan(folder, "made.nii")
        data = bytearray((folder / "made.nii").read_bytes())
        (folder / "made.nii").unlink()
        for place, layout, *values in changes:
            struct.pack_into("<" + layout, data, place, *values)
        (folder / name).write_bytes(gzip.compress(bytes(data)) if name.endswith(".gz") else bytes(data) + more)

    return make


def and_the_truth(maker: Maker, made: str = "scan.nii") -> Maker:
    """What a maker makes, named scan.nii, and beside it what it should be taken for."""

    def make(folder: Path) -> None:
        maker(folder)
        (folder / made).rename(folder / "scan.nii")
        scan(folder, "truth.nii")

    return make


def nifti_two(order: str = "<", name: str = "scan.nii") -> Maker:
    """A NIfTI-2 file, written out field by field, of either byte order."""

    def make(folder: Path) -> None:
        head = bytearray(544)
        struct.pack_into(order + "i8s", head, 0, 540, b"n+2\0\r\n\x1a\n")
        struct.pack_into(order + "hh8q", head, 12, 4, 16, 3, 7, 6, 5, 1, 1, 1, 1)
        struct.pack_into(order + "8d", head, 104, 1, 0.5, 0.75, 2, 1, 1, 1, 1)
        struct.pack_into(order + "q2d", head, 168, 544, 1, 0)
        struct.pack_into(order + "ii", head, 344, 0, 1)
        struct.pack_into(order + "12d", head, 400, 0, 0.75, 0, -10, -0.5, 0, 0, 20, 0, 0, 2, 30)
        struct.pack_into(order + "i", head, 500, 2)
        (folder / name).write_bytes(bytes(head) + ramp().astype(order + "i2").tobytes())
        scan(folder, "truth.nrrd")

    return make


def nifti_swapped(folder: Path) -> None:
    """A NIfTI-1 file of the other byte order: the fields that are used, turned round one by one."""
    scan(folder, "scan.nii")
    data = bytearray((folder / "scan.nii").read_bytes())
    for place, layout in [(0, "i"), (40, "8h"), (56, "3f"), (68, "4h"), (76, "8f"), (108, "3f"), (120, "h")]:
        struct.pack_into(">" + layout, data, place, *struct.unpack_from("<" + layout, data, place))
    data[120:124] = data[123:119:-1][::-1]
    for place, layout in [(252, "2h"), (256, "6f"), (280, "12f")]:
        struct.pack_into(">" + layout, data, place, *struct.unpack_from("<" + layout, data, place))
    data[352:] = ramp().astype(">i2").tobytes()
    (folder / "scan.nii").write_bytes(data)


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nendian: little\nencoding: raw\n"
PLACED = "space: LPS\nspace directions: (0.5,0,0) (0,0.75,0) (0,0,2)\nspace origin: (10,-20,30)\n"
META = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 7 6 5\n"
META += "ElementSpacing = 0.5 0.75 2\nElementType = MET_SHORT\n"
RAW = ramp().tobytes()


def nrrd(extra: str = PLACED, data: bytes = RAW, change: tuple[str, str] = ("", ""), **files: bytes) -> Maker:
    """An NRRD file: a header with lines added and changed, voxels, and files beside it by their stems."""
    return _text("scan.nrrd", NRRD + extra, "\n", data, change, files)


def meta(extra: str = "", data: bytes = RAW, change: tuple[str, str] = ("", ""), end: str = "LOCAL", **files) -> Maker:
    """A MetaImage file, likewise."""
    return _text("scan.mha", META + extra, f"ElementDataFile = {end}\n", data, change, files)


def _text(name: str, head: str, end: str, data: bytes, change: tuple[str, str], files: dict[str, bytes]) -> Maker:
    def make(folder: Path) -> None:
        changed = re.sub(change[0], change[1], head, flags=re.MULTILINE) if change[0] else head
        (folder / name).write_bytes((changed + end).encode() + data)
        for stem, content in files.items():
            (folder / f"{stem}.raw").write_bytes(content)

    return make


def deflated(data: bytes = RAW) -> bytes:
    """zlib data, as MetaImage holds it."""
    return zlib.compress(data)


def values(array: np.ndarray, name: str = "scan.nrrd") -> Maker:
    """A scan with these voxels."""
    return lambda folder: scan(folder, name, array)


def pipe(folder: Path) -> None:
    """A named pipe, which nobody writes to."""
    os.mkfifo(folder / "scan.nrrd")


def link(target: str) -> Maker:
    """A link to something that is no file."""
    return lambda folder: (folder / "scan.nrrd").symlink_to(target)


def in_place(source: str = "scan.nrrd", result: str = "out.nrrd") -> Callable[[Path], None]:
    """A check: SimpleITK puts the corners and the middle of what was read and of what was written at one place."""

    def check(folder: Path) -> None:
        before, after = _image(folder / source), _image(folder / result)
        for part in itertools.product((0, 0.5, 1), repeat=3):
            points = [
                image.TransformContinuousIndexToPhysicalPoint([p * n - 0.5 for p, n in zip(part, image.GetSize())])
                for image in (before, after)
            ]
            assert np.allclose(*points, rtol=0, atol=1e-3), f"{part}: {points}"

    return check


def same_values(source: str = "scan.nrrd", result: str = "out.nrrd") -> Callable[[Path], None]:
    """A check for --model nearest --scale 2: every voxel is that of SimpleITK, eight times, in its own type."""

    def check(folder: Path) -> None:
        before, after = (sitk.GetArrayFromImage(_image(folder / name)) for name in (source, result))
        assert before.dtype == after.dtype
        assert np.array_equal(after, before.repeat(2, 0).repeat(2, 1).repeat(2, 2))

    return check


def both(*checks: Callable[[Path], None]) -> Callable[[Path], None]:
    """Several checks."""

    def check(folder: Path) -> None:
        for each in checks:
            each(folder)

    return check


def _image(path: Path) -> sitk.Image:
    if path.is_dir() and len(files := sorted(path.iterdir())) == 1:
        return sitk.ReadImage(str(files[0]))
    if path.is_dir():
        return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
    return sitk.ReadImage(str(path))
