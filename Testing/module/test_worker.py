"""What a run of the child process gives: its result, its progress, its prompt end when cancelled, and clear faults."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scenes
from scenes import LINEAR, SLOW, cancelled, filesOf, volumeOf
from standins import pythonqt
from VolumeSuperResolutionLib.application import child, dependencies, engine_process, transfer
from VolumeSuperResolutionLib.application import worker as subject
from VolumeSuperResolutionLib.application.signals import Signal
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.request import MAPS
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


def test_the_child_keeps_every_map_of_a_result():
    assert engine_process.OUTPUTS["upscale"] == ("volume", *MAPS)


@pytest.mark.parametrize("model", ["linear", "backprojection", "quick"])
def test_the_child_computes_what_the_engine_computes(worker, wait, model):
    volume = volumeOf(9, 10, 11)
    request = Request(model, scale=(2.0, 2.0, 2.0), device="cpu", uncertainty=model == "quick", invented=True)
    outcome = scenes.Outcome(worker.start([volume], request))
    assert not outcome  # nothing is told before the caller could connect
    wait(lambda: outcome, 60)
    result, expected = outcome.only("finished"), upscale(volume, request)
    assert np.allclose(result.volume.array, expected.volume.array, atol=1)
    assert result.volume.array.dtype == expected.volume.array.dtype
    assert result.volume.grid == expected.volume.grid
    assert result.report.model == model
    assert result.report.window == expected.report.window
    assert set(result.maps) == set(expected.maps) == {"invented", *(("uncertainty",) if model == "quick" else ())}
    for name, found in result.maps.items():
        assert found.grid == expected.volume.grid
        assert np.allclose(found.array, expected.maps[name].array, rtol=1e-2, atol=1e-2)
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
        outcome = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
        wait(lambda outcome=outcome: outcome)
        outcome.only("finished")
        pids.add(worker._child.pid)
    assert len(pids) == 1


def test_a_view_of_a_larger_array_arrives_whole(worker, wait):
    part = volumeOf(9, 10, 11).array[1:7, ::2, 3:]
    volume = Volume(part, Grid(part.shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    outcome = scenes.Outcome(worker.start([volume], LINEAR))
    wait(lambda: outcome)
    assert np.array_equal(outcome.only("finished").volume.array, upscale(volume, LINEAR).volume.array)


def test_only_one_run_at_a_time(worker, wait):
    outcome = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
    with pytest.raises(RefusalError, match="going on"):
        worker.start([volumeOf(5, 6, 7)], LINEAR)
    wait(lambda: outcome)
    outcome.only("finished")


def test_progress_tells_the_time_left(worker, wait):
    job = worker.start([volumeOf(128, 128, 128)], SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: len(outcome.progress) > 3, 60)
    job.cancel()
    wait(lambda: outcome)
    done, total, left = outcome.progress[-1]
    assert 0 < done < total
    assert left > 0


def test_the_promise_of_the_cancel_button():
    """An end within a second: what the child does not do by itself in this time is done by killing it."""
    assert subject.PATIENCE_MS < 1000


@pytest.mark.parametrize("kind", ["sending", "receiving"])
def test_voxels_are_copied_a_piece_at_a_time(tmp_path, kind):
    """By a clock that goes on by 4 ms at each look: three pieces a step, whatever the machine does."""
    array = np.arange(10 * 2**18, dtype=np.float32).reshape(10, 512, 512)  # ten pieces
    array.tofile(tmp_path / "voxels")
    times = iter(np.arange(0, 10, 0.004))
    if kind == "sending":
        moving = transfer.Sending(array, tmp_path / "copy", lambda: float(next(times)))
    else:
        moving = transfer.Receiving(tmp_path / "voxels", "<f4", array.shape, lambda: float(next(times)))
    steps = 1
    while not moving.step():
        steps += 1
    moving.close()
    assert steps == 4
    copied = np.fromfile(tmp_path / "copy", np.float32) if kind == "sending" else moving.array.ravel()
    np.testing.assert_array_equal(copied, array.ravel())


def test_cancel_while_voxels_are_sent(worker, wait):
    job = worker.start([volumeOf(40, 40, 40)], LINEAR)
    cancelled(job, scenes.Outcome(job), wait)


def test_cancel_while_the_network_runs(worker, wait):
    job = worker.start([volumeOf(128, 128, 128)], SLOW)
    outcome = scenes.Outcome(job)
    wait(lambda: outcome.progress, 60)
    cancelled(job, outcome, wait)
    again = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: again)
    again.only("finished")
    wait(lambda: not filesOf(worker))


def test_cancel_while_the_result_is_fetched(worker, wait, monkeypatch):
    job = worker.start([volumeOf(5, 6, 7)], LINEAR)
    outcome = scenes.Outcome(job)
    monkeypatch.setattr(transfer.Receiving, "step", lambda self: False)
    wait(lambda: worker._transfers and isinstance(worker._transfers[0], transfer.Receiving))
    cancelled(job, outcome, wait)
    wait(lambda: not filesOf(worker))


def test_a_program_that_cannot_be_started_is_told(fresh, wait, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: outcome)
    assert "could not be started" in outcome.only("failed")


def test_a_folder_that_cannot_be_written_to_is_told(fresh, wait, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(subject, "temporaryPlace", lambda: str(tmp_path / "file"))
    fresh.prepare()
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: outcome)
    assert "Temporary files cannot be used" in outcome.only("failed")


def test_a_program_that_fails_at_once_is_told_too(fresh, wait, monkeypatch):
    """Windows tells of a program that cannot be started while it is being started."""
    monkeypatch.setattr(child.ChildProcess, "start", lambda self: self._letGo(child.NOT_STARTED))
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: outcome)
    assert "could not be started" in outcome.only("failed")
    fresh.prepare()


def test_an_error_in_a_slot_of_the_caller_loses_no_result(worker, wait):
    job = worker.start([volumeOf(5, 6, 7)], LINEAR)
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
@pytest.mark.parametrize("name", ["input0", "volume"])
def test_a_full_disk_is_told(worker, wait, monkeypatch, name):
    path = worker._path
    monkeypatch.setattr(worker, "_path", lambda n: Path("/dev/full") if n == name else path(n))
    outcome = scenes.Outcome(worker.start([volumeOf(5, 6, 7)], LINEAR))
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
    outcome = scenes.Outcome(worker.start([volume], LINEAR))
    wait(lambda: outcome)
    assert words in outcome.only("failed")


def test_a_result_too_large_for_the_memory_is_refused(worker, wait):
    outcome = scenes.Outcome(worker.start([volumeOf(256, 256, 256)], Request("linear", scale=(16.0, 16.0, 16.0))))
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
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: outcome)
    assert words in outcome.only("failed")
    assert dependencies._workersVerdict == outcome.told[0][1]
    if code != next(iter(TORCHES.values())):
        return  # that it can be mended is no other for each of them
    monkeypatch.delenv("PYTHONPATH")
    mended = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: mended, 60)
    mended.only("finished")
    assert dependencies._workersVerdict is None
    again = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: again)
    again.only("finished")


def test_a_gpu_that_fails_is_explained_and_the_child_replaced(fresh, wait, monkeypatch, tmp_path):
    """A driver and a torch that do not fit each other: the users' commonest trouble."""
    (tmp_path / "torch").mkdir()
    code = "raise RuntimeError('CUDA error: no kernel image is available for execution on the device')"
    (tmp_path / "torch" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], Request("quick", scale=(2.0, 2.0, 2.0))))
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
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], Request("quick", scale=(2.0, 2.0, 2.0))))
    wait(lambda: outcome)
    outcome.only("finished")
    assert fresh._child.pid == pid


def test_an_idle_child_gives_back_what_it_holds(fresh, wait, monkeypatch):
    monkeypatch.setattr(child, "IDLE_SECONDS", 0.05)
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], LINEAR))
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
    outcome = scenes.Outcome(fresh.start([volumeOf(5, 6, 7)], LINEAR))
    wait(lambda: outcome)
    outcome.only("finished")
    wait(lambda: b"{}\n" in fresh._child._tail and b"{\n" in fresh._child._tail)
