"""Slicer around the tests: the stand-ins, a clean scene, and helpers to wait and to see messages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shiboken6

os.environ.setdefault("OMP_NUM_THREADS", "1")
pytest.importorskip("slicer")
pytest.importorskip("PySide6")

import standins
from standins import application, pythonqt

app = standins.install()
import slicer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


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
    return application.loadModule(str(ROOT / "VolumeSuperResolution" / "VolumeSuperResolution.py"))


@pytest.fixture
def widget(module: Any) -> Any:
    """The module's opened panel; it must leave nothing behind."""
    opened = application.openModule(module)
    yield opened
    opened.cleanup()
    shiboken6.delete(module.widgetRepresentation())
    app.processEvents()
