"""A small box around the crosshair, upscaled: a look at what a run would give, which follows crosshair and settings."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk

from ..engine.errors import RefusalError
from . import runs
from .choosing import Choosing
from .pace import Pace
from .running import Running
from .sidebyside import SideBySide, crosshair, crosshairOn

# How long the crosshair and the settings have to rest before the box is computed again.
REST_MS = 300


class Preview:
    """Opens the comparison on the box, and computes it again as long as it is open."""

    def __init__(self, choosing: Choosing, running: Running, sideBySide: SideBySide, pace: Pace) -> None:
        self._choosing = choosing
        self._running = running
        self._sideBySide = sideBySide
        self._pace = pace
        self._shown: Any = None
        self._place: tuple = ()
        self._crosshair: tuple | None = None
        self._rest = qt.QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.connect("timeout()", self._refresh)

    def open(self) -> None:
        """Compute the box and show it."""
        self._place = crosshair(self._choosing.node)
        self._running.start(self._prepare, self._onOpened)

    def follow(self) -> None:
        """Something has changed: what is previewed, or whether."""
        if not self._sideBySide.showsPreview:
            self.close()
            return
        if self._crosshair is None:
            node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
            if node is not None:
                tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._rest.start())
                self._crosshair = (node, tag)
        if self._wanted() not in (None, self._shown):
            self._rest.start()

    def close(self) -> None:
        """Follow nothing any more."""
        self._rest.stop()
        if self._crosshair is not None:
            node, tag = self._crosshair
            node.RemoveObserver(tag)
            self._crosshair = None

    def _prepare(self) -> tuple:
        return [self._choosing.node], self._request(), self._sideBySide.previewNode(self._choosing.node)

    def _request(self) -> Any:
        choosing = self._choosing
        rate = self._pace.rate(choosing.card(), choosing.parameters.device)
        return runs.previewRequest(choosing.node, choosing.request(), self._place, rate)

    def _wanted(self) -> Any:
        """The request for what should be seen; None where nothing can be."""
        if self._choosing.node is None or self._choosing.node is not self._sideBySide.inputNode:
            return None
        try:
            return self._request()
        except RefusalError:
            return None

    def _refresh(self) -> None:
        if not self._sideBySide.showsPreview or self._choosing.node is None:
            return
        if self._running.job is not None or self._sideBySide.preparing:
            self._rest.start()
            return
        self._place = crosshairOn(self._sideBySide.inputNode) or self._place
        if self._wanted() not in (None, self._shown):
            self._running.start(self._prepare, self._onRefreshed, quiet=True)

    def _onOpened(self, job: Any, node: Any) -> None:
        self._shown = job.request
        self._sideBySide.openPreview(job.inputVolume, node, job.request)

    def _onRefreshed(self, job: Any, _node: Any) -> None:
        self._shown = job.request
        self._sideBySide.refreshPreview(job.request)
