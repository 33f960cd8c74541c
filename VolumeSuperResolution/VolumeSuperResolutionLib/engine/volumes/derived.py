"""A result as a DICOM series of its own, derived from the series that it was made from: whole or not at all.

Patient, study and frame of reference are those of the scan; series, instances, geometry and scaling are the result's.
The elements are written out here because SimpleITK writes no sequences, and nothing else is at hand everywhere.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..callbacks import Cancel, Progress, end_if
from ..errors import RefusalError
from . import MAKER, dicom, elements
from .grid import Grid, Volume
from .slices import Slice
from .writing import TEMPORARY

Values = dict[int, tuple[str, bytes]]

# What a result has in common with its scan, and how it is written; all of it is text.
KEPT = {
    **dict.fromkeys((0x00080020, 0x00080022, 0x00100030), "DA"),
    **dict.fromkeys((0x00080030, 0x00080032), "TM"),
    **dict.fromkeys((0x00080090, 0x00100010), "PN"),
    **dict.fromkeys((0x00080050, 0x00181210, 0x00200010), "SH"),
    **dict.fromkeys((0x00080080, 0x00081030, 0x00100020, 0x00181030, 0x00201040), "LO"),
    **dict.fromkeys((0x00080005, 0x00080060, 0x00100040, 0x00180015, 0x00180020, 0x00180021, 0x00180022), "CS"),
    **dict.fromkeys((0x00180023, 0x00185100, 0x00200060, 0x00282110, 0x00282114), "CS"),
    **dict.fromkeys((0x00101030, 0x00180060, 0x00180080, 0x00180081, 0x00180087, 0x00181314, 0x00282112), "DS"),
    **dict.fromkeys((0x00281050, 0x00281051), "DS"),
    **dict.fromkeys((0x00180091, 0x00200012), "IS"),
    **dict.fromkeys((0x0020000D, 0x00200052), "UI"),
    0x00101010: "AS",
    0x00281054: "LO",
}
# What every image has, known or not.
EMPTY = {0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x00200010}
EMPTY |= {0x00200060, 0x00201040}
# Besides, by modality: the kind of image, what it has known or not, and what it has to say where the scan does not.
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
KINDS: dict[str, tuple[str, set[int], dict[int, str]]] = {
    "CT": ("1.2.840.10008.5.1.4.1.1.2", {0x00180060, 0x00200012}, {}),
    "MR": (
        "1.2.840.10008.5.1.4.1.1.4",
        {0x00180022, 0x00180023, 0x00180080, 0x00180081, 0x00180091},
        {0x00180020: "RM", 0x00180021: "NONE"},
    ),
}
THIRD_TYPE = {"CT": "AXIAL", "MR": "OTHER"}
FILE_NAME = re.compile(r"\d{5,}\.dcm")
MANUFACTURER = 0x00080070
EXPLICIT = "1.2.840.10008.1.2.1"
# Of this software; made once at random, as are all the others.
IMPLEMENTATION = "2.25.304726529483110957460718352290541876233"
SERIES_NUMBER_STEP = 100
# Values that are not whole are written with the scan's scaling where that has so many steps for them.
FEWEST_STEPS = 1000
# How far the middle of what was written may be off, in voxels.
NEAR = 1e-3
LONGEST_DESCRIPTION, LONGEST_DERIVATION, LONGEST_NUMBER = 64, 1024, 16
STORED = (np.dtype("<u2"), np.dtype("<i2"))


class Derivation(NamedTuple):
    """What is said of how a result was made: at the end of the series' name, in a sentence, and the version."""

    name: str
    sentence: str
    version: str


class Scaling(NamedTuple):
    """value = slope * stored + intercept."""

    slope: float
    intercept: float
    dtype: np.dtype


def check_folder(folder: Path) -> None:
    """Refuse a place where no series can be written, before anything is computed."""
    try:
        if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise RefusalError(f"{folder} is there already and not an empty folder; give another name for the series.")
        if not folder.parent.is_dir():
            raise RefusalError(f"{folder} cannot be written: the folder it would lie in does not exist.")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=TEMPORARY):
            pass
    except OSError as error:
        raise RefusalError(f"{folder} cannot be written: {error.strerror}; choose another folder.") from error


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that holds anything but a series that this program made, whose place another one may take."""
    if os.path.lexists(folder) and not _is_mine(folder):
        raise RefusalError(f"{folder} is there already, and not a series that this program made; give another name.")


def _is_mine(folder: Path) -> bool:
    """Whether a folder is empty, or holds files of such names only, the first sound one of which says so."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = sorted(os.listdir(folder))
    if not all(FILE_NAME.fullmatch(name) for name in names):
        return False
    for name in names:
        with suppress(elements.DamagedError, ValueError):
            file = elements.read(folder / name)
            if file is not None:
                return file.item.text(MANUFACTURER) == MAKER
    return not names


def write(
    volume: Volume,
    folder: Path,
    source: Sequence[Slice],
    derivation: Derivation,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """The volume as a series of single slices in a folder that is empty or does not exist yet.

    `source` are the images of the scan that it was made from.
    """
    check_folder(folder)
    scaling = _scaling(volume.array, source)
    common = _common(volume, source, derivation, scaling)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=TEMPORARY) as place:
            made = Path(place) / "series"
            made.mkdir()
            for k, plane in enumerate(volume.array):
                end_if(cancel)
                data = _file({**common, **_of_slice(volume.grid, k, _to_stored(plane, scaling))})
                with open(made / f"{k + 1:05d}.dcm", "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if progress is not None:
                    progress(k + 1, len(volume.array))
            _check_written(volume, made)
            with suppress(FileNotFoundError):
                folder.rmdir()
            made.rename(folder)
    except OSError as error:
        raise RefusalError(f"{folder} cannot be written; check the space and the rights in its folder.") from error


def _check_written(volume: Volume, made: Path) -> None:
    """Read back where the slices lie, in the order of the patient's axes, and whether all of their pixels are there."""
    found, wanted = dicom.select(made).grid, volume.grid
    near = np.allclose(found.spacing, wanted.spacing, rtol=1e-4)
    away = np.abs(found.center() - wanted.center()).max()
    if found.size != wanted.size or not near or away > NEAR * min(wanted.spacing):
        raise RefusalError("The geometry of the result cannot be stored as a DICOM series; write a .nrrd file.")


def _scaling(array: np.ndarray, source: Sequence[Slice]) -> Scaling:
    """The scan's own where the result fits into it and loses nothing, else one that spreads its range."""
    whole, span = array.dtype.kind in "iu", float(array.max()) - float(array.min())
    candidates = [each for each in {image.scaling for image in source} if _is_fine(each, whole, span)][:1]
    signed_first = bool(source[0].pixel_format[3])
    for slope, intercept in (*candidates, *([(1.0, 0.0)] if whole else [])):
        low, high = sorted((float(end) - intercept) / slope for end in (array.min(), array.max()))
        for dtype in sorted(STORED, key=lambda kind: (kind.kind == "i") != signed_first):
            limits = np.iinfo(dtype)
            if limits.min <= np.rint(low) and np.rint(high) <= limits.max:
                return Scaling(slope, intercept, dtype)
    # As they will be read: with the digits that fit. One value less than there are, for what rounding takes away.
    slope, intercept = float(_number(span / (np.iinfo(STORED[0]).max - 1))), float(_number(float(array.min())))
    return Scaling(slope or 1.0, intercept, STORED[0])


def _is_fine(scaling: tuple[float, float], whole: bool, span: float) -> bool:
    """Whether values written with it stay what they are, or, of numbers that are not whole, nearly."""
    slope, intercept = scaling
    return (slope == 1 and intercept == int(intercept)) if whole else span >= FEWEST_STEPS * abs(slope)


def _to_stored(plane: np.ndarray, scaling: Scaling) -> bytes:
    limits = np.iinfo(scaling.dtype)
    stored = np.rint((plane.astype(np.float64) - scaling.intercept) / scaling.slope)
    return np.clip(stored, limits.min, limits.max).astype(scaling.dtype).tobytes()


def _common(volume: Volume, source: Sequence[Slice], derivation: Derivation, scaling: Scaling) -> Values:
    """What all slices of the series say."""
    file = elements.read(source[0].path)
    assert file is not None  # it was read before
    item = file.item
    modality = item.text(0x00080060).upper()
    kind, empty, needed = KINDS.get(modality, (SECONDARY_CAPTURE, set(), {}))
    values = _kept(item, empty, needed)
    types = item.text(0x00080008).split("\\")
    third = types[2] if len(types) > 2 and types[2] else THIRD_TYPE.get(modality, "OTHER")
    now = datetime.now()
    date, clock = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    number = item.integer(0x00200011) or 0
    columns, rows, _ = volume.grid.size
    spacing = [_number(s) for s in volume.grid.spacing]
    axes = np.reshape(volume.grid.direction, (3, 3)).T
    values.update(
        {
            **_texts("CS", {0x00080008: f"DERIVED\\SECONDARY\\{third}", 0x00280004: "MONOCHROME2", 0x00280301: "NO"}),
            **_texts("DA", dict.fromkeys((0x00080012, 0x00080021, 0x00080023), date)),
            **_texts("TM", dict.fromkeys((0x00080013, 0x00080031, 0x00080033), clock)),
            **_texts("UI", {0x00080016: kind, 0x0020000E: _uid()}),
            **_texts("LO", {MANUFACTURER: MAKER, 0x00081090: MAKER, 0x00181020: derivation.version}),
            **_texts("LO", {0x0008103E: _description(item, derivation.name)}),
            **_texts("ST", {0x00082111: derivation.sentence[:LONGEST_DERIVATION]}),
            **_texts("DS", {0x00180050: spacing[2], 0x00180088: spacing[2], 0x00280030: f"{spacing[1]}\\{spacing[0]}"}),
            **_texts("DS", {0x00200037: "\\".join(_number(v) for v in axes[:2].ravel())}),
            **_texts("IS", {0x00200011: str(SERIES_NUMBER_STEP + max(1, number))}),
            **_shorts({0x00280002: 1, 0x00280010: rows, 0x00280011: columns, 0x00280100: 16, 0x00280101: 16}),
            **_shorts({0x00280102: 15, 0x00280103: int(scaling.dtype.kind == "i")}),
            0x00082112: ("SQ", _sources(source)),
        }
    )
    if kind == SECONDARY_CAPTURE:
        values.update(_texts("CS", {0x00080064: "WSD"}))
    if modality == "CT" or scaling[:2] != (1.0, 0.0):
        values.update(_texts("DS", {0x00281052: _number(scaling.intercept), 0x00281053: _number(scaling.slope)}))
    if modality == "CT":
        values.update(_texts("LO", {0x00281054: "HU"}))
    return values


def _kept(item: elements.Item, empty: set[int], needed: Mapping[int, str]) -> Values:
    """What the scan says that is true of the result, too, in the bytes that it says it in.

    `empty` is there even if the scan does not say it, and `needed` then says what it has to.
    """
    values: Values = {tag: (KEPT[tag], b"") for tag in EMPTY | empty}
    for tag, kind in KEPT.items():
        value = item.get(tag, b"")
        if isinstance(value, bytes) and value.strip(b" \0"):
            values[tag] = kind, value.strip(b" \0")
    for tag, text in needed.items():
        values.setdefault(tag, (KEPT[tag], text.encode()))
    for tag in (0x0020000D, 0x00200052):
        values.setdefault(tag, ("UI", _uid().encode()))
    return values


def _description(item: elements.Item, name: str) -> str:
    """The scan's own name and what was made of it, as long as that fits and every character set has its letters."""
    own = item.text(0x0008103E)
    whole = f"{own} {name}".strip()
    return whole if own.isascii() and len(whole) <= LONGEST_DESCRIPTION else name[:LONGEST_DESCRIPTION]


def _of_slice(grid: Grid, k: int, pixels: bytes) -> Values:
    position = grid.to_physical((0, 0, k))
    rows, columns = np.reshape(grid.direction, (3, 3)).T[:2]
    along = float(position @ np.cross(rows, columns))
    return {
        **_texts("UI", {0x00080018: _uid()}),
        **_texts("IS", {0x00200013: str(k + 1)}),
        **_texts("DS", {0x00200032: "\\".join(_number(v) for v in position), 0x00201041: _number(along)}),
        0x7FE00010: ("OW", pixels),
    }


def _sources(source: Sequence[Slice]) -> bytes:
    """A reference to each file of the scan."""
    kinds = {each.uid: each.kind for each in source if each.uid and each.kind}
    items = (_elements(_texts("UI", {0x00081150: kind, 0x00081155: uid})) for uid, kind in kinds.items())
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)


def _file(values: Values) -> bytes:
    """A whole file, explicit little endian."""
    meta: Values = {
        0x00020001: ("OB", b"\0\1"),
        **_texts("UI", {0x00020010: EXPLICIT, 0x00020012: IMPLEMENTATION}),
        0x00020002: values[0x00080016],
        0x00020003: values[0x00080018],
    }
    head = _elements(meta)
    length = _elements({0x00020000: ("UL", struct.pack("<I", len(head)))})
    return b"".join((bytes(128), b"DICM", length, head, _elements(values)))


def _elements(values: Values) -> bytes:
    return b"".join(_element(tag, *values[tag]) for tag in sorted(values))


def _element(tag: int, kind: str, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if kind in ("UI", "OB", "OW") else b" "
    name = kind.encode()
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + name
    if name in elements.LONG_LENGTH:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def _texts(kind: str, values: Mapping[int, str]) -> Values:
    return {tag: (kind, text.encode("ascii", "replace")) for tag, text in values.items()}


def _shorts(values: Mapping[int, int]) -> Values:
    return {tag: ("US", struct.pack("<H", number)) for tag, number in values.items()}


def _number(value: float) -> str:
    """With as many digits as DICOM has room for."""
    texts: Iterable[str] = (f"{value + 0.0:.{digits}g}" for digits in range(12, 0, -1))
    return next(text for text in texts if len(text) <= LONGEST_NUMBER)


def _uid() -> str:
    return f"2.25.{uuid.uuid4().int}"
