"""How a volume in the scene was scanned: what DICOM tells of its slices, and what Slicer did to its geometry."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..engine.physics.scanner import Scanner, from_dicom
from ..engine.volumes.ladder import ladder
from . import scene

INSTANCES = "DICOM.instanceUIDs"
SLICE_THICKNESS, POSITION, ORIENTATION = "0018,0050", "0020,0032", "0020,0037"
# How Slicer calls the transform by which it puts slices in their places that are uneven or shifted sideways.
ACQUISITION_TRANSFORM = "acquisition transform"
# How far, in mm, a volume that is what Slicer made of a series may be from the place of an end of that series.
SAME_PLACE = 0.01


def instancesOf(node: Any) -> tuple[str, ...]:
    """The images of the DICOM series that a volume was loaded from, as far as they can be asked of."""
    known = getattr(slicer, "dicomDatabase", None) is not None
    return tuple((node.GetAttribute(INSTANCES) or "").split()) if known else ()


@lru_cache(maxsize=1 << 16)
def numbers(instance: str, tag: str) -> tuple[float, ...]:
    """What DICOM says of an image; empty where it says nothing, or no numbers."""
    try:
        return tuple(float(text) for text in slicer.dicomDatabase.instanceValue(instance, tag).split("\\"))
    except (AttributeError, ValueError):
        return ()


def dicomNumber(node: Any, tag: str) -> float:
    """A number from the first slice of the series that a volume was loaded from; 0 where there is none."""
    found = [value for instance in instancesOf(node)[:1] for value in numbers(instance, tag)]
    return max(0.0, found[0]) if found else 0.0


def scannerOf(node: Any) -> Scanner:
    """What DICOM tells of a volume's slices; the default where it was not loaded from DICOM."""
    return from_dicom(dicomNumber(node, SLICE_THICKNESS), node.GetSpacing())


def warnings(node: Any) -> tuple[str, ...]:
    """What should be told of a volume's geometry."""
    return transformWarnings(node) or placeWarnings(node)


def transformWarnings(node: Any) -> tuple[str, ...]:
    """Told where Slicer puts the slices in their places by a transform."""
    transform = node.GetParentTransformNode()
    if transform is None or not transform.IsA("vtkMRMLGridTransformNode"):
        return ()
    if ACQUISITION_TRANSFORM not in (transform.GetName() or "").lower():
        return ()
    return (
        _(
            "Slicer has loaded {name} with an acquisition transform: its slices are unevenly spaced or tilted. It is "
            "upscaled as if they were even; for true distances, resample it along that transform first."
        ).format(name=node.GetName()),
    )


def placeWarnings(node: Any) -> tuple[str, ...]:
    """Told where Slicer has loaded slices as even that are not; asks for the place of each of them."""
    found = ladder(*placed) if (placed := _places(node)) else None
    if found is None or not found.fault:
        return ()
    return (
        _(
            "DICOM says of {name}: {words}. Slicer has loaded it as if they were even, so its distances are wrong, and "
            "the result's would be, too; load it with acquisition geometry regularization (a setting of DICOM), or "
            "export the series again."
        ).format(name=node.GetName(), words=found.words),
    )


def _places(node: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the slices of a volume that was not changed since it was loaded lie, in order, and their normal."""
    instances = instancesOf(node)
    grid = scene.gridFromNode(node)
    orientation = numbers(instances[0], ORIENTATION) if len(instances) == grid.size[2] > 1 else ()
    places = [numbers(instance, POSITION) for instance in instances] if orientation else []
    if len(orientation) != 6 or any(len(place) != 3 for place in places):
        return None
    normal, points = np.cross(orientation[:3], orientation[3:]), np.array(places)
    points = points[np.argsort(points @ normal, kind="stable")]
    isAsLoaded = any(np.linalg.norm(end - grid.origin) < SAME_PLACE for end in points[[0, -1]])
    return (points, normal) if isAsLoaded else None
