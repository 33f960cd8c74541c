"""The right view: flicker, curtain, difference and uncertainty, drawn as Slicer draws; and its keys and selectors."""

from __future__ import annotations

import numpy as np
import pytest
import qt
import scenes
import slicer
from conftest import app
from PySide6 import QtGui
from scenes import choose
from VolumeSuperResolutionLib.application import comparing
from VolumeSuperResolutionLib.application.comparison import VIEW_NAMES, Comparison
from VolumeSuperResolutionLib.application.overlay import BOTH_WAYS, UPWARDS, colorTable
from VolumeSuperResolutionLib.application.rightview import legends
from VolumeSuperResolutionLib.application.scene import MAPS

DARK, BRIGHT = 200, 600
WINDOW, LEVEL = 1000, 500


def constant(scene, value, name, dtype=np.int16):
    node = scenes.addVolume(scene, np.full((20, 20, 20), value, dtype), name=name)
    node.GetScalarVolumeDisplayNode().SetAutoWindowLevel(0)
    node.GetScalarVolumeDisplayNode().SetWindowLevel(WINDOW, LEVEL)
    return node


@pytest.fixture
def volumes(scene):
    """Input, a dark interpolation, and a bright result of another scalar type."""
    return [
        constant(scene, DARK, "input"),
        constant(scene, DARK, "interpolation"),
        constant(scene, BRIGHT, "result", np.float32),
    ]


@pytest.fixture
def comparison(volumes):
    made = Comparison()
    assert made.show(*volumes)
    for _ in range(20):
        app.processEvents()
    made.zoomTo(scenes.bounds(volumes[0]).reshape(3, 2).mean(1), 6.0)
    yield made
    made.close()


def right():
    return slicer.app.layoutManager().sliceWidget(VIEW_NAMES[2])


def drawn():
    """The pixels of the right view's window, from bottom to top."""
    return scenes.pixelsOf(right()).astype(int)


def props():
    return right().sliceView().renderWindow().GetRenderers().GetFirstRenderer().GetViewProps().GetNumberOfItems()


def gray(value):
    return 255 * value / WINDOW


def test_the_result_as_it_is(comparison):
    np.testing.assert_allclose(drawn()[200], gray(BRIGHT), atol=2)


def test_flicker_alternates(comparison, volumes, wait):
    comparison.right.setMode("flicker")
    third = right().mrmlSliceCompositeNode()
    assert (third.GetBackgroundVolumeID(), third.GetForegroundVolumeID()) == (volumes[2].GetID(), volumes[1].GetID())
    seen = {third.GetForegroundOpacity()}
    wait(lambda: seen.add(third.GetForegroundOpacity()) or seen == {0.0, 1.0}, 10)
    comparison.right.setMode("result")
    assert not third.GetForegroundVolumeID()


@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 1.0])
def test_left_of_the_curtain_is_the_interpolation(comparison, part):
    comparison.right.setMode("curtain")
    comparison.right.setCurtain(part)
    row = drawn()[200, :, 2]  # the line is yellow
    edge = round(part * len(row))
    np.testing.assert_allclose(row[: max(0, edge - 2)], gray(DARK), atol=2)
    np.testing.assert_allclose(row[edge + 2 :], gray(BRIGHT), atol=2)


def test_the_curtain_follows_zoom_window_and_size(comparison, volumes):
    comparison.right.setMode("curtain")
    volumes[0].GetScalarVolumeDisplayNode().SetWindowLevel(2 * WINDOW, LEVEL)
    row = drawn()[200, :, 2]
    np.testing.assert_allclose(row[[50, 350]], [gray(DARK / 2 + 250), gray(BRIGHT / 2 + 250)], atol=2)
    for name in VIEW_NAMES:
        slicer.app.layoutManager().sliceWidget(name).sliceLogic().ResizeSliceNode(300, 300)
    for _ in range(5):
        app.processEvents()
    row = drawn()[150, :, 2]
    assert len(row) == 300
    assert row[140] < row[160]


def test_the_curtain_follows_the_mouse_over_its_view_only(comparison, scene):
    pointer = scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    comparison.right.setMode("curtain")
    told = []
    comparison.right.moved.connect(told.append)
    columns = right().mrmlSliceNode().GetDimensions()[0]
    pointer.SetCursorPositionXYZ([0.25 * columns, 10.0, 0.0], right().mrmlSliceNode())
    assert (told, comparison.right.curtain) == ([0.25], 0.25)
    other = slicer.app.layoutManager().sliceWidget(VIEW_NAMES[0]).mrmlSliceNode()
    pointer.SetCursorPositionXYZ([0.75 * columns, 10.0, 0.0], other)
    comparison.right.setMode("result")
    pointer.SetCursorPositionXYZ([0.5 * columns, 10.0, 0.0], right().mrmlSliceNode())
    assert told == [0.25]


def test_the_difference_is_in_colors_with_a_legend(comparison, scene, volumes):
    comparison.right.setMode("difference")
    middle = drawn()[200, 100]
    # 400 more is beyond a fifth of the window: the upper end of the colors.
    np.testing.assert_allclose(middle, np.multiply(BOTH_WAYS[-1], 255), atol=2)
    legends = [p for p in _actors() if p.IsA("vtkScalarBarActor")]
    assert [tuple(legend.GetLookupTable().GetTableRange()) for legend in legends] == [(-200.0, 200.0)]
    slicer.util.updateVolumeFromArray(volumes[2], np.full((20, 20, 20), DARK, np.float32))
    np.testing.assert_allclose(drawn()[200, 100], 0, atol=2)


def _actors():
    collection = right().sliceView().renderWindow().GetRenderers().GetFirstRenderer().GetViewProps()
    return [collection.GetItemAsObject(n) for n in range(collection.GetNumberOfItems())]


def test_uncertainty_only_where_there_is_one(comparison, scene, volumes):
    assert "uncertainty" not in comparison.right.modes()
    uncertain = constant(scene, 1000, "uncertainty", np.float32)
    comparison.show(*volumes, maps={"uncertainty": uncertain})
    assert "uncertainty" in comparison.right.modes()
    comparison.right.setMode("uncertainty")
    np.testing.assert_allclose(drawn()[200, 100], np.multiply(UPWARDS[-1], 255), atol=3)
    scene.RemoveNode(uncertain)
    assert comparison.right.mode == "result"
    np.testing.assert_allclose(drawn()[200, 100], gray(BRIGHT), atol=2)


def test_every_map_of_a_result_has_a_way_and_a_legend(comparison, scene, volumes):
    names = tuple(MAPS.values())
    maps = {name: constant(scene, 1000, name, np.float32) for name in names}
    comparison.show(*volumes, maps=maps)
    assert comparison.right.modes()[-len(names) :] == names
    for name in names:
        comparison.right.setMode(name)
        np.testing.assert_allclose(drawn()[200, 100], np.multiply(UPWARDS[-1], 255), atol=3)
        (legend,) = [p for p in _actors() if p.IsA("vtkScalarBarActor")]
        assert legend.GetTitle() == legends()[name]
    scene.RemoveNode(maps["uncertainty"])
    assert comparison.right.mode == names[-1] == "residual"
    assert comparison.right.modes()[-len(names) + 1 :] == names[1:]


@pytest.mark.parametrize("mode", ["flicker", "curtain", "difference"])
def test_leaving_takes_all_away_and_the_mode_comes_again(comparison, volumes, mode):
    before = props()
    comparison.right.setMode(mode)
    view = right().sliceView()
    comparison.leave()
    assert view.renderWindow().GetRenderers().GetFirstRenderer().GetViewProps().GetNumberOfItems() == before
    assert not right_composite_ids()
    comparison.show(*volumes)
    assert comparison.right.mode == mode


def right_composite_ids():
    composite = right().mrmlSliceCompositeNode() if right() is not None else None
    return composite is not None and (composite.GetForegroundVolumeID() or composite.GetBackgroundVolumeID())


def test_color_tables_go_from_end_to_end():
    table = colorTable(BOTH_WAYS, (-5.0, 5.0))
    color = [0.0, 0.0, 0.0]
    for value, expected in zip((-5.0, 0.0, 5.0), BOTH_WAYS):
        table.GetColor(value, color)
        np.testing.assert_allclose(color, expected, atol=0.01)


@pytest.mark.usefixtures("warmed")
class TestPanel:
    @pytest.fixture
    def compared(self, opened, wait):
        opened.panel.choosing.parameters.compareAfter = True
        opened.ui.applyButton.click()
        wait(lambda: opened.ui.zoomButton.enabled)
        return opened

    def test_modes_can_be_chosen_while_comparing(self, compared):
        ui, view = compared.ui, compared.panel.sideBySide.right
        assert [ui.modeSelector.itemData(n) for n in range(ui.modeSelector.count)] == list(view.modes())
        assert ui.curtainSlider.isHidden()
        choose(ui.modeSelector, "curtain")
        assert (view.mode, ui.curtainSlider.isHidden()) == ("curtain", False)
        ui.curtainSlider.value = 20
        assert view.curtain == 0.2
        view.moved.emit(0.75)
        assert ui.curtainSlider.value == 75
        compared.ui.compareButton.click()
        app.processEvents()
        assert not ui.modeSelector.enabled and ui.curtainSlider.isHidden()

    def test_keys_work_while_comparing_and_are_gone_after(self, compared):
        view, owner = compared.panel.sideBySide.right, compared.ui.compareButton

        def keys():
            app.sendPostedEvents(None, 52)  # deferred deletions
            return {s.key.toString(): s for s in owner.findChildren(qt.QShortcut)}

        keys()[comparing.NEXT_KEY].activated.emit()
        assert view.mode == "flicker"
        keys()[comparing.FLICKER_KEY].activated.emit()
        assert view.mode == "result"
        keys()[comparing.FLICKER_KEY].activated.emit()
        assert view.mode == "flicker"
        compared.ui.compareButton.click()
        app.processEvents()
        assert keys() == {}
        assert QtGui.QKeySequence(comparing.NEXT_KEY).toString() == "F7"
