"""Segmentations of a scan, taken to the grid of its result: as label maps, and back as segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from ..engine.errors import RefusalError
from ..engine.physics import label_maps
from ..engine.request import RefineRequest
from ..engine.volumes.grid import Volume, slices_of
from . import runs, scene, sidebyside

NODE, LABELS = "vtkMRMLSegmentationNode", "Binary labelmap"


class Place(NamedTuple):
    """Where a segment is kept: of which segmentation it is, its id there, its layer and its label."""

    node: Any
    segment: str
    layer: int
    label: int


def segmentationsOf(inputVolume: Any) -> list:
    """Those in the scene that were drawn on a volume: they refer to it, or lie on its grid."""
    nodes = slicer.util.getNodesByClass(NODE)
    return [node for node in nodes if node.GetSegmentation().GetNumberOfSegments() and _isOf(node, inputVolume)]


def canRefine(inputVolume: Any, resultVolume: Any) -> bool:
    """Whether a volume has segmentations, and its result lies as it does."""
    return not scene.isCombined(resultVolume) and bool(segmentationsOf(inputVolume))


def _isOf(node: Any, inputVolume: Any) -> bool:
    if node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is inputVolume:
        return True
    segment = node.GetSegmentation().GetNthSegment(0)
    labels = segment.GetRepresentation(LABELS)
    if labels is None or node.GetParentTransformNode() is not inputVolume.GetParentTransformNode():
        return False
    own, volume = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    labels.GetImageToWorldMatrix(own)
    inputVolume.GetIJKToRASMatrix(volume)
    matrix = np.linalg.solve(*(slicer.util.arrayFromVTKMatrix(m) for m in (volume, own)))
    return bool(
        np.abs(matrix - np.rint(matrix)).max() < label_maps.OFF_GRID and np.allclose(np.rint(matrix)[:3, :3], np.eye(3))
    )


def layersOf(inputVolume: Any, resultVolume: Any) -> tuple[Volume, list[Place]]:
    """The segments of a volume in as few label maps as hold them without overlap: (k, j, i, layer).

    They are those of the part of the volume that a result was made of.
    """
    region = sidebyside.requestOf(resultVolume).region
    part = slices_of(region) if region is not None else ...
    grid = scene.gridFromNode(inputVolume)
    layers: list[np.ndarray] = []
    counts: list[int] = []
    places = []
    for node in segmentationsOf(inputVolume):
        for segment in node.GetSegmentation().GetSegmentIDs():
            found = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, inputVolume)
            mask = np.asarray(found)[part] > 0
            if not mask.any():
                continue
            free = (n for n, layer in enumerate(layers) if counts[n] < label_maps.MOST_LABELS and not layer[mask].any())
            number = next(free, len(layers))
            if number == len(layers):
                layers.append(np.zeros(mask.shape, np.uint16))
                counts.append(0)
            counts[number] += 1
            layers[number][mask] = counts[number]
            places.append(Place(node, segment, number, counts[number]))
    if not places:
        raise RefusalError(_("There is no segmentation of this volume; draw or load one first."))
    return Volume(np.stack(layers, axis=-1), grid if region is None else grid.cropped(region)), places


def refineHere(inputVolume: Any, resultVolume: Any) -> list:
    """All segmentations of a volume on the grid of its result, in this process; the new nodes."""
    labels, places = layersOf(inputVolume, resultVolume)
    return add(resultVolume, label_maps.refine(labels.array, scene.gridFromNode(resultVolume).size[::-1]), places)


def add(resultVolume: Any, layers: np.ndarray, places: Sequence[Place]) -> list:
    """A segmentation beside each, of the same segments on the result's grid; all or none."""
    made: dict = {}
    try:
        for place in places:
            if not slicer.mrmlScene.IsNodePresent(place.node):
                raise RefusalError(_("A segmentation was removed from the scene meanwhile."))
            if place.node not in made:
                made[place.node] = _newNode(place.node, resultVolume)
            segment = slicer.vtkSegment()
            segment.DeepCopyMetadata(place.node.GetSegmentation().GetSegment(place.segment))
            segment.AddRepresentation(LABELS, _image(layers[..., place.layer] == place.label, resultVolume))
            made[place.node].GetSegmentation().AddSegment(segment, place.segment)
    except BaseException:
        for node in made.values():
            slicer.mrmlScene.RemoveNode(node)
        raise
    return list(made.values())


def _image(mask: np.ndarray, resultVolume: Any) -> Any:
    """What is set of a mask on the grid of a volume, as an image that knows its place in it."""
    used = [np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    bounds = [(int(along[0]), int(along[-1])) for along in used]
    part = mask[tuple(slice(first, last + 1) for first, last in bounds)]
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    resultVolume.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    image.SetExtent([end for pair in bounds[::-1] for end in pair])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(part.astype(np.uint8).ravel(), deep=True))
    return image


def _newNode(model: Any, resultVolume: Any) -> Any:
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} refined").format(name=model.GetName()))
    node = slicer.mrmlScene.AddNewNodeByClass(NODE, name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(resultVolume)
    node.SetAndObserveTransformNodeID(resultVolume.GetTransformNodeID())
    return node


class Refining(runs.Run):
    """Of all segmentations of a volume, to the grid of its result, which takes the place of a request."""

    def __init__(self, inputs: Sequence, resultVolume: Any, outputVolume: None = None) -> None:
        scene.checkTargets(slicer.mrmlScene, resultVolume, None)
        self._result = resultVolume
        self._labels, self._places = layersOf(inputs[0], resultVolume)
        super().__init__(inputs, RefineRequest(scene.gridFromNode(resultVolume).size))

    @staticmethod
    def needsTorch(inputs: Sequence, request: Any) -> bool:
        return False

    def _volumes(self) -> list:
        return [self._labels]

    def _add(self, result: Any) -> list:
        scene.checkTargets(slicer.mrmlScene, self._result, None)
        return add(self._result, result.array, self._places)
