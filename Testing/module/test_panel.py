"""The panel: what it shows, what it keeps in the scene, and how it runs, cancels and fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import qt
import scenes
import slicer
from conftest import ROOT, app
from PySide6 import QtCore, QtTest, QtWidgets
from standins import application
from VolumeSuperResolutionLib.engine import zoo
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.slicing import dependencies, runs
from VolumeSuperResolutionLib.slicing.comparison import LAYOUT
from VolumeSuperResolutionLib.slicing.parameters import TARGETS, Parameters
from VolumeSuperResolutionLib.slicing.scene import INPUT_ROLE
from VolumeSuperResolutionLib.slicing.sidebyside import crosshair
from VolumeSuperResolutionLib.slicing.worker import Worker

UI = ROOT / "VolumeSuperResolution" / "Resources" / "UI" / "VolumeSuperResolution.ui"
MOST_BLOCKED_MS = 100


@pytest.fixture(autouse=True)
def warmed(monkeypatch):
    """How often the worker was warmed, which costs each test more than its run."""
    calls = []
    monkeypatch.setattr(Worker, "prepare", lambda self: calls.append(1))
    return calls


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two models with random weights: a quick one, and one that takes long enough to be interrupted."""
    folder = scenes.makeModel(tmp_path / "models", "quick")
    scenes.makeModel(folder, "slow", features=16, blocks=6)
    monkeypatch.setenv("VSR_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def volume(scene):
    array = np.random.default_rng(1).integers(0, 900, (10, 12, 14)).astype(np.int16)
    return scenes.addVolume(scene, array, np.diag([1.0, 1.0, 3.0]), "T1")


@pytest.fixture
def opened(volume, widget, messages):
    """The panel with a volume, set to Lanczos and to stay in the layout that is there."""
    parameters = widget.panel._parameters
    parameters.model, parameters.compareAfter = "lanczos", False
    app.processEvents()
    return widget


def grow(volume, shape):
    """Give the volume more voxels."""
    array = np.random.default_rng(2).integers(0, 900, shape).astype(np.int16)
    slicer.util.updateVolumeFromArray(volume, array)


def results():
    return [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetNodeReference(INPUT_ROLE)]


def choose(selector, data):
    selector.currentIndex = selector.findData(data)
    app.processEvents()


class TestForm:
    widgets = tuple(ElementTree.parse(UI).iter("widget"))

    @staticmethod
    def value(widget, name):
        found = widget.find(f"./property[@name='{name}']")
        return None if found is None else found[0].text

    def test_every_control_has_a_tooltip_and_is_in_the_tab_order(self):
        controls = {
            w.get("name"): w
            for w in self.widgets
            if w.get("class")
            in (
                "QComboBox",
                "QPushButton",
                "QCheckBox",
                "QSpinBox",
                "QDoubleSpinBox",
                "ctkSliderWidget",
                "qMRMLNodeComboBox",
            )
        }
        missing = [name for name, w in controls.items() if not self.value(w, "toolTip")]
        assert not missing
        assert {t.text for t in ElementTree.parse(UI).iter("tabstop")} == set(controls)

    def test_labels_lead_to_their_controls_by_key(self):
        names = {w.get("name") for w in self.widgets}
        mnemonics = []
        for label in (w for w in self.widgets if self.value(w, "buddy")):
            assert self.value(label, "buddy") in names
            mnemonics.append(self.value(label, "text").partition("&")[2][:1].lower())
        mnemonics += [
            self.value(w, "text").partition("&")[2][:1].lower()
            for w in self.widgets
            if w.get("class") in ("QPushButton", "QCheckBox")
        ]
        assert "" not in mnemonics
        assert len(set(mnemonics)) == len(mnemonics)
        assert not set(mnemonics) & set("fevh"), "taken by the main window's menus File, Edit, View and Help"

    def test_node_selectors_take_keys(self, module, opened, scene):
        other = scenes.addVolume(scene, name="other")
        frame = module.widgetRepresentation()
        frame.show()
        frame.activateWindow()
        opened.ui.inputSelector.setFocus()
        app.processEvents()
        QtTest.QTest.keyClick(QtWidgets.QApplication.focusWidget(), QtCore.Qt.Key_Down)
        assert opened.ui.inputSelector.currentNode() is other

    def test_notice_is_outside_of_what_can_be_collapsed(self, widget):
        label = widget.ui.noticeLabel
        assert label.text == "Research use only - not for diagnosis"
        assert label.parent().className() == "qMRMLWidget"

    def test_advanced_is_collapsed(self, widget):
        assert widget.ui.advancedCollapsibleButton.collapsed


class TestModuleFile:
    def test_import_brings_nothing_heavy(self):
        code = (
            "import sys, standins; standins.install()\n"
            "before = set(sys.modules)\n"
            "import VolumeSuperResolution\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "assert new <= {'VolumeSuperResolution'}, new\n"
        )
        path = os.pathsep.join([str(ROOT / "VolumeSuperResolution"), str(ROOT / "Testing")])
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path}, timeout=120)

    def test_works_where_torch_is_not_installed(self):
        code = (
            "import sys; sys.modules['torch'] = None\n"
            "import standins; standins.install()\n"
            "from standins import application\n"
            f"module = application.loadModule({str(ROOT / 'VolumeSuperResolution' / 'VolumeSuperResolution.py')!r})\n"
            "import SampleData, slicer\n"
            "node = SampleData.SampleDataLogic().downloadSample('VolumeSuperResolution MR brain')\n"
            "widget = application.openModule(module)\n"
            "widget.panel._parameters.model = 'linear'\n"
            "slicer.app.processEvents()\n"
            "assert widget.ui.applyButton.enabled\n"
            "assert widget.logic.upscale(node, 'linear', region=((0, 9), (0, 9), (0, 9))) is not None\n"
            "widget.cleanup()\n"
        )
        path = os.pathsep.join([str(ROOT / "VolumeSuperResolution"), str(ROOT / "Testing")])
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path}, timeout=120)

    def test_description(self, module):
        assert module.categories == ["Filtering"]
        assert "not for diagnosis" in module.helpText
        # The help is shown by a QTextBrowser, which loads no pictures from the web.
        picture = re.search('<img src="([^"]+)">', module.helpText).group(1)
        assert picture.startswith("file:///")
        assert Path(QtCore.QUrl(picture).toLocalFile()).is_file()
        assert (ROOT / re.search('main/(Resources/[^"]+)', module.helpText).group(1)).is_file()
        assert module.icon is not None

    def test_samples_are_registered(self, module):
        import SampleData

        node = SampleData.SampleDataLogic().downloadSample("VolumeSuperResolution CT chest")
        assert node.GetImageData().GetDimensions() == (160, 160, 44)


class TestSettings:
    def test_models_are_grouped_and_headings_cannot_be_chosen(self, models, opened):
        selector = opened.ui.modelSelector
        entries = [(selector.itemText(n), selector.itemData(n)) for n in range(selector.count)]
        assert entries[0] == ("Classical", "")
        assert entries[1:3] == [("Nearest neighbor", "nearest"), ("Linear", "linear")]
        assert not selector.model().item(0).isEnabled()
        assert selector.model().item(1).isEnabled()
        assert {"quick", "slow"} <= {data for _text, data in entries}

    def test_choices_go_to_the_scene_and_back(self, opened):
        parameters, ui = opened.panel._parameters, opened.ui
        choose(ui.modelSelector, "bspline")
        choose(ui.targetSelector, "x4")
        ui.memorySpinBox.value = 2000
        assert (parameters.model, parameters.target, parameters.memory) == ("bspline", "x4", 2000)
        parameters.target, parameters.device, parameters.consistency = "isotropic", "cpu", 3
        app.processEvents()
        assert ui.targetSelector.currentData == "isotropic"
        assert (ui.deviceSelector.currentData, ui.consistencySpinBox.value) == ("cpu", 3)

    def test_own_spacing_begins_at_half_and_shows_its_row(self, opened):
        assert opened.ui.spacingRow.isHidden()
        choose(opened.ui.targetSelector, "spacing")
        assert not opened.ui.spacingRow.isHidden()
        assert (opened.ui.spacingISpinBox.value, opened.ui.spacingKSpinBox.value) == (0.5, 1.5)
        opened.ui.spacingKSpinBox.value = 1.0
        app.processEvents()
        assert "at 0.5 x 0.5 x 1 mm" in opened.ui.estimateLabel.text

    def test_estimate_line(self, opened):
        text = opened.ui.estimateLabel.text
        assert text == "<b>14x12x10 at 1 x 1 x 3 mm -&gt; 28x24x20 at 0.5 x 0.5 x 1.5 mm, 1 MB</b>"

    @pytest.mark.parametrize(
        ("target", "size"),
        [
            ("x2", (28, 24, 20)),
            ("x4", (56, 48, 40)),
            ("slices2", (14, 12, 20)),
            ("slices4", (14, 12, 40)),
            ("isotropic", (14, 12, 30)),
        ],
    )
    def test_targets(self, opened, target, size):
        assert target in TARGETS
        choose(opened.ui.targetSelector, target)
        assert f"{'x'.join(map(str, size))} at" in opened.ui.estimateLabel.text

    def test_the_estimate_follows_the_region_and_the_volume(self, opened, scene, volume):
        roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        roi.SetSize(4, 4, 6)
        roi.SetCenter(np.asarray(scenes.bounds(volume)).reshape(3, 2).mean(1))
        opened.panel._parameters.region = roi
        app.processEvents()
        before = opened.ui.estimateLabel.text
        assert before.startswith("<b>4x4x2 at")
        roi.SetSize(8, 4, 6)
        app.processEvents()
        assert opened.ui.estimateLabel.text.startswith("<b>8x4x2 at")
        volume.SetSpacing(2.0, 1.0, 3.0)
        app.processEvents()
        assert "at 2 x 1 x 3 mm" in opened.ui.estimateLabel.text
        opened.panel.setParameters(None)
        assert opened.panel._observed == []

    def test_a_refusal_is_shown_and_nothing_can_be_started(self, models, opened):
        opened.panel._parameters.model = "quick"
        opened.panel._parameters.target = "slices4"
        app.processEvents()
        assert "scales by 2 x 2 x 2" in opened.ui.estimateLabel.text
        assert not opened.ui.applyButton.enabled

    def test_a_chosen_model_brings_a_target_that_it_reaches(self, models, opened):
        choose(opened.ui.targetSelector, "x4")
        choose(opened.ui.modelSelector, "quick")
        assert opened.panel._parameters.target == "x2"
        assert opened.ui.applyButton.enabled

    def test_a_learned_model_is_described_and_warns(self, models, opened, monkeypatch):
        gains = {
            "profile": {"MR": {"over_best_classical": [1.234, 0.5]}, "CT": {"over_best_classical": [-0.3, 0.0]}},
            "scanner": {"CT": {"over_best_classical": [2.4, 0.0]}, "US": {"over_best_classical": [0.5, 0.25]}},
        }
        scenes.makeModel(models, "gan")
        card = replace(zoo.card("gan"), modalities=("CT",), spacing_mm=(0.5, 1.0), gains=gains, caution="It invents.")
        zoo.write_card(card)
        opened.panel._parameters.model = "gan"
        app.processEvents()
        card, warning = opened.ui.cardLabel.text, opened.ui.warningLabel.text
        assert "Trained on CT, voxels of 0.5 to 1 mm." in card
        assert "MR: +1.23 ± 0.50 dB over the best interpolation." in card
        assert "CT: -0.30 dB over the best interpolation; +2.40 dB on noisy scans." in card
        assert "US: +0.50 ± 0.25 dB over the best interpolation on noisy scans." in card
        assert "It invents." in warning
        assert "was trained on CT; this volume looks like MR" in warning
        assert "was trained for voxels of 0.5 to 1 mm" in warning
        monkeypatch.setattr(dependencies, "torchState", lambda: (False, "PyTorch is missing."))
        opened.panel.update()
        assert "PyTorch is missing." in opened.ui.warningLabel.text

    def test_the_worker_is_warmed_for_networks_only(self, models, opened, warmed):
        warmed.clear()
        choose(opened.ui.modelSelector, "bspline")
        assert not warmed
        choose(opened.ui.modelSelector, "quick")
        assert warmed

    def test_modality_from_dicom(self, opened, scene, volume):
        assert runs.modalityOf(volume) == "auto"
        hierarchy = scene.GetSubjectHierarchyNode() or scene.AddNewNodeByClass("vtkMRMLSubjectHierarchyNode")
        item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
        assert runs.modalityOf(volume) == "CT"
        assert opened.panel._request().modality == "CT"

    def test_texts_with_marks_are_shown_as_such(self, opened):
        for label in (opened.ui.cardLabel, opened.ui.warningLabel, opened.ui.estimateLabel, opened.ui.resultLabel):
            assert label.textFormat == qt.Qt.RichText

    def test_long_texts_are_shown_whole_in_a_low_panel(self, module, models, opened, monkeypatch):
        monkeypatch.setattr(dependencies, "torchState", lambda: (False, "A long sentence about what is wrong. " * 12))
        frame = module.widgetRepresentation()
        frame.resize(400, 300)
        frame.show()
        opened.panel._parameters.model = "quick"
        for _ in range(20):
            app.processEvents()
        label, following = opened.ui.warningLabel, opened.ui.targetSelector
        assert label.height > 60
        assert label.height == label.heightForWidth(label.width)
        assert label.geometry.bottom() < following.geometry.top()

    def test_a_model_that_is_gone_is_named_and_can_be_replaced(self, opened):
        opened.panel._parameters.model = "not-here"
        app.processEvents()
        assert opened.ui.modelSelector.currentIndex == -1
        assert "not-here" in opened.ui.warningLabel.text
        assert not opened.ui.applyButton.enabled
        choose(opened.ui.modelSelector, "linear")
        assert opened.ui.applyButton.enabled
        assert opened.ui.warningLabel.isHidden()

    @pytest.mark.parametrize("name", ["target", "device", "precision"])
    def test_a_choice_that_is_gone_becomes_the_default(self, opened, name):
        setattr(opened.panel._parameters, name, "of another version")
        app.processEvents()
        assert getattr(opened.panel._parameters, name) in ("x2", "auto")
        assert opened.ui.applyButton.enabled

    def test_saved_and_loaded(self, opened, scene, volume, tmp_path, wait):
        choose(opened.ui.modelSelector, "bspline")
        choose(opened.ui.targetSelector, "slices2")
        opened.ui.ensembleCheckBox.checked = True
        opened.ui.applyButton.click()
        wait(lambda: results())
        path = str(tmp_path / "scene.mrml")
        for node in (volume, results()[0]):
            storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
            storage.SetFileName(str(tmp_path / f"{node.GetID()}.nrrd"))
            node.SetAndObserveStorageNodeID(storage.GetID())
            assert storage.WriteData(node)
        scene.SetURL(path)
        scene.Commit()
        scene.Clear(0)
        app.processEvents()
        assert opened.ui.inputSelector.currentNode() is None
        scene.SetURL(path)
        scene.Connect()
        app.processEvents()
        ui = opened.ui
        assert ui.inputSelector.currentNode().GetName() == "T1"
        assert (ui.modelSelector.currentData, ui.targetSelector.currentData) == ("bspline", "slices2")
        assert ui.ensembleCheckBox.checked
        assert [r.GetNodeReference(INPUT_ROLE).GetName() for r in results()] == ["T1"]

    def test_leaving_and_entering_the_module(self, module, opened):
        node = opened.logic.getParameterNode()
        observed = node.HasObserver("ModifiedEvent")
        application.openModule(module, False)
        node.SetParameter("target", "x4")
        app.processEvents()
        assert opened.ui.targetSelector.currentData == "x2"
        application.openModule(module)
        app.processEvents()
        assert opened.ui.targetSelector.currentData == "x4"
        assert observed

    def test_the_first_volume_is_chosen(self, volume, widget):
        assert Parameters(widget.logic.getParameterNode()).inputVolume is volume


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
        grow(opened.panel._parameters.inputVolume, (40, 48, 48))
        opened.panel._parameters.model = "slow"
        app.processEvents()
        before = scenes.fingerprint(scene)
        opened.ui.applyButton.click()
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
        grow(opened.panel._parameters.inputVolume, (40, 48, 48))
        opened.panel._parameters.model = "slow"
        app.processEvents()
        before = scenes.fingerprint(scene)
        opened.ui.applyButton.click()
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
        before = sys.modules["VolumeSuperResolutionLib.slicing.panel"]
        kept = {name: m for name, m in sys.modules.items() if name.startswith("VolumeSuperResolutionLib")}
        try:
            opened.onReload()
            again = application.openModule(module)
            assert sys.modules["VolumeSuperResolutionLib.slicing.panel"] is not before
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
