"""The panel: settings in, one run at a time, what it will take and what it found out."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from ..engine.models import zoo
from . import combining, dependencies, runs, stacks, wording
from .catalog import Catalog
from .choosing import Choosing, makeReachable
from .comparing import Comparing
from .inspection import Inspection
from .lastresult import LastResult
from .learning import showLearning
from .pace import Pace
from .preview import Preview
from .running import Running
from .scene import isCombined
from .showing import Showing
from .sidebyside import SideBySide, requestOf
from .stackform import StackForm
from .targets import OWN_SPACING
from .worker import Worker

PARAMETER = "SlicerParameterName"


class Panel:
    """Binds the widgets of the .ui file to parameters in the scene, and starts runs."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        # Now, as of the widgets that other widgets have made for themselves, some may go away again.
        self._bound = {widget.property(PARAMETER): widget for widget in vars(ui).values()}
        self._bound.pop(None, None)
        for selector in (ui.inputSelector, ui.outputSelector, ui.regionSelector):
            makeReachable(selector)
        self.inspection = Inspection()
        self.pace = Pace()
        self.catalog = Catalog(ui.modelTree, ui.searchEdit)
        self.choosing = Choosing(ui, self.catalog)
        self.showing = Showing(ui, self.choosing, self.inspection, self.pace)
        self.stacks = StackForm(ui, self.choosing)
        self.running = Running(ui.progressBar, ui.enoughButton)
        self.sideBySide = SideBySide()
        self.preview = Preview(self.choosing, self.running, self.sideBySide, self.pace)
        self._next: Any = None
        self._learnTip = ui.learnCheckBox.toolTip
        self.comparing = Comparing(ui, self.sideBySide)
        self.lastResult = LastResult(ui, self.sideBySide, self.running)
        self._guiTag = None
        self._observerTag = None
        self._observed: list = []
        self._updates = qt.QTimer()
        self._updates.setSingleShot(True)
        self._updates.setInterval(0)
        self._updates.connect("timeout()", self.update)
        self._connect()

    @property
    def job(self) -> Any:
        """The run that is going on, or None."""
        return self.running.job

    def setParameters(self, parameters: Any) -> None:
        """Show and change these parameters from now on; None for none."""
        old = self.choosing.parameters
        if old is not None:
            old.disconnectGui(self._guiTag)
            old.RemoveObserver(self._observerTag)
        self.choosing.parameters = parameters
        if parameters is not None:
            # Not connectGui: in some versions of Slicer that keeps the tag to itself.
            self._guiTag = parameters.connectParametersToGui(self._bound)
            self.scheduleUpdate()  # once more when the widgets have their sizes
            self._observerTag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self.scheduleUpdate)
        self.update()

    def close(self) -> None:
        """Stop what runs, worker included, and leave the comparison; the widgets may go away after this."""
        self._updates.stop()
        for signal in (self.sideBySide.changed, self.running.changed, self.inspection.finished):
            signal.disconnect(self.scheduleUpdate)
        self.running.changed.disconnect(self._onRunChanged)
        self.preview.close()
        self.running.close()
        self.sideBySide.close()
        self.comparing.close()
        self.setParameters(None)
        self.inspection.forget()
        self.showing.close()
        Worker.shared().stop()

    def forgetScene(self) -> None:
        """The scene is about to be closed."""
        self.running.cancel()
        self.sideBySide.leave()
        self.lastResult.forget()
        self.inspection.forget()

    def update(self) -> None:
        """Show what the parameters say, and what they lead to."""
        self._observe()
        parameters, ui = self.choosing.parameters, self.ui
        if parameters is None:
            return
        self._showSource()
        card, possible = (None, self.stacks.show()) if self.stacks.active else self._showOneVolume()
        for widget in (ui.uncertaintyCheckBox, ui.ensembleCheckBox, ui.deviceSelector, ui.precisionSelector):
            widget.enabled = card is not None and card.learned
        ui.intervalCheckBox.enabled = card is not None and any(table.holds for table in card.intervals)
        for widget in (ui.regionSelector, ui.memorySpinBox, ui.consistencySpinBox, ui.fillNonfiniteCheckBox):
            widget.enabled = not self.stacks.active
        ui.inventedCheckBox.enabled = not self.stacks.active
        if self.stacks.active:
            ui.learnCheckBox.enabled = False
        self.lastResult.show(self.stacks.reference() if self.stacks.active else parameters.inputVolume)
        if possible and card is not None and card.learned and dependencies.torchState()[0]:
            Worker.shared().prepare()  # so that the first run need not wait for torch
        self._showRunState(possible and not self.sideBySide.preparing)
        self._showCompareState()
        self.preview.follow()
        self.showing.fit()

    def _showSource(self) -> None:
        """Of one volume and of several stacks, the widgets for the one that is chosen."""
        ui, several = self.ui, self.stacks.active
        ui.oneVolumeButton.checked, ui.stacksButton.checked = not several, several
        ui.stacksBox.setVisible(several)
        for widget in (ui.inputLabel, ui.inputSelector, ui.targetLabel, ui.targetSelector, ui.modelsCollapsibleButton):
            widget.setVisible(not several)
        ui.previewButton.setVisible(not several)
        for widget in (ui.scanLabel, ui.methodLabel, ui.warningLabel, ui.torchButton) if several else ():
            widget.setVisible(False)
        for widget in (ui.realismLabel, ui.realismRow, ui.spacingLabel, ui.spacingRow) if several else ():
            widget.setVisible(False)

    def _showOneVolume(self) -> tuple:
        """The card of the model that would run, or None, and whether a run is possible."""
        ui = self.ui
        self.choosing.show()
        self.catalog.show(self.choosing.model, self.showing.seconds)
        node = self.choosing.node
        card, possible = self.showing.show(len(stacks.proposed(node)) if node is not None else 0)
        for widget in (ui.realismLabel, ui.realismRow):
            widget.setVisible(card is not None and bool(card.partner))
        showLearning(ui.learnCheckBox, self._learnTip, node)
        for widget in (ui.spacingLabel, ui.spacingRow):
            widget.setVisible(self.choosing.target == OWN_SPACING)
        return card, possible

    def onApply(self, *_arguments: Any) -> None:
        """Start, or cancel what runs."""
        if self.job is not None and not self.running.isQuiet:
            self.ui.applyButton.enabled = False
            self.running.cancel()
        else:
            self._whenFree(self._apply)

    def _apply(self) -> None:
        choosing = self.choosing
        output = choosing.parameters.outputVolume
        self.lastResult.forget()

        def prepare() -> tuple:
            if self.stacks.active:
                nodes, request, maps = self.stacks.request()
                return nodes, (request, maps), output
            return [choosing.node], choosing.request(), output

        kind = combining.Combining if self.stacks.active else runs.Upscaling
        self.running.start(prepare, lambda job, node: self._showResult(job, node, output is None), kind=kind)

    def onPreview(self, *_arguments: Any) -> None:
        """Upscale a small box around the crosshair and show it."""
        self._whenFree(self.preview.open)

    def onInstallTorch(self, *_arguments: Any) -> None:
        """Have PyTorch installed, if the user agrees."""
        try:
            dependencies.ensureTorch()
        except RefusalError as refusal:
            slicer.util.errorDisplay(str(refusal))
        self.update()

    def onCompare(self, *_arguments: Any) -> None:
        """Open the three views on the newest result of the input, or close them, also before they are there."""
        if self.sideBySide.active or self.sideBySide.preparing:
            self.sideBySide.leave()
            return
        try:
            self._openNewest()
        except RefusalError as refusal:
            slicer.util.errorDisplay(str(refusal))
        self.update()

    def _openNewest(self) -> None:
        node = self.stacks.current() if self.stacks.active else self.choosing.node
        self.sideBySide.openNewest(node, self.choosing.parameters.outputVolume)

    def _onStack(self, node: Any) -> None:
        """A row of the list was clicked: the comparison, if it is open, shows the result beside that stack."""
        isOpen = self.sideBySide.active and not self.sideBySide.showsPreview and self.job is None
        if isOpen and node in self.sideBySide.inputs and node is not self.sideBySide.inputNode:
            self._openNewest()

    def _choose(self, several: bool) -> None:
        if self.choosing.parameters is not None:
            self.choosing.parameters.severalStacks = several

    def _connect(self) -> None:
        ui = self.ui
        for signal in (self.sideBySide.changed, self.inspection.finished, self.stacks.changed):
            signal.connect(self.scheduleUpdate)
        self.stacks.chosen.connect(self._onStack)
        ui.oneVolumeButton.connect("clicked(bool)", lambda _on: self._choose(False))
        ui.stacksButton.connect("clicked(bool)", lambda _on: self._choose(True))
        ui.scanLabel.connect("linkActivated(QString)", lambda _link: self._choose(True))
        self.running.changed.connect(self._onRunChanged)
        ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.scheduleUpdate)
        ui.applyButton.connect("clicked(bool)", self.onApply)
        ui.previewButton.connect("clicked(bool)", self.onPreview)
        ui.torchButton.connect("clicked(bool)", self.onInstallTorch)
        ui.compareButton.connect("clicked(bool)", self.onCompare)

    def scheduleUpdate(self, *_arguments: Any) -> None:
        """Show what there is as soon as the event loop is free."""
        self._updates.start()

    def _observe(self) -> None:
        """Follow the chosen nodes themselves: their voxels and geometry, and the region while it is dragged."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        parameters = self.choosing.parameters
        chosen: tuple = (parameters.inputVolume, parameters.region) if parameters is not None else ()
        chosen = (*chosen, *self.stacks.ticked()) if self.stacks.active else chosen
        event = vtk.vtkCommand.ModifiedEvent
        self._observed = [(n, n.AddObserver(event, self.scheduleUpdate)) for n in chosen if n is not None]

    def _showResult(self, job: Any, node: Any, isNew: bool) -> None:
        self.lastResult.take(job.inputVolume, node, isNew)
        if not isCombined(node) and not job.request.learns:
            self._learnPace(job, node)
        if self.choosing.parameters is not None and self.choosing.parameters.compareAfter:
            self.sideBySide.open(job.inputVolume, node, requestOf(node))
        else:
            slicer.util.setSliceViewerLayers(background=node)

    def _learnPace(self, job: Any, node: Any) -> None:
        report = wording.reportOf(node)
        if job.request.region is None:
            forecast = runs.estimateRequest(job.inputVolume, job.request)
            self.pace.learn(zoo.card(report.model), forecast, report)

    def _whenFree(self, begin: Any) -> None:
        """Begin a run now, or as soon as one that nobody has asked for is cancelled."""
        if self.job is None:
            begin()
        else:
            self._next = begin
            self.running.cancel()

    def _onRunChanged(self) -> None:
        self.update()
        if self.job is None and self._next is not None:
            begin, self._next = self._next, None
            begin()

    def _showRunState(self, possible: bool) -> None:
        running = self.job is not None and not self.running.isQuiet
        self.ui.applyButton.text = _("Cancel") if running else _("&Apply")
        self.ui.applyButton.enabled = running or possible
        self.ui.previewButton.enabled = possible and not running

    def _showCompareState(self) -> None:
        active, preparing = self.sideBySide.active, self.sideBySide.preparing
        self.ui.compareButton.checked = active
        self.ui.compareButton.text = _("Cancel comparison") if preparing else _("&Compare")
        self.ui.compareButton.enabled = active or preparing or self.job is None
        if self.job is None:  # else the bar is the run's
            self.running.showBusy(preparing and not active)  # a preview that is computed again is there already
        self.comparing.show()
