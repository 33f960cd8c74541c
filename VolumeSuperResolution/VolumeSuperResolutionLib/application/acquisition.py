"""How a volume in the scene was scanned: what DICOM tells of its slices, and what Slicer did to its geometry."""

from __future__ import annotations

from typing import Any, Callable

import slicer
from slicer.i18n import tr as _

from ..engine.physics.scanner import Scanner, from_dicom

INSTANCES = "DICOM.instanceUIDs"
SLICE_THICKNESS = "0018,0050"
# How Slicer calls the transform by which it puts slices in their places that are uneven or shifted sideways.
ACQUISITION_TRANSFORM = "acquisition transform"


def dicomValue(instance: str, tag: str) -> str:
    """A value of an image in Slicer's DICOM database; nothing where it is not in there."""
    database = getattr(slicer, "dicomDatabase", None)
    return str(database.instanceValue(instance, tag)) if database is not None and database.isOpen else ""


def scannerOf(node: Any, lookUp: Callable[[str, str], str] | None = None) -> Scanner:
    """What DICOM tells of a volume's slices; the default where it was not loaded from DICOM."""
    instances = (node.GetAttribute(INSTANCES) or "").split()
    thickness = (lookUp or dicomValue)(instances[0], SLICE_THICKNESS) if instances else ""
    return from_dicom(thickness, node.GetSpacing())


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
