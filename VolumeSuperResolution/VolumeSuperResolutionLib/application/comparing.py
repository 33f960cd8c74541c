"""The panel's part about the comparison: its buttons, selectors and keys."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .choosing import fill
from .comparison import AXES
from .rightview import CURTAIN, FLICKER, RESULT
from .sidebyside import SideBySide

# While the comparison is open, whatever has the keyboard.
NEXT_KEY, FLICKER_KEY = "F7", "F8"
CURTAIN_STEPS = 100


class Comparing:
    """Shows and changes how the comparison shows things."""

    def __init__(self, ui: Any, sideBySide: SideBySide) -> None:
        self._ui = ui
        self._sideBySide = sideBySide
        self._right = sideBySide.right
        self._modes: tuple = ()
        self._shortcuts: list = []
        self._filling = False
        fill(ui.axisSelector, zip(AXES, (_("Axial"), _("Coronal"), _("Sagittal"))))
        ui.axisSelector.connect("currentIndexChanged(int)", lambda index: sideBySide.setAxis(AXES[index]))
        ui.zoomButton.connect("clicked(bool)", lambda: sideBySide.zoomToCrosshair())
        ui.modeSelector.connect("currentIndexChanged(int)", lambda _index: self._onMode())
        ui.curtainSlider.connect("valueChanged(int)", self._onSlider)
        self._right.moved.connect(self._onMouse)

    def close(self) -> None:
        """Take the keys away, and listen to the view no more."""
        self._right.moved.disconnect(self._onMouse)
        self._dropKeys()

    def show(self) -> None:
        """Let the widgets show what the comparison shows."""
        ui, active = self._ui, self._sideBySide.active
        self._filling = True
        modes = self._right.modes()
        if modes != self._modes:
            ui.modeSelector.clear()
            fill(ui.modeSelector, ((mode, text) for mode, text in self._words() if mode in modes))
            self._modes = modes
        ui.modeSelector.setCurrentIndex(ui.modeSelector.findData(self._right.mode))
        self._filling = False
        for widget in (ui.zoomButton, ui.axisSelector, ui.modeSelector):
            widget.enabled = active
        for widget in (ui.curtainLabel, ui.curtainSlider):
            widget.setVisible(active and self._right.mode == CURTAIN)
        self._makeKeys() if active else self._dropKeys()

    def nextMode(self) -> None:
        """Show the right view in the next way."""
        modes = self._right.modes()
        self._setMode(modes[(modes.index(self._right.mode) + 1) % len(modes)])

    def toggleFlicker(self) -> None:
        """Begin to flicker, or end it."""
        self._setMode(RESULT if self._right.mode == FLICKER else FLICKER)

    @staticmethod
    def _words() -> tuple:
        return (
            ("result", _("Result")),
            ("flicker", _("Flicker with interpolation")),
            ("curtain", _("Curtain over interpolation")),
            ("difference", _("Difference to interpolation")),
            ("uncertainty", _("Uncertainty")),
            ("interval", _("Interval of 90%")),
            ("invented", _("Not determined by the scan")),
            ("coverage", _("How many scans saw it")),
            ("residual", _("Residual of the scans")),
        )

    def _setMode(self, mode: str) -> None:
        self._right.setMode(mode)
        self.show()

    def _onMode(self) -> None:
        mode = self._ui.modeSelector.currentData
        if not self._filling and mode:
            self._setMode(mode)

    def _onSlider(self, value: int) -> None:
        if not self._filling:
            self._right.setCurtain(value / CURTAIN_STEPS)

    def _onMouse(self, part: float) -> None:
        self._filling = True
        self._ui.curtainSlider.value = round(part * CURTAIN_STEPS)
        self._filling = False

    def _makeKeys(self) -> None:
        if self._shortcuts:
            return
        owner = slicer.util.mainWindow() or self._ui.compareButton
        for key, react in ((NEXT_KEY, self.nextMode), (FLICKER_KEY, self.toggleFlicker)):
            shortcut = qt.QShortcut(owner)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.setContext(qt.Qt.ApplicationShortcut)
            shortcut.connect("activated()", react)
            self._shortcuts.append(shortcut)

    def _dropKeys(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []
