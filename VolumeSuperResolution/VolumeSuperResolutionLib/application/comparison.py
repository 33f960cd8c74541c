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
VIEW_NAMES = ("SuperResolutionInput", "SuperResolutionInterpolation", "SuperResolutionResult")
COLORS = ("#7A7A7A", "#B8860B", "#2E8B57")
AXES = ("Axial", "Coronal", "Sagittal")
FLICKER_MS = 600
# What the views show around the crosshair.
ZOOMED_MM = 40.0


def layoutDescription() -> str:
    """The three views as MRML's layout XML."""
    labels = (_("Input"), _("Interpolation"), _("Result"))
    items = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{color}</property>'
        f'<property name="viewgroup" action="default">{VIEW_GROUP}</property>'
        "</view></item>"
        for name, label, color in zip(VIEW_NAMES, labels, COLORS)
    )
    return f'<layout type="horizontal">{items}</layout>'


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
        self._timer = qt.QTimer()
        self._timer.setInterval(FLICKER_MS)
        self._timer.connect("timeout()", self._blink)

    def show(self, inputNode: Any, interpolationNode: Any, resultNode: Any) -> bool:
        """Open the views on three volumes; False where there are no views, as without a main window."""
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
            self.setAxis(self.axis)
        # The views get their final size in the event loop only.
        qt.QTimer.singleShot(0, self._alignIfActive)
        return True

    def leave(self) -> None:
        """Go back to the layout that was there, with the volumes displayed as they were."""
        if not self.active:
            return
        self.setFlicker(False)
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
        self.align()

    def align(self) -> None:
        """Fit the input, then give all views its center and field of view."""
        logic = self._widgets()[0].sliceLogic()
        first = logic.GetSliceNode()
        columns, rows, _depth = first.GetDimensions()
        logic.FitSliceToBackground(columns, rows)  # which older versions of Slicer do not find out by themselves
        self._place(first.GetSliceToRAS(), first.GetFieldOfView()[0])

    def zoomTo(self, ras: Sequence[float], width: float = ZOOMED_MM) -> None:
        """Center all views on a point, `width` mm across."""
        if not self.active:
            return
        toRas = vtk.vtkMatrix4x4()
        toRas.DeepCopy(self._sliceNodes()[0].GetSliceToRAS())
        for row in range(3):
            toRas.SetElement(row, 3, float(ras[row]))
        self._place(toRas, float(width))

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

    def _place(self, toRas: Any, width: float) -> None:
        for node in self._sliceNodes():
            columns, rows, _depth = node.GetDimensions()
            field = node.GetFieldOfView()
            node.GetSliceToRAS().DeepCopy(toRas)
            node.SetFieldOfView(width, width * rows / max(1, columns), field[2])
            node.UpdateMatrices()

    def _alignIfActive(self) -> None:
        if self.active and all(slicer.mrmlScene.IsNodePresent(node) for node in self._nodes):
            self.align()

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
