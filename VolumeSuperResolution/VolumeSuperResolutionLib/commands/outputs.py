"""What a command writes: found possible before the work, written all or nothing, its remains removed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..engine.errors import CancelledError, RefusalError
from ..engine.storage import JOURNAL, OnDisk
from ..engine.volumes import derived, files, ome_zarr
from ..engine.volumes.grid import Volume
from ..engine.volumes.writing import TEMPORARY as PREFIX
from ..engine.volumes.writing import check_replaceable, is_zarr, replace_folder
from .ending import StoppedError, uninterrupted

# The folder of a run that a later one may go on with; the name of its result follows.
UNFINISHED = ".vsr_unfinished-"
KEPT = "What was finished is kept in {}, and the same command goes on from there."
# In what maps and others are written that lie beside a DICOM series.
BESIDE_SERIES = ".nii.gz"
# A temporary folder whose owner cannot be asked, on another machine for one, is nobody's after a day.
STALE_SECONDS = 24 * 3600


def beside(path: Path, word: str) -> Path:
    """scan.nii.gz -> scan-uncertainty.nii.gz"""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}-{word}{dot}{suffixes}")


def stem(name: str) -> str:
    """The name of a volume without the ending of its format."""
    endings = (*files.VOLUME_ENDINGS, f".ome{ome_zarr.ENDING}")
    found = [ending for ending in endings if name.lower().endswith(ending)]
    return name[: len(name) - max(map(len, found), default=0)]


def targets_of(path: Path, maps: Iterable[str], series: bool = False) -> list[Path]:
    """What a run writes to a path: the result, which may be the folder of a series, then its maps."""
    if series:
        return [path, *(path.with_name(f"{path.name}-{name}{BESIDE_SERIES}") for name in maps)]
    return [path, *(beside(path, name) for name in maps)]


def check_volumes(targets: Sequence[Path], sources: Iterable[Path]) -> None:
    """Refuse volumes that cannot be written, would overwrite each other, or what is read; clear what was left there."""
    for target in targets:
        files.check_writable(target)
    written = [file for target in targets for file in files.written_by(target)]
    twice = [file for n, file in enumerate(written) if file in written[:n]]
    if twice:
        raise RefusalError(f"Two results would be written to {twice[0]}; rename one of their inputs.")
    files.check_apart(written, sources)
    for folder in {target.parent for target in targets}:
        remove_leftovers(folder)


def check_many(targets: Sequence[Path], sources: Callable[[], Iterable[Path]], series: Sequence[Path] = ()) -> None:
    """The same for thousands of volumes in folders that may not be there yet, and for those of DICOM series.

    `sources` is asked only if need be.
    """
    written: dict[Path, None] = {}
    there = {}
    for folder in series:
        files.check_name(folder)
        if folder in written:
            raise RefusalError(f"Two results would be written to {folder}; rename one of their inputs.")
        written[folder] = None
        derived.check_replaceable(folder)
        if os.path.lexists(folder):
            there[identity(folder)] = folder
    for path in (*series, *targets) if series else ():
        above = next((folder for folder in path.parents if folder in written), None)
        if above is not None:
            raise RefusalError(f"{path} would lie among the images of {above}; rename one of their inputs.")
    for target in targets:
        files.check_name(target)
        if target.is_dir() and not is_zarr(target):
            raise RefusalError(f"{target} cannot be written: it is a folder itself.")
        for file in files.written_by(target):
            if file in written:
                raise RefusalError(f"Two results would be written to {file}; rename one of their inputs.")
            written[file] = None
            check_replaceable(file)
            if os.path.lexists(file):
                there[identity(file)] = file
    for source in sources() if there else ():
        if identity(source) in there:
            raise RefusalError(f"{there[identity(source)]} would overwrite what is read; give another name.")
    for folder in {target.parent for target in (*series, *targets)}:
        remove_leftovers(folder)


def identity(path: Path) -> object:
    """The same for all names of one file or folder; the path itself where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return path
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def check_file(path: Path, sources: Iterable[Path] = ()) -> None:
    """Refuse a file that cannot be written, or would overwrite what is read; makes none."""
    if path.is_dir() or not path.parent.is_dir():
        raise RefusalError(f"{path} cannot be written: its folder does not exist, or it is a folder itself.")
    check_replaceable(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=PREFIX) as folder:
            (Path(folder) / path.name).touch()
        if path.exists():
            open(path, "r+b").close()
    except OSError as error:
        raise RefusalError(f"{path} cannot be written ({error.strerror}); choose another name or folder.") from error
    files.check_apart([path], sources)


def make_folder(path: Path) -> None:
    """A folder that can be written to, and the folders it lies in."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise RefusalError(f"{path} cannot be a folder for results ({error.strerror}); choose another one.") from error


def write_together(
    volumes: Mapping[Path, Volume],
    metadata: Mapping[str, str] | None = None,
    texts: Mapping[Path, str] | None = None,
    own: Mapping[Path, Mapping[str, str]] | None = None,
    series: Mapping[Path, Callable[[Path], None]] | None = None,
) -> None:
    """All of these volumes, texts and series, which lie in one folder, or none of them.

    `own` is metadata of single volumes; what makes a series is called with the folder that it has to make.
    """
    series = series or {}
    paths = (*series, *volumes)
    folder = paths[0].parent
    with _place_in(folder) as place:
        try:
            for path, make in series.items():
                make(Path(place) / path.name)
            for path, volume in volumes.items():
                files.write(volume, Path(place) / path.name, (own or {}).get(path, metadata))
            for path, text in (texts or {}).items():
                (Path(place) / path.name).write_text(text, encoding="utf-8")
        except RefusalError as refusal:
            raise RefusalError(str(refusal).replace(place, str(folder))) from refusal
        for path in series:
            derived.check_replaceable(path)
        names = " and ".join(path.name for path in paths)
        with uninterrupted(f"interrupted, but {names} were written"):
            for part in sorted(Path(place).iterdir()):
                (replace_folder if part.is_dir() else os.replace)(part, folder / part.name)


@contextmanager
def on_disk(
    target: Path, about: Mapping[str, Any] | None = None, maps: Mapping[str, Path] | None = None
) -> Iterator[OnDisk]:
    """The storage of a run whose result and maps are written as they are made, and named if nothing was raised.

    Of a run that is `about` something, what was finished stays for the next one about just that, unless the scan or the
    request is the reason why it ended; who may begin it has to see to it that no other process is at it.
    """
    folder = target.parent / f"{UNFINISHED}{target.name}"
    if about is None:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix()))
    kept = False
    try:
        folder.mkdir(exist_ok=True)
        storage = OnDisk(folder, target, about, maps)
        try:
            yield storage
            storage.verify()
            with uninterrupted(f"interrupted, but {target.name} was written"):
                storage.move()
        except (Exception, KeyboardInterrupt) as error:
            kept = isinstance(error, TakenOverError) or (storage.journal.kept and _may_pass(error))
            if isinstance(error, RefusalError):
                sentence = str(error).replace(f"{folder}{os.sep}", f"{target.parent}{os.sep}")
                raise RefusalError(f"{sentence} {KEPT.format(folder)}" if kept else sentence) from error
            if kept and isinstance(error, KeyboardInterrupt):
                raise UnfinishedError(getattr(error, "number", signal.SIGINT), KEPT.format(folder)) from error
            raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


class UnfinishedError(StoppedError):
    """The program was asked to end, and what was finished is kept."""

    def __init__(self, number: int, kept: str) -> None:
        super().__init__(number, f"interrupted. {kept}")


class TakenOverError(Exception):
    """Another process goes on with what this one did; it has to be left alone."""


def _may_pass(error: BaseException) -> bool:
    """Whether a run that ended with an error may come to its end when it is tried again."""
    if isinstance(error, KeyboardInterrupt):
        return not error.args  # else it waited for the end
    return not isinstance(error, (RefusalError, CancelledError)) or isinstance(error.__cause__, OSError)


def write_text(path: Path, text: str) -> None:
    """A text in a file, whole or not at all."""
    with _place_in(path.parent) as place:
        part = Path(place) / path.name
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


def _place_in(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in a folder, which tells whose it is."""
    return tempfile.TemporaryDirectory(dir=folder, prefix=_prefix())


def _prefix() -> str:
    return f"{PREFIX}{_host()}-{os.getpid()}-"


def remove_leftovers(folder: Path) -> None:
    """Remove temporary folders of runs that were killed, but none that a run can go on with."""
    for path in (*folder.glob(f"{PREFIX}*"), *folder.glob(f"{UNFINISHED}*")):
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink() and _is_stale(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_stale(path: Path) -> bool:
    if path.name.startswith(UNFINISHED):
        return not (path / JOURNAL).exists() and _is_old(path)
    host, _, rest = path.name[len(PREFIX) :].rpartition("-")[0].rpartition("-")
    if os.name == "posix" and host == _host() and rest.isdigit():
        return not answers(int(rest))
    return _is_old(path)


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > STALE_SECONDS


def answers(process: int) -> bool:
    """Whether there is a process of this number on this machine, which is POSIX."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@cache
def machine() -> str:
    """What tells this machine, since its start, from others; on Linux also containers that number processes anew."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _host() -> str:
    """The machine's name as a part of a file's."""
    return "".join(c for c in socket.gethostname() if c.isalnum())[:32] or "host"
