"""DICOM series that become DICOM series: each in a folder of its own, whole or not at all, and once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hostile.makers_dicom import COUNT, STUDY, multi_frame, series
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.batches import manifest
from VolumeSuperResolutionLib.engine.streaming import memory
from VolumeSuperResolutionLib.engine.volumes import derived, files
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

from batches.small_scans import done, records, results, scan

NEAREST = ("--model", "nearest", "--scale", "1,1,2")
THREE = ("three-1", "three-2", "three-7")


def put(here: Path, name: str, *more) -> Path:
    """A series in the folder in/name; each of `more` is what differs in one of several."""
    (here / "in" / name).parent.mkdir(parents=True, exist_ok=True)
    for each in more or ({},):
        series(here, **each)
    return (here / "scan").rename(here / "in" / name)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Three series in one folder."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "three", {"number": 1}, {"number": 2}, {"number": 7})
    return tmp_path


def batch(*more: str) -> int:
    return main(["batch", "in", "out", *NEAREST, "--dicom", "--quiet", *more])


def folders(out: Path) -> set[str]:
    """Where there are images."""
    return {path.parent.relative_to(out).as_posix() for path in out.rglob("*.dcm")}


def uid(folder: Path) -> str:
    (found,) = {pydicom.dcmread(path).SeriesInstanceUID for path in folder.iterdir()}
    return found


def test_each_becomes_a_series_of_its_study_and_is_not_done_twice(here):
    put(here, "three/below", {"number": 1})  # in a folder that holds slices itself
    multi_frame(here)
    (here / "scan").rename(here / "in" / "frames")
    (here / "list.txt").write_text("in/three\nin/three/below\nin/frames/all.dcm\n")
    assert batch() == 0
    assert main(["batch", "in", "plain", *NEAREST, "--quiet"]) == 0
    names = {"three/below", "frames", *THREE}
    assert folders(here / "out") == {f"{name}-sr" for name in names} and set(done(here / "out")) == names
    for name in names:
        found, plain = (files.read(here / where) for where in (f"out/{name}-sr", f"plain/{name}.nii.gz"))
        assert np.array_equal(found.volume.array, plain.volume.array)
        assert np.allclose(found.volume.grid.center(), plain.volume.grid.center(), atol=1e-3)
        assert pydicom.dcmread(found.images[0].path).StudyInstanceUID == STUDY
    assert len({uid(here / "out" / folder) for folder in folders(here / "out")}) == len(names)
    numbers = {pydicom.dcmread(here / f"out/{name}-sr/00001.dcm").SeriesNumber for name in THREE}
    assert numbers == {101, 102, 107}
    before = results(here / "out")
    assert batch() == 0 and results(here / "out") == before and len(records(here / "out")) == len(names)
    assert not list((here / "out").rglob(".vsr*"))
    assert main(["batch", "list.txt", "listed", *NEAREST, "--dicom", "--quiet"]) == 0
    assert folders(here / "listed") == {f"{name}-sr" for name in ("three/below", "frames/all", *THREE)}


@pytest.mark.hypothesis  # among those that `explore` runs
def test_processes_do_it_too(here, exploring):
    assert batch() == 0
    check_shared(here, "--workers", "2")


def test_the_workers_of_a_cluster_do_it_too(here):
    distributed = pytest.importorskip("distributed")
    assert batch() == 0
    with distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None) as local:
        check_shared(here, "--scheduler", local.scheduler_address)


def check_shared(here, *more):
    """Whoever works, the same series come of it."""
    assert main(["batch", "in", "shared", *NEAREST, "--dicom", "--quiet", *more]) == 0
    assert folders(here / "shared") == folders(here / "out") and len(records(here / "shared")) == 3
    for name in folders(here / "out"):
        one, other = (files.read(here / where / name).volume for where in ("out", "shared"))
        assert np.array_equal(one.array, other.array)


def test_names_never_collide_nor_lead_out_of_the_folder(here):
    """Series of one number and description; without a UID; with a number that is a path."""

    def other(k, data):
        data.SeriesInstanceUID = f"{STUDY}.77"

    def nameless(k, data):
        del data.SeriesInstanceUID

    def way_out(k, data):
        data.SeriesInstanceUID, data.add_new = f"{STUDY}.78", data.add_new(0x00200011, "LO", "../../5")

    put(here, "alike", {}, {"edit": other, "offset": COUNT})
    put(here, "untold", {"number": 2}, {"edit": nameless, "number": 3})
    put(here, "hostile", {"number": 2}, {"edit": way_out, "number": 3})
    assert batch("--exclude", "three*") == 0
    names = {f"alike-{STUDY}.1", f"alike-{STUDY}.77", "untold-2", "untold-3", "hostile-2", "hostile-.._.._5"}
    assert folders(here / "out") == {f"{name}-sr" for name in names}


def test_what_a_series_does_not_say_stops_nothing(here):
    def silent(k, data):
        for name in ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "SeriesDescription", "PatientName"):
            delattr(data, name)
        data.Modality = ""

    put(here, "silent", {"edit": silent})
    put(here, "three/hole", {"edit": lambda k, data: k != 3})
    assert batch("--json") == 2
    assert folders(here / "out") == {"silent-sr", *(f"{name}-sr" for name in THREE)}
    first = pydicom.dcmread(here / "out/silent-sr/00001.dcm")
    assert first.StudyInstanceUID and first.FrameOfReferenceUID and first.SeriesNumber == 101


def test_what_is_no_series_is_left_out_and_counts(here, capsys):
    scan(here / "in" / "a.nrrd")
    assert batch("--dry-run") == 2
    told = capsys.readouterr().out
    assert "x 3 mm -> 7x6x16 at 0.5 x 0.75 x 1.5 mm, as a DICOM series in three-7-sr" in told
    assert "a.nrrd is no DICOM series that another could be derived from; leave out --dicom." in told
    assert "3 to do, 0 done already, 1 that would not be done" in told and not (here / "out").exists()
    assert batch() == 2
    said = capsys.readouterr().err
    assert "a.nrrd is no DICOM series" in said and "1 of 4 volumes were not upscaled: a.nrrd" in said
    assert folders(here / "out") == {f"{name}-sr" for name in THREE}
    assert batch("--dry-run") == 2 and "0 to do, 3 done already" in capsys.readouterr().out
    assert batch("--exclude", "*.nrrd") == 0
    for more, words in (
        (("in", "none", "--include", "*.nrrd"), "None of the scans is a DICOM series"),
        (("in", "in"), "The series would lie among the scans in in"),
    ):
        capsys.readouterr()
        assert main(["batch", *more, *NEAREST, "--dicom"]) == 2
        assert words in capsys.readouterr().err and not (here / "none").exists()


def test_what_changed_takes_the_place_of_the_older_series(here, capsys):
    assert batch() == 0
    older = {name: uid(here / "out" / f"{name}-sr") for name in THREE}
    (here / "out/three-2-sr/00003.dcm").unlink()
    (here / "out/three-7-sr/00001.dcm").write_bytes(b"cut")
    assert batch() == 0 and len(records(here / "out")) == 5
    assert [uid(here / "out" / f"{name}-sr") == older[name] for name in THREE] == [True, False, False]
    assert {len(list((here / "out" / f"{name}-sr").iterdir())) for name in THREE} == {2 * COUNT}
    shutil.rmtree(here / "in" / "three")
    put(here, "three", {"number": 1}, {"number": 2}, {"number": 7, "count": COUNT - 1})
    assert batch() == 0 and len(records(here / "out")) == 8  # the folder is one, whichever of it has changed
    assert len(list((here / "out/three-7-sr").iterdir())) == 2 * COUNT - 2
    assert main(["batch", "in", "out", *NEAREST, "--quiet"]) == 0 and len(records(here / "out")) == 11
    (here / "out/three-1-sr/mine.txt").write_text("mine")
    before = results(here / "out")
    capsys.readouterr()
    assert batch() == 2
    assert "three-1-sr is there already, and not a series that this program made" in capsys.readouterr().err
    assert results(here / "out") == before


def test_a_series_that_is_read_is_not_written_over(here, capsys):
    assert main(["batch", "in", "in/out", *NEAREST, "--dicom", "--quiet"]) == 0
    (here / "list.txt").write_text("in/three\nin/out/three-2-sr\n")
    before = results(here)
    assert main(["batch", "list.txt", "in/out", *NEAREST, "--dicom"]) == 2
    assert "three-2-sr would overwrite what is read" in capsys.readouterr().err
    assert results(here) == before


def test_labels_and_maps_lie_beside_it(here, capsys):
    put(here, "1.2.840.5")
    grid = files.read(here / "in/1.2.840.5").volume.grid
    labels = np.zeros(grid.size[::-1], np.uint8)
    labels[2:6, 1:5, 2:5] = 3
    files.write(Volume(labels, grid), here / "in" / "1.2.840.5_seg.nrrd")
    more = ("--include", "1.2*", "--segmentation", "{}_seg.nrrd", "--invented")
    command = ["batch", "in", "out", "--model", "linear", "--scale", "1,1,2", "--dicom", "--quiet", *more]
    for _ in range(2):
        assert main(command) == 0 and len(records(here / "out")) == 1
    beside = {"1.2.840.5-sr-1.2.840.5_seg.nrrd", "1.2.840.5-sr-invented.nii.gz"}
    assert {path.name for path in (here / "out").iterdir()} == {"1.2.840.5-sr", manifest.FILE, *beside}
    placed = [files.read(here / "out" / name).volume.grid for name in ("1.2.840.5-sr", *beside)]
    assert all(np.allclose(each.center(), placed[0].center(), atol=1e-3) for each in placed)
    assert files.read(here / "out/1.2.840.5-sr-1.2.840.5_seg.nrrd").volume.array.max() == 3
    one = ["upscale", "in/1.2.840.5", "one", "--model", "linear", "--scale", "1,1,2", "--dicom", "--quiet"]
    assert main([*one, "--invented", "--segmentation", "in/1.2.840.5_seg.nrrd"]) == 0
    assert {path.name for path in here.glob("one*")} == {"one", "one-invented.nii.gz", "one-1.2.840.5_seg.nrrd"}


def test_a_full_disk_in_the_middle_leaves_whole_series_only(here, monkeypatch, capsys):
    real, written = os.fsync, []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 2.5 * COUNT + 1:  # of its second series
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(derived.os, "fsync", full)
        assert batch() == 2
    said = capsys.readouterr().err
    assert "cannot be written; check the space" in said and "2 volumes are left for the next run" in said
    assert folders(here / "out") == {"three-1-sr"} and not list((here / "out").rglob(".vsr*"))
    assert batch() == 0 and done(here / "out") == list(THREE)


KILLED = """
import os, signal, sys
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.engine.volumes import derived
made, real = [], derived._check_written
def killed(*given):
    made.append(1)
    if len(made) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*given)
derived._check_written = killed
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_run_leaves_nothing_that_looks_finished_and_goes_on(here):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, "batch", "in", "out", *NEAREST, "--dicom"]
    assert subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode == -9
    seen = {path.relative_to(here / "out").parts[0] for path in (here / "out").rglob("*.dcm")}
    assert {name for name in seen if not name.startswith(".")} == {"three-1-sr"} and len(seen) == 2
    first = uid(here / "out/three-1-sr")
    assert batch() == 0 and uid(here / "out/three-1-sr") == first
    assert folders(here / "out") == {f"{name}-sr" for name in THREE} and len(records(here / "out")) == 3
    assert not list((here / "out").rglob(".vsr*"))


def test_one_that_does_not_fit_into_memory_is_told(here, monkeypatch, capsys):
    monkeypatch.setattr(memory, "_free_bytes", lambda: 1000)
    assert batch() == 2
    assert "leave out --dicom, which only works in memory" in capsys.readouterr().err
    record = json.loads((here / "out" / manifest.FILE).read_text().splitlines()[0])
    assert record["status"] == "failed" and record["request"]["dicom"]
