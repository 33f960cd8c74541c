"""NRRD headers: attached and detached, with one data file or many, in every encoding."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import RefusalError
from .grid import Grid
from .stored import FARTHEST, LARGEST_HEADER, Header, Part, check_size, check_spacing, several_values

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
ENCODINGS = {
    "raw": "raw",
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
    "hex": "hex",
    **dict.fromkeys(("gz", "gzip"), "gzip"),
    **dict.fromkeys(("bz2", "bzip2"), "bzip2"),
}
# The signs that take a space to LPS. ITK mirrors LAS, others do not: such a file is not read at all.
SPACES = {"LPS": (1, 1, 1), "RAS": (-1, -1, 1)}
MIRRORED = "LAS"
# A data file that holds more or less than a slice.
SUBDIMENSION = re.compile(r"^LIST\s+\d+$|%\d*d\S*(\s+-?\d+){4}$", re.IGNORECASE)
VECTOR = re.compile(r"\(([^)]*)\)|none", re.IGNORECASE)
# What Slicer writes into every segmentation; where in the volume each segment ends is no longer true of a finer one.
SEGMENT = re.compile(r"Segment\d+_ID$")


def is_header(start: bytes) -> bool:
    """Whether a file that begins with these bytes is NRRD."""
    return start[:4] == b"NRRD"


def header(path: Path) -> Header:
    """The header of a file, and of the files that it names."""
    fields, keys, end = _lines(path)
    sizes = tuple(_numbers(path, fields, "sizes", int))
    check_size(path, sizes)
    if [len(sizes)] != _numbers(path, fields, "dimension", int):
        raise RefusalError(f"{path} cannot be read: it has {len(sizes)} sizes and dimension {fields['dimension']}.")
    dtype = _dtype(path, fields)
    notes: list[str] = []
    segments = any(SEGMENT.match(key) for key in keys)
    axes = _spatial_axes(path, fields, sizes, segments)
    size = tuple(sizes[axis] for axis in axes)
    grid = _grid(path, fields, axes, (*size, *(1,) * (3 - len(size))), notes)
    layers = int(np.prod([n for axis, n in enumerate(sizes) if axis not in axes]))
    parts = _parts(path, fields, end)
    if len(parts) > 1 and len(parts) != sizes[-1] and not SUBDIMENSION.search(fields["datafile"]):
        raise RefusalError(f"{path} cannot be read: it has {sizes[-1]} slices and names {len(parts)} files for them.")
    known = True if segments else None
    return Header(path, grid, dtype, parts, label_map=known, notes=tuple(notes), metadata=keys, layers=layers)


def _lines(path: Path) -> tuple[dict[str, str], dict[str, str], int | None]:
    """The fields, the keys, and where the data begins (None: in another file)."""
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    with open(path, "rb") as file:
        while True:
            line = file.readline(LARGEST_HEADER)
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text or file.tell() > LARGEST_HEADER:
                break
            name, separator, value = text.partition(":=")
            plain = text.partition(": ") if ":" in text else (text, "", "")
            if text.startswith(("#", "NRRD")):
                continue
            if separator and (not plain[1] or len(name) < len(plain[0])):
                keys[name] = value.replace("\\n", "\n").replace("\\\\", "\\")
            elif plain[1] or text.endswith(":"):
                field = re.sub(r"[\s]", "", plain[0].lower()).rstrip(":")
                fields[field] = plain[2].strip()
                if field == "datafile" and plain[2].strip().upper().startswith("LIST"):
                    fields["list"] = file.read(LARGEST_HEADER).decode("utf-8", "surrogateescape")
                    break
            else:
                raise RefusalError(f"{path} cannot be read: its header holds a line that is none of NRRD's.")
        return fields, keys, None if "datafile" in fields else file.tell()


def _field(path: Path, fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise RefusalError(f"{path} cannot be read: its header does not say its {name}.")
    return fields[name]


def _numbers(path: Path, fields: dict[str, str], name: str, kind: type) -> list:
    try:
        return [kind(word) for word in _field(path, fields, name).split()]
    except ValueError as error:
        raise RefusalError(f"{path} cannot be read: its {name} are not numbers.") from error


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype:
    word = " ".join(_field(path, fields, "type").lower().split())
    code = next((code for code, names in TYPES.items() if word in names), None)
    if code is None:
        raise RefusalError(f"{path} says that its voxels are of type {word!r}, which cannot be read.")
    order = fields.get("endian", "").lower()
    packed = ENCODINGS.get(fields.get("encoding", "").lower()) != "text"
    if code[1] != "1" and packed and order not in ("little", "big"):
        raise RefusalError(f"{path} cannot be read: its header does not say the byte order of its voxels.")
    return np.dtype((">" if order == "big" and packed else "<" if packed else "=") + code)


def _spatial_axes(path: Path, fields: dict[str, str], sizes: tuple[int, ...], segments: bool) -> list[int]:
    """The axes that lie in space; the others may be one voxel long, the first may be the layers of a segmentation."""
    axes = list(range(len(sizes)))
    if "spacedirections" in fields:
        axes = [axis for axis, v in enumerate(VECTOR.finditer(fields["spacedirections"])) if v.group(1) is not None]
    elif "kinds" in fields:
        kinds = fields["kinds"].lower().split()
        axes = [axis for axis, kind in enumerate(kinds) if kind in ("domain", "space", "???", "none")] or axes
    if axes[-1:] and axes[-1] >= len(sizes):
        raise RefusalError(f"{path} cannot be read: it says more directions than dimensions.")
    if len(axes) > 3:
        axes = [axis for axis in axes if axis < 3 or sizes[axis] > 1]
    rest = [n for axis, n in enumerate(sizes) if axis not in axes and n > 1 and not (segments and axis == 0)]
    if len(axes) > 3:
        raise RefusalError(
            f"{path} holds a series of volumes ({' x '.join(map(str, sizes))} voxels); extract the one you want into a "
            "file of its own."
        )
    if rest:
        raise RefusalError(several_values(path, int(np.prod(rest))))
    if len(axes) < 2:
        raise RefusalError(f"{path} has {len(axes)} dimensions in space; choose a volume with three.")
    return axes


def _grid(path: Path, fields: dict[str, str], axes: list[int], size: tuple[int, ...], notes: list[str]) -> Grid:
    if any(word.strip('" ').lower() not in ("mm", "") for word in fields.get("spaceunits", "").split()):
        notes.append(f"The header counts in {fields['spaceunits']}; its numbers were taken as millimeters.")
    if "spacedirections" in fields:
        return _placed(path, fields, size, notes)
    units = re.findall(r'"([^"]*)"', fields.get("units", ""))
    if any(units[axis].lower() not in ("mm", "") for axis in axes if axis < len(units)):
        notes.append(f"The header counts in {fields['units']}; its numbers were taken as millimeters.")
    cells = [word.lower() != "node" for word in fields.get("centers", fields.get("centerings", "")).split()]
    low, high, spacing = (
        _numbers(path, fields, name, float) if name in fields else None for name in ("axismins", "axismaxs", "spacings")
    )
    steps, origin = [], []
    for place, axis in enumerate(axes):
        cell = cells[axis] if axis < len(cells) else True
        try:
            if spacing is not None:
                steps.append(spacing[axis])
            elif low is not None and high is not None:
                steps.append((high[axis] - low[axis]) / (size[place] if cell else max(1, size[place] - 1)))
            else:
                steps.append(1.0)
            origin.append(0.0 if low is None else low[axis] + (steps[-1] / 2 if cell else 0.0))
        except IndexError as error:
            raise RefusalError(f"{path} cannot be read: its header has fewer spacings than dimensions.") from error
    if spacing is None and low is None:
        notes.append("The header says no voxel size; it was taken as 1 mm.")
    check_spacing(path, tuple(steps))
    notes.append("The header does not say how the volume lies in space, so left and right may be swapped.")
    missing = 3 - len(steps)
    return Grid(size, (*steps, *(1.0,) * missing), (*origin, *(0.0,) * missing))  # type: ignore[arg-type]


def _placed(path: Path, fields: dict[str, str], size: tuple[int, ...], notes: list[str]) -> Grid:
    words = re.split(r"[-\s]+", fields.get("space", "").strip())
    space = "".join(word[0] for word in words if word).upper() if len(words) > 2 else "".join(words).upper()
    space = space[:3]
    if space == MIRRORED:
        raise RefusalError(
            f"{path} counts its positions in LAS, which programs read differently; save it in LPS or RAS."
        )
    if space not in SPACES:
        notes.append("The header does not say where left and right are; its positions were taken as LPS.")
    sign = np.array(SPACES.get(space, (1, 1, 1)), float)
    columns = [_vector(path, v.group(1)) for v in VECTOR.finditer(fields["spacedirections"]) if v.group(1) is not None]
    if len(columns) == 2:
        normal = np.cross(columns[0], columns[1])
        columns.append(normal / (np.linalg.norm(normal) or 1.0))
    matrix = sign[:, None] * np.array(columns).T
    spacing = np.linalg.norm(matrix, axis=0)
    check_spacing(path, tuple(spacing))
    origin = np.zeros(3)
    if "spaceorigin" in fields:
        found = VECTOR.search(fields["spaceorigin"])
        origin = sign * _vector(path, found.group(1) if found else "")
    else:
        notes.append("The header does not say where the volume begins; its first voxel was put at the origin.")
    direction = tuple(float(v) for v in (matrix / spacing).ravel())
    return Grid(size, tuple(map(float, spacing)), tuple(map(float, origin)), direction)  # type: ignore[arg-type]


def _vector(path: Path, text: str | None) -> np.ndarray:
    try:
        values = np.array([float(word) for word in (text or "").split(",")])
    except ValueError:
        values = np.zeros(0)
    if values.shape != (3,) or not (np.abs(values) < FARTHEST).all():
        raise RefusalError(f"{path} cannot be read: its position in space is not three numbers an axis.")
    return values


def _parts(path: Path, fields: dict[str, str], end: int | None) -> tuple[Part, ...]:
    word = _field(path, fields, "encoding").lower()
    if word not in ENCODINGS:
        raise RefusalError(f"{path} packs its voxels as {word!r}, which cannot be read; save it as raw or gzip.")
    encoding = ENCODINGS[word]
    try:
        lines, skip = (int(fields.get(name, 0)) for name in ("lineskip", "byteskip"))
    except ValueError as error:
        raise RefusalError(f"{path} cannot be read: what it skips is not a number.") from error
    if lines < 0 or skip < -1 or (skip == -1 and encoding != "raw"):
        raise RefusalError(f"{path} skips {skip} bytes and {lines} lines, which cannot be; save it again.")
    if end is not None:
        return (Part(path, encoding, *_start(path, end, lines, skip, encoding)),)
    places = [path.parent / name for name in _data_files(path, fields)]
    for place in places:
        if not place.is_file():
            raise RefusalError(f"{path} keeps its voxels in {place.name}, which is not there; put it beside it.")
    return tuple(Part(place, encoding, *_start(place, 0, lines, skip, encoding)) for place in places)


def _start(path: Path, begin: int, lines: int, skip: int, encoding: str) -> tuple[int | None, int]:
    """Where the voxels begin in a file, and how much of what is unpacked there is not theirs."""
    if skip == -1:
        return None, 0
    with open(path, "rb") as file:
        file.seek(begin)
        for _ in range(lines):
            if not file.readline(LARGEST_HEADER):
                raise RefusalError(f"{path} is cut off: it has fewer than the {lines} lines before its voxels.")
        begin = file.tell()
    return (begin + skip, 0) if encoding == "raw" else (begin, skip)


def _data_files(path: Path, fields: dict[str, str]) -> list[str]:
    text = fields["datafile"]
    if "list" in fields:
        return [line.strip() for line in fields["list"].splitlines() if line.strip()]
    pattern = re.fullmatch(r"(.*%\d*d.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(\s+\d+)?", text)
    if pattern is None:
        return [text]
    name, first, last, step = pattern.group(1), *(int(pattern.group(n)) for n in (2, 3, 4))
    if step == 0 or abs(last - first) // abs(step) > LARGEST_HEADER // 100:
        raise RefusalError(f"{path} cannot be read: it counts its data files from {first} to {last} by {step}.")
    return [name % number for number in range(first, last + (1 if step > 0 else -1), step)]
