"""One scan of a batch, from its file to its result and its line in the manifest, in whichever process."""

from __future__ import annotations

import errno
import json
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, NamedTuple

from ... import __version__
from ...engine import checks
from ...engine.errors import RefusalError
from ...engine.models import zoo
from ...engine.request import Report, Request
from ...engine.upscale import Result
from ...engine.volumes import files
from .. import ending, larger, outputs, segmentations
from ..upscale import noted, upscaled, written
from . import bids, claims
from .finding import Scan
from .manifest import DONE, FAILED, Asked, Manifest, checksum, size_of, stamp

# What a scan is found to be beside done and failed: done already, failed before, or another process has it.
KNOWN, GIVEN_UP, BUSY = "known", "given up", "busy"
Tell = Callable[[int, int], None]
# The engine uses all the threads that a process has; two scans at once in one process would only share them.
_ONE = threading.Lock()


class Place(NamedTuple):
    """What is common to all scans of a batch: all of it can be sent to another process."""

    root: Path
    output: Path
    request: Request
    asked: Asked
    described: dict[str, Any] | None = None
    retry: bool = False
    # Whether the results are DICOM series.
    dicom: bool = False


class Outcome(NamedTuple):
    """How the work on a scan ended; `full`: there is no room for others, either."""

    scan: Scan
    status: str
    code: int = ending.DONE
    sentence: str = ""
    report: Report | None = None
    full: bool = False


@lru_cache(maxsize=8)
def manifest_of(output: Path) -> Manifest:
    """The manifest of a folder, read once in a process."""
    return Manifest(output)


def known(place: Place, scan: Scan, thorough: bool = False) -> Outcome | None:
    """How a scan ended before, where nothing has changed since."""
    manifest = manifest_of(place.output)
    if manifest.record(scan.name) is None:
        return None
    record = manifest.settled(scan.name, place.asked, _sources(scan), thorough)
    if record is None:
        return None
    if record["status"] == DONE:
        return Outcome(scan, KNOWN)
    code = record.get("code")
    return Outcome(scan, GIVEN_UP, code if isinstance(code, int) else ending.DEFECT, str(record.get("reason", "")))


def do(place: Place, scan: Scan, progress: Tell | None = None) -> Outcome:
    """Upscale a scan, unless another process does, or has done it."""
    with _ONE:
        claim = claims.of(place.output).take(scan.name)
        if claim is None:
            return Outcome(scan, BUSY)
        with claim:
            before = known(place, scan, thorough=True)
            if before is not None and not (before.status == GIVEN_UP and place.retry):
                return before
            return _try(place, scan, claim, progress)


def check(request: Request) -> None:
    """Load what every scan needs, and refuse what would be refused of each."""
    card = checks.check_request(request)
    if card is not None and card.learned:
        zoo.load(card, request.realism)
        checks.check_device(request.device)


def check_derived(place: Place, scan: Scan) -> None:
    """Refuse what a series is asked of and is none."""
    if place.dicom and not scan.derived:
        raise RefusalError(f"{scan.path} is no DICOM series that another could be derived from; leave out --dicom.")


def lost(place: Place, scan: Scan, sentence: str) -> Outcome:
    """Write down that whoever worked on a scan is no more."""
    claim = claims.of(place.output).take(scan.name)
    if claim is None:
        return Outcome(scan, BUSY)
    with claim:
        return _Account(place, scan).failed(ending.REFUSED, sentence)


def _sources(scan: Scan) -> set[Path]:
    """The files that a scan and its segmentations are read from."""
    return set().union(*map(read_from, (scan.path, *scan.segmentations)))


def bytes_of(scan: Scan) -> int:
    """Of its files, or of those in its folder; 0 where that cannot be known."""
    with suppress(OSError):
        return size_of(scan.path) if scan.path.is_dir() else sum(map(size_of, read_from(scan.path)))
    return 0


def read_from(path: Path) -> set[Path]:
    """The files that are read with one; where they are in disorder, that one, which is told when its turn comes."""
    try:
        return files.read_by(path)
    except RefusalError:
        return {path}


class _Account:
    """What is to be written down of the work on a scan."""

    def __init__(self, place: Place, scan: Scan) -> None:
        self._place, self._scan = place, scan
        self._started = time.monotonic()
        self._record: dict[str, Any] = {"scan": scan.name, "version": __version__, **place.asked._asdict()}
        with suppress(OSError):  # what cannot be read is told when it is
            sources = _sources(scan)
            self._record.update(stamp=stamp(sources), input=checksum(sources))

    @property
    def input(self) -> str:
        """The checksum of the scan; of one that cannot be read nothing."""
        return str(self._record.get("input", ""))

    def settle(self, status: str, **more: object) -> None:
        """The line in the manifest."""
        seconds = round(time.monotonic() - self._started, 3)
        record = {**self._record, "status": status, "seconds": seconds, **more}
        manifest_of(self._place.output).append(record, claims.of(self._place.output))

    def failed(self, code: int, sentence: str) -> Outcome:
        """A line for what could not be done."""
        try:
            self.settle(FAILED, code=code, reason=sentence)
        except OSError as error:
            code, sentence = ending.told(error)
            return Outcome(self._scan, FAILED, code, sentence, full=True)
        return Outcome(self._scan, FAILED, code, sentence)


def _try(place: Place, scan: Scan, claim: claims.Claim, progress: Tell | None) -> Outcome:
    account, need = _Account(place, scan), 0
    try:
        check_derived(place, scan)
        asked = {"--dicom": place.dicom, "--segmentation": bool(scan.segmentations)}
        if larger.needed(scan.path, scan.series, place.request, asked):
            report = _on_disk(place, scan, claim, progress, account)
        else:
            carried = _segmentations(place, scan)
            result, loaded = upscaled(scan.path, place.request, progress, scan.series)
            need = result.volume.array.nbytes
            if not claim.is_mine():
                return Outcome(scan, BUSY)
            report = _write(place, scan, result, loaded, account, carried)
    except BrokenPipeError:
        raise
    except outputs.TakenOverError:
        return Outcome(scan, BUSY)
    except Exception as error:
        code, sentence = ending.told(error)
        if _is_full(error, place.output, need):
            return Outcome(scan, FAILED, code, sentence, full=True)
        return account.failed(code, sentence)
    return Outcome(scan, DONE, report=report)


def _segmentations(place: Place, scan: Scan) -> list[segmentations.Carried]:
    """Those of a scan, before the work on it."""
    if not scan.segmentations:
        return []
    grid, _ = files.look(scan.path, scan.series)
    return segmentations.read(scan.segmentations, scan.labels(place.output), grid, place.request.region)


def _write(
    place: Place,
    scan: Scan,
    result: Result,
    loaded: files.Loaded,
    account: _Account,
    carried: Sequence[segmentations.Carried],
) -> Report:
    """The result and what belongs to it, all or nothing, then its line; gives the report with all that is told."""
    targets = _targets(place, scan)
    report = noted(targets[0], result.report, result.volume.grid)
    report, texts = _texts(place, scan, targets, report)
    parts = written(result, targets, carried, loaded.images, report if scan.derived else None)
    paths = [*parts.series, *(file for target in parts.volumes for file in files.written_by(target)), *texts]

    def settle() -> None:
        account.settle(DONE, model=report.model, results=_sizes(place, paths))

    try:
        outputs.write_together(parts.volumes, loaded.metadata, texts, parts.own, parts.series)
    except KeyboardInterrupt as interrupt:
        if interrupt.args:  # it waited until all was written
            settle()
        raise
    settle()
    return report


def _on_disk(place: Place, scan: Scan, claim: claims.Claim, progress: Tell | None, account: _Account) -> Report:
    """The same for what does not fit into memory, upscaled in files; goes on where an earlier run was broken off."""
    targets = _targets(place, scan)
    about = larger.about(place.request, place.asked, account.input, scan.series)
    with outputs.on_disk(targets[0], about, dict(zip(place.request.maps, targets[1:]))) as storage:
        result = upscaled(scan.path, place.request, progress, scan.series, storage=storage)[0]
        report = noted(targets[0], result.report, result.volume.grid)
        del result
        if not claim.is_mine():
            raise outputs.TakenOverError
        more = (larger.NOTE, larger.RESUMED) if storage.journal.resumed else (larger.NOTE,)
        report, texts = _texts(place, scan, targets, replace(report, warnings=(*report.warnings, *more)))
        for path, text in texts.items():
            outputs.write_text(path, text)
    paths = [file for target in targets for file in files.written_by(target, plain=True)]
    # Interrupted between these lines, the scan is done once more.
    account.settle(DONE, model=report.model, results=_sizes(place, [*paths, *texts]))
    return report


def _targets(place: Place, scan: Scan) -> list[Path]:
    """What is written, into a folder that is there and holds no remains."""
    targets = scan.targets(place.output, place.request.maps)
    outputs.make_folder(targets[0].parent)
    outputs.remove_leftovers(targets[0].parent)
    return targets


def _texts(place: Place, scan: Scan, targets: Sequence[Path], report: Report) -> tuple[Report, dict[Path, str]]:
    """What is written beside the results, and the report with what could not be read for that."""
    if not scan.bids:
        return report, {}
    told, notes = bids.sidecar(place.root, scan.name, place.described or {}, place.request, place.asked.models, report)
    report = replace(report, warnings=(*report.warnings, *notes))
    texts = {bids.beside(target): told for target in targets}
    for path, target in zip(scan.segmentations, scan.labels(place.output)):
        if bids.NAME.fullmatch(target.name):
            texts[bids.beside(target)] = bids.labels_sidecar(place.root, scan.name, place.described or {}, path)
    return report, {path: json.dumps(values, indent=2) + "\n" for path, values in texts.items()}


def _sizes(place: Place, paths: Iterable[Path]) -> dict[str, int]:
    return {path.relative_to(place.output).as_posix(): size_of(path) for path in sorted(paths)}


def _is_full(error: BaseException | None, folder: Path, need: int) -> bool:
    """Whether the disk is, so that what follows would fail, too; libraries may not say why they could not write."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        unwritten, error = need > 0 and isinstance(error, (OSError, RuntimeError)), error.__cause__
        if unwritten and shutil.disk_usage(folder).free < need:
            return True
    return False
