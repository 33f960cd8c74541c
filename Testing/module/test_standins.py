"""The stand-ins behave as Slicer does where a module could tell the difference."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import ctk
import numpy as np
import pytest
import qt
import shiboken6
import slicer
from conftest import app
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from standins import pythonqt


class TestPythonQt:
    def test_properties_are_attributes(self):
        combo = qt.QComboBox()
        combo.addItems(("a", "b"))
        combo.currentIndex = 1
        assert (combo.currentText, combo.count, combo.currentIndex) == ("b", 2, 1)
        with pytest.raises(TypeError, match="not callable"):
            combo.currentText()
        combo.setCurrentText("a")
        assert combo.currentIndex == 0

    def test_methods_stay_methods(self):
        button = qt.QPushButton("x")
        button.enabled = False
        assert not button.isEnabled()
        layout = qt.QVBoxLayout(button)
        layout.addWidget(qt.QLabel("y"))
        assert layout.count() == 1
        assert isinstance(button.children(), tuple)

    def test_unknown_attributes_are_refused(self):
        with pytest.raises(AttributeError):
            qt.QPushButton("x").enabledd = False

    @pytest.mark.parametrize(("name", "value"), [("text", 5), ("enabled", "yes"), ("text", np.str_("x"))])
    def test_wrong_types_are_refused(self, name, value):
        with pytest.raises(AttributeError):
            setattr(qt.QPushButton("x"), name, value)

    def test_numpy_scalars_are_refused(self):
        spin = qt.QSpinBox()
        with pytest.raises(ValueError, match="wrong arguments"):
            spin.setValue(np.float32(3))
        with pytest.raises(AttributeError):
            spin.value = np.int64(3)

    def test_numbers_and_none_are_adapted(self):
        spin, label = qt.QSpinBox(), qt.QLabel()
        spin.value = 3.7
        label.text = None
        assert (spin.value, label.text) == (3, "None")

    def test_constructors_take_no_keywords(self):
        with pytest.raises(TypeError):
            qt.QPushButton(text="x")

    def test_connect_by_signature(self):
        button, seen = qt.QPushButton("x"), []

        def slot(checked="nothing"):
            seen.append(checked)

        assert button.connect("clicked(bool)", slot)
        assert button.connect("clicked()", slot)
        assert not button.connect("clicked(int)", slot)
        assert not button.connect("clickd()", slot)
        button.click()
        assert seen == [False, "nothing"]
        assert button.disconnect("clicked(bool)", slot)
        assert not button.disconnect("clicked(int)", slot)

    def test_surplus_arguments_are_dropped_and_two_connections_fire_twice(self):
        button, seen = qt.QPushButton("x"), []

        def slot():
            seen.append(1)

        button.clicked.connect(slot)
        button.clicked.connect(slot)
        button.click()
        assert seen == [1, 1]

    def test_a_connection_keeps_a_method_alive(self):
        class Owner:
            def __init__(self, seen):
                self.seen = seen

            def slot(self):
                self.seen.append(1)

        button, seen = qt.QPushButton("x"), []
        button.connect("clicked()", Owner(seen).slot)
        button.click()
        assert seen == [1]

    def test_there_are_no_overloads_by_index(self):
        with pytest.raises(TypeError):
            qt.QSpinBox().valueChanged[int]

    def test_errors_in_slots_are_printed(self, capsys):
        button = qt.QPushButton("x")
        button.connect("clicked()", lambda: 1 / 0)
        button.click()
        assert "ZeroDivisionError" in capsys.readouterr().err
        assert len(pythonqt.SLOT_ERRORS) == 1
        pythonqt.SLOT_ERRORS.clear()

    def test_classes_have_no_qt_bases(self):
        button = qt.QPushButton("x")
        assert not isinstance(button, qt.QWidget)
        assert button.inherits("QWidget")
        parent = qt.QWidget()
        qt.QVBoxLayout(parent).addWidget(button)
        assert button in parent.findChildren(qt.QWidget)

    def test_destroyed_widgets_raise(self):
        label = qt.QLabel("x")
        shiboken6.delete(label)
        with pytest.raises(ValueError, match="destroyed"):
            label.text  # noqa: B018
        with pytest.raises(ValueError, match="destroyed"):
            label.text = "y"

    def test_a_timer_needs_a_reference(self, wait):
        seen = []

        def forget():
            timer = qt.QTimer()
            timer.connect("timeout()", lambda: seen.append("forgotten"))
            timer.start(1)

        forget()
        kept = qt.QTimer()
        kept.setInterval(1)
        kept.connect("timeout()", lambda: seen.append("kept"))
        kept.start()
        qt.QTimer.singleShot(20, lambda: seen.append("once"))
        wait(lambda: "once" in seen)
        kept.stop()
        assert set(seen) == {"kept", "once"}

    def test_a_process_tells_on_time(self, wait):
        process, seen = qt.QProcess(), []
        assert process.connect("readyReadStandardOutput()", lambda: seen.append(process.readAllStandardOutput().data()))
        assert process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append(code))
        process.start(sys.executable, ["-c", "print('here')"])
        wait(lambda: 0 in seen)
        assert b"".join(seen[:-1]).strip() == b"here"


class TestCtk:
    def test_collapsible_button(self):
        button, seen = ctk.ctkCollapsibleButton(), []
        assert button.connect("contentsCollapsed(bool)", seen.append)
        button.text, button.collapsed = "Advanced", True
        assert (button.text, button.collapsed, seen) == ("Advanced", True, [True])
        inner = qt.QLabel("x", button)
        button.show()
        assert not inner.visible
        button.collapsed = False
        assert inner.visible

    def test_slider(self):
        slider, seen = ctk.ctkSliderWidget(), []
        assert slider.maximum == 99
        slider.connect("valueChanged(double)", seen.append)
        slider.value = 33.5
        assert (slider.value, seen) == (33.5, [33.5])


class TestForms:
    def test_a_missing_file(self):
        with pytest.raises(RuntimeError):
            slicer.util.loadUI("/no/such.ui")

    def test_children_by_name(self, tmp_path):
        path = tmp_path / "a.ui"
        path.write_text(
            '<ui version="4.0"><class>A</class><widget class="qMRMLWidget" name="A"><layout class="QVBoxLayout">'
            '<item><widget class="QLineEdit" name="edit"><property name="SlicerParameterName" stdset="0">'
            "<string>text</string></property></widget></item>"
            '<item><widget class="qMRMLNodeComboBox" name="nodes"/></item></layout></widget><connections><connection>'
            "<sender>A</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal><receiver>nodes</receiver>"
            "<slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"
        )
        widget = slicer.util.loadUI(str(path))
        ui = slicer.util.childWidgetVariables(widget)
        assert ui.edit.property("SlicerParameterName") == "text"
        with pytest.raises(AttributeError):
            ui.edti  # noqa: B018
        assert not ui.nodes.enabled
        widget.setMRMLScene(slicer.mrmlScene)
        assert ui.nodes.mrmlScene() is slicer.mrmlScene


class TestNodeSelector:
    @pytest.fixture
    def selector(self, scene):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ("vtkMRMLScalarVolumeNode",)
        yield selector
        selector.setMRMLScene(None)

    @staticmethod
    def add(name, kind="vtkMRMLScalarVolumeNode"):
        return slicer.mrmlScene.AddNewNodeByClass(kind, name)

    def test_selects_the_first_node_of_a_scene(self, selector):
        assert not selector.enabled
        first = self.add("first")
        selector.setMRMLScene(slicer.mrmlScene)
        assert selector.currentNode() is first
        assert selector.currentNodeID == first.GetID()

    def test_label_maps_are_scalar_volumes_to_it(self, selector):
        self.add("labels", "vtkMRMLLabelMapVolumeNode")
        selector.setMRMLScene(slicer.mrmlScene)
        assert selector.nodeCount() == 1
        selector.showChildNodeTypes = False
        assert selector.nodeCount() == 0

    def test_none_and_other_types(self, selector):
        selector.noneEnabled, selector.noneDisplay = True, "New"
        volume = self.add("volume")
        selector.setMRMLScene(slicer.mrmlScene)
        assert selector.currentNode() is None
        selector.setCurrentNode(volume)
        selector.setCurrentNode(self.add("table", "vtkMRMLTableNode"))
        assert selector.currentNode() is None

    def test_signals(self, selector):
        nodes, flags, ids = [], [], []
        assert selector.connect("currentNodeChanged(vtkMRMLNode*)", nodes.append)
        assert selector.connect("currentNodeChanged(bool)", flags.append)
        assert selector.connect("currentNodeIDChanged(QString)", ids.append)
        assert not selector.connect("currentNodeChanged(QString)", nodes.append)
        first, second = self.add("first"), self.add("second")
        selector.setMRMLScene(slicer.mrmlScene)
        first.SetName("renamed")
        slicer.mrmlScene.RemoveNode(first)
        assert nodes == [first, first, second]
        assert flags == [True, True, True]
        assert ids[-1] == second.GetID()

    def test_removal_of_the_last_node(self, selector):
        only = self.add("only")
        selector.setMRMLScene(slicer.mrmlScene)
        slicer.mrmlScene.RemoveNode(only)
        assert selector.currentNode() is None


@parameterNodeWrapper
class Settings:
    volume: slicer.vtkMRMLScalarVolumeNode
    flag: bool
    number: Annotated[int, WithinRange(0, 10), Default(4)]
    length: float
    text: str


class TestParameters:
    @pytest.fixture
    def settings(self, scene):
        return Settings(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))

    def test_defaults_and_storage(self, settings, scene):
        assert (settings.flag, settings.number, settings.text) == (False, 4, "")
        settings.length = 0.5
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "v")
        settings.volume = volume
        assert settings.parameterNode.GetParameter("length") == "0.5"
        again = Settings(settings.parameterNode)
        assert (again.length, again.volume) == (0.5, volume)

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("number", 11, ValueError),
            ("text", None, ValueError),
            ("number", 2.5, TypeError),
            ("text", 3, TypeError),
            ("length", np.float32(1), TypeError),
            ("volume", "v", TypeError),
        ],
    )
    def test_wrong_values(self, settings, name, value, error):
        with pytest.raises(error):
            setattr(settings, name, value)

    def test_a_typo_passes_silently(self, settings):
        settings.nubmer = 5
        assert settings.number == 4

    def test_gui(self, settings):
        parent = qt.QWidget()
        layout = qt.QVBoxLayout(parent)
        widgets = {"flag": qt.QCheckBox(), "number": qt.QSpinBox()}
        for name, widget in widgets.items():
            widget.setProperty("SlicerParameterName", name)
            layout.addWidget(widget)
        tag = settings.connectGui(parent)
        assert (widgets["number"].value, widgets["number"].maximum) == (4, 10)
        widgets["flag"].checked = True
        assert settings.flag
        settings.number = 7
        assert widgets["number"].value == 7
        settings.disconnectGui(tag)
        settings.number = 1
        assert widgets["number"].value == 7

    def test_only_exact_widgets_find_a_connector(self, settings):
        class Own(qt.QCheckBox):
            pass

        widget = Own()
        widget.setProperty("SlicerParameterName", "flag")
        gui = type("Gui", (), {})()
        gui.flag = widget
        with pytest.raises(RuntimeError):
            settings.connectGui(gui)


class TestApplication:
    def test_layouts_have_real_slice_logic(self, scene):
        manager = slicer.app.layoutManager()
        assert manager.sliceViewNames() == ("Red", "Green", "Yellow")
        assert manager.sliceWidget("Purple") is None
        volume = slicer.util.addVolumeFromArray(np.ones((4, 5, 6), np.float32), name="v")
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        red = manager.sliceWidget("Red")
        assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
        assert red.sliceLogic().GetSliceNode() is red.mrmlSliceNode()

    def test_testing_mode_answers_by_itself(self, monkeypatch):
        monkeypatch.setattr(type(slicer.app), "isTesting", True)
        assert slicer.util.confirmOkCancelDisplay("?") is False
        assert slicer.util.errorDisplay("!") is None

    def test_no_main_window(self, monkeypatch):
        assert slicer.util.mainWindow() is None
        monkeypatch.setattr(type(slicer.app), "headless", True)
        assert slicer.app.layoutManager() is None

    def test_events_are_processed(self):
        seen = []
        qt.QTimer.singleShot(0, lambda: seen.append(1))
        time.sleep(0.01)
        app.processEvents()
        assert seen == [1]
