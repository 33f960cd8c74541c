"""A run in files that was broken off goes on where it was, with the same bytes; after a change it is another."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import broken_off
import numpy as np
import pytest
from test_larger import TURNED, contents, go_to, put_models, save, texture, vsr
from VolumeSuperResolutionLib.commands import larger, main, outputs
from VolumeSuperResolutionLib.commands.batches import claims
from VolumeSuperResolutionLib.engine import resuming
from VolumeSuperResolutionLib.engine.errors import NotFiniteError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.request import MAPS
from VolumeSuperResolutionLib.engine.storage import JOURNAL, OnDisk
from VolumeSuperResolutionLib.engine.volumes import mapped

STAGES = (
    zoo.Stage("cnnil_inplane", {"factor": 2, "features": 2}, ("k",)),
    zoo.Stage("cnnil_depth", {"factor": 2, "features": 2}, ("j", "i")),
)
POOLED = (zoo.Stage("rcan3d", {"features": 2, "groups": 1, "blocks": 1, "reduction": 2, "factor": 2}),)
SHAPE = (9, 11, 10)
# What is read, what is asked, and where it is killed, as parts of the way.
RUNS = {
    "lanczos": (np.int16, "--model lanczos --scale 2", (0.4,)),
    "step": (np.int16, "--model backprojection --scale 2", (0.5, 0.9)),
    "invented": (np.int16, "--model linear --scale 2 --invented", (0.75,)),
    "network": (np.int16, "--model small --scale 2", (0.5, 0.8)),
    "network-step": (np.float32, "--model small --scale 2 --profile gaussian", (0.65, 0.8, 0.97)),
    "network-turned": (np.int16, "--model turned --scale 2.2", (0.4, 0.8)),
    "network-resampled-rounds": (np.int16, "--model small --scale 2.3,2,1.9 --consistency 2", (0.4, 0.7)),
}
LONG_RUNS = {
    "region": (np.int16, "--model lanczos --scale 2 --region 2:9,3:11,1:8", (0.6,)),
    "network-means": (np.int16, "--model pooled --scale 2", (0.75, 0.9)),
    "network-flips": (np.int16, "--model small --scale 2 --consistency 1 --ensemble", (0.33, 0.72)),
    "network-uncertainty": (np.int16, "--model small --scale 2 --uncertainty --invented", (0.4, 0.7, 0.96)),
    "network-turned-uncertainty": (np.int16, "--model turned --scale 2 --uncertainty", (0.2, 0.6)),
    "slices": (np.int16, "--model slices --scale 2", (0.3, 0.6, 0.8)),
    "slices-flips": (np.int16, "--model slices --scale 2 --ensemble", (0.5,)),
    "average": (np.int16, "--model both --scale 2 --profile gaussian", (0.4, 0.8)),
}
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return put_models(tmp_path_factory.mktemp("models"), pooled=POOLED, slices=STAGES, turned=TURNED)


@pytest.fixture
def here(tmp_path, models, monkeypatch):
    for module, name, value in broken_off.THIN:
        monkeypatch.setattr(module, name, value)
    return go_to(tmp_path / "here", models, monkeypatch)


def command(request, out="out.nrrd", scan="scan.nrrd"):
    return f"upscale {scan} {out} {request} --modality MR --device cpu --on-disk"


@posix
def test_killed_anywhere_it_goes_on_with_the_same_bytes_and_computes_less(here):
    check_going_on(here, RUNS)


@posix
@pytest.mark.hypothesis  # among those that `explore` runs
def test_killed_in_long_runs_too(here, exploring):
    check_going_on(here, LONG_RUNS)


def check_going_on(here, wanted):
    runs = {}
    for name, (dtype, request, points) in wanted.items():
        array = texture(SHAPE) // (200 if dtype == np.uint8 else 1)
        save(here / f"scan-{name}.nrrd", array.astype(dtype))
        runs[name] = f"upscale scan-{name}.nrrd {{}} {request}", points
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    script = [sys.executable, broken_off.__file__]
    told = subprocess.run(script, input=json.dumps(runs), capture_output=True, text=True, env=environment, timeout=300)
    assert not told.returncode, told.stderr
    for name, found in json.loads(told.stdout).items():
        whole, maps = found["whole"], [each for each in MAPS if f"--{each}" in wanted[name][1]]
        assert larger.RESUMED not in whole["warnings"]
        for point, way in found["resumed"].items():
            assert not way["there"] and JOURNAL in way["left"], (name, point)
            assert larger.RESUMED in way["warnings"], (name, point)
            measure = "planes" if whole["planes"] else "looks"
            assert way[measure] < whole[measure], (name, point)
            both = here / f"{name}-{point}.nrrd", here / f"whole-{name}.nrrd"
            for one, other in zip(*(outputs.targets_of(path, maps) for path in both)):
                assert one.read_bytes() == other.read_bytes(), (name, point)
    assert not list(here.glob(".vsr*"))


def broken(monkeypatch, error=KeyboardInterrupt, point=5):
    """The exit status of a run that ends by an error, Ctrl-C for one, at one of its looks."""

    def at(number):
        if number == point:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(resuming, "SECONDS", 0)
        patch.setattr(OnDisk, "watch", broken_off.looking(at))
        return main(command("--model lanczos --scale 2").split())


CHANGES = {
    "nothing": (lambda here: os.utime(here / "scan.nrrd", ns=(1, 1)), "--model lanczos --scale 2", True),
    "memory": (lambda here: None, "--model lanczos --scale 2 --memory-mb 500", True),
    "the scan": (lambda here: save(here / "scan.nrrd", texture(SHAPE)[::-1]), "--model lanczos --scale 2", False),
    "the request": (lambda here: None, "--model lanczos --scale 2,2,2.1", False),
    "the model": (lambda here: None, "--model linear --scale 2", False),
    "a file": (lambda here: next(here.glob(".vsr*/result/*")).write_bytes(b"cut"), "--model lanczos --scale 2", False),
    "the journal": (
        lambda here: next(here.glob(f".vsr*/{JOURNAL}")).write_bytes(b'{"about": 3'),
        "--model lanczos --scale 2",
        False,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_goes_on_only_where_nothing_has_changed(here, capsys, monkeypatch, what):
    change, request, goes_on = CHANGES[what]
    save(here / "scan.nrrd", texture(SHAPE))
    assert broken(monkeypatch) == 130
    kept = here / f"{outputs.UNFINISHED}out.nrrd"
    said = capsys.readouterr().err
    assert f"interrupted. What was finished is kept in {kept.name}" in said and said.count("\n") == 1
    change(here)
    report = vsr(capsys, command(request) + " --json")
    assert (larger.RESUMED in report["warnings"]) == goes_on
    vsr(capsys, command(request, "whole.nrrd") + " --json")
    assert (here / "out.nrrd").read_bytes() == (here / "whole.nrrd").read_bytes()
    assert not list(here.glob(".vsr*"))


def test_another_version_begins_anew(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture(SHAPE))
    broken(monkeypatch)
    monkeypatch.setattr(larger, "__version__", "0.0.1")
    assert larger.RESUMED not in vsr(capsys, command("--model lanczos --scale 2") + " --json")["warnings"]


def test_a_short_run_that_is_interrupted_leaves_nothing(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture(SHAPE))
    before = contents(here)
    with monkeypatch.context() as patch:
        patch.setattr(OnDisk, "watch", broken_off.looking(lambda number: signal.raise_signal(signal.SIGINT)))
        assert main(command("--model lanczos --scale 2").split()) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert contents(here) == before


def test_a_disk_that_gets_full_on_the_way_costs_nothing_that_was_done(here, capsys, monkeypatch):
    """The result of a data step gets its room after the interpolation; another program may have taken that."""
    save(here / "scan.nrrd", texture(SHAPE))
    monkeypatch.setattr(resuming, "SECONDS", 0)

    def full(file, size, real=mapped._set_aside):
        if file.name.endswith("out.nrrd"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, size)

    request = "--model backprojection --scale 2"
    with monkeypatch.context() as patch:
        patch.setattr(mapped, "_set_aside", full)
        assert main(command(request).split()) == 2
    said = capsys.readouterr().err
    assert "no space for a file" in said and "the same command goes on from there" in said and said.count("\n") == 1
    assert not (here / "out.nrrd").exists()
    assert larger.RESUMED in vsr(capsys, command(request) + " --json")["warnings"]
    assert {path.name for path in here.iterdir()} == {"scan.nrrd", "out.nrrd"}


def test_what_would_fail_again_is_not_kept(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture(SHAPE))
    assert broken(monkeypatch, error=NotFiniteError("The result would hold values that are not numbers.")) == 2
    assert capsys.readouterr().err.endswith("not numbers.\n")
    assert {path.name for path in here.iterdir()} == {"scan.nrrd"}


def test_what_may_pass_is_kept(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture(SHAPE))
    assert broken(monkeypatch, error=MemoryError()) == 2
    assert larger.RESUMED in vsr(capsys, command("--model lanczos --scale 2") + " --json")["warnings"]


def test_two_runs_into_one_file_wait_for_each_other(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture(SHAPE))
    first = claims.Claims(here).take("out.nrrd")
    first.path.write_text(json.dumps({"machine": outputs.machine(), "process": os.getppid()}))
    monkeypatch.setattr(larger.time, "sleep", lambda _: claims.Claims(here).release(first))
    assert main((command("--model lanczos --scale 2") + " --quiet").split()) == 0
    assert "Another process writes out.nrrd" in capsys.readouterr().err
    assert {path.name for path in here.iterdir()} == {"scan.nrrd", "out.nrrd"}


def test_what_a_run_can_go_on_with_stays_while_others_are_written(here, capsys, monkeypatch):
    save(here / "scan.nrrd", texture(SHAPE))
    broken(monkeypatch)
    worthless = here / f"{outputs.UNFINISHED}old.nrrd"
    worthless.mkdir()
    os.utime(worthless, (0, 0))
    vsr(capsys, command("--model linear --scale 2", "other.nrrd") + " --json")
    assert not worthless.exists()
    assert larger.RESUMED in vsr(capsys, command("--model lanczos --scale 2") + " --json")["warnings"]
