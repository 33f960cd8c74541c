"""Three linked views side by side: input, best interpolation, result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from .alignment import Alignment
from .rightview import RightView
from .signals import Signal

LAYOUT = 7726
VIEW_GROUP = 7726
# The layout to return to if there was none before.
DEFAULT_LAYOUT = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
# Slicer's data probe shows these names, in eight characters.
VIEW_NAMES = ("Input", "Interp", "Result")
COLORS = ("#7A7A7A", "#B8860B", "#2E8B57")
AXES = ("Axial", "Coronal", "Sagittal")
# What the views show around the crosshair.
ZOOMED_MM = 40.0


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
        self.alignment = Alignment()
        self.right = RightView()
        self.alignment.changed.connect(self.right.refresh)
        self._nodes: list = []
        self._previousLayout = None
        self._before: dict = {}
        self._observers: list = []
        self._copying = False
        self._listening = False

    def show(
        self,
        inputNode: Any,
        interpolationNode: Any,
        resultNode: Any,
        focus: tuple | None = None,
        maps: dict | None = None,
    ) -> bool:
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
            self.alignment.take(self._widgets(), focus)
            self.setAxis(self.axis)
            self.right.take(self._widgets()[2], interpolationNode, resultNode, maps)
        return True

    def leave(self) -> None:
        """Go back to the layout that was there, with the volumes displayed as they were."""
        if not self.active:
            return
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
        self.alignment.place()

    def zoomTo(self, ras: Sequence[float], width: float = ZOOMED_MM) -> None:
        """Center all views on a point, with at least `width` mm to be seen both ways."""
        if self.active:
            self.alignment.showAround(ras, width)

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
        else:
            self.right.forget(node)

    def _displays(self) -> list:
        return [node.GetScalarVolumeDisplayNode() for node in self._nodes]

    def _release(self) -> None:
        self.right.release()
        self.alignment.release()
        for observed, tag in self._observers:
            observed.RemoveObserver(tag)
        for display, (interpolated, automatic) in self._before.items():
            display.SetInterpolate(interpolated)
            display.SetAutoWindowLevel(automatic)
        self._observers, self._before = [], {}
