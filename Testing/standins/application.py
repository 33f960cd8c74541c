"""slicer.app, its layout manager and module manager, and what loads volumes: Qt from PySide6, the rest real MRML."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
import types
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from vtk.util import numpy_support

from .pythonqt import wrapped


class _SliceView:
    """Renders what the slice logic blends, without a window."""

    def __init__(self, logic: Any) -> None:
        self._logic, self._window = logic, None
        self.renderCount = 0

    def renderWindow(self) -> Any:
        if self._window is None:
            self._window = vtk.vtkRenderWindow()
            self._window.SetOffScreenRendering(True)
            self._window.AddRenderer(vtk.vtkRenderer())
            mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
            mapper.SetColorWindow(255)
            mapper.SetColorLevel(127.5)
            mapper.SetInputConnection(self._logic.GetImageDataConnection())
            actor.SetMapper(mapper)
            self._window.GetRenderers().GetFirstRenderer().AddViewProp(actor)
        self._window.SetSize(self._logic.GetSliceNode().GetDimensions()[:2])
        return self._window

    def scheduleRender(self) -> None:
        self.renderCount += 1

    forceRender = scheduleRender

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()


# After a layout is set, its views get their sizes in steps, while Slicer scales each field of view on its own.
SIZES = ((400, 400, 400), (338, 387, 345), (396, 395, 396))
HEIGHT = 400


class SliceWidget:
    """A slice view: the logic, its nodes, and the picture it makes."""

    def __init__(self, sliceNode: Any, applicationLogic: Any) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(applicationLogic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(sliceNode)
        sliceNode.SetDimensions(SIZES[0][0], HEIGHT, 1)
        self._view = _SliceView(self._logic)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> Any:
        return self._view

    def picture(self) -> Any:
        """What the view shows, as RGB pixels from top to bottom."""
        columns, rows, _depth = self.mrmlSliceNode().GetDimensions()
        producer = self._logic.GetImageDataConnection().GetProducer()
        producer.Update()
        scalars = producer.GetOutputDataObject(0).GetPointData().GetScalars()
        return numpy_support.vtk_to_numpy(scalars).reshape(rows, columns, -1)[::-1, :, :3].copy()

    def detach(self) -> None:
        self._logic.SetSliceNode(None)
        self._logic.SetMRMLScene(None)


class _qSlicerLayoutManager(QtCore.QObject):
    layoutChanged = QtCore.Signal(int)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        logic = slicer.vtkMRMLLayoutLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        applicationLogic = slicer.app.applicationLogic()
        sliceLogics = vtk.vtkCollection()
        applicationLogic.SetSliceLogics(sliceLogics)
        self.__dict__.update(logic=logic, widgets={}, sliceLogics=sliceLogics)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)

    def layoutLogic(self) -> Any:
        return self.__dict__["logic"]

    def setLayout(self, layout: int) -> None:
        node = self.__dict__["logic"].GetLayoutNode()
        if layout != node.GetViewArrangement():
            node.SetViewArrangement(layout)
            self.layoutChanged.emit(layout)
            for step in (1, 2):
                QtCore.QTimer.singleShot(step - 1, self, lambda step=step: self._resize(layout, step))
        self._shown()

    def _resize(self, layout: int, step: int) -> None:
        """One step of the way to the views' sizes, where a layout of their own has them beside each other."""
        if layout > 100 and layout == self.layout:
            for name, columns in zip(self._shown(), SIZES[step]):
                self.__dict__["widgets"][name].sliceLogic().ResizeSliceNode(columns, HEIGHT)

    def _shown(self) -> list:
        """The slice widgets of the current layout, made when first seen."""
        nodes = self.__dict__["logic"].GetViewNodes()
        views = [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]
        names = []
        for node in views:
            if not node.IsA("vtkMRMLSliceNode"):
                continue
            names.append(node.GetLayoutName())
            known = self.__dict__["widgets"].get(node.GetLayoutName())
            if known is None or known.mrmlSliceNode() is not node:
                widget = SliceWidget(node, slicer.app.applicationLogic())
                self.__dict__["widgets"][node.GetLayoutName()] = widget
                self.__dict__["sliceLogics"].AddItem(widget.sliceLogic())
        return names

    def sliceViewNames(self) -> tuple:
        return tuple(self._shown())

    def sliceWidget(self, name: str) -> Any:
        self._shown()
        return self.__dict__["widgets"].get(name)

    def mrmlSliceLogics(self) -> Any:
        return self.__dict__["sliceLogics"]

    def threeDWidget(self, index: int) -> Any:
        return None

    def resetSliceViews(self) -> None:
        for name in self._shown():
            self.__dict__["widgets"][name].sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """There are none."""

    layout = QtCore.Property(int, lambda self: self.__dict__["logic"].GetLayoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: 0)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)


class _ModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)


class _IOManager:
    """Reads volumes with the storage node that Slicer uses."""

    def loadNodes(self, fileType: str, properties: dict, nodes: Any = None, messages: Any = None) -> bool:
        path = properties["fileName"]
        if fileType != "VolumeFile" or not os.path.isfile(path):
            return False
        scene = slicer.mrmlScene
        kind = "vtkMRMLLabelMapVolumeNode" if properties.get("labelmap") else "vtkMRMLScalarVolumeNode"
        name = properties.get("name") or os.path.basename(path).split(".")[0]
        node = scene.AddNewNodeByClass(kind, name)
        storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(path)
        node.SetAndObserveStorageNodeID(storage.GetID())
        if not storage.ReadData(node):
            scene.RemoveNode(storage)
            scene.RemoveNode(node)
            return False
        node.CreateDefaultDisplayNodes()
        if nodes is not None:
            nodes.AddItem(node)
        return True


class _qSlicerApplication(QtWidgets.QApplication):
    startupCompleted = QtCore.Signal()
    isTesting = False
    headless = False
    SIGNATURES = ("aboutToQuit()",)

    def setUp(self) -> None:
        """What the application holds, made once the scene is there."""
        logic = slicer.vtkMRMLApplicationLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        colors = slicer.vtkMRMLColorLogic()
        colors.SetMRMLApplicationLogic(logic)
        colors.SetMRMLScene(slicer.mrmlScene)
        modules = wrapped(_ModuleManager)()
        self.__dict__.update(logic=logic, colors=colors, modules=modules, io=_IOManager(), manager=None, paused=0)

    def applicationLogic(self) -> Any:
        return self.__dict__["logic"]

    def layoutManager(self) -> Any:
        """None without a main window."""
        if type(self).headless:
            return None
        if self.__dict__["manager"] is None:
            self.__dict__["manager"] = wrapped(_qSlicerLayoutManager)()
        return self.__dict__["manager"]

    def moduleManager(self) -> Any:
        return self.__dict__["modules"]

    def coreIOManager(self) -> Any:
        return self.__dict__["io"]

    ioManager = coreIOManager

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def testingEnabled(self) -> bool:
        return type(self).isTesting

    def pauseRender(self) -> None:
        self.__dict__["paused"] += 1

    def resumeRender(self) -> None:
        self.__dict__["paused"] -= 1

    def translate(self, context: str, text: str) -> str:  # type: ignore[override]
        return QtCore.QCoreApplication.translate(context, text)

    def userSettings(self) -> Any:
        return QtCore.QSettings()

    settings = userSettings
    temporaryPath = QtCore.Property(str, lambda self: tempfile.gettempdir())


def makeApplication() -> Any:
    """slicer.app, slicer.mrmlScene and slicer.modules."""
    sys.argv = sys.argv or ["Slicer"]
    app = wrapped(_qSlicerApplication)(["Slicer"])
    app.setApplicationName("Slicer")
    app.setOrganizationName("VolumeSuperResolutionTests")
    slicer.app = app
    slicer.mrmlScene = slicer.vtkMRMLScene()
    _keepTidy(slicer.mrmlScene)
    slicer.modules = types.SimpleNamespace()
    app.setUp()
    return app


def _keepTidy(scene: Any) -> None:
    """As the subject hierarchy does: a volume's display node goes with it, and to remove that again is an error."""
    remove = scene.RemoveNode

    def removeNode(node: Any) -> None:
        if node is not None and not scene.IsNodePresent(node):
            logging.error("Invalid scene given")
            return
        isVolume = node is not None and node.IsA("vtkMRMLVolumeNode")
        displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())] if isVolume else []
        remove(node)
        for display in displays:
            if display is not None and scene.IsNodePresent(display):
                remove(display)

    scene.RemoveNode = removeNode


class ModuleStandIn:
    """What Slicer hands to a scripted module: its description, and its widget when somebody opens it."""

    FIELDS = (
        "title",
        "categories",
        "dependencies",
        "contributors",
        "helpText",
        "acknowledgementText",
        "icon",
        "hidden",
    )

    def __init__(self, path: str) -> None:
        self.__dict__.update(dict.fromkeys(self.FIELDS), path=path, widget=None, hidden=False)
        self.__dict__["name"] = os.path.splitext(os.path.basename(path))[0]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS:
            raise AttributeError(f"Attribute {name!r} does not exist on qSlicerScriptedLoadableModule")
        self.__dict__[name] = value

    def widgetRepresentation(self) -> Any:
        """The panel, made when first asked for."""
        if self.widget is None:
            self.__dict__["widget"] = _makeWidget(self)
        return self.widget


def _makeWidget(module: ModuleStandIn) -> Any:
    """The panel's frame, and in it what the module's widget class puts there."""
    import qt

    parent = slicer.qMRMLWidget()
    parent.setLayout(qt.QVBoxLayout())
    parent.setMRMLScene(slicer.mrmlScene)

    def reload() -> None:
        widget = getattr(sys.modules[module.name], module.name + "Widget")(parent)
        parent.__dict__["self"] = lambda: widget
        setattr(slicer.modules, module.name + "Widget", widget)
        widget.setup()

    parent.__dict__.update(reload=reload, isEntered=False)
    reload()
    return parent


def openModule(module: ModuleStandIn, isOpen: bool = True) -> Any:
    """Open the module's panel, or another module's; gives the widget object."""
    parent = module.widgetRepresentation()
    parent.__dict__["isEntered"] = isOpen
    widget = parent.__dict__["self"]()
    widget.enter() if isOpen else widget.exit()
    return widget


def loadModule(path: str) -> Any:
    """Load a scripted module's main file as Slicer does at its start; its widget is made only when asked for."""
    module = ModuleStandIn(os.path.abspath(path))
    folder = os.path.dirname(module.path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(module.name, module.path)
    source = importlib.util.module_from_spec(spec)
    sys.modules[module.name] = source
    spec.loader.exec_module(source)
    setattr(slicer.modules, module.name.lower(), module)
    described = getattr(source, module.name)(module)
    if hasattr(described, "setup"):
        described.setup()
    setattr(slicer.modules, module.name + "Instance", described)
    slicer.app.startupCompleted.emit()
    return module
