"""What a batch is about, and what its results are called."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hostile.makers_dicom import series
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.batches import bids
from VolumeSuperResolutionLib.commands.batches.finding import Filter, find
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.volumes import files

from batches.small_scans import LINEAR, records, results, scan


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(source, *wanted, out="out") -> list[str]:
    return [one.name for one in find(str(source), Path(out), Filter(*wanted)).scans]


def test_folders_are_searched_deeply_but_not_the_results(here):
    for name in ("in/b.nrrd", "in/x/y/A.NII.GZ", "in/x/c.nhdr", "in/x/d.mhd", "in/.hidden/e.nrrd", "in/out/f.nrrd"):
        scan(here / name)
    (here / "in" / "notes.txt").write_text("no volume")
    (here / "in" / "x" / "._c.nrrd").write_bytes(b"what a Mac leaves")
    assert names("in", out="in/out") == ["b.nrrd", "x/c.nhdr", "x/d.mhd", "x/y/A.NII.GZ"]
    assert main(["batch", "in", "in/out", *LINEAR]) == 0
    for name in ("b.nrrd", "x/c.nhdr", "x/d.mhd", "x/y/A.NII.GZ"):
        assert files.read(here / "in" / "out" / name).volume.grid.size == (16, 16, 16)


def test_filters_take_names_and_leave_folders_out(here):
    for name in ("a_T1.nrrd", "a_T2.nrrd", "old/b_T1.nrrd", "new/c_T1.nrrd"):
        scan(here / "in" / name)
    assert names("in", ["*_T1.nrrd"]) == ["a_T1.nrrd", "new/c_T1.nrrd", "old/b_T1.nrrd"]
    assert names("in", ["*_T1.nrrd"], ["old"]) == ["a_T1.nrrd", "new/c_T1.nrrd"]
    assert names("in", ["new/*"]) == ["new/c_T1.nrrd"]
    with pytest.raises(RefusalError, match="no volumes that are taken"):
        names("in", ["*.mha"])


def test_links_are_followed_and_nothing_is_found_twice(here):
    scan(here / "data" / "a.nrrd")
    (here / "in").mkdir()
    for name, target in {"data": here / "data", "again": here / "data", "loop": here / "in"}.items():
        (here / "in" / name).symlink_to(target)
    (here / "in" / "b.nrrd").symlink_to(
        here / "data" / "a.nrrd"
    )  # a name of its own, as data sets in git-annex have it
    assert names("in") == ["b.nrrd", "again/a.nrrd"]


def test_lists_and_patterns(here):
    for name in ("x/a.nrrd", "x/y/b.nrrd", "z/c.nrrd"):
        scan(here / name)
    (here / "list.txt").write_text("# a comment\nx/a.nrrd\n\nx/../x/a.nrrd\nz/c.nrrd\nz/missing.nrrd\n")
    assert names("list.txt") == ["x/a.nrrd", "z/c.nrrd", "z/missing.nrrd"]
    assert names("x/**/*.nrrd") == ["a.nrrd", "y/b.nrrd"]
    assert names("*/?.nrrd", out="x") == ["c.nrrd"]
    assert main(["batch", "list.txt", "out", *LINEAR]) == 2
    assert {"x/a.nrrd", "z/c.nrrd"} == set(results(here / "out"))
    for source, words in (("nothing", "no folder nothing"), ("x/a.nrrd", "single file"), ("q/*.nrrd", "no volumes")):
        with pytest.raises(RefusalError, match=words):
            names(source)


def test_every_dicom_series_is_a_scan(here):
    series(here)
    (here / "in").mkdir()
    (here / "scan").rename(here / "in" / "one")
    for number in (1, 2, 7):
        series(here, number=number)
    (here / "scan").rename(here / "in" / "three")
    assert names("in") == ["one", "three-1", "three-2", "three-7"]
    assert names("in/one") == ["one"]
    assert names("in", ["three-*"], ["*-2"]) == ["three-1", "three-7"]
    assert main(["batch", "in", "out", "--model", "nearest", "--scale", "1,1,2", "--quiet"]) == 0
    assert set(results(here / "out")) == {"one.nii.gz", "three-1.nii.gz", "three-2.nii.gz", "three-7.nii.gz"}
    assert files.read(here / "out" / "three-7.nii.gz").volume.grid.size == (7, 6, 16)


def test_an_image_in_chunks_is_one_scan_and_not_a_folder_to_be_searched(here):
    pytest.importorskip("zarr")
    for name in ("in/a.nrrd", "in/x/b.ome.zarr", "in/x/c.zarr"):
        scan(here / name)
    assert names("in") == ["a.nrrd", "x/b.ome.zarr", "x/c.zarr"]
    assert names("in/x/*.zarr") == ["b.ome.zarr", "c.zarr"]
    for _ in range(2):
        assert main(["batch", "in", "out", *LINEAR]) == 0
    assert files.read(here / "out" / "x" / "b.ome.zarr").volume.grid.size == (16, 16, 16)
    assert len(records(here / "out")) == 3
    scan(here / "in" / "x" / "c.zarr", seed=5)
    before = files.read(here / "out" / "x" / "c.zarr").volume.array
    assert main(["batch", "in", "out", *LINEAR]) == 0
    assert len(records(here / "out")) == 4
    assert not (files.read(here / "out" / "x" / "c.zarr").volume.array == before).all()


IMAGES = ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-a/anat/sub-02_ses-a_acq-thick_FLAIR.nii.gz")
LEFT = ("sub-01/anat/sub-01_desc-brain_mask.nii.gz", "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz", "sub-01/notes.nrrd")


@pytest.fixture
def data_set(here):
    for name in (*IMAGES, *LEFT, "sub-01/func/sub-01_task-rest_sbref.nii.gz"):
        scan(here / "bids" / name)
    (here / "bids" / bids.DESCRIPTION).write_text(
        '{"Name": "Brains", "BIDSVersion": "1.8.0", "License": "CC0", "DatasetDOI": "doi:10.1/2"}'
    )
    (here / "bids" / "T1w.json").write_text('{"EchoTime": 0.003, "FlipAngle": 9}')
    (here / "bids" / "sub-01" / "anat" / "sub-01_T1w.json").write_text('{"FlipAngle": 8, "SliceThickness": 1}')
    (here / "bids" / "acq-other_T1w.json").write_text('{"EchoTime": 9}')
    return here / "bids"


def test_a_bids_data_set_becomes_a_derivative_of_it(data_set, capsys):
    out = data_set / "derivatives" / "vsr"
    assert names("bids", out=out) == list(IMAGES)
    assert main(["batch", "bids", str(out), *LINEAR]) == 0
    image = out / "sub-01" / "anat" / "sub-01_desc-sr_T1w.nii.gz"
    assert files.read(image).volume.grid.size == (16, 16, 16)
    assert (out / "sub-02/ses-a/anat/sub-02_ses-a_acq-thick_desc-sr_FLAIR.nii.gz").is_file()
    told = json.loads(bids.beside(image).read_text())
    assert (told["EchoTime"], told["FlipAngle"], told["SkullStripped"]) == (0.003, 8, False)
    assert "SliceThickness" not in told
    assert told["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert told["VolumeSuperResolution"]["Request"]["scale"] == [2.0, 2.0, 2.0]
    assert told["VolumeSuperResolution"]["Report"]["model"] == "linear"
    described = json.loads((out / bids.DESCRIPTION).read_text())
    assert described["DatasetType"] == "derivative" and described["License"] == "CC0"
    assert described["GeneratedBy"][0]["Name"] == "VolumeSuperResolution"
    assert described["DatasetLinks"] == {"raw": "../.."}
    written = results(out)
    assert main(["batch", "bids", str(out), *LINEAR]) == 0
    assert results(out) == written and capsys.readouterr().err == ""
    # The results are a data set, too.
    assert names(out, out="further") == [
        name.replace("_T1w", "_desc-sr_T1w").replace("_FL", "_desc-sr_FL") for name in IMAGES
    ]
    assert main(["batch", str(out), "further", *LINEAR, "--include", "sub-01_*"]) == 0
    told = json.loads(Path("further/sub-01/anat/sub-01_desc-srSr_T1w.json").read_text())
    assert told["Sources"] == ["bids:source:sub-01/anat/sub-01_desc-sr_T1w.nii.gz"]


def test_of_a_data_set_other_images_are_taken_where_they_are_named(data_set):
    assert names("bids", ["*_sbref.nii.gz"]) == ["sub-01/func/sub-01_task-rest_sbref.nii.gz"]
    assert names("bids", ["sub-01/*"], ["*_mask*", "func"]) == ["sub-01/anat/sub-01_T1w.nii.gz"]


def test_another_data_set_is_not_written_into(data_set, capsys):
    scan(Path("other/sub-01/anat/sub-01_T1w.nii.gz"))
    Path("other", bids.DESCRIPTION).write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    assert main(["batch", "bids", "other", *LINEAR]) == 2
    assert "holds another data set" in capsys.readouterr().err


def test_sidecars_that_cannot_be_read_are_told(data_set, capsys):
    (data_set / "T1w.json").write_bytes(b"{\xff")
    command = [option for option in LINEAR if option != "--quiet"]
    assert main(["batch", "bids", "out", *command]) == 0
    assert "T1w.json beside the scan cannot be read" in capsys.readouterr().out
    told = json.loads(Path("out/sub-01/anat/sub-01_desc-sr_T1w.json").read_text())
    assert told["FlipAngle"] == 8 and "EchoTime" not in told
    (data_set / bids.DESCRIPTION).write_text("{")
    assert main(["batch", "bids", "out2", *LINEAR]) == 2
    assert "so what this data set is stays unclear" in capsys.readouterr().err


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(here, capsys):
    scan(here / "in" / "a.nrrd")
    scan(here / "in" / "b.nrrd")
    series(here)
    (here / "scan").rename(here / "in" / "dicom")
    assert main(["batch", "in", "out", *LINEAR]) == 0
    os.utime(here / "in" / "b.nrrd", ns=(1, 1))
    (here / "in" / "broken.nrrd").write_bytes(b"no")
    before = results(here)
    assert main(["batch", "in", "out", *LINEAR, "--dry-run"]) == 2
    told = capsys.readouterr().out
    assert "a.nrrd: is done already" in told
    assert "b.nrrd: 8x8x8 at 1 mm -> 16x16x16 at 0.5 mm, 0.00819 MB" in told
    assert "broken.nrrd: " in told and "cannot be read as a volume" in told
    assert "1 to do, 2 done already, 1 that would not be done; up to 0.00819 MB" in told
    assert results(here) == before
    assert main(["batch", "in", "new/folder", *LINEAR, "--dry-run", "--json", "--exclude", "broken*"]) == 0
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == ["a.nrrd", "b.nrrd", "dicom"]
    assert not (here / "new").exists()
