"""What is drawn over one view of the comparison: a curtain, or a map in colors with its legend.

Only the slice that is shown is computed: the same layers as those of a slice view give the pictures, which therefore
follow it through every pan, zoom and change of window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

# Colors from the lowest to the highest value: of differences to both sides of nothing, and of uncertainty.
BOTH_WAYS = ((0.25, 0.55, 1.0), (0.0, 0.0, 0.0), (1.0, 0.6, 0.1))
UPWARDS = ((0.0, 0.0, 0.0), (0.9, 0.35, 0.0), (1.0, 1.0, 0.7))
COLORS = 255
# A change by this part of the window has the full color.
FULL_COLOR = 0.2
LINE_COLOR = (1.0, 0.77, 0.0)
LEGEND_SIZE, LEGEND_PLACE, LEGEND_LETTERS = (0.22, 0.5), (0.76, 0.25), 13


class Overlay:
    """Over the view of one slice widget; empty until one of the show methods is called."""

    def __init__(self, sliceWidget: Any) -> None:
        self._logic = sliceWidget.sliceLogic()
        self._view = sliceWidget.sliceView()
        self._props: list = []
        self._layers: list = []
        self._pipeline: list = []
        self._observers: list = []
        self._curtain: Any = None
        self._line: Any = None

    def showCurtain(self, node: Any, part: float) -> None:
        """Another volume left of a line, which stands at a part of the view's width."""
        self.clear()
        self._curtain = self._addPicture(self._layer(node).GetImageDataConnection())
        self._curtain.UseCustomExtentsOn()
        self._line = vtk.vtkLineSource()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputConnection(self._line.GetOutputPort())
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetColor(LINE_COLOR)
        self._add(actor)
        self.moveCurtain(part)

    def moveCurtain(self, part: float) -> None:
        """Draw the curtain up to a part of the width."""
        if self._curtain is None:
            return
        columns, rows, _depth = self._logic.GetSliceNode().GetDimensions()
        edge = round(min(max(part, 0.0), 1.0) * columns)
        self._curtain.SetCustomDisplayExtents((0, max(0, edge - 1), 0, max(0, rows - 1)))
        self._line.SetPoint1(edge, 0, 0)
        self._line.SetPoint2(edge, rows, 0)
        self._view.scheduleRender()

    def showDifference(self, first: Any, second: Any) -> None:
        """By how much the second volume differs from the first, in colors."""
        self.clear()
        subtraction = vtk.vtkImageMathematics()
        subtraction.SetOperationToSubtract()
        for n, node in enumerate((second, first)):
            subtraction.SetInputConnection(n, self._values(node))
        full = FULL_COLOR * second.GetScalarVolumeDisplayNode().GetWindow()
        self._addMap(subtraction.GetOutputPort(), BOTH_WAYS, (-full, full), _("Changed by"))

    def showMap(self, node: Any, title: str) -> None:
        """A volume in colors, over its own window."""
        self.clear()
        display = node.GetScalarVolumeDisplayNode()
        top = display.GetLevel() + display.GetWindow() / 2
        self._addMap(self._values(node), UPWARDS, (0.0, max(top, 1e-6)), title)

    def clear(self) -> None:
        """Draw nothing, and watch nothing."""
        for layer, tag in self._observers:
            layer.RemoveObserver(tag)
        renderer = self._renderer()
        for prop in self._props:
            if renderer is not None:
                renderer.RemoveViewProp(prop)
        for layer in self._layers:
            layer.SetVolumeNode(None)
            layer.SetSliceNode(None)
            layer.SetMRMLScene(None)
        shown = bool(self._props)
        self._props, self._layers, self._pipeline, self._observers = [], [], [], []
        self._curtain = self._line = None
        if shown:
            self._view.scheduleRender()

    def _renderer(self) -> Any:
        return self._view.renderWindow().GetRenderers().GetFirstRenderer()

    def _layer(self, node: Any) -> Any:
        """What a slice view would show of a volume."""
        layer = slicer.vtkMRMLSliceLayerLogic()
        layer.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        layer.SetMRMLScene(slicer.mrmlScene)
        layer.SetSliceNode(self._logic.GetSliceNode())
        layer.SetVolumeNode(node)
        self._layers.append(layer)
        tag = layer.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._view.scheduleRender())
        self._observers.append((layer, tag))
        return layer

    def _values(self, node: Any) -> Any:
        """The values of a volume in the shown slice, as floats."""
        cast = vtk.vtkImageCast()
        cast.SetOutputScalarTypeToFloat()
        cast.SetInputConnection(self._layer(node).GetReslice().GetOutputPort())
        self._pipeline.append(cast)
        return cast.GetOutputPort()

    def _addMap(self, values: Any, colors: Sequence, limits: tuple[float, float], title: str) -> None:
        table = colorTable(colors, limits)
        colored = vtk.vtkImageMapToColors()
        colored.SetLookupTable(table)
        colored.SetOutputFormatToRGB()
        colored.SetInputConnection(values)
        self._pipeline.append(colored)
        self._addPicture(colored.GetOutputPort())
        legend = vtk.vtkScalarBarActor()
        legend.SetLookupTable(table)
        legend.SetNumberOfLabels(3)
        legend.SetLabelFormat("%.3g")
        legend.SetTitle(title)
        legend.UnconstrainedFontSizeOn()
        for letters in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
            letters.SetFontSize(LEGEND_LETTERS)
            letters.ItalicOff()
        legend.SetPosition(*LEGEND_PLACE)
        legend.SetPosition2(*LEGEND_SIZE)
        self._add(legend)

    def _addPicture(self, port: Any) -> Any:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(port)
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        self._add(actor)
        return mapper

    def _add(self, prop: Any) -> None:
        self._renderer().AddViewProp(prop)
        self._props.append(prop)
        self._view.scheduleRender()


def colorTable(colors: Sequence, limits: tuple[float, float]) -> Any:
    """A table that goes through some colors from the lower limit to the upper."""
    ramp = vtk.vtkColorTransferFunction()
    for n, color in enumerate(colors):
        ramp.AddRGBPoint(n / (len(colors) - 1), *color)
    table = vtk.vtkLookupTable()
    table.SetNumberOfTableValues(COLORS)
    for n in range(COLORS):
        table.SetTableValue(n, *ramp.GetColor(n / (COLORS - 1)), 1.0)
    table.SetTableRange(*limits)
    table.Build()
    return table
