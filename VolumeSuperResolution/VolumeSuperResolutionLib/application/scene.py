"""Nodes to volumes and back: the only place that knows both MRML (RAS) and the engine (LPS)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from .. import __version__
from ..engine.errors import RefusalError
from ..engine.request import MAPS, describe_realism
from ..engine.volumes.grid import Grid, Region, Volume

if TYPE_CHECKING:
    from ..engine.upscale import Request, Result

PREFIX = "VolumeSuperResolution."
INPUT_ROLE = PREFIX + "Input"
# By the names of the maps that a result may have beside it.
MAP_ROLES = {name: PREFIX + name.capitalize() for name in MAPS}
NOTICE = "Research use only - not for diagnosis."
_LPS_RAS = np.diag([-1.0, -1.0, 1.0])
# Voxels that a box only touches by rounding are not part of it.
TOUCH = 1e-6
# Points along each edge of a box when a transform may bend it.
BENT_SAMPLES = 9


def checkVolumeNode(node: Any) -> None:
    """Raise RefusalError unless the node is a scalar volume that can be upscaled."""
    if node is None or not node.IsA("vtkMRMLVolumeNode"):
        raise RefusalError(_("Choose an input volume."))
    name = node.GetName() or "The volume"
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise RefusalError(_("{name} is a label map, not a scan; choose the scan it was drawn on.").format(name=name))
    image = node.GetImageData()
    if image is None or 0 in image.GetDimensions() or image.GetPointData().GetScalars() is None:
        raise RefusalError(_("{name} is empty; load or choose a volume that has voxels.").format(name=name))
    components = image.GetNumberOfScalarComponents()
    if components != 1 or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLTensorVolumeNode"):
        raise RefusalError(
            _(
                "{name} has {components} values in each voxel (a color image, a vector field or a time series); "
                "extract one component or time point as a scalar volume first."
            ).format(name=name, components=components)
        )
    if max(image.GetDimensions()) == 1:
        raise RefusalError(_("{name} is a single voxel; choose a volume with more than one.").format(name=name))
    if image.GetScalarType() == vtk.VTK_BIT:
        raise RefusalError(
            _("{name} holds single bits; convert it to a scalar volume of bytes first.").format(name=name)
        )


def volumeFromNode(node: Any) -> Volume:
    """The node's voxels (a view: neither change nor keep them) on their grid, parent transform not applied."""
    checkVolumeNode(node)
    image = node.GetImageData()
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return Volume(array, gridFromNode(node))


def gridFromNode(node: Any) -> Grid:
    """Where the node's voxels sit before its parent transform, in LPS."""
    image = node.GetImageData()
    direction = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    node.GetIJKToRASDirections(direction)
    grid = Grid(
        tuple(int(n) for n in image.GetDimensions()),
        tuple(float(s) for s in node.GetSpacing()),
        tuple(_LPS_RAS @ node.GetOrigin() + 0.0),
        tuple((_LPS_RAS @ direction).ravel() + 0.0),  # adding zero turns -0.0 into 0.0
    )
    first = image.GetExtent()[::2]
    if any(first):
        grid = grid.cropped([(start, start + n) for start, n in zip(first, grid.size)])
    return grid


def emptyVoxels(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array (k, j, i) in memory that VTK owns, so that addResultNode need not copy it. May raise MemoryError."""
    np.empty(shape, dtype)  # VTK would end the process where numpy raises
    scalars = vtk.vtkDataArray.CreateDataArray(numpy_support.get_vtk_array_type(np.dtype(dtype)))
    scalars.SetNumberOfTuples(int(np.prod(shape, dtype=np.int64)))
    return numpy_support.vtk_to_numpy(scalars).reshape(shape)


def addResultNode(scene: Any, inputNode: Any, result: Result, request: Request, outputNode: Any | None = None) -> Any:
    """A node for the result beside its input (or in `outputNode`); on any error the scene is as it was."""
    checkTargets(scene, inputNode, outputNode)
    image = _imageFromArray(result.volume.array)
    undo: list[Any] = []
    try:
        node = outputNode or _newVolume(scene, resultName(inputNode.GetName(), result.report), undo)
        if node is outputNode:
            _remember(node, undo)
        else:
            _joinFolder(scene, node, inputNode, undo)
        _copyDisplay(scene, node, inputNode, undo)
        _place(node, image, result.volume.grid, inputNode)
        _record(node, inputNode, result.report, request)
        _addMaps(scene, node, inputNode, result, request, undo)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    return node


def resultName(inputName: str, report: Any) -> str:
    """For example "T1 x2 edsr3d-narrow"."""
    factors = [f"{round(float(f), 2):g}" for f in report.factor]
    factor = factors[0] if len(set(factors)) == 1 else "x".join(factors)
    return f"{inputName} x{factor} {re.sub('-x[0-9.x]+(?=-|$)', '', report.model)}"


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


def checkTargets(scene: Any, inputNode: Any, outputNode: Any | None) -> None:
    """Raise RefusalError unless a result of the input can be added to the scene, in the output node if one is given."""
    if inputNode is None or not scene.IsNodePresent(inputNode):
        raise RefusalError(_("The input volume was removed from the scene, so its result was dropped; load it again."))
    if outputNode is None:
        return
    if not scene.IsNodePresent(outputNode):
        raise RefusalError(
            _("The output volume was removed from the scene, so the result was dropped; choose another.")
        )
    if outputNode is inputNode:
        raise RefusalError(_("The output would replace its own input; choose another output volume."))
    if outputNode.GetClassName() != "vtkMRMLScalarVolumeNode":
        raise RefusalError(
            _("{name} cannot hold the result; choose a scalar volume as the output.").format(name=outputNode.GetName())
        )


def _imageFromArray(array: np.ndarray) -> Any:
    dtype = _storable(array)
    scalars = _scalarsOf(array) if dtype == array.dtype else None
    if scalars is None:
        voxels = emptyVoxels(array.shape, dtype)
        voxels[...] = array
        scalars = _scalarsOf(voxels)
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.GetPointData().SetScalars(scalars)
    return image


def _storable(array: np.ndarray) -> np.dtype:
    """The type nearest to the array's that a volume node can hold, show and save."""
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        inRange = array.size == 0 or (array.min() >= -(2**31) and array.max() < 2**31)
        return np.dtype(np.int32 if inRange else np.float64)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype


def _scalarsOf(array: np.ndarray) -> Any | None:
    """The VTK array whose memory a numpy array is, all of it and in order; None if there is none."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    owner = base.obj if isinstance(base, memoryview) else base
    if not isinstance(owner, vtk.vtkDataArray) or not array.flags.c_contiguous:
        return None
    return owner if owner.GetNumberOfValues() == array.size else None


def _newVolume(scene: Any, name: str, undo: list[Any]) -> Any:
    node = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    node.UnRegister(None)
    number, unique = 0, name
    while scene.GetFirstNodeByName(unique) is not None:
        number += 1
        unique = f"{name}_{number}"
    node.SetName(unique)
    undo.append(lambda: scene.RemoveNode(node))
    return scene.AddNode(node)


def _remember(node: Any, undo: list[Any]) -> None:
    """Have `undo` give a reused node back what it held."""
    image, matrix, transform = node.GetImageData(), vtk.vtkMatrix4x4(), node.GetTransformNodeID()
    node.GetIJKToRASMatrix(matrix)
    description = node.GetDescription()
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    references = {role: node.GetNodeReferenceID(role) for role in (INPUT_ROLE, *MAP_ROLES.values())}
    display = node.GetScalarVolumeDisplayNode()
    if display is not None:
        look, colorNodeID, automatic = _detachedCopy(display), display.GetColorNodeID(), display.GetAutoWindowLevel()

    def restore() -> None:
        if display is not None:
            display.CopyContent(look)
            display.SetAndObserveColorNodeID(colorNodeID)
            display.SetAutoWindowLevel(automatic)
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveTransformNodeID(transform)
        node.SetAndObserveImageData(image)
        node.SetDescription(description)
        for name in node.GetAttributeNames():
            if name not in attributes:
                node.RemoveAttribute(name)
        for name, value in attributes.items():
            node.SetAttribute(name, value)
        for role, reference in references.items():
            node.SetNodeReferenceID(role, reference)

    undo.append(restore)


def _copyDisplay(scene: Any, node: Any, inputNode: Any, undo: list[Any]) -> None:
    """Show a node as the input is shown, before it gets its voxels: automatic levels would go over all of them."""
    model = inputNode.GetScalarVolumeDisplayNode()
    display = _displayNode(scene, node, undo)
    if model is not None:
        display.CopyContent(_detachedCopy(model))
        display.SetAndObserveColorNodeID(model.GetColorNodeID())
    else:
        _showRange(display, slicer.util.arrayFromVolume(inputNode))


def _displayNode(scene: Any, node: Any, undo: list[Any]) -> Any:
    display = node.GetScalarVolumeDisplayNode()
    if display is None:
        display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        undo.append(lambda: scene.RemoveNode(display))
        display.SetAutoWindowLevel(0)
        display.SetDefaultColorMap()
        node.SetAndObserveDisplayNodeID(display.GetID())
    return display


def _detachedCopy(display: Any) -> Any:
    """A display node's content outside the scene, automatic levels off: to compute them goes over all voxels."""
    copy = display.NewInstance()
    copy.UnRegister(None)
    wasModifying = copy.StartModify()
    copy.CopyContent(display)
    copy.SetAutoWindowLevel(0)
    copy.EndModify(wasModifying)
    return copy


def _showRange(display: Any, array: np.ndarray) -> None:
    """Window and level from a sample of the voxels."""
    low, high = np.nanpercentile(array[tuple(slice(None, None, max(1, n // 64)) for n in array.shape)], (0.1, 99.9))
    display.SetAutoWindowLevel(0)
    display.SetWindowLevel(max(float(high - low), 1e-6), float(low + high) / 2)


def _place(node: Any, image: Any, grid: Grid, inputNode: Any) -> None:
    """Voxels and geometry in one step, so that no view draws one without the other."""
    matrix = np.eye(4)
    matrix[:3, :3] = _LPS_RAS @ (np.reshape(grid.direction, (3, 3)) * grid.spacing)
    matrix[:3, 3] = _LPS_RAS @ grid.origin
    wasModifying = node.StartModify()
    node.SetAndObserveTransformNodeID(inputNode.GetTransformNodeID())
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveImageData(image)
    node.StorableModified()
    node.EndModify(wasModifying)


def _record(node: Any, inputNode: Any, report: Any, request: Any) -> None:
    """Where a result comes from: kept with the scene. DICOM identifiers stay with the scan they belong to."""
    values = {
        "Model": report.model,
        "Version": __version__,
        "Factor": "x".join(f"{float(f):g}" for f in report.factor),
        "Settings": json.dumps(request.to_dict(), sort_keys=True),
        "Report": json.dumps(report.to_dict(), sort_keys=True),
        "InputID": inputNode.GetID(),
        "InputName": inputNode.GetName(),
    }
    for name, value in values.items():
        node.SetAttribute(PREFIX + name, value)
    node.RemoveAttribute("DICOM.instanceUIDs")
    node.SetNodeReferenceID(INPUT_ROLE, inputNode.GetID())
    model = report.model + describe_realism(report.realism)
    node.SetDescription(f"{inputNode.GetName()} upscaled with {model}. {NOTICE}")


def mapsOf(node: Any) -> dict[str, Any]:
    """The nodes of a result's maps, by their names."""
    found = {name: node.GetNodeReference(role) for name, role in MAP_ROLES.items()}
    return {name: second for name, second in found.items() if second is not None}


def _addMaps(scene: Any, node: Any, inputNode: Any, result: Any, request: Any, undo: list[Any]) -> None:
    """The nodes beside a result: in those that a reused output already has, or new ones."""
    for name, role in MAP_ROLES.items():
        if name not in result.maps:
            node.SetNodeReferenceID(role, None)
            continue
        array, grid = result.maps[name]
        image = _imageFromArray(array)
        second = node.GetNodeReference(role)
        if second is None:
            second = _newVolume(scene, f"{node.GetName()} {name}", undo)
            _joinFolder(scene, second, inputNode, undo)
        else:
            _remember(second, undo)
        _showRange(_displayNode(scene, second, undo), array)
        _place(second, image, grid, inputNode)
        _record(second, inputNode, result.report, request)
        node.SetNodeReferenceID(role, second.GetID())


def _joinFolder(scene: Any, node: Any, inputNode: Any, undo: list[Any]) -> None:
    """Put a new node into the subject hierarchy folder (patient and study, for a DICOM volume) of the input."""
    hierarchy = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    item = hierarchy.GetItemByDataNode(inputNode) if hierarchy is not None else 0
    parent = hierarchy.GetItemParent(item) if item else 0
    if not parent:
        return
    own = hierarchy.GetItemByDataNode(node)
    if own:
        hierarchy.SetItemParent(own, parent)
    else:
        own = hierarchy.CreateItem(parent, node)
    undo.append(lambda: hierarchy.RemoveItem(own, False, False))
