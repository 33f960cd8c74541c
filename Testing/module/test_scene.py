"""Nodes to volumes and back, on real MRML scenes."""

from __future__ import annotations

import json

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
import scenes  # noqa: E402
import vtk  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from VolumeSuperResolutionLib.application import regions  # noqa: E402
from VolumeSuperResolutionLib.application import scene as subject  # noqa: E402
from VolumeSuperResolutionLib.engine.errors import RefusalError  # noqa: E402
from VolumeSuperResolutionLib.engine.request import Report, Request  # noqa: E402

REQUEST = Request("edsr3d-x2", scale=(2.0, 2.0, 2.0))
TRANSFORMS = {"untransformed": None, "linear": scenes.linearTransform, "bent": scenes.bentTransform}


def brightVolume(scene, axes=None, transform=None):
    array = np.zeros((5, 6, 7), np.int16)
    array[3, 1, 4] = 1000
    node = scenes.addVolume(scene, array, axes)
    if transform is not None:
        node.SetAndObserveTransformNodeID(transform(scene).GetID())
    return node


@pytest.mark.parametrize("axes", scenes.GEOMETRIES.values(), ids=scenes.GEOMETRIES.keys())
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
@pytest.mark.parametrize("factor", [(2, 2, 2), (1, 1, 4), (3, 2, 1)])
def test_a_landmark_stays_where_it_is(scene, axes, transform, factor):
    node = brightVolume(scene, axes, transform)
    result = scenes.repeated(subject.volumeFromNode(node), factor)
    output = subject.addResultNode(scene, node, result, REQUEST)
    assert np.allclose(scenes.toWorld(node, (4, 1, 3)), scenes.brightCenter(node), atol=1e-9)
    if transform is not scenes.bentTransform:
        assert np.allclose(scenes.brightCenter(output), scenes.brightCenter(node), atol=1e-6)
        assert np.allclose(scenes.bounds(output), scenes.bounds(node), atol=1e-4)
    assert output.GetTransformNodeID() == node.GetTransformNodeID()
    # Under a bent transform the same corner of the field of view is still at the same place.
    for corner in np.ndindex(2, 2, 2):
        before = np.asarray(corner) * (7, 6, 5) - 0.5
        after = np.asarray(corner) * (7, 6, 5) * factor - 0.5
        assert np.allclose(scenes.toWorld(output, after), scenes.toWorld(node, before), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(*[st.floats(0.1, 8)] * 3),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.sampled_from([1, -1]),
)
def test_any_grid_survives_the_way_there_and_back(quaternion, spacing, origin, handedness):
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    scene = slicer.vtkMRMLScene()
    node = scenes.addVolume(scene, None, rotation @ np.diag([handedness, 1, 1]) @ np.diag(spacing), origin=origin)
    volume = subject.volumeFromNode(node)
    for index in ((0, 0, 0), (7, 0, 0), (0, 6, 0), (3.5, 2, 5)):
        assert np.allclose(volume.grid.to_physical(index) * (-1, -1, 1), scenes.toWorld(node, index), atol=1e-9)
    output = subject.addResultNode(scene, node, scenes.repeated(volume, (1, 1, 1)), REQUEST)
    assert np.allclose(scenes.toWorld(output, (5, 4, 3)), scenes.toWorld(node, (5, 4, 3)), atol=1e-9)


def test_an_image_that_does_not_start_at_zero_is_placed_by_its_extent(scene):
    node = brightVolume(scene, scenes.GEOMETRIES["oblique"])
    image = vtk.vtkImageData()
    image.DeepCopy(node.GetImageData())
    image.SetExtent(2, 8, 3, 8, -1, 3)
    node.SetAndObserveImageData(image)
    volume = subject.volumeFromNode(node)
    assert volume.grid.size == (7, 6, 5)
    assert np.allclose(volume.grid.to_physical((0, 0, 0)) * (-1, -1, 1), scenes.toWorld(node, (2, 3, -1)))
    center = scenes.toWorld(node, (5, 5, 1))
    assert regions.regionAround(node, center, 1) == ((3, 4), (2, 3), (2, 3))


def test_voxels_are_read_without_a_copy(scene):
    node = scenes.addVolume(scene)
    assert np.shares_memory(subject.volumeFromNode(node).array, slicer.util.arrayFromVolume(node))


def test_voxels_in_vtk_memory_are_taken_over_without_a_copy(scene):
    node = scenes.addVolume(scene)
    result = scenes.repeated(subject.volumeFromNode(node))
    voxels = subject.emptyVoxels(result.volume.array.shape, np.int16)
    voxels[...] = result.volume.array
    result = result._replace(volume=result.volume._replace(array=voxels))
    output = subject.addResultNode(scene, node, result, REQUEST)
    assert np.shares_memory(slicer.util.arrayFromVolume(output), voxels)
    part = result._replace(volume=result.volume._replace(array=voxels[:, ::2]))
    other = subject.addResultNode(scene, node, part, REQUEST)
    assert not np.shares_memory(slicer.util.arrayFromVolume(other), voxels)
    assert np.array_equal(slicer.util.arrayFromVolume(other), voxels[:, ::2])


def test_too_many_voxels_raise_a_memory_error_and_do_not_end_the_process():
    with pytest.raises(MemoryError):
        subject.emptyVoxels((10**5, 10**5, 10**5), np.float64)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("uint8", "uint8"),
        ("int8", "int8"),
        ("int16", "int16"),
        ("uint16", "uint16"),
        ("int32", "int32"),
        ("uint32", "uint32"),
        ("float32", "float32"),
        ("float64", "float64"),
        (">i2", "int16"),
        ("bool", "uint8"),
        ("float16", "float32"),
        ("int64", "int32"),
        ("uint64", "int32"),
    ],
)
def test_every_voxel_type_becomes_one_that_a_volume_can_hold(scene, dtype, stored):
    node = scenes.addVolume(scene, np.arange(60).reshape(3, 4, 5).astype(np.uint8))
    result = scenes.repeated(subject.volumeFromNode(node), (1, 1, 1), dtype=dtype)
    array = slicer.util.arrayFromVolume(subject.addResultNode(scene, node, result, REQUEST))
    assert array.dtype == np.dtype(stored)
    assert np.array_equal(array, result.volume.array.astype(stored))


def test_integers_too_large_for_a_volume_become_doubles(scene):
    node = scenes.addVolume(scene)
    result = scenes.repeated(subject.volumeFromNode(node), dtype=np.int64)
    result.volume.array[0, 0, 0] = 2**40
    array = slicer.util.arrayFromVolume(subject.addResultNode(scene, node, result, REQUEST))
    assert array.dtype == np.float64
    assert array[0, 0, 0] == 2**40


def test_names_say_what_was_done_and_are_unique(scene):
    node = scenes.addVolume(scene)
    volume = subject.volumeFromNode(node)
    names = [subject.addResultNode(scene, node, scenes.repeated(volume), REQUEST).GetName() for _ in range(3)]
    assert names == ["T1 x2 edsr3d", "T1 x2 edsr3d_1", "T1 x2 edsr3d_2"]
    uneven = scenes.repeated(volume, (1, 1, 4))
    assert subject.addResultNode(scene, node, uneven, REQUEST).GetName() == "T1 x1x1x4 edsr3d"


def test_the_result_is_shown_as_its_input_is(scene):
    node = scenes.addVolume(scene)
    color = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "Warm")
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(color.GetID())
    display.SetThreshold(10, 500)
    display.SetApplyThreshold(1)
    window, level = display.GetWindow(), display.GetLevel()
    output = subject.addResultNode(scene, node, scenes.repeated(subject.volumeFromNode(node)), REQUEST)
    shown = output.GetDisplayNode()
    assert shown is not display
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (window, level, 0)
    assert shown.GetColorNodeID() == color.GetID()
    assert (shown.GetLowerThreshold(), shown.GetApplyThreshold()) == (10, 1)


def test_an_input_that_was_never_shown_gets_a_sensible_window(scene):
    node = scenes.addVolume(scene)
    scene.RemoveNode(node.GetDisplayNode())
    output = subject.addResultNode(scene, node, scenes.repeated(subject.volumeFromNode(node)), REQUEST)
    display = output.GetDisplayNode()
    assert display.GetAutoWindowLevel() == 0
    assert 700 < display.GetWindow() < 1000
    assert 300 < display.GetLevel() < 600


def test_where_a_result_comes_from_is_written_on_it(scene):
    node = scenes.addVolume(scene)
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    result = scenes.repeated(subject.volumeFromNode(node), uncertainty=True)
    output = subject.addResultNode(scene, node, result, REQUEST)
    uncertainty = output.GetNodeReference("VolumeSuperResolution.Uncertainty")
    assert uncertainty.GetName() == "T1 x2 edsr3d uncertainty"
    assert np.array_equal(slicer.util.arrayFromVolume(uncertainty), result.uncertainty.array)
    assert np.allclose(scenes.bounds(uncertainty), scenes.bounds(node), atol=1e-4)
    for made in (output, uncertainty):
        assert made.GetNodeReference("VolumeSuperResolution.Input") is node
        assert made.GetAttribute("VolumeSuperResolution.InputID") == node.GetID()
        assert made.GetAttribute("VolumeSuperResolution.InputName") == "T1"
        assert made.GetAttribute("VolumeSuperResolution.Model") == "edsr3d-x2"
        assert made.GetAttribute("VolumeSuperResolution.Factor") == "2x2x2"
        assert made.GetAttribute("VolumeSuperResolution.Version")
        assert Request.from_dict(json.loads(made.GetAttribute("VolumeSuperResolution.Settings"))) == REQUEST
        assert Report.from_dict(json.loads(made.GetAttribute("VolumeSuperResolution.Report"))) == result.report
        assert not [name for name in made.GetAttributeNames() if name.startswith("DICOM")]
        assert "not for diagnosis" in made.GetDescription()


def test_every_map_has_a_node_of_its_own(scene):
    node = scenes.addVolume(scene)
    plain = scenes.repeated(subject.volumeFromNode(node), uncertainty=True)
    second = plain.uncertainty
    result = plain._replace(interval=second, invented=second._replace(array=second.array * 3))
    output = subject.addResultNode(scene, node, result, REQUEST)
    maps = subject.mapsOf(output)
    assert {name: made.GetName() for name, made in maps.items()} == {
        name: f"T1 x2 edsr3d {name}" for name in ("uncertainty", "interval", "invented")
    }
    assert np.array_equal(slicer.util.arrayFromVolume(maps["invented"]), result.invented.array)
    subject.addResultNode(scene, node, result._replace(interval=None), REQUEST, output)
    assert set(subject.mapsOf(output)) == {"uncertainty", "invented"}


def test_the_result_joins_the_folder_of_its_input(scene):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    node = scenes.addVolume(scene)
    item = hierarchy.CreateItem(study, node)
    hierarchy.SetItemUID(item, "DICOM", "1.2.3")
    output = subject.addResultNode(scene, node, scenes.repeated(subject.volumeFromNode(node)), REQUEST)
    own = hierarchy.GetItemByDataNode(output)
    assert hierarchy.GetItemParent(own) == study
    assert not hierarchy.GetItemUID(own, "DICOM")


def test_a_saved_scene_still_knows_the_input_of_a_result(scene, tmp_path):
    scenes.addVolume(scene, name="Another")
    node = scenes.addVolume(scene, name="T1: before; after")
    result = scenes.repeated(subject.volumeFromNode(node), uncertainty=True)
    subject.addResultNode(scene, node, result, REQUEST)
    path = str(tmp_path / "scene.mrml")
    assert scene.Commit(path)
    scene.Clear(0)
    assert scene.GetFirstNodeByName(node.GetName()) is None
    scene.SetURL(path)
    scene.Import()
    output = scene.GetFirstNodeByName("T1: before; after x2 edsr3d")
    assert output.GetNodeReference("VolumeSuperResolution.Input").GetName() == "T1: before; after"
    assert output.GetNodeReference("VolumeSuperResolution.Uncertainty").GetName().endswith("uncertainty")
    assert Report.from_dict(json.loads(output.GetAttribute("VolumeSuperResolution.Report"))) == result.report
    assert output.GetAttribute("VolumeSuperResolution.InputName") == "T1: before; after"


def test_a_reused_output_is_overwritten_in_place(scene):
    node = scenes.addVolume(scene, axes=scenes.GEOMETRIES["oblique"])
    output = scenes.addVolume(scene, name="Kept name", origin=(0, 0, 0))
    output.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    result = scenes.repeated(subject.volumeFromNode(node), uncertainty=True)
    assert subject.addResultNode(scene, node, result, REQUEST, output) is output
    count = scene.GetNumberOfNodes()
    assert subject.addResultNode(scene, node, result, REQUEST, output) is output
    assert scene.GetNumberOfNodes() == count
    assert output.GetName() == "Kept name"
    assert output.GetAttribute("DICOM.instanceUIDs") is None
    assert np.allclose(scenes.bounds(output), scenes.bounds(node), atol=1e-4)
    subject.addResultNode(scene, node, result._replace(uncertainty=None), REQUEST, output)
    assert output.GetNodeReference("VolumeSuperResolution.Uncertainty") is None


@pytest.mark.parametrize("step", ["_copyDisplay", "_place", "_record", "_addMap", "_joinFolder", "_showRange"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
def test_a_failure_at_any_step_leaves_the_scene_as_it_was(scene, monkeypatch, step, reused):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    node = scenes.addVolume(scene, axes=scenes.GEOMETRIES["oblique"])
    hierarchy.CreateItem(hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Folder"), node)
    result = scenes.repeated(subject.volumeFromNode(node), uncertainty=True)
    output = None
    if reused:
        output = scenes.addVolume(scene, name="Older", origin=(0, 0, 0))
        output.SetAndObserveTransformNodeID(scenes.linearTransform(scene).GetID())
        output.GetDisplayNode().SetAutoWindowLevel(0)
        output.GetDisplayNode().SetWindowLevel(12, 34)
        output.SetAttribute("Mine", "kept")
        if step == "_showRange":
            subject.addResultNode(scene, node, result, REQUEST, output)
    done = getattr(subject, step)

    def fail(*arguments):
        done(*arguments)
        raise OSError("broken off here")

    before = scenes.fingerprint(scene)
    monkeypatch.setattr(subject, step, fail)
    with pytest.raises(OSError, match="broken off here"):
        subject.addResultNode(scene, node, result, REQUEST, output)
    assert scenes.fingerprint(scene) == before


def test_what_cannot_be_upscaled_is_refused_with_a_sentence(scene):
    def volume(className, components=1, size=(4, 4, 4)):
        node = scene.AddNewNodeByClass(className, "Scan")
        image = vtk.vtkImageData()
        image.SetDimensions(size)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, components)
        node.SetAndObserveImageData(image)
        return node

    wrong = {
        "Choose an input": None,
        "Choose an input ": scene.AddNewNodeByClass("vtkMRMLModelNode"),
        "label map": volume("vtkMRMLLabelMapVolumeNode"),
        "color image": volume("vtkMRMLVectorVolumeNode", 3),
        "color image,": volume("vtkMRMLVectorVolumeNode", 1),
        "time series": volume("vtkMRMLScalarVolumeNode", 5),
        "vector field": volume("vtkMRMLDiffusionWeightedVolumeNode", 7),
        "is empty": scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan"),
        "is empty;": volume("vtkMRMLScalarVolumeNode", size=(4, 0, 4)),
        "single voxel": volume("vtkMRMLScalarVolumeNode", size=(1, 1, 1)),
    }
    for words, node in wrong.items():
        with pytest.raises(RefusalError, match=words.strip(" ,;")):
            subject.volumeFromNode(node)


def test_nodes_that_are_gone_or_unfit_are_refused(scene):
    node = scenes.addVolume(scene)
    output = scenes.addVolume(scene, name="Output")
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    result = scenes.repeated(subject.volumeFromNode(node))
    for target, words in ((node, "replace its own input"), (labels, "cannot hold")):
        with pytest.raises(RefusalError, match=words):
            subject.addResultNode(scene, node, result, REQUEST, target)
    scene.RemoveNode(output)
    before = scenes.fingerprint(scene)
    with pytest.raises(RefusalError, match="output volume was removed"):
        subject.addResultNode(scene, node, result, REQUEST, output)
    assert scenes.fingerprint(scene) == before
    scene.RemoveNode(node)
    with pytest.raises(RefusalError, match="input volume was removed"):
        subject.addResultNode(scene, node, result, REQUEST)


def addRoi(scene, center, size):
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    roi.SetCenter(center)
    roi.SetSize(size)
    return roi


def test_a_box_covers_the_voxels_it_touches(scene):
    node = scenes.addVolume(scene, np.zeros((20, 20, 20), np.int16), origin=(0, 0, 0))
    exact = addRoi(scene, (4.5, 5.0, 6.0), (4, 3, 1))
    assert regions.regionFromRoi(exact, node) == ((3, 7), (4, 7), (6, 7))
    larger = addRoi(scene, (0, 10, 10), (30, 2.2, 100))
    assert regions.regionFromRoi(larger, node) == ((0, 16), (9, 12), (0, 20))


@pytest.mark.parametrize("axes", scenes.GEOMETRIES.values(), ids=scenes.GEOMETRIES.keys())
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_a_box_around_one_voxel_finds_it_under_any_transform(scene, axes, transform):
    node = scenes.addVolume(scene, np.zeros((9, 9, 9), np.int16), axes)
    if transform is not None:
        node.SetAndObserveTransformNodeID(transform(scene).GetID())
    roi = addRoi(scene, scenes.toWorld(node, (5, 3, 6)), (0.05, 0.05, 0.05))
    assert regions.regionFromRoi(roi, node) == ((5, 6), (3, 4), (6, 7))
    assert regions.regionAround(node, scenes.toWorld(node, (5, 3, 6)), 1) == ((5, 6), (3, 4), (6, 7))


def test_an_oriented_and_transformed_box_is_followed(scene):
    axes = scenes.GEOMETRIES["oblique"]
    node = scenes.addVolume(scene, np.zeros((20, 20, 20), np.int16), axes, origin=(0, 0, 0))
    turned = scenes.linearTransform(scene, stretch=1.0)
    node.SetAndObserveTransformNodeID(turned.GetID())
    roi = addRoi(scene, (0, 0, 0), (4 * 0.9, 6 * 1.1, 2 * 3.0))
    # In the volume's own directions, centered on the corner between voxels: exactly 4 x 6 x 2 of them.
    matrix = np.eye(4)
    matrix[:3, :3] = scenes.OBLIQUE
    matrix[:3, 3] = axes @ (9.5, 9.5, 9.5)
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    roi.SetAndObserveTransformNodeID(turned.GetID())
    assert regions.regionFromRoi(roi, node) == ((8, 12), (7, 13), (9, 11))


def test_boxes_that_say_nothing_are_refused(scene):
    node = scenes.addVolume(scene, origin=(0, 0, 0))
    with pytest.raises(RefusalError, match="does not touch"):
        regions.regionFromRoi(addRoi(scene, (400, 0, 0), (5, 5, 5)), node)
    with pytest.raises(RefusalError, match="no extent"):
        regions.regionFromRoi(scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "New"), node)
    with pytest.raises(RefusalError, match="Choose a markups ROI"):
        regions.regionFromRoi(node, node)
    with pytest.raises(RefusalError, match="outside"):
        regions.regionAround(node, (400, 0, 0), 8)


def test_the_box_around_a_point_stays_inside(scene):
    node = scenes.addVolume(scene, np.zeros((10, 30, 40), np.int16), origin=(0, 0, 0))
    assert regions.regionAround(node, (20, 15, 5), 16) == ((12, 28), (7, 23), (0, 10))
    assert regions.regionAround(node, (39, 0, 5), (16, 8, 4)) == ((24, 40), (0, 8), (3, 7))
