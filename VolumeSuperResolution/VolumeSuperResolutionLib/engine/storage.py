"""Where the arrays of a run lie: in memory, or in files where they would not fit there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .callbacks import Cancel
from .errors import RefusalError
from .request import MEGA, Estimate, Request
from .streaming import memory
from .volumes import files, mapped, writing
from .volumes.grid import Grid, Size


class Storage:
    """In memory."""

    def check(self, need: Estimate, request: Request) -> None:
        """Refuse what does not fit."""
        total, free = need.output_bytes + need.working_bytes, memory.free_bytes()
        if total > free:
            raise RefusalError(too_large(need.size, total, free))

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        """Room for what a run needs on its way."""
        return np.empty(shape, dtype)

    def result(self, grid: Grid, dtype: np.dtype) -> np.ndarray:
        """Room for the one result."""
        return np.empty(grid.size[::-1], dtype)

    def kept(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """The result that values are as they are; without a copy where they can stay where they lie."""
        if self._holds(values):
            return values
        result = self.result(grid, values.dtype)
        for mine, given in zip(result, values):
            mine[...] = given
            self.relax()
        return result

    def _holds(self, values: np.ndarray) -> bool:
        return values.flags.c_contiguous

    def relax(self) -> None:
        """Called between the slabs of a pass."""

    def read(self, path: Path, series: str | None) -> files.Loaded:
        """As files.read, into the storage."""
        return files.read(path, series)

    def watch(self, cancel: Cancel | None) -> Cancel | None:
        """The same, to be asked between slabs."""
        return cancel


IN_MEMORY = Storage()
# What can be larger than memory.
ENDINGS_FOR_MORE = ", ".join(list(mapped.ENDINGS)[:-1]) + f" or {list(mapped.ENDINGS)[-1]}"


class OnDisk(Storage):
    """In files of a folder, which is removed at the end, with the result becoming a file of its own.

    What the process holds does then not grow with the number of slices, but for the matrices along that axis. Maps are
    made in memory only.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.scratch, self._target = mapped.Scratch(folder), target
        ending = mapped.ending(target)
        if ending is None:
            raise RefusalError(f"{target.name} has to fit into memory; {ENDINGS_FOR_MORE} need not.")
        self._made = folder / "result" / (target.name[: -len(ending)] + ending)
        self._made.parent.mkdir()
        self.metadata: Mapping[str, str] = {}
        self._result: np.ndarray | None = None
        self._grid: Grid | None = None

    def check(self, need: Estimate, request: Request) -> None:
        """Refuse what the disk has no room for, and what is made in memory only."""
        if request.maps:
            raise RefusalError(f"A map ({request.maps[0]}) has to fit into memory; leave it out, or choose a region.")
        total, free = need.output_bytes + need.working_bytes, shutil.disk_usage(self.scratch.folder).free
        if total > free:
            advice = "give it a name on another disk, "
            raise RefusalError(too_large(need.size, total, free, f" on the disk of {self._target.name}", advice))

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        """A file that goes with the array."""
        return self.scratch.empty(shape, dtype)

    def result(self, grid: Grid, dtype: np.dtype) -> np.ndarray:
        """The voxels of a new file of the target's format, under another name."""
        with writing.told(self._target):
            self._grid, self._result = grid, self.scratch.create(self._made, grid, np.dtype(dtype), self.metadata)
        return self._result

    def _holds(self, values: np.ndarray) -> bool:
        return (
            self._result is not None and values.nbytes == self._result.nbytes and np.shares_memory(values, self._result)
        )

    def relax(self) -> None:
        """Nothing of the files counts as held by this process any more."""
        self.scratch.relax()

    def read(self, path: Path, series: str | None) -> files.Loaded:
        """Left in its own files where it can be; what it says of itself is said of the result."""
        loaded = files.read(path, series, scratch=self.scratch)
        self.metadata = loaded.metadata
        return loaded

    def watch(self, cancel: Cancel | None) -> Cancel:
        """The same, with relax() each time that it is asked."""

        def asked() -> bool:
            self.relax()
            return cancel is not None and cancel()

        return asked

    def verify(self) -> None:
        """Refuse a result that is not whole on the disk; after it, nobody may use the array any more."""
        assert self._grid is not None and self._result is not None
        dtype, self._result = self._result.dtype, None
        with writing.told(self._target):
            writing.check_written(self._grid, dtype, self._made)

    def move(self) -> None:
        """Give the verified result its name."""
        with writing.told(self._target):
            writing.move(self._made, self._target)


def too_large(size: Size, total: float, free: float, where: str = "", advice: str = "") -> str:
    """That a result needs more bytes than there are, and what to do."""
    fits = (free / total) ** (1 / 3)
    return (
        f"The result of {'x'.join(map(str, size))} voxels would need {total / MEGA:.0f} MB and "
        f"{free / MEGA:.0f} MB are free{where}; {advice}choose factors about {fits:.2f} times as large, or a region."
    )
