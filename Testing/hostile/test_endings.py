"""Defects, signals and interrupted work, within this process: what is said, and what is left."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal

import pytest
from VolumeSuperResolutionLib import __version__
from VolumeSuperResolutionLib.commands import ending, main, outputs
from VolumeSuperResolutionLib.engine import upscale as engine
from VolumeSuperResolutionLib.engine.volumes import files

from hostile.cases_batch import BATCH, MANIFEST
from hostile.cases_training import TRAIN, scans
from hostile.language import DEFECT, UPSCALE, Case, play
from hostile.makers import scan
from hostile.makers_models import put

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def three(folder) -> None:
    for name in "abc":
        scan(folder, f"{name}.nrrd")


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "here"


@pytest.fixture
def defect(monkeypatch):
    """The engine fails at its `number`-th volume."""
    real, calls = engine.prepare, []

    def fail_at(number: int) -> None:
        def failing(*arguments):
            calls.append(1)
            return real(*arguments) if len(calls) != number else 1 // 0

        monkeypatch.setattr(engine, "prepare", failing)

    return fail_at


@pytest.fixture
def signalled(monkeypatch):
    """A signal arrives while the `number`-th volume is written."""
    real, calls = files.write, []

    def at(number: int, which: int) -> None:
        def interrupted(*arguments):
            calls.append(1)
            real(*arguments)
            if len(calls) == number:
                os.kill(os.getpid(), which)

        monkeypatch.setattr(files, "write", interrupted)

    return at


def test_a_defect_is_one_sentence_and_its_traceback_is_kept(there, defect, capfd):
    defect(1)
    says = (
        rf"^vsr: This is a defect of vsr {__version__} \(ZeroDivisionError in \S+, line \d+\); please report it at \S+"
    )
    play(Case("", scan, status=DEFECT, says=says + r"\S+ with the traceback, which is in .*\.txt\.$"), there, capfd)
    (kept,) = there.parent.glob("vsr-defect-*.txt")
    assert "ZeroDivisionError" in kept.read_text() and "prepare" in kept.read_text()


def test_the_traceback_of_a_defect_is_shown_where_that_was_asked_for(there, defect, monkeypatch, capfd):
    defect(1)
    monkeypatch.setenv(ending.TRACEBACK_VARIABLE, "1")
    scan(there)
    assert main(shlex.split(UPSCALE)) == DEFECT
    said = capfd.readouterr().err
    assert "Traceback (most recent call last)" in said and "with the traceback above." in said
    assert not list(there.parent.glob("vsr-defect-*"))


def test_a_defect_does_not_end_a_batch_either(there, defect, capfd):
    defect(2)
    says = r"(?s)b.nrrd: This is a defect .*ZeroDivision.*1 of 3 volumes were not upscaled: b.nrrd"
    play(Case("", three, BATCH, DEFECT, says, ("out/a.nrrd", "out/c.nrrd", MANIFEST)), there, capfd)


@pytest.mark.parametrize(("which", "status"), SIGNALS.items())
def test_a_signal_leaves_nothing(there, signalled, capfd, which, status):
    signalled(1, which)
    handlers = [signal.getsignal(number) for number in SIGNALS]
    play(Case("", scan, status=status, says="^vsr: interrupted; nothing was written$"), there, capfd)
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert not list(there.glob(".vsr-*"))


def test_of_a_result_and_its_map_a_signal_leaves_both_or_none(there, signalled, capfd):
    signalled(2, signal.SIGTERM)
    command = UPSCALE.replace("linear", "mine") + " --uncertainty"
    play(Case("", put, command, 143, "nothing was written"), there, capfd)


def test_a_signal_in_the_last_moment_waits_for_both(there, monkeypatch, capfd):
    real = os.replace

    def interrupted(source, target):
        real(source, target)
        if os.path.basename(target) == "out-uncertainty.nrrd" and outputs.PREFIX not in str(target):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(outputs.os, "replace", interrupted)
    command = UPSCALE.replace("linear", "mine") + " --uncertainty"
    play(Case("", put, command, 130, "were written", ("out.nrrd", "out-uncertainty.nrrd")), there, capfd)


@pytest.mark.parametrize(("which", "status"), SIGNALS.items())
def test_an_interrupted_batch_says_what_it_wrote(there, signalled, capfd, which, status):
    signalled(2, which)
    play(
        Case("", three, BATCH, status, "^vsr: interrupted; 1 of 3 volumes are in out$", ("out/a.nrrd", MANIFEST)),
        there,
        capfd,
    )


def test_an_interrupted_training_says_whether_there_is_a_checkpoint(there, monkeypatch, capfd):
    from VolumeSuperResolutionLib.training import loop

    def interrupted(trainer):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "train_step", interrupted)
    play(Case("", scans, TRAIN, 130, "^vsr: interrupted before there was a checkpoint$"), there, capfd)


def test_errors_of_the_machine_are_refusals():
    for error, words in {
        MemoryError(): "memory did not suffice",
        RuntimeError("[enforce fail] not enough memory: you tried to allocate 1 byte"): "memory did not suffice",
        RuntimeError(
            "CUDA error: no kernel image is available\nmore"
        ): "GPU .CUDA error: no kernel image is available.",
        OSError(28, "No space left on device", "x"): "is full",
        PermissionError(13, "Permission denied", "/x/y"): "/x/y cannot be used .Permission denied.",
        ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib"): "package matplotlib is not installed",
    }.items():
        status, sentence = ending.told(error)
        assert status == 2
        assert re.search(words, sentence)


def test_what_the_library_logs_is_told_as_a_sentence(capfd):
    assert ending.end(lambda: logging.warning("A card\x1b[2J is\nbroken.")) == 0
    assert capfd.readouterr().err == "vsr: A card is broken.\n"
