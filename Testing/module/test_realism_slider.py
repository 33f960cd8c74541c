"""Realism in the panel and from the console: where it can be chosen, what it leads to, and what is kept of it."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import scenes
import slicer
from conftest import app
from sample_models import pair
from VolumeSuperResolutionLib.application import runs
from VolumeSuperResolutionLib.application import scene as scenery
from VolumeSuperResolutionLib.application.scene import PREFIX
from VolumeSuperResolutionLib.application.worker import Worker
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.upscale import upscale

CAUTION = "It draws what may not be there."


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder with a model for looks and its faithful partner."""
    monkeypatch.setattr(Worker, "prepare", lambda self: None)
    monkeypatch.setenv("VSR_WEIGHTS", str(tmp_path))
    pair(tmp_path, caution=CAUTION)
    return tmp_path


@pytest.fixture
def volume(scene):
    array = np.random.default_rng(1).integers(0, 900, (6, 7, 8)).astype(np.int16)
    return scenes.addVolume(scene, array, np.eye(3), "T1")


@pytest.fixture
def opened(models, volume, widget):
    """The panel with a volume and the model for looks."""
    parameters = widget.panel.choosing.parameters
    parameters.model, parameters.compareAfter = "looks", False
    app.processEvents()
    return widget


def expected(volume, name, **values):
    return upscale(scenery.volumeFromNode(volume), Request(name, scale=(2.0, 2.0, 2.0), **values)).volume.array


def test_the_slider_is_there_for_a_model_with_a_partner_only(opened):
    ui, parameters = opened.ui, opened.panel.choosing.parameters
    for model, shown in (("looks", True), ("faithful", False), ("looks", True), ("lanczos", False), ("gone", False)):
        parameters.model = model
        app.processEvents()
        assert [not w.isHidden() for w in (ui.realismLabel, ui.realismRow)] == [shown, shown], model
    assert (ui.realismSlider.minimum, ui.realismSlider.maximum) == (0, 1)


def test_its_value_is_stored_and_reaches_the_request(opened, volume):
    parameters, slider = opened.panel.choosing.parameters, opened.ui.realismSlider
    assert slider.value == 1.0
    assert opened.panel.choosing.request().realism is None
    slider.value = 0.25
    app.processEvents()
    assert float(parameters.parameterNode.GetParameter("realism")) == 0.25
    assert opened.panel.choosing.request().realism == 0.25
    assert (
        runs.previewRequest(volume, opened.panel.choosing.request(), scenes.bounds(volume)[::2] + 2, 1.0).realism
        == 0.25
    )
    parameters.model = "faithful"
    assert opened.panel.choosing.request().realism is None
    parameters.model = "looks"
    parameters.parameterNode.SetParameter("realism", "0.5")
    app.processEvents()
    assert slider.value == 0.5
    assert opened.panel.choosing.request().realism == 0.5


def test_a_run_is_with_it_and_keeps_it(opened, volume, messages, wait):
    opened.ui.realismSlider.value = 0.25
    app.processEvents()
    opened.ui.applyButton.click()
    wait(lambda: opened.panel.job is None, 60)
    assert messages == []
    (result,) = scenes.results()
    voxels = slicer.util.arrayFromVolume(result).astype(int)
    assert np.abs(voxels - expected(volume, "looks", realism=0.25)).max() <= 1
    for name in ("looks", "faithful"):
        assert np.abs(voxels - expected(volume, name)).max() > 1
    for name in ("Settings", "Report"):
        assert json.loads(result.GetAttribute(PREFIX + name))["realism"] == 0.25
    assert "upscaled with looks, realism 0.25." in result.GetDescription()
    assert "T1 x2 looks: A model, realism 0.25, " in opened.ui.resultLabel.text


def test_from_the_console(opened, volume, scene):
    logic = opened.logic
    result = logic.upscale(volume, "looks", realism=np.float32(0))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(result), expected(volume, "faithful"))
    assert "faithful model faithful" in logic.describe("looks")
    assert "Realism" not in logic.describe("faithful")
    before = scenes.fingerprint(scene)
    for model, realism in (("faithful", 0.5), ("looks", 2), ("looks", float("nan"))):
        with pytest.raises(RefusalError, match="realism"):
            logic.upscale(volume, model, realism=realism)
    assert scenes.fingerprint(scene) == before


def test_without_the_partner_the_model_as_it_is_still_runs(models, opened):
    shutil.rmtree(models / "faithful")
    opened.ui.realismSlider.value = 0.5
    app.processEvents()
    assert "faithful, which is not installed" in opened.ui.estimateLabel.text
    assert not opened.ui.applyButton.enabled
    opened.ui.realismSlider.value = 1.0
    app.processEvents()
    assert opened.ui.applyButton.enabled


def test_the_caution_is_shown_whatever_the_volume_is_and_while_one_runs(opened, scene, monkeypatch):
    warning = opened.ui.warningLabel
    assert CAUTION in warning.text and not warning.isHidden()
    opened.panel.choosing.parameters.inputVolume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    app.processEvents()
    assert CAUTION in warning.text
    other = scenes.addVolume(scene, name="other")
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "shared", lambda: SimpleNamespace(running=True, prepare=lambda: None))
        opened.panel.choosing.parameters.inputVolume = other
        app.processEvents()
        assert CAUTION in warning.text
