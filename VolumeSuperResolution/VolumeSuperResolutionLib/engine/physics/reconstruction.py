"""From several scans to one volume: where they lie, how bright they are, which slices count, and what explains them.

Each scan is compared with what the volume that the other scans made predicts for it. That gives its pose, its
brightness relative to the reference (gain, offset and a smooth field, as coils and filters differ), and the slices that
do not belong to it, because the patient moved or they are damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Callable

import numpy as np

from ..callbacks import Cancel, Progress, end_if
from ..volumes.grid import Grid, Volume
from ..volumes.intensity import MR_FOREGROUND, percentiles
from . import registration, slice_motion, stack_maps, stacks
from .noise import white_noise
from .scanner import Scanner, slice_axis
from .stacks import Pose, Stack
from .system import TOLERANCE, System

# Scans are laid over each other on a grid of no more voxels than this, their pixels joined if need be.
WORKING_VOXELS = 2_000_000
# How often each is compared with the others: more often while slices are found that moved alone.
ROUNDS, MOST_ROUNDS = 2, 4
# Slices are followed where so many other scans lie, as one thick one foretells too little, if all are so alike.
FEWEST_OTHERS, WORTH_FOLLOWING = 2, 0.5
# How many slices tell where a scan lies.
FEWEST_SLICES = 4
# Motions are compared over this part of a scan along each axis.
INNER = 0.5
# Iterations for a volume that others are compared with.
ROUGH = 4
# By how much the mean square of a difference between neighbors is exceeded by what it is let be: with much less the
# result is blurred, with more it is noisy. The best for MR with 1 to 3% noise; for CT 3 to 10 is.
ROUGHNESS = 8.0
# Where a first volume has edges, larger than so many times the usual difference, the next ones let them be; in turn
# differences cost so many times more. MR with 3% noise gains by more of it, CT of the lungs by less.
EDGE, EDGE_COST = 0.35, 3.0
EDGE_TOLERANCE = 0.02
# What bends cost then, in parts of what differences do. Crops of MR gain 0.1 to 1.4 dB by it; so does CT of a head, but
# the lungs lose.
BENDING = {"MR": 0.4, "CT": 0.0}
# Iterations before slices and edges are weighed, once and again.
ROUNDS_OF = (6, 4, 5)
# The same where a prior is known: what differs from one made of all scans together costs more (MR wants 10 to 30, CT
# 100), and bends that it has not cost something on CT, too.
DETAIL_BENDING, DETAIL_ROUNDS, TOGETHER_COST = 0.4, 6, 30.0
# What the model of a scan leaves open, in parts of the intensity range, beside noise.
MODEL_ERROR = 0.005
# A slice whose residual is this many times that of most counts half; below LEAST_WEIGHT it is left out.
OUTLYING = 3.0
LEAST_WEIGHT = 0.1
# The brightness of a scan relative to the reference: a polynomial of this degree, held within this factor.
FIELD_DEGREE = 2
FIELD_LIMIT = 3.0


@dataclass
class Scan:
    """A scan and what is found out about it on the way. Slices are along its coarsest axis, in its own order."""

    volume: Volume
    scanner: Scanner
    noise: float
    pose: Pose = stacks.STILL
    # Relative to the reference: gain, offset, and the terms of a smooth field.
    brightness: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0]))
    # Values brought to the brightness of the reference.
    level: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights: np.ndarray = field(default_factory=lambda: np.ones(0))
    # Slices that are not used, and the poses of those that moved alone, by their number.
    left_out: frozenset[int] = frozenset()
    moved: dict[int, Pose] = field(default_factory=dict)
    alike: float = 1.0
    inverted: float = 0.0
    residual: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.volume.array
        self.weigh(np.ones(self.volume.array.shape[self.slice_axis]))

    @property
    def slice_axis(self) -> int:
        """In array order."""
        return 2 - slice_axis(self.volume.grid.spacing)

    def weigh(self, weights: np.ndarray) -> None:
        """Take the weights of all slices that are used."""
        self.weights = weights
        self.weights[list(self.left_out)] = 0.0

    def on(self, grid: Grid) -> Stack | None:
        """As the fine grid sees it."""
        stack = stacks.observe(Volume(self.level, self.volume.grid), self.scanner, grid, self.pose, self.moved)
        if stack is not None:
            stack.weigh(self.weights)
            stack.tau = 1.0 / (self.noise / abs(self.brightness[0])) ** 2
        return stack


def scan_of(volume: Volume, scanner: Scanner, modality: str, left_out: Iterable[int] = ()) -> Scan:
    """A scan whose noise is told or estimated, in its own units."""
    low, high = percentiles(volume.array)
    noise = scanner.noise if scanner.noise is not None else white_noise(volume.array, modality)
    noise = float(np.hypot(noise, MODEL_ERROR)) * max(high - low, 1e-6)
    return Scan(volume, scanner, noise, left_out=frozenset(left_out))


def smoothness(scan: Scan) -> float:
    """One over the mean square difference of neighboring pixels in tissue, without noise: what differences cost."""
    array = scan.volume.array
    low, high = percentiles(array)
    total, count = 0.0, 0
    for axis in (a for a in range(3) if a != scan.slice_axis):
        change = np.diff(array.astype(np.float32), axis=axis)
        inside = np.delete(array, -1, axis=axis) > low + MR_FOREGROUND * (high - low)
        total += float(np.square(change[inside], dtype=np.float64).sum())
        count += int(inside.sum())
    power = total / max(count, 1) - 2 * scan.noise**2
    return 1.0 / ROUGHNESS / max(power, (MODEL_ERROR * (high - low)) ** 2, 1e-12)


def find_places(
    scans: Sequence[Scan], reference: int, grid: Grid, still: bool, progress: Progress, cancel: Cancel | None
) -> float | None:
    """Poses, brightness and weights of all scans, in place; the loop error in mm where they were moved."""
    factor = int(np.ceil((np.prod(grid.size, dtype=float) / WORKING_VOXELS) ** (1 / 3) - 0.05))
    working = [_joined(scan, grid, factor) for scan in scans]
    rough = grid.refined([max(8, round(n / factor)) for n in grid.size])
    others = [n for n in range(len(scans)) if n != reference]
    steps = 2 * len(others) + 1 + len(scans) * (MOST_ROUNDS - 1)
    loop = None
    if not still:
        loop = _match_all(working, reference, others, rough, lambda n: progress(n, steps), cancel)
    cost = smoothness(working[reference])
    done = len(others) + 1

    def fine(known: Sequence[int]) -> Volume:
        nonlocal done
        end_if(cancel)
        done += 1
        progress(done, steps)
        return _solved([working[m] for m in known], rough, cost, ROUGH)

    def follow(n: int, made: Volume) -> None:
        if min(scan.alike for scan in working) < WORTH_FOLLOWING:
            return  # Then it is of another thing, however its slices are laid.
        placed = [(scan.volume.grid, scan.pose) for m, scan in enumerate(working) if m != n]
        covered = stack_maps.coverage(placed, rough) > 0
        scan, level = working[n], Volume(working[n].level, working[n].volume.grid)
        found = slice_motion.find(level, scan.scanner, made, scan.pose, covered, scan.moved, scan.weights, cancel)
        scan.moved = {k: pose for k, pose in found.items() if k not in scan.left_out}
        scan.weights[list(scan.moved)] = 1.0

    following = not still and len(others) >= FEWEST_OTHERS
    for count in range(MOST_ROUNDS if following else ROUNDS):
        before = [set(scan.moved) for scan in working]
        for position, n in enumerate(others):
            # First against what is placed already, then against all others.
            known = [reference, *others[:position]] if count == 0 else [m for m in range(len(scans)) if m != n]
            seen = fine(known)
            _compare(working[n], seen, still)
            if count and following:
                follow(n, seen)
        if count and following:
            follow(reference, fine(others))
        if count and before == [set(scan.moved) for scan in working]:
            break
    for scan, found in zip(scans, working):
        scan.pose = found.pose
        _tell_slices(scan, found)
        scan.alike, scan.inverted = found.alike, found.inverted
        scan.brightness = found.brightness
        scan.level = _leveled(scan)
    return loop


def solve(
    scans: Sequence[Scan], grid: Grid, cost: float, bending: float, progress: Progress, cancel: Cancel | None
) -> tuple[np.ndarray, list[Stack | None], list[np.ndarray | None]]:
    """The volume on the grid, the scans as it sees them, and what of each it does not explain.

    It is solved three times: slices that do not fit weigh less from then on, differences cost less at edges, and bends
    cost something, too.
    """
    seen = [scan.on(grid) for scan in scans]
    x: np.ndarray | None = None
    residuals: list[np.ndarray | None] = []
    total, done = sum(ROUNDS_OF), 0
    for count, iterations in enumerate(ROUNDS_OF):
        known, shape = [s for s in seen if s is not None], grid.size[::-1]
        if x is None:
            system = System(known, shape, cost)
        else:
            system = System(known, shape, EDGE_COST * cost, bending * EDGE_COST * cost)
            system.keep_edges(x, EDGE / np.sqrt(ROUGHNESS * cost))
        x = system.solve(
            x,
            iterations=iterations,
            tolerance=TOLERANCE if x is None else EDGE_TOLERANCE,
            progress=lambda n, _, start=done: progress(start + n, total),  # type: ignore[misc]
            cancel=cancel,
            left=[r for r in residuals if r is not None],
        )
        residuals = _left(scans, seen, x)
        if count < len(ROUNDS_OF) - 1:
            for scan, stack, residual in zip(scans, seen, residuals):
                if stack is not None and residual is not None:
                    _reweigh(scan, stack, residual)
        done += iterations
        progress(done, total)
    return x, seen, residuals  # type: ignore[return-value]  # there was a round


def detailed(
    x: np.ndarray,
    prior: np.ndarray,
    scans: Sequence[Scan],
    seen: Sequence[Stack | None],
    residuals: Sequence[np.ndarray | None],
    cost: float,
    together: bool,
    progress: Progress,
    cancel: Cancel | None,
) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """What was solved once more, with the differences of a prior where the scans leave them open, and what the scans
    say otherwise then. `together` says whether the prior knows all scans."""
    step = (TOGETHER_COST if together else EDGE_COST) * cost
    system = System([s for s in seen if s is not None], x.shape, step, DETAIL_BENDING * step)
    system.keep_edges(x, EDGE / np.sqrt(ROUGHNESS * cost))
    left = [r for r in residuals if r is not None]
    x = system.solve(x, prior, DETAIL_ROUNDS, EDGE_TOLERANCE, progress, cancel, left)
    return x, _left(scans, seen, x)


def _left(scans: Sequence[Scan], seen: Sequence[Stack | None], x: np.ndarray) -> list[np.ndarray | None]:
    """What of each scan a volume does not explain."""
    residuals: list[np.ndarray | None] = []
    for scan, stack in zip(scans, seen):
        if stack is None:
            residuals.append(None)
            continue
        residual = stack.values - stack.see(x)
        residual[~stack.seen] = 0.0
        residuals.append(residual)
        scan.residual = _robust(residual[stack.seen])
    return residuals


def _match_all(
    scans: Sequence[Scan],
    reference: int,
    others: Sequence[int],
    grid: Grid,
    tell: Callable[[int], None],
    cancel: Cancel | None,
) -> float:
    """Every scan to the reference; the loop is closed by pairs that were not needed for that."""
    step = min(grid.spacing)

    def match(a: int, b: int) -> registration.Match:
        end_if(cancel)
        pair = scans[a], scans[b]
        guess = pair[1].pose.after(pair[0].pose.inverse())
        return registration.match(pair[0].volume, pair[1].volume, (pair[0].scanner, pair[1].scanner), step, guess)

    for count, n in enumerate(others, start=1):
        found = match(reference, n)
        scans[n].pose, scans[n].alike = found.pose, found.alike
        tell(count)
    points = scans[reference].volume.grid.corners(INNER)
    loops = []
    for a, b in zip(others, others[1:]) if len(others) > 1 else [(others[0], reference)]:
        found = match(a, b)
        back = stacks.STILL if b == reference else scans[b].pose.inverse()
        loops.append(registration.loop_error([scans[a].pose, found.pose, back], points))
    tell(len(others) + 1)
    return max(loops)


def _compare(scan: Scan, fine: Volume, still: bool) -> None:
    """Pose, brightness and weights of a scan from the volume that others made."""
    level = Volume(scan.level, scan.volume.grid)
    weights = scan.weights.copy()
    weights[list(scan.moved)] = 0.0
    still = still or int(np.count_nonzero(weights)) < FEWEST_SLICES
    found = registration.refine(level, scan.scanner, fine, scan.pose, weights, 1 if still else registration.STEPS)
    scan.pose, scan.alike = found.pose, found.alike
    stack, prediction = found.stack, found.prediction
    if scan.moved:
        stack = scan.on(fine.grid)
        prediction = None if stack is None else stack.see(fine.array)
    # The brightness is always that of the scan as it came.
    raw = stacks.observe(scan.volume, scan.scanner, fine.grid, scan.pose)
    if stack is None or prediction is None or raw is None:
        return
    if scan.moved:
        scan.alike = registration.fit(stack, prediction)[1]
    scan.inverted = registration.inverted(stack, prediction)
    stack.values = raw.values
    shape = np.array(scan.volume.array.shape)
    terms = [term * prediction for term in _field(stack.points(Grid(tuple(shape[::-1]))), shape)]
    scan.brightness, _alike, _sigma = registration.fit(stack, prediction, terms)
    scan.level = _leveled(scan)
    after = scan.on(fine.grid)
    if after is not None:
        _reweigh(scan, after, np.where(after.seen, after.values - after.see(fine.array), 0.0))


def _field(points: np.ndarray, shape: np.ndarray) -> Iterable[np.ndarray]:
    """The terms of a polynomial without its constant, for voxels (i, j, k) of an array of this shape (k, j, i)."""
    places = 2 * points / np.maximum(shape[::-1] - 1, 1) - 1
    for degree in range(1, FIELD_DEGREE + 1):
        for axes in combinations_with_replacement(range(3), degree):
            yield np.prod([places[..., a] for a in axes], axis=0).astype(np.float32)


def _leveled(scan: Scan) -> np.ndarray:
    """The scan's values at the reference's brightness."""
    gain, offset, *others = scan.brightness
    if not others:
        return scan.volume.array
    shape = np.array(scan.volume.array.shape)
    result = np.empty(scan.volume.array.shape, np.float32)
    j, i = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    for k in range(shape[0]):
        points = np.stack([i, j, np.full_like(i, k)], axis=-1)
        field_here = np.full(i.shape, gain, np.float32)
        for coefficient, term in zip(others, _field(points, shape)):
            field_here += np.float32(coefficient) * term
        limits = sorted((gain / FIELD_LIMIT, gain * FIELD_LIMIT))
        result[k] = (scan.volume.array[k] - offset) / np.clip(field_here, *limits)
    return result


def _reweigh(scan: Scan, stack: Stack, residual: np.ndarray) -> None:
    """Weights of slices by how much larger their residual is than that of most."""
    axes = tuple(a for a in range(3) if a != stack.slice_axis)
    counts = stack.seen.sum(axis=axes)
    size = np.sqrt(np.square(residual, dtype=np.float64).sum(axis=axes) / np.maximum(counts, 1))
    known = counts > 0
    if known.sum() < 3:
        return
    usual = np.median(size[known])
    weights = 1.0 / (1.0 + np.square(size / (OUTLYING * max(usual, 1e-12)))) ** 2
    weights /= np.median(weights[known])
    weights = np.where(weights < LEAST_WEIGHT, 0.0, np.minimum(weights, 1.0))
    scan.weigh(stack.by_slice(np.where(known, weights, 1.0), 1.0))
    stack.weigh(scan.weights)


def _solved(scans: Sequence[Scan], grid: Grid, cost: float, iterations: int) -> Volume:
    seen = [scan.on(grid) for scan in scans]
    return Volume(System([s for s in seen if s is not None], grid.size[::-1], cost).solve(iterations=iterations), grid)


def _joined(scan: Scan, grid: Grid, factor: int) -> Scan:
    """The scan with its pixels joined to about the width of the coarser grid's, as means."""
    step = factor * min(grid.spacing)
    array, scanner = scan.volume.array, scan.scanner
    region, shape, counts = [], [], []
    for axis in range(3):
        spacing = scan.volume.grid.spacing[axis]
        together = max(1, round(step / spacing)) if factor > 1 else 1
        n = scan.volume.grid.size[axis] // together
        region.append((0, n * together))
        counts.append(n)
        shape.append((n, together))
        if together > 1:
            scanner = scanner.along(axis, width=max(scanner.axes[axis].width_at(spacing), together * spacing))
    part = array[tuple(slice(a, b) for a, b in region[::-1])]
    means = part.reshape([n for pair in shape[::-1] for n in pair]).mean(axis=(1, 3, 5), dtype=np.float32)
    place = scan.volume.grid.cropped(tuple(region)).refined(counts)  # type: ignore[arg-type]
    pixels = int(np.prod([pair[1] for pair in shape]))
    low, high = percentiles(array)
    least = MODEL_ERROR * (high - low)
    noise = float(np.hypot(np.sqrt(max(0.0, scan.noise**2 - least**2) / pixels), least))
    joined = Scan(Volume(means, place), scanner, noise)
    if joined.slice_axis == scan.slice_axis:
        together = shape[2 - scan.slice_axis][1]
        joined.left_out = frozenset(min(k // together, len(joined.weights) - 1) for k in scan.left_out)
        joined.weigh(joined.weights)
    return joined


def _tell_slices(scan: Scan, joined: Scan) -> None:
    """What was found of a scan's joined slices, for each of its own; nothing where its pixels became coarser."""
    if joined.slice_axis != scan.slice_axis:
        return
    count, fewer = len(scan.weights), len(joined.weights)
    found = np.minimum(np.arange(count) // (count // fewer), fewer - 1)
    scan.weigh(joined.weights[found])
    scan.moved = {n: joined.moved[k] for n, k in enumerate(found) if k in joined.moved and n not in scan.left_out}


def _robust(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
