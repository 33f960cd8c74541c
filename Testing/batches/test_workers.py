"""Several processes on one machine: the same results as with one, and what becomes of those that are ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys

import pytest
from hostile.makers_dicom import series
from sample_models import model
from VolumeSuperResolutionLib.commands import batch, main
from VolumeSuperResolutionLib.commands.batches import line, manifest, pool
from VolumeSuperResolutionLib.commands.batches.finding import Scan
from VolumeSuperResolutionLib.commands.batches.work import Place
from VolumeSuperResolutionLib.engine.request import Request

from batches import other_workers
from batches.small_scans import LINEAR, done, records, results, scan, scans

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.mark.hypothesis  # among those that `explore` runs
def test_two_processes_with_a_network_give_the_bytes_of_one(tmp_path, capsys, exploring):
    source = scans(tmp_path / "in", 4)
    (source / "broken.nrrd").write_bytes(b"no")
    options = ["--model", str(model(tmp_path / "mine").folder), "--scale", "2", "--device", "cpu", "--json"]
    told = {}
    for count in ("1", "2"):
        assert main(["batch", str(source), str(tmp_path / count), *options, "--workers", count]) == 2
        told[count], said = capsys.readouterr()
        assert "broken.nrrd" in said and "1 of 5 volumes were not upscaled" in said
    assert results(tmp_path / "1") == results(tmp_path / "2") and len(results(tmp_path / "1")) == 4
    assert done(tmp_path / "1") == done(tmp_path / "2")
    for text in told.values():
        assert sorted(json.loads(report)["file"] for report in text.splitlines()) == done(tmp_path / "1")


@posix
def test_a_process_that_is_ended_costs_its_scan_only(tmp_path, monkeypatch, capsys):
    source, out, alone = scans(tmp_path / "in", 4), tmp_path / "out", tmp_path / "alone"
    command = ["batch", str(source), str(out), *LINEAR, "--workers", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(pool, "_serve", other_workers.dying)
        assert main(command) == 2
    said = capsys.readouterr().err
    assert "01.nrrd: The process that worked on it was ended (status -9)" in said
    assert done(out) == ["00.nrrd", "02.nrrd", "03.nrrd"]
    assert main(command) == 2  # nothing is left to do
    assert "--retry tries again what failed before" in capsys.readouterr().err
    assert main([*command, "--retry"]) == 0
    assert main(["batch", str(source), str(alone), *LINEAR]) == 0
    assert results(out) == results(alone) and len(results(alone)) == 4


def test_an_interrupted_batch_ends_its_processes(tmp_path, monkeypatch, capsys):
    source, out = scans(tmp_path / "in", 5), tmp_path / "out"
    ended = line.Line.ended

    def interrupted(self, *arguments):
        ended(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(line.Line, "ended", interrupted)
    assert main(["batch", str(source), str(out), *LINEAR, "--workers", "2"]) == 130
    assert "interrupted; 1 of 5 volumes are in" in capsys.readouterr().err
    assert multiprocessing.active_children() == []
    monkeypatch.undo()
    assert main(["batch", str(source), str(out), *LINEAR]) == 0
    assert done(out) == sorted(results(out)) and len(records(out)) == 5


def test_what_would_be_refused_of_each_is_refused_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pool, "_serve", other_workers.refusing)
    source, out = scans(tmp_path / "in", 3), tmp_path / "out"
    assert main(["batch", str(source), str(out), *LINEAR, "--workers", "2"]) == 2
    assert capsys.readouterr().err == "vsr: The weights are damaged; install the model again.\n"
    assert multiprocessing.active_children() == [] and not out.exists()


def test_several_begin_with_the_largest(tmp_path, monkeypatch):
    class InTurn(pool.Alone):
        def __init__(self, place, count, gpus, tell):
            super().__init__(place, tell)

    monkeypatch.setattr(batch, "Pool", InTurn)
    for number, size in enumerate((8, 14, 10)):
        scan(tmp_path / "in" / f"{number}.nhdr", number, size)
    series(tmp_path / "in", count=3)
    for workers, names in (
        ("1", ["0.nhdr", "1.nhdr", "2.nhdr", "scan"]),
        ("2", ["1.nhdr", "scan", "2.nhdr", "0.nhdr"]),
    ):
        out = tmp_path / workers
        assert main(["batch", str(tmp_path / "in"), str(out), *LINEAR, "--workers", workers]) == 0
        assert [record["scan"] for record in records(out)] == names


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files that Linux has")
def test_gpus_are_asked_for_only_where_some_may_be(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(batch, "GPU_SIGNS", (str(tmp_path / "nvidia*"),))
    request = Request("fsrcnn3d-x2")
    assert batch._gpus(request) == 0
    (tmp_path / "nvidia0").touch()
    assert batch._gpus(request) == 3 and batch._gpus(Request("fsrcnn3d-x2", device="cpu")) == 0


@pytest.mark.hypothesis  # among those that `explore` runs
def test_each_process_gets_its_share(tmp_path, monkeypatch, exploring):
    monkeypatch.setattr(pool, "_serve", other_workers.telling)
    monkeypatch.setattr(pool, "_cores", lambda: 6)
    monkeypatch.setenv(pool.GPUS, "4,7")
    before = dict(os.environ)
    place = Place(tmp_path, tmp_path, Request("linear", isotropic=True), manifest.Asked({}, {}))
    hands = pool.Pool(place, 2, 2, lambda scan, part: None)
    try:
        outcomes = list(hands.outcomes([Scan(tmp_path, name, name) for name in "ab"]))
    finally:
        hands.close(at_once=False)
    told = [json.loads(outcome.sentence) for outcome in outcomes]
    assert sorted(each.pop(pool.GPUS) for each in told) == ["4", "7"]
    assert told == [{**dict.fromkeys(pool.THREADS, "3"), "sharers": 2}] * 2
    assert dict(os.environ) == before


def test_the_line_says_how_far_it_is_what_failed_and_how_long_it_takes():
    scan = Scan(None, "a", "a")
    shown = line.Line(4)
    assert shown.text(0) == f"[{'':30}] 0 of 4"
    shown.ended(scan, False)
    shown.part(scan, 0.5)
    shown.ended(scan, True)
    shown.part(scan, 0.5)
    assert shown.text(100) == f"[{'=' * 18:30}] 2 of 4, 1 failed, 60 s left"
    assert [line.duration(s) for s in (7, 600, 9000)] == ["7 s", "10 min", "2.5 h"]
