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
from typing import Any

import numpy as np

from ..errors import RefusalError

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I8": np.dtype("<i1")}
# A tensor of whole numbers is to be multiplied by the tensor of its name and this, one value for each first index.
SCALE_SUFFIX = ".scale"


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
    if sha256(data) != checksum:
        raise _refused(path, "is not the one that its card describes (checksum)")
    try:
        return restored(parse(data, path))
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
        raise _refused(path, "is cut off")
    try:
        header: dict[str, dict[str, Any]] = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        body, position, tensors = memoryview(data)[8 + length :], 0, {}
        for name, entry in entries:
            start, stop = entry["data_offsets"]
            dtype, shape = DTYPES[entry["dtype"]], tuple(int(n) for n in entry["shape"])
            if start != position or stop - start != prod(shape) * dtype.itemsize or stop > len(body):
                raise ValueError(name)
            tensors[name] = np.frombuffer(body[start:stop], dtype).reshape(shape)
            position = stop
        if position != len(body):
            raise ValueError("bytes left over")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(path, "is not a sound safetensors file of floats or 8-bit numbers") from error
    return tensors


def check(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple], path: Path) -> None:
    """Refuse tensors that are not exactly those the network wants, or that hold no numbers."""
    if set(tensors) != set(shapes):
        odd = sorted(set(tensors) ^ set(shapes))[0]
        raise _refused(path, f"does not fit the network its card names (tensor {odd})")
    for name, tensor in tensors.items():
        if tensor.shape != tuple(shapes[name]):
            raise _refused(path, f"does not fit the network its card names (shape of {name})")
        if not np.isfinite(tensor).all():
            raise _refused(path, f"holds values that are not numbers ({name})")


def _refused(path: Path, what: str) -> RefusalError:
    return RefusalError(f"The weights file {path.name} of model {path.parent.name} {what}; install the model again.")
