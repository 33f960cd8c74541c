"""slicer.parameterNodeWrapper: typed attributes kept as text in a real vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import functools
import sys
import types
import typing
from typing import Any, Callable

import ctk
import qt
import slicer
import vtk

PROPERTY = "SlicerParameterName"


class Default:
    def __init__(self, value: Any) -> None:
        self.value = value


class WithinRange:
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


class _Parameter:
    """One typed attribute."""

    def __init__(self, name: str, annotated: Any, default: Any) -> None:
        self.name, self.annotated = name, annotated
        arguments = typing.get_args(annotated) if hasattr(annotated, "__metadata__") else (annotated,)
        self.kind, self.notes = arguments[0], arguments[1:]
        self.isNode = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        given = [n.value for n in self.notes if isinstance(n, Default)]
        self.default = default if default is not None else given[0] if given else self._ownDefault()

    def _ownDefault(self) -> Any:
        return None if self.isNode else self.kind()

    def write(self, node: Any, value: Any) -> None:
        accepted = (int, float) if self.kind is float else self.kind
        if value is None and not self.isNode:
            raise ValueError(f"{self.name} must not be None")
        if (value is not None and not isinstance(value, accepted)) or type(value).__module__ == "numpy":
            raise TypeError(f"{self.name} must be {self.kind.__name__}, not {type(value).__name__}")
        for note in self.notes:
            if hasattr(note, "validate"):
                note.validate(value)
        if self.isNode:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, str(value))

    def read(self, node: Any) -> Any:
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind(text)


class _Connector:
    """Between a widget of an exact type and a parameter."""

    # widget type: (types of parameters, property or getter, setter, signal)
    KINDS: typing.ClassVar[dict] = {}

    def __init__(self, widget: Any, parameter: _Parameter) -> None:
        kind = self.KINDS.get(type(widget))
        right = kind and (parameter.isNode if kind[0] is None else parameter.kind in kind[0])
        if not right:
            raise RuntimeError(f"No connector from {type(widget).__name__} to {parameter.name} ({parameter.kind})")
        self.widget, self.reader, self.signal = widget, kind[1], kind[2]
        self.callback: Any = None
        ranges = [n for n in parameter.notes if isinstance(n, WithinRange)]
        if type(widget) is ctk.ctkSliderWidget and not ranges:
            raise RuntimeError("A slider needs a range")
        for note in ranges:
            widget.minimum, widget.maximum = note.minimum, note.maximum
        if parameter.isNode:
            widget.nodeTypes = (parameter.kind.__name__,)

    def read(self) -> Any:
        if self.reader == "currentNode":
            return self.widget.currentNode()
        return getattr(self.widget, self.reader)

    def write(self, value: Any) -> None:
        if self.reader == "currentNode":
            self.widget.setCurrentNode(value)
        else:
            setattr(self.widget, self.reader, value)

    def connect(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        getattr(self.widget, self.signal).connect(callback)

    def disconnect(self) -> None:
        getattr(self.widget, self.signal).disconnect(self.callback)


def _kinds() -> dict:
    return {
        qt.QCheckBox: ((bool,), "checked", "stateChanged"),
        qt.QPushButton: ((bool,), "checked", "toggled"),
        qt.QSpinBox: ((int,), "value", "valueChanged"),
        qt.QDoubleSpinBox: ((float,), "value", "valueChanged"),
        ctk.ctkSliderWidget: ((float,), "value", "valueChanged"),
        qt.QLineEdit: ((str,), "text", "textChanged"),
        qt.QLabel: ((str,), "text", "windowTitleChanged"),
        slicer.qMRMLNodeComboBox: (None, "currentNode", "currentNodeChanged"),
    }


def _init(self: Any, parameterNode: Any, prefix: str | None = None) -> None:
    self.parameterNode = parameterNode
    self._connected, self._updating = {}, False
    for parameter in self.allParameters.values():
        if not parameterNode.HasParameter(parameter.name):
            parameter.write(parameterNode, parameter.default)
        parameter.read(parameterNode)


def _connectGui(self: Any, gui: Any) -> int:
    widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else list(vars(gui).values())
    return _connectParametersToGui(self, {w.property(PROPERTY): w for w in widgets if w.property(PROPERTY)})


def _connectParametersToGui(self: Any, mapping: dict) -> int:
    connectors = {}
    for name, widget in mapping.items():
        if name not in self.allParameters:
            raise ValueError(f"There is no parameter {name}")
        connectors[name] = _Connector(widget, self.allParameters[name])
    for name, connector in connectors.items():
        connector.write(getattr(self, name))
        connector.connect(functools.partial(_fromGui, self, name, connector))
    tag = max(self._connected, default=-1) + 1
    observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: _toGui(self))
    self._connected[tag] = (connectors, observer)
    return tag


def _fromGui(self: Any, name: str, connector: _Connector) -> None:
    if not self._updating:
        setattr(self, name, connector.read())


def _toGui(self: Any) -> None:
    if self._updating:
        return
    self._updating = True
    try:
        for connectors, _ in self._connected.values():
            for name, connector in connectors.items():
                connector.write(getattr(self, name))
    finally:
        self._updating = False


def _disconnectGui(self: Any, tag: int) -> None:
    connectors, observer = self._connected.pop(tag)
    self.parameterNode.RemoveObserver(observer)
    for connector in connectors.values():
        connector.disconnect()


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """The decorator."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        parameters[name] = _Parameter(name, annotated, getattr(classtype, name, None))
        setattr(
            classtype,
            name,
            property(
                lambda self, p=parameters[name]: p.read(self.parameterNode),
                lambda self, value, p=parameters[name]: p.write(self.parameterNode, value),
            ),
        )
    classtype.allParameters = parameters
    classtype.__init__ = _init
    classtype.connectGui, classtype.disconnectGui = _connectGui, _disconnectGui
    classtype.connectParametersToGui = _connectParametersToGui
    classtype.StartModify = lambda self: self.parameterNode.StartModify()
    classtype.EndModify = lambda self, was: self.parameterNode.EndModify(was)
    classtype.AddObserver = lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(event, callback)
    classtype.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    classtype.default = lambda self, name: Default(self.allParameters[name].default)
    return classtype


def install() -> None:
    """Make the module importable."""
    _Connector.KINDS = _kinds()
    module = types.ModuleType("slicer.parameterNodeWrapper")
    module.parameterNodeWrapper = parameterNodeWrapper
    module.Default, module.WithinRange = Default, WithinRange
    slicer.parameterNodeWrapper = module
    sys.modules["slicer.parameterNodeWrapper"] = module
