"""The `qt` module: Qt's classes as PythonQt gives them, made from PySide6 when they are asked for."""

from __future__ import annotations

import sys
import types
import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .pythonqt import _adapted, widgetClass, wrapped


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        for source in (QtWidgets, QtGui, QtCore):
            if hasattr(source, name):
                value = getattr(source, name)
                isObject = isinstance(value, type) and issubclass(value, QtCore.QObject)
                value = wrapped(value) if isObject else value
                setattr(self, name, value)
                return value
        raise AttributeError(f"module 'qt' has no attribute {name!r}")


class _Loader(QtUiTools.QUiLoader):
    def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
        import ctk
        import slicer

        kind = next((k for m in (ctk, slicer) for k in [getattr(m, className, None)] if k), None)
        kind = kind or widgetClass(className)
        if kind is None:
            raise RuntimeError(f"No plugin knows the widget {className}")
        widget = kind(parent) if parent is not None else kind()
        widget.setObjectName(name)
        return widget

    def createLayout(self, className: str, parent: Any = None, name: str = "") -> Any:
        layout = wrapped(getattr(QtWidgets, className))(parent) if isinstance(parent, QtWidgets.QWidget) else None
        if layout is None:
            return super().createLayout(className, parent, name)
        layout.setObjectName(name)
        return layout


class QUiLoader:
    """Loads a .ui file and makes its connections by name, as the types of MRML are unknown to PySide6."""

    def load(self, file: Any) -> Any:
        text = bytes(file.readAll().data())
        tree = ElementTree.fromstring(text)
        buffer = QtCore.QBuffer()
        buffer.setData(_withoutConnections(text))
        buffer.open(QtCore.QBuffer.OpenModeFlag.ReadOnly)
        widget = _Loader().load(buffer)
        for connection in tree.iter("connection"):
            sender, signal, receiver, slot = (
                connection.findtext(t, "").strip() for t in ("sender", "signal", "receiver", "slot")
            )
            source, target = _named(widget, sender), _named(widget, receiver)
            method = getattr(target, slot.partition("(")[0], None)
            if method is None or not source.connect(signal, method):
                raise RuntimeError(f"No such connection: {sender}.{signal} to {receiver}.{slot}")
        return widget


def _withoutConnections(text: bytes) -> bytes:
    start, end = text.find(b"<connections>"), text.find(b"</connections>")
    return text if start < 0 else text[:start] + text[end + len(b"</connections>") :]


def _named(widget: Any, name: str) -> Any:
    if widget.objectName == name:
        return widget
    return QtCore.QObject.findChild(widget, QtCore.QObject, name)


class _SingleShot(property):
    """Of the class a function, of an instance a property."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return super().__get__(instance, owner) if instance is not None else self.later

    @staticmethod
    def later(milliseconds: int, slot: Any) -> None:
        QtCore.QTimer.singleShot(milliseconds, _adapted(slot, 0))


def make() -> types.ModuleType:
    """The module, ready to be imported as `qt`."""
    module = _Module("qt")
    module.QUiLoader = QUiLoader  # type: ignore[attr-defined]
    timer = module.QTimer
    isSingle, setSingle = QtCore.QTimer.isSingleShot, QtCore.QTimer.setSingleShot
    timer.singleShot = _SingleShot(isSingle, setSingle)
    sys.modules["qt"] = module
    return module
