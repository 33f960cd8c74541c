"""Draws the pictures of the README: each step of the panel, and the views of the comparison, without a screen.

    python Testing/module/screenshots.py [folder]
    python Testing/module/screenshots.py --stacks [folder]
    python Testing/module/screenshots.py --looks [folder]

The panel is the real form on the stand-ins; the views are drawn by MRML's slice logic, in the module's own layout. With
--looks: the panel in a narrow dock, dark, with large letters, in other languages, from right to left, to be looked at.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["QT_QPA_PLATFORM"] = "offscreen"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "VolumeSuperResolution"), str(ROOT / "Testing")]

import numpy as np  # noqa: E402
import PySide6  # noqa: E402
import standins  # noqa: E402
import vtk  # noqa: E402
from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402
from standins import application  # noqa: E402

app = standins.install()
import scenes  # noqa: E402
import slicer  # noqa: E402
import translations  # noqa: E402
from sliceviews import picture  # noqa: E402
from VolumeSuperResolutionLib.application import samples  # noqa: E402
from VolumeSuperResolutionLib.application.comparison import VIEW_NAMES  # noqa: E402
from VolumeSuperResolutionLib.engine.models import zoo  # noqa: E402
from VolumeSuperResolutionLib.engine.physics.degradation import degrade  # noqa: E402

PIXELS = 400
WIDTH, NARROW = 430, 300
# Where the folds of the brain's surface are seen best, RAS.
DETAIL, DETAIL_MM = (29.0, 71.0, 20.0), 44.0
FOLDS, FOLDS_MM = (-3.0, 18.0, 20.0), 110.0
WAIT_SECONDS = 400
LOOKS = {
    "narrow": {"width": NARROW},
    "dark": {"dark": True},
    "large": {"width": NARROW, "percent": 200},
    "german": {"width": NARROW, "language": "de-DE", "percent": 125},
    "chinese": {"width": NARROW, "language": "zh-CN"},
    "right-to-left": {"rightToLeft": True, "dark": True},
}


def main(folder: Path) -> None:
    """Draw all pictures of the README into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    panel = Shown(degradedSample((2, 2, 2)), WIDTH)
    panel.choose("x2", "")
    panel.save(folder / "Panel.png")
    panel.ui.modelsCollapsibleButton.collapsed = False
    panel.save(folder / "Models.png")
    panel.ui.modelsCollapsibleButton.collapsed = True
    panel.ui.applyButton.click()
    wait(lambda: panel.ui.zoomButton.enabled)
    title = zoo.card(panel.widget.panel.choosing.card().id).title
    drawComparison(panel.widget.panel.sideBySide, title, folder)
    panel.save(folder / "Result.png")
    panel.ui.advancedCollapsibleButton.collapsed = False
    panel.save(folder / "Advanced.png")
    panel.close()
    subprocess.run([sys.executable, __file__, "--stacks", str(folder)], check=True)


def drawStacks(folder: Path) -> None:
    """The three sample stacks in the list, what was made of them, and the views along each of them."""
    slicer.mrmlScene.Clear(0)
    stacks = samples.addStacks(str(ROOT / "Resources" / "SampleData"))
    panel = Shown(stacks[0], WIDTH)
    panel.ui.stacksButton.click()
    wait(lambda: panel.ui.applyButton.enabled)
    panel.ui.applyButton.click()
    wait(lambda: panel.ui.zoomButton.enabled)
    panel.ui.compareCollapsibleButton.collapsed = True
    panel.save(folder / "Stacks.png")
    sideBySide = panel.widget.panel.sideBySide
    rows = []
    for stack in stacks[:2]:
        sideBySide.openNewest(stack)
        wait(lambda: not sideBySide.preparing)
        widgets = [slicer.app.layoutManager().sliceWidget(name) for name in VIEW_NAMES]
        for widget in widgets:
            widget.mrmlSliceNode().SetDimensions(PIXELS, PIXELS, 1)
        sideBySide.setAxis("Axial" if stack is stacks[0] else "Coronal")
        sideBySide.comparison.zoomTo(FOLDS, FOLDS_MM)
        rows.append([widget.picture() for widget in widgets])
    captions = [
        "One of three stacks\nslices of 4 mm",
        "Best interpolation of it\nLanczos, 1 mm",
        "Three combined\n1 mm",
    ]
    picture(
        rows,
        captions,
        "Above a coronal stack seen from above, below a sagittal one seen from the front.",
        folder / "StacksViews.png",
    )
    panel.close()


def looks(folder: Path) -> None:
    """One picture for each look, every one in a process of its own, as fonts and languages stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LOOKS:
        subprocess.run([sys.executable, __file__, "--look", name, str(folder)], check=True)


def drawLook(name: str, folder: Path) -> None:
    """One of these pictures."""
    values = dict(LOOKS[name])
    changeLook(**{key: value for key, value in values.items() if key != "width"})
    panel = Shown(degradedSample((1, 1, 4)), values.get("width", WIDTH))
    panel.choose("isotropic", "")
    panel.ui.modelsCollapsibleButton.collapsed = False
    panel.ui.advancedCollapsibleButton.collapsed = False
    panel.save(folder / f"{name}.png")
    panel.close()


# A translator works as long as it is referred to.
TRANSLATORS: list = []


def changeLook(percent: int = 100, dark: bool = False, rightToLeft: bool = False, language: str = "") -> None:
    """How the application looks from now on."""
    font = app.font()
    font.setPointSizeF(font.pointSizeF() * percent / 100)
    app.setFont(font)
    if dark:
        app.setPalette(QtGui.QPalette(QtGui.QColor(53, 53, 53)))
    if rightToLeft:
        app.setLayoutDirection(QtCore.Qt.LayoutDirection.RightToLeft)
    if language:
        source = translations.FOLDER / f"{translations.NAME}_{language}.ts"
        target = Path(slicer.app.temporaryPath) / f"{source.stem}-{os.getpid()}.qm"
        subprocess.run(
            [Path(PySide6.__file__).parent / "lrelease", source, "-qm", target], check=True, encoding="utf-8"
        )
        translator = QtCore.QTranslator()
        translator.load(str(target))
        app.installTranslator(translator)
        TRANSLATORS.append(translator)
        target.unlink()


class Shown:
    """The opened panel in a scroll area, as Slicer shows it."""

    def __init__(self, volume: Any, width: int) -> None:
        module = application.loadModule(str(ROOT / "VolumeSuperResolution" / "VolumeSuperResolution.py"))
        self.widget = application.openModule(module)
        self.ui = self.widget.ui
        self._frame = module.widgetRepresentation()
        self._area = QtWidgets.QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(self._frame)
        self._area.resize(width, 100)
        self._area.show()
        self.widget.panel.choosing.parameters.inputVolume = volume

    def choose(self, target: str, model: str) -> None:
        """Set the panel to a target and a model."""
        parameters = self.widget.panel.choosing.parameters
        parameters.target, parameters.model = target, model
        wait(lambda: self.ui.applyButton.enabled)

    def save(self, path: Path) -> None:
        """A picture of the whole panel."""
        wait(lambda: True)
        self._frame.grab().save(str(path))

    def close(self) -> None:
        """Leave nothing that runs."""
        self.widget.cleanup()


def degradedSample(factors: tuple[int, int, int]) -> Any:
    """The MR sample at a lower resolution along (i, j, k)."""
    sample = slicer.util.loadVolume(str(ROOT / "Resources" / "SampleData" / "MRBrain.nrrd"))
    coarse = degrade(slicer.util.arrayFromVolume(sample), factors[::-1])
    matrix = vtk.vtkMatrix4x4()
    sample.GetIJKToRASMatrix(matrix)
    coarseToFine = np.diag([*factors, 1.0]).astype(float)
    coarseToFine[:3, 3] = (np.array(factors) - 1) / 2
    toRas = slicer.util.arrayFromVTKMatrix(matrix) @ coarseToFine
    node = slicer.util.addVolumeFromArray(coarse, toRas, "MRBrain 2 mm" if min(factors) > 1 else "MRBrain thick")
    node.GetDisplayNode().SetAutoWindowLevel(0)
    node.GetDisplayNode().SetWindowLevel(150, 75)
    slicer.mrmlScene.RemoveNode(sample)
    return node


def drawComparison(sideBySide: Any, title: str, folder: Path) -> None:
    """The three views as they open, and below them the same around a detail; then the right view in its other ways."""
    widgets = [slicer.app.layoutManager().sliceWidget(name) for name in VIEW_NAMES]
    for widget in widgets:
        widget.mrmlSliceNode().SetDimensions(PIXELS, PIXELS, 1)
    comparison = sideBySide.comparison
    comparison.alignment.showAll()
    rows = [[widget.picture() for widget in widgets]]
    comparison.zoomTo(DETAIL, DETAIL_MM)
    rows.append([widget.picture() for widget in widgets])
    spacing = [n.GetSpacing()[0] for n in comparison._nodes]
    captions = [
        f"Input\n{spacing[0]:g} mm",
        f"Best interpolation\nLanczos, {spacing[1]:g} mm",
        f"Result\n{title}, {spacing[2]:g} mm",
    ]
    picture(rows, captions, "Same place, same window and level, voxels as they are.", folder / "Comparison.png")
    ways = {"curtain": "Curtain\ninterpolation | result", "difference": "Difference\nresult - interpolation"}
    views = []
    for mode in ways:
        comparison.right.setMode(mode)
        views.append(rendered(widgets[2]))
    comparison.right.setMode("result")
    picture([views], list(ways.values()), "The right view in two of its ways.", folder / "RightView.png")


def rendered(sliceWidget: Any) -> np.ndarray:
    """What is in the window of a slice view, with all that is drawn over it."""
    return scenes.pixelsOf(sliceWidget)[::-1, :, :3].copy()


def wait(condition: Callable[[], Any]) -> None:
    """Run the event loop until something happened, and then until it is at rest."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the module did not get there")
        app.processEvents()
        time.sleep(0.005)
    for _ in range(60):
        app.processEvents()
        time.sleep(0.002)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", action="store_true", help="only those of several stacks")
    parser.add_argument("--looks", action="store_true", help="the panel in every look instead")
    parser.add_argument("--look", choices=LOOKS, help="one of them")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "Resources" / "Screenshots")
    given = parser.parse_args()
    app.setStyle("Fusion")
    if given.look:
        drawLook(given.look, given.folder)
    elif given.looks:
        looks(given.folder)
    elif given.stacks:
        drawStacks(given.folder)
    else:
        main(given.folder)
