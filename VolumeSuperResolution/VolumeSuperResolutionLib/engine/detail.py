"""What networks see in several scans of one thing: each is upscaled by itself, and their mean is the prior of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

import numpy as np
import SimpleITK as sitk

from . import checks
from .callbacks import Cancel, Progress, end_if, part
from .errors import about
from .models.automatic import AUTOMATIC
from .physics import stacks
from .physics.scan import Scan
from .physics.scanner import Scanner
from .physics.stacks import Stack
from .request import MEGA, CombineRequest, Request
from .streaming import memory
from .upscale import upscale
from .volumes import files
from .volumes.grid import Grid, Volume
from .volumes.intensity import PLAIN, Carrier


class Detail(NamedTuple):
    """The prior on the grid, the titles of the models that made it, the most memory held until then, and whether it was
    made of all scans together, not of the mean of them."""

    values: np.ndarray
    models: tuple[str, ...] = ()
    peak_mb: float = 0.0
    together: bool = False


class Seen(NamedTuple):
    """A scan, how the grid sees it, and what of it a first volume does not explain."""

    scan: Scan
    stack: Stack
    residual: np.ndarray


def seen_of(
    scans: Sequence[Scan], stacks: Sequence[Stack | None], residuals: Sequence[np.ndarray | None]
) -> list[Seen]:
    """Those of the scans that the grid sees."""
    return [Seen(n, s, r) for n, s, r in zip(scans, stacks, residuals) if s is not None and r is not None]


# Makes it of scans and a first volume.
Way = Callable[[Sequence[Seen], Volume, Progress, Optional[Cancel]], Detail]


def units_for(modality: str, units: Carrier) -> Carrier:
    """Those in which networks get scans that are in `units`: CT in Hounsfield units, everything else as it comes."""
    return units if modality == "CT" else PLAIN


def prior(
    scans: Sequence[Seen],
    first: Volume,
    progress: Progress,
    cancel: Cancel | None,
    *,
    request: CombineRequest,
    modality: str,
    units: Carrier,
) -> Detail:
    """Each scan made as fine as the first volume by the request's model, in their mean on its grid; what no scan shows
    is as it is in the first volume. Without models where automatic finds no network that gains. In `units` models get
    what they make finer."""
    peak = memory.peak_bytes() / MEGA
    total = np.zeros(first.array.shape, np.float32)
    count = np.zeros(first.array.shape, np.uint8)
    like = files.to_image(Volume(count, first.grid))
    ran: dict[str, None] = {}
    for number, seen in enumerate(scans):
        end_if(cancel)
        own = seen.scan.volume.grid
        wanted = _request(own, first.grid, seen.scan.scanner, request, modality)
        if wanted.model == AUTOMATIC and not checks.lay_out(own, wanted).card.learned:
            continue  # Where no network gains, what is classical adds nothing to what was solved.
        tell = part(progress, number / len(scans), (number + 1) / len(scans))
        values = _fitting(seen, first) * np.float32(units.unit) + np.float32(units.offset)
        result = upscale(Volume(values, own), wanted, tell, cancel)
        peak = max(peak, result.report.peak_memory_mb)
        ran.update(dict.fromkeys([title for title, _ in result.report.mean_of] or [result.report.title]))
        pose = seen.scan.pose
        there = sitk.AffineTransform(tuple(pose.rotation.ravel()), tuple(pose.shift))
        values = (result.volume.array - np.float32(units.offset)) / np.float32(units.unit)
        image = files.to_image(Volume(values.astype(np.float32), result.volume.grid))
        laid = sitk.Resample(image, like, there, sitk.sitkBSpline3, float("nan"))
        for plane, sums, counts in zip(sitk.GetArrayViewFromImage(laid), total, count):
            known = ~np.isnan(plane)
            sums[known] += plane[known]
            counts += known
    np.divide(total, count, out=total, where=count > 0)
    np.copyto(total, first.array, where=count == 0)
    return Detail(total, tuple(ran), peak)


def check(grids: Sequence[Grid], grid: Grid, scanners: Sequence[Scanner], request: CombineRequest) -> None:
    """Refuse a model that is not there, or does not make these scans as fine as the grid."""
    for number, (own, scanner) in enumerate(zip(grids, scanners), start=1):
        with about(f"Scan {number}"):
            checks.lay_out(own, _request(own, grid, scanner, request))


def _request(own: Grid, grid: Grid, scanner: Scanner, request: CombineRequest, modality: str = "auto") -> Request:
    """How a scan is upscaled: as fine as the grid on every axis that is not finer already."""
    i, j, k = (min(spacing, min(grid.spacing)) for spacing in own.spacing)
    return Request(
        model=request.model,
        spacing=(i, j, k),
        device=request.device,
        modality=modality,
        label_map=False,
        scanner=scanner,
    )


def _fitting(seen: Seen, first: Volume) -> np.ndarray:
    """The scan's values; slices that do not fit the others are, as far as that, what the first volume says of them, and
    those that moved alone all that it says of where they would have been."""
    scan, stack = seen.scan, seen.stack
    values = scan.level.copy()
    turned = stacks.ordered(values, stack.order, stack.flipped)
    turned[stack.rows] -= seen.residual * stack.along_slices(1 - stack.slice_weights)
    if scan.moved:
        still = stacks.observe(Volume(values, scan.volume.grid), scan.scanner, first.grid, scan.pose)
        alone = np.isin(np.arange(len(scan.weights)), list(scan.moved))
        if still is not None:
            moved = still.seen & still.along_slices(still.of_slices(alone))
            turned[still.rows][moved] = still.see(first.array)[moved]
    return values
