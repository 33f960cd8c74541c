"""What the panel's selectors offer: a text for the user, and beside it what the parameters keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.models import zoo
from .comparison import AXES
from .parameters import TARGETS

HEADING_ROLE = 255  # Qt.UserRole - 1: an item's flags; none of them makes it a heading


def fillSelectors(ui: Any) -> None:
    """Fill them all, the models in groups."""
    fillModels(ui.modelSelector)
    targets = (
        _("2x finer along all axes"),
        _("4x finer along all axes"),
        _("Slices 2x thinner"),
        _("Slices 4x thinner"),
        _("Isotropic, at the finest spacing"),
        _("Own voxel size"),
    )
    devices = (("auto", _("Automatic")), ("cuda", _("GPU (CUDA)")), ("mps", _("GPU (Apple)")), ("cpu", _("CPU")))
    precisions = (("auto", _("Automatic")), ("fp32", _("Full (fp32)")), ("bf16", "bf16"), ("fp16", "fp16"))
    _fill(ui.targetSelector, zip(TARGETS, targets))
    _fill(ui.deviceSelector, devices)
    _fill(ui.precisionSelector, precisions)
    _fill(ui.axisSelector, zip(AXES, (_("Axial"), _("Coronal"), _("Sagittal"))))


def fillModels(selector: Any) -> None:
    """Every model at hand under the heading of its group."""
    groups: dict = {}
    for card in zoo.cards().values():
        groups.setdefault(card.group, []).append(card)
    for group, cards in groups.items():
        selector.addItem(group, "")
        selector.setItemData(selector.count - 1, 0, HEADING_ROLE)
        _fill(selector, ((card.id, card.title) for card in cards))


def makeReachable(selector: Any) -> None:
    """Give a node selector to the keyboard: its box hands the focus on to the selector, which takes no keys."""
    for child in selector.children():
        if child.inherits("QComboBox"):
            child.setFocusProxy(None)
            selector.setFocusProxy(child)
            selector.setFocusPolicy(qt.Qt.StrongFocus)


def _fill(selector: Any, items: Iterable) -> None:
    for data, text in items:
        selector.addItem(text, data)
