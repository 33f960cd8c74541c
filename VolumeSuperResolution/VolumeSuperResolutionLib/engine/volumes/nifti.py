"""NIfTI headers: one and two, single files and pairs, both byte orders, plain and compressed.

What ITK decides silently is decided here in the same way (so that a file lies where Slicer shows it), and said.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import RefusalError
from .grid import SHEAR_TOLERANCE, Grid
from .stored import FARTHEST, Header, Part, check_size, check_spacing

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
VALUES_PER_VOXEL = {32: 2, 128: 3, 1792: 2, 2304: 4}
LABELS = 1002
# Correlation, t, F, z, p values and the like: a statistic is never a label.
STATISTICS = range(2, 25)
MILLIMETERS = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
# How far (in parts of a voxel) two descriptions of a position may be apart and still be one.
SAME_PLACE = 0.01
TO_LPS = np.diag((-1.0, -1.0, 1.0))
# name: (struct, place in a NIfTI-1 header, place in a NIfTI-2 header)
FIELDS = {
    "dim": (("8h", 40), ("8q", 16)),
    "intent_p": (("3f", 56), ("3d", 80)),
    "intent_code": (("h", 68), ("i", 504)),
    "datatype": (("h", 70), ("h", 12)),
    "bitpix": (("h", 72), ("h", 14)),
    "pixdim": (("8f", 76), ("8d", 104)),
    "vox_offset": (("f", 108), ("q", 168)),
    "scaling": (("2f", 112), ("2d", 176)),
    "xyzt_units": (("B", 123), ("i", 500)),
    "descrip": (("80s", 148), ("80s", 240)),
    "aux_file": (("24s", 228), ("24s", 320)),
    "qform_code": (("h", 252), ("i", 344)),
    "sform_code": (("h", 254), ("i", 348)),
    "quatern": (("3f", 256), ("3d", 352)),
    "qoffset": (("3f", 268), ("3d", 376)),
    "srow": (("12f", 280), ("12d", 400)),
    "intent_name": (("16s", 328), ("16s", 508)),
}
MAGIC = {b"n+1\0": (0, True), b"ni1\0": (0, False), b"n+2\0": (1, True), b"ni2\0": (1, False)}


def is_header(start: bytes) -> bool:
    """Whether a file that begins with these bytes calls itself NIfTI or its forerunner Analyze."""
    return start[:4] in [struct.pack(order + "i", size) for order in "<>" for size in (348, 540)]


def header(path: Path, start: bytes, packed: bool) -> Header:
    """The header of a file that begins (unpacked, if it is packed) with these bytes."""
    fields, version, single = _fields(path, start)
    size = _size(path, fields["dim"])
    if fields["datatype"] in VALUES_PER_VOXEL:
        raise RefusalError(
            f"{path} holds {VALUES_PER_VOXEL[fields['datatype']]} values in each voxel (color or complex numbers); "
            "convert it to one value a voxel first."
        )
    if fields["datatype"] not in TYPES:
        raise RefusalError(f"{path} says that its voxels are of type {fields['datatype']}, which cannot be read.")
    dtype = np.dtype(fields["order"] + TYPES[fields["datatype"]])
    if fields["bitpix"] != 8 * dtype.itemsize:
        raise RefusalError(
            f"{path} contradicts itself: voxels of type {dtype.name} cannot have {fields['bitpix']} bits; its header "
            "is damaged."
        )
    notes: list[str] = []
    grid = _grid(path, fields, size, notes)
    slope, intercept = _scaling(path, fields["scaling"], notes)
    metadata = {name: fields[name] for name in ("descrip", "aux_file", "intent_name") if fields[name]}
    if fields["intent_code"]:
        metadata["intent_code"] = str(fields["intent_code"])
        metadata.update({f"intent_p{n}": f"{p:g}" for n, p in enumerate(fields["intent_p"], 1) if p})
    known = {LABELS: True, **dict.fromkeys(STATISTICS, False)}
    return Header(
        path,
        grid,
        dtype,
        (_part(path, fields["vox_offset"], version, single, packed),),
        slope,
        intercept,
        known.get(fields["intent_code"]),
        tuple(notes),
        metadata,
    )


def with_metadata(start: bytes, metadata: Mapping[str, str]) -> bytes:
    """A header (NIfTI-1, as it is written here) with the descriptions and the intent of another."""
    changed = bytearray(start)

    def put(name: str, *values: object) -> None:
        layout, place = FIELDS[name][0]
        struct.pack_into("<" + layout, changed, place, *values)

    for name, longest in (("descrip", 79), ("aux_file", 23), ("intent_name", 15)):
        if name in metadata:
            put(name, metadata[name].encode()[:longest])
    try:
        put("intent_code", int(metadata.get("intent_code", 0)))
        put("intent_p", *(float(metadata.get(f"intent_p{n}", 0)) for n in (1, 2, 3)))
    except (ValueError, struct.error, OverflowError):
        return bytes(start)  # keys of another format that happen to have these names
    return bytes(changed)


def _fields(path: Path, start: bytes) -> tuple[dict, int, bool]:
    """Every field by name, which of the two layouts it is, and whether the voxels are in the same file."""
    order = "<" if struct.unpack("<i", start[:4])[0] in (348, 540) else ">"
    version = int(struct.unpack(order + "i", start[:4])[0] == 540)
    magic = start[4:8] if version else start[344:348]
    if len(start) < (540 if version else 348):
        raise RefusalError(f"{path} is cut off: it ends within its header; copy or export it again.")
    if MAGIC.get(magic, (None,))[0] != version:
        raise RefusalError(
            f"{path} is an Analyze file or has a damaged header, and does not say where left and right are; "
            "convert it to NIfTI first."
        )
    fields: dict = {"order": order}
    for name, layouts in FIELDS.items():
        layout, place = layouts[version]
        values = struct.unpack_from(order + layout, start, place)
        fields[name] = values if len(values) > 1 else values[0]
        if isinstance(values[0], bytes):
            fields[name] = values[0].split(b"\0")[0].decode("utf-8", "replace").strip()
    return fields, version, MAGIC[magic][1]


def _size(path: Path, dim: tuple[int, ...]) -> tuple[int, int, int]:
    if not 1 <= dim[0] <= 7:
        raise RefusalError(f"{path} promises {dim[0]} dimensions, which is no volume; its header is damaged.")
    size = tuple(dim[1 : 1 + dim[0]])
    check_size(path, size)
    if any(n > 1 for n in size[4:]):
        raise RefusalError(
            f"{path} holds {int(np.prod(size[4:], dtype=object))} values in each voxel; extract the one you want into "
            "a file of its own."
        )
    if len(size) > 3 and size[3] > 1:
        raise RefusalError(
            f"{path} holds a series of {size[3]} volumes; extract the one you want, for example the first, into a "
            "file of its own."
        )
    return (*size[:3], *(1,) * (3 - len(size)))[:3]  # type: ignore[return-value]


def _part(path: Path, offset: float, version: int, single: bool, packed: bool) -> Part:
    least = (544 if version else 352) if single else 0
    if not np.isfinite(offset) or offset != int(offset) or not (offset == 0 or offset >= least):
        raise RefusalError(f"{path} says that its voxels begin at byte {offset:g}, which cannot be; it is damaged.")
    start = max(least, int(offset))
    voxels = path if single else _beside(path)
    if not single:
        with open(voxels, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
    return Part(voxels, "gzip", 0, start) if packed else Part(voxels, "raw", start)


def _beside(path: Path) -> Path:
    """The voxel file of a header that stands alone."""
    stem = path.name[: path.name.lower().rindex(".hdr")] if ".hdr" in path.name.lower() else path.stem
    names = [stem + ending for ending in (".img", ".img.gz", ".IMG", ".IMG.GZ")]
    for name in names:
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise RefusalError(f"{path} is only a header; the voxels should be in {names[0]} beside it, which is not there.")


def _scaling(path: Path, scaling: tuple[float, float], notes: list[str]) -> tuple[float, float]:
    slope, intercept = scaling
    if slope == 0:
        return 1.0, 0.0  # which is how NIfTI says that nothing is scaled
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        notes.append("The header scales the values by something that is not a number; they were taken as stored.")
        return 1.0, 0.0
    return slope, intercept


def _grid(path: Path, fields: dict, size: tuple[int, int, int], notes: list[str]) -> Grid:
    unit = MILLIMETERS.get(fields["xyzt_units"] & 7)
    if unit is None:
        notes.append("The header counts lengths in an unknown unit; they were taken as millimeters.")
        unit = 1.0
    spacing = [
        1.0 if n == 1 and (s == 0 or axis >= fields["dim"][0]) else s
        for axis, (s, n) in enumerate(zip(fields["pixdim"][1:4], size))
    ]
    if any(s == 0 and n == 1 for s, n in zip(fields["pixdim"][1 : 1 + fields["dim"][0]], size)):
        notes.append("The header says no thickness of the single slice; it was taken as 1 mm.")
    check_spacing(path, tuple(spacing))
    placed, told = fields["qform_code"] > 0, fields["sform_code"] > 0
    by_quaternion = _quaternion_axes(path, fields) * spacing if placed else np.zeros((3, 3))
    srow = np.array(fields["srow"], float).reshape(3, 4)
    if told and not (np.abs(srow) < FARTHEST).all():
        raise RefusalError(f"{path} places its voxels at positions that are not numbers; correct its header.")
    if told and placed:
        told = _prefer_rows(fields, srow, by_quaternion, notes)
    if told:
        axes, origin = srow[:, :3], srow[:, 3]
        _check_lengths(path, axes, spacing, size, fields["pixdim"])
    elif placed:
        axes, origin = by_quaternion, np.array(fields["qoffset"], float)
    else:
        notes.append("The header does not say where the volume lies, so left and right may be swapped.")
        return Grid(size, tuple(s * unit for s in spacing))  # type: ignore[arg-type]
    axes = TO_LPS @ axes
    lengths = np.linalg.norm(axes, axis=0)
    if not (np.abs(origin) < FARTHEST).all() or not lengths.all():
        raise RefusalError(f"{path} places its voxels at positions that are not numbers; correct its header.")
    return Grid(
        size,
        tuple(float(s * unit) for s in spacing),  # type: ignore[arg-type]
        tuple(float(v * unit) for v in TO_LPS @ origin),  # type: ignore[arg-type]
        tuple(float(v) for v in (axes / lengths).ravel()),
    )


def _prefer_rows(fields: dict, srow: np.ndarray, axes: np.ndarray, notes: list[str]) -> bool:
    """Whether the matrix counts where there is a quaternion too, as ITK decides it: the scanner's word first."""
    lengths = np.linalg.norm(srow[:, :3], axis=0)
    cosines = srow[:, :3] / np.where(lengths == 0, 1, lengths)
    if not np.allclose(cosines.T @ cosines, np.eye(3), atol=SHEAR_TOLERANCE):
        notes.append("One of the header's two positions is sheared; the other (qform) was taken.")
        return False
    shift, turn = srow[:, 3] - fields["qoffset"], srow[:, :3] - axes
    far_corner = np.array([n - 1 for n in fields["dim"][1:4]], float)
    apart = max(np.abs(shift).max(), np.abs(shift + turn @ far_corner).max())
    rows = fields["sform_code"] == 1
    if apart > SAME_PLACE * min(fields["pixdim"][1:4]):
        notes.append(f"The header gives two positions (qform and sform); the {'s' if rows else 'q'}form was taken.")
        return rows
    return False


def _check_lengths(path: Path, axes: np.ndarray, spacing: list[float], size: tuple, pixdim: tuple) -> None:
    lengths = np.linalg.norm(axes, axis=0)
    for axis, n in enumerate(size):
        if n == 1 and pixdim[axis + 1] == 0:
            spacing[axis] = float(lengths[axis]) or 1.0
        elif abs(lengths[axis] - spacing[axis]) > SAME_PLACE * spacing[axis]:
            raise RefusalError(
                f"{path} gives two sizes of a voxel along {'ijk'[axis]}, {spacing[axis]:g} and {lengths[axis]:g} mm; "
                "correct its header."
            )


def _quaternion_axes(path: Path, fields: dict) -> np.ndarray:
    """The direction cosines (RAS) of the quaternion."""
    b, c, d = fields["quatern"]
    length = b * b + c * c + d * d
    if not np.isfinite(length):
        raise RefusalError(f"{path} turns its voxels by something that is not a number; correct its header.")
    if length > 1:
        b, c, d = (v / np.sqrt(length) for v in (b, c, d))
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    handed = -1.0 if fields["pixdim"][0] < 0 else 1.0
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c) * handed],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b) * handed],
            [2 * (b * d - a * c), 2 * (c * d + a * b), (a * a + d * d - c * c - b * b) * handed],
        ]
    )


def unpacked_start(data: bytes) -> bytes:
    """The first bytes of packed data."""
    return zlib.decompressobj(47).decompress(data, 1024)
