"""What each image in DICOM files says of itself: where it lies, how it was taken, whether all of it is there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import RefusalError
from . import elements
from .stored import FARTHEST

# Keywords that later tell how the scan was taken; none of them says whose it is.
KEPT = {
    0x00080060: "Modality",
    0x00180015: "BodyPartExamined",
    0x00180020: "ScanningSequence",
    0x00180023: "MRAcquisitionType",
    0x00180050: "SliceThickness",
    0x00180080: "RepetitionTime",
    0x00180081: "EchoTime",
    0x00180087: "MagneticFieldStrength",
    0x00181210: "ConvolutionKernel",
    0x00181314: "FlipAngle",
}
ENHANCED_ECHO, B_VALUE, TIME_INDEX = 0x00189082, 0x00189087, 0x00209128
SHARED, PER_FRAME = 0x52009229, 0x52009230
PLANE_POSITION, PLANE_ORIENTATION, MEASURES, VALUES = 0x00209113, 0x00209116, 0x00289110, 0x00289145
FRAME_CONTENT, MR_ECHO, MR_DIFFUSION, DETECTOR = 0x00209111, 0x00189114, 0x00189117, 0x00540022
PIXEL_DATA = 0x7FE00010
# Little endian with and without types, big endian, deflated.
UNCOMPRESSED = ("", elements.IMPLICIT, "1.2.840.10008.1.2.1", elements.BIG_ENDIAN, elements.DEFLATED)
MOST_FRAMES = 1 << 16


class Slice(NamedTuple):
    """One image: a file, or a frame of a file."""

    path: Path
    frame: int
    frames: int
    uid: str
    series: str
    number: str
    description: str
    instance: int
    kind: str
    localizer: bool
    samples: int
    photometric: str
    shape: tuple[int, int]
    spacing: tuple[float, ...]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    between: float
    tilt: float
    # What may tell apart images of one place, by the word for several of it.
    marks: dict[str, object]
    # Bits allocated, bits stored, highest bit, signed.
    pixel_format: tuple[int, int, int, int]
    scaling: tuple[float, float]
    syntax: str
    # Bytes of pixels: expected in the file, and found (None: compressed and complete).
    expected: int
    stored: int | None
    # Where they begin, and where deflated elements do; None where SimpleITK has to decode them.
    place: int | None
    deflated: int | None
    expected_images: int
    kept: dict[str, str]


class Found(NamedTuple):
    """The images in some files, and how many files held none."""

    slices: list[Slice]
    without_image: int
    foreign: int


def find(paths: Iterable[Path]) -> Found:
    """Every image in the files."""
    slices: list[Slice] = []
    without = foreign = 0
    for path in paths:
        try:
            file = elements.read(path) if path.stat().st_size else None
        except elements.DamagedError as error:
            raise RefusalError(
                f"{path} is a DICOM file that is cut off or damaged; copy it again, or take it out of the folder."
            ) from error
        except OSError as error:
            raise RefusalError(f"{path} cannot be opened; check the rights.") from error
        if file is None:
            foreign += 1
        elif file.pixels is None and not file.item.packed(0x00280010, "H"):
            without += 1
        else:
            slices += _images(path, file)
    return Found(slices, without, foreign)


def files_of(folder: Path) -> list[Path]:
    """The regular files of a folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_file())
    except OSError as error:
        raise RefusalError(f"{folder} cannot be opened; check the rights.") from error


def _stored(path: Path, file: elements.File) -> dict[str, Any]:
    """How the pixels of a file are laid out, as a slice says it."""
    item, pixels = file.item, file.pixels or elements.Pixels(0, False)
    rows, columns, samples, allocated, bits, high, signed = (
        int(item.packed(tag, "H") or 0)
        for tag in (0x00280010, 0x00280011, 0x00280002, 0x00280100, 0x00280101, 0x00280102, 0x00280103)
    )
    frames = item.integer(0x00280008) or 1
    if not (0 < frames <= MOST_FRAMES and rows and columns):
        raise RefusalError(f"{path} promises {frames} images of {rows} x {columns} voxels; it is damaged.")
    expected = (rows * columns * max(1, samples) * frames * allocated + 7) // 8
    stored = pixels.stored if pixels.complete or pixels.stored is not None else 0
    if pixels.complete and pixels.stored is not None and pixels.stored >= expected:
        stored = expected
    plain = pixels.tag == PIXEL_DATA and file.transfer_syntax in UNCOMPRESSED and bits <= high + 1 <= allocated
    plain = plain and not (allocated == 8 and file.transfer_syntax == elements.BIG_ENDIAN)
    return {
        "frames": frames,
        "samples": max(1, samples),
        "shape": (rows, columns),
        "pixel_format": (allocated, bits, high, signed),
        "syntax": file.transfer_syntax,
        "expected": expected,
        "stored": stored,
        "place": pixels.place if plain else None,
        "deflated": file.deflated,
    }


def _images(path: Path, file: elements.File) -> list[Slice]:
    item = file.item
    pixels = _stored(path, file)
    frames = pixels["frames"]
    shared = item.inside(SHARED)
    groups = item.get(PER_FRAME)
    groups = groups if isinstance(groups, list) else []
    if groups and len(groups) != frames:
        raise RefusalError(f"{path} holds {frames} images and the positions of {len(groups)}; it is damaged.")
    kinds = item.text(0x00080008).upper().split("\\")
    kept = {word: item.text(tag) for tag, word in KEPT.items() if item.text(tag)}
    images = []
    for frame in range(frames):
        own = groups[frame] if groups else None
        position, orientation, measures = _place(item, shared, own)
        if own is None and frames > 1:
            position = _counted_on(position, orientation, measures, frame)
        spacing = measures.floats(0x00280030) or item.floats(0x00281164)
        thickness = measures.text(0x00180050)
        images.append(
            Slice(
                path=path,
                frame=frame,
                uid=item.text(0x00080018),
                series=item.text(0x0020000E),
                number=item.text(0x00200011),
                description=item.text(0x0008103E),
                instance=item.integer(0x00200013) or 0,
                kind=item.text(0x00080016),
                localizer="LOCALIZER" in kinds,
                photometric=item.text(0x00280004).upper(),
                spacing=spacing if len(spacing) == 2 else (),
                orientation=_finite(orientation, 6),
                position=_finite(position, 3),
                between=abs((measures.floats(0x00180088) or (0.0,))[0]),
                tilt=(item.floats(0x00181120) or (0.0,))[0],
                marks=_marks(item, own, kinds),
                scaling=_scaling(item, shared, own),
                expected_images=item.integer(0x00201002) or 0,
                kept={**kept, **({"SliceThickness": thickness} if thickness else {})},
                **pixels,
            )
        )
    return images


def _counted_on(position: tuple, orientation: tuple, item: elements.Item, frame: int) -> tuple[float, ...]:
    """Where a frame lies that says no position of its own, from the first position and the spacing; else unknown."""
    step = item.floats(0x00180088)
    if not step or not step[0] or len(position) != 3 or len(orientation) != 6:
        return ()
    normal = np.cross(orientation[:3], orientation[3:])
    return tuple(np.array(position) + normal * step[0] * frame)


def _finite(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    return values if len(values) == count and (np.abs(values) < FARTHEST).all() else ()


def _place(
    item: elements.Item, shared: elements.Item, own: elements.Item | None
) -> tuple[tuple[float, ...], tuple[float, ...], elements.Item]:
    """Position, orientation, and where pixel spacing and thickness are said."""
    if own is None:
        place = item if 0x00200032 in item else item.inside(DETECTOR)
        return place.floats(0x00200032), (place.floats(0x00200037) or item.floats(0x00200037)), item

    def group(tag: int) -> elements.Item:
        return own.inside(tag) or shared.inside(tag)

    return (
        group(PLANE_POSITION).floats(0x00200032),
        group(PLANE_ORIENTATION).floats(0x00200037),
        group(MEASURES),
    )


def _marks(item: elements.Item, own: elements.Item | None, kinds: list[str]) -> dict[str, object]:
    marks: dict[str, object] = {
        "time points": item.text(0x00200100),
        "echoes": item.text(0x00180081),
        "echo numbers": item.text(0x00180086),
        "b-values": item.packed(B_VALUE, "d"),
        "image types": "\\".join(kinds),
        "heart phases": item.text(0x00181060),
        "acquisitions": item.text(0x00200012),
        "acquisition times": item.text(0x00080032),
        "content times": item.text(0x00080033),
    }
    if own is not None:
        marks["time points"] = own.inside(FRAME_CONTENT).packed(TIME_INDEX, "I") or ""
        marks["echoes"] = own.inside(MR_ECHO).packed(ENHANCED_ECHO, "d") or ""
        marks["b-values"] = own.inside(MR_DIFFUSION).packed(B_VALUE, "d")
    return marks


def _scaling(item: elements.Item, shared: elements.Item, own: elements.Item | None) -> tuple[float, float]:
    place = item
    if own is not None:
        place = own.inside(VALUES) or shared.inside(VALUES) or item
    return (place.floats(0x00281053) or (1.0,))[0], (place.floats(0x00281052) or (0.0,))[0]
