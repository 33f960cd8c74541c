"""Several stacks: what the scene tells of them, what is proposed, and what combining them leaves in the scene."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scenes
import slicer
import vtk
from phantoms import head, three
from VolumeSuperResolutionLib.application import combining, pythoncall, samples, wording
from VolumeSuperResolutionLib.application import scene as nodes
from VolumeSuperResolutionLib.application import stacks as subject
from VolumeSuperResolutionLib.engine import combine as engine
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

from VolumeSuperResolution import VolumeSuperResolutionLogic

THICK = np.diag([1.0, 1.0, 4.0])
# Columns of direction times spacing, RAS, of slices in each plane.
AXES = {
    "axial": THICK,
    "sagittal": np.array([[0.0, 0.0, 4.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "coronal": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 4.0], [0.0, -1.0, 0.0]]),
}


@lru_cache
def made():
    return tuple(three(head(32), 0, 0))


def addStack(scene, plane, name=None, origin=(0.0, 0.0, 0.0)):
    return scenes.addVolume(scene, np.zeros((6, 24, 24), np.int16), AXES[plane], name or plane, origin)


@pytest.fixture
def logic(scene):
    return VolumeSuperResolutionLogic()


@pytest.fixture
def three_(scene):
    """Three stacks of one thing that lie as they are."""
    return scenes.addStacks(scene, made())


class TestScene:
    @pytest.mark.parametrize("plane", AXES)
    def test_the_plane_is_that_of_the_thick_axis(self, scene, plane):
        node = addStack(scene, plane)
        assert subject.plane(node) == plane
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.diag([1.0, 1.0, 1.0, 1.0])))
        assert subject.plane(node) == "solid"

    def test_a_transform_turns_the_plane(self, scene):
        node = addStack(scene, "axial")
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetAndObserveTransformNodeID(transform.GetID())
        for degrees, plane in ((10, "axial"), (45, "oblique"), (85, "coronal")):
            matrix = vtk.vtkTransform()
            matrix.RotateX(degrees)
            transform.SetMatrixTransformToParent(matrix.GetMatrix())
            assert subject.plane(node) == plane

    def test_candidates_are_scans(self, scene, three_, logic):
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        scenes.addVolume(scene, np.zeros((1, 9, 9), np.int16), name="One slice")
        hidden = addStack(scene, "axial", "hidden")
        hidden.SetHideFromEditors(True)
        logic.upscale(three_[0], "linear")
        assert subject.candidates() == three_

    def test_one_of_each_plane_is_proposed_and_the_likeliest(self, scene):
        axial = addStack(scene, "axial", "401 AX T2 TSE")
        other = addStack(scene, "sagittal", "7 SAG T2 SPACE thin")
        sagittal = addStack(scene, "sagittal", "402 SAG T2 TSE")
        coronal = addStack(scene, "coronal", "403 COR T2 TSE")
        for node in ("301 SAG T1 TSE", "404 COR T2 TSE FS"):
            addStack(scene, node.split()[1].lower().replace("sag", "sagittal").replace("cor", "coronal"), node)
        scenes.addVolume(scene, np.zeros((20, 20, 20), np.int16), name="T2 3D")
        assert subject.proposed(axial) == [axial, sagittal, coronal]
        assert subject.proposed(other) == [axial, other, coronal]
        assert subject.proposed() == [axial, sagittal, coronal]

    def test_what_lies_elsewhere_is_of_another_examination(self, scene):
        addStack(scene, "axial")
        addStack(scene, "coronal", origin=(500.0, 0.0, 0.0))
        assert subject.proposed() == []

    def test_studies_are_kept_apart(self, scene):
        pair = [addStack(scene, plane) for plane in ("axial", "coronal")]
        assert subject.proposed(pair[0]) == pair
        hierarchy = scene.GetSubjectHierarchyNode() or scene.AddNewNodeByClass("vtkMRMLSubjectHierarchyNode")
        for node in pair:
            study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
            item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(study, node)
            hierarchy.SetItemParent(item, study)
        assert subject.proposed(pair[0]) == []

    def test_dicom_tells_thickness_and_echo_time(self, scene, monkeypatch):
        axial, coronal = addStack(scene, "axial"), addStack(scene, "coronal")
        told = {("1.2", "0018,0050"): "3.5", ("1.2", "0018,0081"): "100", ("1.3", "0018,0081"): "12"}
        database = SimpleNamespace(instanceValue=lambda uid, tag: told.get((uid, tag), ""))
        monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
        assert subject.proposed() == [axial, coronal]
        axial.SetAttribute("DICOM.instanceUIDs", "1.2 1.2.1")
        coronal.SetAttribute("DICOM.instanceUIDs", "1.3")
        assert (subject.thickness(axial), subject.thickness(coronal)) == (3.5, None)
        assert subject.scannerOf(axial) == Scanner().along(2, width=3.5, told="dicom")
        assert subject.scannerOf(axial, 3.0) == Scanner().along(2, width=3.0, told="user")
        assert subject.scannerOf(coronal) == Scanner()
        assert subject.proposed() == []  # 100 and 12 ms are two contrasts

    def test_scans_lie_where_their_transforms_put_them(self, scene):
        first, second = addStack(scene, "axial"), addStack(scene, "coronal")
        transform = scenes.linearTransform(scene, stretch=1.0)
        second.SetAndObserveTransformNodeID(transform.GetID())
        volume = subject.volumesOf([first, second])[1]
        point = volume.grid.to_physical((3, 5, 2)) * (-1, -1, 1)
        assert np.allclose(point, scenes.toWorld(second, (3, 5, 2)))
        first.SetAndObserveTransformNodeID(transform.GetID())
        assert subject.volumesOf([first, second])[1].grid == nodes.gridFromNode(second)
        for bent in (scenes.linearTransform(scene), scenes.bentTransform(scene)):
            second.SetAndObserveTransformNodeID(bent.GetID())
            with pytest.raises(RefusalError, match="coronal lies under a transform that bends or stretches"):
                subject.volumesOf([first, second])

    def test_sentences_name_the_volumes(self, scene):
        pair = [addStack(scene, "axial", "AX"), addStack(scene, "coronal", "COR")]
        said = "Scan 2 and the reference (scan 1) differ; scans 1 and 2 are the same, scan 3 is not; give 2 scans."
        assert subject.named(said, pair) == (
            "COR and the reference (AX) differ; AX and COR are the same, scan 3 is not; give 2 scans."
        )


class TestLogic:
    def test_combine_gives_what_the_engine_gives(self, logic, three_):
        done = []
        result = logic.combine(three_, reference=three_[1], aligned=True, progress=lambda *values: done.append(values))
        order = [three_[1], three_[0], three_[2]]
        request = engine.CombineRequest(aligned=True, scanners=(Scanner(),) * 3)
        expected = engine.combine(subject.volumesOf(order), request)
        assert np.array_equal(slicer.util.arrayFromVolume(result), expected.volume.array)
        assert np.allclose(nodes.gridFromNode(result).origin, expected.volume.grid.origin)
        assert nodes.inputsOf(result) == order
        assert result.GetName() == "sagittal combined"
        assert "axial" in result.GetDescription() and "not for diagnosis" in result.GetDescription()
        assert done[-1] == (100, 100)
        assert not any(result.GetNodeReference(role) for role in nodes.MAPS)

    def test_maps_are_made_on_request_and_go_when_a_node_is_used_again(self, logic, scene, three_):
        result = logic.combine(three_, aligned=True, maps=True)
        coverage, residual = (result.GetNodeReference(role) for role in (nodes.COVERAGE_ROLE, nodes.RESIDUAL_ROLE))
        assert coverage.GetName() == "axial combined coverage" and residual.GetName() == "axial combined residual"
        assert slicer.util.arrayFromVolume(coverage).max() == 3
        assert slicer.util.arrayFromVolume(residual).shape == slicer.util.arrayFromVolume(result).shape
        count = scene.GetNumberOfNodes()
        assert logic.combine(three_[:2], outputVolume=result, aligned=True, maps=True) is result
        assert scene.GetNumberOfNodes() == count
        assert result.GetNodeReference(nodes.COVERAGE_ROLE) is coverage
        assert nodes.inputsOf(result) == three_[:2]
        logic.combine(three_, outputVolume=result, aligned=True)
        assert result.GetNodeReference(nodes.COVERAGE_ROLE) is None

    def test_it_lies_in_the_folder_and_under_the_transform_of_the_reference(self, logic, scene, three_):
        hierarchy = scene.GetSubjectHierarchyNode() or scene.AddNewNodeByClass("vtkMRMLSubjectHierarchyNode")
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Visit")
        item = hierarchy.GetItemByDataNode(three_[0]) or hierarchy.CreateItem(folder, three_[0])
        hierarchy.SetItemParent(item, folder)
        transform = scenes.linearTransform(scene, stretch=1.0)
        for node in three_:
            node.SetAndObserveTransformNodeID(transform.GetID())
        result = logic.combine(three_, aligned=True)
        assert result.GetParentTransformNode() is transform
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == folder
        assert np.allclose(scenes.bounds(result), scenes.bounds(three_[0]), atol=0.6)

    def test_refusals_name_volumes_and_leave_the_scene(self, logic, scene, three_):
        twin = scenes.addStacks(scene, made()[1:2])[0]
        before = scenes.fingerprint(scene)
        refused = {
            "sagittal and sagittal are the same": ([*three_, twin], {"aligned": True}),
            "give at least two": (three_[:1], {}),
            "One scan alone": ([], {}),
            "2 thicknesses": (three_, {"thickness": [1.0, 2.0]}),
            "none of the volumes": (three_, {"reference": twin}),
            "No field of view": (three_, {"fov": "all"}),
            "A thickness of": (three_, {"thickness": -1.0}),
            "replace its own input": (three_, {"outputVolume": three_[1]}),
        }
        for words, (volumes, options) in refused.items():
            with pytest.raises(RefusalError, match=words):
                logic.combine(volumes, **options)
        with pytest.raises(CancelledError):
            logic.combine(three_, cancel=lambda: True)
        assert scenes.fingerprint(scene) == before

    def test_copied_as_python_it_does_the_same(self, scene, three_):
        order, request = combining.makeRequest(
            three_,
            reference=three_[2],
            thickness=[None, 3.5, None],
            spacing=1.5,
            fov="union",
            aligned=True,
            leftOut=[(1, 4), (3, 0)],
        )
        assert request.left_out == ((2, 4), (1, 0))
        text = pythoncall.combineCallFor([node.GetName() for node in order], request, True)
        caught = {}
        logic = SimpleNamespace(combine=lambda volumes, **options: caught.update(options, volumes=volumes))
        module = SimpleNamespace(VolumeSuperResolutionLogic=lambda: logic)
        before = sys.modules["VolumeSuperResolution"]
        sys.modules["VolumeSuperResolution"] = module
        try:
            exec(text, {"slicer": slicer})
        finally:
            sys.modules["VolumeSuperResolution"] = before
        assert caught.pop("maps") is True
        assert combining.makeRequest(caught.pop("volumes"), **caught) == (order, request)

    def test_the_result_says_what_was_found(self, logic, three_):
        array = slicer.util.arrayFromVolume(three_[1]).copy()
        array[3] = 0
        slicer.util.updateVolumeFromArray(three_[1], array)
        result = logic.combine(three_, aligned=True)
        text = wording.resultLine(result)
        assert "axial combined: 3 stacks, " in text and "They were taken where they lie." in text
        assert "1 of the 8 slices of sagittal did not fit and were left out." in text
        assert "sagittal: voxels as wide as their spacing" in wording.details(result)


def test_the_sample_is_three_stacks_that_belong_together(module, scene, tmp_path, monkeypatch):
    import SampleData

    source = sys.modules["VolumeSuperResolution"]
    brain = files.read(Path(source.sampleFolder(), "MRBrain.nrrd")).volume
    part = tuple((n // 2 - 24, n // 2 + 24) for n in brain.grid.size)  # all of it takes seconds
    array = brain.array[tuple(slice(*ends) for ends in part[::-1])]
    files.write(Volume(array, brain.grid.cropped(part)), tmp_path / "MRBrain.nrrd")
    monkeypatch.setattr(source, "sampleFolder", lambda: str(tmp_path))
    found = SampleData.SampleDataLogic().downloadSamples("VolumeSuperResolution three stacks")
    assert {subject.plane(node) for node in found} == {"axial", "sagittal", "coronal"}
    assert subject.proposed() == found
    assert [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == [n.GetName() for n in found]
    assert {max(node.GetSpacing()) for node in found} == {samples.THICKNESS}
