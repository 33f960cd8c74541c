"""How a volume in the scene was scanned: what DICOM tells of its slices, and what Slicer did to its geometry."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..engine.physics.scanner import Scanner, from_dicom

INSTANCES = "DICOM.instanceUIDs"
SLICE_THICKNESS = "0018,0050"
# How Slicer calls the transform by which it puts slices in their places that are uneven or shifted sideways.
ACQUISITION_TRANSFORM = "acquisition transform"


def dicomNumber(node: Any, tag: str) -> float:
    """A number from the first slice of the series that a volume was loaded from; 0 where there is none."""
    instances = (node.GetAttribute(INSTANCES) or "").split()
    return _stored(instances[0], tag) if instances and getattr(slicer, "dicomDatabase", None) is not None else 0.0


@lru_cache(maxsize=1000)
def _stored(instance: str, tag: str) -> float:
    try:
        return max(0.0, float(slicer.dicomDatabase.instanceValue(instance, tag)))
    except (TypeError, ValueError):
        return 0.0


def scannerOf(node: Any) -> Scanner:
    """What DICOM tells of a volume's slices; the default where it was not loaded from DICOM."""
    return from_dicom(dicomNumber(node, SLICE_THICKNESS), node.GetSpacing())


def warnings(node: Any) -> tuple[str, ...]:
    """What should be told of a volume's geometry."""
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
