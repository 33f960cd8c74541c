"""The result of the last run: what it says of itself, and what can be done with it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import slicer

from ..engine.request import CombineRequest, Request
from . import dicomseries, segments, wording
from .pythoncall import callFor, combineCallFor
from .running import Running
from .scene import COVERAGE_ROLE, MAPS, inputsOf, isCombined
from .sidebyside import SETTINGS, SideBySide, removeVolume


class LastResult:
    """Shown while its input is the chosen one."""

    def __init__(self, ui: Any, sideBySide: SideBySide, running: Running) -> None:
        self._ui = ui
        self._sideBySide = sideBySide
        self._running = running
        self._input: Any = None
        self._node: Any = None
        self._isNew = False
        self._segmentations: list = []
        ui.undoButton.connect("clicked(bool)", self.undo)
        ui.copyButton.connect("clicked(bool)", self.copy)
        ui.dicomButton.connect("clicked(bool)", lambda *_arguments: dicomseries.save(self._node))
        ui.segmentsButton.connect("clicked(bool)", self.refineSegmentations)
        ui.detailsButton.connect("toggled(bool)", lambda _on: self.show(self._input))
        self.show(None)

    def take(self, inputNode: Any, node: Any, isNew: bool) -> None:
        """A run has ended with this node, which it has made (and not filled)."""
        self._input, self._node, self._isNew, self._segmentations = inputNode, node, isNew, []
        self._ui.detailsButton.checked = False

    def forget(self) -> None:
        """There is none any more."""
        self._input = self._node = None

    def show(self, inputNode: Any) -> None:
        """Show it if it is a result of this volume and still there."""
        ui = self._ui
        if self._node is not None and not slicer.mrmlScene.IsNodePresent(self._node):
            self.forget()
        shown = self._node is not None and inputNode is self._input
        ui.resultLabel.setVisible(shown)
        ui.resultRow.setVisible(shown)
        ui.detailsLabel.setVisible(shown and ui.detailsButton.checked)
        ui.segmentsButton.setVisible(shown and segments.canRefine(inputNode, self._node))
        ui.segmentsButton.enabled = self._running.job is None
        if shown:
            ui.resultLabel.text = escape(wording.resultLine(self._node)).replace("\n", "<br>")
            ui.detailsLabel.text = escape(wording.details(self._node)).replace("\n", "<br>")
            ui.undoButton.enabled = self._isNew  # what an existing volume held before is gone
            ui.dicomButton.setVisible(dicomseries.isPossible(self._node))

    def refineSegmentations(self, *_arguments: Any) -> None:
        """Those of the input, to the grid of the result."""
        self._running.start(lambda: ([self._input], self._node, None), self._keep, kind=segments.Refining)

    def _keep(self, _job: Any, nodes: list) -> None:
        self._segmentations += nodes

    def undo(self, *_arguments: Any) -> None:
        """Remove the result, and show the input again."""
        node, inputNode = self._node, self._input
        for segmentation in self._segmentations:
            slicer.mrmlScene.RemoveNode(segmentation)
        self.forget()
        self._sideBySide.leave()
        for volume in [node, *(node.GetNodeReference(role) for role in MAPS)]:
            if volume is not None:
                removeVolume(volume)
        if slicer.app.layoutManager() is not None:
            slicer.util.setSliceViewerLayers(background=inputNode)
        self.show(inputNode)

    def copy(self, *_arguments: Any) -> None:
        """The console call that does the same, onto the clipboard."""
        settings = json.loads(self._node.GetAttribute(SETTINGS))
        if isCombined(self._node):
            names = [node.GetName() for node in inputsOf(self._node)]
            maps = self._node.GetNodeReference(COVERAGE_ROLE) is not None
            text = combineCallFor(names, CombineRequest.from_dict(settings), maps)
        else:
            text = callFor(self._input.GetName(), Request.from_dict(settings))
        slicer.app.clipboard().setText(text)
