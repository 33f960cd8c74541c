"""What the panel's buttons start: runs, previews and comparisons, and how each ends, well or not."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scenes
import slicer
from conftest import app
from sample_models import interval_table
from scenes import choose, chooseModel, results
from standins import application
from VolumeSuperResolutionLib.application import dependencies, pythoncall, runs, wording
from VolumeSuperResolutionLib.application.comparison import LAYOUT
from VolumeSuperResolutionLib.application.scene import PREFIX
from VolumeSuperResolutionLib.application.worker import Worker
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.volumes.grid import Grid

GRID = Grid((4, 5, 6))
pytestmark = pytest.mark.usefixtures("warmed")


def grow(volume, shape):
    """Give the volume more voxels."""
    array = np.random.default_rng(2).integers(0, 900, shape).astype(np.int16)
    slicer.util.updateVolumeFromArray(volume, array)


def startSlowRun(opened, scene):
    """Start a run that can be disturbed; returns what the scene was before."""
    grow(opened.panel.choosing.parameters.inputVolume, (40, 48, 48))
    opened.panel.choosing.parameters.model = "slow"
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
        text = opened.ui.resultLabel.text
        assert "T1 x2 lanczos: Lanczos, " in text
        assert "% of the range of intensities on average" in text
        assert "Assumed: MR. Slices 3 mm thick every 3 mm (assumed), pixels of 1 mm. Noise " in text
        assert messages == []

    def test_into_a_chosen_volume(self, opened, scene, wait):
        target = scenes.addVolume(scene, name="Mine")
        opened.panel.choosing.parameters.outputVolume = target
        opened.ui.applyButton.click()
        wait(lambda: opened.panel.job is None)
        assert results() == [target]
        assert target.GetImageData().GetDimensions() == (28, 24, 20)

    def test_an_output_that_cannot_be_is_refused_before_apply(self, opened, volume):
        opened.panel.choosing.parameters.outputVolume = volume
        app.processEvents()
        assert not opened.ui.applyButton.enabled
        assert opened.ui.estimateLabel.text == "The output would replace its own input; choose another output volume."

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

    def test_reload_brings_a_fresh_library_that_works_and_is_tested(self, module, opened, wait, monkeypatch):
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
            fresh, tested = importlib.import_module("VolumeSuperResolutionLib.application.selftest"), []
            monkeypatch.setattr(fresh.SelfTest, "run", lambda checks: tested.append(checks))
            slicer.selfTests["VolumeSuperResolution"](msec=0)
            assert [type(each) for each in tested] == [fresh.SelfTest]
        finally:
            sys.modules.update(kept)

    def test_another_module_is_opened_while_running(self, module, opened, messages, wait):
        opened.panel.choosing.parameters.compareAfter = True
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
        opened.panel.choosing.parameters.inputVolume = empty
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
        opened.panel.update()
        opened.ui.applyButton.click()  # before the panel has seen them all
        wait(lambda: opened.panel.job is None)
        assert len(messages) == 1
        assert "not numbers" in messages[0]

    def test_torch_declined_and_torch_impossible(self, models, opened, messages, monkeypatch):
        opened.panel.choosing.parameters.model = "quick"
        app.processEvents()
        monkeypatch.setattr(dependencies, "ensureTorch", lambda: False)
        opened.ui.applyButton.click()
        assert (opened.panel.job, messages) == (None, [])

        def refuse():
            raise RefusalError("Install the extension PyTorch.")

        monkeypatch.setattr(dependencies, "ensureTorch", refuse)
        opened.ui.applyButton.click()
        assert (opened.panel.job, messages) == (None, ["Install the extension PyTorch."])

    def test_compare_after_apply_and_by_the_button(self, opened, volume, messages, wait):
        manager = slicer.app.layoutManager()
        before = manager.layout
        opened.ui.compareButton.click()
        assert len(messages) == 1
        assert "press Apply first" in messages.pop()
        opened.panel.choosing.parameters.compareAfter = True
        opened.ui.applyButton.click()
        wait(lambda: opened.ui.zoomButton.enabled)
        assert manager.layout == LAYOUT
        assert opened.ui.compareButton.checked
        opened.ui.zoomButton.click()
        opened.ui.compareButton.click()
        app.processEvents()
        assert manager.layout == before
        assert not opened.ui.compareButton.checked
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
        assert opened.ui.compareButton.text == "&Compare"
        assert not opened.ui.compareButton.checked
        assert not bar.isVisibleTo(bar.parent())
        assert not opened.panel.sideBySide.active
        assert messages == []

    def test_a_result_deleted_while_its_comparison_is_prepared(self, opened, scene, messages, wait):
        opened.panel.choosing.parameters.compareAfter = True
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
        monkeypatch.setattr(runs, "interpolationRequest", lambda *arguments: replace(real(*arguments), consistency=99))
        opened.panel.choosing.parameters.compareAfter = True
        opened.ui.applyButton.click()
        wait(lambda: messages)
        assert messages[0].startswith("The comparison could not be opened. 99 consistency rounds")
        assert len(results()) == 1
        app.processEvents()
        assert opened.ui.applyButton.enabled


class TestLastResult:
    @pytest.fixture
    def result(self, opened, wait):
        opened.ui.applyButton.click()
        wait(results)
        wait(lambda: opened.ui.applyButton.enabled)
        return results()[0]

    def test_the_line_is_that_of_the_chosen_volume(self, opened, scene, volume, result):
        assert not opened.ui.resultLabel.isHidden() and not opened.ui.resultRow.isHidden()
        opened.panel.choosing.parameters.inputVolume = scenes.addVolume(scene, name="another")
        app.processEvents()
        assert opened.ui.resultLabel.isHidden() and opened.ui.resultRow.isHidden()
        opened.panel.choosing.parameters.inputVolume = volume
        app.processEvents()
        assert not opened.ui.resultLabel.isHidden()
        scene.RemoveNode(result)
        opened.panel.update()
        assert opened.ui.resultLabel.isHidden()

    def test_hounsfield_units_are_named(self):
        report = replace(scenes.makeReport(GRID, GRID), modality="CT", consistency_residual=1.52)
        assert wording.residual(report) == "1.5 HU"
        assert wording.residual(replace(report, modality="MR", window=(100.0, 200.0))) == (
            "1.5% of the range of intensities"
        )

    def test_undo_removes_it_and_shows_the_input(self, opened, scene, volume, result):
        before = scenes.addVolume(scene, name="untouched")
        opened.ui.undoButton.click()
        assert results() == []
        assert scene.IsNodePresent(before) and scene.IsNodePresent(volume)
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        assert red.GetBackgroundVolumeID() == volume.GetID()
        assert opened.ui.resultRow.isHidden()

    def test_undo_removes_the_uncertainty_too_and_leaves_the_comparison(self, models, opened, wait):
        parameters = opened.panel.choosing.parameters
        parameters.model, parameters.device, parameters.uncertainty, parameters.compareAfter = (
            "quick",
            "cpu",
            True,
            True,
        )
        app.processEvents()
        opened.ui.applyButton.click()
        wait(lambda: opened.panel.sideBySide.active, 60)
        app.processEvents()
        opened.ui.undoButton.click()
        assert results() == []
        assert not opened.panel.sideBySide.active

    def test_maps_are_made_told_and_undone(self, models, opened, wait):
        ui = opened.ui
        opened.panel.choosing.parameters.compareAfter = True
        chooseModel(ui.modelTree, "nearest")
        assert not ui.intervalCheckBox.enabled  # there is no table for it
        zoo.write_intervals(zoo.card("quick"), [interval_table(noise=1)])
        chooseModel(ui.modelTree, "quick")
        choose(ui.targetSelector, "x2")
        assert ui.intervalCheckBox.enabled
        ui.intervalCheckBox.checked = ui.inventedCheckBox.checked = True
        ui.applyButton.click()
        wait(lambda: opened.panel.sideBySide.active, 60)
        app.processEvents()
        assert opened.panel.sideBySide.right.modes()[-2:] == ("interval", "invented")
        assert "with 90% (86 to 93% measured on 5 subjects)" in ui.resultLabel.text
        assert "is not determined by the scan, but filled in" in ui.resultLabel.text
        ui.undoButton.click()
        assert results() == []

    def test_what_was_overwritten_cannot_be_undone(self, opened, scene, wait):
        opened.panel.choosing.parameters.outputVolume = scenes.addVolume(scene, name="Mine")
        opened.ui.applyButton.click()
        wait(lambda: opened.panel.job is None)
        assert not opened.ui.undoButton.enabled

    def test_copied_as_python_it_does_the_same(self, opened, result):
        opened.ui.copyButton.click()
        text = slicer.app.clipboard().text()
        names = {"slicer": slicer}
        exec(text, names)
        again = names["result"]
        assert again is not result
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(result))
        assert again.GetAttribute(PREFIX + "Settings") == result.GetAttribute(PREFIX + "Settings")

    def test_every_setting_is_copied(self, volume):
        changed = {
            "scale": None, "isotropic": True, "device": "cpu", "precision": "fp32", "memory": 500, "consistency": 3,
            "realism": 0.5, "ensemble": True, "uncertainty": True, "region": ((0, 4), (0, 5), (1, 6)), "modality": "CT",
            "interval": True, "invented": True,
            "fill_nonfinite": True, "label_map": True, "model": "a 'quoted' one", "slice_thickness": 2.5,
            "profile": "C:\\box.txt", "noise": 1.5,
        }  # fmt: skip
        request = runs.makeRequest(volume, **changed)
        caught = {}
        lines = pythoncall.callFor("it's", request).splitlines()
        logic = SimpleNamespace(upscale=lambda scan, **options: caught.update(options))
        scope = {"VolumeSuperResolutionLogic": lambda: logic, "scan": volume, "slicer": slicer}
        exec(lines[-1], scope)
        assert runs.makeRequest(volume, **caught) == request
        assert lines[1] == 'scan = slicer.util.getNode("it\'s")'

    def test_details_show_the_whole_report(self, opened, result):
        assert opened.ui.detailsLabel.isHidden()
        opened.ui.detailsButton.click()
        assert not opened.ui.detailsLabel.isHidden()
        assert "degraded again, it differs from the scan by" in opened.ui.detailsLabel.text
