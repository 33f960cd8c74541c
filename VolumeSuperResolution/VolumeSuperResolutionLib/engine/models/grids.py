"""What a network for every grid is told of a scan and a target. Without torch: the layout of a request needs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..physics.scanner import Axis

# The architecture, as cards name it.
NETWORK = "anygrid3d"
# The most sub-voxels that the network gives along an axis, and how far they can be stretched.
FINEST = 4
FURTHEST_STRETCH = 1.5
# An axis whose voxels get finer by less is left as it is.
AS_IT_IS = 1.02
# Noise as a part of the range that counts as much as a factor of 2.
NOISE_UNIT = 0.02


def order(shape: Sequence[int], size: Sequence[int]) -> tuple[int, int, int]:
    """The axes by falling factor, as the network wants them."""
    factors = [m / n for n, m in zip(shape, size)]
    return tuple(np.argsort([-f for f in factors], kind="stable").tolist())  # type: ignore[return-value]


def sub_voxels(shape: Sequence[int], size: Sequence[int]) -> tuple[int, int, int] | None:
    """How many the network gives along each axis, to be resampled to the target; None where that is out of reach."""
    factors = [m / n for n, m in zip(shape, size)]
    if max(factors) < AS_IT_IS or min(factors) <= 0.5 or max(factors) > FURTHEST_STRETCH * FINEST:
        return None
    return tuple(1 if f < AS_IT_IS else min(FINEST, int(np.ceil(f))) for f in factors)  # type: ignore[return-value]


def traits(
    shape: Sequence[int], size: Sequence[int], axes: Sequence[Axis], spacing: Sequence[float], noise: float
) -> np.ndarray:
    """What shifts the network's features: factors, widths told, how like a box the profile is, whether it is told.

    All in the network's order of axes; `noise` is a part of the range.
    """
    factors = np.array([m / n for n, m in zip(shape, size)])
    finer = factors >= AS_IT_IS
    widths = np.array([axis.width_at(step) / step for axis, step in zip(axes, spacing)])
    told = float(np.mean([axis.told == "user" for axis, f in zip(axes, finer) if f]))
    boxes = float(np.mean([_boxiness(axis) for axis, f in zip(axes, finer) if f]))
    return np.array(
        [*np.where(finer, np.log2(factors), 0), *np.where(finer, np.log2(widths), 0), boxes, told, noise / NOISE_UNIT]
    )


def _boxiness(axis: Axis) -> float:
    """0 for a Gaussian, 1 for a box, and in between for a profile that was measured."""
    return {"gaussian": 0.0, "box": 1.0}.get(axis.profile, 0.5) if isinstance(axis.profile, str) else 0.5
