"""The panel's form and its settings: what the user sees and chooses, and what the scene keeps of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
import qt
import scenes
import slicer
from conftest import ROOT, app
from PySide6 import QtCore, QtTest, QtWidgets
from scenes import choose, chooseModel, results
from standins import application
from VolumeSuperResolutionLib.application import dependencies, runs, wording
from VolumeSuperResolutionLib.application.parameters import Parameters
from VolumeSuperResolutionLib.application.scene import INPUT_ROLE
from VolumeSuperResolutionLib.application.targets import TARGETS
from VolumeSuperResolutionLib.engine.models import zoo

UI = ROOT / "VolumeSuperResolution" / "Resources" / "UI" / "VolumeSuperResolution.ui"
pytestmark = pytest.mark.usefixtures("warmed")


def settle():
    """Let layouts and what was posted behind them come to rest."""
    for _ in range(20):
        app.processEvents()


class TestForm:
    widgets = tuple(ElementTree.parse(UI).iter("widget"))

    def named(self, name):
        return next(w for w in self.widgets if w.get("name") == name)

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
                "QLineEdit",
                "QTreeWidget",
                "QSlider",
                "ctkSliderWidget",
                "qMRMLNodeComboBox",
            )
        }
        missing = [name for name, w in controls.items() if not self.value(w, "toolTip")]
        assert not missing
        assert {t.text for t in ElementTree.parse(UI).iter("tabstop")} == set(controls)

    @pytest.mark.parametrize("isAdvanced", [False, True])
    @pytest.mark.parametrize("isSeveral", [False, True])
    def test_labels_lead_to_their_controls_by_key(self, isAdvanced, isSeveral):
        advanced = {w.get("name") for w in self.named("advancedCollapsibleButton").iter("widget")}
        several = {w.get("name") for w in self.named("stacksBox").iter("widget")}
        one = {
            "inputLabel",
            "targetLabel",
            "spacingLabel",
            "torchButton",
            "previewButton",
            "enoughButton",
            "segmentsButton",
        }
        hidden = one if isSeveral else several
        names = {w.get("name") for w in self.widgets}
        mnemonics = []
        for widget in self.widgets:
            buddy = self.value(widget, "buddy")
            assert buddy is None or buddy in names
            hasKey = (buddy or widget.get("class") == "QPushButton") and widget.get("name") not in hidden
            if hasKey and (widget.get("name") in advanced) == isAdvanced:
                mnemonics.append(self.value(widget, "text").partition("&")[2][:1].lower())
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


class TestSettings:
    def test_choices_go_to_the_scene_and_back(self, opened):
        parameters, ui = opened.panel.choosing.parameters, opened.ui
        chooseModel(ui.modelTree, "bspline")
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
        opened.panel.choosing.parameters.region = roi
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
        opened.panel.choosing.parameters.model = "quick"
        opened.panel.choosing.parameters.target = "slices4"
        app.processEvents()
        assert "scales by 2 x 2 x 2" in opened.ui.estimateLabel.text
        assert not opened.ui.applyButton.enabled

    def test_a_chosen_model_brings_a_target_that_it_reaches(self, models, opened):
        choose(opened.ui.targetSelector, "x4")
        chooseModel(opened.ui.modelTree, "quick")
        assert opened.panel.choosing.parameters.target == "x2"
        assert opened.ui.applyButton.enabled

    def test_a_learned_model_is_described_and_warns(self, models, opened, monkeypatch):
        gains = {
            "profile": {"MR": {"over_best_classical": [1.234, 0.5]}, "CT": {"over_best_classical": [-0.3, 0.0]}},
            "scanner": {"CT": {"over_best_classical": [2.4, 0.0]}, "US": {"over_best_classical": [0.5, 0.25]}},
        }
        scenes.makeModel(models, "gan")
        card = replace(zoo.card("gan"), modalities=("CT",), spacing_mm=(0.5, 1.0), gains=gains, caution="It invents.")
        zoo.write_card(card)
        opened.panel.choosing.parameters.model = "gan"
        app.processEvents()
        card, warning, details = opened.ui.cardLabel.text, opened.ui.warningLabel.text, opened.ui.methodLabel.toolTip
        assert "Trained on CT, voxels of 0.5 to 1 mm." in card
        assert "MR: +1.23 ± 0.50 dB over the best interpolation." in details
        assert "CT: -0.30 dB over the best interpolation; +2.40 dB on noisy scans." in details
        assert "US: +0.50 ± 0.25 dB over the best interpolation on noisy scans." in details
        assert "dB" not in card + opened.ui.methodLabel.text
        assert "It invents." in warning
        assert "was trained on CT; this volume looks like MR" in warning
        assert "was trained for voxels of 0.5 to 1 mm" in warning
        monkeypatch.setattr(dependencies, "torchState", lambda: (False, "PyTorch is missing."))
        opened.panel.update()
        assert "PyTorch is missing." in opened.ui.warningLabel.text

    def test_the_worker_is_warmed_for_networks_only(self, models, opened, warmed):
        warmed.clear()
        chooseModel(opened.ui.modelTree, "bspline")
        assert not warmed
        chooseModel(opened.ui.modelTree, "quick")
        assert warmed

    def test_modality_from_dicom(self, opened, scene, volume):
        assert runs.modalityOf(volume) == "auto"
        hierarchy = scene.GetSubjectHierarchyNode() or scene.AddNewNodeByClass("vtkMRMLSubjectHierarchyNode")
        item = hierarchy.GetItemByDataNode(volume) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
        assert runs.modalityOf(volume) == "CT"
        assert opened.panel.choosing.request().modality == "CT"

    def test_texts_with_marks_are_shown_as_such(self, opened):
        for label in (opened.ui.cardLabel, opened.ui.warningLabel, opened.ui.estimateLabel, opened.ui.resultLabel):
            assert label.textFormat == qt.Qt.RichText

    def test_long_texts_are_shown_whole_in_a_low_panel(self, module, models, opened, monkeypatch):
        monkeypatch.setattr(dependencies, "torchState", lambda: (False, "A long sentence about what is wrong. " * 12))
        frame = module.widgetRepresentation()
        frame.resize(400, 300)
        frame.show()
        opened.panel.choosing.parameters.model = "quick"
        for _ in range(20):
            app.processEvents()
        label, following = opened.ui.warningLabel, opened.ui.estimateLabel
        assert label.height > 60
        assert label.height == label.heightForWidth(label.width)
        assert label.geometry.bottom() < following.geometry.top()

    def test_nothing_is_drawn_over_anything_when_a_text_grows_by_a_line(self, module, opened, monkeypatch):
        frame = module.widgetRepresentation()
        frame.resize(400, 900)
        frame.show()
        settle()
        for length in (3, 30, 60, 5, 90, 40):
            monkeypatch.setattr(wording, "estimateLine", lambda *_, length=length: "word " * length)
            opened.panel.update()
            settle()
            form = opened.ui.upscaleCollapsibleButton
            shown = [c for c in form.children() if c.isWidgetType() and c.visible]
            for a, b in combinations(shown, 2):
                assert not a.geometry.intersects(b.geometry), (length, a.name, b.name)
            for label in (opened.ui.methodLabel, opened.ui.estimateLabel):
                assert label.height >= label.heightForWidth(label.width), (length, label.name)

    def test_a_model_that_is_gone_is_named_and_can_be_replaced(self, opened):
        opened.panel.choosing.parameters.model = "not-here"
        app.processEvents()
        assert not opened.ui.modelTree.selectedItems()
        assert "not-here" in opened.ui.warningLabel.text
        assert not opened.ui.applyButton.enabled
        chooseModel(opened.ui.modelTree, "linear")
        assert opened.ui.applyButton.enabled
        assert opened.ui.warningLabel.isHidden()

    @pytest.mark.parametrize(("name", "default"), [("target", "isotropic"), ("device", "auto"), ("precision", "auto")])
    def test_a_choice_that_is_gone_becomes_the_default(self, opened, name, default):
        setattr(opened.panel.choosing.parameters, name, "of another version")
        app.processEvents()
        assert getattr(opened.ui, f"{name}Selector").currentData == default
        assert opened.ui.applyButton.enabled

    def test_saved_and_loaded(self, opened, scene, volume, tmp_path, wait):
        chooseModel(opened.ui.modelTree, "bspline")
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
        assert (opened.panel.choosing.model, ui.targetSelector.currentData) == ("bspline", "slices2")
        assert ui.modelTree.selectedItems()[0].text(0) == "Cubic B-spline"
        assert ui.ensembleCheckBox.checked
        assert [r.GetNodeReference(INPUT_ROLE).GetName() for r in results()] == ["T1"]

    def test_a_loaded_scene_keeps_its_own_input(self, opened, scene, volume, tmp_path):
        """Selectors choose the first volume by themselves while a scene is loaded."""
        saved = scenes.addVolume(scene, name="saved choice")
        opened.panel.choosing.parameters.inputVolume = saved
        scene.SetURL(str(tmp_path / "scene.mrml"))
        scene.Commit()
        scene.Connect()
        app.processEvents()
        assert [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == ["T1", "saved choice"]
        assert opened.panel.choosing.parameters.inputVolume.GetName() == "saved choice"
        assert opened.ui.inputSelector.currentNode().GetName() == "saved choice"

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
