"""Where a slice may lie, roughly: it is laid over what its scan would see wherever each of its voxels lay.

How a turned slice sees a volume is dear to make anew for every step of a search. What the voxels of its scan would see
is made once, blurred, on the scan's own axes; a slice that moved a little reads it at other places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..volumes import files
from ..volumes.grid import Grid, Volume
from . import registration, separable
from .scanner import Scanner
from .stacks import REACH, SAME_WIDTH, WHOLE, Pose

# How far from its scan a slice may be found, in fine voxels.
FURTHEST = 12
STEPS = 8
# Pixels of a slice that are seen at the least.
FEWEST = 100


class Landscape(NamedTuple):
    """What a scan's voxels see of a volume blurred by so many fine voxels, wherever they lie in the scan's own space.

    `known` is where they look at nothing else.
    """

    blur: float
    grid: Grid
    seen: np.ndarray
    known: np.ndarray

    def at(self, points: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """What is seen from points (n, 3), no number where it is not known, and its slopes along (k, j, i) in mm."""
        places = ((points - self.grid.origin) @ _axes(self.grid) / self.grid.spacing)[:, ::-1]
        last = np.array(self.seen.shape) - 1
        first = np.clip(np.floor(places), 0, last - 1).astype(np.intp)
        strides = np.array([(last[1] + 1) * (last[2] + 1), last[2] + 1, 1])
        corners = np.indices((2, 2, 2)).reshape(3, 8).T @ strides
        values = self.seen.ravel()[(first @ strides)[:, None] + corners].reshape(-1, 2, 2, 2)
        part = places - first
        k, j, i = (np.stack([1 - p, p], axis=1).astype(np.float32) for p in part.T)
        up = np.broadcast_to(np.array([-1, 1], np.float32), k.shape)
        seen, *slopes = (
            np.einsum("nkji,nk,nj,ni->n", values, *weights)
            for weights in ((k, j, i), (up, j, i), (k, up, i), (k, j, up))
        )
        known = ((part >= 0) & (part <= 1)).all(axis=1)
        known &= self.known.ravel()[(first + (part > 0.5)).clip(0, last) @ strides]
        return np.where(known, seen, np.nan), [slope / step for slope, step in zip(slopes, self.grid.spacing[::-1])]


def landscapes(
    grid: Grid, scanner: Scanner, fine: Volume, pose: Pose, covered: np.ndarray, blurs: Sequence[float]
) -> list[Landscape]:
    """Of a fine volume, covered (1, else 0) where it means something, for a scan of this grid that lies so."""
    step = min(fine.grid.spacing)
    place = _around(grid, fine.grid, pose, step)
    back = pose.inverse()
    transform = sitk.AffineTransform(tuple(back.rotation.ravel()), tuple(back.shift))
    matrices = tuple(
        axis.rows(np.arange(n, dtype=float), n, spacing, step) if spacing > SAME_WIDTH * step else None
        for axis, n, spacing in zip(scanner.axes[::-1], place.size[::-1], grid.spacing[::-1])
    )

    def seen(array: np.ndarray) -> np.ndarray:
        image = files.to_image(Volume(array, fine.grid))
        given = (place.size, transform, sitk.sitkLinear, place.origin, place.spacing, place.direction)
        moved = sitk.GetArrayFromImage(sitk.Resample(image, *given, 0.0, sitk.sitkFloat32))
        return separable.apply(moved, matrices)  # type: ignore[arg-type]

    known = np.abs(seen(covered) - 1) < WHOLE
    return [Landscape(blur, place, seen(blurred(fine, [blur] * 3)), known) for blur in blurs]


def search(own: Volume, landscape: Landscape, motion: Pose) -> Pose:
    """By which motion in its scan's space a slice fits a landscape, near one that is given: least squares."""
    step, widths = min(landscape.grid.spacing), _widths(own, landscape)
    # Of what is blurred that much some pixels tell as much as all.
    some = tuple(slice(None, None, max(1, round(width / 2))) for width in widths)
    values, points = blurred(own, widths)[some].ravel(), _points(own.grid)[some].reshape(-1, 3)
    for _ in range(STEPS):
        there = motion.inverse()
        moved = points @ there.rotation.T + there.shift
        prediction, slopes = landscape.at(moved)
        seen = np.isfinite(prediction)
        if seen.mean() * own.array.size < FEWEST:
            break
        center = moved[seen].mean(axis=0)
        around = moved[seen] - center
        columns = registration.motions(around, [s[seen] for s in slopes], landscape.grid)
        found, _alike, _sigma = registration.regress(values[seen], prediction[seen], columns, np.ones(seen.sum()))
        change = registration.motion_of(found, around, center, step)
        if change is None:
            break
        motion = motion.after(change.inverse())
    return motion


def foretold(own: Volume, landscape: Landscape, motions: Sequence[Pose]) -> list[np.ndarray]:
    """A slice blurred as a landscape is, and what that foretells of it if it moved so, for each of some motions."""
    points, result = _points(own.grid).reshape(-1, 3), [blurred(own, _widths(own, landscape))]
    for there in (motion.inverse() for motion in motions):
        seen, _slopes = landscape.at(points @ there.rotation.T + there.shift)
        result.append(seen.reshape(own.array.shape))
    return result


def _points(grid: Grid) -> np.ndarray:
    """Where its voxels lie, (k, j, i, 3)."""
    index = np.moveaxis(np.indices(grid.size[::-1])[::-1], 0, -1)
    return np.asarray(grid.origin) + (index * grid.spacing) @ _axes(grid).T


def _widths(own: Volume, landscape: Landscape) -> list[float]:
    """By how many of its pixels a slice is blurred where a landscape is."""
    width = landscape.blur * min(landscape.grid.spacing)
    return [width / step if n > 1 else 0.0 for n, step in zip(own.array.shape, own.grid.spacing[::-1])]


def blurred(volume: Volume, pixels: Sequence[float]) -> np.ndarray:
    """By a Gaussian of so many voxels along each axis of the array."""
    image = files.to_image(Volume(volume.array, Grid(volume.grid.size)))
    for axis, sigma in enumerate(pixels[::-1]):
        if sigma > 0 and image.GetSize()[axis] >= 4:
            image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    return sitk.GetArrayFromImage(image)


def _around(scan: Grid, fine: Grid, pose: Pose, step: float) -> Grid:
    """Cubes along a scan's axes, where its slices may lie and something of the fine volume is seen."""
    axes, reach = _axes(scan), REACH * max(scan.spacing)
    own = scan.corners() @ axes
    there = (fine.corners() @ pose.rotation.T + pose.shift) @ axes
    low = np.maximum(own.min(axis=0) - FURTHEST * step, there.min(axis=0)) - reach
    high = np.minimum(own.max(axis=0) + FURTHEST * step, there.max(axis=0)) + reach
    size = np.maximum(np.ceil((high - low) / step), 2).astype(int)
    return Grid(tuple(size.tolist()), (step,) * 3, tuple(axes @ low), scan.direction)


def _axes(grid: Grid) -> np.ndarray:
    return np.asarray(grid.direction).reshape(3, 3)
