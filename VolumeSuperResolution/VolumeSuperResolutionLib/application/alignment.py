"""Slice views on the same place at the same magnification, whatever sizes they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer
import vtk

from .signals import Signal

# By how much of itself a field of view may differ without being another one.
TOLERANCE = 1e-6


class Alignment:
    """Keeps mm a pixel, not mm: the views differ in size, and get their sizes one after the other in the event loop.

    `changed` tells when the views have been placed.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self._widgets: list = []
        self._observers: list = []
        # What was last to be seen: a point and a width (None: the whole background); the plane, and mm a pixel.
        self._focus: tuple | None = None
        self._plane: tuple = ()
        self._scale = 1.0
        self._sizes: list = []
        self._placing = False
        self._resizes = qt.QTimer()
        self._resizes.setSingleShot(True)
        self._resizes.setInterval(0)
        self._resizes.connect("timeout()", self._onResized)

    def take(self, widgets: Sequence, focus: tuple | None = None) -> None:
        """Align these slice widgets from now on."""
        self.release()
        self._widgets, self._focus = list(widgets), focus
        event = vtk.vtkCommand.ModifiedEvent
        self._observers = [(node, node.AddObserver(event, self._onView)) for node in self._nodes()]
        # Slicer scales the views on its own meanwhile.
        self._resizes.start()

    def release(self) -> None:
        """Let go of the widgets."""
        self._resizes.stop()
        for node, tag in self._observers:
            node.RemoveObserver(tag)
        self._widgets, self._observers, self._sizes, self._plane = [], [], [], ()

    def showAll(self) -> None:
        """Show the whole background volume of the first view in all of them."""
        self._focus = None
        self.place()

    def showAround(self, ras: Sequence[float], width: float) -> None:
        """Center all views on a point, with at least `width` mm to be seen both ways."""
        self._focus = (tuple(float(x) for x in ras), float(width))
        self.place()

    def place(self) -> None:
        """Show again what was last to be seen."""
        nodes = self._nodes()
        if not nodes:
            return
        columns, rows = (min(sizes) for sizes in zip(*map(pixels, nodes)))
        plane = vtk.vtkMatrix4x4()
        if self._focus is None:
            # The sizes are named, as older versions of Slicer do not find them out by themselves.
            self._widgets[0].sliceLogic().FitSliceToBackground(columns, rows)
            plane.DeepCopy(nodes[0].GetSliceToRAS())
            self._scale = nodes[0].GetFieldOfView()[0] / columns
        else:
            center, width = self._focus
            plane.DeepCopy(nodes[0].GetSliceToRAS())
            for row in range(3):
                plane.SetElement(row, 3, center[row])
            self._scale = width / min(columns, rows)
        self._plane = _elements(plane)
        self._magnify(plane)

    def _nodes(self) -> list:
        return [widget.mrmlSliceNode() for widget in self._widgets]

    def _magnify(self, plane: Any = None) -> None:
        """Give all views the magnification, and the plane if there is one."""
        self._placing = True
        for node in self._nodes():
            columns, rows = pixels(node)
            if plane is not None:
                node.GetSliceToRAS().DeepCopy(plane)
            node.SetFieldOfView(self._scale * columns, self._scale * rows, node.GetFieldOfView()[2])
            node.UpdateMatrices()
        self._sizes = [pixels(node) for node in self._nodes()]
        self._placing = False
        self.changed.emit()

    def _onView(self, node: Any, _event: str) -> None:
        """A view was resized, or the user magnified it: the others follow."""
        if self._placing:
            return
        columns, _rows = pixels(node)
        if [pixels(n) for n in self._nodes()] != self._sizes:
            self._resizes.start()
        elif abs(node.GetFieldOfView()[0] - self._scale * columns) > TOLERANCE * self._scale * columns:
            self._scale = node.GetFieldOfView()[0] / columns
            self._plane = ()
            self._magnify()

    def _onResized(self) -> None:
        """Show again what was shown; where the user has moved on since, only as large as it was."""
        nodes = self._nodes()
        if not nodes or not all(slicer.mrmlScene.IsNodePresent(node) for node in nodes):
            return
        if _elements(nodes[0].GetSliceToRAS()) == self._plane:
            self.place()
        else:
            self._magnify()


def pixels(node: Any) -> tuple:
    """A view's columns and rows."""
    columns, rows, _depth = node.GetDimensions()
    return max(1, columns), max(1, rows)


def _elements(matrix: Any) -> tuple:
    return tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
