"""The elements of a DICOM file up to its pixels, and whether all of the pixels are there.

Written out here because nothing else at hand tells both the items of multi-frame files and a file that is cut off.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

LONG_LENGTH = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
TRANSFER_SYNTAX = 0x00020010
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
# Sequences that say where frames lie and what was measured; every other one is passed over.
SEQUENCES = {
    *(0x52009229, 0x52009230, 0x00209113, 0x00209116, 0x00209111, 0x00289110, 0x00289145, 0x00189114),
    *(0x00189117, 0x00540022),
}
LONGEST_VALUE = 1 << 16
DEEPEST = 8
# More than any header has: what unpacks to more is no DICOM file.
LARGEST_INFLATED = 1 << 30


class DamagedError(Exception):
    """The file ends, or makes no sense, before its pixels."""


class Item(dict):
    """Values by tag: bytes, or a list of items."""

    def text(self, tag: int) -> str:
        """A value as text; empty where there is none."""
        value = self.get(tag, b"")
        return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""

    def floats(self, tag: int) -> tuple[float, ...]:
        """A value written as decimal numbers; empty where one is none."""
        try:
            return tuple(float(word) for word in self.text(tag).split("\\") if word.strip())
        except ValueError:
            return ()

    def integer(self, tag: int) -> int | None:
        """A value written as a whole number."""
        values = self.floats(tag)
        return int(values[0]) if values and values[0] == values[0] and abs(values[0]) < 1e15 else None

    def packed(self, tag: int, layout: str) -> float | None:
        """The first number of a binary value."""
        value = self.get(tag, b"")
        if not isinstance(value, bytes) or len(value) < struct.calcsize(layout):
            return None
        return struct.unpack_from(self.order + layout, value)[0]

    def inside(self, tag: int) -> Item:
        """The first item of a sequence; empty where there is none."""
        items = self.get(tag)
        if isinstance(items, list) and items:
            return items[0]
        empty = Item()
        empty.order = self.order
        return empty

    order = "<"


class Pixels(NamedTuple):
    """How many bytes of pixels the file holds (None where they are compressed and complete), and where."""

    stored: int | None
    complete: bool
    tag: int = 0
    place: int = 0


class File(NamedTuple):
    """What a DICOM file says before its pixels."""

    item: Item
    transfer_syntax: str
    pixels: Pixels | None
    # Where deflated elements begin; places are then counted in what they unpack to.
    deflated: int | None = None


def read(path: Path) -> File | None:
    """The elements of a file; None where it is no DICOM file. Raises DamagedError."""
    with open(path, "rb") as file:
        start = file.read(256)
        if len(start) < 16:
            return None
        part_10 = start[128:132] == b"DICM"
        if not part_10 and not _bare(start):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data, 132 if part_10 else 0)


def _bare(start: bytes) -> bool:
    """Whether a file without the usual preamble begins with an element of group 2 or 8."""
    group, element, length = struct.unpack_from("<HHI", start)
    explicit = start[4:6] in (b"UL", b"UI", b"CS", b"OB", b"DA", b"SH")
    return group in (2, 8) and element <= 0x60 and (explicit or length <= 64)


def _read(data: mmap.mmap, start: int) -> File:
    meta = _Parser(data, "<", True)
    end = start
    syntax = IMPLICIT
    if data[start : start + 2] == b"\x02\0":
        end = meta.run(start, len(data), stop_after_group=2)
        syntax = meta.root.text(TRANSFER_SYNTAX)
    deflated = None
    elements: mmap.mmap | bytes = data
    if syntax == DEFLATED:
        elements, deflated, end = _inflated(data[end:]), end, 0
    explicit = elements[end + 4 : end + 6].isalpha() and elements[end + 4 : end + 6].isupper()
    parser = _Parser(elements, ">" if syntax == BIG_ENDIAN else "<", explicit)
    parser.run(end, len(elements))
    return File(parser.root, syntax, parser.pixels, deflated)


def stored_pixels(path: Path, deflated: int | None, place: int, length: int) -> bytes:
    """The bytes of pixels that are not compressed."""
    with open(path, "rb") as file:
        if deflated is None:
            file.seek(place)
            return file.read(length)
        file.seek(deflated)
        return _inflated(file.read())[place : place + length]


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-15).decompress(data, LARGEST_INFLATED)
    except zlib.error as error:
        raise DamagedError from error


class _Parser:
    """One pass over the elements; `root` holds the outermost ones."""

    def __init__(self, data: mmap.mmap | bytes, order: str, explicit: bool) -> None:
        self.data, self.order, self.explicit = data, order, explicit
        self.root = self._item()
        self.pixels: Pixels | None = None

    def run(self, place: int, end: int, stop_after_group: int | None = None) -> int:
        """The outermost elements; where they end."""
        return self._elements(place, end, self.root, 0, stop_after_group)

    def _item(self) -> Item:
        item = Item()
        item.order = self.order
        return item

    def _head(self, place: int) -> tuple[int, int, int, bool]:
        """Tag, length, where the value begins, and whether it is a sequence."""
        if place + 8 > len(self.data):
            raise DamagedError
        group, element = struct.unpack_from(self.order + "HH", self.data, place)
        tag = group << 16 | element
        if group == 0xFFFE or not self.explicit:
            length = struct.unpack_from(self.order + "I", self.data, place + 4)[0]
            return tag, length, place + 8, tag in SEQUENCES or (length == UNDEFINED and tag not in PIXELS)
        kind = bytes(self.data[place + 4 : place + 6])
        if not (kind.isalpha() and kind.isupper()):
            raise DamagedError
        if kind not in LONG_LENGTH:
            return tag, struct.unpack_from(self.order + "H", self.data, place + 6)[0], place + 8, False
        if place + 12 > len(self.data):
            raise DamagedError
        length = struct.unpack_from(self.order + "I", self.data, place + 8)[0]
        return tag, length, place + 12, kind == b"SQ" or (length == UNDEFINED and tag not in PIXELS)

    def _elements(self, place: int, end: int, item: Item, depth: int, last_group: int | None = None) -> int:
        while place < end:
            if last_group is not None and self.data[place : place + 2] != struct.pack("<H", last_group):
                return place
            tag, length, value, sequence = self._head(place)
            if tag in (ITEM_END, SEQUENCE_END):
                return value
            if tag in PIXELS and depth == 0:
                self.pixels = self._pixels(length, value)._replace(tag=tag, place=value)
                return len(self.data)
            if sequence and (tag in SEQUENCES or length == UNDEFINED):
                item[tag], place = self._sequence(value, length, depth + 1)
                continue
            place = value + length
            if place > len(self.data):
                raise DamagedError
            if length <= LONGEST_VALUE:
                item[tag] = bytes(self.data[value:place])
        return place

    def _sequence(self, place: int, length: int, depth: int) -> tuple[list[Item], int]:
        items: list[Item] = []
        end = len(self.data) if length == UNDEFINED else place + length
        if depth > DEEPEST or end > len(self.data):
            raise DamagedError
        while place < end:
            tag, size, value, _ = self._head(place)
            if tag == SEQUENCE_END:
                return items, value
            if tag != ITEM:
                raise DamagedError
            item = self._item()
            stop = len(self.data) if size == UNDEFINED else value + size
            place = self._elements(value, stop, item, depth)
            items.append(item)
        return items, place

    def _pixels(self, length: int, place: int) -> Pixels:
        if length != UNDEFINED:
            return Pixels(min(length, len(self.data) - place), place + length <= len(self.data))
        while place + 8 <= len(self.data):
            tag, size, value, _ = self._head(place)
            if tag == SEQUENCE_END:
                return Pixels(None, True)
            if tag != ITEM or size == UNDEFINED:
                break
            place = value + size
        return Pixels(None, False)
