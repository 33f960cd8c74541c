"""The child process: what it computes, how it is cancelled, how it dies, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import qt
import scenes
import slicer
from standins import pythonqt
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.grid import Grid, Volume
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.slicing import child, dependencies, engine_process, transfer
from VolumeSuperResolutionLib.slicing import worker as subject
from VolumeSuperResolutionLib.slicing.signals import Signal

LIBRARY = Path(subject.__file__).resolve().parents[2]
SCRIPT = Path(engine_process.__file__)
LINEAR = Request("linear", scale=(2.0, 2.0, 2.0))
SLOW = Request("slow", scale=(2.0, 2.0, 2.0), device="cpu", memory_mb=200)
posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")


def volumeOf(*shape, seed=0) -> Volume:
    array = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
    return Volume(array, Grid(shape[::-1], (0.5, 0.6, 2.0), (1.0, -2.0, 3.0)))


def alive(pid) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = scenes.makeModel(tmp_path_factory.mktemp("models"), "quick")
    return scenes.makeModel(folder, "slow", features=16, blocks=6)


@pytest.fixture(scope="module")
def worker(tmp_path_factory, models):
    """A worker whose temporary files are in a folder of the tests, and gone in the end, as its processes are."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("VSR_WEIGHTS", str(models))
        made = subject.Worker()
        yield made
        pid = made._child.pid if made._child is not None else None
        made.stop()
    assert not list(folder.glob("VolumeSuperResolution-*"))
    assert pid is None or not alive(pid)


@pytest.fixture
def fresh(worker):
    """The worker without a child, for tests that change what a child finds at its start."""
    worker.stop()
    yield worker
    worker.stop()


def filesOf(worker) -> list:
    return [path for folder in worker._remains for path in folder.glob("*")]


@pytest.mark.parametrize("model", ["linear", "backprojection", "quick"])
def test_the_child_computes_what_the_engine_computes(worker, wait, model):
    volume = volumeOf(9, 10, 11)
    request = Request(model, scale=(2.0, 2.0, 2.0), device="cpu", uncertainty=model == "quick")
    outcome = scenes.Outcome(worker.start(volume, request))
    assert not outcome  # nothing is told before the caller could connect
    wait(lambda: outcome, 60)
    result, expected = outcome.only("finished"), upscale(volume, request)
    assert np.allclose(result.volume.array, expected.volume.array, atol=1)
    assert result.volume.array.dtype == expected.volume.array.dtype
    assert result.volume.grid == expected.volume.grid
    assert result.report.model == model
    assert result.report.window == expected.report.window
    assert (result.uncertainty is None) == (expected.uncertainty is None)
    if result.uncertainty is not None:
        assert np.allclose(result.uncertainty.array, expected.uncertainty.array, rtol=1e-2, atol=1e-2)
    done = [progress[0] for progress in outcome.progress]
    assert done and done == sorted(done)
    wait(lambda: not filesOf(worker))


def test_a_signal_calls_every_slot_once():
    signal_, calls = Signal(), []

    def fail(value):
        calls.append(("fail", value))
        raise ValueError("a mistake")

    signal_.connect(fail)
    signal_.connect(calls.append)
    signal_.connect(calls.append)
    with pytest.raises(ValueError, match="a mistake"):
        signal_.emit(1)
    signal_.disconnect(fail)
    signal_.disconnect(fail)
    signal_.emit(2)
    assert calls == [("fail", 1), 1, 2]


def test_one_child_serves_many_runs(worker, wait):
    pids = set()
    for _ in range(3):
        outcome = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
        wait(lambda outcome=outcome: outcome)
        outcome.only("finished")
        pids.add(worker._child.pid)
    assert len(pids) == 1


def test_a_view_of_a_larger_array_arrives_whole(worker, wait):
    part = volumeOf(9, 10, 11).array[1:7, ::2, 3:]
    volume = Volume(part, Grid(part.shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    outcome = scenes.Outcome(worker.start(volume, LINEAR))
    wait(lambda: outcome)
    assert np.array_equal(outcome.only("finished").volume.array, upscale(volume, LINEAR).volume.array)


def test_only_one_run_at_a_time(worker, wait):
    outcome = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
    with pytest.raises(RefusalError, match="going on"):
        worker.start(volumeOf(5, 6, 7), LINEAR)
    wait(lambda: outcome)
    outcome.only("finished")


def test_progress_tells_the_time_left(worker, wait):
    job = worker.start(volumeOf(128, 128, 128), SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: len(outcome.progress) > 3, 60)
    job.cancel()
    wait(lambda: outcome)
    done, total, left = outcome.progress[-1]
    assert 0 < done < total
    assert left > 0


def cancelled(job, outcome, wait):
    started = time.monotonic()
    job.cancel()
    job.cancel()
    wait(lambda: outcome)
    assert time.monotonic() - started < 1.0  # the promise of the panel's Cancel button
    outcome.only("cancelled")
    assert not job.running


def test_cancel_while_voxels_are_sent(worker, wait):
    job = worker.start(volumeOf(40, 40, 40), LINEAR)
    cancelled(job, scenes.Outcome(job), wait)


def test_cancel_while_the_network_runs(worker, wait):
    job = worker.start(volumeOf(128, 128, 128), SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    cancelled(job, outcome, wait)
    again = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: again)
    again.only("finished")
    wait(lambda: not filesOf(worker))


def test_cancel_while_the_result_is_fetched(worker, wait, monkeypatch):
    job = worker.start(volumeOf(5, 6, 7), LINEAR)
    outcome = scenes.Outcome(job)
    monkeypatch.setattr(transfer.Receiving, "step", lambda self: False)
    wait(lambda: worker._transfers and isinstance(worker._transfers[0], transfer.Receiving))
    cancelled(job, outcome, wait)
    wait(lambda: not filesOf(worker))


@posix
def test_a_child_that_does_not_listen_is_killed(worker, wait):
    job = worker.start(volumeOf(128, 128, 128), SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    deaf = worker._child.pid
    os.kill(deaf, signal.SIGSTOP)
    cancelled(job, outcome, wait)
    wait(lambda: not alive(deaf))
    assert not filesOf(worker)
    again = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: again)
    again.only("finished")
    assert worker._child.pid != deaf


@posix
def test_a_crash_is_told_in_a_sentence_and_the_next_run_works(worker, wait):
    outcome = scenes.Outcome(worker.start(volumeOf(128, 128, 128), SLOW))
    wait(lambda: outcome.progress, 60)
    os.kill(worker._child.pid, signal.SIGKILL)
    wait(lambda: outcome)
    assert "ended unexpectedly" in outcome.only("failed")
    assert not filesOf(worker)
    again = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: again)
    again.only("finished")


def test_stopping_the_worker_cancels_its_run(worker, wait):
    job = worker.start(volumeOf(128, 128, 128), SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    worker.stop()
    outcome.only("cancelled")
    assert not job.running


def test_a_program_that_cannot_be_started_is_told(fresh, wait, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    assert "could not be started" in outcome.only("failed")


def test_a_folder_that_cannot_be_written_to_is_told(fresh, wait, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(subject, "temporaryPlace", lambda: str(tmp_path / "file"))
    fresh.prepare()
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    assert "Temporary files cannot be used" in outcome.only("failed")


def test_a_program_that_fails_at_once_is_told_too(fresh, wait, monkeypatch):
    """Windows tells of a program that cannot be started while it is being started."""
    monkeypatch.setattr(child.ChildProcess, "start", lambda self: self._letGo(child.NOT_STARTED))
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    assert "could not be started" in outcome.only("failed")
    fresh.prepare()


def test_an_error_in_a_slot_of_the_caller_loses_no_result(worker, wait):
    job = worker.start(volumeOf(5, 6, 7), LINEAR)
    outcome = scenes.Outcome(job)

    def fail(*_):
        raise RuntimeError("a mistake of the caller")

    job.progressed.connect(fail)
    job.finished.connect(fail)
    wait(lambda: outcome)
    outcome.only("finished")
    wait(lambda: any("a mistake of the caller" in text for text in pythonqt.SLOT_ERRORS))
    pythonqt.SLOT_ERRORS.clear()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["input", "output"])
def test_a_full_disk_is_told(worker, wait, monkeypatch, name):
    path = worker._path
    monkeypatch.setattr(worker, "_path", lambda n: Path("/dev/full") if n == name else path(n))
    outcome = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    assert "is full" in outcome.only("failed")
    wait(lambda: not filesOf(worker))


def test_a_disk_too_small_for_the_result_is_told_before_computing(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    process = engine_process.Child.__new__(engine_process.Child)
    process._folder = tmp_path
    process._check_disk(1000)
    with pytest.raises(OSError, match="no space") as caught:
        process._check_disk(1001)
    assert engine_process.disk_full(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.astype(np.float32) * np.nan, "not numbers"),
        (lambda a: a[:1, :1, :1], "single voxel"),
    ],
)
def test_refusals_of_the_engine_arrive_as_they_are(worker, wait, change, words):
    array = change(volumeOf(5, 6, 7).array)
    volume = Volume(array, Grid(array.shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    outcome = scenes.Outcome(worker.start(volume, LINEAR))
    wait(lambda: outcome)
    assert words in outcome.only("failed")


def test_a_result_too_large_for_the_memory_is_refused(worker, wait):
    outcome = scenes.Outcome(worker.start(volumeOf(256, 256, 256), Request("linear", scale=(16.0, 16.0, 16.0))))
    wait(lambda: outcome, 60)
    assert "MB are free" in outcome.only("failed")


TORCHES = {
    "PyTorch is not installed": "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
    "libtorch.so: cannot open": "raise OSError('libtorch.so: cannot open shared object file')",
    "its part sympy is missing": "raise ModuleNotFoundError(\"No module named 'sympy'\", name='sympy')",
}


@pytest.mark.parametrize(("words", "code"), TORCHES.items(), ids=TORCHES)
def test_without_a_working_torch_models_say_so_and_interpolations_work(fresh, wait, monkeypatch, tmp_path, words, code):
    monkeypatch.setattr(dependencies, "_workersVerdict", None)
    (tmp_path / "modules" / "torch").mkdir(parents=True)
    (tmp_path / "modules" / "torch" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: outcome)
    assert words in outcome.only("failed")
    assert dependencies._workersVerdict == outcome.told[0][1]
    monkeypatch.delenv("PYTHONPATH")
    mended = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: mended, 60)
    mended.only("finished")
    assert dependencies._workersVerdict is None
    again = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: again)
    again.only("finished")


def test_a_gpu_that_fails_is_explained_and_the_child_replaced(fresh, wait, monkeypatch, tmp_path):
    """A driver and a torch that do not fit each other: the users' commonest trouble."""
    (tmp_path / "torch").mkdir()
    code = "raise RuntimeError('CUDA error: no kernel image is available for execution on the device')"
    (tmp_path / "torch" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: outcome)
    sentence = outcome.only("failed")
    assert "no kernel image" in sentence
    assert "choose the CPU" in sentence
    assert fresh._child is None


def test_the_prepared_child_tries_torch_before_it_is_needed(fresh, wait, monkeypatch):
    monkeypatch.setattr(dependencies, "_workersVerdict", "not tried yet")
    fresh.prepare()
    wait(lambda: dependencies._workersVerdict is None, 60)
    pid = fresh._child.pid
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: outcome)
    outcome.only("finished")
    assert fresh._child.pid == pid


def test_an_idle_child_gives_back_what_it_holds(fresh, wait, monkeypatch):
    monkeypatch.setattr(child, "IDLE_SECONDS", 0.05)
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), LINEAR))
    seen = []
    wait(lambda: fresh._child is not None)
    fresh._child.received.connect(seen.append)
    wait(lambda: any(message.get("released") for message in seen))
    outcome.only("finished")


def test_what_libraries_print_does_not_disturb_the_answers(fresh, wait, monkeypatch, tmp_path):
    noise = "import os, numpy\nreal = numpy.memmap\n"
    noise += "def noisy(*a, **k):\n    print('{}')\n    os.system('echo {')\n    return real(*a, **k)\n"
    (tmp_path / "usercustomize.py").write_text(noise + "numpy.memmap = noisy\n")
    (tmp_path / "sitecustomize.py").write_text(noise + "numpy.memmap = noisy\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = scenes.Outcome(fresh.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    outcome.only("finished")
    wait(lambda: b"{}\n" in fresh._child._tail and b"{\n" in fresh._child._tail)


def test_the_end_of_the_application_is_the_childs(wait, monkeypatch):
    """Also where no panel was ever opened, as in a script: a QProcess that outlives Qt brings Slicer down."""
    monkeypatch.setattr(subject.Worker, "_shared", None)
    worker = subject.Worker.shared()
    outcome = scenes.Outcome(worker.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    process, pid, folder = worker._child._process, worker._child.pid, worker._folder
    slicer.app.aboutToQuit.emit()
    assert process.state() == qt.QProcess.NotRunning
    assert not alive(pid)
    assert not folder.exists()


@pytest.fixture
def launcher(fresh, monkeypatch, tmp_path):
    """As in Slicer, where sys.executable is a launcher that has the real Python as its child."""
    script = tmp_path / "PythonSlicer"
    script.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return fresh


def slowRun(worker, wait):
    """A job in its middle, its outcome, and the ids of the launcher and of the real process."""
    job = worker.start(volumeOf(128, 128, 128), SLOW)
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
    outcome = scenes.Outcome(launcher.start(volumeOf(5, 6, 7), LINEAR))
    wait(lambda: outcome)
    outcome.only("finished")


@posix
def test_behind_a_launcher_a_deaf_child_is_killed_too(launcher, wait):
    job, outcome, pids = slowRun(launcher, wait)
    os.kill(pids[1], signal.SIGSTOP)
    cancelled(job, outcome, wait)
    wait(lambda: not alive(pids[0]) and not alive(pids[1]))
    again = scenes.Outcome(launcher.start(volumeOf(5, 6, 7), LINEAR))
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
from test_worker import SLOW, volumeOf
from VolumeSuperResolutionLib.slicing.worker import Worker
tempfile.tempdir = {folder!r}
job = Worker.shared().start(volumeOf(128, 128, 128), SLOW)
outcome = scenes.Outcome(job)
while not outcome.progress:
    app.processEvents()
print(Worker.shared()._child.pid, flush=True)
{then}
"""


@posix
@pytest.mark.parametrize("then", ["while True: app.processEvents()", "sys.exit(0)"], ids=["killed", "left"])
def test_the_child_and_its_files_go_with_the_application(tmp_path, monkeypatch, models, wait, then):
    monkeypatch.setenv("VSR_WEIGHTS", str(models))
    here = Path(__file__).resolve().parent
    paths = [str(LIBRARY), str(here), str(here.parent)]
    program = PARENT.format(paths=paths, folder=str(tmp_path), then=then)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
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


def residentBytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="counts what Linux shows of a process")
def test_twenty_runs_leave_nothing_behind(worker, wait):
    volume, counts = volumeOf(40, 100, 100), []
    for _ in range(20):
        outcome = scenes.Outcome(worker.start(volume, LINEAR))
        wait(lambda outcome=outcome: outcome)
        assert outcome.only("finished").volume.array.nbytes == 8 * volume.array.nbytes
        wait(lambda: not filesOf(worker))
        files = len(os.listdir("/proc/self/fd"))
        children = len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        counts.append((files, children, residentBytes()))
        del outcome
    assert counts[-1][:2] == counts[1][:2]
    # One result is 6 MB: twenty that were kept would be 120.
    assert counts[-1][2] - counts[4][2] < 6e6, [count[2] for count in counts]
