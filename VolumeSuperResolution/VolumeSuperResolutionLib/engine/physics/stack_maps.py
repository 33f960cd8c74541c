"""Maps beside a volume that several scans became: how many saw a voxel, and what they say otherwise there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..volumes.grid import Grid
from . import separable
from .scanner import slice_axis
from .stacks import Pose, Stack


def coverage(scans: Iterable[tuple[Grid, Pose, np.ndarray]], grid: Grid) -> np.ndarray:
    """How many scans hold each voxel of the grid, uint8, each with which of its slices count; those that moved alone do
    where their scan lies."""
    result = np.zeros(grid.size[::-1], np.uint8)
    j, i = np.meshgrid(np.arange(grid.size[1]), np.arange(grid.size[0]), indexing="ij")
    places = []
    for own, pose, used in scans:
        axes = np.asarray(own.direction).reshape(3, 3)
        # From the grid's voxels (i, j, k) to the scan's.
        to_scan = axes.T @ pose.rotation @ np.asarray(grid.direction).reshape(3, 3) * np.asarray(grid.spacing)
        origin = pose.rotation @ np.asarray(grid.origin) + pose.shift
        start = axes.T @ (origin - np.asarray(own.origin)) / own.spacing
        places.append((own.size, start, to_scan / np.asarray(own.spacing)[:, None], slice_axis(own.spacing), used))

    def one(k: int) -> None:
        for size, start, steps, across, used in places:
            inside = np.ones(i.shape, bool)
            for axis, (n, first, (along, down, up)) in enumerate(zip(size, start, steps)):
                place = along * i + down * j + (first + up * k)
                inside &= (place > -0.5) & (place < n - 0.5)
                if axis == across and not used.all():
                    inside &= used[np.rint(place).clip(0, n - 1).astype(np.intp)]
            result[k] += inside

    separable.for_all(one, range(grid.size[2]))
    return result


def residual(seen: Sequence[Stack | None], residuals: Sequence[np.ndarray | None], shape: Sequence[int]) -> np.ndarray:
    """Where the scans disagree with the volume: the root mean square of their residuals, on the fine grid."""
    total, weight = np.zeros(tuple(shape), np.float32), np.zeros(tuple(shape), np.float32)
    for stack, residual in zip(seen, residuals):
        if stack is not None and residual is not None:
            total += stack.back(np.square(residual))
            weight += stack.back(stack.seen.astype(np.float32))
    least = max(1e-3 * float(weight.max()), 1e-12)
    return np.sqrt(np.maximum(total, 0.0) / np.maximum(weight, least))
