"""The qMRML widgets that the module uses, on real MRML scenes."""

from __future__ import annotations

from typing import Any

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .pythonqt import wrapped


class _qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)
    SIGNATURES = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def mrmlScene(self) -> Any:
        return self.__dict__.get("scene")

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self.__dict__.get("scene"):
            return
        self.__dict__["scene"] = scene
        self.mrmlSceneChanged.emit(scene)


OPTIONS = {
    "noneEnabled": False,
    "noneDisplay": "None",
    "addEnabled": True,
    "removeEnabled": True,
    "renameEnabled": False,
    "editEnabled": False,
    "showHidden": False,
    "showChildNodeTypes": True,
    "selectNodeUponCreation": True,
    "baseName": "",
}
CONVERTED = {"currentNodeChanged(bool)": lambda node: node is not None}


class _qMRMLNodeComboBox(QtWidgets.QWidget):
    """Lists the scene's nodes of some types; follows the scene as Slicer's does."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAddedByUserAction = QtCore.Signal(object)
    SIGNATURES = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeChanged(bool)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeAddedByUserAction(vtkMRMLNode*)",
    )
    CONVERTED = CONVERTED

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        box = QtWidgets.QComboBox(self)
        state = dict(OPTIONS, scene=None, tags=[], watched=None, current=None, types=[], attributes={}, busy=False)
        self.__dict__.update(box=box, state=state)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(box)
        box.setFocusProxy(self)  # so that the keyboard reaches neither
        self.setEnabled(False)
        box.activated.connect(lambda index: self._choose(box.itemData(index)))

    def setMRMLScene(self, scene: Any) -> None:
        state = self.__dict__["state"]
        if scene is state["scene"]:
            return
        for owner, tag in state["tags"]:
            owner.RemoveObserver(tag)
        state.update(scene=scene, tags=[])
        self.setEnabled(scene is not None)
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
                state["tags"].append((scene, scene.AddObserver(event, lambda *_: self._refresh())))
        self._refresh()
        if not state["noneEnabled"] and state["current"] is None:
            self.setCurrentNode(self._nodes()[0] if self._nodes() else None)

    def mrmlScene(self) -> Any:
        return self.__dict__["state"]["scene"]

    def _nodes(self) -> list:
        state = self.__dict__["state"]
        if state["scene"] is None:
            return []
        nodes = [state["scene"].GetNthNode(n) for n in range(state["scene"].GetNumberOfNodes())]
        return [n for n in nodes if self._shows(n)]

    def _shows(self, node: Any) -> bool:
        state = self.__dict__["state"]
        if node.GetHideFromEditors() and not state["showHidden"]:
            return False
        for kind in state["types"]:
            if node.GetClassName() == kind or (state["showChildNodeTypes"] and node.IsA(kind)):
                wanted = state["attributes"].get(kind, {})
                return all(node.GetAttribute(k) == v if v else node.GetAttribute(k) for k, v in wanted.items())
        return False

    def _refresh(self) -> None:
        state, box = self.__dict__["state"], self.__dict__["box"]
        if not shiboken6.isValid(self):
            for owner, tag in state["tags"]:
                owner.RemoveObserver(tag)
            state["tags"] = []
            return
        if state["scene"] is not None and state["scene"].IsBatchProcessing():
            if state["scene"].IsImporting() and not state["noneEnabled"] and self._nodes():
                self._setCurrent(self._nodes()[0])  # by itself, and whoever is connected is told
            return
        nodes = self._nodes()
        blocked = box.blockSignals(True)
        box.clear()
        if state["noneEnabled"]:
            box.addItem(state["noneDisplay"], "")
        for node in nodes:
            box.addItem(node.GetName(), node.GetID())
        box.setCurrentIndex(box.findData(state["current"].GetID() if state["current"] is not None else ""))
        box.blockSignals(blocked)
        if state["current"] is not None and state["current"] not in nodes:
            another = nodes[0] if nodes and not state["noneEnabled"] else None
            self._setCurrent(another)

    def _choose(self, nodeID: str) -> None:
        self._setCurrent(self.__dict__["state"]["scene"].GetNodeByID(nodeID) if nodeID else None)

    def setCurrentNode(self, node: Any) -> None:
        self._setCurrent(node if node is not None and node in self._nodes() else None)

    def _setCurrent(self, node: Any) -> None:
        state, box = self.__dict__["state"], self.__dict__["box"]
        if node is state["current"]:
            return
        if state["watched"] is not None:
            state["watched"][0].RemoveObserver(state["watched"][1])
        state["current"] = node
        state["watched"] = None
        if node is not None:
            state["watched"] = (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._renamed()))
            state["name"] = node.GetName()
        box.setCurrentIndex(box.findData(node.GetID() if node is not None else ""))
        self._tell()

    def _renamed(self) -> None:
        state = self.__dict__["state"]
        if shiboken6.isValid(self) and state["current"].GetName() != state["name"]:
            state["name"] = state["current"].GetName()
            self._refresh()
            self._tell()

    def _tell(self) -> None:
        node = self.currentNode()
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def currentNode(self) -> Any:
        return self.__dict__["state"]["current"]

    def nodeCount(self) -> int:
        return len(self._nodes())

    def addNode(self, nodeType: str = "") -> Any:
        state = self.__dict__["state"]
        node = state["scene"].AddNewNodeByClass(nodeType or state["types"][0], state["baseName"])
        if state["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        self.nodeAddedByUserAction.emit(node)
        return node

    def addAttribute(self, nodeType: str, name: str, value: Any = "") -> None:
        self.__dict__["state"]["attributes"].setdefault(nodeType, {})[name] = str(value)
        self._refresh()

    def setNodeTypes(self, types: Any) -> None:
        self.__dict__["state"]["types"] = list(types)
        self._refresh()

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._choose(nodeID)

    def _option(name: str, kind: type) -> Any:  # type: ignore[misc]
        def put(self: Any, value: Any) -> None:
            self.__dict__["state"][name] = value
            self._refresh()

        return QtCore.Property(kind, lambda self: self.__dict__["state"][name], put)

    noneEnabled = _option("noneEnabled", bool)
    noneDisplay = _option("noneDisplay", str)
    addEnabled = _option("addEnabled", bool)
    removeEnabled = _option("removeEnabled", bool)
    renameEnabled = _option("renameEnabled", bool)
    editEnabled = _option("editEnabled", bool)
    showHidden = _option("showHidden", bool)
    showChildNodeTypes = _option("showChildNodeTypes", bool)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool)
    baseName = _option("baseName", str)
    nodeTypes = QtCore.Property("QStringList", lambda self: tuple(self.__dict__["state"]["types"]), setNodeTypes)
    currentNodeID = QtCore.Property(
        str, lambda self: self.currentNode().GetID() if self.currentNode() is not None else "", setCurrentNodeID
    )


def install() -> None:
    """Put the widgets into the `slicer` module, as Slicer does."""
    for base in (_qMRMLWidget, _qMRMLNodeComboBox):
        kind = wrapped(base)
        setattr(slicer, kind.__name__, kind)
