"""The panel: settings in, one run at a time, what it will take and what it found out."""

from __future__ import annotations

import logging
from html import escape
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from ..engine.models import zoo
from ..engine.models.domain import warnings_for
from ..engine.volumes.intensity import guess_modality
from . import dependencies, runs, scene, wording
from .choices import fillSelectors, makeReachable
from .comparison import AXES
from .parameters import TARGETS, optionsFrom
from .sidebyside import SideBySide, crosshair
from .worker import Worker

PARAMETER = "SlicerParameterName"
WARNING_STYLE = "color: #B36B00;"
NOTICE_STYLE = "font-weight: bold; padding: 6px;"


class Panel:
    """Binds the widgets of the .ui file to parameters in the scene, and starts runs."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        # Now, as of the widgets that other widgets have made for themselves, some may go away again.
        self._bound = {widget.property(PARAMETER): widget for widget in vars(ui).values()}
        self._bound.pop(None, None)
        for selector in (ui.inputSelector, ui.outputSelector, ui.regionSelector):
            makeReachable(selector)
        self.sideBySide = SideBySide()
        self.sideBySide.changed.connect(self._scheduleUpdate)
        self.job = None
        self._whenFinished = None
        self._parameters = None
        self._guiTag = None
        self._observerTag = None
        self._observed: list = []
        self._filling = False
        self._warnings: dict = {}
        self._updates = qt.QTimer()
        self._updates.setSingleShot(True)
        self._updates.setInterval(0)
        self._updates.connect("timeout()", self.update)
        fillSelectors(ui)
        self._connect()
        self.ui.noticeLabel.setStyleSheet(NOTICE_STYLE)
        self.ui.warningLabel.setStyleSheet(WARNING_STYLE)
        self.ui.progressBar.setVisible(False)

    def setParameters(self, parameters: Any) -> None:
        """Show and change these parameters from now on; None for none."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self._parameters.RemoveObserver(self._observerTag)
        self._parameters = parameters
        if parameters is not None:
            # Not connectGui: in some versions of Slicer that keeps the tag to itself.
            self._guiTag = parameters.connectParametersToGui(self._bound)
            self._scheduleUpdate()  # once more when the widgets have their sizes
            self._observerTag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self._scheduleUpdate)
        self.update()

    def close(self) -> None:
        """Stop what runs, worker included, and leave the comparison; the widgets may go away after this."""
        self._updates.stop()
        self.sideBySide.changed.disconnect(self._scheduleUpdate)
        if self.job is not None:
            job = self._releaseJob()
            job.cancel()
        self.sideBySide.close()
        self.setParameters(None)
        Worker.shared().stop()

    def forgetScene(self) -> None:
        """The scene is about to be closed."""
        if self.job is not None:
            self.job.cancel()
        self.sideBySide.leave()
        self._warnings.clear()

    # Choosing

    def _connect(self) -> None:
        ui = self.ui
        for selector, name in self._choices():
            selector.connect("currentIndexChanged(int)", lambda _i, s=selector, n=name: self._onChosen(s, n))
        ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._scheduleUpdate)
        ui.applyButton.connect("clicked(bool)", self.onApply)
        ui.previewButton.connect("clicked(bool)", self.onPreview)
        ui.compareButton.connect("clicked(bool)", self.onCompare)
        ui.zoomButton.connect("clicked(bool)", self.onZoom)
        ui.axisSelector.connect("currentIndexChanged(int)", lambda index: self.sideBySide.setAxis(AXES[index]))
        ui.flickerCheckBox.connect("toggled(bool)", self.sideBySide.setFlicker)

    def _choices(self) -> tuple:
        ui = self.ui
        return (
            (ui.modelSelector, "model"),
            (ui.targetSelector, "target"),
            (ui.deviceSelector, "device"),
            (ui.precisionSelector, "precision"),
        )

    def _onChosen(self, selector: Any, name: str) -> None:
        value = selector.currentData
        if self._filling or self._parameters is None or not value:
            return
        if name == "target" and value == "spacing" and self._parameters.inputVolume is not None:
            self._proposeSpacing()
        setattr(self._parameters, name, value)
        if name == "model":
            self._proposeTarget()

    def _proposeSpacing(self) -> None:
        """Begin with voxels of half the size."""
        spacing = [min(max(0.01, float(s) / 2), 100.0) for s in self._parameters.inputVolume.GetSpacing()]
        self._parameters.spacingI, self._parameters.spacingJ, self._parameters.spacingK = spacing

    def _proposeTarget(self) -> None:
        """Where the chosen model cannot reach the chosen target, choose one that it can."""
        node = self._parameters.inputVolume
        if node is None or self._refusal(self._parameters.target) is None:
            return
        for target in TARGETS:
            if target != "spacing" and self._refusal(target) is None:
                self._parameters.target = target
                return

    def _refusal(self, target: str) -> str | None:
        try:
            runs.estimateRequest(self._parameters.inputVolume, self._request(target))
        except RefusalError as refusal:
            return str(refusal)
        return None

    def _request(self, target: str = "") -> Any:
        card = zoo.card(self._parameters.model or runs.defaultModel())
        options = optionsFrom(self._parameters, card, target)
        return runs.makeRequest(self._parameters.inputVolume, **options)

    # Showing

    def _scheduleUpdate(self, *_arguments: Any) -> None:
        self._updates.start()

    def update(self) -> None:
        """Show what the parameters say, and what they lead to."""
        self._observe()
        if self._parameters is None:
            return
        self._showChoices()
        card = self._card()
        self._showCard(card)
        ui, mixed = self.ui, card is not None and bool(card.partner)
        for widget in (ui.realismLabel, ui.realismRow):
            widget.setVisible(mixed)
        for widget in (ui.spacingLabel, ui.spacingRow):
            widget.setVisible(self._parameters.target == "spacing")
        for widget in (ui.uncertaintyCheckBox, ui.ensembleCheckBox, ui.deviceSelector, ui.precisionSelector):
            widget.enabled = card is not None and card.learned
        possible = self._showEstimate()
        for label in self._texts():
            self._fit(label)
        if possible and card.learned and dependencies.torchState()[0]:
            Worker.shared().prepare()  # so that the first run need not wait for torch
        running = self.job is not None
        possible = possible and not self.sideBySide.preparing
        self.ui.applyButton.text = _("Cancel") if running else _("&Apply")
        self.ui.applyButton.enabled = running or possible
        self.ui.previewButton.enabled = possible and not running
        self._showCompareState()

    def _observe(self) -> None:
        """Follow the chosen nodes themselves: their voxels and geometry, and the region while it is dragged."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        chosen = (self._parameters.inputVolume, self._parameters.region) if self._parameters is not None else ()
        event = vtk.vtkCommand.ModifiedEvent
        self._observed = [(n, n.AddObserver(event, self._scheduleUpdate)) for n in chosen if n is not None]

    def _texts(self) -> tuple:
        ui = self.ui
        return ui.cardLabel, ui.warningLabel, ui.estimateLabel, ui.resultLabel

    @staticmethod
    def _fit(label: Any) -> None:
        """At least as high as its text, wrapped: where a panel is low, a form layout gives such a label too little."""
        if label.visible:
            label.setMinimumHeight(0)
            label.setMinimumHeight(label.heightForWidth(label.width))

    def _card(self) -> Any:
        """The card of the chosen model; None if the scene names one that is not here."""
        return zoo.cards().get(self._parameters.model or runs.defaultModel())

    def _showChoices(self) -> None:
        self._filling = True
        defaults = {"model": runs.defaultModel(), "target": "x2", "device": "auto", "precision": "auto"}
        for selector, name in self._choices():
            index = selector.findData(getattr(self._parameters, name) or defaults[name])
            if index < 0 and name != "model":
                setattr(self._parameters, name, defaults[name])
                index = selector.findData(defaults[name])
            selector.setCurrentIndex(index)
        self._filling = False

    def _showCard(self, card: Any) -> None:
        self.ui.cardLabel.text = wording.cardMarkup(card) if card is not None else ""
        self.ui.cardLabel.toolTip = wording.describeCard(card) if card is not None else ""
        warnings = []
        if card is None:
            warnings.append(
                _("The model {model} of this scene is not installed; choose another.").format(
                    model=self._parameters.model
                )
            )
        else:
            usable, sentence = dependencies.torchState() if card.learned else (True, "")
            warnings += [] if usable else [sentence]
            warnings += self._domainWarnings(card)
        self.ui.warningLabel.text = "<br>".join("&#9888; " + escape(text) for text in warnings)
        self.ui.warningLabel.setVisible(bool(warnings))

    def _domainWarnings(self, card: Any) -> tuple:
        """What about this volume is unlike those the model was trained on; looked at once for each volume."""
        node, caution = self._parameters.inputVolume, (card.caution,) if card.caution else ()
        if node is None or not card.learned:
            return caution
        image = node.GetImageData()
        key = (node.GetID(), image.GetMTime() if image is not None else 0, node.GetSpacing(), card.id)
        if key not in self._warnings:
            if Worker.shared().running:
                return caution  # to look at a large volume takes a moment; after the run
            try:
                volume = scene.volumeFromNode(node)
            except RefusalError:
                return caution
            modality = runs.modalityOf(node)
            modality = guess_modality(volume.array) if modality == "auto" else modality
            self._warnings[key] = warnings_for(card, volume, modality)
        return self._warnings[key]

    def _showEstimate(self) -> bool:
        """The live line, or why there is none; whether a run is possible."""
        label = self.ui.estimateLabel
        if self._parameters.inputVolume is None:
            label.text = _("Load a volume, or take one from the module Sample Data.")
            return False
        if self._card() is None:
            label.text = ""
            return False
        try:
            request = self._request()
            forecast = runs.estimateRequest(self._parameters.inputVolume, request)
            grid = scene.gridFromNode(self._parameters.inputVolume)
        except RefusalError as refusal:
            label.text = escape(str(refusal))
            return False
        if request.region is not None:
            grid = grid.cropped(request.region)
        label.text = f"<b>{escape(wording.estimateLine(grid, forecast))}</b>"
        return True

    # Running

    def onApply(self, *_arguments: Any) -> None:
        """Start, or cancel what runs."""
        if self.job is not None:
            self.ui.applyButton.enabled = False
            self.job.cancel()
            return
        self._start(lambda: (self._request(), self._parameters.outputVolume), self._showResult)

    def onPreview(self, *_arguments: Any) -> None:
        """Upscale a small box around the crosshair and show it."""

        def prepare() -> tuple:
            node = self._parameters.inputVolume
            request = runs.previewRequest(node, self._request(), crosshair(node))
            return request, self.sideBySide.previewNode(node)

        self._start(prepare, self._showPreview)

    def _start(self, prepare: Any, whenFinished: Any) -> None:
        try:
            request, outputNode = prepare()
            if zoo.card(request.model).learned and not dependencies.ensureTorch():
                return
            self.job = runs.Upscaling(self._parameters.inputVolume, request, outputNode)
        except RefusalError as refusal:
            slicer.util.errorDisplay(str(refusal))
            return
        except Exception as error:
            logging.exception("A run could not be started")
            slicer.util.errorDisplay(_("The run could not be started: {error}").format(error=error))
            return
        self._whenFinished = whenFinished
        for signal, slot in self._slots(self.job):
            signal.connect(slot)
        self.ui.resultLabel.setVisible(False)
        self._showBusy(True)
        self.update()

    def _showBusy(self, busy: bool) -> None:
        self.ui.progressBar.setRange(0, 0)
        self.ui.progressBar.setFormat("")
        self.ui.progressBar.setVisible(busy)

    def _slots(self, job: Any) -> tuple:
        return (
            (job.progressed, self._onProgressed),
            (job.finished, self._onFinished),
            (job.failed, self._onFailed),
            (job.cancelled, self._onCancelled),
        )

    def _releaseJob(self) -> Any:
        """Listen to the run no more."""
        job, self.job = self.job, None
        for signal, slot in self._slots(job):
            signal.disconnect(slot)
        self.ui.progressBar.setVisible(False)
        return job

    def _onProgressed(self, done: int, total: int, secondsLeft: float | None) -> None:
        bar = self.ui.progressBar
        bar.setRange(0, int(total))
        bar.setValue(int(done))
        left = "" if secondsLeft is None else _(", {time} left").format(time=wording.duration(secondsLeft))
        bar.setFormat(f"%p%{left}")

    def _onFinished(self, node: Any) -> None:
        job = self._releaseJob()
        try:
            self._whenFinished(job, node)
        except RefusalError as refusal:
            slicer.util.errorDisplay(str(refusal))
        finally:
            self.update()

    def _onFailed(self, sentence: str) -> None:
        self._releaseJob()
        self.update()
        slicer.util.errorDisplay(sentence)

    def _onCancelled(self) -> None:
        self._releaseJob()
        self.update()

    def _showResult(self, job: Any, node: Any) -> None:
        self.ui.resultLabel.text = escape(wording.resultLine(node)).replace("\n", "<br>")
        self.ui.resultLabel.setVisible(True)
        if self._parameters is not None and self._parameters.compareAfter:
            self.sideBySide.open(job.inputVolume, node, job.request)
        else:
            slicer.util.setSliceViewerLayers(background=node)

    def _showPreview(self, job: Any, node: Any) -> None:
        self.sideBySide.openPreview(job.inputVolume, node, job.request)

    # Comparing

    def onCompare(self, *_arguments: Any) -> None:
        """Open the three views on the newest result of the input, or close them, also before they are there."""
        if self.sideBySide.active or self.sideBySide.preparing:
            self.sideBySide.leave()
            return
        try:
            self.sideBySide.openNewest(self._parameters.inputVolume, self._parameters.outputVolume)
        except RefusalError as refusal:
            slicer.util.errorDisplay(str(refusal))
        self.update()

    def onZoom(self, *_arguments: Any) -> None:
        """Center the comparison on the crosshair."""
        self.sideBySide.zoomToCrosshair()

    def _showCompareState(self) -> None:
        active = self.sideBySide.active
        self.ui.compareButton.checked = active
        preparing = self.sideBySide.preparing
        self.ui.compareButton.text = _("Cancel comparison") if preparing else _("&Compare side by side")
        self.ui.compareButton.enabled = active or preparing or self.job is None
        if self.job is None:  # else the bar is the run's
            self._showBusy(preparing)
        for widget in (self.ui.zoomButton, self.ui.flickerCheckBox, self.ui.axisSelector):
            widget.enabled = active
        if not active:
            self.ui.flickerCheckBox.checked = False
