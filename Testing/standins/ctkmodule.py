"""The `ctk` module: the widgets of CTK that Slicer modules use, drawn and behaving like them."""

from __future__ import annotations

import sys
import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import wrapped

HEADER = 26


class _CollapsibleButton(QtWidgets.QWidget):
    contentsCollapsed = QtCore.Signal(bool)
    SIGNATURES = ("contentsCollapsed(bool)",)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.__dict__["state"] = {"text": "", "collapsed": False, "hidden": []}
        self.setContentsMargins(0, HEADER, 0, 0)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)

    def setText(self, text: str) -> None:
        self.__dict__["state"]["text"] = text
        self.update()

    def setCollapsed(self, collapsed: bool) -> None:
        """Hide what is inside, and later show again what was hidden for this; the rest stays as its owner wants it."""
        state = self.__dict__["state"]
        changed, state["collapsed"] = collapsed != state["collapsed"], collapsed
        if collapsed:
            inside = QtCore.QObject.children(self)
            state["hidden"] += [child for child in inside if child.isWidgetType() and not child.isHidden()]
        for child in state["hidden"]:
            child.setVisible(not collapsed)
        if not collapsed:
            state["hidden"] = []
        self.setMaximumHeight(HEADER if collapsed else 16777215)
        if changed:
            self.contentsCollapsed.emit(collapsed)

    def showEvent(self, event: Any) -> None:
        if self.__dict__["state"]["collapsed"]:
            self.setCollapsed(True)

    def mouseReleaseEvent(self, event: Any) -> None:
        if event.position().y() < HEADER:
            self.setCollapsed(not self.__dict__["state"]["collapsed"])

    def keyPressEvent(self, event: Any) -> None:
        if event.key() == QtCore.Qt.Key.Key_Space:
            self.setCollapsed(not self.__dict__["state"]["collapsed"])

    def paintEvent(self, event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), HEADER - 2)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(8, 7, 10, 10)
        element = QtWidgets.QStyle.PrimitiveElement
        state = self.__dict__["state"]
        painter.drawPrimitive(
            element.PE_IndicatorArrowRight if state["collapsed"] else element.PE_IndicatorArrowDown, arrow
        )
        painter.setPen(option.palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(
            option.rect.adjusted(26, 0, 0, 0),
            QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic,
            state["text"],
        )

    text = QtCore.Property(str, lambda self: self.__dict__["state"]["text"], setText)
    collapsed = QtCore.Property(bool, lambda self: self.__dict__["state"]["collapsed"], setCollapsed)


def _ofBox(kind: type, name: str) -> Any:
    """A property of a slider widget that is its spin box's."""
    setter = f"set{name[0].upper()}{name[1:]}"
    return QtCore.Property(
        kind,
        lambda self: getattr(self.__dict__["box"], name)(),
        lambda self, value: getattr(self.__dict__["box"], setter)(value),
    )


class _SliderWidget(QtWidgets.QWidget):
    valueChanged = QtCore.Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        box, slider = QtWidgets.QDoubleSpinBox(self), QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self.__dict__.update(box=box, slider=slider)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(slider)
        row.addWidget(box)
        box.setRange(0.0, 99.0)
        self.setFocusProxy(box)
        slider.setRange(0, 1000)
        slider.valueChanged.connect(lambda n: box.setValue(box.minimum() + n / 1000 * (box.maximum() - box.minimum())))
        box.valueChanged.connect(lambda value: self._changed(value))

    def _changed(self, value: float) -> None:
        box, slider = self.__dict__["box"], self.__dict__["slider"]
        span = box.maximum() - box.minimum()
        blocked = slider.blockSignals(True)
        slider.setValue(round((value - box.minimum()) / span * 1000) if span else 0)
        slider.blockSignals(blocked)
        self.valueChanged.emit(value)

    value = _ofBox(float, "value")
    minimum = _ofBox(float, "minimum")
    maximum = _ofBox(float, "maximum")
    singleStep = _ofBox(float, "singleStep")
    decimals = _ofBox(int, "decimals")
    suffix = _ofBox(str, "suffix")


def make() -> types.ModuleType:
    """The module, ready to be imported as `ctk`."""
    module = types.ModuleType("ctk")
    for base in (_CollapsibleButton, _SliderWidget):
        name = f"ctk{base.__name__.lstrip('_')}"
        kind = wrapped(base)
        kind.__name__ = name
        setattr(module, name, kind)
    sys.modules["ctk"] = module
    return module
