"""Whether a volume is upscaled in files, since scan and result do not fit into memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..engine import checks
from ..engine.errors import RefusalError
from ..engine.request import Request
from ..engine.storage import too_large
from ..engine.streaming import memory
from ..engine.volumes import files, writing
from .batches import claims, manifest
from .channels import say

NOTE = "Scan and result do not fit into memory together, so they were kept in files."
RESUMED = "It went on from what an earlier run, which had ended too early, had finished of the same."
# How long it is left to another process to end before that is asked again.
PATIENCE_SECONDS = 1.0


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option that asks for it."""
    parser.add_argument(
        "--on-disk",
        action="store_true",
        help="keep scan, result and what is between in files beside OUT, as is done by itself where they do not fit "
        "into memory. Where such a run has taken more than half a minute and is interrupted "
        "or killed, or finds the disk full, the same command goes on with it, if neither scan, request nor model have "
        "changed; what it keeps for that is in the folder .vsr_unfinished-OUT, which can be deleted",
    )


def wanted(options: argparse.Namespace, request: Request, targets: Iterable[Path]) -> bool:
    """Whether it is; refuses what it cannot be done for, and that which is read being written over."""
    asked = {"--dicom": options.dicom, "--segmentation": bool(options.segmentation)}
    if not options.on_disk and not needed(options.input, options.series, request, asked):
        return False
    words = _advice(request, asked)
    if words:
        raise RefusalError(f"With --on-disk that is not possible; {words}.")
    written = [file for target in targets for file in files.written_by(target, plain=True)]
    for each in written:
        writing.check_replaceable(each)
    files.check_apart(written, files.read_by(options.input))
    return True


def needed(path: Path, series: str | None, request: Request, asked: Mapping[str, bool]) -> bool:
    """Whether a scan and its result do not fit into memory; refused where more is `asked` that only works there."""
    try:
        grid, dtype = files.look(path, series)
        need = checks.estimate(grid, dtype, request)
    except RefusalError:
        return False  # the run itself comes to it, in the order of its checks
    scan = int(np.prod(grid.size, dtype=object)) * dtype.itemsize
    total, free = scan + need.output_bytes + need.working_bytes, memory.free_bytes()
    if total <= free:
        return False
    words = _advice(request, asked)
    if words:
        raise RefusalError(too_large(need.size, total, free, advice=f"{words}, "))
    return True


def _advice(request: Request, asked: Mapping[str, bool]) -> str:
    """What to leave out so that it can be done in files; empty where nothing has to be."""
    learning = {"--learn": request.learn is not None, "--learn-steps": request.learn_steps is not None}
    names = [name for name, wanted in {**asked, **learning}.items() if wanted]
    works = "works" if len(names) == 1 else "work"
    return f"leave out {' and '.join(names)}, which only {works} in memory" if names else ""


def about(request: Request, asked: manifest.Asked, scan: str, series: str | None) -> dict[str, Any]:
    """All that a result depends on: what an earlier run has finished is of use where nothing of it has changed.

    `scan` is its checksum.
    """
    card = checks.check_request(request)
    computing = [np.__version__, _device(request) if card is None or card.learned else ""]
    return {"version": __version__, "scan": scan, "series": series, **asked._asdict(), "computing": computing}


def asked_of(path: Path, series: str | None, request: Request) -> dict[str, Any]:
    """The same of one scan, whatever it is a part of."""
    asked = manifest.asked(request, checks.check_request(request))
    return about(request, asked, manifest.checksum(files.read_by(path)), series)


def _device(request: Request) -> str:
    try:
        from ..engine.streaming import devices
    except ImportError:  # what needs it says so
        return ""
    return devices.signature(request.device)


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Within, no other process writes this file; waits where one does."""
    folder = claims.of(output.parent.absolute())
    claim = folder.take(output.name)
    if claim is None:
        say(f"Another process writes {output.name}, or did until a moment ago; this one waits for it to end.")
    while claim is None:
        time.sleep(PATIENCE_SECONDS)
        claim = folder.take(output.name)
    try:
        with claim:
            yield
    finally:
        folder.clear()
