"""What cannot be combined, and why: every refusal of several scans, but for those of their fields of view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import checks, detail, improving
from .errors import RefusalError, about
from .models.automatic import AUTOMATIC
from .physics.scan import Scan
from .physics.scanner import Scanner, slice_axis
from .request import MEGA, CombineRequest, describe_grid
from .streaming import memory
from .volumes.grid import Grid, Volume

FEWEST, MOST, FEWEST_SLICES = 2, 8, 4
# Scans less alike than this, each with what the others predict for it, are not of one thing in one contrast.
LEAST_ALIKE = 0.65
# Nor are they where more than this part of the structure is dark in one and bright in the other. Measured: 0 to 0.01
# between scans of one contrast, 0.11 and more between T1 and T2.
MOST_INVERTED = 0.05
# Points may come home wrong by this part of the thickest slices.
LARGEST_LOOP = 0.5
# Of the slices of a scan, so many may be dropped before it is the patient who moved all the time.
MOST_DROPPED = 0.35
# Float volumes of the fine grid that are held at once.
WORKING_VOLUMES = 12


def check_count(grids: Sequence[Grid], request: CombineRequest) -> None:
    if len(grids) < FEWEST:
        raise RefusalError("One scan alone cannot be combined; give at least two of the same contrast, or upscale it.")
    if len(grids) > MOST:
        raise RefusalError(f"{len(grids)} scans are too many; choose the {MOST} best at most.")
    if not 1 <= request.reference <= len(grids):
        raise RefusalError(f"There is no scan {request.reference}; choose a reference from 1 to {len(grids)}.")
    for scan, k in request.left_out:
        if not (1 <= scan <= len(grids) and 0 <= k < slices_of(grids[scan - 1])):
            raise RefusalError(
                f"There is no slice {k} of scan {scan} to leave out; scans count from 1, and slices from 0."
            )
    for number, grid in enumerate(grids, start=1):
        if min(grid.size) < FEWEST_SLICES:
            raise RefusalError(
                f"Scan {number} has {min(grid.size)} slices or pixels along an axis; at least {FEWEST_SLICES} are "
                "needed to combine it."
            )
        check_left(number, slices_of(grid) - sum(scan == number for scan, _ in set(request.left_out)))


def check_left(number: int, count: int) -> None:
    if count < FEWEST_SLICES:
        raise RefusalError(f"Of scan {number} fewer than {FEWEST_SLICES} slices are left; leave the scan out.")


def check_scanners(grids: Sequence[Grid], request: CombineRequest) -> list[Scanner]:
    """How each was scanned; refuses what no scanner does."""
    count = len(grids)
    scanners = list(request.scanners) or [Scanner()] * count
    if len(scanners) != count or len(request.slice_thickness) not in (0, 1, count):
        given = len(scanners) if len(scanners) != count else len(request.slice_thickness)
        raise RefusalError(f"There are {count} scans and {given} thicknesses; give one for all, or one for each.")
    widths = request.slice_thickness * (count if len(request.slice_thickness) == 1 else 1)
    result = []
    for number, (grid, scanner) in enumerate(zip(grids, scanners)):
        if widths:
            axis = slice_axis(grid.spacing)
            scanner = scanner.along(axis, width=widths[number], told="user")
        with about(f"Scan {number + 1}"):
            scanner.check(grid.spacing)
        result.append(scanner)
    return result


def check_model(grids: Sequence[Grid], grid: Grid, scanners: Sequence[Scanner], request: CombineRequest) -> None:
    """Refuse a model that is not there, cannot run on the device, or does not make these scans as fine as the grid."""
    if improving.card(request.model) is not None:
        checks.check_device(request.device)
    if request.model and (request.model == AUTOMATIC or improving.card(request.model) is None):
        detail.check(grids, grid, scanners, request)


def check_voxels(volumes: Sequence[Volume]) -> None:
    for number, volume in enumerate(volumes, start=1):
        if volume.array.ndim != 3 or volume.array.dtype.kind not in "biuf":
            raise RefusalError(f"Scan {number} does not hold one real number a voxel; choose a scan.")
        if not np.isfinite(volume.array.sum(dtype=np.float64)):
            raise RefusalError(f"Scan {number} holds values that are not numbers; mend it first.")
        if volume.array.min() == volume.array.max():
            raise RefusalError(f"Scan {number} holds one value only; choose a scan that shows something.")
        for other, before in enumerate(volumes[: number - 1], start=1):
            if before.array.shape == volume.array.shape and np.array_equal(before.array, volume.array):
                raise RefusalError(f"Scans {other} and {number} are the same; leave one of them out.")


def check_memory(grid: Grid, grids: Sequence[Grid]) -> int:
    """The bytes that it takes; refuses more than there are."""
    voxels = [float(np.prod(np.asarray(each.size, float))) for each in grids]
    need = 4 * int(WORKING_VOLUMES * np.prod(np.asarray(grid.size, float)) + sum(voxels))
    if need > memory.free_bytes():
        raise RefusalError(
            f"{describe_grid(grid.size, grid.spacing)} would need about {need / MEGA:.0f} MB and "
            f"{memory.free_bytes() / MEGA:.0f} MB are free; ask for a coarser spacing or for the intersection."
        )
    return need


def check_places(scans: Sequence[Scan], reference: int, loop: float | None) -> None:
    """Refuse to combine what does not fit together."""
    thickest = max(max(scan.volume.grid.spacing) for scan in scans)
    others = [n for n in range(len(scans)) if n != reference]
    for number in others:
        if scans[number].brightness[0] <= 0:
            raise RefusalError(
                f"Scan {number + 1} is dark where the others are bright: its contrast is another; choose scans of one "
                "contrast."
            )
    worst = min(others, key=lambda n: scans[n].alike)
    if loop is not None and loop > LARGEST_LOOP * thickest:
        raise RefusalError(
            f"The scans could not be laid over each other: points come home wrong by {loop:.1f} mm after a way through "
            "all of them; align them by hand first (then ask for them as they lie), or leave one out."
        )
    if scans[worst].alike < LEAST_ALIKE:
        alike = np.floor(100 * scans[worst].alike) / 100  # which is never the least that is needed
        raise RefusalError(
            f"Scan {worst + 1} does not look like the others (correlation {alike:.2f} in tissue, and "
            f"{LEAST_ALIKE:g} is needed): its contrast is another, or it shows something else; choose scans of one "
            "contrast and one part of the body."
        )
    turned = max(others, key=lambda n: scans[n].inverted)
    if scans[turned].inverted > MOST_INVERTED:
        raise RefusalError(
            f"Scan {turned + 1} has another contrast than the others: {100 * scans[turned].inverted:.0f}% of what is "
            f"bright in one is dark in the other (correlation {scans[turned].alike:.2f}); choose scans of one contrast."
        )


def check_slices(scans: Sequence[Scan]) -> None:
    for number, scan in enumerate(scans, start=1):
        dropped = int((scan.weights == 0).sum()) - len(scan.left_out)
        if dropped > MOST_DROPPED * len(scan.weights):
            raise RefusalError(
                f"{dropped} of the {len(scan.weights)} slices of scan {number} do not fit the others: the patient or "
                "an organ moved while it was taken; leave it out."
            )


def slices_of(grid: Grid) -> int:
    return grid.size[slice_axis(grid.spacing)]
