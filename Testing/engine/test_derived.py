"""Results as DICOM series: read again they are where and what the result was, and pydicom finds what it wants."""

from __future__ import annotations

import json
import math

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hostile.makers_dicom import COUNT, ROWS, STUDY, multi_frame, series
from hypothesis import given, settings
from hypothesis import strategies as st
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.volumes import derived, files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

SAID = derived.Derivation("super-resolution (tested)", "Made for a test.", "1.2.3")


def patient(number, data):
    """A scan with a name that is not English, and what a radiologist's worklist needs."""
    data.SpecificCharacterSet = "ISO_IR 100"
    data.PatientName, data.PatientID, data.PatientSex = "Möller^Anna", "4711", "F"
    data.StudyDate, data.StudyTime, data.AccessionNumber = "20260102", "101112", "A1"
    data.PatientPosition, data.ScanningSequence, data.SequenceVariant = "HFS", "SE", "SK"


def written(folder, volume, source):
    derived.write(volume, folder, files.read(source).images, SAID)
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def upscaled(source, factor=2):
    volume = files.read(source).volume
    array = np.repeat(np.repeat(np.repeat(volume.array, factor, 0), factor, 1), factor, 2)
    return Volume(array, volume.grid.refined(array.shape[::-1]))


def test_read_again_it_is_the_result(tmp_path):
    source = series(tmp_path, patient)
    volume = upscaled(source)
    written(tmp_path / "out", volume, source)
    again = files.read(tmp_path / "out")
    assert np.array_equal(again.volume.array, volume.array)
    assert again.volume.array.dtype == volume.array.dtype
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.array)
    for corner in ((0, 0, 0), (3, 2, 5), tuple(n - 1 for n in volume.grid.size)):
        assert np.allclose(image.TransformIndexToPhysicalPoint(corner), volume.grid.to_physical(corner), atol=1e-6)


def test_whose_it_is_and_what_was_made_of_it(tmp_path):
    source = series(tmp_path, patient)
    slices = written(tmp_path / "out", upscaled(source), source)
    scan = pydicom.dcmread(next(source.iterdir()))
    first = slices[0]
    for keyword in ("PatientName", "PatientID", "PatientSex", "StudyDate", "AccessionNumber", "StudyInstanceUID"):
        assert first[keyword].value == scan[keyword].value
    for keyword in ("FrameOfReferenceUID", "SOPClassUID", "PatientPosition", "ScanningSequence", "Modality"):
        assert first[keyword].value == scan[keyword].value
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "M"]
    assert {data.SeriesInstanceUID for data in slices} == {first.SeriesInstanceUID} != {scan.SeriesInstanceUID}
    assert len({data.SOPInstanceUID for data in slices}) == len(slices) == 2 * COUNT
    assert [data.InstanceNumber for data in slices] == list(range(1, len(slices) + 1))
    assert first.SeriesNumber == 101
    assert first.SeriesDescription == "series 1 super-resolution (tested)"
    assert (first.DerivationDescription, first.SoftwareVersions) == ("Made for a test.", "1.2.3")
    assert first.SliceThickness == first.SpacingBetweenSlices == 1.5
    assert list(first.PixelSpacing) == [0.375, 0.25]
    sources = {item.ReferencedSOPInstanceUID for item in first.SourceImageSequence}
    assert sources == {f"{STUDY}.1.{n + 1}" for n in range(COUNT)}


def test_every_value_is_one_that_dicom_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    source = series(tmp_path, patient)
    for data in written(tmp_path / "out", upscaled(source), source):
        for element in data.iterall():
            assert element.value is not None or element.VM == 0
        assert all(math.isfinite(value) for value in data.ImagePositionPatient)


def test_a_multi_frame_scan_becomes_slices(tmp_path):
    source = multi_frame(tmp_path)
    volume = upscaled(source)
    slices = written(tmp_path / "out", volume, source)
    assert len(slices) == volume.grid.size[2]
    assert len(slices[0].SourceImageSequence) == 1
    assert np.array_equal(files.read(tmp_path / "out").volume.array, volume.array)


@pytest.mark.parametrize("modality, kind", [("CT", "1.1.2"), ("MR", "1.1.4"), ("XA", "1.1.7")])
def test_the_kind_of_image_is_the_modality_s(tmp_path, modality, kind):
    source = series(tmp_path, lambda number, data: setattr(data, "Modality", modality))
    first = written(tmp_path / "out", upscaled(source), source)[0]
    assert first.SOPClassUID == first.file_meta.MediaStorageSOPClassUID == f"1.2.840.10008.5.1.4.{kind}"
    assert first.get("RescaleType") == ("HU" if modality == "CT" else None)


def rescaled(slope, intercept):
    def edit(number, data):
        data.RescaleSlope, data.RescaleIntercept = slope, intercept

    return edit


def test_the_scan_s_scaling_is_kept_where_the_result_fits(tmp_path):
    source = series(tmp_path, rescaled(0.5, -100))
    volume = upscaled(source)
    first = written(tmp_path / "out", volume, source)[0]
    assert (first.RescaleSlope, first.RescaleIntercept) == (0.5, -100)
    assert np.array_equal(files.read(tmp_path / "out").volume.array, volume.array)


@settings(max_examples=25)
@given(
    low=st.floats(-1e6, 1e6),
    span=st.sampled_from([0.0, 1e-6, 1.0, 1e3, 1e7]),
    direction=st.sampled_from([-1.0, 1.0]),
    turn=st.floats(0, 3.1),
)
def test_any_values_and_any_turn(tmp_path_factory, low, span, direction, turn):
    folder = tmp_path_factory.mktemp("derived")
    source = series(folder)
    array = (low + span * np.linspace(0, 1, 24)).reshape(2, 3, 4)
    c, s = math.cos(turn), math.sin(turn)
    # The slices may run with or against the normal of their rows and columns.
    axes = (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, direction)
    volume = Volume(array, Grid((4, 3, 2), (0.7, 1.1, 2.3), (-90.5, 1e3, 7.0), axes))
    written(folder / "out", volume, source)
    again = files.read(folder / "out").volume
    planes = again.array if direction > 0 else again.array[::-1]
    # Half a step of as many as there are, or of the scan's, which is 1; and the digits that its first value may have.
    step = max(span / 65534, 1.0 if span == 1e3 else 0.0)
    assert np.abs(planes - array).max() <= 0.51 * step + 1e-8 * abs(low)
    assert np.allclose(again.grid.center(), volume.grid.center(), atol=1e-5)


def test_nothing_is_written_where_something_is(tmp_path):
    source = series(tmp_path)
    volume = upscaled(source)
    (tmp_path / "out").mkdir()
    written(tmp_path / "out", volume, source)  # an empty folder is as good as none
    before = sorted((tmp_path / "out").iterdir())
    with pytest.raises(RefusalError, match="not an empty folder"):
        written(tmp_path / "out", volume, source)
    with pytest.raises(RefusalError, match="does not exist"):
        written(tmp_path / "nowhere" / "out", volume, source)
    assert sorted((tmp_path / "out").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scan"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    source = series(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(derived.os, "fsync", full)
    with pytest.raises(RefusalError, match="cannot be written; check the space"):
        written(tmp_path / "out", upscaled(source), source)
    assert [path.name for path in tmp_path.iterdir()] == ["scan"]


def test_the_command_writes_a_series(tmp_path, capsys):
    source = series(tmp_path, patient)
    arguments = ["upscale", str(source), str(tmp_path / "out"), "--model", "linear", "--isotropic", "--dicom"]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    first = pydicom.dcmread(sorted((tmp_path / "out").iterdir())[0])
    assert list(files.read(tmp_path / "out").volume.grid.size) == report["output_size"]
    assert first.Rows == round(ROWS * 0.75 / 0.5)
    assert "linear" in first.DerivationDescription and "not for diagnosis" in first.DerivationDescription
    assert main(arguments) == 2
