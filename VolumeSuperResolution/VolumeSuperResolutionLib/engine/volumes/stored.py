"""Voxels as they lie in files: where, how they are packed, and whether as many are there as the header promises.

The readers of NIfTI, NRRD and MetaImage headers say where the voxels are; what is read here is either all of them or a
refusal. Nothing is allocated before the promised size has been held against the size of the files.
"""

from __future__ import annotations

import bz2
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Callable, NamedTuple

import numpy as np

from ..errors import RefusalError
from .grid import Grid

# As np.empty.
Empty = Callable[..., np.ndarray]
CHUNK = 1 << 20
# No deflated byte becomes more than 1032 bytes; bzip2 packs a run tighter, but not much.
MOST_PER_BYTE = {"raw": 1, "gzip": 1040, "bzip2": 100_000, "text": 1, "hex": 1}
LARGEST_HEADER = 1 << 22
LARGEST_SIDE = 1 << 20
# Nothing lies farther away (mm), and no voxel is larger.
FARTHEST = 1e9


class Part(NamedTuple):
    """A stretch of voxels in a file: from `offset` on (None: the last bytes), `skip` bytes into what is unpacked."""

    path: Path
    encoding: str = "raw"
    offset: int | None = 0
    skip: int = 0


class Header(NamedTuple):
    """What a file says of its volume, understood and checked, before any voxel is read."""

    path: Path
    grid: Grid
    dtype: np.dtype
    parts: tuple[Part, ...]
    slope: float = 1.0
    intercept: float = 0.0
    label_map: bool | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    layers: int = 1  # of a segmentation whose segments overlap: so many labels in each voxel

    @property
    def values(self) -> int:
        """How many there are: one in each voxel, of segmentations perhaps more."""
        return int(np.prod([int(n) for n in (*self.grid.size, self.layers)], dtype=object))


def check_size(path: Path, size: tuple[int, ...]) -> None:
    """Refuse a header's voxel counts that no volume has."""
    if not size or not all(0 < n <= LARGEST_SIDE for n in size):
        raise RefusalError(
            f"{path} promises {' x '.join(map(str, size)) or 'no'} voxels, which is no volume; its header is damaged."
        )


def check_spacing(path: Path, spacing: tuple[float, ...]) -> None:
    """Refuse a header's voxel sizes that are not lengths."""
    if not all(1 / FARTHEST < s < FARTHEST for s in spacing):
        raise RefusalError(
            f"{path} says that its voxels are {' x '.join(f'{s:g}' for s in spacing)} mm large, which cannot be; "
            "correct the spacing in its header."
        )


def several_values(path: Path, count: int) -> str:
    """Why a file is no volume that holds more than one value in each voxel."""
    return (
        f"{path} holds {count} values in each voxel (color, vectors, several segmentations or time points); extract "
        "the one you want into a file of its own."
    )


def file_size(path: Path) -> int:
    """The length of a regular file; everything that is none is refused."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise RefusalError(f"The voxels should be in {path}, which is not there or cannot be opened.") from error
    if not stat.S_ISREG(status.st_mode):
        raise RefusalError(f"{path} is not a regular file; give a NIfTI, NRRD, MetaImage or DICOM volume.")
    return status.st_size


def load(header: Header, empty: Empty = np.empty) -> tuple[np.ndarray, tuple[str, ...]]:
    """The voxels (k, j, i) in the machine's byte order, scaled as the header says, and what should be told of them.

    Layers are a fourth axis, where there are several.
    """
    share = _check_promise(header)
    flat = empty(header.values, header.dtype)
    memory = flat.view(np.uint8).data
    notes: list[str] = []
    for number, part in enumerate(header.parts):
        target = memory[number * share : (number + 1) * share]
        done = 0
        for chunk in _unpacked(part, share, header.dtype, notes):
            target[done : done + len(chunk)] = chunk
            done += len(chunk)
        _check_length(part.path, share, done)
    if not flat.dtype.isnative:
        flat = flat.byteswap(inplace=True).view(flat.dtype.newbyteorder("="))
    layers = (header.layers,) if header.layers > 1 else ()
    return _scaled(flat, header, empty).reshape((*header.grid.size[::-1], *layers)), tuple(notes)


def whole(header: Header) -> tuple[int, tuple[str, ...]] | None:
    """Where the voxels begin in the one file in which they lie just as `load` gives them, and what should be told.

    None where they do not lie so anywhere.
    """
    part = header.parts[0] if len(header.parts) == 1 else None
    changed = (header.slope, header.intercept) != (1.0, 0.0) or header.layers > 1 or not header.dtype.isnative
    if part is None or part.encoding != "raw" or changed:
        return None
    share, size = _check_promise(header), file_size(part.path)
    return _start(part, size, share), tuple(_behind(part, size, share))


def verify(header: Header) -> None:
    """Refuse a file that does not hold as many voxels as its header promises; nothing is kept in memory."""
    share = _check_promise(header)
    for part in header.parts:
        if part.encoding != "raw":
            _check_length(part.path, share, sum(len(chunk) for chunk in _unpacked(part, share, header.dtype, [])))


def _check_promise(header: Header) -> int:
    """The bytes each part has to hold; refuses where the files are too small for them, before anything is read."""
    total = header.values * header.dtype.itemsize
    if not header.parts or total % len(header.parts):
        raise RefusalError(f"{header.path} spreads its voxels unevenly over {len(header.parts)} files.")
    share = total // len(header.parts)
    for part in header.parts:
        there = file_size(part.path) - (part.offset or 0)
        per_byte = 1.0 / header.dtype.itemsize if part.encoding == "text" else MOST_PER_BYTE[part.encoding]
        if part.encoding == "raw" or there * per_byte < share // 2:
            _check_length(part.path, share, there)
    return share


def _check_length(path: Path, expected: int, there: int) -> None:
    if there < expected:
        raise RefusalError(
            f"{path} is cut off or damaged: its header promises {expected} bytes of voxels, and {max(0, there)} are "
            "there; copy or export it again."
        )


def _start(part: Part, size: int, expected: int) -> int:
    """Where `expected` bytes of plain voxels begin in a file of this size."""
    return size - expected if part.offset is None else part.offset + part.skip


def _behind(part: Part, size: int, expected: int) -> list[str]:
    """What should be told of the bytes behind them."""
    rest = 0 if part.offset is None else size - _start(part, size, expected) - expected
    return [f"{rest} bytes behind the voxels were ignored."] if rest > 0 else []


def _scaled(flat: np.ndarray, header: Header, empty: Empty) -> np.ndarray:
    if (header.slope, header.intercept) == (1.0, 0.0):
        return flat
    scaled = empty(flat.shape, np.float64 if flat.dtype == np.float64 else np.float32)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number is found where it is used
            scaled[start : start + CHUNK] = part * header.slope + header.intercept
    return scaled


def _unpacked(part: Part, expected: int, dtype: np.dtype, notes: list[str]) -> Iterator[bytes]:
    """The bytes of the voxels, in chunks, `expected` at the most."""
    with open(part.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if part.encoding == "raw":
            notes += _behind(part, size, expected)
            file.seek(_start(part, size, expected))
            yield from _limited(iter(lambda: file.read(CHUNK), b""), 0, expected)
            return
        file.seek(part.offset or 0)
        if part.encoding in ("text", "hex"):
            yield _written_out(part, file.read(64 * (expected + CHUNK)), dtype, expected // dtype.itemsize)[:expected]
        else:
            stream = _inflated(file, notes) if part.encoding == "gzip" else _unzipped(file)
            try:
                yield from _limited(stream, part.skip, expected)
                if next(stream, b""):
                    notes.append("The file holds more than the voxels that its header promises; the rest was ignored.")
            except (zlib.error, EOFError, OSError) as error:
                raise RefusalError(
                    f"{part.path} is cut off or damaged: what it holds cannot be unpacked; copy or export it again."
                ) from error


def _limited(chunks: Iterator[bytes], skip: int, expected: int) -> Iterator[bytes]:
    """What follows the first `skip` bytes, up to `expected` bytes."""
    while expected > 0:
        chunk = next(chunks, b"")
        if not chunk:
            return
        kept = chunk[skip : skip + expected]
        skip = max(0, skip - len(chunk))
        expected -= len(kept)
        if kept:
            yield kept


def _inflated(file: BinaryIO, notes: list[str]) -> Iterator[bytes]:
    """gzip or zlib data in chunks, checksums included; EOFError where it ends too early."""
    engine, data = zlib.decompressobj(47), b""
    while True:
        data = data or file.read(CHUNK)
        if not data and not engine.eof:
            raise EOFError
        chunk = engine.decompress(data, CHUNK)
        if chunk:
            yield chunk
        data = engine.unconsumed_tail
        if engine.eof:
            data = (engine.unused_data or file.read(CHUNK)).lstrip(b"\0")
            if data[:2] != b"\x1f\x8b":
                if data:
                    notes.append("Bytes behind the compressed voxels were ignored.")
                return
            engine = zlib.decompressobj(47)


def _unzipped(file: BinaryIO) -> Iterator[bytes]:
    with bz2.BZ2File(file) as unpacked:
        yield from iter(lambda: unpacked.read(CHUNK), b"")


def _written_out(part: Part, text: bytes, dtype: np.dtype, count: int) -> bytes:
    """Voxels that are written as numbers, or as hexadecimal digits."""
    try:
        if part.encoding == "hex":
            return bytes.fromhex(text.decode("ascii"))[part.skip :]
        words = text[part.skip :].replace(b",", b" ").split()[:count]
        values = np.array([float(w) for w in words] if dtype.kind == "f" else [int(w) for w in words], object)
        if dtype.kind != "f" and len(values):
            limits = np.iinfo(dtype)
            if values.min() < limits.min or values.max() > limits.max:
                raise ValueError("beyond the type")
        return values.astype(dtype).tobytes()
    except ValueError as error:
        raise RefusalError(f"{part.path} holds voxels that are not the numbers its header promises.") from error
