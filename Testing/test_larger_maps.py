"""Maps larger than memory: in files voxel for voxel as in memory, beside their result, whole or not at all."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
from sample_models import interval_table
from test_larger import contents, go_to, put_models, save, texture, vsr
from VolumeSuperResolutionLib.commands import main, outputs
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.request import MAPS
from VolumeSuperResolutionLib.engine.volumes import files, mapped

# What is read, what is asked, and what is written.
RUNS = {
    "interval": ("scan.nrrd", texture(), "--model lanczos --scale 2 --interval", "out.nii.gz"),
    "invented": ("scan.nhdr", texture(), "--model backprojection --scale 2 --invented", "out.nhdr"),
    "both": ("scan.nrrd", texture(), "--model lanczos --scale 2 --interval --invented", "out.mha"),
    "far from zero": (
        "scan.nrrd",
        texture(dtype=np.float64) + 1e9,
        "--model lanczos --scale 2 --region 2:9,0:15,1:9 --invented",
        "out.mhd",
    ),
    "uncertainty": ("scan.nrrd", texture(), "--model small --scale 2 --uncertainty", "out.nrrd"),
    "uncertainty in float": (
        "scan.nrrd",
        texture(dtype=np.float32),
        "--model small --scale 2.3,2,1.9 --uncertainty --ensemble --invented --region 2:9,3:14,1:12",
        "out.mha",
    ),
    "certainty": ("scan.nrrd", np.full((6, 7, 8), 7, np.int16), "--model small --scale 2 --uncertainty", "o.nii"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return put_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def here(tmp_path, models, monkeypatch):
    path = tmp_path / "intervals.json"
    path.write_text(json.dumps({"lanczos": [vars(interval_table())]}))
    monkeypatch.setattr(zoo, "INTERVALS_FILE", path)
    return go_to(tmp_path / "here", models, monkeypatch)


@pytest.mark.parametrize("what", RUNS)
def test_in_files_every_voxel_is_that_of_memory(here, capsys, what):
    name, array, request, out = RUNS[what]
    save(here / name, array, Project="x")
    command = f"upscale {name} %s {request} --modality MR --device cpu --json"
    reports = [vsr(capsys, command % "plain.nrrd"), vsr(capsys, command % f"{out} --on-disk")]
    maps = [each for each in MAPS if f"--{each}" in request]
    targets = outputs.targets_of(here / out, maps)
    for one, other in zip(outputs.targets_of(here / "plain.nrrd", maps), targets):
        plain, found = files.read(one).volume, files.read(other).volume
        assert np.array_equal(plain.array, found.array) and plain.array.dtype == found.array.dtype
        assert np.allclose(plain.grid.center(), found.grid.center(), atol=1e-4)
    for report in reports:
        del report["seconds"], report["peak_memory_mb"]
    assert reports[0] == reports[1]
    left = {path for path in here.iterdir() if not path.name.startswith(("scan.", "plain"))}
    assert left == {*targets, *(each.with_suffix(".raw") for each in targets if each.suffix in (".nhdr", ".mhd"))}


@pytest.mark.parametrize("full", ["out.nrrd", "out-invented.nrrd"])
def test_without_room_for_one_of_them_none_is_written(here, capsys, monkeypatch, full):
    save(here / "scan.nrrd", texture())
    before = contents(here)

    def set_aside(file, size, real=mapped._set_aside):
        if file.name.endswith(full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, size)

    monkeypatch.setattr(mapped, "_set_aside", set_aside)
    assert (
        main(["upscale", "scan.nrrd", "out.nrrd", "--model", "lanczos", "--scale", "2", "--invented", "--on-disk"]) == 2
    )
    said = capsys.readouterr().err
    assert "There is no space for a file" in said and said.count("\n") == 1
    assert contents(here) == before


def test_a_map_is_not_written_over_what_is_read(here, capsys):
    save(here / "a-invented.nrrd", texture())
    before = contents(here)
    command = "upscale a-invented.nrrd a.nrrd --model lanczos --scale 2 --invented --on-disk"
    assert main(command.split()) == 2
    assert "would overwrite what is read" in capsys.readouterr().err and contents(here) == before
