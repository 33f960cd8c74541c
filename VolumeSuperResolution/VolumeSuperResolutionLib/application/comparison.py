"""Three linked views side by side: input, best interpolation, result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from .signals import Signal

LAYOUT = 7726
VIEW_GROUP = 7726
# The layout to return to if there was none before.
DEFAULT_LAYOUT = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
# Slicer's data probe shows these names, in eight characters.
VIEW_NAMES = ("Input", "Interp", "Result")
COLORS = ("#7A7A7A", "#B8860B", "#2E8B57")
AXES = ("Axial", "Coronal", "Sagittal")
FLICKER_MS = 600
# What the views show around the crosshair.
ZOOMED_MM = 40.0
# By how much of itself a field of view may differ without being another one.
TOLERANCE = 1e-6


def layoutDescription() -> str:
    """The three views as MRML's layout XML."""
    # The controller bar cuts longer words on both sides; as equal parts of a splitter the views are equally wide.
    labels = (_("Input"), _("Interp."), _("Result"))
    items = "".join(
        f'<item splitSize="500"><view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{color}</property>'
        f'<property name="viewgroup" action="default">{VIEW_GROUP}</property>'
        "</view></item>"
        for name, label, color in zip(VIEW_NAMES, labels, COLORS)
    )
    return f'<layout type="horizontal" split="true">{items}</layout>'


def replaceOrphanedLayout() -> None:
    """Restarts and scenes restore our layout also where nothing has described it: there the views would stay empty."""
    manager = slicer.app.layoutManager()
    if manager is None or manager.layout != LAYOUT:
        return
    if not manager.layoutLogic().GetLayoutNode().IsLayoutDescription(LAYOUT):
        manager.setLayout(DEFAULT_LAYOUT)


class Comparison:
    """Shows three volumes on the same place, and puts everything back when left."""

    def __init__(self) -> None:
        self.left = Signal()
        self.active = False
        self.axis = AXES[0]
        self._nodes: list = []
        self._flicker = False
        self._previousLayout = None
        self._before: dict = {}
        self._observers: list = []
        self._copying = False
        self._listening = False
        # What the views were last made to show: a point and a width (none: the whole input), the plane, mm a pixel.
        self._focus = None
        self._plane: tuple = ()
        self._scale = 1.0
        self._sizes: list = []
        self._placing = False
        self._resizes = qt.QTimer()
        self._resizes.setSingleShot(True)
        self._resizes.setInterval(0)
        self._resizes.connect("timeout()", self._onResized)
        self._timer = qt.QTimer()
        self._timer.setInterval(FLICKER_MS)
        self._timer.connect("timeout()", self._blink)

    def show(self, inputNode: Any, interpolationNode: Any, resultNode: Any, focus: tuple | None = None) -> bool:
        """Open the views on three volumes; False where there are no views, as without a main window.

        `focus` is a point and a width, as zoomTo takes them; without it the whole input is shown.
        """
        manager = slicer.app.layoutManager()
        if manager is None:
            return False
        self._release()
        self._nodes = [inputNode, interpolationNode, resultNode]
        with slicer.util.RenderBlocker():
            for node in self._nodes:
                if node.GetScalarVolumeDisplayNode() is None:  # as of a volume made by a script
                    node.CreateDefaultDisplayNodes()
            if not self.active:
                self._previousLayout = manager.layout if manager.layout != LAYOUT else DEFAULT_LAYOUT
            self.active = True
            self._openLayout(manager)
            self._keepDisplay()
            self._assign()
            self._focus = focus
            self.setAxis(self.axis)
            self._watchViews()
        # The views get their final sizes in the event loop only, and Slicer scales them on its own meanwhile.
        self._resizes.start()
        return True

    def leave(self) -> None:
        """Go back to the layout that was there, with the volumes displayed as they were."""
        if not self.active:
            return
        self.setFlicker(False)
        self._resizes.stop()
        self._release()
        self.active = False
        manager = slicer.app.layoutManager()
        for composite in self._composites():
            composite.SetBackgroundVolumeID(None)
            composite.SetForegroundVolumeID(None)
        if manager is not None and manager.layout == LAYOUT:
            manager.setLayout(self._previousLayout)
        self._nodes = []
        self.left.emit()

    def close(self) -> None:
        """Leave, and listen to nothing any more."""
        self.leave()
        manager = slicer.app.layoutManager()
        if manager is not None and self._listening:
            manager.disconnect("layoutChanged(int)", self._onLayoutChanged)
            self._listening = False

    def setAxis(self, axis: str) -> None:
        """Show the input's axial, coronal or sagittal slices in all views."""
        self.axis = axis
        if not self.active:
            return
        for node in self._sliceNodes():
            node.SetOrientation(axis)
            node.RotateToVolumePlane(self._nodes[0])
        self._place()

    def align(self) -> None:
        """Show the whole input in all views."""
        self._focus = None
        self._place()

    def zoomTo(self, ras: Sequence[float], width: float = ZOOMED_MM) -> None:
        """Center all views on a point, with at least `width` mm to be seen both ways."""
        if self.active:
            self._focus = (tuple(float(x) for x in ras), float(width))
            self._place()

    def setFlicker(self, flicker: bool) -> None:
        """Let the third view alternate between interpolation and result, or stop that."""
        self._flicker = bool(flicker)
        if self.active:
            self._assign()
        if self._flicker and self.active:
            self._timer.start()
        else:
            self._timer.stop()

    def _openLayout(self, manager: Any) -> None:
        node = manager.layoutLogic().GetLayoutNode()
        if not node.AddLayoutDescription(LAYOUT, layoutDescription()):
            node.SetLayoutDescription(LAYOUT, layoutDescription())
        manager.setLayout(LAYOUT)
        if not self._listening:
            self._listening = manager.connect("layoutChanged(int)", self._onLayoutChanged)

    def _onLayoutChanged(self, layout: int) -> None:
        if self.active and layout != LAYOUT:
            self.leave()

    def _widgets(self) -> list:
        manager = slicer.app.layoutManager()
        return [manager.sliceWidget(name) for name in VIEW_NAMES]

    def _sliceNodes(self) -> list:
        return [widget.mrmlSliceNode() for widget in self._widgets()]

    def _composites(self) -> list:
        if slicer.app.layoutManager() is None:
            return []
        return [widget.mrmlSliceCompositeNode() for widget in self._widgets() if widget is not None]

    def _assign(self) -> None:
        """Which volume is where."""
        for composite, node in zip(self._composites(), self._nodes):
            composite.SetLinkedControl(1)
            composite.SetHotLinkedControl(1)
            composite.SetLabelVolumeID(None)
            composite.SetForegroundVolumeID(None)
            composite.SetForegroundOpacity(0.0)
            composite.SetBackgroundVolumeID(node.GetID())
        if self._flicker:
            # Voxel for voxel on the same grid, so one layer over the other shows nothing but their difference.
            self._composites()[2].SetForegroundVolumeID(self._nodes[1].GetID())

    def _blink(self) -> None:
        if self.active:
            composite = self._composites()[2]
            composite.SetForegroundOpacity(0.0 if composite.GetForegroundOpacity() > 0.5 else 1.0)

    def _place(self) -> None:
        """The same plane in all views, and the same magnification: mm a pixel, as the views differ in size."""
        nodes = self._sliceNodes()
        columns, rows = (min(sizes) for sizes in zip(*map(_pixels, nodes)))
        plane = vtk.vtkMatrix4x4()
        if self._focus is None:
            logic = self._widgets()[0].sliceLogic()
            logic.FitSliceToBackground(columns, rows)  # which older versions of Slicer do not find out by themselves
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

    def _magnify(self, plane: Any = None) -> None:
        """Give all views the magnification, and the plane if there is one."""
        self._placing = True
        for node in self._sliceNodes():
            columns, rows = _pixels(node)
            if plane is not None:
                node.GetSliceToRAS().DeepCopy(plane)
            node.SetFieldOfView(self._scale * columns, self._scale * rows, node.GetFieldOfView()[2])
            node.UpdateMatrices()
        self._sizes = [_pixels(node) for node in self._sliceNodes()]
        self._placing = False

    def _watchViews(self) -> None:
        for node in self._sliceNodes():
            self._observers.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onView)))

    def _onView(self, node: Any, _event: str) -> None:
        """A view was resized, or the user magnified it: the others follow."""
        if self._placing:
            return
        columns, _rows = _pixels(node)
        if [_pixels(n) for n in self._sliceNodes()] != self._sizes:
            self._resizes.start()
        elif abs(node.GetFieldOfView()[0] - self._scale * columns) > TOLERANCE * self._scale * columns:
            self._scale = node.GetFieldOfView()[0] / columns
            self._plane = ()
            self._magnify()

    def _onResized(self) -> None:
        """Show again what was shown; where the user has moved on since, only as large as it was."""
        if not self.active or not all(slicer.mrmlScene.IsNodePresent(node) for node in self._nodes):
            return
        if _elements(self._sliceNodes()[0].GetSliceToRAS()) == self._plane:
            self._place()
        else:
            self._magnify()

    def _keepDisplay(self) -> None:
        """Voxels as they are, and one window and level for all, also when the user changes one of them."""
        displays = self._displays()
        window, level = displays[0].GetWindow(), displays[0].GetLevel()
        for display in displays:
            self._before[display] = (display.GetInterpolate(), display.GetAutoWindowLevel())
            display.SetInterpolate(0)
            display.SetAutoWindowLevel(0)
            display.SetWindowLevel(window, level)
            self._observers.append((display, display.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onDisplay)))
        scene = slicer.mrmlScene
        self._observers.append((scene, scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onRemoval)))

    def _onDisplay(self, changed: Any, _event: str) -> None:
        if self._copying:
            return
        self._copying = True
        for display in self._displays():
            if display is not changed:
                display.SetWindowLevel(changed.GetWindow(), changed.GetLevel())
        self._copying = False

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onRemoval(self, _scene: Any, _event: str, node: Any) -> None:
        if node in self._nodes:
            self.leave()

    def _displays(self) -> list:
        return [node.GetScalarVolumeDisplayNode() for node in self._nodes]

    def _release(self) -> None:
        for observed, tag in self._observers:
            observed.RemoveObserver(tag)
        for display, (interpolated, automatic) in self._before.items():
            display.SetInterpolate(interpolated)
            display.SetAutoWindowLevel(automatic)
        self._observers, self._before = [], {}


def _pixels(node: Any) -> tuple:
    """A view's columns and rows."""
    columns, rows, _depth = node.GetDimensions()
    return max(1, columns), max(1, rows)


def _elements(matrix: Any) -> tuple:
    return tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
