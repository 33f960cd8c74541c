"""Whether a volume is a scan or a label map, from its voxels alone.

A segmentation is piecewise constant: off its commonest value, nearly every voxel is like its neighbor. What a scanner
measures is noisy, and what is computed from it changes gradually.
"""

from __future__ import annotations

import numpy as np

SAMPLE = 400_000
# Of the pairs of neighbors off the background, the part that is alike in a scan, at the most, and in a label map.
SCAN_ALIKE = 0.5
LABELS_ALIKE = 0.75
# Many steps, and from one to the next nearly always by one: a rounded picture of something smooth.
STEPS_OF_ONE = 0.9
FEW_STEPS = 8
MOST_LABELS = 256
# Below this many pairs nothing can be said.
FEWEST_PAIRS = 500
# Few whole numbers counted up from zero may be labels where nothing else can be said.
COUNTED = 32


def looks_like_labels(array: np.ndarray) -> bool | None:
    """True for a label map, False for a scan, None where it could be either."""
    if array.dtype.kind == "b":
        return True
    if array.size < 2 or array.dtype.kind not in "iuf":
        return False
    planes = _planes(array)
    if not _whole(planes) or array.min() < 0 or array.min() == array.max():
        return False
    left, right = _pairs(planes)
    if len(left) < FEWEST_PAIRS:
        return None if array.max() <= COUNTED or _alike(left, right) > LABELS_ALIKE else False
    alike = _alike(left, right)
    if alike < SCAN_ALIKE:
        return False
    values = len(np.unique(planes))
    steps = np.abs(left.astype(np.float64) - right)[left != right]
    smooth = values > FEW_STEPS and steps.size and np.mean(steps == 1) > STEPS_OF_ONE
    return True if alike > LABELS_ALIKE and values <= MOST_LABELS and not smooth else None


def _planes(array: np.ndarray) -> np.ndarray:
    """Some whole planes, evenly spread."""
    count = max(1, min(array.shape[0], SAMPLE // max(1, array[0].size)))
    return array[np.linspace(0, array.shape[0] - 1, count).round().astype(int)]


def _whole(planes: np.ndarray) -> bool:
    return planes.dtype.kind != "f" or bool(np.isfinite(planes).all() and (planes == np.rint(planes)).all())


def _pairs(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbors in the planes' rows of which the first is not the commonest value."""
    values, counts = np.unique(planes, return_counts=True)
    left, right = planes[:, :, :-1].ravel(), planes[:, :, 1:].ravel()
    inner = left != values[counts.argmax()]
    return left[inner], right[inner]


def _alike(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean(left == right)) if len(left) else 0.0
