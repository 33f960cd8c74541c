"""Where voxels sit: a grid in physical space, and a volume on it.

A grid is described as SimpleITK describes it: size, spacing and origin in (i, j, k) order, LPS millimeters, direction
row by row. Arrays are in (k, j, i) order. Refining a grid keeps its field of view: one voxel becomes s voxels that
fill the same extent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import RefusalError

Size = tuple[int, int, int]
Triple = tuple[float, float, float]
Region = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

LARGEST_FACTOR = 16.0
# Slices thicker than this many of their spacings are a slip of the pen.
THICKEST = 10.0
# Axes that are off the right angle by more than this (cosine) are sheared: no voxel array can be refined along them.
SHEAR_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Grid:
    """Voxel centers in space: `origin + direction @ (spacing * index)`."""

    size: Size
    spacing: Triple = (1.0, 1.0, 1.0)
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def to_physical(self, index: Sequence[float]) -> np.ndarray:
        """The point (LPS, mm) of a continuous voxel index (i, j, k)."""
        return np.asarray(self.origin) + self._direction() @ (np.asarray(self.spacing) * np.asarray(index, float))

    def center(self) -> np.ndarray:
        """The point (LPS, mm) in the middle of the field of view."""
        return self.to_physical([(n - 1) / 2.0 for n in self.size])

    def corners(self, part: float = 1.0) -> np.ndarray:
        """The corners (8, 3) of a box around its middle: that of its voxels, or a part of it along each axis."""
        ends = [(n * (1 - part) / 2 - 0.5, n * (1 + part) / 2 - 0.5) for n in self.size]
        return np.array([self.to_physical((i, j, k)) for i in ends[0] for j in ends[1] for k in ends[2]])

    def refined(self, size: Sequence[int]) -> Grid:
        """The grid of another size over exactly the same field of view."""
        factor = np.asarray(size, float) / np.asarray(self.size)
        first_center = (1.0 / factor - 1.0) / 2.0
        return replace(
            self,
            size=_ints(size),
            spacing=_floats(np.asarray(self.spacing) / factor),
            origin=_floats(self.to_physical(first_center)),
        )

    def cropped(self, region: Region) -> Grid:
        """The part of the grid with start <= index < stop along each axis."""
        start = [bounds[0] for bounds in region]
        size = [stop - start for start, stop in region]
        return replace(self, size=_ints(size), origin=_floats(self.to_physical(start)))

    def check(self) -> None:
        """Refuse spacings that are not positive and axes that are not at right angles."""
        if not all(np.isfinite(s) and s > 0 for s in self.spacing) or not np.all(np.isfinite(self.origin)):
            raise RefusalError(
                f"The volume's spacing {_words(self.spacing)} or origin is not a valid number; correct its geometry."
            )
        gram = self._direction().T @ self._direction()
        if not np.allclose(gram, np.eye(3), atol=SHEAR_TOLERANCE):
            raise RefusalError(
                "The volume's axes are sheared (not at right angles); harden its transform or resample it onto a "
                "rectangular grid first."
            )

    def _direction(self) -> np.ndarray:
        return np.asarray(self.direction, float).reshape(3, 3)


class Volume(NamedTuple):
    """Voxels (k, j, i) and where they sit."""

    array: np.ndarray
    grid: Grid


def target_size(
    grid: Grid, scale: Sequence[float] | None = None, spacing: Sequence[float] | None = None, isotropic: bool = False
) -> Size:
    """The output size for a factor per axis, a spacing in mm, or the finest spacing of the input on every axis.

    The field of view stays, so where it is no multiple of the spacing asked for, the spacing gives way a little.
    """
    check_target(scale, spacing, isotropic)
    if isotropic:
        spacing = (min(grid.spacing),) * 3
    if spacing is not None:
        scale = _floats(np.asarray(grid.spacing) / np.asarray(spacing, float))
        _check_reachable(scale)
    assert scale is not None
    return _ints([max(1, int(np.floor(n * s + 0.5))) for n, s in zip(grid.size, scale)])


def check_target(
    scale: Sequence[float] | None = None, spacing: Sequence[float] | None = None, isotropic: bool = False
) -> None:
    """Refuse targets that no volume can be brought to."""
    if (scale is not None) + (spacing is not None) + bool(isotropic) != 1:
        raise RefusalError("Give exactly one target: a scale, a spacing in mm, or isotropic.")
    if spacing is not None:
        _check_positive("spacing", spacing)
    if scale is not None:
        _check_positive("scale", scale)
        _check_reachable(scale)


def slices_of(region: Region) -> tuple[slice, slice, slice]:
    """The part of an array (k, j, i) that a region (i, j, k) is."""
    return tuple(slice(start, stop) for start, stop in region[::-1])  # type: ignore[return-value]


def check_region(region: Region, size: Size) -> None:
    """Refuse a region that is empty or leaves the volume."""
    for axis, (start, stop), n in zip("ijk", region, size):
        if not 0 <= start < stop <= n:
            raise RefusalError(
                f"The region {start}:{stop} along {axis} is empty or outside the volume; it has voxels 0 to {n - 1}."
            )


def _check_positive(what: str, values: Sequence[float]) -> None:
    if len(values) != 3 or not all(np.isfinite(v) and v > 0 for v in values):
        raise RefusalError(f"The {what} {_words(values)} is not possible; give one or three numbers above zero.")


def _check_reachable(scale: Sequence[float]) -> None:
    if max(scale) > LARGEST_FACTOR or min(scale) < 1.0 / LARGEST_FACTOR:
        raise RefusalError(
            f"A factor of {_words(scale)} is out of reach; choose factors from 1/{LARGEST_FACTOR:g} "
            f"to {LARGEST_FACTOR:g} along each axis."
        )


def _words(values: Sequence[float]) -> str:
    return " x ".join(f"{v:g}" for v in values)


def _ints(values: Iterable[float]) -> Size:
    return tuple(int(v) for v in values)  # type: ignore[return-value]


def _floats(values: Iterable[float]) -> Triple:
    return tuple(float(v) for v in values)  # type: ignore[return-value]
