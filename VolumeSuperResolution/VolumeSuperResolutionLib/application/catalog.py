"""The table of models: the one chosen automatically on top, then the published ones in groups, to be searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import qt
from slicer.i18n import tr as _

from ..engine.models import zoo
from ..engine.models.automatic import AUTOMATIC
from . import wording
from .signals import Signal

MODEL, MR, CT, TIME, SIZE = range(5)
# What an item is of: the id of a model; nothing for the heading of a group.
ID_ROLE = 32  # Qt.UserRole
SHOWN_ROWS = 9


class Catalog:
    """Fills the tree, and tells by `chosen` which model the user has clicked or reached by key."""

    def __init__(self, tree: Any, search: Any) -> None:
        self.chosen = Signal()
        self._tree, self._search = tree, search
        self._filling = False
        self._contents: tuple = ()
        self._items: dict = {}
        tree.setMinimumHeight(SHOWN_ROWS * tree.fontMetrics().lineSpacing())
        tree.connect("itemSelectionChanged()", self._onSelected)
        search.connect("textChanged(QString)", lambda _text: self._filter())

    def show(self, model: str, seconds: Callable[[Any], float]) -> None:
        """Show which model is chosen, and how many seconds each takes (0 where that is not known)."""
        cards = tuple(zoo.cards().values())
        times = tuple(_brief(seconds(card)) for card in cards)
        self._filling = True
        if (cards, times) != self._contents:
            self._fill(cards, times)
            self._contents = (cards, times)
        item = self._items.get(model)
        if item is not None:
            self._tree.setCurrentItem(item)
        else:
            self._tree.clearSelection()
        self._filling = False

    def _fill(self, cards: Sequence, times: Sequence[str]) -> None:
        tree = self._tree
        tree.clear()
        first = self._add(tree, AUTOMATIC, [_("Automatic")], wording.AUTOMATIC_TIP)
        self._items = {AUTOMATIC: first}
        groups: dict = {}
        for card, time in zip(cards, times):
            if card.group not in groups:
                groups[card.group] = self._add(tree, "", [wording.groupName(card.group)], "")
                groups[card.group].setFlags(qt.Qt.ItemIsEnabled)
                groups[card.group].setFirstColumnSpanned(True)
            gained = [wording.gainBar(card, modality) for modality in ("MR", "CT")]
            size = wording.memory(card.weights["bytes"]) if card.weights else ""
            texts = [card.title, *gained, time, size]
            self._items[card.id] = self._add(groups[card.group], card.id, texts, wording.describeCard(card))
        tree.expandAll()
        for column in range(MODEL, SIZE + 1):
            tree.resizeColumnToContents(column)
        self._filter()

    @staticmethod
    def _add(parent: Any, model: str, texts: Sequence[str], tip: str) -> Any:
        item = qt.QTreeWidgetItem(parent)
        item.setData(MODEL, ID_ROLE, model)
        for column, text in enumerate(texts):
            item.setText(column, text)
            item.setToolTip(column, tip)
        return item

    def _filter(self) -> None:
        """Show what has all the words of the search in its name or description; groups that have nothing go, too."""
        words = self._search.text.lower().split()
        for model, item in self._items.items():
            text = f"{item.text(MODEL)} {item.toolTip(MODEL)}".lower()
            item.setHidden(model != AUTOMATIC and not all(word in text for word in words))
        for n in range(self._tree.topLevelItemCount):
            group = self._tree.topLevelItem(n)
            if not group.data(MODEL, ID_ROLE):
                group.setHidden(all(group.child(k).isHidden() for k in range(group.childCount())))

    def _onSelected(self) -> None:
        selected = self._tree.selectedItems()
        model = selected[0].data(MODEL, ID_ROLE) if selected else ""
        if model and not self._filling:
            self.chosen.emit(model)


def _brief(seconds: float) -> str:
    return wording.duration(seconds) if seconds >= 1 else "< 1 s" if seconds > 0 else ""
