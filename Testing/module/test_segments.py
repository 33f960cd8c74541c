"""Segmentations of a scan go to the grid of its result: the same segments in the same places, overlaps included."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from scenes import addVolume, results
from VolumeSuperResolutionLib.application import runs, segments
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.physics import label_maps
from vtk.util import numpy_support

from VolumeSuperResolution import VolumeSuperResolutionLogic

pytestmark = pytest.mark.usefixtures("warmed")


@pytest.fixture
def masks(volume):
    """Of two segments that overlap."""
    shape = slicer.util.arrayFromVolume(volume).shape
    made = {name: np.zeros(shape, np.uint8) for name in ("tumor", "lobe")}
    made["tumor"][1:4, 2:5, 2:6], made["lobe"][1:5, 3:8, 1:5] = 1, 1
    return made


@pytest.fixture
def drawn(volume, masks, monkeypatch):
    """A segmentation with them."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    monkeypatch.setattr(slicer.modules, "segmentations", SimpleNamespace(logic=lambda: logic), raising=False)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for number, (name, mask) in enumerate(masks.items()):
        segment, image = slicer.vtkSegment(), logic.CreateOrientedImageDataFromVolumeNode(volume)
        image.UnRegister(None)
        image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(mask.ravel(), deep=True))
        segment.SetName(name.title())
        segment.SetColor(0.1 * number, 0.5, 0.25)
        segment.AddRepresentation(segments.LABELS, image)
        node.GetSegmentation().AddSegment(segment, name)
    return node


def found(node, name, volume):
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, name, volume)


def segmentations():
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


@pytest.mark.parametrize("region", [None, ((0, 6), (1, 8), (0, 4))])
def test_each_segment_is_refined_as_its_label_map(volume, drawn, masks, region):
    result = runs.runHere(volume, runs.makeRequest(volume, "nearest", isotropic=True, region=region))
    (made,) = VolumeSuperResolutionLogic().refineSegmentations(volume, result)
    shape = slicer.util.arrayFromVolume(result).shape
    part = ... if region is None else tuple(slice(*bounds) for bounds in region[::-1])
    for name, mask in masks.items():
        assert np.array_equal(found(made, name, result), label_maps.refine(mask[part], shape))
        segment = made.GetSegmentation().GetSegment(name)
        assert segment.GetName() == name.title()
        assert segment.GetColor() == drawn.GetSegmentation().GetSegment(name).GetColor()
    assert made.GetName() == "Segmentation refined"


def test_one_that_was_loaded_is_known_by_its_grid(scene, volume, drawn):
    other = addVolume(scene, name="Other")
    other.SetOrigin(*(x + 0.4 for x in volume.GetOrigin()))
    assert segments.segmentationsOf(volume) == [drawn] and segments.segmentationsOf(other) == []
    drawn.SetNodeReferenceID(drawn.GetReferenceImageGeometryReferenceRole(), None)
    assert segments.segmentationsOf(volume) == [drawn] and segments.segmentationsOf(other) == []


def test_in_the_panel_they_follow_the_result_and_go_with_it(opened, volume, drawn, wait):
    ui = opened.ui
    ui.applyButton.click()
    wait(lambda: opened.panel.job is None)
    (result,) = results()
    assert not ui.segmentsButton.isHidden()
    ui.segmentsButton.click()
    assert not ui.segmentsButton.enabled and ui.applyButton.text == "Cancel"
    wait(lambda: opened.panel.job is None)
    (made,) = (node for node in segmentations() if node is not drawn)
    (here,) = segments.refineHere(volume, result)
    for name in ("tumor", "lobe"):
        assert np.array_equal(found(made, name, result), found(here, name, result))
    slicer.mrmlScene.RemoveNode(here)
    ui.undoButton.click()
    assert segmentations() == [drawn]


def test_cancelled_or_without_its_result_nothing_is_added(volume, drawn, wait):
    result = runs.runHere(volume, runs.makeRequest(volume, "nearest", 2))
    job = segments.Refining([volume], result)
    job.cancel()
    wait(lambda: not job.running)
    job, told = segments.Refining([volume], result), []
    job.failed.connect(told.append)
    slicer.mrmlScene.RemoveNode(result)
    wait(lambda: told)
    assert "removed" in told[0] and segmentations() == [drawn]


def test_without_one_there_is_nothing_to_refine(opened, volume, wait):
    opened.ui.applyButton.click()
    wait(lambda: opened.panel.job is None)
    assert opened.ui.segmentsButton.isHidden()
    with pytest.raises(RefusalError, match="no segmentation"):
        segments.layersOf(volume, results()[0])
