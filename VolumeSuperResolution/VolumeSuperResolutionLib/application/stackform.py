"""The panel's part about several stacks: which are ticked, how thick they are, and the request that they lead to."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..engine.combine_checks import MOST
from ..engine.errors import RefusalError
from ..engine.models.automatic import AUTOMATIC
from . import combining, scene, stacks, targets, wording
from .choosing import Choosing, fill
from .signals import Signal

NAME, PLANE, THICKNESS, SPACING, PIXELS = range(5)
ID_ROLE = 32  # Qt.UserRole
# The stacks that the user has ticked, as references of the parameter node.
STACK_ROLE = scene.PREFIX + "Stack"
# A list longer than this can be searched; so many rows of it are shown.
LONG, FEWEST_ROWS, MOST_ROWS = 8, 3, 7
THICKEST = 100.0


class StackForm:
    """Fills the list and its selectors; `chosen` tells which row was clicked, `changed` that a choice was made."""

    def __init__(self, ui: Any, choosing: Choosing) -> None:
        self.chosen = Signal()
        self.changed = Signal()
        self._ui = ui
        self._choosing = choosing
        self._filling = False
        self._contents: tuple = ()
        self._items: dict = {}
        self._boxes: dict = {}
        ui.stackTree.connect("itemChanged(QTreeWidgetItem*,int)", self._onTicked)
        ui.stackTree.connect("itemSelectionChanged()", self._onSelected)
        ui.stackSearchEdit.connect("textChanged(QString)", lambda _text: self._filter())
        views = (
            ("reference", _("As the reference")),
            ("intersection", _("What all show")),
            ("union", _("What any shows")),
        )
        fill(ui.fovSelector, views)
        ui.fovSelector.connect("currentIndexChanged(int)", lambda _index: self._onFov())
        ui.referenceSelector.connect("currentIndexChanged(int)", lambda _index: self._onReference())

    @property
    def active(self) -> bool:
        """Whether several stacks are to be combined, not one volume upscaled."""
        parameters = self._choosing.parameters
        return parameters is not None and parameters.severalStacks

    def ticked(self) -> dict:
        """The ticked volumes, each with the thickness that the user gave it (0: none)."""
        parameters = self._choosing.parameters
        if not parameters.stacksChosen:
            return dict.fromkeys(self.proposed(), 0.0)
        node = parameters.parameterNode
        chosen = [node.GetNthNodeReference(STACK_ROLE, n) for n in range(node.GetNumberOfNodeReferences(STACK_ROLE))]
        widths = _widths(parameters.stackThicknesses)
        return {stack: widths.get(stack.GetID(), 0.0) for stack in chosen if stack is not None}

    def proposed(self) -> list:
        """What belongs together: with the input volume, if there is something; else the most that there is."""
        return stacks.proposed(self._choosing.node) or stacks.proposed()

    def reference(self, ticked: dict | None = None) -> Any:
        """The chosen reference of what is ticked, or the one that is proposed; None where nothing is."""
        nodes, own = list(self.ticked() if ticked is None else ticked), self._choosing.parameters.stackReference
        first = next((node for node in (own, self._choosing.node) if node in nodes), None)
        return first or next(iter(nodes), None)

    def current(self) -> Any:
        """The volume of the row that was clicked, or the reference."""
        items = self._ui.stackTree.selectedItems()
        node = slicer.mrmlScene.GetNodeByID(items[0].data(NAME, ID_ROLE)) if items else None
        return node if node in self.ticked() else self.reference()

    def request(self) -> tuple:
        """The volumes, the reference in front, the request, and whether maps are wanted; raises RefusalError."""
        parameters, ticked = self._choosing.parameters, self.ticked()
        nodes, request = combining.makeRequest(
            list(ticked),
            reference=self.reference(ticked),
            thickness=[width or None for width in ticked.values()],
            spacing=parameters.stackSpacing,
            fov=parameters.stackFov,
            aligned=parameters.stacksAligned,
            model=AUTOMATIC if parameters.stackDetail else "",
            device=parameters.device,
        )
        return nodes, request, parameters.stackMaps

    def show(self) -> bool:
        """Let the list and the selectors show what is chosen; whether a run is possible."""
        self._filling = True
        ticked = self.ticked()
        self._showList(ticked)
        self._showReference(ticked)
        parameters, selector = self._choosing.parameters, self._ui.fovSelector
        if selector.findData(parameters.stackFov) < 0:
            parameters.stackFov = "reference"
        selector.setCurrentIndex(selector.findData(parameters.stackFov))
        self._filling = False
        return self._showEstimate(ticked)

    def _showList(self, ticked: dict) -> None:
        tree, nodes = self._ui.stackTree, stacks.candidates()
        contents = tuple(map(_row, nodes))
        if contents != self._contents:
            self._fill(nodes)
            self._contents = contents
        for nodeID, item in self._items.items():
            node = slicer.mrmlScene.GetNodeByID(nodeID)
            item.setCheckState(NAME, qt.Qt.Checked if node in ticked else qt.Qt.Unchecked)
            box = self._boxes[nodeID]
            box.enabled = node in ticked
            width = ticked.get(node) or stacks.thickness(node) or max(node.GetSpacing())
            box.value = float(width)
        tree.resizeColumnToContents(NAME)
        self._ui.stackSearchEdit.setVisible(len(nodes) > LONG)

    def _fill(self, nodes: list) -> None:
        tree, self._items, self._boxes = self._ui.stackTree, {}, {}
        tree.clear()
        for node in nodes:
            nodeID = node.GetID()
            item = qt.QTreeWidgetItem(tree)
            item.setData(NAME, ID_ROLE, nodeID)
            _nodeID, name, where, spacing, size = _row(node)
            pixels = [s for axis, s in enumerate(spacing) if axis != max(range(3), key=spacing.__getitem__)]
            texts = {NAME: name, PLANE: _planes()[where], SPACING: f"{max(spacing):.3g} mm"}
            texts[PIXELS] = f"{targets.size(pixels)} mm"
            for column, text in texts.items():
                item.setText(column, text)
                item.setToolTip(column, f"{name}: {wording.describe_grid(size, spacing)}")
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
            box = qt.QDoubleSpinBox()
            box.setRange(0.01, THICKEST)
            box.setSingleStep(0.1)
            box.setSuffix(_(" mm"))
            box.setToolTip(
                _("How thick the slices are: what DICOM says, or how far they are apart, unless you know better.")
            )
            box.connect("valueChanged(double)", lambda value, nodeID=nodeID: self._onThickness(nodeID, value))
            tree.setItemWidget(item, THICKNESS, box)
            self._items[nodeID], self._boxes[nodeID] = item, box
        for column in range(PIXELS + 1):
            tree.resizeColumnToContents(column)
        self._filter()
        rows = min(max(len(nodes), FEWEST_ROWS), MOST_ROWS) + 1.5  # a row more for the header, and half of the next
        height = max([tree.sizeHintForRow(0), *(box.property("sizeHint").height() for box in self._boxes.values())])
        tree.setFixedHeight(round(rows * height))

    def _showReference(self, ticked: dict) -> None:
        selector, reference = self._ui.referenceSelector, self.reference(ticked)
        selector.clear()
        fill(selector, ((node.GetID(), node.GetName()) for node in ticked))
        selector.enabled = bool(ticked)
        if reference is not None:
            selector.setCurrentIndex(selector.findData(reference.GetID()))

    def _showEstimate(self, ticked: dict) -> bool:
        label, parameters = self._ui.estimateLabel, self._choosing.parameters
        try:
            if len(ticked) < 2:
                raise RefusalError(
                    _("Tick two to {most} stacks of one contrast, in different planes.").format(most=MOST)
                )
            nodes, request, _maps = self.request()
            forecast = combining.estimateRequest(nodes, request)
            for node in nodes:
                scene.checkTargets(slicer.mrmlScene, node, parameters.outputVolume)
        except RefusalError as refusal:
            label.text = escape(str(refusal))
            return False
        finally:
            label.setVisible(True)
        label.text = f"<b>{escape(wording.combineLine(len(nodes), forecast))}</b>"
        return True

    def _choose(self, ticked: dict) -> None:
        """Keep in the scene what the user has ticked and typed; from now on nothing is proposed."""
        parameters = self._choosing.parameters
        node = parameters.parameterNode
        wasModifying = parameters.StartModify()
        node.RemoveNodeReferenceIDs(STACK_ROLE)
        for stack in ticked:
            node.AddNodeReferenceID(STACK_ROLE, stack.GetID())
        widths = {stack.GetID(): width for stack, width in ticked.items() if width}
        parameters.stackThicknesses = json.dumps(widths)
        parameters.stacksChosen = True
        parameters.EndModify(wasModifying)
        self.changed.emit()

    def _onTicked(self, item: Any, column: int) -> None:
        if self._filling or column != NAME:
            return
        node, ticked = slicer.mrmlScene.GetNodeByID(item.data(NAME, ID_ROLE)), self.ticked()
        if item.checkState(NAME) == qt.Qt.Checked:
            ticked.setdefault(node, 0.0)
        else:
            ticked.pop(node, None)
        self._choose({stack: ticked[stack] for stack in stacks.candidates() if stack in ticked})

    def _onThickness(self, nodeID: str, width: float) -> None:
        if self._filling:
            return
        ticked = self.ticked()
        ticked[slicer.mrmlScene.GetNodeByID(nodeID)] = width
        self._choose(ticked)

    def _onSelected(self) -> None:
        if not self._filling and self._choosing.parameters is not None and self._ui.stackTree.selectedItems():
            self.chosen.emit(self.current())

    def _onFov(self) -> None:
        if not self._filling and self._choosing.parameters is not None and self._ui.fovSelector.currentData:
            self._choosing.parameters.stackFov = self._ui.fovSelector.currentData

    def _onReference(self) -> None:
        nodeID = self._ui.referenceSelector.currentData
        if not self._filling and self._choosing.parameters is not None and nodeID:
            self._choosing.parameters.stackReference = slicer.mrmlScene.GetNodeByID(nodeID)

    def _filter(self) -> None:
        words = self._ui.stackSearchEdit.text.lower().split()
        for item in self._items.values():
            item.setHidden(not all(word in item.text(NAME).lower() for word in words))


def _row(node: Any) -> tuple:
    """What a row of the list shows."""
    return node.GetID(), node.GetName(), stacks.plane(node), node.GetSpacing(), node.GetImageData().GetDimensions()


def _planes() -> dict:
    return {
        stacks.AXIAL: _("Axial"),
        stacks.CORONAL: _("Coronal"),
        stacks.SAGITTAL: _("Sagittal"),
        stacks.OBLIQUE: _("Oblique"),
        stacks.SOLID: _("Volume"),
    }


def _widths(text: str) -> dict:
    """Of a saved scene, which may hold anything."""
    try:
        return {str(key): float(value) for key, value in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
