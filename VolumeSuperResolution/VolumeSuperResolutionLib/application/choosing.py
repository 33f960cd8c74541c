"""What the panel is set to: selectors to parameters and back, and the request that they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from ..engine.models import automatic, zoo
from ..engine.models.automatic import AUTOMATIC
from . import dependencies, runs
from .catalog import Catalog
from .parameters import ASSUMED, ESTIMATED, FROM_DICOM, Parameters, optionsFrom
from .targets import OWN_SPACING, TARGETS, optionsOf, proposed

DEFAULTS = {"device": "auto", "precision": "auto", "profile": ASSUMED}
# Among the profiles: the choice to ask for a file.
ASK = "file"


class Choosing:
    """Binds the selectors that have no connector of Slicer's to the parameters, and makes requests of them."""

    def __init__(self, ui: Any, catalog: Catalog) -> None:
        self.parameters: Parameters | None = None
        self._ui = ui
        self._filling = False
        self._spacing: tuple = ()
        # Whose scan the settings of the scan are for.
        self._told: tuple = (None, None)
        devices = (("auto", _("Automatic")), ("cuda", _("GPU (CUDA)")), ("mps", _("GPU (Apple)")), ("cpu", _("CPU")))
        precisions = (("auto", _("Automatic")), ("fp32", _("Full (fp32)")), ("bf16", "bf16"), ("fp16", "fp16"))
        fill(ui.deviceSelector, devices)
        fill(ui.precisionSelector, precisions)
        profiles = ((ASSUMED, _("Assumed")), ("gaussian", _("Gaussian")), ("box", _("Box")), (ASK, _("From a file...")))
        fill(ui.profileSelector, profiles)
        self._selectors = (
            (ui.deviceSelector, "device"),
            (ui.precisionSelector, "precision"),
            (ui.profileSelector, "profile"),
        )
        for selector, name in self._selectors:
            selector.connect("currentIndexChanged(int)", lambda _i, s=selector, n=name: self._onChosen(s, n))
        ui.targetSelector.connect("currentIndexChanged(int)", lambda _index: self._onTarget())
        catalog.chosen.connect(self._onModel)

    @property
    def node(self) -> Any:
        """The chosen input volume, or None."""
        return self.parameters.inputVolume if self.parameters is not None else None

    @property
    def model(self) -> str:
        """The id of the chosen model."""
        return self.parameters.model or AUTOMATIC

    @property
    def target(self) -> str:
        """The chosen target, or the one proposed for the volume."""
        target = self.parameters.target
        if target in TARGETS:
            return target
        return proposed(self.node.GetSpacing()) if self.node is not None else next(iter(TARGETS))

    def card(self) -> Any:
        """The card of the model that would run; None where the scene names one that is not here.

        Raises RefusalError where there is nothing to choose a model for.
        """
        if self.model != AUTOMATIC:
            return zoo.cards().get(self.model)
        if not dependencies.torchState()[0]:
            return automatic.classical()
        options = {**optionsOf(self.target, self.parameters), "region": self.parameters.region}
        return runs.cardOf(self.node, runs.makeRequest(self.node, AUTOMATIC, **options))

    def request(self, target: str = "") -> Any:
        """The request for these settings, or for another target; raises RefusalError."""
        card = self.card()
        if card is None:
            raise RefusalError(_("Choose a model that is installed."))
        # The worker would find a torch that is broken, too, and choose a network.
        leftOpen = self.model == AUTOMATIC and dependencies.torchState()[0]
        model = AUTOMATIC if leftOpen else card.id
        return runs.makeRequest(self.node, **optionsFrom(self.parameters, card, model, target or self.target))

    def show(self) -> None:
        """Let the selectors show what the parameters say."""
        self._filling = True
        self._forgetOtherScan()
        if self._ui.profileSelector.findData(self.parameters.profile) < 0:  # a file
            fill(self._ui.profileSelector, [(self.parameters.profile, Path(self.parameters.profile).name)])
        for selector, name in self._selectors:
            if selector.findData(getattr(self.parameters, name)) < 0:
                setattr(self.parameters, name, DEFAULTS[name])
            selector.setCurrentIndex(selector.findData(getattr(self.parameters, name)))
        self._showTargets()
        self._filling = False

    def _forgetOtherScan(self) -> None:
        """What was said of one scan is not true of the next."""
        before, self._told = self._told, (self.parameters, self.node)
        if before[0] is self.parameters and before[1] is not None and before[1] is not self.node:
            self.parameters.sliceThickness, self.parameters.profile = FROM_DICOM, ASSUMED
            self.parameters.noise = ESTIMATED

    def _showTargets(self) -> None:
        selector, spacing = self._ui.targetSelector, self.node.GetSpacing() if self.node is not None else ()
        if spacing != self._spacing:
            selector.clear()
            fill(selector, ((name, target.words(spacing)) for name, target in TARGETS.items() if spacing))
            self._spacing = spacing
        selector.enabled = bool(spacing)
        if spacing:
            selector.setCurrentIndex(selector.findData(self.target))

    def _onChosen(self, selector: Any, name: str) -> None:
        if self._filling or self.parameters is None or selector.currentData is None:
            return
        if selector.currentData != ASK:
            setattr(self.parameters, name, selector.currentData)
            return
        self.parameters.profile = self._askForProfile()
        self.show()  # also where that is what it was

    def _askForProfile(self) -> str:
        """The file that the user chooses; what was set before if none is."""
        title = _("Slice profile: a position in mm and a weight a line")
        kinds = f"{_('Text files')} (*.txt *.csv *.tsv);;{_('All files')} (*)"
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", kinds)
        return path or self.parameters.profile

    def _onTarget(self) -> None:
        target = self._ui.targetSelector.currentData
        if self._filling or self.parameters is None or not target:
            return
        if target == OWN_SPACING and self.node is not None:
            self._proposeSpacing(self.node.GetSpacing())
        self.parameters.target = target

    def _proposeSpacing(self, spacing: Sequence[float]) -> None:
        """Begin with voxels of half the size."""
        halves = [min(max(0.01, float(s) / 2), 100.0) for s in spacing]
        self.parameters.spacingI, self.parameters.spacingJ, self.parameters.spacingK = halves

    def _onModel(self, model: str) -> None:
        """A model was chosen: where it cannot reach the target, choose one that it can."""
        if self.parameters is None:
            return
        self.parameters.model = "" if model == AUTOMATIC else model
        if self.node is None or self._reaches(self.target):
            return
        reached = next((t for t in TARGETS if t != OWN_SPACING and self._reaches(t)), None)
        if reached is not None:
            self.parameters.target = reached

    def _reaches(self, target: str) -> bool:
        try:
            runs.estimateRequest(self.node, self.request(target))
        except RefusalError:
            return False
        return True


def makeReachable(selector: Any) -> None:
    """Give a node selector to the keyboard: its box hands the focus on to the selector, which takes no keys."""
    for child in selector.children():
        if child.inherits("QComboBox"):
            child.setFocusProxy(None)
            selector.setFocusProxy(child)
            selector.setFocusPolicy(qt.Qt.StrongFocus)


def fill(selector: Any, items: Iterable) -> None:
    """Offer texts, and keep beside each what the parameters keep."""
    for data, text in items:
        selector.addItem(text, data)
