"""A result in the scene saved as a DICOM series: of the patient, in its place, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import qt
import scenes
import slicer
from conftest import app
from hostile.makers_dicom import series
from scenes import results
from VolumeSuperResolutionLib.application import acquisition, dicomseries, runs
from VolumeSuperResolutionLib.application import scene as scenery
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.volumes import files

from VolumeSuperResolution import VolumeSuperResolutionLogic

pytestmark = pytest.mark.usefixtures("warmed")


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Slicer's database with one series in it: its files by the ids of their images."""
    place = series(tmp_path)
    known = {str(pydicom.dcmread(path).SOPInstanceUID): str(path) for path in place.iterdir()}
    found = SimpleNamespace(instanceValue=lambda *asked: "", fileForInstance=lambda uid: known.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", found, raising=False)
    acquisition.numbers.cache_clear()
    yield known
    acquisition.numbers.cache_clear()


@pytest.fixture
def scan(scene, database, tmp_path):
    """That series as Slicer loads it."""
    volume = files.read(tmp_path / "scan").volume
    node = scenes.addVolume(scene, volume.array, name="Scan")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(scenery.matrixOf(volume.grid)))
    node.SetAttribute(acquisition.INSTANCES, " ".join(database))
    return node


@pytest.fixture
def result(scan):
    return runs.runHere(scan, runs.makeRequest(scan, "nearest", 2))


@pytest.fixture
def dialog(monkeypatch, tmp_path):
    """What the windows show, and what the user does in them: where to save to, and a press on Cancel."""
    seen = SimpleNamespace(value=0, wasCanceled=False, closed=0)
    seen.close = seen.deleteLater = lambda: setattr(seen, "closed", seen.closed + 1)
    monkeypatch.setattr(slicer.util, "createProgressDialog", lambda **_said: seen)
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    (tmp_path / "saved").mkdir()
    seen.place = str(tmp_path / "saved")
    monkeypatch.setattr(
        qt, "QFileDialog", SimpleNamespace(getExistingDirectory=lambda *_asked: seen.place), raising=False
    )
    return seen


def test_read_again_it_is_the_result_and_the_patients(result, tmp_path):
    VolumeSuperResolutionLogic().saveAsDicom(result, str(tmp_path / "out"))
    again = files.read(tmp_path / "out").volume
    made = scenery.volumeFromNode(result)
    assert np.array_equal(again.array, made.array)
    assert np.allclose(again.grid.origin, made.grid.origin, atol=1e-6)
    first = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    source = pydicom.dcmread(next((tmp_path / "scan").iterdir()))
    assert first.StudyInstanceUID == source.StudyInstanceUID
    assert "nearest" in first.DerivationDescription and "0.2" in first.DerivationDescription
    assert {item.ReferencedSOPInstanceUID for item in first.SourceImageSequence} == set(
        result.GetNodeReference(scenery.INPUT_ROLE).GetAttribute(acquisition.INSTANCES).split()
    )


def test_of_several_stacks_it_says_so(scan, database, tmp_path, monkeypatch):
    report = SimpleNamespace(derivation=lambda version: dicomseries.derived.Derivation("combined", "Of two.", version))
    monkeypatch.setattr(dicomseries, "isCombined", lambda _node: True)
    monkeypatch.setattr(dicomseries.wording, "combinedReportOf", lambda _node: report)
    result = runs.runHere(scan, runs.makeRequest(scan, "nearest", 2))
    dicomseries.write(result, tmp_path / "out")
    assert pydicom.dcmread(next((tmp_path / "out").iterdir())).DerivationDescription == "Of two."


def test_what_cannot_be_saved_is_refused_and_leaves_nothing(scene, scan, result, database, tmp_path):
    moved = scenes.linearTransform(scene)
    result.SetAndObserveTransformNodeID(moved.GetID())
    refusals = [(result, "moved by a transform")]
    other = scenes.addVolume(scene, name="Other")
    refusals.append((runs.runHere(other, runs.makeRequest(other, "nearest", 2)), "made of nothing that DICOM"))
    for node, words in refusals:
        with pytest.raises(RefusalError, match=words):
            dicomseries.write(node, tmp_path / "out")
    result.SetAndObserveTransformNodeID(None)
    Path(next(iter(database.values()))).unlink()
    with pytest.raises(RefusalError, match=f"1 of {len(database)} files of the scan are no longer"):
        dicomseries.write(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cancelled_one_leaves_nothing(result, tmp_path):
    steps = []
    with pytest.raises(CancelledError):
        dicomseries.write(result, tmp_path / "out", lambda *step: steps.append(step), lambda: len(steps) > 2)
    assert len(steps) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"scan"}


class TestPanel:
    def test_the_button_asks_writes_and_tells(self, widget, scan, dialog, messages, wait, tmp_path):
        parameters = widget.panel.choosing.parameters
        parameters.inputVolume, parameters.model, parameters.target = scan, "nearest", "x2"
        parameters.compareAfter = False
        app.processEvents()
        widget.ui.applyButton.click()
        wait(results)
        wait(lambda: not widget.ui.dicomButton.isHidden())
        for count, name in ((1, "Scan x2 nearest was"), (2, "Scan x2 nearest 2 was")):
            widget.ui.dicomButton.click()
            assert len(list((tmp_path / "saved").iterdir())) == count
            assert name in messages[-1]
        assert (dialog.value, dialog.closed) == (100, 4)
        assert len(list((tmp_path / "saved").glob("*/*.dcm"))) == 2 * results()[0].GetImageData().GetDimensions()[2]
        dialog.place = ""
        widget.ui.dicomButton.click()
        dialog.place, dialog.wasCanceled = str(tmp_path / "saved"), True
        widget.ui.dicomButton.click()
        assert len(messages) == 2
        assert len(list((tmp_path / "saved").iterdir())) == 2
        dialog.place = str(tmp_path / "nowhere")
        dialog.wasCanceled = False
        widget.ui.dicomButton.click()
        assert "does not exist" in messages[-1]

    def test_of_a_file_there_is_no_series(self, opened, wait):
        opened.ui.applyButton.click()
        wait(results)
        app.processEvents()
        assert opened.ui.dicomButton.isHidden()
