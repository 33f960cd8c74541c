"""How the child process ends: deaf, crashed, behind a launcher or with the application, it leaves nothing behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import qt
import scenes
import slicer
from scenes import LINEAR, SLOW, alive, cancelled, filesOf, volumeOf
from VolumeSuperResolutionLib.application import child, engine_process
from VolumeSuperResolutionLib.application import worker as subject

LIBRARY = Path(subject.__file__).resolve().parents[2]
SCRIPT = Path(engine_process.__file__)
posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")


@posix
def test_a_child_that_does_not_listen_is_killed(worker, wait):
    job = worker.start([volumeOf(128, 128, 128)], SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    deaf = worker._child.pid
    os.kill(deaf, signal.SIGSTOP)
    cancelled(job, outcome, wait)
    wait(lambda: not alive(deaf))
    assert not filesOf(worker)
    again = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: again)
    again.only("finished")
    assert worker._child.pid != deaf


@posix
def test_a_crash_is_told_in_a_sentence_and_the_next_run_works(worker, wait):
    outcome = scenes.Outcome(worker.start([volumeOf(128, 128, 128)], SLOW))
    wait(lambda: outcome.progress, 60)
    os.kill(worker._child.pid, signal.SIGKILL)
    wait(lambda: outcome)
    assert "ended unexpectedly" in outcome.only("failed")
    assert not filesOf(worker)
    again = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: again)
    again.only("finished")


def test_stopping_the_worker_cancels_its_run(worker, wait):
    job = worker.start([volumeOf(128, 128, 128)], SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    worker.stop()
    outcome.only("cancelled")
    assert not job.running


def test_the_end_of_the_application_is_the_childs(wait, monkeypatch):
    """Also where no panel was ever opened, as in a script: a QProcess that outlives Qt brings Slicer down."""
    monkeypatch.setattr(subject.Worker, "_shared", None)
    worker = subject.Worker.shared()
    outcome = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: outcome)
    process, pid, folder = worker._child._process, worker._child.pid, worker._folder
    slicer.app.aboutToQuit.emit()
    assert process.state() == qt.QProcess.NotRunning
    assert not folder.exists()
    wait(lambda: not alive(pid))  # what started it takes a moment to notice


@pytest.fixture
def launcher(fresh, monkeypatch, tmp_path):
    """As in Slicer, where sys.executable is a launcher that has the real Python as its child."""
    script = tmp_path / "PythonSlicer"
    script.write_text(f'#!/bin/sh\n"{child.interpreter()}" "$@"\nexit $?\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return fresh


def slowRun(worker, wait):
    """A job in its middle, its outcome, and the ids of the launcher and of the real process."""
    job = worker.start([volumeOf(128, 128, 128)], SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    pids = worker._child._process.processId(), worker._child.pid
    assert pids[0] != pids[1]
    return job, outcome, pids


@posix
def test_on_windows_the_python_behind_the_launcher_is_started(launcher, wait):
    """There the launcher may not hand on what is written to it: here it hears nothing at all."""
    hearing = Path(sys.executable)
    hearing.rename(hearing.with_name("python-real.exe"))
    hearing.write_text("#!/bin/sh\nexec sleep 60\n")
    hearing.chmod(0o755)
    outcome = scenes.Outcome(launcher.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: outcome)
    outcome.only("finished")


@posix
def test_behind_a_launcher_a_deaf_child_is_killed_too(launcher, wait):
    job, outcome, pids = slowRun(launcher, wait)
    os.kill(pids[1], signal.SIGSTOP)
    cancelled(job, outcome, wait)
    wait(lambda: not alive(pids[0]) and not alive(pids[1]))
    again = scenes.Outcome(launcher.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: again)
    again.only("finished")


@posix
@pytest.mark.parametrize("victim", [0, 1], ids=["launcher", "child"])
def test_behind_a_launcher_a_crash_of_either_is_told_and_ends_both(launcher, wait, victim):
    _job, outcome, pids = slowRun(launcher, wait)
    os.kill(pids[victim], signal.SIGKILL)
    wait(lambda: outcome)
    assert "ended unexpectedly" in outcome.only("failed")
    wait(lambda: not alive(pids[0]) and not alive(pids[1]))
    wait(lambda: not filesOf(launcher))


PARENT = """
import sys
import tempfile
sys.path[:0] = {paths!r}
import standins
app = standins.install()
import scenes
from VolumeSuperResolutionLib.application.worker import Worker
tempfile.tempdir = {folder!r}
long = scenes.Request("backprojection", scale=(2.0, 2.0, 2.0), consistency=10)
job = Worker.shared().start([scenes.volumeOf(120, 120, 120)], long)
outcome = scenes.Outcome(job)
while not outcome.progress:
    app.processEvents()
print(Worker.shared()._child.pid, flush=True)
{then}
"""


@posix
@pytest.mark.parametrize("then", ["while True: app.processEvents()", "sys.exit(0)"], ids=["killed", "left"])
def test_the_child_and_its_files_go_with_the_application(tmp_path, wait, then):
    here = Path(__file__).resolve().parent
    paths = [str(LIBRARY), str(here), str(here.parent)]
    program = PARENT.format(paths=paths, folder=str(tmp_path), then=then)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, encoding="utf-8")
    pid = int(parent.stdout.readline())
    if then != "sys.exit(0)":
        assert list(tmp_path.glob("VolumeSuperResolution-*/run-1/*"))
        assert alive(pid)
        parent.kill()
    parent.wait(30)
    parent.stdout.close()
    wait(lambda: not alive(pid))
    wait(lambda: not list(tmp_path.glob("VolumeSuperResolution-*")))


@posix
def test_the_child_sees_the_end_of_the_application_even_if_its_input_stays_open(tmp_path, wait):
    application = subprocess.Popen(["sleep", "60"])
    folder = tmp_path / "files"
    folder.mkdir()
    arguments = [sys.executable, str(SCRIPT), str(folder), str(application.pid), "60"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline()) == {"ready": process.pid}
        application.kill()
        application.wait()
        assert process.wait(10) == 0
    assert not folder.exists()


def test_lines_that_are_no_messages_are_passed_over_and_a_folder_of_others_is_kept(tmp_path):
    (tmp_path / "of somebody else").mkdir()
    arguments = [sys.executable, str(SCRIPT), str(tmp_path), str(os.getpid()), "60"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, **pipes) as process:
        for line in (
            b"no JSON",
            b"\xff\xfe",
            b"[1, 2]",
            b"7",
            b'{"cancel": {}}',
            b'{"remove": "%s"}' % bytes(tmp_path),
        ):
            process.stdin.write(line + b"\n")
        process.stdin.write(b'{"job": 1, "request": {}}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"ready": process.pid}
        assert json.loads(process.stdout.readline())["job"] == 1
        process.stdin.close()
        assert process.wait(20) == 0
    assert (tmp_path / "of somebody else").is_dir()


def test_an_answer_that_is_no_message_is_passed_over(worker, wait, caplog):
    outcome = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: worker._child is not None)
    worker._child._partial = b"a library prints this\n[1]\n"
    wait(lambda: outcome)
    outcome.only("finished")
    assert len([record for record in caplog.records if "no message" in record.message]) == 2


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts what Linux shows of a process")
def test_twenty_runs_leave_nothing_behind(worker, wait):
    volume, counts, voxels = volumeOf(40, 100, 100), [], []
    for _ in range(20):
        outcome = scenes.Outcome(worker.start([volume], LINEAR))
        wait(lambda outcome=outcome: outcome)
        voxels.append(weakref.ref(outcome.only("finished").volume.array))
        assert voxels[-1]().nbytes == 8 * volume.array.nbytes
        wait(lambda: not filesOf(worker))
        files = len(os.listdir("/proc/self/fd"))
        children = len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        counts.append((files, children))
        del outcome
    # What earlier tests left may go meanwhile.
    assert all(last <= first for last, first in zip(counts[-1], counts[1]))
    gc.collect()
    assert not any(array() is not None for array in voxels)
