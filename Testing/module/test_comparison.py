"""The three views: what they show, where, and that everything is as before when they are left."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import scenes
import slicer
from conftest import app
from standins import application
from VolumeSuperResolutionLib.application.comparison import DEFAULT_LAYOUT, LAYOUT, VIEW_GROUP, VIEW_NAMES, Comparison
from VolumeSuperResolutionLib.application.sidebyside import removeVolume


@pytest.fixture
def volumes(scene):
    """An oblique volume as input, and two finer ones on its field of view."""
    rng = np.random.default_rng(4)
    axes = scenes.GEOMETRIES["oblique"]
    first = scenes.addVolume(scene, rng.integers(0, 900, (8, 20, 24)).astype(np.int16), axes, "input")
    finer = []
    for name in ("interpolation", "result"):
        origin = np.asarray(scenes.ORIGIN) - axes.sum(1) / 4
        array = rng.integers(0, 900, (16, 40, 48)).astype(np.int16)
        finer.append(scenes.addVolume(scene, array, axes / 2, name, origin))
    first.GetScalarVolumeDisplayNode().SetAutoWindowLevel(0)
    first.GetScalarVolumeDisplayNode().SetWindowLevel(700, 300)
    return [first, *finer]


@pytest.fixture
def comparison(volumes):
    made = Comparison()
    yield made
    made.close()


@pytest.fixture
def shown(comparison, volumes, wait):
    assert comparison.show(*volumes)
    wait(settled)
    return comparison


def settled():
    """Whether the views have their final sizes, as the stand-ins give them, and all that follows has been done."""
    reached = [node.GetDimensions()[0] for node in nodes()] == list(application.SIZES[-1])
    app.processEvents()
    return reached


def magnifications():
    """Millimeters a pixel, across and down, of all views."""
    return {round(n.GetFieldOfView()[a] / n.GetDimensions()[a], 9) for n in nodes() for a in (0, 1)}


def shown_by(volumes):
    return [volume.GetScalarVolumeDisplayNode() for volume in volumes]


def widgets():
    return [slicer.app.layoutManager().sliceWidget(name) for name in VIEW_NAMES]


def nodes():
    return [widget.mrmlSliceNode() for widget in widgets()]


def composites():
    return [widget.mrmlSliceCompositeNode() for widget in widgets()]


def planes():
    return [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()) for node in nodes()]


def test_layout_of_its_own(shown):
    manager = slicer.app.layoutManager()
    assert manager.layout == LAYOUT > 100
    assert manager.sliceViewNames() == VIEW_NAMES
    assert {node.GetViewGroup() for node in nodes()} == {VIEW_GROUP}
    assert [node.GetLayoutLabel() for node in nodes()] == ["Input", "Interp.", "Result"]
    description = ElementTree.fromstring(manager.layoutLogic().GetLayoutNode().GetLayoutDescription(LAYOUT))
    assert description.get("split") == "true"
    assert len({item.get("splitSize") for item in description}) == 1


def test_each_view_has_its_volume_and_all_are_linked(shown, volumes):
    assert [c.GetBackgroundVolumeID() for c in composites()] == [v.GetID() for v in volumes]
    assert all(c.GetLinkedControl() and c.GetHotLinkedControl() for c in composites())
    assert not any(c.GetForegroundVolumeID() for c in composites())


def test_other_views_keep_what_they_show(comparison, volumes, scene):
    other = scenes.addVolume(scene, name="other")
    slicer.util.setSliceViewerLayers(background=other)
    comparison.show(*volumes)
    comparison.leave()
    red = slicer.app.layoutManager().sliceWidget("Red")
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == other.GetID()


@pytest.mark.parametrize("axis", ["Axial", "Coronal", "Sagittal"])
def test_same_place_and_scale_along_every_axis(shown, volumes, axis):
    shown.setAxis(axis)
    first = planes()[0]
    for plane in planes()[1:]:
        np.testing.assert_allclose(plane, first, atol=1e-9)
    assert len(magnifications()) == 1
    center = scenes.bounds(volumes[0]).reshape(3, 2).mean(1)
    # The plane goes through the middle of a voxel, so up to half a voxel from the center.
    assert np.linalg.norm(first[:3, 3] - center) <= 0.5 * max(volumes[0].GetSpacing()) + 1e-6
    # The plane holds two of the volume's axes, also of an oblique one.
    directions = scenes.GEOMETRIES["oblique"]
    cosines = np.abs((directions / np.linalg.norm(directions, axis=0)).T @ first[:3, 2])
    np.testing.assert_allclose(np.sort(cosines), (0, 0, 1), atol=1e-6)


def test_what_was_zoomed_to_stays_when_the_views_get_their_sizes(comparison, volumes, wait):
    comparison.show(*volumes, focus=((1.0, 2.0, 3.0), 10.0))
    wait(settled)
    for plane, node in zip(planes(), nodes()):
        np.testing.assert_allclose(plane[:3, 3], (1, 2, 3))
        assert 10.0 - 1e-6 <= min(node.GetFieldOfView()[:2]) < 10.1
    assert len(magnifications()) == 1


def test_a_view_that_is_resized_keeps_the_magnification_of_all(shown):
    shown.zoomTo((1.0, 2.0, 3.0), 10.0)
    nodes()[0].SetSliceOffset(nodes()[0].GetSliceOffset() + 4)  # the user has moved on
    before, place = magnifications(), planes()[0]
    for widget, columns in zip(widgets(), (500, 420, 470)):
        widget.sliceLogic().ResizeSliceNode(columns, 300)
    app.processEvents()
    assert magnifications() == before
    np.testing.assert_allclose(planes()[0], place)


def test_magnifying_one_view_magnifies_all(shown):
    node = nodes()[1]
    node.SetFieldOfView(8.0, 8.0 * 400 / 395, node.GetFieldOfView()[2])
    assert magnifications() == {round(8.0 / 395, 9)}


def test_zoom_centers_all_views(shown):
    shown.zoomTo((1.0, 2.0, 3.0), 10.0)
    for plane, node in zip(planes(), nodes()):
        np.testing.assert_allclose(plane[:3, 3], (1, 2, 3))
        assert min(node.GetFieldOfView()[:2]) >= 10.0 - 1e-9


def test_voxels_as_they_are_in_one_window(shown, volumes):
    displays = shown_by(volumes)
    assert [d.GetInterpolate() for d in displays] == [0, 0, 0]
    assert {(d.GetWindow(), d.GetLevel()) for d in displays} == {(700.0, 300.0)}
    displays[2].SetWindowLevel(50, 20)
    assert {(d.GetWindow(), d.GetLevel()) for d in displays} == {(50.0, 20.0)}


def test_pictures_differ_only_in_resolution(shown, volumes):
    """The views really draw: each voxel of a striped volume is a flat patch."""
    array = slicer.util.arrayFromVolume(volumes[2])
    array[...] = 0
    array[:, :, ::2] = 900
    slicer.util.arrayFromVolumeModified(volumes[2])
    for node in nodes():
        node.SetDimensions(200, 200, 1)
    shown.alignment.showAll()
    drawn = widgets()[2].picture()
    levels = np.unique(drawn[80:120, 80:120])
    assert len(levels) == 2
    assert levels.max() == 255


def test_everything_is_restored(comparison, volumes):
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    display = volumes[0].GetScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(1)
    before = [(d.GetInterpolate(), d.GetAutoWindowLevel()) for d in shown_by(volumes)]
    left = []
    comparison.left.connect(lambda: left.append(1))
    comparison.show(*volumes)
    comparison.show(*volumes)
    comparison.leave()
    comparison.leave()
    after = [(d.GetInterpolate(), d.GetAutoWindowLevel()) for d in shown_by(volumes)]
    assert after == before
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert left == [1]
    display.SetWindowLevel(1, 2)
    assert volumes[1].GetScalarVolumeDisplayNode().GetWindow() != 1


def test_another_layout_ends_it(shown, volumes):
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert not shown.active
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    assert volumes[0].GetScalarVolumeDisplayNode().GetInterpolate() == 1


def test_a_volume_and_its_display_node_are_removed_without_an_error(volumes, scene, caplog):
    display = volumes[1].GetDisplayNode()
    removeVolume(volumes[1])
    assert not scene.IsNodePresent(display)
    assert not caplog.records


@pytest.mark.parametrize("which", [0, 1, 2])
def test_removing_a_volume_ends_it(shown, volumes, scene, which):
    scene.RemoveNode(volumes[which])
    assert not shown.active
    assert not shown._observers


def test_closing_the_scene_ends_it(shown, scene):
    scene.Clear(0)
    app.processEvents()
    assert not shown.active


@pytest.mark.parametrize("how", ["restart", "scene"])
def test_the_layout_of_an_earlier_session_leaves_no_empty_views(module, scene, how):
    """The main window and saved scenes restore the layout that was open, which nothing has described yet."""
    manager = slicer.app.layoutManager()
    layoutNode = manager.layoutLogic().GetLayoutNode()
    if layoutNode.IsLayoutDescription(LAYOUT):
        layoutNode.SetLayoutDescription(LAYOUT, "")
    assert not layoutNode.IsLayoutDescription(LAYOUT)
    layoutNode.SetViewArrangement(LAYOUT)
    slicer.app.startupCompleted.emit() if how == "restart" else scene.InvokeEvent(scene.EndImportEvent)
    assert manager.layout == DEFAULT_LAYOUT
    assert "Red" in manager.sliceViewNames()


def test_leaving_never_leads_back_into_the_comparison(comparison, volumes):
    comparison.show(*volumes)
    comparison.leave()
    slicer.app.layoutManager().setLayout(LAYOUT)
    comparison.show(*volumes)
    comparison.leave()
    assert slicer.app.layoutManager().layout == DEFAULT_LAYOUT


def test_a_volume_that_was_never_displayed(comparison, volumes, scene):
    for volume in volumes:
        scene.RemoveNode(volume.GetScalarVolumeDisplayNode())
    assert comparison.show(*volumes)
    assert [d.GetInterpolate() for d in shown_by(volumes)] == [0, 0, 0]


def test_without_a_main_window(comparison, volumes, monkeypatch):
    monkeypatch.setattr(type(slicer.app), "headless", True)
    assert not comparison.show(*volumes)
    comparison.close()
    assert not comparison.active
