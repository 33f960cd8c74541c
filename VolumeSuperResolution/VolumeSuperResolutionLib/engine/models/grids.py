"""What a network for every grid is told of a scan and a target. Without torch: the layout of a request needs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..physics.scanner import Axis, Scanner

# The architecture, as cards name it.
NETWORK = "anygrid3d"
# The most sub-voxels that the network gives along an axis, and how far they can be stretched.
FINEST = 4
FURTHEST_STRETCH = 1.5
# An axis whose voxels get finer by less is left as it is.
AS_IT_IS = 1.02
# Noise as a part of the range that counts as much as a factor of 2.
NOISE_UNIT = 0.02
# How like a box a profile is.
SHAPES, MEASURED = {"gaussian": 0.0, "box": 1.0}, 0.5


def order(shape: Sequence[int], size: Sequence[int]) -> tuple[int, int, int]:
    """The axes by falling factor, as the network wants them."""
    factors = [m / n for n, m in zip(shape, size)]
    return tuple(np.argsort([-f for f in factors], kind="stable").tolist())


def sub_voxels(shape: Sequence[int], size: Sequence[int]) -> tuple[int, int, int] | None:
    """How many the network gives along each axis, to be resampled to the target; None where that is out of reach."""
    factors = [m / n for n, m in zip(shape, size)]
    if max(factors) < AS_IT_IS or min(factors) <= 0.5 or max(factors) > FURTHEST_STRETCH * FINEST:
        return None
    return tuple(1 if f < AS_IT_IS else min(FINEST, int(np.ceil(f))) for f in factors)  # type: ignore[return-value]


def traits(low: Sequence[int], high: Sequence[int], scanner: Scanner, spacing: Sequence[float]) -> np.ndarray:
    """What shifts the network's features: factors and widths along its axes, how like a box the profile is, whether
    that is known, and the noise.

    Shapes in array order (k, j, i), the scan's spacing in (i, j, k).
    """
    refined = [axis for axis in order(low, high) if high[axis] >= AS_IT_IS * low[axis]]
    factors, widths = np.zeros(3), np.zeros(3)
    for place, axis in enumerate(refined):
        step = spacing[2 - axis]
        factors[place] = np.log2(high[axis] / low[axis])
        widths[place] = np.log2(scanner.axes[2 - axis].width_at(step) / step)
    boxes = np.mean([_boxiness(scanner.axes[2 - axis]) for axis in refined])
    known = scanner.told_shape([2 - n in refined for n in range(3)])
    return np.array([*factors, *widths, boxes, known, (scanner.noise or 0.0) / NOISE_UNIT])


def _boxiness(axis: Axis) -> float:
    """0 for a Gaussian, 1 for a box, and in between for a profile that was measured."""
    return SHAPES.get(axis.profile, MEASURED) if isinstance(axis.profile, str) else MEASURED
