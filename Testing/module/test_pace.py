"""Estimates that learn from the runs on this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import qt
import scenes
from VolumeSuperResolutionLib.application.pace import SETTING, Pace
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.request import Estimate
from VolumeSuperResolutionLib.engine.volumes.grid import Grid

LEARNED = zoo.Card("net", "Net", "", stages=(zoo.Stage("edsr3d"),), seconds_per_megavoxel=10.0)
OTHER = replace(LEARNED, id="other", seconds_per_megavoxel=50.0)
GRID = Grid((100, 100, 100))


@pytest.fixture
def pace(tmp_path):
    return Pace(qt.QSettings(str(tmp_path / "settings.ini"), qt.QSettings.IniFormat))


def forecast(seconds, size=(200, 200, 200)):
    return Estimate(size, (1.0, 1.0, 1.0), 0, 0, seconds)


def report(seconds, device="cpu"):
    return replace(scenes.makeReport(GRID, GRID), seconds=seconds, device=device)


def test_before_any_run_it_is_what_the_card_says(pace):
    assert pace.foresee(LEARNED, forecast(10.0)) == (10.0, "cpu")
    assert pace.foresee(zoo.CLASSICAL[3], forecast(0.0)) == (0.0, "cpu")


def test_a_run_corrects_its_model_and_all_others_on_the_cpu(pace):
    pace.learn(LEARNED, forecast(10.0), report(30.0))
    assert pace.foresee(LEARNED, forecast(20.0)) == (60.0, "cpu")
    assert pace.foresee(OTHER, forecast(50.0)) == (150.0, "cpu")


def test_a_run_on_the_gpu_is_not_one_on_the_cpu(pace):
    pace.learn(LEARNED, forecast(100.0), report(5.0, "cuda"))
    assert pace.foresee(LEARNED, forecast(100.0)) == (5.0, "cuda")
    assert pace.foresee(LEARNED, forecast(100.0), "cpu") == (100.0, "cpu")
    assert pace.foresee(OTHER, forecast(50.0)) == (50.0, "cpu")


def test_several_runs_are_averaged(pace):
    for seconds in (30.0, 10.0):
        pace.learn(LEARNED, forecast(10.0), report(seconds))
    assert pace.foresee(LEARNED, forecast(10.0))[0] == 20.0


def test_interpolations_go_by_the_size_of_the_result(pace):
    lanczos = zoo.card("lanczos")
    pace.learn(lanczos, forecast(0.0, (200, 200, 200)), report(4.0))
    assert pace.foresee(lanczos, forecast(0.0, (200, 200, 400)))[0] == pytest.approx(8.0)


def test_what_tells_nothing_is_not_learned(pace):
    pace.learn(LEARNED, forecast(0.1), report(1.5))
    pace.learn(LEARNED, forecast(0.01), report(1000.0))
    assert pace.foresee(OTHER, forecast(1.0))[0] <= 20.0


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"cpu": "x"}', '{"cpu": 1, "models": {"net": 3}}'])
def test_settings_that_are_not_understood_are_left_aside(pace, text):
    pace._settings.setValue(SETTING, text)
    assert pace.foresee(LEARNED, forecast(10.0)) == (10.0, "cpu")
