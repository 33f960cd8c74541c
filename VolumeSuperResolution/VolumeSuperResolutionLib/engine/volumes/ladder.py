"""Whether slices stand like the rungs of a ladder: one distance apart, none missing, none shifted sideways."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Positions are written with few digits: how far a slice may be off an even ladder, in spacings and in mm.
UNEVEN, UNEVEN_MM, LARGEST_UNEVEN = 0.02, 0.05, 0.1
# How far a slice may be off the line through the first, as a part of the way along it and in mm.
SIDEWAYS, SIDEWAYS_MM = 1e-3, 0.05
# A slice is said to be missing where a gap is a whole number of spacings, this well.
WHOLE = 0.1
MISSING, UNEVENLY, TILTED = "missing", "uneven", "tilted"


class Ladder(NamedTuple):
    """The distance of slices, how far (mm) one is off it at most, and what is wrong with them, in words."""

    step: float
    off: float
    fault: str = ""
    words: str = ""


def ladder(points: np.ndarray, normal: np.ndarray) -> Ladder:
    """Of the positions of two or more slices, in their order along the normal."""
    along = points @ normal
    count = len(along)
    step = float(along[-1] - along[0]) / (count - 1)
    off = float(np.abs(along - along[0] - step * np.arange(count)).max())
    if off > max(UNEVEN * step, min(UNEVEN_MM, LARGEST_UNEVEN * step)):
        return Ladder(step, off, *_unevenness(along))
    points = points - points[0]
    sideways = np.linalg.norm(points - np.outer(points @ normal, normal), axis=1)
    if np.all(sideways <= np.maximum(SIDEWAYS_MM, SIDEWAYS * (along - along[0]))):
        return Ladder(step, off)
    tilt = np.degrees(np.arctan2(sideways[-1], along[-1] - along[0]))
    words = f"the slices are shifted sideways against each other, as by a gantry tilted by {tilt:.1f} degrees"
    return Ladder(step, off, TILTED, words)


def _unevenness(along: np.ndarray) -> tuple[str, str]:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    wholes = gaps / usual if usual > 0 else np.zeros_like(gaps)
    widest = int(wholes.argmax())
    if wholes[widest] <= 1.5 or np.any(np.abs(wholes - np.round(wholes)) >= WHOLE):
        return UNEVENLY, f"the slices are unevenly spaced, {gaps.min():.4g} to {gaps.max():.4g} mm apart"
    total = int(np.round(wholes).sum()) + 1
    lost = total - len(along)
    which = widest + 1 + int(np.round(wholes[:widest] - 1).sum())
    missing = f"slice {which + 1} of {total} is" if lost == 1 else f"{lost} of {total} slices are"
    where = f"between {along[widest]:.1f} and {along[widest + 1]:.1f} mm"
    return MISSING, f"{missing} missing{', the first' if lost > 1 else ''} {where}"
