"""Several stacks in the panel: the list, what it leads to, and how it stands beside the way of one volume."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import qt
import scenes
import slicer
from conftest import app
from phantoms import head, three
from scenes import choose, results
from VolumeSuperResolutionLib.application import scene as nodes
from VolumeSuperResolutionLib.application.comparison import LAYOUT, VIEW_NAMES
from VolumeSuperResolutionLib.application.parameters import Parameters
from VolumeSuperResolutionLib.application.pythoncall import combineCallFor
from VolumeSuperResolutionLib.application.stackform import LONG, NAME, PLANE

pytestmark = pytest.mark.usefixtures("warmed")


def settle():
    """Let the panel follow what was changed."""
    for _ in range(5):
        app.processEvents()


@lru_cache
def made():
    return tuple(three(head(32), 0, 0))


@pytest.fixture
def stacks(scene):
    """Three stacks that lie as they are."""
    return scenes.addStacks(scene, made())


@pytest.fixture
def several(stacks, widget, messages):
    """The panel with the three stacks, which are taken where they lie, set to stay in the layout that is there."""
    parameters = widget.panel.choosing.parameters
    parameters.compareAfter, parameters.stacksAligned = False, True
    widget.ui.stacksButton.click()
    settle()
    return widget


def items(widget):
    tree = widget.ui.stackTree
    return [tree.topLevelItem(n) for n in range(tree.topLevelItemCount)]


def tick(widget, row, isTicked):
    items(widget)[row].setCheckState(NAME, qt.Qt.Checked if isTicked else qt.Qt.Unchecked)
    settle()


def names(widget):
    return [item.text(NAME) for item in items(widget) if item.checkState(NAME) == qt.Qt.Checked]


def apply(widget, wait):
    widget.ui.applyButton.click()
    wait(lambda: widget.panel.job is None)
    settle()
    return results()


def test_one_volume_is_the_way_that_the_panel_opens_with(stacks, widget):
    ui = widget.ui
    assert ui.oneVolumeButton.checked and not ui.stacksButton.checked
    assert ui.stacksBox.isHidden() and not ui.inputSelector.isHidden()


def test_a_scan_that_is_one_of_several_says_so_and_leads_there(stacks, widget):
    settle()
    ui = widget.ui
    assert "3 stacks of this examination are here" in ui.scanLabel.text
    ui.scanLabel.linkActivated.emit("stacks")
    settle()
    assert ui.stacksButton.checked and not ui.stacksBox.isHidden()
    for hidden in (ui.inputSelector, ui.scanLabel, ui.targetSelector, ui.methodLabel, ui.modelsCollapsibleButton):
        assert hidden.isHidden()
    assert not ui.regionSelector.enabled and ui.outputSelector.enabled
    ui.oneVolumeButton.click()
    settle()
    assert not ui.inputSelector.isHidden() and not ui.scanLabel.isHidden() and ui.regionSelector.enabled


def test_the_list_shows_what_is_known_and_ticks_what_belongs_together(several, scene):
    scenes.addVolume(scene, np.zeros((20, 20, 20), np.int16), name="Something else")
    settle()
    assert [item.text(NAME) for item in items(several)] == ["axial", "sagittal", "coronal", "Something else"]
    assert [item.text(PLANE) for item in items(several)] == ["Axial", "Sagittal", "Coronal", "Volume"]
    assert names(several) == ["axial", "sagittal", "coronal"]
    ui = several.ui
    assert ui.estimateLabel.text == "<b>3 stacks -&gt; 32x32x32 at 1 mm, 1 MB</b>"
    assert ui.applyButton.enabled and ui.previewButton.isHidden()
    assert ui.referenceSelector.currentText == "axial"


def test_what_is_ticked_typed_and_chosen_is_asked_for_and_saved(several, stacks, scene):
    panel, ui = several.panel, several.ui
    tick(several, 1, False)
    assert names(several) == ["axial", "coronal"]
    box = ui.stackTree.itemWidget(items(several)[2], 2)
    assert box.value == 4.0
    box.value = 3.5
    choose(ui.referenceSelector, stacks[2].GetID())
    choose(ui.fovSelector, "union")
    ui.stackSpacingSpinBox.value = 1.5
    ui.detailCheckBox.checked = True
    settle()
    order, request, maps = panel.stacks.request()
    assert order == [stacks[2], stacks[0]]
    assert (request.spacing, request.fov, request.aligned, maps) == (1.5, "union", True, False)
    assert [scanner.axes[2].width for scanner in request.scanners] == [3.5, None]
    assert request.model == "auto" and "model='auto'" in combineCallFor(["a", "b"], request, maps)
    again = Parameters(several.logic.getParameterNode())
    panel.setParameters(None)
    panel.setParameters(again)
    settle()
    assert panel.stacks.request() == (order, request, maps)
    assert names(several) == ["axial", "coronal"]
    scene.RemoveNode(stacks[2])
    settle()
    assert names(several) == ["axial"]
    assert "Tick two to 8 stacks" in ui.estimateLabel.text
    assert not ui.applyButton.enabled
    tick(several, 0, False)
    assert names(several) == []  # and nothing is proposed against the user's will
    assert not ui.referenceSelector.enabled


def test_a_long_list_can_be_searched(several, scene):
    assert several.ui.stackSearchEdit.isHidden()
    for n in range(LONG):
        scenes.addVolume(scene, np.zeros((4, 5, 6), np.int16), name=f"Scan {n}")
    settle()
    assert not several.ui.stackSearchEdit.isHidden()
    several.ui.stackSearchEdit.text = "cor"
    assert [item.text(NAME) for item in items(several) if not item.isHidden()] == ["coronal"]
    assert names(several) == ["axial", "sagittal", "coronal"]


def test_apply_undo_and_copy(several, stacks, scene, messages, wait):
    several.ui.mapsCheckBox.checked = True
    before = scene.GetNumberOfNodes()
    found = apply(several, wait)
    assert [node.GetName() for node in found] == [
        "axial combined", "axial combined coverage", "axial combined residual"
    ]  # fmt: skip
    ui = several.ui
    assert "axial combined: 3 stacks" in ui.resultLabel.text
    ui.detailsButton.click()
    assert "coronal: voxels as wide" in ui.detailsLabel.text
    ui.copyButton.click()
    scope = {"slicer": slicer}
    exec(slicer.app.clipboard().text(), scope)
    again = scope["result"]
    assert np.array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(found[0]))
    for node in (again, *(again.GetNodeReference(role) for role in (nodes.COVERAGE_ROLE, nodes.RESIDUAL_ROLE))):
        scene.RemoveNode(node)
    ui.undoButton.click()
    assert results() == [] and scene.GetNumberOfNodes() == before
    assert messages == []


def test_the_comparison_follows_the_row_that_is_clicked(several, stacks, messages, wait):
    panel = several.panel
    panel.choosing.parameters.compareAfter = True
    several.ui.applyButton.click()
    wait(lambda: panel.sideBySide.active)
    (result,) = (node for node in results() if not node.GetHideFromEditors())

    def shown():
        widgets = [slicer.app.layoutManager().sliceWidget(name) for name in VIEW_NAMES]
        return [w.mrmlSliceCompositeNode().GetBackgroundVolumeID() for w in widgets]

    assert slicer.app.layoutManager().layout == LAYOUT
    assert shown()[0] == stacks[0].GetID() and shown()[2] == result.GetID()
    middle = slicer.mrmlScene.GetNodeByID(shown()[1])
    assert middle.GetSpacing() == result.GetSpacing()
    several.ui.stackTree.setCurrentItem(items(several)[1])
    wait(lambda: panel.sideBySide.active and shown()[0] == stacks[1].GetID())
    assert shown()[2] == result.GetID()
    wait(lambda: several.ui.compareButton.checked)
    several.ui.compareButton.click()
    settle()
    assert not panel.sideBySide.active
    assert results() == [result] and messages == []
    # From one of its stacks in the other way, too.
    several.ui.oneVolumeButton.click()
    panel.choosing.parameters.inputVolume = stacks[2]
    settle()
    several.ui.compareButton.click()
    wait(lambda: panel.sideBySide.active)
    assert shown()[0] == stacks[2].GetID()


def test_cancel_refusal_and_a_volume_deleted_while_running(several, stacks, scene, messages, wait):
    several.panel.choosing.parameters.stacksAligned = False  # now it takes seconds
    settle()
    before = scenes.fingerprint(scene)
    several.ui.applyButton.click()
    assert several.ui.applyButton.text == "Cancel"
    wait(lambda: several.ui.progressBar.value > 0, 60)
    several.ui.applyButton.click()
    wait(lambda: several.panel.job is None)
    assert scenes.fingerprint(scene) == before and messages == []
    several.panel.choosing.parameters.stacksAligned = True
    voxels = slicer.util.arrayFromVolume(stacks[2]).copy()
    slicer.util.updateVolumeFromArray(stacks[2], 0 * voxels)
    settle()
    apply(several, wait)
    assert len(messages) == 1 and messages.pop().startswith("coronal holds one value only")
    slicer.util.updateVolumeFromArray(stacks[2], voxels)
    several.ui.applyButton.click()
    scene.RemoveNode(stacks[1])
    wait(lambda: several.panel.job is None)
    assert len(messages) == 1 and "removed" in messages.pop()
    assert results() == []


def test_results_and_an_output_that_is_a_stack_are_no_stacks(several, stacks, wait):
    (result,) = apply(several, wait)
    assert len(items(several)) == 3
    several.panel.choosing.parameters.outputVolume = stacks[1]
    settle()
    assert "replace its own input" in several.ui.estimateLabel.text
    assert not several.ui.applyButton.enabled
    several.panel.choosing.parameters.outputVolume = result
    settle()
    assert apply(several, wait) == [result]
    assert not several.ui.undoButton.enabled


def test_a_scene_closed_while_running_leaves_an_empty_list(several, scene, messages, wait):
    several.ui.applyButton.click()
    scene.Clear(0)
    wait(lambda: several.panel.job is None)
    settle()
    assert results() == [] and messages == []
    several.ui.stacksButton.click()
    settle()
    assert items(several) == [] and not several.ui.applyButton.enabled
