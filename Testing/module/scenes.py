"""What the tests of the module share: volumes, models and requests, and what there is to see of a scene and a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
import vtk
from VolumeSuperResolutionLib.application.catalog import ID_ROLE
from VolumeSuperResolutionLib.application.scene import INPUT_ROLE, matrixOf
from VolumeSuperResolutionLib.engine.request import Report, Request
from VolumeSuperResolutionLib.engine.upscale import Result
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from vtk.util.numpy_support import vtk_to_numpy

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
# Directions as columns times spacing, in RAS: every kind of grid that a scanner or a user can make.
GEOMETRIES = {
    "plain": np.eye(3),
    "scanner (LPS)": np.diag([-1.0, -1.0, 1.0]),
    "anisotropic": np.diag([0.7, 0.9, 5.0]),
    "sagittal": np.array([[0.0, 0.0, 1.2], [-0.8, 0.0, 0.0], [0.0, -0.8, 0.0]]),
    "flipped": np.diag([1.0, 1.0, -2.0]),
    "oblique": OBLIQUE @ np.diag([0.9, 1.1, 3.0]),
    "oblique, left-handed": OBLIQUE @ np.diag([-0.9, 1.1, 3.0]),
}
ORIGIN = (-37.25, 12.5, 81.125)
LINEAR = Request("linear", scale=(2.0, 2.0, 2.0))
# A run that can be disturbed, as its small memory makes it tell of many small steps.
SLOW = Request("slow", scale=(2.0, 2.0, 2.0), device="cpu", memory_mb=200)


def addVolume(scene, array=None, axes=None, name="T1", origin=ORIGIN):
    """A displayed scalar volume with the given columns of direction times spacing."""
    if array is None:
        array = np.random.default_rng(5).integers(0, 900, (6, 7, 8)).astype(np.int16)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if axes is None else axes
    matrix[:3, 3] = origin
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    slicer.util.updateVolumeFromArray(node, array)
    node.CreateDefaultDisplayNodes()
    return node


def volumeOf(*shape, seed=0) -> Volume:
    """A volume of noise, as the worker takes it: outside of any scene."""
    array = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
    return Volume(array, Grid(shape[::-1], (0.5, 0.6, 2.0), (1.0, -2.0, 3.0)))


def linearTransform(scene, stretch=1.3):
    """A rotation, a stretch and a shift as a transform node."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turned")
    matrix = np.eye(4)
    matrix[:3, :3] = OBLIQUE.T @ np.diag([1.0, stretch, 1.0])
    matrix[:3, 3] = (4.0, -11.0, 7.0)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def bentTransform(scene):
    """A smooth, nonlinear transform node."""
    landmarks = [(x, y, z) for x in (-80, 80) for y in (-80, 80) for z in (0, 160)]
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for n, point in enumerate([*landmarks, (-20, 20, 85)]):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point if n < 8 else (-14, 23, 80))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Bent")
    node.SetAndObserveTransformToParent(spline)
    return node


def makeReport(grid: Grid, finer: Grid, model="edsr3d-x2") -> Report:
    """A report as the engine gives it."""
    return Report(
        model=model,
        title="EDSR",
        device="cpu",
        precision="fp32",
        input_size=grid.size,
        input_spacing=grid.spacing,
        output_size=finer.size,
        output_spacing=finer.spacing,
        factor=tuple(m / n for n, m in zip(grid.size, finer.size)),
        scalar_type="int16",
        tiles="",
        seconds=1.5,
        peak_memory_mb=200.0,
        consistency_rounds=0,
        consistency_residual=0.25,
        modality="MR",
        window=(0.0, 900.0),
        warnings=("Sharper; or: not?",),
    )


def repeated(volume: Volume, factor=(2, 2, 2), uncertainty=False, dtype=None) -> Result:
    """The result of repeating voxels `factor` times along (i, j, k)."""
    array = volume.array
    for axis, times in zip((2, 1, 0), factor):
        array = np.repeat(array, times, axis)
    array = array if dtype is None else array.astype(dtype)
    grid = volume.grid.refined([n * f for n, f in zip(volume.grid.size, factor)])
    second = Volume((array / 100).astype(np.float32), grid) if uncertainty else None
    return Result(Volume(array, grid), makeReport(volume.grid, grid), second)


def toWorld(node, index) -> np.ndarray:
    """Where a continuous voxel index (i, j, k) is in the world, parent transforms applied."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    point = matrix.MultiplyPoint((*[float(n) for n in index], 1.0))[:3]
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    return np.asarray(transform.TransformPoint(point))


def brightCenter(node) -> np.ndarray:
    """The world position of the center of the brightest voxels."""
    array = slicer.util.arrayFromVolume(node)
    return toWorld(node, np.argwhere(array == array.max()).mean(0)[::-1])


def bounds(node) -> np.ndarray:
    """The node's world bounds."""
    values = [0.0] * 6
    node.GetRASBounds(values)
    return np.asarray(values)


def results():
    """The volumes in the scene that this module made."""
    return [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetNodeReference(INPUT_ROLE)]


def fingerprint(scene) -> dict:
    """All that a user could see of a scene: nodes, geometry, voxels, looks, references, attributes, folders."""
    nodes = {}
    for n in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(n)
        roles = []
        node.GetNodeReferenceRoles(roles)
        held = {role: node.GetNodeReferenceID(role) for role in roles if node.GetNodeReferenceID(role)}
        seen = [node.GetName(), node.GetDescription() or "", held]
        seen.append({name: node.GetAttribute(name) for name in node.GetAttributeNames()})
        if node.IsA("vtkMRMLVolumeNode"):
            image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
            node.GetIJKToRASMatrix(matrix)
            scalars = None if image is None else image.GetPointData().GetScalars()
            voxels = None if scalars is None else vtk_to_numpy(scalars).tobytes()
            seen += [slicer.util.arrayFromVTKMatrix(matrix).tolist(), voxels]
        if node.IsA("vtkMRMLScalarVolumeDisplayNode"):
            seen += [node.GetWindow(), node.GetLevel(), node.GetAutoWindowLevel(), node.GetInterpolate()]
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            items = vtk.vtkIdList()
            node.GetItemChildren(node.GetSceneItemID(), items, True)
            seen.append([(items.GetId(i), node.GetItemParent(items.GetId(i))) for i in range(items.GetNumberOfIds())])
        nodes[node.GetID()] = seen
    return nodes


def makeModel(folder: Path, modelId: str, features=4, blocks=1) -> Path:
    """A folder of models with one EDSR of random weights in it: any size, so any speed."""
    from VolumeSuperResolutionLib.engine import networks
    from VolumeSuperResolutionLib.engine.models import weights, zoo
    from VolumeSuperResolutionLib.engine.models.weights import safetensors

    arguments = {"features": features, "blocks": blocks}
    state = networks.build("edsr3d", **arguments).state_dict()
    data = safetensors({f"0.{name}": t.numpy() for name, t in state.items() if t.is_floating_point()})
    card = zoo.Card(
        id=modelId,
        title="EDSR",
        summary="Random weights.",
        factor=(2, 2, 2),
        stages=(zoo.Stage("edsr3d", arguments),),
        weights={"bytes": len(data), "sha256": weights.sha256(data)},
        folder=folder / modelId,
    )
    card.folder.mkdir(parents=True)
    (card.folder / zoo.WEIGHTS_FILE).write_bytes(data)
    zoo.write_card(card)
    return folder


class Outcome:
    """All that a job tells."""

    def __init__(self, job) -> None:
        self.progress, self.told = [], []
        job.progressed.connect(lambda *values: self.progress.append(values))
        job.finished.connect(lambda result: self.told.append(("finished", result)))
        job.failed.connect(lambda sentence: self.told.append(("failed", sentence)))
        job.cancelled.connect(lambda: self.told.append(("cancelled", None)))

    def __bool__(self) -> bool:
        return bool(self.told)

    def only(self, kind):
        """What was told, which must be one thing of this kind."""
        assert [told[0] for told in self.told] == [kind], self.told
        return self.told[0][1]


def choose(selector, data):
    """Choose the entry of a combo box as a user does, and let the panel follow."""
    selector.currentIndex = selector.findData(data)
    slicer.app.processEvents()


def itemOf(tree, model):
    """The entry of a model in the panel's table."""
    groups = [tree.topLevelItem(n) for n in range(tree.topLevelItemCount)]
    items = groups + [group.child(n) for group in groups for n in range(group.childCount())]
    return next((item for item in items if item.data(0, ID_ROLE) == model), None)


def chooseModel(tree, model):
    """Click on a model in the panel's table, and let the panel follow."""
    tree.setCurrentItem(itemOf(tree, model))
    slicer.app.processEvents()


def cancelled(job, outcome, wait):
    """Cancel a job twice, as an impatient user does: it ends, at the latest when the worker's patience is over."""
    job.cancel()
    job.cancel()
    wait(lambda: outcome)
    outcome.only("cancelled")
    assert not job.running


def alive(pid) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def filesOf(worker) -> list:
    """The temporary files of a worker's runs."""
    return [path for folder in worker._remains for path in folder.glob("*")]


def addStacks(scene, made) -> list:
    """Simulated stacks as nodes, named after their planes."""
    added = []
    for stack, name in zip(made, ("axial", "sagittal", "coronal") if len(made) == 3 else ("sagittal",)):
        matrix = matrixOf(stack.volume.grid)
        added.append(addVolume(scene, stack.volume.array, matrix[:3, :3], name, matrix[:3, 3]))
    return added


def pixelsOf(sliceWidget):
    """What is in the window of a slice view, with all that is drawn over it, from bottom to top."""
    window = sliceWidget.sliceView().renderWindow()
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    columns, rows, _depth = grab.GetOutput().GetDimensions()
    return vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
