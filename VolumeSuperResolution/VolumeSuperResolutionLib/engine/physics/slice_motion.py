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

# A slice that seems to lie so many fine voxels from where its scan does is laid over the volume by itself, and one that
# fits so badly.
SUSPECT, LEAST_WEIGHT = 0.3, 0.5
# It stays where that is if it moved so far (mean, in fine voxels), and what it does not explain falls to this part.
LEAST_MOTION, LEAST_GAIN = 0.25, 0.9
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


class Match(NamedTuple):
    """How well a slice fits: the part of its structure that is not explained, and how much of it is seen."""

    unlike: float
    seen: float


def find(
    volume: Volume,
    scanner: Scanner,
    fine: Volume,
    pose: Pose,
    known: Mapping[int, Pose] | None = None,
    weights: np.ndarray | None = None,
    cancel: Cancel | None = None,
) -> dict[int, Pose]:
    """The poses of slices that do not lie where their scan does, by their number along its coarsest axis.

    `known` are those found before. Slices of little weight are looked at, too.
    """
    known = known or {}
    suspects = {*known, *_suspects(volume, scanner, fine, pose)}
    if weights is not None:
        suspects.update(np.flatnonzero(weights < LEAST_WEIGHT))
    blurred = [Volume(_blurred(fine, [blur] * 3), fine.grid) for blur in BLURS] if suspects else []
    found: dict[int, Pose] = {}

    def one(n: int) -> None:
        moved = _laid(_alone(volume, n), scanner, blurred, pose, known.get(n))
        if moved is not None:
            found[n] = moved

    numbers = sorted(int(n) for n in suspects)
    for start in range(0, len(numbers), TOGETHER):
        end_if(cancel)
        separable.for_all(one, numbers[start : start + TOGETHER])
    return found


def _suspects(volume: Volume, scanner: Scanner, fine: Volume, pose: Pose) -> list[int]:
    """Slices that one step of least squares, each by itself, would move, and so explain better."""
    stack = stacks.observe(volume, scanner, fine.grid, pose)
    if stack is None:
        return []
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
        suspect[n] = moved > SUSPECT and left < LEAST_GAIN * right
    return np.flatnonzero(stack.by_slice(suspect, 0.0)).tolist()


def _laid(own: Volume, scanner: Scanner, blurred: Sequence[Volume], pose: Pose, known: Pose | None) -> Pose | None:
    """Where a slice lies; None if that is where its scan does, or is not found."""
    fine, step = blurred[-1], min(blurred[-1].grid.spacing)
    region = _around(own, fine.grid, pose)
    if region is None:
        return None
    before = _match(own, scanner, _part(fine, region), pose)
    best: tuple[Match, Pose] | None = None
    levels = list(zip(BLURS, blurred))
    for start, some in ((known, levels[1:]), (pose, levels)):
        if start is None or (best is not None and best[0].unlike < LEAST_GAIN * before.unlike):
            continue
        found = start
        for blur, volume in some:
            pixels = [blur * step / s for s in own.grid.spacing[::-1]]
            pixels[own.array.shape.index(1)] = 0.0
            soft = Volume(_blurred(own, pixels), own.grid)
            found = registration.refine(soft, scanner, _part(volume, region), found, None, STEPS).pose
        after = _match(own, scanner, _part(fine, region), found)
        if best is None or after.unlike < best[0].unlike:
            best = after, found
    assert best is not None
    after, found = best
    moved = _distance(own.grid, pose, found) / step
    # What is hardly seen where its scan lies says nothing there.
    better = before.seen < LEAST_SEEN or after.unlike < LEAST_GAIN * before.unlike
    fits = after.seen >= LEAST_SEEN and after.unlike**2 <= 1 - LEAST_ALIKE**2
    return found if better and fits and LEAST_MOTION <= moved <= FURTHEST else None


def _match(own: Volume, scanner: Scanner, fine: Volume, pose: Pose) -> Match:
    stack = stacks.observe(own, scanner, fine.grid, pose)
    if stack is None or stack.seen.sum() < FEWEST:
        return Match(1.0, 0.0)
    values, prediction = stack.values[stack.seen], stack.see(fine.array)[stack.seen]
    alike = float(np.corrcoef(values, prediction)[0, 1]) if values.std() > 0 and prediction.std() > 0 else 0.0
    return Match(float(np.sqrt(1 - max(alike, 0.0) ** 2)), float(stack.seen.sum()) / own.array.size)


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


def _part(volume: Volume, region: tuple[slice, slice, slice]) -> Volume:
    bounds = tuple((part.start, part.stop) for part in region[::-1])
    return Volume(volume.array[region], volume.grid.cropped(bounds))  # type: ignore[arg-type]


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
