"""Weights on disk: safetensors files, read here and trusted only when everything about them is as the card says.

The format is a little-endian 64-bit header length, a JSON header that gives each tensor's type, shape and place, and
the raw numbers. Nothing in it can run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RefusalError, plain

if TYPE_CHECKING:
    from typing_extensions import TypeGuard  # Python 3.9 has none, and at run time none is needed

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I8": np.dtype("<i1")}
# A tensor of whole numbers is to be multiplied by the tensor of its name and this, one value for each first index.
SCALE_SUFFIX = ".scale"
MOST_AXES = 8


def sha256(data: bytes) -> str:
    """The checksum a card holds."""
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, size: int, checksum: str) -> dict[str, np.ndarray]:
    """All tensors of a file whose size and checksum are known."""
    try:
        if path.stat().st_size != size:
            raise _refused(path, "has the wrong size")
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, "is missing or cannot be read") from error
    if sha256(data) != checksum.lower():
        raise _refused(path, "is not the one that its card describes (checksum)")
    tensors = parse(data, path)
    try:
        return restored(tensors)
    except (KeyError, ValueError) as error:
        raise _refused(path, "has whole numbers without a fitting scale") from error


def restored(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Floats again where whole numbers and their scales were stored; the others as they are."""
    whole = {name for name, tensor in tensors.items() if tensor.dtype == DTYPES["I8"]}
    scales = {name + SCALE_SUFFIX for name in whole}
    result = {name: tensor for name, tensor in tensors.items() if name not in whole | scales}
    for name in whole:
        scale = tensors[name + SCALE_SUFFIX].reshape(len(tensors[name]), *(1,) * (tensors[name].ndim - 1))
        result[name] = tensors[name] * scale.astype(np.float32)
    return result


def parse(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file; every byte must belong to exactly one of them."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise _refused(path, "is cut off, or is no safetensors file")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _refused(path, "has a header that cannot be read") from error
    if not isinstance(header, dict):
        raise _refused(path, "has a header that lists no tensors")
    header.pop("__metadata__", None)
    body, tensors = memoryview(data)[8 + length :], {}
    try:
        entries = {name: _entry(values, len(body)) for name, values in header.items()}
        position = 0
        for name, (dtype, shape, start, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
            if start != position:
                raise ValueError("has tensors that overlap, or bytes between them")
            tensors[name] = np.frombuffer(body[start:stop], dtype).reshape(shape)
            position = stop
        if position != len(body):
            raise ValueError("has bytes that belong to no tensor")
    except ValueError as error:
        raise _refused(path, str(error)) from error
    return tensors


def safetensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The tensors as a safetensors file."""
    header, body = {}, b""
    names = {dtype: name for name, dtype in DTYPES.items()}
    for name, tensor in sorted(tensors.items()):
        raw = np.ascontiguousarray(tensor).tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def _entry(values: Any, size: int) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Type, shape and place of a tensor within a body of `size` bytes; the words of a ValueError say what is wrong."""
    if not isinstance(values, dict):
        raise ValueError("has a tensor that is not described")
    kind = values.get("dtype")
    dtype = DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise ValueError(f"has a tensor that is none of {', '.join(DTYPES)}")
    shape, place = values.get("shape"), values.get("data_offsets")
    if not _counts(shape) or len(shape) > MOST_AXES:
        raise ValueError("has a tensor of an impossible shape")
    if not _counts(place) or len(place) != 2 or not place[0] <= place[1] <= size:
        raise ValueError("has a tensor that lies outside the file")
    if place[1] - place[0] != prod(shape) * dtype.itemsize or max(shape, default=0) > size:
        raise ValueError("has a tensor whose shape and place disagree")
    return dtype, tuple(shape), place[0], place[1]


def _counts(values: Any) -> TypeGuard[list[int]]:
    """Whether these are whole numbers, none below zero."""
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def check(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple], path: Path) -> None:
    """Refuse tensors that are not exactly those the network wants, or that hold no numbers."""
    if set(tensors) != set(shapes):
        odd = sorted(set(tensors) ^ set(shapes))[0]
        raise _refused(path, f"does not fit the network its card names (tensor {plain(odd)[:60]})")
    for name, tensor in tensors.items():
        if tensor.shape != tuple(shapes[name]):
            raise _refused(path, f"does not fit the network its card names (shape of {name})")
        if not np.isfinite(tensor).all():
            raise _refused(path, f"holds values that are not numbers ({name})")


def _refused(path: Path, what: str) -> RefusalError:
    return RefusalError(f"The weights file {path.name} of model {path.parent.name} {what}; install the model again.")
