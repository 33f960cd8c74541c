"""Voxels to and from files in pieces, so that the event loop never waits long for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from .scene import emptyVoxels

PIECE_BYTES = 2**20
STEP_SECONDS = 0.01


class Sending:
    """An array on its way into a file."""

    def __init__(self, array: np.ndarray, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 (closed in close)
        self._pieces = _pieces(array)

    def step(self) -> bool:
        """Go on for a moment; True when all is written. May raise OSError."""
        until = self._clock() + STEP_SECONDS
        for piece in self._pieces:
            while len(piece):
                piece = piece[self._file.write(piece) :]
            if self._clock() >= until:
                return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Receiving:
    """An array on its way out of a file, into memory that a volume node can take over."""

    def __init__(
        self, path: Path, dtype: str, shape: tuple[int, ...], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.array = emptyVoxels(shape, dtype)
        self._target = self.array.reshape(-1).view(np.uint8)
        self._source = np.memmap(path, np.uint8, "r")
        if self._source.size != self._target.size:
            raise RefusalError(_("The result is damaged; run it again."))
        self._done = 0

    def step(self) -> bool:
        """Go on for a moment; True when all is read."""
        until = self._clock() + STEP_SECONDS
        while self._done < self._target.size:
            part = slice(self._done, self._done + PIECE_BYTES)
            self._target[part] = self._source[part]
            self._done += PIECE_BYTES
            if self._clock() >= until:
                return self._done >= self._target.size
        return True

    def close(self) -> None:
        """Let go of the file."""
        self._source = None


def _pieces(array: np.ndarray) -> Iterator[memoryview]:
    if array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, PIECE_BYTES):
            yield memoryview(flat[start : start + PIECE_BYTES])
    else:
        for plane in array:
            yield from _pieces(np.ascontiguousarray(plane))
