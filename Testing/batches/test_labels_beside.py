"""Segmentations beside the scans of a batch: found, carried along, and a reason to do a scan again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.batches import bids
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

from batches.small_scans import LINEAR, done, records, results, scan


def labels(path: Path, size: int = 8, value: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((size,) * 3, np.uint8)
    array[2:6, 2:6, 2:6] = value
    files.write(Volume(array, Grid((size,) * 3)), path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "x/b", "x/c"):
        scan(tmp_path / "in" / f"{name}.nii.gz")
    labels(tmp_path / "in" / "a_seg.nii.gz")
    labels(tmp_path / "in" / "x" / "b_seg.nii.gz", value=5)
    return tmp_path


def batch(*more):
    return main(["batch", "in", "out", *LINEAR, *more])


def test_they_are_carried_along_and_are_no_scans(here, capsys):
    assert batch("--segmentation", "{}_seg.nii.gz") == 0
    assert "1 of 3 scans have no segmentation beside them" in capsys.readouterr().err
    assert done(here / "out") == ["a.nii.gz", "x/b.nii.gz", "x/c.nii.gz"]
    carried = {"a-a_seg.nii.gz": 3, "x/b-b_seg.nii.gz": 5}
    assert set(results(here / "out")) == {*done(here / "out"), *carried}
    for name, value in carried.items():
        volume = files.read(here / "out" / name).volume
        assert volume.grid.size == (16, 16, 16) and set(np.unique(volume.array)) == {0, value}
        assert np.count_nonzero(volume.array) == pytest.approx(8 * 64, rel=0.1)


def test_what_changes_in_them_is_carried_again(here):
    options = ("--segmentation", "{}_seg.nii.gz")
    assert batch(*options) == batch(*options) == 0 and len(records(here / "out")) == 3
    labels(here / "in" / "x" / "c_seg.nii.gz", value=7)
    labels(here / "in" / "a_seg.nii.gz", value=9)
    (here / "out" / "x" / "b-b_seg.nii.gz").unlink()
    assert batch(*options) == 0 and len(records(here / "out")) == 6
    assert files.read(here / "out" / "x" / "c-c_seg.nii.gz").volume.array.max() == 7
    assert batch("--exclude", "*_seg.nii.gz") == 0 and len(records(here / "out")) == 9  # and without any


def test_in_a_data_set_they_keep_their_entities(here):
    image = "sub-01/ses-1/anat/sub-01_ses-1_acq-a_T1w.nii.gz"
    scan(here / "in" / image)
    labels(here / "in" / "sub-01/ses-1/anat/sub-01_ses-1_acq-a_dseg.nii.gz")
    labels(here / "in" / "derivatives/fs/sub-01_ses-1_acq-a_desc-aseg_dseg.nii.gz", value=4)
    (here / "in" / bids.DESCRIPTION).write_text('{"Name": "Brains", "BIDSVersion": "1.8.0"}')
    patterns = ("{}_dseg.nii.gz", "../../../derivatives/fs/{}_*.nii.gz")
    assert batch(*(word for pattern in patterns for word in ("--segmentation", pattern))) == 0
    folder = here / "out" / "sub-01" / "ses-1" / "anat"
    for name, value in (("desc-sr", 3), ("desc-asegSr", 4)):
        target = folder / f"sub-01_ses-1_acq-a_{name}_dseg.nii.gz"
        assert files.read(target).volume.array.max() == value
        told = json.loads(bids.beside(target).read_text())
        assert told["Sources"][1] == f"bids:raw:{image}" and told["Sources"][0].endswith("_dseg.nii.gz")
    assert (folder / "sub-01_ses-1_acq-a_desc-sr_T1w.nii.gz").is_file()


def test_one_on_another_grid_costs_its_scan_only(here, capsys):
    labels(here / "in" / "a_seg.nii.gz", size=9)
    files.write(Volume(np.zeros((8,) * 3, np.uint8), Grid((8,) * 3, (2.0, 1.0, 1.0))), here / "in" / "a_seg.nii.gz")
    assert batch("--segmentation", "{}_seg.nii.gz") == 2
    assert "lies on another grid than the scan" in capsys.readouterr().err
    assert done(here / "out") == ["x/b.nii.gz", "x/c.nii.gz"]


def test_a_pattern_that_fits_nowhere_is_told(here, capsys):
    assert batch("--segmentation", "{}_labels.nii.gz") == 2
    assert "No file beside a scan fits {}_labels.nii.gz" in capsys.readouterr().err
    assert not (here / "out").exists()
