"""The module's own self-test passes here as it must in Slicer, and its logic works without any window."""

from __future__ import annotations

import json
import sys
import unittest

import numpy as np
import pytest
import scenes
import slicer
from VolumeSuperResolutionLib.application import dependencies
from VolumeSuperResolutionLib.application import scene as scenery
from VolumeSuperResolutionLib.application.selftest import SelfTest
from VolumeSuperResolutionLib.application.worker import Worker
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.upscale import upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Volume


@pytest.fixture
def logic(module, monkeypatch):
    """The logic as in `Slicer --no-main-window`."""
    from VolumeSuperResolution import VolumeSuperResolutionLogic

    monkeypatch.setattr(type(slicer.app), "headless", True)
    yield VolumeSuperResolutionLogic()
    Worker.shared().stop()


def test_self_test(module, scene):
    slicer.selfTests["VolumeSuperResolution"](msec=0)
    Worker.shared().stop()
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


@pytest.mark.parametrize("how", ["the application", "a loader of unit tests"])
def test_each_check_of_the_self_test_is_run_once(module, scene, monkeypatch, how):
    checks = [name for name in vars(SelfTest) if name.startswith("check")]
    run = []
    for name in checks:
        monkeypatch.setattr(SelfTest, name, lambda self, name=name: run.append(name))
    if how == "the application":
        slicer.selfTests["VolumeSuperResolution"](msec=0)
    else:
        suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["VolumeSuperResolution"])
        assert unittest.TextTestRunner().run(suite).wasSuccessful()
    assert checks and sorted(run) == sorted(checks)


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ({"scale": 2}, Request("linear", scale=(2.0, 2.0, 2.0))),
        ({"scale": (1, 2, 3)}, Request("linear", scale=(1.0, 2.0, 3.0))),
        ({"spacing": (0.5, 1, 1)}, Request("linear", spacing=(0.5, 1.0, 1.0))),
        ({"isotropic": True}, Request("linear", isotropic=True)),
        ({"slices": 3}, Request("linear", scale=(1.0, 1.0, 3.0))),
        (
            {"region": ((1, 9), (2, 8), (0, 5)), "consistency": 2},
            Request("linear", scale=(2.0, 2.0, 2.0), region=((1, 9), (2, 8), (0, 5)), consistency=2),
        ),
    ],
)
def test_upscale_gives_what_the_engine_gives(logic, volume, options, request_):
    result = logic.upscale(volume, model="linear", **options)
    expected = upscale(scenery.volumeFromNode(volume), request_)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(result), expected.volume.array)
    assert json.loads(result.GetAttribute("VolumeSuperResolution.Report"))["model"] == "linear"


def test_upscale_of_an_roi_into_a_chosen_node(logic, scene, volume):
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    center = scenes.bounds(volume).reshape(3, 2).mean(1)
    roi.SetCenter(*center)
    roi.SetSize(6, 6, 12)
    output = scenes.addVolume(scene, name="mine")
    result = logic.upscale(volume, "linear", 2, output, region=roi)
    assert result is output
    assert result.GetImageData().GetDimensions() == (12, 12, 8)
    np.testing.assert_allclose(scenes.bounds(result).reshape(3, 2).mean(1), center, atol=1e-4)


@pytest.mark.parametrize(("spacing", "axis"), [((1, 1, 3), 2), ((4, 1, 1), 0), ((1, 1.2, 1), 1), ((1, 1, 1), 2)])
def test_slices_are_across_the_coarsest_axis(logic, scene, spacing, axis):
    node = scenes.addVolume(scene, axes=np.diag(spacing))
    sizes = np.array(node.GetImageData().GetDimensions())
    sizes[axis] *= 2
    assert logic.estimate(node, "linear", slices=2).size == tuple(sizes)


def test_progress_and_cancel(logic, scene, volume):
    told = []
    logic.upscale(volume, "backprojection", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 1
    before = scenes.fingerprint(scene)
    with pytest.raises(CancelledError):
        logic.upscale(volume, "backprojection", cancel=lambda: True)
    assert scenes.fingerprint(scene) == before


@pytest.mark.parametrize(
    "options",
    [{"model": "edrs3d-x2"}, {"model": "linear", "spacing": (0, 1, 1)}, {"model": "linear", "consistency": 99}],
)
def test_refusals_change_nothing(logic, scene, volume, options):
    before = scenes.fingerprint(scene)
    with pytest.raises(RefusalError):
        logic.upscale(volume, **options)
    assert scenes.fingerprint(scene) == before


def test_a_network_without_torch_is_refused(logic, volume, tmp_path, monkeypatch):
    monkeypatch.setenv("VSR_WEIGHTS", str(scenes.makeModel(tmp_path, "quick")))
    monkeypatch.setattr(dependencies, "torch_problem", lambda: "PyTorch is missing.")
    with pytest.raises(RefusalError, match="PyTorch is missing"):
        logic.upscale(volume, "quick")
    assert logic.upscale(volume, "lanczos") is not None


def test_a_network_here_and_in_the_worker(logic, volume, tmp_path, monkeypatch, wait):
    monkeypatch.setenv("VSR_WEIGHTS", str(scenes.makeModel(tmp_path, "quick")))
    here = logic.upscale(volume, "quick", device="cpu")
    job, nodes, progress = logic.startUpscale(volume, "quick", device="cpu"), [], []
    assert job.running
    job.finished.connect(nodes.append)
    job.failed.connect(pytest.fail)
    job.progressed.connect(lambda *values: progress.append(values))
    wait(lambda: not job.running, 60)
    assert progress
    there, here = (slicer.util.arrayFromVolume(node).astype(int) for node in (nodes[0], here))
    assert np.abs(there - here).max() <= 1


def test_models_describe_and_estimate(logic, volume, tmp_path, monkeypatch):
    monkeypatch.setenv("VSR_WEIGHTS", str(scenes.makeModel(tmp_path, "quick")))
    assert logic.models()[:5] == ("nearest", "linear", "bspline", "lanczos", "backprojection")
    assert "quick" in logic.models()
    assert "Factor: 2 x 2 x 2" in logic.describe("quick")
    assert logic.estimate(volume) == logic.estimate(volume, logic.defaultModel(), 2)
    assert "Windowed sinc" in logic.describe("lanczos")
    forecast = logic.estimate(volume, "linear", isotropic=True)
    assert (forecast.size, forecast.spacing) == ((14, 12, 30), (1.0, 1.0, 1.0))
    assert forecast.output_bytes == 14 * 12 * 30 * 2


def test_the_size_before_a_run_is_that_of_the_result(logic, volume):
    few = slicer.util.arrayFromVolume(volume) % 7  # which whole numbers would round visibly
    slicer.util.updateVolumeFromArray(volume, few.astype(np.uint8))
    foreseen = logic.estimate(volume, "linear", 2)
    result = slicer.util.arrayFromVolume(logic.upscale(volume, "linear", 2))
    assert result.dtype == np.float32
    assert foreseen.output_bytes == result.nbytes


def test_without_a_model_it_is_chosen_and_a_named_one_is_never_replaced(logic, volume, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "folders", lambda: [tmp_path])
    assert logic.defaultModel() == "auto"
    result = logic.upscale(volume, isotropic=True)
    assert result.GetAttribute("VolumeSuperResolution.Model") == "backprojection"
    assert json.loads(result.GetAttribute("VolumeSuperResolution.Report"))["automatic"]
    with pytest.raises(RefusalError, match="edsr3d-x2"):
        logic.upscale(volume, "edsr3d-x2")
    assert "best for a target" in logic.describe("auto")


def test_twenty_runs_leave_twenty_nodes_and_nothing_else(logic, scene, volume):
    counts = []
    for _ in range(20):
        node = logic.upscale(volume, "linear")
        scene.RemoveNode(node.GetDisplayNode())
        scene.RemoveNode(node)
        counts.append(scene.GetNumberOfNodes())
    assert set(counts) == {counts[0]}


def test_volumes_share_their_voxels_with_the_scene(volume):
    """No copy on the way in: what the engine reads is the node's own memory."""
    taken = scenery.volumeFromNode(volume)
    assert isinstance(taken, Volume)
    assert np.shares_memory(taken.array, slicer.util.arrayFromVolume(volume))
