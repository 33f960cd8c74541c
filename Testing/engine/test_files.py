"""Files: what is written is read again as it was, what flips in a header ends in a volume or a refusal."""

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hostile.makers import scan
from hostile.makers_dicom import multi_frame, series
from hostile.makers_files import META, NRRD, PLACED, RAW, nifti_two, noise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_grid import grids
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.volumes import files, itk, writing
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

# Images in chunks are folders, and have tests of their own.
ENDINGS = sorted(set(writing.ENDINGS) - {".zarr"})
TYPES = [np.dtype(code) for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")]
# A file that promises more than this many voxels and holds them not must be refused before they are allocated.
LARGEST = 10_000_000
GRID = Grid(noise().shape[::-1])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids(), st.sampled_from(TYPES), st.sampled_from(ENDINGS))
def test_what_is_written_is_read_again_and_as_simpleitk_reads_it(tmp_path, grid, dtype, ending):
    array = noise(grid.size[::-1], dtype, 120)
    # A name for each ending: for x.nii.gz beside an x.nii, ITK takes the voxels of the latter.
    path = tmp_path / f"x{ENDINGS.index(ending)}{ending}"
    files.write(Volume(array, grid), path)
    again = files.read(path).volume
    image = sitk.ReadImage(str(path))
    assert again.array.dtype == dtype
    assert np.array_equal(again.array, array)
    assert np.array_equal(sitk.GetArrayFromImage(image).reshape(array.shape), array)
    size = np.array(grid.size)
    for part in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.3, 0.6, 0.9)):
        index = (np.array(part) * (size - 1)).tolist()
        there = image.TransformContinuousIndexToPhysicalPoint(index)
        assert np.allclose(again.grid.to_physical(index), there, rtol=0, atol=1e-3)
        assert np.allclose(grid.to_physical(index), there, rtol=0, atol=1e-3)


def start_of(maker, name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    maker(folder)
    path = folder / name
    return (next(path.iterdir()) if path.is_dir() else path).read_bytes()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound files by name, and how much of each is its header."""
    return {
        "a.nii": (start_of(lambda folder: scan(folder, "a.nii"), "a.nii", tmp_path_factory), 352),
        "b.nii": (start_of(nifti_two(), "scan.nii", tmp_path_factory), 544),
        "c.nii.gz": (start_of(lambda folder: scan(folder, "a.nii.gz"), "a.nii.gz", tmp_path_factory), 400),
        "d.nrrd": ((NRRD + PLACED + "\n").encode() + RAW, len(NRRD + PLACED)),
        "e.mha": ((META + "ElementDataFile = LOCAL\n").encode() + RAW, len(META) + 24),
        "f.dcm": (start_of(lambda folder: series(folder, count=1), "scan", tmp_path_factory), 1200),
        "g.dcm": (start_of(multi_frame, "scan", tmp_path_factory), 2600),
    }


@pytest.mark.parametrize("name", ["a.nii", "b.nii", "c.nii.gz", "d.nrrd", "e.mha", "f.dcm", "g.dcm"])
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_end_in_a_volume_or_a_refusal(sound, tmp_path, name, data):
    whole, header = sound[name]
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, min(header, len(whole)) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(whole) - 1)) :]
    (tmp_path / name).write_bytes(changed)
    try:
        volume = files.read(tmp_path / name).volume
    except RefusalError as refusal:
        assert "\n" not in str(refusal)
        return
    assert volume.array.size <= LARGEST
    assert volume.array.shape == volume.grid.size[::-1]


def test_nothing_is_allocated_for_what_is_not_there(tmp_path):
    """A packed file may not hold much more than it can: 30 GB are promised, in 30 KB."""
    scan(tmp_path, "a.nii.gz", np.zeros((40, 60, 60), np.int16))
    path = tmp_path / "a.nii.gz"
    head = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<3h", head, 42, 3000, 3000, 2000)
    path.write_bytes(gzip.compress(bytes(head)))
    tracemalloc.start()
    try:
        with pytest.raises(RefusalError, match="cut off"):
            files.read(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_writing_names_is_what_it_writes(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    files.write(Volume(noise(), GRID), path)
    assert files.written_by(path) == set(tmp_path.iterdir())
    assert files.read_by(path) == files.written_by(path)


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_a_pair_that_cannot_be_put_in_place_leaves_the_older_pair(tmp_path, monkeypatch, ending):
    path = tmp_path / f"x{ending}"
    files.write(Volume(noise(), GRID), path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if Path(target) == path and Path(source).name == path.name:
            raise OSError("no more")
        replace(source, target)

    monkeypatch.setattr(writing.os, "replace", failing)
    with pytest.raises(RefusalError, match="cannot be written"):
        files.write(Volume(noise() + 1, GRID), path)
    assert len(calls) > 2
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_simpleitk_writes_nothing_to_the_error_channel(tmp_path, capfd):
    with itk.quiet(), pytest.raises(RuntimeError):
        (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\nno")
        sitk.ReadImage(str(tmp_path / "a.nrrd"))
    with itk.quiet():
        os.write(2, b"from C++")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
