"""How a volume was scanned: what Slicer's DICOM database tells, what the user says, and what is said of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import qt
import scenes
import slicer
from conftest import app
from scenes import choose
from VolumeSuperResolutionLib.application import acquisition, runs, wording
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner

pytestmark = pytest.mark.usefixtures("warmed")


@pytest.fixture
def told(volume, monkeypatch):
    """told(text): the volume (3 mm slices) comes from DICOM, which says this thickness."""

    def tell(text: str) -> None:
        volume.SetAttribute(acquisition.INSTANCES, f"{text}.1 {text}.2 {text}.3")
        values = {(f"{text}.1", "0018,0050"): text}
        database = SimpleNamespace(instanceValue=lambda *asked: values.get(asked, ""))
        monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
        volume.Modified()
        app.processEvents()

    return tell


def test_a_volume_from_a_file_is_in_no_database(volume, monkeypatch):
    assert acquisition.scannerOf(volume) == Scanner()
    volume.SetAttribute(acquisition.INSTANCES, "9.9.1")
    assert acquisition.scannerOf(volume) == Scanner()
    database = SimpleNamespace(instanceValue=lambda *asked: "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert acquisition.scannerOf(volume) == Scanner()


@pytest.mark.parametrize(
    ("thickness", "line"),
    [
        ("2.4", "Slices 2.4 mm thick every 3 mm (from DICOM), pixels of 1 mm. Gaps of 0.6 mm between them. Noise "),
        ("4", "Slices 4 mm thick every 3 mm (from DICOM), pixels of 1 mm. They overlap by 1 mm. Noise "),
        ("3", "Slices 3 mm thick every 3 mm (from DICOM), pixels of 1 mm. Noise "),
        ("", "Slices 3 mm thick every 3 mm (assumed), pixels of 1 mm. Noise "),
        ("400", "Slices 3 mm thick every 3 mm (assumed), pixels of 1 mm. Noise "),
    ],
)
def test_the_panel_says_what_dicom_tells(opened, told, thickness, line):
    told(thickness)
    assert opened.ui.scanLabel.text.startswith(line)
    assert opened.ui.scanLabel.text.endswith("% (estimated).")


def test_what_the_user_says_is_kept_shown_and_used(opened, volume, told):
    told("2.4")
    ui, parameters = opened.ui, opened.panel.choosing.parameters
    assert (ui.thicknessSpinBox.text, ui.noiseSpinBox.text) == ("Automatic", "Automatic")
    request = opened.panel.choosing.request()
    assert (request.slice_thickness, request.profile, request.noise) == (None, None, None)
    assert request.scanner.axes[2].width == 2.4
    ui.thicknessSpinBox.value = 3.5
    ui.noiseSpinBox.value = 1.5
    choose(ui.profileSelector, "box")
    app.processEvents()
    assert (parameters.sliceThickness, parameters.profile, parameters.noise) == (3.5, "box", 1.5)
    request = opened.panel.choosing.request()
    assert (request.slice_thickness, request.profile, request.noise) == (3.5, "box", 1.5)
    assert ui.scanLabel.text == (
        "Slices 3.5 mm thick every 3 mm (as given), pixels of 1 mm. They overlap by 0.5 mm. Profile: box (as given). "
        "Noise 1.5% (as given)."
    )
    ui.thicknessSpinBox.value = 31
    app.processEvents()
    assert "thickness of 31 mm along k is not possible" in ui.estimateLabel.text
    assert not ui.applyButton.enabled


def test_what_was_said_of_one_scan_is_not_said_of_the_next(opened, scene):
    parameters = opened.panel.choosing.parameters
    parameters.sliceThickness, parameters.profile, parameters.noise = 3.5, "box", 1.5
    app.processEvents()
    parameters.inputVolume = scenes.addVolume(scene, name="other")
    app.processEvents()
    request = opened.panel.choosing.request()
    assert (request.slice_thickness, request.profile, request.noise) == (None, None, None)


def test_a_profile_of_a_script_is_kept(opened, tmp_path):
    (tmp_path / "profile.txt").write_text("-1 0\n0 1\n1 0\n")
    opened.panel.choosing.parameters.profile = str(tmp_path / "profile.txt")
    app.processEvents()
    assert opened.ui.profileSelector.currentText == "profile.txt"
    assert "Profile: measured (as given)." in opened.ui.scanLabel.text


def test_a_profile_is_chosen_from_a_file_or_stays_as_it_was(opened, tmp_path, monkeypatch):
    good, bad = tmp_path / "profile.txt", tmp_path / "empty.txt"
    good.write_text("-1 0\n0 1\n1 0\n")
    bad.write_text("")
    chosen = []
    monkeypatch.setattr(qt, "QFileDialog", SimpleNamespace(getOpenFileName=lambda *_asked: chosen[-1]), raising=False)
    ui, parameters = opened.ui, opened.panel.choosing.parameters
    for path, kept in ((good, str(good)), ("", str(good)), (bad, str(bad))):
        chosen.append(str(path))
        choose(ui.profileSelector, "file")
        app.processEvents()
        assert parameters.profile == ui.profileSelector.currentData == kept
        assert ui.applyButton.enabled == (kept == str(good))
    assert "measured slice profile has 0 points" in ui.estimateLabel.text


def test_a_run_in_the_worker_is_as_one_here_and_both_say_what_was_known(volume, told, wait):
    told("2.4")
    options = {"model": "backprojection", "scale": (1, 1, 2), "noise": 1}
    here = runs.runHere(volume, runs.makeRequest(volume, **options))
    job = runs.Upscaling([volume], runs.makeRequest(volume, **options))
    ended = []
    job.finished.connect(ended.append)
    wait(lambda: ended, 60)
    assert np.array_equal(slicer.util.arrayFromVolume(here), slicer.util.arrayFromVolume(ended[0]))
    for node in (here, ended[0]):
        assert "2.4 mm thick every 3 mm (from DICOM), noise 1% (as given)" in str(wording.reportOf(node))
        line = "Slices 2.4 mm thick every 3 mm (from DICOM), pixels of 1 mm. Gaps of 0.6 mm between them. Noise 1% (as"
        assert line in wording.resultLine(node)
    # What is made of it is no such scan.
    assert acquisition.scannerOf(here) == Scanner()


def test_an_acquisition_transform_is_told_in_the_panel_and_in_the_report(opened, volume, scene):
    plain = scenes.linearTransform(scene)
    volume.SetAndObserveTransformNodeID(plain.GetID())
    app.processEvents()
    assert "acquisition" not in opened.ui.warningLabel.text
    transform = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "T1 acquisition transform")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    app.processEvents()
    assert "T1 with an acquisition transform: its slices are unevenly spaced" in opened.ui.warningLabel.text
    result = runs.runHere(volume, runs.makeRequest(volume, model="linear"))
    assert wording.reportOf(result).warnings[0].startswith("Slicer has loaded T1 with an acquisition transform")


@pytest.fixture
def series(volume, monkeypatch):
    """series(places): the volume (10 slices, 3 mm) comes from DICOM, whose images lie at these places in LPS."""

    def tell(places: list, orientation: str = "1\\0\\0\\0\\1\\0") -> None:
        instances = [f"5.{n}" for n in range(len(places))]
        values = {(uid, acquisition.POSITION): "\\".join(map(str, p)) for uid, p in zip(instances, places)}
        values.update({(uid, acquisition.ORIENTATION): orientation for uid in instances})
        database = SimpleNamespace(instanceValue=lambda *asked: values.get(asked, ""))
        monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
        acquisition.numbers.cache_clear()
        volume.SetOrigin(0, 0, 0)
        volume.SetAttribute(acquisition.INSTANCES, " ".join(instances))
        app.processEvents()

    yield tell
    acquisition.numbers.cache_clear()


EVEN = [(0, 0, 3.0 * k) for k in range(10)]


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(0, 0, 3.0 * (k + (k > 3))) for k in range(10)], "slice 5 of 11 is missing between 9.0 and 15.0 mm"),
        ([(0, 0, 0.3 * k * (k + 1)) for k in range(10)], "the slices are unevenly spaced, 0.6 to 5.4 mm apart"),
        ([(0, 0.6 * k, 3.0 * k) for k in range(10)], "as by a gantry tilted by 11.3 degrees"),
    ],
)
def test_slices_that_are_not_even_are_told_in_the_panel_and_in_the_report(opened, volume, series, wait, places, words):
    series(places[::-1])
    wait(lambda: words in opened.ui.warningLabel.text, 5)
    result = runs.runHere(volume, runs.makeRequest(volume, model="linear"))
    assert words in wording.reportOf(result).warnings[0]
    assert "as if they were even" in wording.reportOf(result).warnings[0]


@pytest.mark.parametrize(
    ("places", "orientation"),
    [
        (EVEN, "1\\0\\0\\0\\1\\0"),
        (EVEN[:9], "1\\0\\0\\0\\1\\0"),  # of which one slice was cut off since
        ([(0, 0, 3.0 * k * k) for k in range(10)], "1\\0\\0"),
        ([(5, 0, 3.0 * k * k) for k in range(10)], "1\\0\\0\\0\\1\\0"),  # that lies elsewhere since
        ([()] * 10, "1\\0\\0\\0\\1\\0"),
    ],
)
def test_of_slices_that_are_even_or_no_longer_those_nothing_is_told(volume, series, places, orientation):
    series(places, orientation)
    assert acquisition.warnings(volume) == ()


def test_reports_of_earlier_versions_are_read(volume):
    result = runs.runHere(volume, runs.makeRequest(volume, model="nearest"))
    assert "slices as thick as they are apart" in wording.resultLine(result)
