"""Slices that moved alone: a patient moves between slices of one scan, too, and a fetus all the time.

Each slice is compared with what the volume made of the other scans predicts for it. Where that says that it lies
elsewhere than its scan, it is laid over the volume by itself, coarsely first, and stays there if that explains it
better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..callbacks import Cancel, end_if
from ..volumes import files
from ..volumes.grid import Grid, Volume
from . import registration, separable, stacks
from .scanner import Scanner, slice_axis
from .stacks import REACH, Pose

# A slice is laid over the volume by itself if it seems to lie so many fine voxels from where its scan does and one step
# leaves so much unexplained (variance), or if it weighs so little.
SUSPECT, SUSPECT_GAIN, LEAST_WEIGHT = 0.3, 0.95, 0.5
# It stays where that is if it moved so far (mean, in fine voxels), and what it does not explain falls to this part.
LEAST_MOTION, LEAST_GAIN = 0.25, 0.8
# So much of it has to be seen, and be alike.
LEAST_SEEN, LEAST_ALIKE = 0.25, 0.6
# By how many fine voxels both are blurred at first, and then; and how far from its scan a slice may be found.
BLURS = (3.0, 1.0, 0.0)
FURTHEST = 12
STEPS = 6
# Slices that are laid before it is asked again whether to go on.
TOGETHER = 8
# Pixels of a slice that are seen at the least.
FEWEST = 100


class Seen(NamedTuple):
    """A volume made of other scans, as it is and blurred, and where it is covered by them (1, else 0)."""

    grid: Grid
    levels: list[np.ndarray]
    covered: np.ndarray

    def part(self, region: tuple[slice, slice, slice]) -> Seen:
        """That of a part of the grid."""
        bounds = tuple((part.start, part.stop) for part in region[::-1])
        levels = [level[region] for level in self.levels]
        return Seen(self.grid.cropped(bounds), levels, self.covered[region])  # type: ignore[arg-type]


def find(
    volume: Volume,
    scanner: Scanner,
    fine: Volume,
    pose: Pose,
    covered: np.ndarray | None = None,
    known: Mapping[int, Pose] | None = None,
    weights: np.ndarray | None = None,
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
    seen = Seen(fine.grid, [_blurred(fine, [blur] * 3) for blur in BLURS] if suspects else [], covered)
    found: dict[int, Pose] = {}

    def one(n: int) -> None:
        moved = _laid(_alone(volume, n), scanner, seen, pose, known.get(n))
        if moved is not None:
            found[n] = moved

    numbers = sorted(int(n) for n in suspects)
    for start in range(0, len(numbers), TOGETHER):
        end_if(cancel)
        separable.for_all(one, numbers[start : start + TOGETHER])
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


def _laid(own: Volume, scanner: Scanner, whole: Seen, pose: Pose, known: Pose | None) -> Pose | None:
    """Where a slice lies; None if that is where its scan does, or is not found."""
    region = _around(own, whole.grid, pose)
    if region is None:
        return None
    seen, step = whole.part(region), min(whole.grid.spacing)
    before = _foretold(own, scanner, seen, pose)
    levels = list(zip(BLURS, seen.levels))
    for start, some in ((known, levels[1:]), (pose, levels)):
        if start is None:
            continue
        found = start
        for blur, array in some:
            pixels = [blur * step / s for s in own.grid.spacing[::-1]]
            pixels[own.array.shape.index(1)] = 0.0
            soft, fine = Volume(_blurred(own, pixels), own.grid), Volume(array, seen.grid)
            found = registration.refine(soft, scanner, fine, found, None, STEPS, seen.covered).pose
        after = _foretold(own, scanner, seen, found)
        # What is seen from both places is compared.
        both = np.isfinite(before) & np.isfinite(after)
        if both.mean() < LEAST_SEEN or both.sum() < FEWEST:
            continue
        first, last = (_alike(own.array[both], prediction[both]) for prediction in (before, after))
        better = np.sqrt(1 - last**2) < LEAST_GAIN * np.sqrt(1 - first**2) and last > LEAST_ALIKE
        if better and LEAST_MOTION <= _distance(own.grid, pose, found) / step <= FURTHEST:
            return found
    return None


def _foretold(own: Volume, scanner: Scanner, seen: Seen, pose: Pose) -> np.ndarray:
    """What is foretold of a slice; no number where nothing is."""
    result = np.full(own.array.shape, np.nan, np.float32)
    stack = stacks.observe(own, scanner, seen.grid, pose)
    if stack is not None:
        stack.look_at(seen.covered)
        inside = stacks.ordered(result, stack.order, stack.flipped)[stack.rows]
        inside[stack.seen] = stack.see(seen.levels[-1])[stack.seen]
    return result


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


def _around(own: Volume, grid: Grid, pose: Pose) -> tuple[slice, slice, slice] | None:
    """The part of the fine grid (array order) in which a slice may lie; None where that is nothing."""
    there = pose.inverse()
    corners = own.grid.corners() @ there.rotation.T + there.shift - np.asarray(grid.origin)
    read = corners @ np.asarray(grid.direction).reshape(3, 3) / np.asarray(grid.spacing)
    beyond = FURTHEST + REACH * max(own.grid.spacing) / min(grid.spacing)
    low = np.maximum(np.floor(read.min(axis=0) - beyond), 0).astype(int)
    high = np.minimum(np.ceil(read.max(axis=0) + beyond) + 1, grid.size).astype(int)
    if (high - low < 2).any():
        return None
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1]))
    return k, j, i


def _distance(grid: Grid, pose: Pose, other: Pose) -> float:
    """By how many mm two poses differ over a slice, in the reference."""
    return float(other.after(pose.inverse()).displacement(grid.corners(0.5)).mean())


def _blurred(volume: Volume, pixels: Sequence[float]) -> np.ndarray:
    """By a Gaussian of so many voxels along each axis of the array."""
    image = files.to_image(Volume(volume.array, Grid(volume.grid.size)))
    for axis, sigma in enumerate(pixels[::-1]):
        if sigma > 0 and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    return sitk.GetArrayFromImage(image)
