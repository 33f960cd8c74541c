"""What was done in a folder of results: a line of JSON for each scan, the last one counts.

What is recorded as done and has not changed since, neither the scan, nor the request, nor the model, nor the result, is
done no more. A line that cannot be read is passed over, so that at the worst a scan is done again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...engine import checks
from ...engine.errors import RefusalError
from ...engine.models import zoo
from ...engine.models.automatic import AUTOMATIC
from ...engine.models.card import Card
from ...engine.request import Request
from .claims import Claims

FILE = "vsr-batch.jsonl"
DONE, FAILED = "done", "failed"
# The claim of whoever appends a line.
LOCK = "\0manifest"
CHUNK = 1 << 20
# They change how a result is computed, and no result.
OF_THE_MACHINE = ("memory_mb",)


class Asked(NamedTuple):
    """What is asked of every scan: the request, and the models and files that it means by their checksums."""

    request: dict[str, Any]
    models: dict[str, str]


def asked(request: Request, card: Card | None, dicom: bool = False) -> Asked:
    """What is written down of a request; `card` is of the model that it names, if it names one.

    `dicom`: the results are DICOM series.
    """
    values = {key: value for key, value in request.to_dict().items() if key not in OF_THE_MACHINE}
    values = {**json.loads(json.dumps(values)), **({"dicom": True} if dicom else {})}
    profile = Path(request.profile or "")
    models = {profile.name: checksum([profile])} if profile.is_file() else {}
    named = [] if card is None else checks.averaged(card)
    models.update({each.id: _checksum(each) for each in named})
    if card is None or named[-1].averaged_with:  # it is chosen for each scan
        known = sorted((each.id, _checksum(each)) for each in zoo.cards().values())
        models[AUTOMATIC] = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    if card is not None and request.realism is not None and request.realism < 1:
        faithful = zoo.partner(card)
        models[faithful.id] = _checksum(faithful)
    return Asked(values, models)


def _checksum(card: Card) -> str:
    return str(card.weights["sha256"]) if card.learned else ""


def stamp(paths: Iterable[Path]) -> str:
    """What files look like from outside: names, sizes and times; equal stamps mean that nothing was changed."""
    states = []
    for path in sorted(paths):
        found = os.stat(path)
        states.append((path.name, found.st_size, found.st_mtime_ns))
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()[:16]


def checksum(paths: Iterable[Path]) -> str:
    """Of all that is in files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{os.path.getsize(path)}:".encode())
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a result: of a file, or of the files in a folder."""
    return sum(os.path.getsize(each) for each in path.iterdir()) if path.is_dir() else os.path.getsize(path)


class Manifest:
    """The lines in a folder of results, those of other processes included."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.damaged = 0
        self._folder = folder
        self._records: dict[str, dict[str, Any]] = {}
        self._read_to = 0

    def record(self, name: str) -> dict[str, Any] | None:
        """The last that is known of a scan."""
        self._go_on()
        return self._records.get(name)

    def settled(self, name: str, asked: Asked, sources: Iterable[Path], thorough: bool) -> dict[str, Any] | None:
        """The record of a scan for which nothing has changed; `thorough`: nor where only times of its files have."""
        record = self.record(name)
        if record is None or (record.get("request"), record.get("models")) != asked:
            return None
        if record["status"] == DONE and not self._is_there(record.get("results")):
            return None
        try:
            same = record.get("stamp") == stamp(sources)
            same = same or (thorough and record.get("input") == checksum(sources))
        except OSError:
            return None
        return record if same else None

    def append(self, record: Mapping[str, Any], claims: Claims) -> None:
        """Add what is known of a scan now: the whole line, or none."""
        line = json.dumps(record).encode() + b"\n"
        with claims.hold(LOCK):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            file = os.open(self.path, flags, 0o666)
            try:
                size = os.fstat(file).st_size
                if size:
                    os.lseek(file, size - 1, os.SEEK_SET)
                    if os.read(file, 1) != b"\n":  # what a killed process wrote
                        line = b"\n" + line
                if os.write(file, line) < len(line):
                    os.ftruncate(file, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file)
            finally:
                os.close(file)

    def _is_there(self, results: object) -> bool:
        if not isinstance(results, dict) or not results:
            return False
        try:
            return all(size_of(self._folder / name) == size for name, size in results.items())
        except OSError:
            return False

    def _go_on(self) -> None:
        """Read the lines that were added."""
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._read_to:
                    self._read_to, self._records = 0, {}
                file.seek(self._read_to)
                added = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise RefusalError(f"{self.path} cannot be read ({error.strerror}); take it away, or mend it.") from error
        whole = added.rfind(b"\n") + 1
        self._read_to += whole
        for line in added[:whole].splitlines():
            record = _parsed(line)
            if record is not None:
                self._records[record["scan"]] = record
            elif line.strip():
                self.damaged += 1


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    sound = isinstance(record, dict) and isinstance(record.get("scan"), str)
    return record if sound and record.get("status") in (DONE, FAILED) else None
