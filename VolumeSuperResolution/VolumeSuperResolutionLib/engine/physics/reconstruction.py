"""From several scans to one volume: where they lie, how bright they are, which slices count, and what explains them.

Each scan is compared with what the volume that the other scans made predicts for it. That gives its pose, its
brightness relative to the reference (gain, offset and a smooth field, as coils and filters differ), and the slices that
do not belong to it, because the patient moved or they are damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import numpy as np

from ..callbacks import Cancel, Progress, end_if
from ..volumes.grid import Grid, Volume
from . import registration, slice_motion, stack_maps, stacks
from .scan import ROUGHNESS, Scan, field_terms, joined, leveled, places_in, smoothness, tell_slices
from .stacks import Stack
from .system import TOLERANCE, System

# Scans are laid over each other on a grid of no more voxels than this, their pixels joined if need be.
WORKING_VOXELS = 2_000_000
# How often each is compared with the others: more often while slices are found that moved alone.
ROUNDS, MOST_ROUNDS = 2, 4
# Slices are followed where so many other scans lie, as one thick one foretells too little, if all are so alike.
FEWEST_OTHERS, WORTH_FOLLOWING = 2, 0.5
# How many slices tell where a scan lies.
FEWEST_SLICES = 4
# Iterations for a volume that others are compared with.
ROUGH = 4
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
# A slice whose residual is this many times that of most counts half; below LEAST_WEIGHT it is left out.
OUTLYING = 3.0
LEAST_WEIGHT = 0.1


def find_places(
    scans: Sequence[Scan], reference: int, grid: Grid, still: bool, progress: Progress, cancel: Cancel | None
) -> float | None:
    """Poses, brightness and weights of all scans, in place; the loop error in mm where they were moved."""
    factor = max(1, int(np.ceil((np.prod(grid.size, dtype=float) / WORKING_VOXELS) ** (1 / 3) - 0.05)))
    working = [joined(scan, grid, factor) for scan in scans]
    rough = grid.refined([max(8, round(n / factor)) for n in grid.size])
    others = [n for n in range(len(scans)) if n != reference]
    following = not still and len(others) >= FEWEST_OTHERS
    later = 2 * len(scans) * (MOST_ROUNDS - 1) if following else len(others) * (ROUNDS - 1)
    steps = 2 * len(others) + 1 + later
    loop = None
    if not still:
        loop = _match_all(working, reference, others, rough, lambda n: progress(n, steps), cancel)
    cost = smoothness(working[reference])
    done = len(others) + 1

    def fine(known: Sequence[int]) -> slice_motion.Seen:
        nonlocal done
        end_if(cancel)
        done += 1
        progress(done, steps)
        made = _solved([working[m] for m in known], rough, cost, ROUGH)
        return slice_motion.Seen(made, stack_maps.coverage([working[m].place for m in known], rough) > 0)

    def follow(n: int, made: slice_motion.Seen) -> None:
        nonlocal done
        start, done = done, done + 1
        _follow(working, n, made, lambda laid, of: progress(start * of + laid, steps * of), cancel)

    for count in range(MOST_ROUNDS if following else ROUNDS):
        before = any(scan.moved for scan in working)
        for position, n in enumerate(others):
            # First against what is placed already, then against all others.
            known = [reference, *others[:position]] if count == 0 else [m for m in range(len(scans)) if m != n]
            seen = fine(known)
            _compare(working[n], seen, still)
            if count and following:
                follow(n, seen)
        if count and following:
            follow(reference, fine(others))
        if count and not before and not any(scan.moved for scan in working):
            break
    for scan, found in zip(scans, working):
        scan.pose = found.pose
        tell_slices(scan, found)
        scan.alike, scan.inverted = found.alike, found.inverted
        scan.brightness, scan.compared = found.brightness, found.compared
        scan.level = leveled(scan)
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
        used = stack.seen & (stack.along_slices(stack.slice_weights) > 0)
        scan.residual = _robust(residual[used])
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
    points = scans[reference].volume.grid.corners(stacks.INNER)
    loops = []
    for a, b in zip(others, others[1:]) if len(others) > 1 else [(others[0], reference)]:
        found = match(a, b)
        back = stacks.STILL if b == reference else scans[b].pose.inverse()
        loops.append(registration.loop_error([scans[a].pose, found.pose, back], points))
    tell(len(others) + 1)
    return max(loops)


def _compare(scan: Scan, made: slice_motion.Seen, still: bool) -> None:
    """Pose, brightness and weights of a scan from the volume that others made, where they cover it."""
    fine, covered = made.fine, None if made.covered.all() else made.covered.astype(np.float32)
    level = Volume(scan.level, scan.volume.grid)
    weights = scan.weights.copy()
    weights[list(scan.moved)] = 0.0
    still = still or int(np.count_nonzero(weights)) < FEWEST_SLICES
    steps = 1 if still else registration.STEPS
    found = registration.refine(level, scan.scanner, fine, scan.pose, weights, steps, covered)
    scan.pose, scan.alike = found.pose, found.alike
    stack, prediction = found.stack, found.prediction
    if scan.moved:
        stack = _looking(scan, fine.grid, covered)
        prediction = None if stack is None else stack.see(fine.array)
    # The brightness is always that of the scan as it came.
    raw = stacks.observe(scan.volume, scan.scanner, fine.grid, scan.pose)
    if stack is None or prediction is None or raw is None or not stack.seen.any():
        return
    if scan.moved:
        scan.alike = registration.fit(stack, prediction)[1]
    scan.inverted = registration.inverted(stack, prediction)
    stack.values = raw.values
    shape = scan.volume.array.shape
    places = places_in(stack.points(Grid(shape[::-1])), shape)
    scan.compared = places[stack.seen].min(axis=0), places[stack.seen].max(axis=0)
    terms = [term * prediction for term in field_terms(places)]
    scan.brightness, _alike, _sigma = registration.fit(stack, prediction, terms)
    scan.level = leveled(scan)
    after = _looking(scan, fine.grid, covered)
    if after is not None:
        _reweigh(scan, after, np.where(after.seen, after.values - after.see(fine.array), 0.0))


def _looking(scan: Scan, grid: Grid, covered: np.ndarray | None) -> Stack | None:
    """The scan as the fine grid sees it, where that is covered."""
    stack = scan.on(grid)
    if stack is not None and covered is not None:
        stack.look_at(covered)
    return stack


def _follow(scans: Sequence[Scan], n: int, made: slice_motion.Seen, progress: Progress, cancel: Cancel | None) -> None:
    """Where slices of a scan lie that moved alone, from the volume that others made."""
    if min(scan.alike for scan in scans) < WORTH_FOLLOWING:
        return  # Then it is of another thing, however its slices are laid.
    scan = scans[n]
    level = Volume(scan.level, scan.volume.grid)
    known = scan.moved, scan.weights
    found = slice_motion.find(level, scan.scanner, made.fine, scan.pose, made.covered, *known, progress, cancel)
    scan.moved = {k: pose for k, pose in found.items() if k not in scan.left_out}
    scan.weights[list(scan.moved)] = 1.0


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


def _robust(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
