"""The preview: a small box around the crosshair that takes a moment, and follows crosshair, model and target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scenes
import slicer
from conftest import app
from scenes import choose, results
from VolumeSuperResolutionLib.application import preview as subject
from VolumeSuperResolutionLib.application import runs
from VolumeSuperResolutionLib.application import scene as scenery
from VolumeSuperResolutionLib.application.comparison import LAYOUT, VIEW_NAMES
from VolumeSuperResolutionLib.application.sidebyside import crosshair
from VolumeSuperResolutionLib.application.worker import Worker
from VolumeSuperResolutionLib.engine.request import Request
from VolumeSuperResolutionLib.engine.upscale import upscale

pytestmark = pytest.mark.usefixtures("warmed")


@pytest.fixture
def pointer(scene, volume, opened, monkeypatch):
    """The crosshair, on a volume that is larger than a preview."""
    monkeypatch.setattr(subject, "REST_MS", 0)
    opened.panel.preview._rest.setInterval(0)
    array = np.random.default_rng(2).integers(0, 900, (80, 90, 100)).astype(np.int16)
    slicer.util.updateVolumeFromArray(volume, array)
    node = scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    node.SetCrosshairRAS(*at(30, 40, 90))
    app.processEvents()
    return node


def at(*shift):
    return np.add(scenes.ORIGIN, shift).astype(float)


def shown():
    return [n for n in results() if not n.GetHideFromEditors()]


def isInside(node, ras):
    return all(low < x < high for x, (low, high) in zip(ras, scenes.bounds(node).reshape(3, 2)))


@pytest.fixture
def previewed(opened, pointer, wait):
    opened.ui.previewButton.click()
    wait(lambda: opened.panel.sideBySide.active)
    wait(lambda: opened.ui.previewButton.enabled)
    return opened


def rested(panel):
    app.processEvents()
    busy = panel.job is not None or panel.sideBySide.preparing or Worker.shared().running
    return not busy and not panel.preview._rest.active


def test_it_is_a_box_around_the_crosshair_beside_the_interpolation_of_that_box(previewed, volume):
    (preview,) = shown()
    assert preview.GetName() == "T1 preview"
    assert preview.GetImageData().GetDimensions() == (120, 120, 120)
    assert isInside(preview, at(30, 40, 90))
    assert slicer.app.layoutManager().layout == LAYOUT
    views = [slicer.app.layoutManager().sliceWidget(name) for name in VIEW_NAMES]
    middle = scenes.bounds(preview).reshape(3, 2).mean(1)
    for view in views:
        plane = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetSliceToRAS())
        np.testing.assert_allclose(plane[:3, 3], middle, atol=1e-6)
    interpolation = slicer.mrmlScene.GetNodeByID(views[1].mrmlSliceCompositeNode().GetBackgroundVolumeID())
    np.testing.assert_allclose(scenes.bounds(interpolation), scenes.bounds(preview), atol=1e-6)


def test_it_is_what_the_whole_run_would_give(previewed, volume):
    (preview,) = shown()
    whole = upscale(scenery.volumeFromNode(volume), Request("lanczos", scale=(2.0, 2.0, 2.0)))
    box = slicer.util.arrayFromVolume(preview)
    # Voxels of the box in the whole result, (k, j, i).
    first = np.subtract(preview.GetOrigin(), at(-0.25, -0.25, -0.75)) / (0.5, 0.5, 1.5)
    i, j, k = np.round(first).astype(int)
    np.testing.assert_allclose(box, whole.volume.array[k : k + 120, j : j + 120, i : i + 120], atol=1)  # by rounding


def test_it_follows_the_crosshair_in_the_views_that_are_open(previewed, pointer, wait):
    (preview,) = shown()
    layouts = []
    manager = slicer.app.layoutManager()
    manager.connect("layoutChanged(int)", layouts.append)
    pointer.SetCrosshairRAS(*at(60, 60, 150))
    wait(lambda: isInside(preview, at(60, 60, 150)) and rested(previewed.panel))
    manager.disconnect("layoutChanged(int)", layouts.append)
    assert shown() == [preview]
    assert not layouts
    view = manager.sliceWidget(VIEW_NAMES[1])
    interpolation = slicer.mrmlScene.GetNodeByID(view.mrmlSliceCompositeNode().GetBackgroundVolumeID())
    np.testing.assert_allclose(scenes.bounds(interpolation), scenes.bounds(preview), atol=1e-6)


def test_it_follows_model_and_target(previewed, wait):
    (preview,) = shown()
    previewed.panel.choosing.parameters.model = "bspline"
    wait(lambda: preview.GetAttribute("VolumeSuperResolution.Model") == "bspline" and rested(previewed.panel))
    choose(previewed.ui.targetSelector, "slices2")
    wait(lambda: preview.GetImageData().GetDimensions() == (60, 60, 120) and rested(previewed.panel))


def test_what_nobody_asked_for_changes_no_button_and_tells_no_refusal(previewed, pointer, messages, wait):
    previewed.panel.choosing.parameters.consistency = 0
    pointer.SetCrosshairRAS(*at(60, 60, 150))
    wait(lambda: previewed.panel.job is not None)
    assert previewed.ui.applyButton.text == "&Apply" and previewed.ui.applyButton.enabled
    assert previewed.ui.progressBar.isHidden()
    wait(lambda: rested(previewed.panel))
    pointer.SetCrosshairRAS(*at(999, 999, 999))  # off the volume: what was there stays
    wait(lambda: rested(previewed.panel))
    previewed.panel.choosing.parameters.region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    wait(lambda: rested(previewed.panel))
    assert messages == []
    assert isInside(shown()[0], at(60, 60, 150))


def test_apply_takes_precedence(previewed, pointer, wait):
    pointer.SetCrosshairRAS(*at(60, 60, 150))
    wait(lambda: previewed.panel.job is not None)
    previewed.ui.applyButton.click()
    wait(lambda: any(n.GetName() == "T1 x2 lanczos" for n in results()), 60)


def test_when_the_views_are_closed_it_follows_nothing(previewed, pointer, wait):
    previewed.ui.compareButton.click()
    wait(lambda: rested(previewed.panel))
    assert previewed.panel.preview._crosshair is None
    pointer.SetCrosshairRAS(*at(60, 60, 150))
    for _ in range(10):
        app.processEvents()
    assert previewed.panel.job is None


def test_a_second_preview_uses_the_node_of_the_first(previewed, wait):
    (preview,) = shown()
    previewed.ui.previewButton.click()
    wait(lambda: previewed.panel.job is None)
    wait(lambda: rested(previewed.panel))
    assert shown() == [preview]


def test_off_the_crosshair_it_is_in_the_middle(scene, volume):
    middle = scenes.bounds(volume).reshape(3, 2).mean(1)
    np.testing.assert_allclose(crosshair(volume), middle)


@pytest.mark.parametrize("rate", [1.0, 10.0, 43.7, 300.0, 1500.0])
def test_it_is_as_large_as_takes_about_a_second(scene, rate):
    """With the margin that is read around it, and never smaller than something that can be looked at."""
    large = scenes.addVolume(scene, np.zeros((200, 200, 200), np.int8))
    request = runs.previewRequest(large, runs.makeRequest(large, "lanczos"), crosshair(large), rate)
    read = [stop - start + 2 * request.margin for start, stop in request.region]
    seconds = rate * np.prod(read) / 1e6
    assert seconds <= 1.0 or read == [12, 12, 12]
    assert min(stop - start for start, stop in request.region) >= 8
    assert request.margin >= 2


def test_the_rest_of_the_request_stays(volume):
    request = replace(runs.makeRequest(volume, "lanczos", isotropic=True), consistency=2, device="cpu")
    changed = runs.previewRequest(volume, request, crosshair(volume), 1.0)
    assert replace(changed, region=None, margin=None) == request
