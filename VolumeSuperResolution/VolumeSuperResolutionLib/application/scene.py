"""Nodes to volumes and back: the only place that knows both MRML (RAS) and the engine (LPS)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from .. import __version__
from ..engine.errors import RefusalError
from ..engine.request import MAPS as MAPS_OF_ONE
from ..engine.request import NOTICE, describe_realism
from ..engine.volumes.grid import Grid, Volume

if TYPE_CHECKING:
    from ..engine.combine_report import CombineReport
    from ..engine.request import CombineRequest
    from ..engine.upscale import Request, Result

PREFIX = "VolumeSuperResolution."
INPUT_ROLE = PREFIX + "Input"
COVERAGE_ROLE, RESIDUAL_ROLE = PREFIX + "Coverage", PREFIX + "Residual"
# The volumes that a result may have beside it: how they are referred to, and the ends of their names.
MAPS = {PREFIX + name.capitalize(): name for name in (*MAPS_OF_ONE, "coverage", "residual")}
# What stands for the model of a volume that was made of several.
COMBINED = "combine"
_LPS_RAS = np.diag([-1.0, -1.0, 1.0])


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


def matrixOf(grid: Grid) -> np.ndarray:
    """From voxels (i, j, k) to RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = _LPS_RAS @ (np.reshape(grid.direction, (3, 3)) * grid.spacing)
    matrix[:3, 3] = _LPS_RAS @ grid.origin
    return matrix


def emptyVoxels(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array (k, j, i) in memory that VTK owns, so that addResultNode need not copy it. May raise MemoryError."""
    np.empty(shape, dtype)  # VTK would end the process where numpy raises
    scalars = vtk.vtkDataArray.CreateDataArray(numpy_support.get_vtk_array_type(np.dtype(dtype)))
    scalars.SetNumberOfTuples(int(np.prod(shape, dtype=np.int64)))
    return numpy_support.vtk_to_numpy(scalars).reshape(shape)


class Record(NamedTuple):
    """What a result keeps of how it was made; attributes without their prefix."""

    name: str
    description: str
    attributes: dict[str, str]


def addResultNode(scene: Any, inputNode: Any, result: Result, request: Request, outputNode: Any | None = None) -> Any:
    """A node for the result beside its input (or in `outputNode`); on any error the scene is as it was."""
    report = result.report
    model = report.model + describe_realism(report.realism)
    name = inputNode.GetName() if inputNode is not None else ""
    record = Record(
        resultName(name, report),
        f"{name} upscaled with {model}. {NOTICE}",
        {"Model": report.model, "Factor": "x".join(f"{float(f):g}" for f in report.factor), **_facts(report, request)},
    )
    maps = {PREFIX + name.capitalize(): made for name, made in result.maps.items()}
    return addVolumes(scene, [inputNode], result.volume, record, maps, outputNode)


def addVolumes(
    scene: Any, inputs: Sequence, volume: Volume, record: Record, maps: Mapping, outputNode: Any | None = None
) -> Any:
    """A node for a volume made of some, in the place of the first of them, with its maps by their roles."""
    for inputNode in inputs:
        checkTargets(scene, inputNode, outputNode)
    image = _imageFromArray(volume.array)
    undo: list[Any] = []
    first = inputs[0]
    try:
        node = outputNode or _newVolume(scene, record.name, undo)
        if node is outputNode:
            _remember(node, undo)
        else:
            _joinFolder(scene, node, first, undo)
        _copyDisplay(scene, node, first, undo)
        _place(node, image, volume.grid, first)
        _record(node, inputs, record)
        for role in MAPS:
            _addMap(scene, node, inputs, role, maps.get(role), record, undo)
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    return node


def isCombined(resultNode: Any) -> bool:
    """Whether a result was made of several volumes."""
    return resultNode.GetAttribute(PREFIX + "Model") == COMBINED


def inputsOf(resultNode: Any) -> list:
    """The volumes that a result was made of, as far as they are there; the first one's place is the result's."""
    count = resultNode.GetNumberOfNodeReferences(INPUT_ROLE)
    nodes = [resultNode.GetNthNodeReference(INPUT_ROLE, n) for n in range(count)]
    return [node for node in nodes if node is not None]


def combinedRecord(inputs: Sequence, report: CombineReport, request: CombineRequest) -> Record:
    """Of a volume that was made of several."""
    names = ", ".join(node.GetName() for node in inputs)
    name = f"{inputs[0].GetName()} combined"
    return Record(name, f"Combined from {names}. {NOTICE}", {"Model": COMBINED, **_facts(report, request)})


def resultName(inputName: str, report: Any) -> str:
    """For example "T1 x2 edsr3d-narrow"."""
    factors = [f"{round(float(f), 2):g}" for f in report.factor]
    factor = factors[0] if len(set(factors)) == 1 else "x".join(factors)
    return f"{inputName} x{factor} {re.sub('-x[0-9.x]+(?=-|$)', '', report.model)}"


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
    references = {role: _references(node, role) for role in (INPUT_ROLE, *MAPS)}
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
        for role, held in references.items():
            _refer(node, role, held)

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
    wasModifying = node.StartModify()
    node.SetAndObserveTransformNodeID(inputNode.GetTransformNodeID())
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrixOf(grid)))
    node.SetAndObserveImageData(image)
    node.StorableModified()
    node.EndModify(wasModifying)


def _facts(report: Any, request: Any) -> dict[str, str]:
    return {
        "Version": __version__,
        "Settings": json.dumps(request.to_dict(), sort_keys=True),
        "Report": json.dumps(report.to_dict(), sort_keys=True),
    }


def _record(node: Any, inputs: Sequence, record: Record) -> None:
    """Where a result comes from: kept with the scene. DICOM identifiers stay with the scan they belong to."""
    first = inputs[0]
    if record.attributes["Model"] == COMBINED:
        node.RemoveAttribute(PREFIX + "Factor")
    for name, value in {**record.attributes, "InputID": first.GetID(), "InputName": first.GetName()}.items():
        node.SetAttribute(PREFIX + name, value)
    node.RemoveAttribute("DICOM.instanceUIDs")
    _refer(node, INPUT_ROLE, [each.GetID() for each in inputs])
    node.SetDescription(record.description)


def mapsOf(node: Any) -> dict[str, Any]:
    """The maps of a result, by their names."""
    found = {name: node.GetNodeReference(role) for role, name in MAPS.items()}
    return {name: second for name, second in found.items() if second is not None}


def _references(node: Any, role: str) -> list[str]:
    return [node.GetNthNodeReferenceID(role, n) for n in range(node.GetNumberOfNodeReferences(role))]


def _refer(node: Any, role: str, nodeIDs: Sequence[str]) -> None:
    """These and no others."""
    node.RemoveNodeReferenceIDs(role)
    for nodeID in nodeIDs:
        node.AddNodeReferenceID(role, nodeID)


def _addMap(
    scene: Any, node: Any, inputs: Sequence, role: str, volume: Volume | None, record: Record, undo: list[Any]
) -> None:
    """Another node of a result: in the one that a reused output already has, or a new one."""
    if volume is None:
        node.SetNodeReferenceID(role, None)
        return
    image = _imageFromArray(volume.array)
    second = node.GetNodeReference(role)
    if second is None:
        second = _newVolume(scene, f"{node.GetName()} {MAPS[role]}", undo)
        _joinFolder(scene, second, inputs[0], undo)
    else:
        _remember(second, undo)
    _showRange(_displayNode(scene, second, undo), volume.array)
    _place(second, image, volume.grid, inputs[0])
    _record(second, inputs, record)
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
