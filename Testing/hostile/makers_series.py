"""Makers of DICOM series that are unlike an ordinary one in one way."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    RLELossless,
)

from hostile.makers_dicom import COUNT, SECONDARY_CAPTURE, SPACING, STUDY, image, multi_frame, one, save, series, values


def edited(edit, **options):
    """A series after an edit of its slices."""
    return lambda folder: series(folder, edit, **options)


def frames(edit=None, **options):
    """A multi-frame file after an edit of its frames."""
    return lambda folder: multi_frame(folder, edit, **options)


def all_with(**changes):
    """A series in which every slice says something else."""
    return some_with(range(COUNT), **changes)


def some_with(which, **changes):
    """A series in which some slices say something else."""
    return edited(lambda k, data: [setattr(data, *change) for change in changes.items()] if k in which else None)


def without(*which: int):
    return edited(lambda k, data: k not in which)


def moved(shift):
    """A series whose slices lie elsewhere: shift(k) gives the way in mm."""

    def edit(k: int, data: Dataset) -> None:
        data.ImagePositionPatient = list(np.array(data.ImagePositionPatient, float) + shift(k))

    return edited(edit)


def with_more(*makers):
    """A sound series and something else in its folder."""

    def make(folder: Path) -> None:
        series(folder)
        for maker in makers:
            maker(folder)

    return make


def twice(**changes):
    """Two images of every place, the second of which say something else."""

    def edit(k: int, data: Dataset) -> None:
        for name, value in changes.items():
            setattr(data, name, value)

    return with_more(lambda folder: series(folder, edit, offset=COUNT))


def extra(name: str = "more.dcm", number: int = 0, uid: str = "7.7", **changes):
    """One more image, made from a slice of the series."""

    def make(folder: Path) -> None:
        data = one(number)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{uid}"
        for key, value in changes.items():
            setattr(data, key, value)
        save(folder / "scan", data, name)

    return make


def file_in_it(name: str, content: bytes):
    return lambda folder: (folder / "scan" / name).write_bytes(content)


def damaged(number: int, damage):
    """A series with one file whose bytes are changed."""

    def make(folder: Path) -> None:
        path = sorted(series(folder).iterdir())[number]
        path.write_bytes(damage(path.read_bytes()))

    return make


def written_as(syntax: str):
    """A sound series in another transfer syntax; the truth stands beside it."""

    def make(folder: Path) -> None:
        truth = series(folder)
        truth.rename(folder / "truth")
        for k in range(COUNT):
            data = one(k)
            data.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                data.PixelData = values(k).astype(">i2").tobytes()
            save(folder / "scan", data, f"{k}.dcm")

    return make


def lower(folder: Path) -> None:
    """A series one folder below the one that is named."""
    shutil.move(series(folder), folder / "ct")
    (folder / "scan").mkdir()
    shutil.move(folder / "ct", folder / "scan" / "ct")


def compressed(folder: Path) -> None:
    """A series that says it is JPEG 2000 and holds something else."""
    from pydicom.encaps import encapsulate

    def edit(k: int, data: Dataset) -> None:
        data.file_meta.TransferSyntaxUID = JPEG2000Lossless
        data.PixelData = encapsulate([b"no jpeg at all"])
        data["PixelData"].VR = "OB"

    series(folder, edit)


def run_length(make):
    """What a maker makes, compressed without loss; the truth stands beside it, uncompressed."""

    def maker(folder: Path) -> None:
        place = make(folder)
        place = place if place.is_dir() else place.parent
        shutil.copytree(place, folder / "truth")
        for path in place.iterdir():
            data = dcmread(path)
            data.compress(RLELossless, generate_instance_uid=False)
            data.save_as(path)

    return maker


def twelve_bits(k: int, data: Dataset) -> None:
    """CT as scanners store it: twelve bits without a sign, and something else in the other four."""
    data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = (values(k) % 4096).astype("<u2").tobytes()


def cut_fragments(folder: Path) -> None:
    compressed(folder)
    path = sorted((folder / "scan").iterdir())[3]
    path.write_bytes(path.read_bytes()[:-12])


def localizer_frame(k: int, data: Dataset) -> None:
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def frame_at(k: int, place: float):
    """An edit of frames that puts one of them elsewhere."""

    def edit(number: int, frame: Dataset) -> None:
        if number == k:
            frame.PlanePositionSequence[0].ImagePositionPatient = [10.0, -20.0, place]

    return edit


def frame_time(number: int, frame: Dataset) -> None:
    """Eight frames become four places at two times."""
    frame.PlanePositionSequence[0].ImagePositionPatient = [10.0, -20.0, 30.0 + SPACING * (number % 4)]
    frame.FrameContentSequence[0].TemporalPositionIndex = 1 + number // 4


def frame_scaling(number: int, frame: Dataset) -> None:
    scaling = Dataset()
    scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = number + 1, 5, "US"
    frame.PixelValueTransformationSequence = Sequence([scaling])


def scaled_right(folder: Path) -> None:
    """A check: each frame is scaled as it says itself."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "out.nrrd")))
    for k in range(COUNT):
        assert np.allclose(array[2 * k, ::2, ::2], values(k).astype(float) * (k + 1) + 5)


def old_multi_frame(**places):
    """Frames in one file without positions of their own; the truth stands beside it."""

    def make(folder: Path) -> None:
        series(folder).rename(folder / "truth")
        data = image(f"{SECONDARY_CAPTURE}.3")
        data.NumberOfFrames, data.PixelSpacing = COUNT, [0.75, 0.5]
        for name, value in places.items():
            setattr(data, name, value)
        data.PixelData = b"".join(values(k).tobytes() for k in range(COUNT))
        save(folder / "scan", data, "all.dcm")

    return make


def disordered(folder: Path) -> None:
    """A file whose frames are in no order; the truth stands beside it."""
    series(folder).rename(folder / "truth")
    multi_frame(folder, order=[0, 2, 4, 6, 1, 3, 5, 7])


def report() -> Dataset:
    """A DICOM file without an image."""
    data = image("1.2.840.10008.5.1.4.1.1.88.11")
    for name in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"):
        delattr(data, name)
    return data
