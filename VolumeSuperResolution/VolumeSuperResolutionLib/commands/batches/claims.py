"""Who works on which scan, where several processes, perhaps of several machines, fill one folder.

A claim is a file that only one of them can make. Its owner changes the file's time every few seconds. Whoever finds a
claim that another holds may take it over where that process has ended, or where the file has stood still for long by
his own steady clock: no two clocks are compared, and setting one changes nothing. What is taken over gets the next
number, which again only one can make.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from .. import outputs

FOLDER = ".vsr_claims"
BEAT_SECONDS = 15.0
# Network file systems tell of changes up to a minute late.
STALE_SECONDS = 300.0
LOCK_POLL_SECONDS = 0.02


@lru_cache(maxsize=8)
def of(folder: Path) -> Claims:
    """The claims on scans whose results go to a folder; the same object each time, as it remembers what stood still."""
    return Claims(folder)


class Claims:
    """The claims of all processes in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._held: set[str] = set()
        self._watched: dict[str, tuple[object, float]] = {}

    def take(self, name: str) -> Claim | None:
        """A claim on a scan; None where another process holds one."""
        return self._take(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24])

    def _take(self, key: str) -> Claim | None:
        number = self._last(key)
        if number is not None and not self._abandoned(self._path(key, number)):
            return None
        number = 0 if number is None else number + 1
        path = self._path(key, number)
        owner = json.dumps({"machine": outputs.machine(), "process": os.getpid()})
        while True:
            try:
                with open(path, "x", encoding="utf-8") as file:
                    file.write(owner)
            except FileNotFoundError:  # the last one to leave took the folder away
                self._folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                return None
            else:
                self._held.add(path.name)
                return Claim(self, key, number, path)

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait for a claim that nobody holds for long."""
        while (claim := self.take(name)) is None:
            time.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            self.release(claim)

    def release(self, claim: Claim) -> None:
        """Give back a claim, and those that it was taken over from."""
        for number in range(claim.number, -1, -1):
            with suppress(OSError):
                self._path(claim.key, number).unlink()
        self._held.discard(claim.path.name)

    def is_last(self, claim: Claim) -> bool:
        """Whether nobody has taken a claim over, as from a process that was stopped for long."""
        return self._last(claim.key) == claim.number

    def clear(self) -> None:
        """Give back what ended processes held, and take the folder away where no claim is left in it."""
        for key in {path.stem for path in self._folder.glob("*.*")}:
            claim = self._take(key)
            if claim is not None:
                self.release(claim)
        with suppress(OSError):
            self._folder.rmdir()

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}.{number}"

    def _last(self, key: str) -> int | None:
        numbers = [int(path.suffix[1:]) for path in self._folder.glob(f"{key}.*") if path.suffix[1:].isdigit()]
        return max(numbers, default=None)

    def _abandoned(self, path: Path) -> bool:
        try:
            state = (os.stat(path).st_mtime_ns, path.read_bytes())
        except OSError:  # just given back
            return False
        if self._owner_ended(path.name, state[1]):
            return True
        before, since = self._watched.get(path.name, (None, 0.0))
        if state != before:
            self._watched[path.name] = state, time.monotonic()
            return False
        return time.monotonic() - since > STALE_SECONDS

    def _owner_ended(self, name: str, content: bytes) -> bool:
        """Whether the owner was a process of this machine that is no more; False where that cannot be known."""
        try:
            owner = json.loads(content)
            machine, process = owner["machine"], int(owner["process"])
        except (ValueError, KeyError, TypeError):
            return False  # perhaps it is only just being written
        if machine != outputs.machine() or os.name != "posix":
            return False
        if process == os.getpid():
            return name not in self._held  # of an earlier process with the same number
        return not outputs.answers(process)


class Claim:
    """What one process works on; in a `with`, others see that it does."""

    def __init__(self, claims: Claims, key: str, number: int, path: Path) -> None:
        self.key, self.number, self.path = key, number, path
        self._claims = claims
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claim:
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beating.join()
        self._claims.release(self)

    def is_mine(self) -> bool:
        """Whether it was not taken over meanwhile."""
        return self._claims.is_last(self)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(self.path)
