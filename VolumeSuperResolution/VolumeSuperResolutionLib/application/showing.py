"""The panel's texts: what is known of the scan, what would be done with it, and what it would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..engine.checks import scanner_of
from ..engine.errors import RefusalError
from ..engine.models.automatic import AUTOMATIC, networks_at_hand
from ..engine.request import MEGA
from ..learning.limit import most_seconds
from . import acquisition, dependencies, runs, scene, wording
from .choosing import Choosing
from .inspection import Inspection
from .pace import Pace

WARNING_STYLE = "color: #B36B00;"
NOTICE_STYLE = "font-weight: bold; padding: 6px;"


class OnResize(qt.QObject):
    """Calls a function whenever the watched widget has got another size."""

    def __init__(self, react: Callable[[], None]) -> None:
        qt.QObject.__init__(self)
        self.__dict__.update(react=react, watched=None)

    def watch(self, widget: Any) -> None:
        """Watch this widget, and no other; None for none."""
        if self.__dict__["watched"] is not None:
            self.__dict__["watched"].removeEventFilter(self)
        self.__dict__["watched"] = widget
        if widget is not None:
            widget.installEventFilter(self)

    def eventFilter(self, _widget: Any, event: Any) -> bool:
        """What Qt calls before the widget gets an event, which it always does."""
        if event.type() == qt.QEvent.Resize:
            self.__dict__["react"]()
        return False


class Showing:
    """Fills the labels; every text is fitted once more when the layout has settled."""

    def __init__(self, ui: Any, choosing: Choosing, inspection: Inspection, pace: Pace) -> None:
        self._ui = ui
        self._choosing = choosing
        self._inspection = inspection
        self._pace = pace
        self._fits = qt.QTimer()
        self._fits.setSingleShot(True)
        self._fits.setInterval(0)
        self._fits.connect("timeout()", self._fit)
        self._resizes = OnResize(self._fits.start)
        self._resizes.watch(ui.VolumeSuperResolution)
        ui.noticeLabel.setStyleSheet(NOTICE_STYLE)
        ui.warningLabel.setStyleSheet(WARNING_STYLE)

    def close(self) -> None:
        """Touch the labels no more."""
        self._resizes.watch(None)
        self._fits.stop()

    def show(self, stackCount: int) -> tuple[Any, bool]:
        """Show all; the card of the model that would run, or None, and whether a run is possible.

        `stackCount` tells how many stacks belong together with the chosen volume.
        """
        card, refusal = self._card()
        known = [self._scan(), wording.stacksHint(stackCount) if stackCount else ""]
        self._say(self._ui.scanLabel, " ".join(filter(None, known)))
        self._showMethod(card)
        self._showWarnings(card)
        possible = self._showEstimate(card, refusal)
        return card, possible

    def fit(self) -> None:
        """Give every text the height that it needs, now and when the layout has settled: it is one step behind."""
        self._fit()
        self._fits.start()

    def _fit(self) -> None:
        ui = self._ui
        for label in (ui.scanLabel, ui.methodLabel, ui.cardLabel, ui.warningLabel, ui.estimateLabel):
            fitHeight(label)
        for label in (ui.resultLabel, ui.detailsLabel, ui.noticeLabel):
            fitHeight(label)
        for label in (ui.compareAfterLabel, ui.fillNonfiniteLabel, ui.uncertaintyLabel, ui.ensembleLabel):
            fitHeight(label)
        for label in (ui.intervalLabel, ui.inventedLabel, ui.learnLabel, ui.alignedLabel, ui.mapsLabel):
            fitHeight(label)
        for row in (ui.sourceRow, ui.runRow, ui.resultRow, ui.compareRow):
            fitRow(row)

    def seconds(self, card: Any) -> float:
        """How long a model would take for the chosen volume; 0 if that is not known."""
        image = self._choosing.node.GetImageData() if self._choosing.node is not None else None
        voxels = image.GetNumberOfPoints() if image is not None else 0
        return self._pace.rate(card, self._choosing.parameters.device) * voxels / MEGA

    def _card(self) -> tuple[Any, str]:
        """The card of the model that would run, or None and why there is none."""
        if self._choosing.node is None:
            return None, _("Load a volume, or take one from the module Sample Data.")
        try:
            card = self._choosing.card()
        except RefusalError as refusal:
            return None, str(refusal)
        return card, ""

    def _scan(self) -> str:
        """What is known of the scan, with the noise as far as it shows at a glance."""
        choosing, node = self._choosing, self._choosing.node
        findings = self._inspection.of(node)
        if findings is None:
            return ""
        try:
            scanner = scanner_of(findings.grid, choosing.request())
        except RefusalError:  # what is refused is told with the estimate
            scanner = acquisition.scannerOf(node)
        if scanner.noise is None and findings.noise is not None:
            scanner = replace(scanner, noise=findings.noise, noise_told="estimated")
        return escape(wording.scanLine(findings.grid.spacing, scanner))

    def _showMethod(self, card: Any) -> None:
        ui, isAutomatic = self._ui, self._choosing.model == AUTOMATIC
        text = wording.methodMarkup(card, isAutomatic, self._modality(), networks_at_hand()) if card else ""
        self._say(ui.methodLabel, text)
        ui.methodLabel.toolTip = wording.describeCard(card) if card is not None else ""
        self._say(ui.cardLabel, wording.cardMarkup(card) if card is not None and not isAutomatic else "")

    def _modality(self) -> str:
        findings = self._inspection.of(self._choosing.node)
        return findings.modality if findings is not None else "auto"

    def _showWarnings(self, card: Any) -> None:
        choosing, warnings = self._choosing, []
        if card is None and choosing.model != AUTOMATIC and choosing.node is not None:
            text = _("The model {model} of this scene is not installed; choose another.")
            warnings.append(text.format(model=choosing.model))
        usable, sentence = dependencies.torchState()
        wanted = choosing.model == AUTOMATIC or (card is not None and card.learned)
        if wanted and not usable and choosing.node is not None:
            warnings.append(sentence)
        findings = self._inspection.of(choosing.node)
        if card is not None and card.learned:
            warnings += findings.warnings(card) if findings is not None else filter(None, [card.caution])
        if choosing.node is not None:
            warnings += acquisition.transformWarnings(choosing.node) or (findings.places if findings else ())
        self._say(self._ui.warningLabel, "<br>".join("&#9888; " + escape(text) for text in warnings))
        self._ui.torchButton.setVisible(wanted and not usable and dependencies.installable())

    def _showEstimate(self, card: Any, refusal: str) -> bool:
        """The live line, or why there is none; whether a run is possible."""
        choosing, label = self._choosing, self._ui.estimateLabel
        if card is None:
            self._say(label, escape(refusal))
            return False
        try:
            request = choosing.request()
            forecast = runs.estimateRequest(choosing.node, request)
            scene.checkTargets(slicer.mrmlScene, choosing.node, choosing.parameters.outputVolume)
            self._checkNumbers(request)
            grid = scene.gridFromNode(choosing.node)
        except RefusalError as caught:
            self._say(label, escape(str(caught)))
            return False
        if request.region is not None:
            grid = grid.cropped(request.region)
        seconds, device = self._pace.foresee(card, forecast, request.device)
        line = wording.estimateLine(grid, forecast, seconds, device, most_seconds(request))
        self._say(label, f"<b>{escape(line)}</b>")
        return True

    def _checkNumbers(self, request: Any) -> None:
        """Refuse what the engine would refuse, as soon as it is known."""
        findings = self._inspection.of(self._choosing.node)
        if findings is not None and findings.nonfinite and not request.fill_nonfinite:
            text = _(
                "The volume holds {count} values that are not numbers; let them be replaced (under Advanced), or mend "
                "the volume."
            )
            raise RefusalError(text.format(count=findings.nonfinite))

    @staticmethod
    def _say(label: Any, text: str) -> None:
        label.text = text
        label.setVisible(bool(text))


def fitRow(row: Any) -> None:
    """Beside each other where there is room for it, else on each other."""
    layout = row.layout()
    widgets = [layout.itemAt(n).widget() for n in range(layout.count())]
    shown = [widget for widget in widgets if widget.visible]
    widest = max((widget.property("sizeHint").width() for widget in shown), default=0)
    fits = (widest + layout.spacing) * len(shown) <= row.width
    layout.setDirection(qt.QBoxLayout.LeftToRight if fits else qt.QBoxLayout.TopToBottom)


def fitHeight(label: Any) -> None:
    """At least as high as its text, wrapped: where a panel is low, a form layout gives such a label too little."""
    if label.visible:
        label.setMinimumHeight(0)
        label.setMinimumHeight(label.heightForWidth(label.width))
