"""Orthogonal stacks of thick slices, as a scanner would have taken them one after the other of a patient who moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..volumes import files
from ..volumes.grid import Grid, Volume
from ..volumes.intensity import percentiles
from . import separable
from .scanner import Scanner
from .stacks import STILL, Pose

# The slice axis of each stack, in array order (k, j, i): axial, sagittal, coronal of a volume in patient order.
SLICE_AXES = (0, 2, 1)


class Simulated(NamedTuple):
    """A stack, what is known of how it was scanned, and the sharp volume on its axes."""

    volume: Volume
    scanner: Scanner
    truth: Volume
    pose: Pose


def cube(volume: Volume) -> Volume:
    """The same voxels, taken as cubes of 1 mm on the axes of space."""
    return Volume(volume.array, Grid(volume.grid.size))


def middle(grid: Grid, size: int) -> Grid:
    """The middle of a grid, so many voxels long or all there are."""
    starts = [max(0, n - size) // 2 for n in grid.size]
    return grid.cropped(tuple((a, a + min(n, size)) for a, n in zip(starts, grid.size)))  # type: ignore[arg-type]


def random_pose(random: np.random.Generator, degrees: float, mm: float, center: Sequence[float] | np.ndarray) -> Pose:
    """A turn by up to so many degrees about each axis, around a center, and a shift by up to so many mm along each."""
    angles = np.deg2rad(random.uniform(-degrees, degrees, 3))
    transform = sitk.Euler3DTransform(tuple(map(float, center)), *map(float, angles))
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    middle = np.asarray(center, float)
    return Pose(rotation, middle - rotation @ middle + random.uniform(-mm, mm, 3))


def orthogonal(
    volume: Volume,
    thickness: float,
    gap: float,
    random: np.random.Generator,
    noise: float,
    degrees: float,
    mm: float,
    field: Grid | None = None,
    alone: float = 0.0,
) -> list[Simulated]:
    """Three stacks of a patient who moved between them, and during this part of the slices; the first lies where the
    volume is."""
    center = (field or volume.grid).center()
    made = []
    for number, axis in enumerate(SLICE_AXES):
        pose = STILL if number == 0 else random_pose(random, degrees, mm, center)
        stack = simulate(volume, axis, thickness, gap, random, noise, pose, field)
        count = len(stack.volume.array)
        for n in random.permutation(count)[: round(alone * count)] if alone else ():
            own = random_pose(random, degrees, mm, center).after(pose)
            moved = simulate(volume, axis, thickness, gap, random, noise, own, field)
            stack.volume.array[n] = moved.volume.array[n]
        made.append(stack)
    return made


def simulate(
    truth: Volume,
    slice_axis: int,
    thickness: float,
    gap: float,
    random: np.random.Generator,
    noise: float = 0.01,
    pose: Pose = STILL,
    field: Grid | None = None,
) -> Simulated:
    """One stack; thickness in voxels of the truth, the gap in parts of the thickness, noise in parts of the range.

    `field` are the voxels of the truth that the scanner's field of view has, all of them by default.
    """
    field = field or truth.grid
    spacing = thickness * (1 + gap)
    order = (slice_axis, *(axis for axis in range(3) if axis != slice_axis))
    shape = np.array(field.size[::-1])[list(order)]
    count = int(shape[0] / spacing)
    # Slices fill whole fine voxels, so that the truth's grid can be met again.
    while count > 1 and abs(count * spacing - round(count * spacing)) > 1e-6:
        count -= 1
    fine = (round(count * spacing), *shape[1:])
    inside = [(0, n) for n in field.size]
    begin = (shape[0] - fine[0]) // 2
    inside[2 - slice_axis] = (int(begin), int(begin + fine[0]))
    grid = _turned(field.cropped(tuple(inside)), [2 - axis for axis in order[::-1]])  # type: ignore[arg-type]
    sharp = _moved(truth, grid, pose)
    step = grid.spacing[2]
    scanner = Scanner().along(2, width=thickness * step, told="user")
    matrix = scanner.axes[2].matrix(fine[0], count, spacing * step)
    thick = separable.apply(sharp.array, (matrix, None, None))
    low, high = percentiles(truth.array)
    thick = thick + random.normal(0.0, noise * (high - low), thick.shape).astype(np.float32)
    return Simulated(Volume(thick, grid.refined((*grid.size[:2], count))), scanner, sharp, pose)


def _turned(grid: Grid, axes: Sequence[int]) -> Grid:
    """The same voxels with their axes (i, j, k) in another order."""
    directions = np.asarray(grid.direction).reshape(3, 3)[:, list(axes)]
    return Grid(
        tuple(grid.size[a] for a in axes),  # type: ignore[arg-type]
        tuple(grid.spacing[a] for a in axes),  # type: ignore[arg-type]
        grid.origin,
        tuple(float(v) for v in directions.ravel()),
    )


def _moved(volume: Volume, grid: Grid, pose: Pose) -> Volume:
    """The volume after a motion, on another grid; quintic splines, which have nothing in common with combine()'s."""
    back = pose.inverse()
    transform = sitk.AffineTransform(tuple(back.rotation.ravel()), tuple(back.shift))
    wanted = files.to_image(Volume(np.zeros(grid.size[::-1], np.uint8), grid))
    image = files.to_image(Volume(volume.array.astype(np.float32), volume.grid))
    moved = sitk.Resample(image, wanted, transform, sitk.sitkBSpline5, float(volume.array.min()))
    return Volume(sitk.GetArrayFromImage(moved), grid)
