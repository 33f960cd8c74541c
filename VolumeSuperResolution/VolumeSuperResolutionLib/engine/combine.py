"""The second front door: several scans of one thing in, one sharp volume and a report out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from . import checks, combine_checks, detail, improving
from .callbacks import Cancel, Progress, part
from .combine_report import CombineReport, StackReport
from .detail import Detail
from .errors import CancelledError, RefusalError
from .models.automatic import AUTOMATIC
from .physics import reconstruction, stack_maps
from .physics.scan import Scan, blank_slices, scan_of, smoothness
from .physics.scanner import slice_axis
from .request import MEGA, CombineRequest, Estimate
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

# The part of the smaller scan that has to lie within the reference.
LEAST_SHARED = 0.1
# Fine voxels around the result that are solved with it, as slices are thicker than it ends.
MARGIN = 8
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
    scanners = combine_checks.check_scanners([volume.grid for volume in volumes], request)
    combine_checks.check_model([volume.grid for volume in volumes], grid, scanners, request)
    combine_checks.check_voxels(volumes)
    combine_checks.check_memory(grid, [volume.grid for volume in volumes])
    reference = request.reference - 1
    modality = intensity.guess_modality(volumes[reference].array)
    scans = [scan_of(v, s, modality, left) for v, s, left in zip(volumes, scanners, _left_out(volumes, request))]
    units = scans[reference].units
    parts: tuple[float, ...] = DETAILED if request.model else PLAIN
    loop = reconstruction.find_places(scans, reference, grid, request.aligned, part(tell, 0, parts[0]), cancel)
    combine_checks.check_places(scans, reference, loop)
    cost = smoothness(scans[reference])
    wide, inner = with_margin(grid, scans)
    bending = reconstruction.BENDING[modality]
    values, seen, residuals = reconstruction.solve(scans, wide, cost, bending, part(tell, *parts[:2]), cancel)
    combine_checks.check_slices(scans)
    priors = []
    for way, making, solving in _ways(request, modality, scans[reference], tell):
        prior = way(detail.seen_of(scans, seen, residuals), Volume(values, wide), making, cancel)
        if prior.models:
            given = values, prior.values, scans, seen, residuals, cost, prior.together, solving, cancel
            values, residuals = reconstruction.detailed(*given)
            priors.append(prior)
    coverage = stack_maps.coverage([scan.place for scan in scans], grid)
    residual = np.float32(units.unit) * stack_maps.residual(seen, residuals, wide.size[::-1])[inner]
    everywhere = coverage
    if any((scan.weights == 0).any() for scan in scans):
        everywhere = stack_maps.coverage([(*scan.place[:2], np.ones(len(scan.weights), bool)) for scan in scans], grid)
    dark = units.carry_plane(volumes[reference].array.min()[None])
    values = np.where(everywhere > 0, values[inner], dark)
    dtype = intensity.output_type(volumes[reference].array)
    array = np.empty(values.shape, dtype)
    for made, plane in zip(array, values):
        made[...] = units.to_type(plane, dtype)
    result = Volume(array, grid)
    tell(100, 100)
    notes = checks.stored_otherwise(volumes[reference].array.dtype, dtype)
    outside = float((everywhere == 0).mean())
    report = _report(scans, request, result, coverage, outside, loop, priors, notes, time.monotonic() - started)
    return CombineResult(result, report, Volume(coverage, grid), Volume(np.ascontiguousarray(residual), grid))


def estimate(grids: Sequence[Grid], dtype: str | np.dtype, request: CombineRequest) -> Estimate:
    """Size, spacing and memory of a request; refuses what can be refused without looking at a voxel.

    `dtype` is that of the reference. How long it takes depends on how the scans lie: the seconds are 0.
    """
    grid = target_grid(grids, request)
    combine_checks.check_model(grids, grid, combine_checks.check_scanners(grids, request), request)
    need = combine_checks.check_memory(grid, grids)
    voxels = int(np.prod(np.asarray(grid.size, np.int64)))
    return Estimate(grid.size, grid.spacing, voxels * np.dtype(dtype).itemsize, need, 0.0)


def target_grid(grids: Sequence[Grid], request: CombineRequest) -> Grid:
    """The grid of the result; refuses what can be refused without looking at a voxel."""
    combine_checks.check_count(grids, request)
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


def _left_out(volumes: Sequence[Volume], request: CombineRequest) -> list[set[int]]:
    """Slices of each scan that do not count: as asked for, and where nothing was scanned."""
    found = []
    for number, volume in enumerate(volumes, start=1):
        left = {k for scan, k in request.left_out if scan == number}
        left.update(blank_slices(volume.array, 2 - slice_axis(volume.grid.spacing)))
        combine_checks.check_left(number, combine_checks.slices_of(volume.grid) - len(left))
        found.append(left)
    return found


def _ways(
    request: CombineRequest, modality: str, reference: Scan, tell: Progress
) -> Iterator[tuple[detail.Way, Progress, Progress]]:
    """What the request's model makes detail by, one after the other: of each scan by itself, and of all together.

    With how far each is, and how far what is solved with its detail.
    """
    found: list[detail.Way] = []
    together = improving.card(request.model, modality)
    if request.model and (together is None or request.model == AUTOMATIC):
        own = detail.units_for(modality, reference.units)
        found.append(partial(detail.prior, request=request, modality=modality, units=own))
    if together is not None:
        improved = partial(improving.improved, model=together, modality=modality)
        found.append(partial(improved, dark=reference.dark, device=request.device))
    _, first, last = DETAILED
    for n, way in enumerate(found):
        start, end = (first + m / len(found) * (last - first) for m in (n, n + 1))
        middle = start + MAKING * (end - start)
        yield way, part(tell, start, middle), part(tell, middle, end)


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


def _report(
    scans: Sequence[Scan],
    request: CombineRequest,
    result: Volume,
    coverage: np.ndarray,
    outside: float,
    loop: float | None,
    priors: Sequence[Detail],
    notes: Sequence[str],
    seconds: float,
) -> CombineReport:
    middle, own = result.grid.center(), scans[request.reference - 1].units
    counts = np.bincount(coverage.ravel(), minlength=len(scans) + 1) / coverage.size
    found = []
    for scan in scans:
        gain = float(scan.brightness[0])
        scale = gain * scan.units.unit / own.unit
        angle = np.degrees(np.arccos(np.clip((np.trace(scan.pose.rotation) - 1) / 2, -1, 1)))
        found.append(
            StackReport(
                rotation=tuple(float(v) for v in scan.pose.rotation.ravel()),
                shift=tuple(float(v) for v in scan.pose.shift),  # type: ignore[arg-type]
                moved_mm=float(scan.pose.displacement(middle[None])[0]),
                turned_degrees=float(angle),
                alike=scan.alike,
                inverted=scan.inverted,
                gain=scale,
                offset=scan.units.unit * float(scan.brightness[1]) + scan.units.offset - scale * own.offset,
                noise=scan.noise / abs(gain),
                residual=scan.residual,
                slices=len(scan.weights),
                dropped=tuple(int(n) for n in np.flatnonzero(scan.weights == 0)),
                followed=tuple(n for n in sorted(scan.moved) if scan.weights[n] > 0),
                scanner=scan.scanner.words(scan.volume.grid.spacing),
            )
        )
    warnings = list(notes)
    if request.model and not priors:
        warnings.append("No network gains on scans like these, so the result has no detail by networks.")
    shared = float(counts[len(scans)])
    if request.fov == "intersection" and shared < 0.99:
        warnings.append(
            f"{100 * (1 - shared):.0f}% of the result was not seen by all scans, as they lie obliquely to each other "
            "or slices were left out; the map of coverage shows where."
        )
    if outside > 0.01:
        warnings.append(f"{100 * outside:.0f}% of the result lies outside all scans and was left dark.")
    if counts[0] - outside > 0.01:
        between = f"{100 * (counts[0] - outside):.0f}% of the result was seen by slices only that were left out"
        warnings.append(f"{between}; it is as those beside them have it.")
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
