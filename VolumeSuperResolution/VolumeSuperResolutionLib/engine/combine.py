"""The second front door: several scans of one thing in, one sharp volume and a report out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from . import checks, detail, improving
from .callbacks import Cancel, Progress, part
from .combine_report import CombineReport, StackReport
from .detail import Detail, Seen
from .errors import CancelledError, RefusalError
from .models.automatic import AUTOMATIC
from .physics import reconstruction, stack_maps
from .physics.scan import Scan, scan_of, smoothness
from .physics.scanner import Scanner, slice_axis
from .request import MEGA, CombineRequest, Estimate, describe_grid
from .streaming import memory
from .volumes import intensity
from .volumes.grid import Grid, Volume

__all__ = [
    "CancelledError",
    "CombineReport",
    "CombineRequest",
    "CombineResult",
    "RefusalError",
    "combine",
    "estimate",
    "target_grid",
]

FEWEST, MOST = 2, 8
# Scans less alike than this, each with what the others predict for it, are not of one thing in one contrast.
LEAST_ALIKE = 0.65
# Nor are they where more than this part of the structure is dark in one and bright in the other. Measured: 0 to 0.01
# between scans of one contrast, 0.11 and more between T1 and T2.
MOST_INVERTED = 0.05
# Points may come home wrong by this part of the thickest slices.
LARGEST_LOOP = 0.5
# Of the slices of a scan, so many may be dropped before it is the patient who moved all the time.
MOST_DROPPED = 0.35
# The part of the smaller scan that has to lie within the reference.
LEAST_SHARED = 0.1
# Fine voxels around the result that are solved with it, as slices are thicker than it ends.
MARGIN = 8
# Float volumes of the fine grid that are held at once.
WORKING_VOLUMES = 12
# How far the work is after registration, solving, and adding detail; of which so much is to make it.
PLAIN, DETAILED, MAKING = (0.4, 0.99), (0.25, 0.45, 0.99), 0.8


class CombineResult(NamedTuple):
    """The volume, what was done, how many scans saw each voxel, and what the scans say otherwise there (RMS)."""

    volume: Volume
    report: CombineReport
    coverage: Volume
    residual: Volume


def combine(
    volumes: Sequence[Volume],
    request: CombineRequest,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> CombineResult:
    """One volume that explains all scans, on cubes along the axes of the reference.

    Raises RefusalError, whose message is for the user, where the scans cannot be combined (some reasons show only when
    they are laid over each other), and CancelledError as soon as cancel() answers True.
    """
    started = time.monotonic()
    memory.forget_peak()
    tell = progress or (lambda done, total: None)
    grid = target_grid([volume.grid for volume in volumes], request)
    scanners = _check_scanners([volume.grid for volume in volumes], request)
    _check_model([volume.grid for volume in volumes], grid, scanners, request)
    _check_voxels(volumes)
    _check_memory(grid, [volume.grid for volume in volumes])
    reference = request.reference - 1
    modality = intensity.guess_modality(volumes[reference].array)
    left_out = [[k for scan, k in request.left_out if scan == n + 1] for n in range(len(volumes))]
    scans = [scan_of(_floats(v), s, modality, left) for v, s, left in zip(volumes, scanners, left_out)]
    parts: tuple[float, ...] = DETAILED if request.model else PLAIN
    loop = reconstruction.find_places(scans, reference, grid, request.aligned, part(tell, 0, parts[0]), cancel)
    check_places(scans, reference, loop)
    cost = smoothness(scans[reference])
    wide, inner = with_margin(grid, scans)
    bending = reconstruction.BENDING[modality]
    values, seen, residuals = reconstruction.solve(scans, wide, cost, bending, part(tell, *parts[:2]), cancel)
    _check_slices(scans)
    priors, ways = [], _ways(request, modality, volumes[reference])
    for n, way in enumerate(ways):
        start, end = (parts[1] + m / len(ways) * (parts[2] - parts[1]) for m in (n, n + 1))
        middle = start + MAKING * (end - start)
        known = [Seen(n, s, r) for n, s, r in zip(scans, seen, residuals) if s is not None and r is not None]
        prior = way(known, Volume(values, wide), part(tell, start, middle), cancel)
        if prior.models:
            steps = part(tell, middle, end)
            given = values, prior.values, scans, seen, residuals, cost, prior.together, steps, cancel
            values, residuals = reconstruction.detailed(*given)
            priors.append(prior)
    coverage = stack_maps.coverage([(scan.volume.grid, scan.pose) for scan in scans], grid)
    residual = stack_maps.residual(seen, residuals, wide.size[::-1])[inner]
    low = float(volumes[reference].array.min())
    values = np.where(coverage > 0, values[inner], np.float32(low))
    dtype = intensity.output_type(volumes[reference].array)
    result = Volume(np.ascontiguousarray(intensity.to_type(values, dtype)), grid)
    tell(100, 100)
    report = _report(scans, request, result, coverage, loop, priors, time.monotonic() - started)
    return CombineResult(result, report, Volume(coverage, grid), Volume(np.ascontiguousarray(residual), grid))


def estimate(grids: Sequence[Grid], dtype: str | np.dtype, request: CombineRequest) -> Estimate:
    """Size, spacing and memory of a request; refuses what can be refused without looking at a voxel.

    `dtype` is that of the reference. How long it takes depends on how the scans lie: the seconds are 0.
    """
    grid = target_grid(grids, request)
    _check_model(grids, grid, _check_scanners(grids, request), request)
    need = _check_memory(grid, grids)
    voxels = int(np.prod(np.asarray(grid.size, np.int64)))
    return Estimate(grid.size, grid.spacing, voxels * np.dtype(dtype).itemsize, need, 0.0)


def target_grid(grids: Sequence[Grid], request: CombineRequest) -> Grid:
    """The grid of the result; refuses what can be refused without looking at a voxel."""
    _check_count(grids, request)
    for grid in grids:
        grid.check()
    reference = grids[request.reference - 1]
    step = request.spacing or min(min(grid.spacing) for grid in grids)
    if not (np.isfinite(step) and step > 0):
        raise RefusalError(f"A spacing of {step:g} mm is not possible; give a number above zero.")
    axes = np.asarray(reference.direction).reshape(3, 3)
    boxes = [_box(grid, axes) for grid in grids]
    own = boxes[request.reference - 1]
    for number, box in enumerate(boxes, start=1):
        shared = np.prod(np.clip(np.minimum(box[1], own[1]) - np.maximum(box[0], own[0]), 0, None))
        if shared < LEAST_SHARED * min(np.prod(box[1] - box[0]), np.prod(own[1] - own[0])):
            raise RefusalError(
                f"Scan {number} and the reference (scan {request.reference}) have next to no field of view in common; "
                "choose scans of the same part of the body, of one examination."
            )
    if request.fov == "union":
        own = (np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0))
    elif request.fov == "intersection":
        own = (np.max([b[0] for b in boxes], axis=0), np.min([b[1] for b in boxes], axis=0))
    elif request.fov != "reference":
        raise RefusalError(f"No field of view is called {request.fov}; choose reference, intersection or union.")
    count = np.maximum(1, np.floor((own[1] - own[0]) / step + 0.5)).astype(int)
    # Whole voxels in the middle of the field of view.
    first = own[0] + (own[1] - own[0] - count * step) / 2 + step / 2
    return Grid(
        tuple(int(n) for n in count),  # type: ignore[arg-type]
        (float(step),) * 3,
        tuple(float(v) for v in axes @ first),  # type: ignore[arg-type]
        reference.direction,
    )


def _check_count(grids: Sequence[Grid], request: CombineRequest) -> None:
    if len(grids) < FEWEST:
        raise RefusalError("One scan alone cannot be combined; give at least two of the same contrast, or upscale it.")
    if len(grids) > MOST:
        raise RefusalError(f"{len(grids)} scans are too many; choose the {MOST} best at most.")
    if not 1 <= request.reference <= len(grids):
        raise RefusalError(f"There is no scan {request.reference}; choose a reference from 1 to {len(grids)}.")
    for scan, k in request.left_out:
        if not (1 <= scan <= len(grids) and 0 <= k < _slices(grids[scan - 1])):
            raise RefusalError(
                f"There is no slice {k} of scan {scan} to leave out; scans count from 1, and slices from 0."
            )
    for number, grid in enumerate(grids, start=1):
        left = sum(scan == number for scan, _ in set(request.left_out))
        if _slices(grid) - left < 4:
            raise RefusalError(f"Of scan {number} fewer than 4 slices are left; leave the scan out.")
        if min(grid.size) < 4:
            raise RefusalError(
                f"Scan {number} has {min(grid.size)} slices or fewer; at least 4 are needed to combine it."
            )


def _slices(grid: Grid) -> int:
    return grid.size[slice_axis(grid.spacing)]


def _check_scanners(grids: Sequence[Grid], request: CombineRequest) -> list[Scanner]:
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
        scanner.check(grid.spacing)
        result.append(scanner)
    return result


def _ways(request: CombineRequest, modality: str, reference: Volume) -> list[detail.Way]:
    """What the request's model makes detail by, one after the other: of each scan by itself, and of all together."""
    found: list[detail.Way] = []
    together = improving.card(request.model, modality)
    if request.model and (together is None or request.model == AUTOMATIC):
        found.append(partial(detail.prior, request=request, modality=modality))
    if together is not None:
        limits = intensity.percentiles(reference.array)
        found.append(
            partial(improving.improved, model=together, modality=modality, limits=limits, device=request.device)
        )
    return found


def _check_model(grids: Sequence[Grid], grid: Grid, scanners: Sequence[Scanner], request: CombineRequest) -> None:
    """Refuse a model that is not there, cannot run on the device, or does not make these scans as fine as the grid."""
    if improving.card(request.model) is not None:
        checks.check_device(request.device)
    if request.model and (request.model == AUTOMATIC or improving.card(request.model) is None):
        detail.check(grids, grid, scanners, request)


def _check_voxels(volumes: Sequence[Volume]) -> None:
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


def _check_memory(grid: Grid, grids: Sequence[Grid]) -> int:
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
    worst = min(others, key=lambda n: scans[n].alike)
    if loop is not None and loop > LARGEST_LOOP * thickest:
        raise RefusalError(
            f"The scans could not be laid over each other: points come home wrong by {loop:.1f} mm after a way through "
            "all of them; align them by hand first (then ask for them as they lie), or leave one out."
        )
    if scans[worst].alike < LEAST_ALIKE or scans[worst].brightness[0] <= 0:
        raise RefusalError(
            f"Scan {worst + 1} does not look like the others (correlation {scans[worst].alike:.2f} in tissue, and "
            f"{LEAST_ALIKE:g} is needed): its contrast is another, or it shows something else; choose scans of one "
            "contrast and one part of the body."
        )
    turned = max(others, key=lambda n: scans[n].inverted)
    if scans[turned].inverted > MOST_INVERTED:
        raise RefusalError(
            f"Scan {turned + 1} has another contrast than the others: {100 * scans[turned].inverted:.0f}% of what is "
            f"bright in one is dark in the other (correlation {scans[turned].alike:.2f}); choose scans of one contrast."
        )


def _check_slices(scans: Sequence[Scan]) -> None:
    for number, scan in enumerate(scans, start=1):
        dropped = int((scan.weights == 0).sum()) - len(scan.left_out)
        if dropped > MOST_DROPPED * len(scan.weights):
            raise RefusalError(
                f"{dropped} of the {len(scan.weights)} slices of scan {number} do not fit the others: the patient or "
                "an organ moved while it was taken; leave it out."
            )


def with_margin(grid: Grid, scans: Sequence[Scan]) -> tuple[Grid, tuple[slice, slice, slice]]:
    """The grid with some voxels around it, and where in it the grid is. Without, if the closed form needs none."""
    seen = [scan.on(grid) for scan in scans]
    if all(stack is not None and stack.only_slices() for stack in seen):
        margin = 0
    else:
        margin = int(min(MARGIN, np.ceil(max(max(s.volume.grid.spacing) for s in scans) / grid.spacing[0])))
    region = tuple((-margin, n + margin) for n in grid.size)
    inner = tuple(slice(margin, margin + n) for n in grid.size[::-1])
    return grid.cropped(region), inner  # type: ignore[arg-type,return-value]


def _box(grid: Grid, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The extent of a grid along some axes."""
    corners = grid.corners() @ axes
    return corners.min(axis=0), corners.max(axis=0)


def _floats(volume: Volume) -> Volume:
    return Volume(volume.array.astype(np.float32), volume.grid)


def _report(
    scans: Sequence[Scan],
    request: CombineRequest,
    result: Volume,
    coverage: np.ndarray,
    loop: float | None,
    priors: Sequence[Detail],
    seconds: float,
) -> CombineReport:
    middle = result.grid.center()
    low, high = intensity.percentiles(scans[request.reference - 1].volume.array)
    counts = np.bincount(coverage.ravel(), minlength=len(scans) + 1) / coverage.size
    found = []
    for scan in scans:
        gain = float(scan.brightness[0])
        angle = np.degrees(np.arccos(np.clip((np.trace(scan.pose.rotation) - 1) / 2, -1, 1)))
        found.append(
            StackReport(
                rotation=tuple(float(v) for v in scan.pose.rotation.ravel()),
                shift=tuple(float(v) for v in scan.pose.shift),  # type: ignore[arg-type]
                moved_mm=float(scan.pose.displacement(middle[None])[0]),
                turned_degrees=float(angle),
                alike=scan.alike,
                inverted=scan.inverted,
                gain=gain,
                offset=float(scan.brightness[1]),
                noise=scan.noise / abs(gain) / max(high - low, 1e-12),
                residual=scan.residual / max(high - low, 1e-12),
                slices=len(scan.weights),
                dropped=tuple(int(n) for n in np.flatnonzero(scan.weights == 0)),
                followed=tuple(n for n in sorted(scan.moved) if scan.weights[n] > 0),
                scanner=scan.scanner.words(scan.volume.grid.spacing),
            )
        )
    warnings = []
    if request.model and not priors:
        warnings.append("No network gains on scans like these, so the result has no detail by networks.")
    if counts[0] > 0.01:
        warnings.append(f"{100 * counts[0]:.0f}% of the result lies outside all scans and was left dark.")
    return CombineReport(
        reference=request.reference,
        output_size=result.grid.size,
        output_spacing=result.grid.spacing,
        scalar_type=result.array.dtype.name,
        fov=request.fov,
        loop_error_mm=loop,
        coverage=tuple(float(c) for c in counts),
        stacks=tuple(found),
        models=tuple(title for prior in priors for title in prior.models if not prior.together),
        together="".join(title for prior in priors for title in prior.models if prior.together),
        seconds=seconds,
        peak_memory_mb=max([memory.peak_bytes() / MEGA, *(prior.peak_mb for prior in priors)]),
        warnings=tuple(warnings),
    )
