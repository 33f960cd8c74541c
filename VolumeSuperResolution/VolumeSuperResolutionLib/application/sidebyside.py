"""A result beside its input and the best interpolation, which is computed for it and goes away with the views."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from ..engine.request import Request
from . import runs
from .comparison import ZOOMED_MM, Comparison
from .rightview import RightView
from .scene import COMBINED, INPUT_ROLE, MAPS, PREFIX, inputsOf, isCombined, mapsOf
from .signals import Signal

PREVIEW = PREFIX + "Preview"
SETTINGS = PREFIX + "Settings"


class SideBySide:
    """Opens and closes the comparison; `changed` tells when it is open or closed."""

    def __init__(self) -> None:
        self.changed = Signal()
        self.comparison = Comparison()
        self.comparison.left.connect(self._onLeft)
        self._interpolation = None
        self._job = None
        self._focus = None
        self.inputNode = None
        # What the shown result was made of.
        self.inputs: list = []

    @property
    def active(self) -> bool:
        """Whether the views are open."""
        return self.comparison.active

    @property
    def preparing(self) -> bool:
        """Whether the interpolation is being computed, so that no other run can start."""
        return self._job is not None

    def open(self, inputNode: Any, resultNode: Any, request: Request) -> None:
        """Show a result; the interpolation is computed in the worker first."""
        self._focus = None
        self._prepare(inputNode, resultNode, request)

    def openPreview(self, inputNode: Any, previewNode: Any, request: Request) -> None:
        """Show a preview, and of the volume only that box."""
        previewNode.SetAttribute(PREVIEW, "1")
        previewNode.SetName(f"{inputNode.GetName()} preview")
        self._focus = previewNode
        self._prepare(inputNode, previewNode, request)

    @property
    def showsPreview(self) -> bool:
        """Whether the views are open on a preview."""
        return self.active and self._focus is not None

    def refreshPreview(self, request: Request) -> None:
        """The preview was computed again, perhaps of another box: follow it, the interpolation, too."""
        if self.showsPreview:
            interpolation = runs.interpolationRequest(request, self._focus.GetAttribute(PREFIX + "Model"))
            self._begin(interpolation, self._interpolation, self._showAgain)

    def openNewest(self, inputNode: Any, outputNode: Any = None) -> None:
        """Show the chosen output, or the newest result of the input, or of what the input itself is a result of."""
        candidates = [outputNode] if isResult(outputNode) else resultsOf(inputNode)
        if not candidates and isResult(inputNode):
            candidates = [inputNode]
        if not candidates:
            raise RefusalError(_("There is no result of this volume to compare yet; press Apply first."))
        result = candidates[-1]
        inputs = inputsOf(result)
        self.open(inputNode if inputNode in inputs else inputs[0], result, requestOf(result))

    def previewNode(self, inputNode: Any) -> Any:
        """The node of an earlier preview of this volume, to be used again; None if there is none."""
        return next((node for node in resultsOf(inputNode, previews=True) if node.GetAttribute(PREVIEW)), None)

    def setAxis(self, axis: str) -> None:
        self.comparison.setAxis(axis)

    @property
    def right(self) -> RightView:
        """What the right view shows."""
        return self.comparison.right

    def zoomToCrosshair(self) -> None:
        """Center the views on the crosshair and magnify it."""
        if self.active:
            self.comparison.zoomTo(crosshair(self.inputNode))

    def leave(self) -> None:
        """Close the views and drop what was computed for them."""
        if self._job is not None:
            self._job.cancel()
        self.comparison.leave()

    def close(self) -> None:
        """Leave for good."""
        self.leave()
        self.comparison.close()

    def _prepare(self, inputNode: Any, resultNode: Any, request: Request) -> None:
        if slicer.app.layoutManager() is None:
            return
        self.leave()
        self.inputNode, self.inputs = inputNode, inputsOf(resultNode)
        interpolation = runs.interpolationRequest(request, resultNode.GetAttribute(PREFIX + "Model"))
        self._begin(interpolation, None, lambda node: self._show(inputNode, node, resultNode))

    def _begin(self, request: Request, outputNode: Any, whenFinished: Any) -> None:
        self._job = runs.Upscaling([self.inputNode], request, outputNode)
        self._job.finished.connect(whenFinished)
        self._job.failed.connect(self._onFailed)
        self._job.cancelled.connect(self._forgetJob)

    def _showAgain(self, _node: Any) -> None:
        self._job = None
        if self.showsPreview:
            self.comparison.zoomTo(*self._box())
        self.changed.emit()

    def _show(self, inputNode: Any, interpolationNode: Any, resultNode: Any) -> None:
        self._job = None
        self._interpolation = interpolationNode
        interpolationNode.SetHideFromEditors(True)
        interpolationNode.SetSaveWithScene(False)
        interpolationNode.GetDisplayNode().SetSaveWithScene(False)
        if not slicer.mrmlScene.IsNodePresent(resultNode):
            self._onLeft()
            return
        try:
            self.comparison.show(inputNode, interpolationNode, resultNode, self._box(), mapsOf(resultNode))
        finally:
            self.changed.emit()

    def _box(self) -> tuple | None:
        """The middle and the width of a preview; none of a whole result."""
        if self._focus is None:
            return None
        bounds = np.reshape(gridBounds(self._focus), (3, 2))
        return bounds.mean(1).tolist(), float(min(ZOOMED_MM, np.ptp(bounds, axis=1).max()))

    def _onFailed(self, sentence: str) -> None:
        self._forgetJob()
        slicer.util.errorDisplay(_("The comparison could not be opened. {reason}").format(reason=sentence))

    def _forgetJob(self) -> None:
        self._job = None
        self.changed.emit()

    def _onLeft(self) -> None:
        node, self._interpolation = self._interpolation, None
        if node is not None and slicer.mrmlScene.IsNodePresent(node):
            removeVolume(node)
        self.changed.emit()


def removeVolume(node: Any) -> None:
    """Remove a volume and its display node, which in some versions of Slicer goes with it."""
    display = node.GetDisplayNode()
    slicer.mrmlScene.RemoveNode(node)
    if display is not None and slicer.mrmlScene.IsNodePresent(display):
        slicer.mrmlScene.RemoveNode(display)


def isResult(node: Any) -> bool:
    """Whether a node is a result whose input is still there."""
    return node is not None and bool(node.GetAttribute(SETTINGS)) and node.GetNodeReference(INPUT_ROLE) is not None


def requestOf(resultNode: Any) -> Request:
    """What was asked for; of one that was made of several, what brings one of them to its voxels."""
    if isCombined(resultNode):
        return Request(COMBINED, spacing=tuple(resultNode.GetSpacing()))
    return Request.from_dict(json.loads(resultNode.GetAttribute(SETTINGS)))


def resultsOf(inputNode: Any, previews: bool = False) -> list:
    """The volumes made from this one, oldest first."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    results = [node for node in nodes if isResult(node) and inputNode in inputsOf(node)]
    maps = [node.GetNodeReference(role) for node in results for role in MAPS]
    return [
        node
        for node in results
        if node not in maps and not node.GetHideFromEditors() and (previews or not node.GetAttribute(PREVIEW))
    ]


def gridBounds(node: Any) -> list:
    """A volume's bounds in RAS, transforms included."""
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return bounds


def crosshair(volumeNode: Any) -> tuple:
    """Where the crosshair is, in RAS; the middle of the volume where it is not on it."""
    bounds = gridBounds(volumeNode)
    return crosshairOn(volumeNode) or tuple((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2]))


def crosshairOn(volumeNode: Any) -> tuple | None:
    """Where on the volume the crosshair is, in RAS; None where it is not on it."""
    bounds = gridBounds(volumeNode)
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    ras = node.GetCrosshairRAS() if node is not None else ()
    isOn = len(ras) == 3 and all(low <= x <= high for x, low, high in zip(ras, bounds[::2], bounds[1::2]))
    return tuple(ras) if isOn else None
