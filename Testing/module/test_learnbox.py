"""Learning from the scan itself in the panel: where it is offered, what it tells, and how it ends."""

from __future__ import annotations

import re

import numpy as np
import phantoms
import pytest
import scenes
import slicer
from conftest import app
from scenes import results
from VolumeSuperResolutionLib.application import pythoncall

pytestmark = pytest.mark.usefixtures("warmed")


def thick(opened, volume):
    array = (phantoms.head(96).array[24:72:4] * 0.9).astype(np.int16)
    slicer.util.updateVolumeFromArray(volume, array)
    volume.SetSpacing(1.0, 1.0, 4.0)
    opened.panel.choosing.parameters.target = "isotropic"
    app.processEvents()


def test_it_is_offered_where_slices_are_thick(opened, volume):
    box = opened.ui.learnCheckBox
    assert not box.enabled and "too small to learn from" in box.toolTip
    opened.panel.choosing.parameters.learn = True
    assert opened.panel.choosing.request().learn is None
    thick(opened, volume)
    assert box.enabled and "sharp in plane" in box.toolTip
    assert opened.panel.choosing.request().learn == "auto"
    assert "learn='auto'" in pythoncall.callFor("T1", opened.panel.choosing.request())
    assert "of learning" in opened.ui.estimateLabel.text
    opened.panel.choosing.parameters.learn = False
    app.processEvents()
    assert "of learning" not in opened.ui.estimateLabel.text
    opened.panel.choosing.parameters.learn = True
    opened.panel.choosing.parameters.target = "x2"
    app.processEvents()
    assert "one axis by 4" in opened.ui.estimateLabel.text and not opened.ui.applyButton.enabled


def test_it_tells_how_far_it_is_and_goes_on_when_it_is_enough(opened, volume, messages, wait):
    thick(opened, volume)
    opened.panel.choosing.parameters.learn = True
    app.processEvents()
    opened.ui.applyButton.click()
    assert opened.ui.enoughButton.isHidden()
    wait(lambda: not opened.ui.enoughButton.isHidden(), 120)
    assert re.fullmatch(r"learning 0:\d\d, [+-]\d+\.\d dB on what was held out", opened.ui.progressBar.format)
    opened.ui.enoughButton.click()
    wait(lambda: results(), 120)
    app.processEvents()
    assert opened.ui.enoughButton.isHidden() and messages == []
    assert results()[0].GetImageData().GetDimensions() == (96, 96, 48)
    assert "What was learned from the scan is " in opened.ui.resultLabel.text


def test_it_can_be_cancelled(opened, scene, volume, messages, wait):
    thick(opened, volume)
    opened.panel.choosing.parameters.learn = True
    app.processEvents()
    before = scenes.fingerprint(scene)
    opened.ui.applyButton.click()
    wait(lambda: not opened.ui.enoughButton.isHidden(), 120)
    opened.ui.applyButton.click()
    wait(lambda: opened.panel.job is None)
    assert opened.ui.enoughButton.isHidden() and scenes.fingerprint(scene) == before and messages == []
