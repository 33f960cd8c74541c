"""Slices that moved alone: a patient moves between slices of one scan, too, and a fetus all the time.

Each slice is compared with what the volume made of the other scans predicts for it. Where that says that it lies
elsewhere than its scan, it is laid over the volume by itself, roughly first (slice_search) and closely where that
promises something, and stays there if that explains it better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..callbacks import Cancel, Progress, end_if
from ..volumes.grid import Grid, Volume
from . import registration, separable, slice_search, stacks
from .scanner import Scanner, slice_axis
from .slice_search import FEWEST, FURTHEST, Landscape
from .stacks import INNER, REACH, STILL, Pose

# A slice is laid over the volume by itself if it seems to lie so many fine voxels from where its scan does and one step
# leaves so much unexplained (variance), or if it weighs so little.
SUSPECT, SUSPECT_GAIN, LEAST_WEIGHT = 0.3, 0.95, 0.5
# It stays where that is if it moved so far (mean, in fine voxels), and what it does not explain falls to this part.
LEAST_MOTION, LEAST_GAIN = 0.25, 0.8
# So much of both the search has to promise before a slice is looked at closely. It is rough: some that moved and come
# to 0.6 in the end are at 0.92 then, and about half of those that did not move are above this.
PROMISED_MOTION, PROMISED_GAIN = 0.2, 0.95
# So much of it has to be seen, and be alike.
LEAST_SEEN, LEAST_ALIKE = 0.25, 0.6
# By how many fine voxels both are blurred in the search, at first and then. From 3 to 1 at once some that did not move
# go astray.
BLURS = (3.0, 2.0, 1.0)
STEPS = 6
# Fine voxels around a slice that are looked at closely, beside those that it sees.
MARGIN = 4
# Slices that are laid before it is asked again whether to go on.
TOGETHER = 8


class Seen(NamedTuple):
    """A volume made of other scans, and where it is covered by them (1, else 0)."""

    fine: Volume
    covered: np.ndarray

    def around(self, own: Volume, pose: Pose) -> Seen | None:
        """The part of it that a slice sees that lies so; None where that is nothing."""
        grid, there = self.fine.grid, pose.inverse()
        corners = own.grid.corners() @ there.rotation.T + there.shift - np.asarray(grid.origin)
        read = corners @ np.asarray(grid.direction).reshape(3, 3) / np.asarray(grid.spacing)
        beyond = MARGIN + REACH * max(own.grid.spacing) / min(grid.spacing)
        low = np.maximum(np.floor(read.min(axis=0) - beyond), 0).astype(int)
        high = np.minimum(np.ceil(read.max(axis=0) + beyond) + 1, grid.size).astype(int)
        if (high - low < 2).any():
            return None
        part = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1]))
        place = grid.cropped(tuple((int(a), int(b)) for a, b in zip(low, high)))  # type: ignore[arg-type]
        return Seen(Volume(self.fine.array[part], place), self.covered[part])


def find(
    volume: Volume,
    scanner: Scanner,
    fine: Volume,
    pose: Pose,
    covered: np.ndarray | None = None,
    known: Mapping[int, Pose] | None = None,
    weights: np.ndarray | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[int, Pose]:
    """The poses of slices that do not lie where their scan does, by their number along its coarsest axis.

    `covered` is where the fine volume means something, `known` are poses found before. Slices of little weight are
    looked at, too.
    """
    known = known or {}
    covered = np.ones(fine.array.shape, np.float32) if covered is None else covered.astype(np.float32)
    suspects = {*known, *_suspects(volume, scanner, fine, pose, covered)}
    if weights is not None:
        suspects.update(np.flatnonzero(weights < LEAST_WEIGHT))
    found: dict[int, Pose] = {}
    if not suspects:
        return found
    levels = slice_search.landscapes(volume.grid, scanner, fine, pose, covered, BLURS)

    def one(n: int) -> None:
        moved = _laid(_alone(volume, n), scanner, Seen(fine, covered), levels, pose, known.get(n))
        if moved is not None:
            found[n] = moved

    numbers = sorted(int(n) for n in suspects)
    for start in range(0, len(numbers), TOGETHER):
        end_if(cancel)
        separable.for_all(one, numbers[start : start + TOGETHER])
        if progress is not None:
            progress(min(start + TOGETHER, len(numbers)), len(numbers))
    return found


def _suspects(volume: Volume, scanner: Scanner, fine: Volume, pose: Pose, covered: np.ndarray) -> list[int]:
    """Slices that one step of least squares, each by itself, would move, and so explain better."""
    stack = stacks.observe(volume, scanner, fine.grid, pose)
    if stack is None:
        return []
    stack.look_at(covered)
    prediction = stack.see(fine.array)
    points = registration.points_from(fine.grid.center(), stack, volume.grid, pose)
    columns = registration.motions(points, registration.slopes_seen(stack, fine), fine.grid)
    columns = [np.moveaxis(c, stack.slice_axis, 0) for c in (*columns, prediction, np.ones_like(prediction))]
    values, seen = (np.moveaxis(a, stack.slice_axis, 0) for a in (stack.values, stack.seen))
    places = np.moveaxis(points, stack.slice_axis, 0)
    suspect = np.zeros(len(values))
    for n, inside in enumerate(seen):
        if inside.sum() < FEWEST:
            continue
        matrix = np.stack([column[n][inside] for column in columns], axis=1).astype(float)
        given = values[n][inside].astype(float)
        motion, still = (np.linalg.lstsq(m, given, rcond=1e-6)[0] for m in (matrix, matrix[:, 6:]))
        left, right = np.var(given - matrix @ motion), np.var(given - matrix[:, 6:] @ still)
        turn, shift = motion[:3] / (motion[6] or 1.0), motion[3:6] / (motion[6] or 1.0)
        moved = np.linalg.norm(np.cross(turn, places[n][inside]) + shift, axis=1).mean() / min(fine.grid.spacing)
        suspect[n] = moved > SUSPECT and left < SUSPECT_GAIN * right
    return np.flatnonzero(stack.by_slice(suspect, 0.0)).tolist()


def _laid(
    own: Volume, scanner: Scanner, whole: Seen, levels: Sequence[Landscape], pose: Pose, known: Pose | None
) -> Pose | None:
    """Where a slice lies; None if that is where its scan does, or is not found."""
    step = min(whole.fine.grid.spacing)
    for start, some in ((known, levels[1:]), (pose, levels)):
        if start is None:
            continue
        found = _searched(own, some, start.after(pose.inverse()), step)
        region = None if found is None else whole.around(own, found.after(pose))
        if found is None or region is None:
            continue
        fitted = registration.refine(own, scanner, region.fine, found.after(pose), None, STEPS, region.covered).pose
        left, alike = _explained(own.array, *(_foretold(own, scanner, whole, place) for place in (pose, fitted)))
        better = left < LEAST_GAIN and alike > LEAST_ALIKE
        if better and LEAST_MOTION <= _size(fitted.after(pose.inverse()), own.grid) / step <= FURTHEST:
            return fitted
    return None


def _searched(own: Volume, levels: Sequence[Landscape], motion: Pose, step: float) -> Pose | None:
    """A slice's motion in its scan's space, roughly; None if it promises nothing."""
    for level in levels:
        motion = slice_search.search(own, level, motion)
    left, _alike = _explained(*slice_search.foretold(own, levels[-1], (STILL, motion)))
    moved = _size(motion, own.grid) / step
    return motion if left < PROMISED_GAIN and PROMISED_MOTION <= moved <= FURTHEST else None


def _foretold(own: Volume, scanner: Scanner, whole: Seen, pose: Pose) -> np.ndarray:
    """What is foretold of a slice; no number where nothing is."""
    region = whole.around(own, pose)
    stack = None if region is None else stacks.observe(own, scanner, region.fine.grid, pose)
    if region is None or stack is None:
        return np.full(own.array.shape, np.nan, np.float32)
    stack.look_at(region.covered)
    return stack.as_scanned(stack.see(region.fine.array))


def _explained(values: np.ndarray, before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """What stays unexplained after a motion, in parts of what was before, and how alike both are then.

    Where too little is seen from both places, nothing is explained.
    """
    both = np.isfinite(before) & np.isfinite(after)
    if both.mean() < LEAST_SEEN or both.sum() < FEWEST:
        return np.inf, 0.0
    first, last = (_alike(values[both], prediction[both]) for prediction in (before, after))
    return float(np.sqrt((1 - last**2) / max(1 - first**2, 1e-12))), last


def _alike(values: np.ndarray, prediction: np.ndarray) -> float:
    """Their correlation; 0 where it is less."""
    if values.std() == 0 or prediction.std() == 0:
        return 0.0
    return max(0.0, float(np.corrcoef(values, prediction)[0, 1]))


def _alone(volume: Volume, n: int) -> Volume:
    """One slice."""
    axis = slice_axis(volume.grid.spacing)
    region = [(0, size) for size in volume.grid.size]
    region[axis] = (n, n + 1)
    array = np.take(volume.array, [n], axis=2 - axis)
    return Volume(np.ascontiguousarray(array), volume.grid.cropped(tuple(region)))  # type: ignore[arg-type]


def _size(motion: Pose, grid: Grid) -> float:
    """How far, in mm, it moves a slice."""
    return float(motion.displacement(grid.corners(INNER)).mean())
