"""Where the arrays of a run lie: in memory, or in files where they would not fit there."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .callbacks import NOTHING_KEPT, Cancel, Step
from .errors import RefusalError
from .request import MEGA, Estimate, Request
from .resuming import Journal
from .streaming import memory
from .volumes import files, mapped, ome_zarr, writing
from .volumes.grid import Grid, Size, Volume


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

    def room(self, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        """The same for what is only changed in steps of the run, the first of which fills it."""
        return self.empty(shape, dtype)

    def another(self, array: np.ndarray) -> np.ndarray:
        """Where such an array goes that is changed: into itself, where nobody would need it as it was."""
        return array

    def again(self) -> AbstractContextManager[object]:
        """Within, there is room in the place of that which there was the last time."""
        return nullcontext()

    def begin(self) -> AbstractContextManager[Step]:
        """The next step of the run."""
        return nullcontext(NOTHING_KEPT)

    def result(self, grid: Grid, dtype: np.dtype) -> np.ndarray:
        """Room for the one result."""
        return np.empty(grid.size[::-1], dtype)

    def map(self, name: str, grid: Grid, dtype: np.dtype) -> np.ndarray:
        """Room for a map beside the result."""
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
# In the folder of a run: where its result is made, and what is finished of it.
RESULT = "result"
JOURNAL = "unfinished.json"


class OnDisk(Storage):
    """In files of a folder, which is removed at the end, with the result becoming a file of its own.

    What the process holds does then not grow with the number of slices, but for the matrices along that axis. So do the
    `maps`, by their names. With what the run is `about`, it goes on with what an earlier process has left in the folder
    of a run about just that.
    """

    def __init__(
        self,
        folder: Path,
        target: Path,
        about: Mapping[str, Any] | None = None,
        maps: Mapping[str, Path] | None = None,
    ) -> None:
        self.scratch, self._target = mapped.Scratch(folder), target
        self.journal = Journal(folder / JOURNAL, about, self.scratch.flush)
        mapped.clear(folder, {JOURNAL, *self.journal.files} if self.journal.resumed else set())
        self._rooms: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        self._number = 0
        self._files = {name: _Made(folder / name, path) for name, path in {**(maps or {}), RESULT: target}.items()}
        # Of the result: what the scan says of itself, and more.
        self.metadata: Mapping[str, str] = {}
        self.more: Mapping[str, str] = {}

    def check(self, need: Estimate, request: Request) -> None:
        """Refuse what the disk has no room for."""
        total, free = need.output_bytes + need.working_bytes + need.kept_bytes, self._free()
        floats = 4 * math.prod(need.size)  # of a map
        for name, file in self._files.items():
            total += int(file.more_room * (need.output_bytes if name == RESULT else floats))
        if total > free:
            advice = "give it a name on another disk, "
            raise RefusalError(too_large(need.size, total, free, f" on the disk of {self._target.name}", advice))

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        """A file that goes with the array."""
        return self.scratch.empty(shape, dtype)

    def _free(self) -> int:
        """The room on the disk, that of earlier files included."""
        return shutil.disk_usage(self.scratch.folder).free + sum(self.journal.files.values())

    def room(self, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        """A file that stays as long as the folder: that of an earlier process, where it left one."""
        array = self._room(f"room{self._number}", shape, dtype)
        self._rooms[self._number] = array, None
        self._number += 1
        return array

    def another(self, array: np.ndarray) -> np.ndarray:
        """The second file of an array that room() gave, or the first of such a second one."""
        for number, (one, other) in self._rooms.items():
            if array is other:
                return one
            if array is one:
                other = self._room(f"room{number}b", one.shape, one.dtype) if other is None else other
                self._rooms[number] = one, other
                return other
        raise ValueError("an array that is no room")

    @contextmanager
    def again(self) -> Iterator[None]:
        """Within, there is room in the files of the last time."""
        number = self._number
        yield
        self._rooms = {n: arrays for n, arrays in self._rooms.items() if n < number}
        self._number = number

    def begin(self) -> AbstractContextManager[Step]:
        """The next step of the run, which is written down."""
        return self.journal.begin()

    def _room(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray:
        return self.scratch.lasting(name, shape, dtype, name in self.journal.files)

    def result(self, grid: Grid, dtype: np.dtype) -> np.ndarray:
        """The voxels of a new file of the target's format, under another name; or that of an earlier process."""
        return self.map(RESULT, grid, dtype)

    def map(self, name: str, grid: Grid, dtype: np.dtype) -> np.ndarray:
        """The same of a map."""
        file = self._files[name]
        there = file.made.relative_to(self.scratch.folder).as_posix() in self.journal.files
        with writing.told(file.target):
            make = self.scratch.reopen if there else self.scratch.create
            file.volume = Volume(make(file.made, grid, np.dtype(dtype), self.metadata), grid)
        return file.volume.array

    def _holds(self, values: np.ndarray) -> bool:
        result = self._files[RESULT].volume
        return result is not None and values.nbytes == result.array.nbytes and np.shares_memory(values, result.array)

    def relax(self) -> None:
        """Nothing of the files counts as held by this process any more."""
        self.scratch.relax()

    def read(self, path: Path, series: str | None) -> files.Loaded:
        """Left in its own files where it can be; what it says of itself is said of the result."""
        loaded = files.read(path, series, scratch=self.scratch)
        self.metadata = {**loaded.metadata, **self.more}
        return loaded

    def watch(self, cancel: Cancel | None) -> Cancel:
        """The same, with relax() each time that it is asked."""

        def asked() -> bool:
            self.relax()
            return cancel is not None and cancel()

        return asked

    def verify(self) -> None:
        """Refuse what is not whole on the disk; after it, nobody may use the arrays any more."""
        self._rooms = {}
        for file in self._files.values():
            file.verify(self.metadata, self.relax)

    def move(self) -> None:
        """Give what was verified its names, the result last."""
        for file in self._files.values():
            file.move()


class _Made:
    """A volume file that is made in a folder, under another name, and what is made of it when all of it is there."""

    def __init__(self, folder: Path, target: Path) -> None:
        stem, ending = writing.split(target)
        made_of, self.more_room = writing.ENDINGS[ending].made_of, writing.ENDINGS[ending].more_room
        self.target, self.made = target, folder / f"{stem}{made_of or ending}"
        self._packed = folder.with_name(f"{folder.name}-packed") / f"{stem}{ending}" if made_of else None
        folder.mkdir(exist_ok=True)
        self.volume: Volume | None = None

    def verify(self, metadata: Mapping[str, str], relax: Callable[[], None]) -> None:
        """Refuse what is not whole; lets go of the array."""
        assert self.volume is not None
        with writing.told(self.target):
            if self._packed is not None:
                self._packed.parent.mkdir(exist_ok=True)
                if writing.is_zarr(self.target):
                    version = metadata.get(ome_zarr.KEY, ome_zarr.VERSIONS[0])
                    ome_zarr.write(self.volume, self._packed, version, relax)
                else:
                    writing.compress(self.made, self._packed)
            grid, dtype, self.volume = self.volume.grid, self.volume.array.dtype, None
            if self._packed is None or not writing.is_zarr(self.target):
                writing.check_written(grid, dtype, self._packed or self.made)

    def move(self) -> None:
        """Give it its name."""
        with writing.told(self.target):
            if writing.is_zarr(self.target) and self._packed is not None:
                writing.replace_folder(self._packed, self.target)
            else:
                writing.move(self._packed or self.made, self.target)


def too_large(size: Size, total: float, free: float, where: str = "", advice: str = "") -> str:
    """That a result needs more bytes than there are, and what to do."""
    fits = (free / total) ** (1 / 3)
    return (
        f"The result of {'x'.join(map(str, size))} voxels would need {total / MEGA:.0f} MB and "
        f"{free / MEGA:.0f} MB are free{where}; {advice}choose factors about {fits:.2f} times as large, or a region."
    )
