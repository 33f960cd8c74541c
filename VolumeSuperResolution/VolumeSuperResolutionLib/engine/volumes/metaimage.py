"""MetaImage headers: .mha, .mhd, lists and patterns of data files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import RefusalError
from .grid import Grid
from .stored import LARGEST_HEADER, Header, Part, check_size, check_spacing

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
LINE = re.compile(r"^\s*([A-Za-z][^=:]*?)\s*[=:]\s*(.*?)\s*$")
# What the result says itself, or what would no longer be true of it.
FIELDS = {
    *("ObjectType", "ObjectSubType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
    *("CompressedData", "CompressedDataSize", "CompressionLevel", "TransformMatrix", "Rotation", "Orientation"),
    *("Offset", "Position", "Origin", "CenterOfRotation", "AnatomicalOrientation", "ElementSpacing", "ElementSize"),
    *("DimSize", "ElementType", "ElementDataFile", "ElementNumberOfChannels", "HeaderSize", "ElementMin", "ElementMax"),
    *("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "DistanceUnits", "ID", "ParentID"),
    *("Name", "Comment", "Color", "SequenceID", "Modality", "ElementNBits", "ImagePosition", "TransformType"),
}


def is_header(start: bytes) -> bool:
    """Whether a file that begins with these bytes is MetaImage."""
    return re.match(rb"\s*(ObjectType|NDims|Comment|ObjectSubType|TransformType|ID|Name)\s*[=:]", start) is not None


def header(path: Path) -> Header:
    """The header of a file, and of the files that it names."""
    fields, end = _lines(path)
    try:
        return _understood(path, fields, end)
    except ValueError as error:
        if isinstance(error, RefusalError):
            raise
        raise RefusalError(
            f"{path} cannot be read: its header holds something else where a number should be."
        ) from error


def _lines(path: Path) -> tuple[dict[str, str], int]:
    """Every field up to the last one, which names the data file, and where that ends."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(LARGEST_HEADER)
            if not line or file.tell() > LARGEST_HEADER:
                raise RefusalError(
                    f"{path} cannot be read: its header is cut off or damaged and does not say where its voxels are."
                )
            found = LINE.match(line.decode("utf-8", "surrogateescape"))
            if found:
                fields[found.group(1)] = found.group(2)
        return fields, file.tell()


def _understood(path: Path, fields: dict[str, str], end: int) -> Header:
    size = tuple(int(word) for word in fields.get("DimSize", "").split())
    check_size(path, size)
    if len(size) != int(fields.get("NDims", 0)):
        raise RefusalError(
            f"{path} cannot be read: it has {len(size)} sizes and {fields.get('NDims', 'no')} dimensions."
        )
    channels = int(fields.get("ElementNumberOfChannels", 1))
    if channels != 1:
        raise RefusalError(f"{path} holds {channels} values in each voxel; convert it to one value a voxel first.")
    if any(n > 1 for n in size[3:]):
        raise RefusalError(
            f"{path} holds a series of {int(np.prod(size[3:], dtype=object))} volumes; extract the one you want into "
            "a file of its own."
        )
    if len(size) < 2:
        raise RefusalError(f"{path} has one dimension; choose a volume with three.")
    kind = fields.get("ElementType", "")
    if kind not in TYPES:
        raise RefusalError(f"{path} says that its voxels are of type {kind or 'nothing'}, which cannot be read.")
    big = _first(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB", otherwise="False").lower()[:1] in ("t", "1")
    text = fields.get("BinaryData", "False").lower()[:1] not in ("t", "1")
    dtype = np.dtype(("=" if text else ">" if big else "<") + TYPES[kind])
    notes: list[str] = []
    grid = _grid(path, fields, size, notes)
    slope = float(fields.get("ElementToIntensityFunctionSlope", 1))
    intercept = float(fields.get("ElementToIntensityFunctionOffset", 0))
    if (slope, intercept) != (1.0, 0.0):
        notes.append("The header scales the values, which 3D Slicer does not do; they were taken as stored.")
    parts = _parts(path, fields, size, end, text, dtype)
    extra = {name: value for name, value in fields.items() if name not in FIELDS}
    if fields.get("Modality", "MET_MOD_UNKNOWN") != "MET_MOD_UNKNOWN":
        extra["Modality"] = fields["Modality"].replace("MET_MOD_", "")
    return Header(path, grid, dtype, parts, notes=tuple(notes), metadata=extra)


def _first(fields: dict[str, str], *names: str, otherwise: str = "") -> str:
    return next((fields[name] for name in names if name in fields), otherwise)


def _floats(path: Path, text: str, count: int, what: str) -> np.ndarray:
    values = np.array([float(word) for word in text.split()])
    if len(values) != count or not np.isfinite(values).all():
        raise RefusalError(f"{path} cannot be read: its {what} is not {count} numbers.")
    return values


def _grid(path: Path, fields: dict[str, str], size: tuple[int, ...], notes: list[str]) -> Grid:
    n = len(size)
    words = _first(fields, "ElementSpacing", "ElementSize")
    if not words:
        notes.append("The header says no voxel size; it was taken as 1 mm.")
    spacing = tuple(float(word) for word in words.split()) if words else (1.0,) * n
    if len(spacing) != n:
        raise RefusalError(f"{path} cannot be read: it has {len(spacing)} spacings and {n} dimensions.")
    check_spacing(path, spacing)
    if fields.get("DistanceUnits", "mm").lower() not in ("mm", "", "?"):
        notes.append(f"The header counts in {fields['DistanceUnits']}; its numbers were taken as millimeters.")
    matrix, origin = np.eye(max(3, n)), np.zeros(max(3, n))
    placed = _first(fields, "TransformMatrix", "Rotation", "Orientation")
    if placed:
        # One line of the matrix for each axis of the volume.
        matrix[:n, :n] = _floats(path, placed, n * n, "orientation").reshape(n, n).T
    offset = _first(fields, "Offset", "Position", "Origin")
    if offset:
        origin[:n] = _floats(path, offset, n, "position")
    return Grid(
        (*size, 1)[:3],  # type: ignore[arg-type]
        (*spacing, 1.0)[:3],  # type: ignore[arg-type]
        tuple(float(v) for v in origin[:3]),  # type: ignore[arg-type]
        tuple(float(v) for v in matrix[:3, :3].ravel()),
    )


def _parts(
    path: Path, fields: dict[str, str], size: tuple[int, ...], end: int, text: bool, dtype: np.dtype
) -> tuple[Part, ...]:
    packed = fields.get("CompressedData", "False").lower()[:1] in ("t", "1")
    encoding = "text" if text else "gzip" if packed else "raw"
    skip = int(fields.get("HeaderSize", 0))
    if skip < -1 or (skip and encoding != "raw"):
        raise RefusalError(f"{path} says that its voxels begin at byte {skip}, which cannot be; save it again.")
    name = fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return (Part(path, encoding, None if skip == -1 else skip or end),)
    places = [path.parent / each for each in _data_files(path, name, size, end)]
    for place in places:
        if not place.is_file():
            raise RefusalError(f"{path} keeps its voxels in {place.name}, which is not there; put it beside it.")
    if len(places) > 1 and len(places) != size[-1]:
        raise RefusalError(f"{path} cannot be read: it has {size[-1]} slices and names {len(places)} files for them.")
    return tuple(Part(place, encoding, None if skip == -1 else skip) for place in places)


def _data_files(path: Path, name: str, size: tuple[int, ...], end: int) -> list[str]:
    if name.upper().split()[:1] == ["LIST"]:
        with open(path, "rb") as file:
            file.seek(end)
            lines = file.read(LARGEST_HEADER).decode("utf-8", "surrogateescape").splitlines()
        return [line.strip() for line in lines if line.strip()]
    pattern = re.fullmatch(r"(.*%\d*d\S*)\s*((?:-?\d+\s*){0,3})", name)
    if pattern is None:
        return [name]
    numbers = [int(word) for word in pattern.group(2).split()]
    first, last, step = (*numbers, *(1, size[-1] + (numbers[:1] or [1])[0] - 1, 1)[len(numbers) :])
    if step == 0 or abs(last - first) // abs(step) > LARGEST_HEADER // 100:
        raise RefusalError(f"{path} cannot be read: it counts its data files from {first} to {last} by {step}.")
    return [pattern.group(1) % number for number in range(first, last + (1 if step > 0 else -1), step)]
