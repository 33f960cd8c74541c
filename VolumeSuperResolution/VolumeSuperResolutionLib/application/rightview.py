"""What the right view of the comparison shows: the result as it is, or in one of the ways that lead to differences."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .overlay import Overlay
from .signals import Signal

RESULT, FLICKER, CURTAIN, DIFFERENCE = ALWAYS = ("result", "flicker", "curtain", "difference")
FLICKER_MS = 600


class RightView:
    """`moved` tells where the curtain stands, as a part of the view's width, when the mouse has moved it."""

    def __init__(self) -> None:
        self.moved = Signal()
        self.mode = RESULT
        self.curtain = 0.5
        self._widget: Any = None
        self._overlay: Overlay | None = None
        self._interpolation: Any = None
        self._result: Any = None
        self._maps: dict = {}
        self._crosshair: tuple | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(FLICKER_MS)
        self._timer.connect("timeout()", self._blink)

    def take(self, widget: Any, interpolation: Any, result: Any, maps: dict | None = None) -> None:
        """Show these in a slice widget, whose background is the result; `maps` are those of the result, by name."""
        self.release()
        self._widget, self._overlay = widget, Overlay(widget)
        self._interpolation, self._result, self._maps = interpolation, result, dict(maps or {})
        self.setMode(self.mode if self.mode in self.modes() else RESULT)

    def release(self) -> None:
        """Leave the view as it was; the mode stays for the next time."""
        if self._overlay is None:
            return
        self._clear()
        self._widget = self._overlay = self._interpolation = self._result = None
        self._maps = {}

    def modes(self) -> tuple:
        """The ways there are for what is shown."""
        return (*ALWAYS, *self._maps)

    def forget(self, node: Any) -> None:
        """A node goes away."""
        gone = [name for name, own in self._maps.items() if own is node]
        for name in gone:
            del self._maps[name]
        if self.mode in gone:
            self.setMode(RESULT)

    def setMode(self, mode: str) -> None:
        """Show it this way from now on."""
        self.mode = mode
        if self._overlay is None:
            return
        self._clear()
        if mode == FLICKER:
            # Voxel for voxel on the same grid, so one layer over the other shows nothing but their difference.
            self._composite().SetForegroundVolumeID(self._interpolation.GetID())
            self._timer.start()
        elif mode == CURTAIN:
            self._overlay.showCurtain(self._interpolation, self.curtain)
            self._followMouse()
        elif mode == DIFFERENCE:
            self._overlay.showDifference(self._interpolation, self._result)
        elif mode in self._maps:
            self._overlay.showMap(self._maps[mode], legends()[mode])

    def setCurtain(self, part: float) -> None:
        """Let the curtain stand at a part of the view's width."""
        self.curtain = part
        self.refresh()

    def refresh(self) -> None:
        """The view has another size, perhaps."""
        if self._overlay is not None:
            self._overlay.moveCurtain(self.curtain)

    def _composite(self) -> Any:
        return self._widget.mrmlSliceCompositeNode()

    def _clear(self) -> None:
        self._timer.stop()
        self._overlay.clear()
        self._composite().SetForegroundVolumeID(None)
        self._composite().SetForegroundOpacity(0.0)
        if self._crosshair is not None:
            node, tag = self._crosshair
            node.RemoveObserver(tag)
            self._crosshair = None

    def _blink(self) -> None:
        composite = self._composite()
        composite.SetForegroundOpacity(0.0 if composite.GetForegroundOpacity() > 0.5 else 1.0)

    def _followMouse(self) -> None:
        """Slicer keeps where the mouse is over which view."""
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if node is not None:
            self._crosshair = (node, node.AddObserver(node.CursorPositionModifiedEvent, self._onMouse))

    def _onMouse(self, node: Any, _event: str) -> None:
        position = [0.0, 0.0, 0.0]
        if node.GetCursorPositionXYZ(position) is self._widget.mrmlSliceNode():
            columns = self._widget.mrmlSliceNode().GetDimensions()[0]
            self.setCurtain(position[0] / max(1, columns))
            self.moved.emit(self.curtain)


def legends() -> dict:
    """What stands over the colors of each map."""
    return {
        "uncertainty": _("Uncertainty"),
        "interval": _("90% within ±"),
        "invented": _("Not in the scan"),
        "coverage": _("Scans"),
        "residual": _("Scans differ by"),
    }
