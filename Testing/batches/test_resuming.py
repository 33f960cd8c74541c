"""What was done is not done again, by whomever; what changed is; what was broken off goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from sample_models import model
from VolumeSuperResolutionLib.commands import main, outputs
from VolumeSuperResolutionLib.commands.batches import claims, manifest, work
from VolumeSuperResolutionLib.engine.request import Request

from batches.small_scans import LINEAR, done, records, results, scan, scans

# Another process that takes its time for each scan.
SLOW = """
import sys, time
from VolumeSuperResolutionLib.commands import main
from VolumeSuperResolutionLib.commands.batches import work
def slow(*arguments, real=work.upscaled):
    time.sleep({seconds})
    return real(*arguments)
work.upscaled = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def batch(tmp_path):
    """Three scans, and the command that does them."""
    scans(tmp_path / "in", 3)
    return lambda *more: main(["batch", str(tmp_path / "in"), str(tmp_path / "out"), *LINEAR, *more])


def elsewhere(folder, seconds: float) -> subprocess.Popen:
    """The same batch in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOW.format(seconds=seconds), "batch", str(folder / "in"), str(folder / "out"), *LINEAR],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def wait_for(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def touched(folder) -> None:
    """A clock that jumped: the same bytes, older and newer than they can be."""
    os.utime(folder / "in" / "00.nrrd", ns=(0, 0))
    os.utime(folder / "in" / "01.nrrd", ns=(2**62, 2**62))


@pytest.mark.parametrize(
    ("change", "more", "again"),
    [
        (lambda folder: None, (), []),
        (touched, (), []),
        (lambda folder: scan(folder / "in" / "01.nrrd", 9), (), ["01.nrrd"]),
        (lambda folder: (folder / "out" / "02.nrrd").unlink(), (), ["02.nrrd"]),
        (lambda folder: (folder / "out" / "02.nrrd").write_bytes(b"half"), (), ["02.nrrd"]),
        (lambda folder: None, ("--memory-mb", "100"), []),
        (lambda folder: None, ("--region", "0:8,0:8,0:6"), ["00.nrrd", "01.nrrd", "02.nrrd"]),
        (lambda folder: scan(folder / "in" / "new" / "03.nrrd"), (), ["new/03.nrrd"]),
    ],
    ids=["nothing", "clocks", "a scan", "no result", "half a result", "memory", "the request", "one more"],
)
def test_only_what_changed_is_done_again(batch, tmp_path, change, more, again):
    assert batch() == 0
    change(tmp_path)
    assert batch(*more) == 0
    assert [record["scan"] for record in records(tmp_path / "out")[3:]] == again
    assert batch(*more) == 0
    assert len(records(tmp_path / "out")) == 3 + len(again)


def test_the_manifest_tells_what_was_asked_and_of_what(batch, tmp_path):
    batch()
    record = records(tmp_path / "out")[0]
    assert record["scan"] == "00.nrrd" and record["status"] == "done" and record["seconds"] >= 0
    assert record["request"]["scale"] == [2.0, 2.0, 2.0] and record["models"] == {"linear": ""}
    assert record["input"] == manifest.checksum([tmp_path / "in" / "00.nrrd"])
    assert record["results"] == {"00.nrrd": (tmp_path / "out" / "00.nrrd").stat().st_size}


def test_a_model_with_other_weights_is_another(tmp_path):
    scans(tmp_path / "in", 1)
    for seed in (1, 1, 2):
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
        card = model(tmp_path / "mine", title=f"Model {seed}", **({} if seed == 1 else {"data": other_weights()}))
        command = ["batch", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(card.folder), "--scale", "2"]
        assert main([*command, "--quiet"]) == 0
    assert [record["models"]["mine"] for record in records(tmp_path / "out")][1:] == [card.weights["sha256"]]


def test_a_model_that_is_averaged_with_another_changes_with_its_weights(tmp_path, monkeypatch):
    scans(tmp_path / "in", 1)
    monkeypatch.setenv("VSR_WEIGHTS", str(tmp_path))
    model(tmp_path / "mine", averaged_with="other", share=0.5)
    for data in (None, None, other_weights()):
        other = model(tmp_path / "other", data)
        command = ["batch", str(tmp_path / "in"), str(tmp_path / "out"), "--model", "mine", "--scale", "2", "--quiet"]
        assert main(command) == 0
    assert [record["models"]["other"] for record in records(tmp_path / "out")][1:] == [other.weights["sha256"]]


def test_a_model_that_is_averaged_with_what_is_chosen_changes_with_every_model(tmp_path, monkeypatch):
    monkeypatch.setenv("VSR_WEIGHTS", str(tmp_path))
    card = model(tmp_path / "mine", averaged_with="auto", share=0.5)
    before = manifest.asked(Request("mine"), card)
    assert manifest.asked(Request("mine"), card) == before
    model(tmp_path / "other")
    assert manifest.asked(Request("mine"), card) != before


def other_weights() -> bytes:
    from safetensors.numpy import save
    from sample_models import tensors_of

    return save(tensors_of(seed=5))


def test_failures_are_told_again_and_retried_on_request(batch, tmp_path, capsys):
    broken = tmp_path / "in" / "broken.nrrd"
    broken.write_bytes(b"no")
    for more, attempts in (((), 1), ((), 1), (("--retry",), 2)):
        assert batch(*more) == 2
        assert "1 of 4 volumes were not upscaled: broken.nrrd" in capsys.readouterr().err
        assert [r["scan"] for r in records(tmp_path / "out")].count("broken.nrrd") == attempts
    scan(broken, 7)  # what changed is not waited for to be asked for
    assert batch() == 0
    assert done(tmp_path / "out")[-1] == "broken.nrrd"


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[0] + b"\n" + lines[1] + b"\n" + lines[2][:40],
        lambda lines: b"\xff\xfe\x00 no\n[1]\n3\n{}\n" + b'{"scan": 1, "status": "done"}\n' + lines[1] + b"\n",
        lambda lines: lines[0].replace(b"done", b"eaten") + b"\n" + b"[" * 100_000 + b"\n",
        lambda lines: b"",
        lambda lines: lines[0].replace(b'"results": {', b'"results": [{').replace(b"}}", b"}]}") + b"\n",
    ],
    ids=["cut", "garbage", "odd", "empty", "odd results"],
)
def test_a_damaged_manifest_costs_time_and_nothing_else(batch, tmp_path, damage):
    assert batch() == 0
    written = results(tmp_path / "out")
    path = tmp_path / "out" / manifest.FILE
    path.write_bytes(damage(path.read_bytes().splitlines()))
    work.manifest_of.cache_clear()
    assert batch() == 0
    assert results(tmp_path / "out") == written
    work.manifest_of.cache_clear()
    before = path.read_bytes()
    assert batch() == 0
    assert path.read_bytes() == before  # all is known again


def test_a_killed_run_goes_on(batch, tmp_path):
    process = elsewhere(tmp_path, 0.3)
    try:
        wait_for(lambda: len(records(tmp_path / "out")) == 1 and list((tmp_path / "out" / claims.FOLDER).glob("*")))
    finally:
        process.kill()
        process.wait()
    assert batch() == 0
    assert done(tmp_path / "out") == ["00.nrrd", "01.nrrd", "02.nrrd"] == sorted(results(tmp_path / "out"))
    assert not list((tmp_path / "out").glob(".vsr*"))


def test_two_runs_share_the_scans(tmp_path, monkeypatch):
    scans(tmp_path / "in", 8)
    monkeypatch.setattr("VolumeSuperResolutionLib.commands.batch.PATIENCE_SECONDS", 0.02)
    process = elsewhere(tmp_path, 0.1)
    wait_for(lambda: (tmp_path / "out" / claims.FOLDER).exists())
    monkeypatch.setattr(work, "upscaled", lambda *given, real=work.upscaled: time.sleep(0.1) or real(*given))
    assert main(["batch", str(tmp_path / "in"), str(tmp_path / "out"), *LINEAR]) == 0
    assert process.wait() == 0
    assert done(tmp_path / "out") == sorted(results(tmp_path / "out"))
    assert len(records(tmp_path / "out")) == 8


def test_a_full_disk_ends_the_batch_and_the_next_one_goes_on(batch, tmp_path, monkeypatch, capsys):
    real = outputs.write_together

    def full(volumes, *more):
        if any(path.name == "01.nrrd" for path in volumes):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(volumes, *more)

    monkeypatch.setattr(outputs, "write_together", full)
    assert batch() == 2
    said = capsys.readouterr().err
    assert "01.nrrd: The disk, or your share of it, is full" in said and "2 volumes are left for the next run" in said
    assert done(tmp_path / "out") == ["00.nrrd"] and len(records(tmp_path / "out")) == 1
    monkeypatch.setattr(outputs, "write_together", real)
    assert batch() == 0
    assert done(tmp_path / "out") == sorted(results(tmp_path / "out"))


def test_a_full_disk_cuts_no_line_of_the_manifest(batch, tmp_path, monkeypatch, capsys):
    assert batch() == 0
    path = tmp_path / "out" / manifest.FILE
    before = path.read_bytes()
    scan(tmp_path / "in" / "00.nrrd", 9)
    monkeypatch.setattr(manifest.os, "write", lambda file, line, real=os.write: real(file, line[:30]))
    assert batch() == 2
    assert "is full" in capsys.readouterr().err and path.read_bytes() == before
    monkeypatch.undo()
    assert batch() == 0 and len(records(tmp_path / "out")) == 4


def test_what_was_taken_over_is_not_written(batch, tmp_path, monkeypatch):
    """A process that was stopped for long finds that another one did its scan."""
    batch()
    scan(tmp_path / "in" / "00.nrrd", 9)
    result, real = tmp_path / "out" / "00.nrrd", work.upscaled
    before = result.read_bytes()

    def stopped(*given):
        (mine,) = (tmp_path / "out" / claims.FOLDER).glob("*.0")
        mine.with_suffix(".1").touch()
        return real(*given)

    monkeypatch.setattr(work, "upscaled", stopped)
    monkeypatch.setattr("VolumeSuperResolutionLib.commands.batch.PATIENCE_SECONDS", 0)
    monkeypatch.setattr(claims, "STALE_SECONDS", -1.0)  # the other one is never heard of again

    def go_on(*given, **more):
        monkeypatch.setattr(work, "upscaled", real)
        assert result.read_bytes() == before

    monkeypatch.setattr("VolumeSuperResolutionLib.commands.batch.time.sleep", go_on)
    assert batch() == 0
    assert len(records(tmp_path / "out")) == 4 and result.read_bytes() != before


class Clock:
    """A steady clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(claims.time, "monotonic", clock)
    return clock


def foreign(folder, claim) -> None:
    """Make a claim one of another machine."""
    claim.path.write_text(json.dumps({"machine": "another", "process": 1}))


def test_only_one_can_claim_and_what_is_given_back_is_free(tmp_path):
    one, other = claims.Claims(tmp_path), claims.Claims(tmp_path)
    claim = one.take("a")
    assert claim is not None and one.take("a") is None and one.take("b") is not None
    foreign(tmp_path, claim)
    assert other.take("a") is None
    one.release(claim)
    assert other.take("a") is not None


def test_claims_of_ended_processes_are_taken_over(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    one, other = claims.Claims(tmp_path), claims.Claims(tmp_path)
    claim = one.take("a")
    for process in (gone.pid, os.getpid()):  # the number may have been given again, here to this process
        claim.path.write_text(json.dumps({"machine": outputs.machine(), "process": process}))
        taken = other.take("a")
        assert taken is not None and taken.is_mine() and not claim.is_mine()
        assert other.take("a") is None
        other.release(taken)
        assert list((tmp_path / claims.FOLDER).glob("*")) == []
        claim = one.take("a")


def test_a_claim_of_another_machine_is_left_while_its_file_changes_whatever_the_clocks_say(tmp_path, clock):
    one, other = claims.Claims(tmp_path), claims.Claims(tmp_path)
    claim = one.take("a")
    foreign(tmp_path, claim)
    for time_of_file in (0, 2**61, 5, 10**18):  # clocks jump
        os.utime(claim.path, ns=(time_of_file, time_of_file))
        assert other.take("a") is None
        clock.now += 0.9 * claims.STALE_SECONDS
        assert other.take("a") is None
    clock.now += claims.STALE_SECONDS
    assert other.take("a") is not None


def test_a_claim_that_is_only_being_written_is_left(tmp_path, clock):
    claim = claims.Claims(tmp_path).take("a")
    for content in ("", '{"machine": ', "[]", '{"machine": "x", "process": "y"}'):
        claim.path.write_text(content)
        other = claims.Claims(tmp_path)
        assert other.take("a") is None
        clock.now += 1.1 * claims.STALE_SECONDS
    assert other.take("a") is not None


def test_who_works_shows_that_he_does(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    claim = claims.Claims(tmp_path).take("a")
    with claim:
        os.utime(claim.path, ns=(5, 5))
        wait_for(lambda: claim.path.stat().st_mtime_ns != 5)
    assert not claim.path.exists()
