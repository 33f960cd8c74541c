"""Makers of DICOM series of every kind, by pydicom: `series(folder, edit)` makes a sound one and edits its slices.

An edit gets (number, slice) and may return False, so that the slice is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ORIENTATION = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)  # rows run along y, columns along -x: the normal is z
ORIGIN = (10.0, -20.0, 30.0)
SPACING = 3.0
COUNT = 8
ROWS, COLUMNS = 6, 7
STUDY = "1.2.826.0.1.3680043.8.498.1"

Edit = Callable[[int, Dataset], object]


def image(kind: str = MRImageStorage, uid: str = f"{STUDY}.1.1", syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """What every file has."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
    data.file_meta.TransferSyntaxUID = syntax
    data.StudyInstanceUID, data.SeriesInstanceUID, data.SeriesNumber = STUDY, f"{STUDY}.1", 1
    data.FrameOfReferenceUID = f"{STUDY}.9"
    data.PatientName, data.PatientID, data.Modality = "Nobody", "0", "MR"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    data.Rows, data.Columns, data.SamplesPerPixel = ROWS, COLUMNS, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    return data


def values(number: int, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """The voxels of a slice: in a series, no two are alike."""
    return (1000 * number + np.arange(rows * columns)).reshape(rows, columns).astype(np.int16)


def one(number: int, count: int = COUNT, series: int = 1, offset: int = 0) -> Dataset:
    """Slice `number` (from 0) of a sound series."""
    data = image(uid=f"{STUDY}.{series}.{offset + number + 1}")
    data.SeriesInstanceUID, data.SeriesNumber = f"{STUDY}.{series}", series
    data.InstanceNumber = offset + number + 1
    data.SeriesDescription = f"series {series}"
    data.PixelSpacing, data.SliceThickness, data.SpacingBetweenSlices = [0.75, 0.5], 2.5, SPACING
    data.ImageOrientationPatient = list(ORIENTATION)
    data.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + SPACING * number]
    data.EchoTime, data.RepetitionTime = 10.0, 500.0
    data.PixelData = values(number).tobytes()
    return data


def save(folder: Path, data: Dataset, name: str) -> Path:
    """A file of a series."""
    folder.mkdir(exist_ok=True)
    data.save_as(folder / name, enforce_file_format=True)
    return folder / name


def series(folder: Path, edit: Edit | None = None, count: int = COUNT, number: int = 1, offset: int = 0) -> Path:
    """A sound series in the folder `scan`, after an edit; names run against positions."""
    place = folder / "scan"
    for k in range(count):
        data = one(k, count, number, offset)
        if edit is None or edit(k, data) is not False:
            save(place, data, f"{number}-{offset + count - k:04d}.dcm")
    return place


def multi_frame(folder: Path, edit: Edit | None = None, count: int = COUNT, order=None) -> Path:
    """An enhanced MR file with a position for each frame; an edit gets each frame's functional groups."""
    data = image(ENHANCED_MR)
    data.NumberOfFrames = count
    shared = Dataset()
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [0.75, 0.5], 2.5, SPACING
    turned = Dataset()
    turned.ImageOrientationPatient = list(ORIENTATION)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([turned])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames, pixels = [], b""
    for place, k in enumerate(range(count) if order is None else order):
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + SPACING * k]
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", place + 1, [1, place + 1]
        frame.PlanePositionSequence, frame.FrameContentSequence = Sequence([position]), Sequence([content])
        if edit is not None:
            edit(k, frame)
        frames.append(frame)
        pixels += values(k).tobytes()
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = pixels
    return save(folder / "scan", data, "all.dcm")
