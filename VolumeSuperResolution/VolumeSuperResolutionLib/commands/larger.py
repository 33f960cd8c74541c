"""Whether a volume is upscaled in files, since scan and result do not fit into memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..engine import checks
from ..engine.errors import RefusalError
from ..engine.request import Estimate, Request
from ..engine.storage import ENDINGS_FOR_MORE, may_be_larger, too_large
from ..engine.streaming import memory
from ..engine.volumes import files, mapped, writing
from .batches import claims, manifest
from .channels import say

NOTE = "Scan and result do not fit into memory together, so they were kept in files."
RESUMED = "It went on from what an earlier run, which had ended too early, had finished of the same."
# How long it is left to another process to end before that is asked again.
PATIENCE_SECONDS = 1.0


class Beyond(NamedTuple):
    """What does not fit: an estimate, and bytes with the scan and of free memory."""

    need: Estimate
    total: int
    free: int


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option that asks for it."""
    parser.add_argument(
        "--on-disk",
        action="store_true",
        help="keep scan, result and what is between in files beside OUT, as is done by itself where they do not fit "
        f"into memory; for {ENDINGS_FOR_MORE}. Where such a run has taken more than half a minute and is interrupted "
        "or killed, or finds the disk full, the same command goes on with it, if neither scan, request nor model have "
        "changed; what it keeps for that is in the folder .vsr_unfinished-OUT, which can be deleted",
    )


def wanted(options: argparse.Namespace, request: Request) -> bool:
    """Whether it is; refuses what it cannot be done for, and that which is read being written over."""
    beyond = None if options.on_disk else _beyond_memory(options, request)
    if not options.on_disk and beyond is None:
        return False
    advice = _advice(options, request)
    if advice and beyond is not None:
        raise RefusalError(too_large(beyond.need.size, beyond.total, beyond.free, advice=f"{advice}, "))
    if advice:
        raise RefusalError(f"With --on-disk that is not possible; {advice}.")
    written = mapped.written_by(options.output)
    for each in written:
        writing.check_replaceable(each)
    files.check_apart(written, files.read_by(options.input))
    return True


def _beyond_memory(options: argparse.Namespace, request: Request) -> Beyond | None:
    try:
        grid, dtype = files.look(options.input, options.series)
        need = checks.estimate(grid, dtype, request)
    except RefusalError:
        return None  # the run itself comes to it, in the order of its checks
    scan = int(np.prod(grid.size, dtype=object)) * dtype.itemsize
    total, free = scan + need.output_bytes + need.working_bytes, memory.free_bytes()
    return Beyond(need, total, free) if total > free else None


def _advice(options: argparse.Namespace, request: Request) -> str:
    """What to change so that it can be done in files; empty where nothing has to be."""
    asked = {
        "--dicom": options.dicom,
        "--segmentation": options.segmentation,
        "--learn": request.learn is not None,
        "--learn-steps": request.learn_steps is not None,
        **{f"--{name}": True for name in request.maps},
    }
    names = [name for name, given in asked.items() if given]
    if names:
        return f"leave out {' and '.join(names)}, which only {'works' if len(names) == 1 else 'work'} in memory"
    if not may_be_larger(options.output):
        return f"write {ENDINGS_FOR_MORE}, which need not fit into memory"
    return ""


def about(path: Path, series: str | None, request: Request) -> dict[str, Any]:
    """All that a result depends on: what an earlier run has finished is of use where nothing of it has changed."""
    card = checks.check_request(request)
    return {
        "version": __version__,
        "scan": manifest.checksum(files.read_by(path)),
        "series": series,
        **manifest.asked(request, card)._asdict(),
        "computing": [np.__version__, _device(request) if card is None or card.learned else ""],
    }


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
