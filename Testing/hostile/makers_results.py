"""Makers of scans whose results are hard to write or to compute, what hinders the writing, and checks of what came."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from hostile.makers import scan
from hostile.makers_files import Maker, noise

OLDER = b"an older result"


@contextmanager
def full_disk(after: int = 10_000) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a full disk or over a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def large_beside(*older: str) -> Maker:
    """A scan whose result is larger than a full disk takes, and older results."""

    def make(folder: Path) -> None:
        scan(folder, array=noise((20, 30, 30), np.float32))
        for name in older:
            (folder / name).write_bytes(OLDER)

    return make


def linked(link: Callable[[str, str], None] = os.symlink, name: str = "out.nrrd") -> Maker:
    """An output that is the input by another name."""

    def make(folder: Path) -> None:
        scan(folder)
        link(str(folder / "scan.nrrd"), str(folder / name))

    return make


def detached(voxels: str) -> Maker:
    """An NRRD header whose voxels lie in a file of this name."""

    def make(folder: Path) -> None:
        scan(folder, "scan.nhdr")
        (folder / "scan.raw").rename(folder / voxels)
        header = folder / "scan.nhdr"
        header.write_text(header.read_text().replace("scan.raw", voxels))

    return make


def halves(dtype: type) -> Maker:
    """Voxels near the lowest and, in the other half, near the highest value of a type; at it at the border."""
    limits = np.iinfo(dtype)
    reach = int(limits.max) - int(limits.min)
    array = np.random.default_rng(0).integers(0, reach // 32, (8, 9, 10), np.uint64)
    array[:, :, 5:] = np.uint64(reach) - array[:, :, 5:]
    array[:, :, 0], array[:, :, -1] = 0, reach
    array = (array + np.uint64(int(limits.min) % 2**64)).astype(dtype)
    return lambda folder: scan(folder, array=array)


def held(dtype: type, exact: bool) -> Callable[[Path], None]:
    """A check: nothing wraps round, and the limits are where they were."""
    limits = np.iinfo(dtype)

    def check(folder: Path) -> None:
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out.nrrd")))
        assert array.dtype == dtype
        if exact:
            assert (array[:, :, 0] == limits.min).all() and (array[:, :, -1] == limits.max).all()
        # A quarter on each side, where no edge is near.
        quarter = (int(limits.max) - int(limits.min)) // 4
        assert (array[:, :, :8] < int(limits.min) + quarter).all()
        assert (array[:, :, -8:] > int(limits.max) - quarter).all()

    return check


def waves(unit: float, offset: float, dtype: type = np.float64) -> np.ndarray:
    """A smooth scan that spans 2 units around an offset."""
    k, j, i = np.meshgrid(*[np.linspace(0, 6, n) for n in (8, 9, 10)], indexing="ij")
    smooth = np.sin(i + j) * np.cos(k)
    smooth.flat[::7] += 0.01 * np.random.default_rng(0).normal(size=len(smooth.flat[::7]))
    if np.dtype(dtype).kind == "f":
        return (offset + unit * smooth).astype(dtype)
    return (np.rint(unit * smooth).astype(np.int64).view(np.uint64) + np.uint64(int(offset))).astype(dtype)


def as_waves(unit: float, offset: float, dtype: type = np.float64) -> Maker:
    """A scan of such values."""
    return lambda folder: scan(folder, array=waves(unit, offset, dtype))


def within(unit: float, offset: float) -> Callable[[Path], None]:
    """A check: in units of the scan, the result is what it is for a scan that spans 2 around zero."""

    def check(folder: Path) -> None:
        from VolumeSuperResolutionLib.engine.upscale import Request, upscale
        from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

        array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out.nrrd")))
        if array.dtype.kind == "f":
            around = array.astype(np.float64) - offset
        else:
            around = (array.astype(np.uint64) - np.uint64(int(offset))).view(np.int64).astype(np.float64)
        plain = Volume(waves(1.0, 0.0), Grid((10, 9, 8)))
        expected = upscale(plain, Request("linear", scale=(2, 2, 2))).volume.array
        # The steps of the scan's own type, where they are coarser.
        scanned = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "scan.nrrd")))
        step = float(np.spacing(np.abs(scanned).max())) / unit if scanned.dtype.kind == "f" else 1 / unit
        assert np.abs(around / unit - expected).max() < 1e-3 + 4 * step

    return check


def with_keys(name: str, **keys: str) -> Maker:
    """A scan with keys of its own."""

    def make(folder: Path) -> None:
        image = sitk.GetImageFromArray(noise())
        for key, value in keys.items():
            image.SetMetaData(key, value)
        sitk.WriteImage(image, str(folder / name))

    return make


def tells(name: str, **keys: str | None) -> Callable[[Path], None]:
    """A check: the result has these keys; None: it has not."""

    def check(folder: Path) -> None:
        image = sitk.ReadImage(str(folder / name))
        for key, value in keys.items():
            assert image.HasMetaDataKey(key) == (value is not None), key
            assert value is None or image.GetMetaData(key).strip() == value, (key, image.GetMetaData(key))

    return check
