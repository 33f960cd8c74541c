"""What the panel's buttons start: runs, previews and comparisons, and how each ends, well or not."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import qt
import scenes
import slicer
from conftest import app
from scenes import choose, results
from standins import application
from VolumeSuperResolutionLib.application import dependencies, runs
from VolumeSuperResolutionLib.application.comparison import LAYOUT
from VolumeSuperResolutionLib.application.sidebyside import crosshair
from VolumeSuperResolutionLib.application.worker import Worker
from VolumeSuperResolutionLib.engine.errors import RefusalError

MOST_BLOCKED_MS = 100
pytestmark = pytest.mark.usefixtures("warmed")


def grow(volume, shape):
    """Give the volume more voxels."""
    array = np.random.default_rng(2).integers(0, 900, shape).astype(np.int16)
    slicer.util.updateVolumeFromArray(volume, array)


def startSlowRun(opened, scene):
    """Start a run that can be disturbed; returns what the scene was before."""
    grow(opened.panel._parameters.inputVolume, (40, 48, 48))
    opened.panel._parameters.model = "slow"
    app.processEvents()
    before = scenes.fingerprint(scene)
    opened.ui.applyButton.click()
    return before


class TestRuns:
    def test_apply(self, opened, volume, messages, wait):
        opened.ui.applyButton.click()
        assert opened.ui.applyButton.text == "Cancel"
        assert not opened.ui.previewButton.enabled
        assert not opened.ui.progressBar.isHidden()
        wait(lambda: results())
        app.processEvents()
        assert opened.ui.applyButton.text == "&Apply"
        assert opened.ui.progressBar.isHidden()
        (result,) = results()
        assert result.GetName() == "T1 x2 lanczos"
        assert "T1 x2 lanczos: " in opened.ui.resultLabel.text
        assert "agrees with the scan within" in opened.ui.resultLabel.text
        assert messages == []

    def test_into_a_chosen_volume(self, opened, scene, wait):
        target = scenes.addVolume(scene, name="Mine")
        opened.panel._parameters.outputVolume = target
        opened.ui.applyButton.click()
        wait(lambda: opened.panel.job is None)
        assert results() == [target]
        assert target.GetImageData().GetDimensions() == (28, 24, 20)

    def test_an_output_that_cannot_be_is_refused_before_anything_is_computed(self, opened, volume, messages):
        opened.panel._parameters.outputVolume = volume
        opened.ui.applyButton.click()
        assert opened.panel.job is None
        assert messages == ["The output would replace its own input; choose another output volume."]

    def test_progress_and_cancel(self, models, opened, scene, messages, wait):
        before = startSlowRun(opened, scene)
        job = opened.panel.job
        wait(lambda: "left" in opened.ui.progressBar.format, 120)
        assert opened.ui.progressBar.value > 0
        opened.ui.applyButton.click()
        assert not opened.ui.applyButton.enabled
        wait(lambda: opened.panel.job is None)
        assert not job.running
        assert opened.ui.applyButton.text == "&Apply"
        assert scenes.fingerprint(scene) == before
        assert messages == []

    def test_killed_worker_gives_one_message(self, models, opened, scene, messages, wait):
        before = startSlowRun(opened, scene)
        wait(lambda: opened.ui.progressBar.value > 0, 120)
        os.kill(Worker.shared()._child.pid, signal.SIGKILL)
        wait(lambda: opened.panel.job is None)
        assert len(messages) == 1
        assert "ended unexpectedly" in messages[0]
        assert scenes.fingerprint(scene) == before

    def test_input_deleted_while_running(self, opened, scene, volume, messages, wait):
        opened.ui.applyButton.click()
        scene.RemoveNode(volume)
        wait(lambda: opened.panel.job is None)
        assert len(messages) == 1
        assert "removed" in messages[0]
        assert results() == []

    def test_scene_closed_while_running(self, opened, scene, messages, wait):
        opened.ui.applyButton.click()
        scene.Clear(0)
        wait(lambda: opened.panel.job is None and not Worker.shared().running)
        assert results() == []
        assert messages == []

    def test_module_reloaded_while_running(self, module, opened, messages, wait):
        opened.ui.applyButton.click()
        old = opened.panel
        slicer.util.reloadScriptedModule("VolumeSuperResolution")
        assert not Worker.shared().running
        app.processEvents()
        assert old.job is None
        assert results() == []
        assert messages == []
        assert slicer.modules.VolumeSuperResolutionWidget is not opened
        slicer.modules.VolumeSuperResolutionWidget.cleanup()

    def test_reload_brings_a_fresh_library_that_works(self, module, opened, wait):
        before = sys.modules["VolumeSuperResolutionLib.application.panel"]
        kept = {name: m for name, m in sys.modules.items() if name.startswith("VolumeSuperResolutionLib")}
        try:
            opened.onReload()
            again = application.openModule(module)
            assert sys.modules["VolumeSuperResolutionLib.application.panel"] is not before
            app.processEvents()
            again.ui.applyButton.click()
            wait(results)
            again.cleanup()
        finally:
            sys.modules.update(kept)

    def test_another_module_is_opened_while_running(self, module, opened, messages, wait):
        opened.panel._parameters.compareAfter = True
        opened.ui.applyButton.click()
        application.openModule(module, False)
        wait(lambda: opened.panel.job is None)
        assert len(results()) == 1
        assert messages == []
        application.openModule(module)
        assert opened.ui.applyButton.text == "&Apply"

    def test_label_maps_and_empty_volumes_are_refused(self, opened, scene, volume):
        scene.RemoveNode(volume)
        empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        opened.panel._parameters.inputVolume = empty
        app.processEvents()
        assert "Empty is empty" in opened.ui.estimateLabel.text
        assert not opened.ui.applyButton.enabled
        labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        opened.ui.inputSelector.setCurrentNode(labels)
        assert opened.ui.inputSelector.currentNode() is None

    def test_not_a_number_gives_one_message(self, opened, volume, messages, wait):
        array = np.zeros((4, 5, 6), np.float32)
        array[0, 0, 0] = np.nan
        slicer.util.updateVolumeFromArray(volume, array)
        app.processEvents()
        opened.ui.applyButton.click()
        wait(lambda: opened.panel.job is None)
        assert len(messages) == 1
        assert "not numbers" in messages[0]

    def test_torch_declined_and_torch_impossible(self, models, opened, messages, monkeypatch):
        opened.panel._parameters.model = "quick"
        app.processEvents()
        monkeypatch.setattr(dependencies, "ensureTorch", lambda: False)
        opened.ui.applyButton.click()
        assert (opened.panel.job, messages) == (None, [])

        def refuse():
            raise RefusalError("Install the extension PyTorch.")

        monkeypatch.setattr(dependencies, "ensureTorch", refuse)
        opened.ui.applyButton.click()
        assert (opened.panel.job, messages) == (None, ["Install the extension PyTorch."])

    def test_preview_is_a_box_around_the_crosshair_and_used_again(self, opened, scene, volume, wait):
        grow(volume, (80, 90, 100))
        pointer = scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
        ras = np.add(scenes.ORIGIN, (30.0, 40.0, 90.0))
        pointer.SetCrosshairRAS(*ras)
        app.processEvents()
        opened.ui.previewButton.click()
        wait(lambda: opened.panel.sideBySide.active)
        (preview,) = [n for n in results() if not n.GetHideFromEditors()]
        assert preview.GetName() == "T1 preview"
        assert preview.GetImageData().GetDimensions() == (128, 128, 128)
        bounds = [0.0] * 6
        preview.GetRASBounds(bounds)
        assert all(bounds[2 * n] < ras[n] < bounds[2 * n + 1] for n in range(3))
        assert slicer.app.layoutManager().layout == LAYOUT
        wait(lambda: opened.ui.previewButton.enabled)
        opened.ui.previewButton.click()
        wait(lambda: opened.panel.job is None)
        wait(lambda: opened.panel.sideBySide.active and not Worker.shared().running)
        assert [n for n in results() if not n.GetHideFromEditors()] == [preview]

    def test_preview_off_the_crosshair_is_in_the_middle(self, scene, volume):
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        middle = tuple((a + b) / 2 for a, b in zip(bounds[::2], bounds[1::2]))
        assert crosshair(volume) == middle

    def test_compare_after_apply_and_by_the_button(self, opened, volume, messages, wait):
        manager = slicer.app.layoutManager()
        before = manager.layout
        opened.ui.compareButton.click()
        assert len(messages) == 1
        assert "press Apply first" in messages.pop()
        opened.panel._parameters.compareAfter = True
        opened.ui.applyButton.click()
        wait(lambda: opened.ui.zoomButton.enabled)
        assert manager.layout == LAYOUT
        assert opened.ui.compareButton.checked
        opened.ui.flickerCheckBox.checked = True
        opened.ui.zoomButton.click()
        opened.ui.compareButton.click()
        app.processEvents()
        assert manager.layout == before
        assert not opened.ui.compareButton.checked
        assert not opened.ui.flickerCheckBox.checked
        assert [n.GetName() for n in results()] == ["T1 x2 lanczos"]
        opened.ui.compareButton.click()
        wait(lambda: opened.panel.sideBySide.active)
        assert manager.layout == LAYOUT
        assert messages == []

    def test_a_comparison_that_is_being_prepared_says_so_and_can_be_cancelled(self, opened, volume, messages, wait):
        grow(volume, (40, 48, 48))
        opened.ui.applyButton.click()
        wait(results)
        wait(lambda: opened.ui.applyButton.enabled)
        bar = opened.ui.progressBar
        assert not bar.isVisibleTo(bar.parent())
        opened.ui.compareButton.click()
        app.processEvents()
        assert opened.panel.sideBySide.preparing
        assert opened.ui.compareButton.text == "Cancel comparison"
        assert opened.ui.compareButton.enabled
        assert not opened.ui.applyButton.enabled
        assert bar.isVisibleTo(bar.parent())
        opened.ui.compareButton.click()
        wait(lambda: opened.ui.applyButton.enabled)
        assert opened.ui.compareButton.text == "&Compare side by side"
        assert not opened.ui.compareButton.checked
        assert not bar.isVisibleTo(bar.parent())
        assert not opened.panel.sideBySide.active
        assert messages == []

    def test_a_result_deleted_while_its_comparison_is_prepared(self, opened, scene, messages, wait):
        opened.panel._parameters.compareAfter = True
        opened.ui.applyButton.click()
        wait(lambda: opened.panel.sideBySide.preparing)
        scene.RemoveNode(results()[0])
        wait(lambda: not opened.panel.sideBySide.preparing)
        app.processEvents()
        assert not opened.panel.sideBySide.active
        assert results() == []
        assert opened.ui.applyButton.enabled
        assert messages == []

    def test_a_comparison_that_cannot_be_computed_is_told_and_keeps_the_result(
        self, opened, messages, wait, monkeypatch
    ):
        real = runs.interpolationRequest
        monkeypatch.setattr(runs, "interpolationRequest", lambda request: replace(real(request), consistency=99))
        opened.panel._parameters.compareAfter = True
        opened.ui.applyButton.click()
        wait(lambda: messages)
        assert messages[0].startswith("The comparison could not be opened. 99 consistency rounds")
        assert len(results()) == 1
        app.processEvents()
        assert opened.ui.applyButton.enabled

    def test_the_event_loop_goes_on(self, models, opened, wait):
        """What the issue asks for: never more than 100 ms without an event while the worker computes.

        On a busy machine a process may be kept waiting that long; what blocks by itself does so each time.
        """
        grow(opened.panel._parameters.inputVolume, (60, 128, 128))
        choose(opened.ui.modelSelector, "quick")
        longest = []
        for _attempt in range(3):
            clock, gaps = qt.QElapsedTimer(), []
            ticks = qt.QTimer()
            ticks.setInterval(0)
            ticks.connect("timeout()", lambda clock=clock, gaps=gaps: gaps.append(clock.restart()))
            clock.start()
            ticks.start()
            opened.ui.applyButton.click()
            wait(lambda: opened.panel.job is None, 120)
            ticks.stop()
            longest.append(max(gaps))
            if longest[-1] < MOST_BLOCKED_MS:
                break
        assert min(longest) < MOST_BLOCKED_MS
        assert len(results()) == len(longest)
