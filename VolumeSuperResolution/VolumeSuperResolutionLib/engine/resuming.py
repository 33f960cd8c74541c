"""What is finished of a run, told to the process that goes on with it when this one was ended.

A run is a row of steps, which each process begins in the same order. A step only writes what it does not read, and
writes the same when it is done again; so what was written after the last line of the journal does no harm, whether it
came to the disk or not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

from .callbacks import NOTHING_KEPT, Step

# A run that was shorter keeps nothing: bringing all that was written to the disk takes time, too.
SECONDS = 30.0


class Journal:
    """In a JSON file: what the run is `about`, the files that it needs, which steps are done, and where the next is.

    Where nothing is said of what it is about, there is no journal.
    """

    def __init__(self, path: Path, about: Mapping[str, Any] | None, flush: Callable[[], Mapping[str, int]]) -> None:
        """`flush` brings what was written to the disk, and names the files, as seen from here, with their sizes."""
        self._path, self._flush = path, flush
        self._about = json.loads(json.dumps(about))
        self._done: list[Mapping[str, Any]] = []
        self._at: Mapping[str, Any] = {}
        self._begun = 0
        self._saved = time.monotonic()
        self.files: Mapping[str, int] = {}
        self.kept = about is not None and self._load()
        self.resumed = self.kept

    @contextmanager
    def begin(self) -> Iterator[Step]:
        """The next step."""
        if self._about is None:
            yield NOTHING_KEPT
            return
        number, self._begun = self._begun, self._begun + 1
        if number < len(self._done):
            yield _Kept(self._reached, self._done[number], done=True)
            return
        step = _Kept(self._reached, self._at)
        yield step
        self._done.append(step.told)
        self._at = {}
        if self.kept or self._due():  # always, once it is kept: the next step may write into what this one has read
            self._save()

    def _due(self) -> bool:
        return time.monotonic() - self._saved >= SECONDS

    def _reached(self, where: Callable[[], Mapping[str, Any]]) -> None:
        if self._due():
            self._at = where()
            self._save()

    def _save(self) -> None:
        files = self._flush()
        state = {"about": self._about, "files": files, "done": self._done, "at": self._at}
        made = self._path.with_suffix(".new")
        with open(made, "w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, self._path)
        if os.name == "posix":
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.kept, self._saved = True, time.monotonic()

    def _load(self) -> bool:
        """Whether an earlier process has left what it was about, with all of its files."""
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            if state["about"] != self._about:
                return False
            for name, size in state["files"].items():
                if os.path.getsize(self._path.parent / name) != size:
                    return False
            self.files, self._done, self._at = dict(state["files"]), list(state["done"]), dict(state["at"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        return True


class _Kept(Step):
    def __init__(self, reached: Callable, state: Mapping[str, Any], done: bool = False) -> None:
        self.done, self.state, self._reached = done, state, reached
        self.told: Mapping[str, Any] = {}

    def reached(self, where: Callable[[], Mapping[str, Any]]) -> None:
        self._reached(where)

    def tell(self, state: Mapping[str, Any]) -> None:
        self.told = state
