"""How long the panel keeps anyone waiting, on the stand-ins: to open, to react, and while a run goes on.

    python Testing/benchmark/panel.py

Figures of a busy machine are worth nothing; what no machine may do is in the tests, which count work instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "VolumeSuperResolution"), str(ROOT / "Testing"), str(ROOT / "Testing" / "module")]

import numpy as np  # noqa: E402
import standins  # noqa: E402
from standins import application  # noqa: E402

app = standins.install()
import qt  # noqa: E402
import scenes  # noqa: E402
import slicer  # noqa: E402

REPEATS = 5


def milliseconds(work: Callable[[], Any]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    module = application.loadModule(str(ROOT / "VolumeSuperResolution" / "VolumeSuperResolution.py"))
    print(f"opening the panel: {milliseconds(lambda: application.openModule(module)):.0f} ms")
    widget = application.openModule(module)
    parameters, panel, ui = widget.panel.choosing.parameters, widget.panel, widget.ui
    large = scenes.addVolume(slicer.mrmlScene, np.zeros((400, 512, 512), np.int16), np.diag([0.9, 0.9, 2.0]), "large")
    parameters.inputVolume = large
    print(f"choosing 512 x 512 x 400 voxels: {milliseconds(panel.update):.0f} ms")
    reactions = {
        "another target": lambda n: setattr(parameters, "target", ("x2", "isotropic")[n % 2]),
        "another model": lambda n: setattr(parameters, "model", ("", "edsr3d-x2")[n % 2]),
        "another setting": lambda n: setattr(ui.memorySpinBox, "value", 500 + n),
    }
    for name, react in reactions.items():
        times = [milliseconds(lambda n=n, react=react: (react(n), panel.update())) for n in range(REPEATS)]
        print(f"{name}: {np.median(times):.0f} ms")
    values = np.random.default_rng(0).integers(0, 900, (100, 256, 256)).astype(np.int16)
    parameters.inputVolume = scenes.addVolume(slicer.mrmlScene, values, name="run")
    parameters.model, parameters.target, parameters.compareAfter = "linear", "x2", False
    app.processEvents()
    print(f"the event loop's worst gap in a run: {worst_gap(widget):.0f} ms")
    widget.cleanup()


def worst_gap(widget: Any) -> float:
    """The longest time without an event while a run goes on, its result included, in ms."""
    ticks: list = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.append(time.perf_counter()))
    widget.ui.applyButton.click()
    timer.start(0)
    while widget.panel.job is not None:
        app.processEvents()
    timer.stop()
    return 1000 * float(np.diff(ticks).max())


if __name__ == "__main__":
    main()
