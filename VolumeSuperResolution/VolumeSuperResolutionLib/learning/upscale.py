"""The front door where a scan may be learned from: a volume and a request in, a sharper volume and a report out."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import numpy as np

from ..engine import checks
from ..engine import upscale as engine
from ..engine.callbacks import Cancel, Progress
from ..engine.errors import RefusalError
from ..engine.layout import Layout, Prepared
from ..engine.models.schema import name
from ..engine.physics.scanner import Scanner, slice_axis
from ..engine.request import Request
from ..engine.storage import IN_MEMORY, Storage
from ..engine.upscale import Result
from ..engine.volumes.grid import Grid, Volume
from ..engine.volumes.writing import TEMPORARY
from . import model
from .limit import limit_of
from .thick import Pairs, factor_of, thick_scan, why_not

if TYPE_CHECKING:
    from .loop import Learned, Standing

# Called with how far it is, a Standing, as it learns.
Learning = Callable[["Standing"], None]
SEED = 0
# What was learned is used where it gains this many decibels on what is held out. That flatters it: what 3D networks see
# across the slices is interpolated there. Where it gained less, it was worth -0.16 to +0.04 dB on volumes made thick.
MARGIN = 0.75


def upscale(
    volume: Volume,
    request: Request,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    learning: Learning | None = None,
    enough: Callable[[], bool] | None = None,
    keep: Path | None = None,
    storage: Storage = IN_MEMORY,
) -> Result:
    """As the engine's, and where the request asks for it with what was learned from the scan itself, if that is better.

    learning(standing) is called as it learns, progress(done, total) once it upscales. As soon as enough() answers True
    it stops learning and goes on with the best so far. A folder to `keep` what was learned in must not be there. Only
    what is not learned from can be in other storage than memory.
    """
    plain = replace(request, learn=None, learn_steps=None)
    if not request.learns:
        return engine.upscale(volume, request, progress, cancel, storage)
    started = time.monotonic()
    check(volume.grid, request)
    if keep is not None:
        check_keep(keep, request)
    prepared = checks.prepare(volume, plain)
    learned = _learn(volume.grid, prepared, request, started, learning, cancel, enough)
    used = learned.worth.gain >= MARGIN
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=None if keep is None else keep.parent) as parent:
        folder = Path(parent) / (model.ID if keep is None else keep.name)
        if used:
            folder.mkdir()
            model.write(folder, volume.grid, prepared, learned, model.beside(prepared, request))
            plain = replace(plain, model=str(folder))
        result = engine.upscale(volume, plain, progress, cancel)
        if used and keep is not None:
            os.rename(folder, keep)
    warnings = result.report.warnings
    if not used and keep is not None:
        warnings = (*warnings, f"Nothing was kept in {keep}, as what was learned is not used.")
    report = replace(
        result.report,
        learned_share=round(learned.worth.share, 2) if used else 0.0,
        learning_beside=" + ".join(each.card.title for each in prepared.layout.chain),
        learning_gain=round(learned.worth.gain, 2),
        learning_steps=learned.steps,
        learning_seconds=learned.seconds,
        seconds=time.monotonic() - started,
        warnings=warnings,
    )
    return result._replace(report=report)


def check_keep(keep: Path, request: Request) -> None:
    """Refuse a folder that what is learned cannot be kept in."""
    if not request.learns:
        raise RefusalError("Only what is learned can be kept; ask for that, too (--learn), or keep nothing.")
    if os.path.lexists(keep):
        raise RefusalError(f"{keep} is there already; give the name of a new folder for what is learned.")
    try:
        name(keep.name)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=keep.parent):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"its name {error}"
        raise RefusalError(f"{keep} cannot be a folder for what is learned ({reason}); give another one.") from error


def check(grid: Grid, request: Request) -> Layout:
    """Refuse what cannot be learned, before anything is computed or read; the layout of what would run without."""
    checks.check_request(request)
    layout = checks.lay_out(grid, replace(request, learn=None, learn_steps=None))
    for wrong, what in (
        (request.label_map, "Nothing is learned from a label map"),
        (request.interval, "The error bounds of what is learned are not known"),
        (request.realism is not None, "What is learned has no realism to be chosen"),
    ):
        if wrong:
            raise RefusalError(f"{what}; leave out the learning, or that.")
    reason = why_not(grid)
    if reason:
        raise RefusalError(reason)
    card, size, target = model.card_for(grid, request.modality), layout.source.size, layout.grid.size
    scaled = 2 - checks.orientation(card, size[::-1], target[::-1])[0]
    if scaled != slice_axis(grid.spacing):
        raise RefusalError("What is learned makes slices thinner; choose a target that does, as isotropic does.")
    checks.check_reach(card, *checks.oriented(card, size, target))
    return layout


def _learn(
    grid: Grid,
    prepared: Prepared,
    request: Request,
    started: float,
    learning: Learning | None,
    cancel: Cancel | None,
    enough: Callable[[], bool] | None,
) -> Learned:
    """What is learned from the scan, and what it gains over what would run without."""
    from . import loop  # brings torch
    from .held_out import HeldOut

    scan = thick_scan(grid, prepared)
    held_out = HeldOut(scan, SEED)
    others = [k for k in range(len(scan.slices)) if k not in held_out.numbers]
    pairs = Pairs(scan, others, SEED)
    across = slice_axis(grid.spacing)
    scanner = _across_k(prepared.scanner, across)
    window = prepared.carrier.window(prepared.window)
    factor = prepared.layout.grid.size[across] / prepared.layout.source.size[across]
    held_out.beat(model.beside(prepared, request), request, factor, scanner, window, cancel)
    steps = checks.steps(model.card_for(grid, prepared.modality), request, scanner, (False, False, True))

    def explain(high: np.ndarray, low: np.ndarray) -> None:
        if steps:
            held_out.step(high, low, scanner)

    learner = loop.Learner(pairs, held_out, factor_of(grid), SEED, request.device)
    return learner.run(limit_of(request), started, explain, learning, cancel, enough)


def _across_k(scanner: Scanner, across: int) -> Scanner:
    """How a scan was taken, with the axis across its slices as the last."""
    axes = [axis for n, axis in enumerate(scanner.axes) if n != across]
    return replace(scanner, axes=(axes[0], axes[1], scanner.axes[across]))
