"""What the panel finds out of a volume, in pieces, and how much of it any reaction touches."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
import slicer
from conftest import app
from scenes import choose, chooseModel
from VolumeSuperResolutionLib.application import inspection as subject
from VolumeSuperResolutionLib.application import scene as scenery

pytestmark = pytest.mark.usefixtures("warmed")


def holed(volume, shape=(6, 7, 8), holes=3):
    """Give the volume values that are not numbers."""
    array = np.zeros(shape, np.float32)
    array.flat[-holes:] = np.nan
    array.flat[0] = np.inf
    slicer.util.updateVolumeFromArray(volume, array)


def test_values_that_are_not_numbers_are_told_before_anything_runs(opened, volume, wait):
    holed(volume)
    wait(lambda: not opened.ui.applyButton.enabled)
    assert "holds 4 values that are not numbers" in opened.ui.estimateLabel.text
    opened.ui.fillNonfiniteCheckBox.checked = True
    app.processEvents()
    assert opened.ui.applyButton.enabled
    opened.ui.applyButton.click()
    wait(scenes.results)
    assert np.isfinite(slicer.util.arrayFromVolume(scenes.results()[0])).all()


def test_a_volume_that_is_mended_can_be_run(opened, volume, wait):
    holed(volume)
    wait(lambda: not opened.ui.applyButton.enabled)
    slicer.util.updateVolumeFromArray(volume, np.zeros((4, 5, 6), np.float32))
    wait(lambda: opened.ui.applyButton.enabled)


def test_each_step_ends_when_its_time_is_over(volume, monkeypatch):
    """By a clock that goes on by 4 ms at each look: a step takes three planes, whatever the machine does."""
    times = iter(np.arange(0, 10, 0.004))
    inspection = subject.Inspection(lambda: float(next(times)))
    holed(volume, shape=(10, 7, 8))
    findings = inspection.of(volume)
    inspection._timer.stop()
    looks: list = []
    isfinite = np.isfinite
    monkeypatch.setattr(subject.np, "isfinite", lambda plane: looks.append(1) or isfinite(plane))
    seen = []
    while findings.nonfinite is None:
        before = len(looks)
        inspection.step()
        seen.append(len(looks) - before)
    assert (max(seen), sum(seen)) == (3, 10)
    assert findings.nonfinite == 4


def test_a_volume_that_goes_away_meanwhile_is_forgotten(volume, scene):
    inspection = subject.Inspection()
    holed(volume)
    inspection.of(volume)
    volume.SetAndObserveImageData(None)
    inspection.step()
    assert inspection.of(volume) is None


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 6, 7), (400, 512, 512), (1, 4000, 4000)])
def test_a_sample_is_small_and_spread_evenly(shape):
    array = np.broadcast_to(np.arange(shape[0], dtype=np.int16)[:, None, None], shape)
    sample = subject.sampled(array)
    assert sample.size <= 1.1 * subject.SAMPLE_VOXELS + shape[2]
    assert sample.shape[2] == shape[2]
    assert abs(float(sample.mean()) - (shape[0] - 1) / 2) <= 0.05 * shape[0]


class Counted(np.ndarray):
    """Counts the voxels that numpy's functions and methods look at."""

    touched = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        plain = [self._note(x) for x in inputs]
        keywords["out"] = tuple(map(self._note, keywords["out"])) if "out" in keywords else None
        return getattr(ufunc, method)(*plain, **{k: v for k, v in keywords.items() if v is not None})

    def __array_function__(self, function, types, arguments, keywords):
        for x in arguments:
            self._note(x)
        return super().__array_function__(function, types, arguments, keywords)

    def _note(self, value):
        if isinstance(value, Counted):
            Counted.touched += value.size
            return value.view(np.ndarray)
        return value


for name in ("min", "max", "sum", "mean", "astype", "copy", "std", "any", "all"):

    def counting(self, *arguments, _name=name, **keywords):
        Counted.touched += self.size
        return getattr(self.view(np.ndarray), _name)(*arguments, **keywords)

    setattr(Counted, name, counting)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_no_reaction_goes_over_the_voxels_of_a_large_volume(opened, volume, models, monkeypatch, dtype):
    """With 512 x 512 x 400 voxels every reaction looks at a small part of them."""
    large = np.zeros((400, 512, 512), dtype)  # of memory that is never touched
    real = scenery.volumeFromNode

    def counted(node):
        return real(node)._replace(array=large.view(Counted), grid=real(node).grid)

    monkeypatch.setattr(scenery, "volumeFromNode", counted)
    monkeypatch.setattr(opened.panel.inspection, "_timer", type("T", (), {"start": int, "stop": int}))
    ui, worst = opened.ui, {}
    reactions = {
        "the volume": lambda: volume.GetImageData().Modified() or volume.Modified(),
        "a target": lambda: choose(ui.targetSelector, "x2"),
        "a model": lambda: chooseModel(ui.modelTree, "quick"),
        "automatic": lambda: chooseModel(ui.modelTree, "auto"),
        "a setting": lambda: setattr(ui.memorySpinBox, "value", 500),
        "a piece of the inspection": lambda: opened.panel.inspection.step(),
    }
    for name, react in reactions.items():
        Counted.touched = 0
        react()
        opened.panel.update()
        worst[name] = Counted.touched
    limit = 2 * subject.SAMPLE_VOXELS
    assert worst["the volume"] > 0
    del worst["a piece of the inspection"]  # which is ended by its clock
    assert max(worst.values()) < limit, worst
