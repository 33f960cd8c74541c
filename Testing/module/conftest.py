"""What the tests stand on: Slicer's stand-ins, a clean scene, models, the opened panel, a worker, a way to wait."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shiboken6

os.environ.setdefault("OMP_NUM_THREADS", "1")
pytest.importorskip("slicer")
pytest.importorskip("PySide6")

import standins
from standins import application, pythonqt

app = standins.install()
pytest.register_assert_rewrite("scenes")
import scenes  # noqa: E402
import slicer  # noqa: E402
from prefork import preforked  # noqa: E402
from VolumeSuperResolutionLib.application import child  # noqa: E402
from VolumeSuperResolutionLib.application.worker import Worker  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope="session")
def quickStarts() -> Any:
    """The worker's processes need not import torch first."""
    with preforked(child):
        yield


@pytest.fixture(autouse=True)
def noErrorInASlot() -> Any:
    """An exception in a slot is only printed, in Slicer too; here it fails the test that caused it."""
    pythonqt.SLOT_ERRORS.clear()
    yield
    errors = list(pythonqt.SLOT_ERRORS)
    pythonqt.SLOT_ERRORS.clear()
    assert not errors, errors[0]


@pytest.fixture
def scene() -> Any:
    """slicer.mrmlScene, empty before and after, and the layout that Slicer begins with."""
    slicer.mrmlScene.Clear(0)
    slicer.app.userSettings().clear()
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list:
    """The texts of all error, warning and information windows, which are not shown."""
    shown: list = []
    for name in ("errorDisplay", "warningDisplay", "infoDisplay"):
        monkeypatch.setattr(slicer.util, name, lambda text, *_, **__: shown.append(text))
    return shown


@pytest.fixture
def wait() -> Callable[..., None]:
    """wait(condition, seconds=30): run the event loop until the condition holds; the test fails if it never does."""

    def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            app.processEvents()
            time.sleep(0.002)

    return until


@pytest.fixture
def module(scene: Any) -> Any:
    """The module, loaded afresh as at a start of Slicer."""
    yield application.loadModule(str(ROOT / "VolumeSuperResolution" / "VolumeSuperResolution.py"))
    # Or it would observe the scene once more at each later start.
    slicer.app.startupCompleted.disconnect(sys.modules["VolumeSuperResolution"].onStartupCompleted)


@pytest.fixture
def widget(module: Any) -> Any:
    """The module's opened panel; it must leave nothing behind."""
    opened = application.openModule(module)
    yield opened
    opened.cleanup()
    shiboken6.delete(module.widgetRepresentation())
    app.processEvents()


@pytest.fixture
def warmed(monkeypatch: pytest.MonkeyPatch) -> list:
    """How often the worker was warmed, which costs each test more than its run."""
    calls: list = []
    monkeypatch.setattr(Worker, "prepare", lambda self: calls.append(1))
    return calls


@pytest.fixture
def volume(scene: Any) -> Any:
    """A small scan with thick slices."""
    array = np.random.default_rng(1).integers(0, 900, (10, 12, 14)).astype(np.int16)
    return scenes.addVolume(scene, array, np.diag([1.0, 1.0, 3.0]), "T1")


@pytest.fixture
def opened(volume: Any, widget: Any, messages: list) -> Any:
    """The panel with a volume, set to Lanczos, twice as fine, and to stay in the layout that is there."""
    parameters = widget.panel.choosing.parameters
    parameters.model, parameters.target, parameters.compareAfter = "lanczos", "x2", False
    app.processEvents()
    return widget


@pytest.fixture(scope="module")
def modelFolder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with random weights: a quick one, and one that takes long enough to be interrupted."""
    folder = scenes.makeModel(tmp_path_factory.mktemp("models"), "quick")
    return scenes.makeModel(folder, "slow", features=16, blocks=6)


@pytest.fixture
def models(modelFolder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Those models where the module finds them, in a folder that the test may change."""
    folder = shutil.copytree(modelFolder, tmp_path / "models")
    monkeypatch.setenv("VSR_WEIGHTS", str(folder))
    return folder


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory, modelFolder: Path) -> Any:
    """The folder for temporary files, of which none is left in the end; the two models are found meanwhile."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("VSR_WEIGHTS", str(modelFolder))
        yield folder
    assert not list(folder.glob("VolumeSuperResolution-*"))


@pytest.fixture(scope="module")
def worker(temporary: Path) -> Any:
    """A worker whose process is gone in the end."""
    made = Worker()
    yield made
    pid = made._child.pid if made._child is not None else None
    made.stop()
    assert pid is None or not scenes.alive(pid)


@pytest.fixture
def fresh(worker: Any) -> Any:
    """The worker without a child, for tests that change what a child finds at its start."""
    worker.stop()
    yield worker
    worker.stop()
