"""Boxes of the scene as voxels of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from ..engine.volumes.grid import Region

# Voxels that a box only touches by rounding are not part of it.
TOUCH = 1e-6
# Points along each edge of a box when a transform may bend it.
BENT_SAMPLES = 9


def regionFromRoi(roiNode: Any, volumeNode: Any) -> Region:
    """The voxels ((i0, i1), (j0, j1), (k0, k1)) that an ROI covers; transforms of both nodes are considered."""
    if roiNode is None or not roiNode.IsA("vtkMRMLMarkupsROINode"):
        raise RefusalError(_("Choose a markups ROI for the region."))
    half = np.asarray(roiNode.GetSize(), float) / 2
    if not np.all(half > 0):
        raise RefusalError(_("{roi} has no extent; place the ROI on the volume first.").format(roi=roiNode.GetName()))
    toWorld = slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToWorldMatrix())
    steps = np.linspace(-1, 1, BENT_SAMPLES)
    corners = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3) * half
    indices = _indices(volumeNode, corners @ toWorld[:3, :3].T + toWorld[:3, 3])
    first = np.floor(indices.min(0) + 0.5 + TOUCH)
    last = np.ceil(indices.max(0) + 0.5 - TOUCH)
    size = np.asarray(volumeNode.GetImageData().GetDimensions())
    first, last = np.maximum(first, 0), np.minimum(last, size)
    if np.any(first >= last):
        raise RefusalError(
            _("{roi} does not touch {volume}; move the ROI onto the volume.").format(
                roi=roiNode.GetName(), volume=volumeNode.GetName()
            )
        )
    return _region(first, last)


def regionAround(volumeNode: Any, ras: Sequence[float], sizeVoxels: int | Sequence[int]) -> Region:
    """The box of about `sizeVoxels` around a point of the world, moved inwards at the volume's border."""
    size = np.asarray(volumeNode.GetImageData().GetDimensions())
    center = np.floor(_indices(volumeNode, np.asarray([ras], float))[0] + 0.5)
    if np.any(center < 0) or np.any(center >= size):
        raise RefusalError(
            _("That point is outside {volume}; move the crosshair onto the volume.").format(volume=volumeNode.GetName())
        )
    extent = np.minimum(np.broadcast_to(sizeVoxels, 3), size)
    first = np.clip(center - extent // 2, 0, size - extent)
    return _region(first, first + extent)


def _region(first: np.ndarray, last: np.ndarray) -> Region:
    return tuple((int(a), int(b)) for a, b in zip(first, last))  # type: ignore[return-value]


def _indices(volumeNode: Any, points: np.ndarray) -> np.ndarray:
    """Points of the world as continuous voxel indices (i, j, k) of the array."""
    toLocal = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), toLocal)
    local = np.asarray([toLocal.TransformPoint(point) for point in points.tolist()])
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetRASToIJKMatrix(matrix)
    toIndex = slicer.util.arrayFromVTKMatrix(matrix)
    return local @ toIndex[:3, :3].T + toIndex[:3, 3] - volumeNode.GetImageData().GetExtent()[::2]
