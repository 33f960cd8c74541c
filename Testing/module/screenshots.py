"""Draws the pictures of the README: the panel, and the three views of the comparison, without a screen.

    python Testing/module/screenshots.py [folder]

The panel is the real form on the stand-ins; the views are drawn by MRML's slice logic, in the module's own layout.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["QT_QPA_PLATFORM"] = "offscreen"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "VolumeSuperResolution"), str(ROOT / "Testing")]

import numpy as np  # noqa: E402
import standins  # noqa: E402
import vtk  # noqa: E402
from standins import application  # noqa: E402

app = standins.install()
import slicer  # noqa: E402
from sliceviews import picture  # noqa: E402
from VolumeSuperResolutionLib.application import runs  # noqa: E402
from VolumeSuperResolutionLib.application.comparison import VIEW_NAMES  # noqa: E402
from VolumeSuperResolutionLib.engine.models import zoo  # noqa: E402
from VolumeSuperResolutionLib.engine.physics.degradation import degrade  # noqa: E402

PIXELS = 400
WIDTH, HEIGHT = 430, 500
# Where the folds of the brain's surface are seen best, RAS.
DETAIL, DETAIL_MM = (29.0, 71.0, 20.0), 44.0
WAIT_SECONDS = 300


def main(folder: Path) -> None:
    """Draw all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    module = application.loadModule(str(ROOT / "VolumeSuperResolution" / "VolumeSuperResolution.py"))
    volume = degradedSample()
    widget = application.openModule(module)
    frame = module.widgetRepresentation()
    frame.resize(WIDTH, HEIGHT)
    frame.show()
    parameters = widget.panel._parameters
    parameters.inputVolume = volume
    parameters.target = "x2"
    parameters.model = runs.defaultModel() if zoo.card(runs.defaultModel()).learned else "backprojection"
    wait(lambda: widget.ui.applyButton.enabled)
    frame.grab().save(str(folder / "Panel.png"))
    widget.ui.applyButton.click()
    wait(lambda: widget.panel.sideBySide.active)
    drawComparison(widget.panel.sideBySide, zoo.card(parameters.model).title, folder / "Comparison.png")
    widget.ui.advancedCollapsibleButton.collapsed = False
    frame.resize(WIDTH, HEIGHT + 250)
    wait(lambda: widget.ui.zoomButton.enabled)
    frame.grab().save(str(folder / "Advanced.png"))
    widget.cleanup()


def degradedSample() -> Any:
    """The MR sample at half its resolution."""
    sample = slicer.util.loadVolume(str(ROOT / "Resources" / "SampleData" / "MRBrain.nrrd"))
    coarse = degrade(slicer.util.arrayFromVolume(sample), (2, 2, 2))
    matrix = vtk.vtkMatrix4x4()
    sample.GetIJKToRASMatrix(matrix)
    coarseToFine = np.diag([2.0, 2.0, 2.0, 1.0])
    coarseToFine[:3, 3] = 0.5
    toRas = slicer.util.arrayFromVTKMatrix(matrix) @ coarseToFine
    node = slicer.util.addVolumeFromArray(coarse, toRas, "MRBrain 2 mm")
    node.GetDisplayNode().SetAutoWindowLevel(0)
    node.GetDisplayNode().SetWindowLevel(150, 75)
    slicer.mrmlScene.RemoveNode(sample)
    return node


def drawComparison(sideBySide: Any, title: str, path: Path) -> None:
    """The three views as they open, and below them the same around a detail."""
    widgets = [slicer.app.layoutManager().sliceWidget(name) for name in VIEW_NAMES]
    for widget in widgets:
        widget.mrmlSliceNode().SetDimensions(PIXELS, PIXELS, 1)
    sideBySide.comparison.align()
    rows = [[widget.picture() for widget in widgets]]
    sideBySide.comparison.zoomTo(DETAIL, DETAIL_MM)
    rows.append([widget.picture() for widget in widgets])
    spacing = [n.GetSpacing()[0] for n in sideBySide.comparison._nodes]
    captions = [
        f"Input\n{spacing[0]:g} mm",
        f"Best interpolation\nLanczos, {spacing[1]:g} mm",
        f"Result\n{title}, {spacing[2]:g} mm",
    ]
    picture(rows, captions, "Same place, same window and level, voxels as they are.", path)


def wait(condition: Callable[[], Any]) -> None:
    """Run the event loop until something happened."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the module did not get there")
        app.processEvents()
        time.sleep(0.005)
    for _ in range(20):
        app.processEvents()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots")
