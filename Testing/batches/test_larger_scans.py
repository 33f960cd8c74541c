"""Scans of a batch that do not fit into memory: in files by themselves, with the same voxels, and gone on with."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from broken_off import THIN, looking
from VolumeSuperResolutionLib.commands import larger, main
from VolumeSuperResolutionLib.commands.batches import manifest, work
from VolumeSuperResolutionLib.engine import resuming
from VolumeSuperResolutionLib.engine.storage import OnDisk
from VolumeSuperResolutionLib.engine.streaming import memory
from VolumeSuperResolutionLib.engine.volumes import files

from batches.small_scans import done, records, results, scan

OPTIONS = ("--model", "backprojection", "--scale", "2", "--json")
NAMES = ("a.nrrd", "b.nii.gz", "c.mhd")


@pytest.fixture
def source(tmp_path):
    for number, name in enumerate(NAMES):
        scan(tmp_path / "in" / name, number, 8 + 4 * number)
    return tmp_path / "in"


@pytest.fixture
def little(monkeypatch):
    """So little memory that only the first of the scans and its result fit."""
    monkeypatch.setattr(memory, "_free_bytes", lambda: 60_000)


def batch(source, out, *more):
    return main(["batch", str(source), str(out), *OPTIONS, *more])


def test_those_that_do_not_fit_are_made_in_files(source, tmp_path, capsys, monkeypatch):
    assert batch(source, tmp_path / "plain") == 0
    capsys.readouterr()
    monkeypatch.setattr(memory, "_free_bytes", lambda: 60_000)
    assert batch(source, tmp_path / "out") == 0
    told = {each["file"]: each["warnings"] for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {name for name, warnings in told.items() if larger.NOTE in warnings} == set(NAMES[1:])
    for name in NAMES:
        one, other = (files.read(tmp_path / folder / name).volume for folder in ("plain", "out"))
        assert np.array_equal(one.array, other.array) and np.allclose(one.grid.origin, other.grid.origin)
    assert done(tmp_path / "out") == sorted(NAMES)
    assert set(results(tmp_path / "out")) == {*NAMES, "c.raw"}
    before = (tmp_path / "out" / manifest.FILE).read_bytes()
    assert batch(source, tmp_path / "out") == 0
    assert (tmp_path / "out" / manifest.FILE).read_bytes() == before


def test_the_share_of_a_worker_decides(source, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_free_bytes", lambda: 300_000)
    asked = []
    monkeypatch.setattr(work, "_on_disk", lambda place, scan, *_: asked.append(scan.name) or 1 / 0)
    assert batch(source, tmp_path / "one") == 0 and not asked
    monkeypatch.setattr(memory, "_sharers", 3)
    batch(source, tmp_path / "three")
    assert asked


def test_an_interrupted_one_goes_on(source, tmp_path, capsys, monkeypatch, little):
    def stop(number):
        if number == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for module, name, value in THIN:
            patch.setattr(module, name, value)
        patch.setattr(resuming, "SECONDS", 0)
        patch.setattr(OnDisk, "watch", looking(stop))
        assert batch(source, tmp_path / "out") == 130
        said = capsys.readouterr().err
        assert "interrupted; 1 of 3 volumes are in" in said
        assert done(tmp_path / "out") == ["a.nrrd"]
        patch.undo()
    with monkeypatch.context() as patch:
        for module, name, value in THIN:
            patch.setattr(module, name, value)
        assert batch(source, tmp_path / "out") == 0
    told = {each["file"]: each["warnings"] for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert larger.RESUMED in told["b.nii.gz"] and larger.RESUMED not in told["c.mhd"]
    assert len(records(tmp_path / "out")) == 3
    assert not list((tmp_path / "out").glob(".vsr*"))


def test_maps_are_made_in_files_too(source, tmp_path, monkeypatch):
    assert batch(source, tmp_path / "plain", "--invented") == 0
    monkeypatch.setattr(memory, "_free_bytes", lambda: 60_000)
    for _ in range(2):
        assert batch(source, tmp_path / "out", "--invented") == 0 and len(records(tmp_path / "out")) == 3
    for name in ("a-invented.nrrd", "b-invented.nii.gz", "c-invented.mhd"):
        one, other = (files.read(tmp_path / folder / name).volume for folder in ("plain", "out"))
        assert np.array_equal(one.array, other.array) and one.array.any()


def test_what_only_works_in_memory_is_refused_with_what_to_leave_out(source, tmp_path, capsys, little):
    shutil.copytree(source, tmp_path / "labels")
    assert batch(source, tmp_path / "out", "--segmentation", "../labels/{}.[nm]*") == 2
    said = capsys.readouterr().err
    assert "leave out --segmentation, which only works in memory" in said and "2 of 3 volumes were not upscaled" in said
