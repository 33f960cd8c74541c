"""DICOM: one of several series or parts can be picked, and what the files say of the scan is handed on."""

import numpy as np
import pytest
from hostile.makers_dicom import COUNT, SPACING, STUDY, multi_frame, series
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.volumes import elements, files


def two_times(folder):
    series(folder, lambda k, data: setattr(data, "TemporalPositionIdentifier", 1))

    def later(k, data):
        data.TemporalPositionIdentifier = 2
        data.PixelData = (np.frombuffer(data.PixelData, np.int16) + 100).tobytes()

    return series(folder, later, offset=COUNT)


def test_a_series_is_picked_by_its_number_or_uid(tmp_path):
    series(tmp_path)
    folder = series(tmp_path, number=2, count=5)
    assert files.read(folder, "1").volume.grid.size[2] == COUNT
    assert files.read(folder, "2").volume.grid.size[2] == 5
    assert files.read(folder, f"{STUDY}.2").volume.grid.size[2] == 5
    with pytest.raises(RefusalError, match="no series 3; it holds 1, 2"):
        files.read(folder, "3")


def test_a_time_point_is_picked_by_its_place(tmp_path):
    folder = two_times(tmp_path)
    first, second = (files.read(folder, f"1:{part}").volume.array for part in (1, 2))
    assert np.array_equal(first + 100, second)
    with pytest.raises(RefusalError, match="two time points"):
        files.read(folder, "1:3")


def test_what_the_files_say_is_handed_on(tmp_path):
    loaded = files.read(series(tmp_path))
    assert loaded.label_map is False
    assert loaded.metadata["Modality"] == "MR"
    assert float(loaded.metadata["SliceThickness"]) == 2.5
    assert float(loaded.metadata["SpacingBetweenSlices"]) == SPACING
    assert not {"PatientName", "PatientID"} & set(loaded.metadata)


def test_a_file_of_a_series_is_its_slice(tmp_path):
    path = sorted(series(tmp_path).iterdir())[0]
    loaded = files.read(path)
    assert loaded.volume.grid.size == (7, 6, 1)
    assert "single slice" in " ".join(loaded.notes)


def test_everything_that_is_read_is_named(tmp_path):
    folder = series(tmp_path)
    assert files.read_by(folder) == set(folder.iterdir())


def test_a_long_header_is_read_in_a_moment(tmp_path):
    """Frames are looked up once: the work grows with the file and not with its square."""
    path = multi_frame(tmp_path, count=400)
    found = elements.read(path)
    assert len(found.item[0x52009230]) == 400
