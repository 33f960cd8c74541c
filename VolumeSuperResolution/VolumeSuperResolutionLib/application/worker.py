"""Runs of the engine in a warm child process, so that the application never waits for them.

Everything happens in the event loop: the child's answers are signals of a QProcess, voxels are copied a piece at a
time. There is no Python thread, since threads do not run while Qt idles.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..engine.combine_report import CombineReport
from ..engine.errors import RefusalError
from ..engine.request import CombineRequest, RefineRequest, Report
from ..engine.volumes.grid import Grid, Volume
from . import dependencies
from .child import ChildProcess, killTree
from .engine_process import DISK_FULL, FOLDER_PREFIX, OUT_OF_MEMORY, OUTPUTS, disk_full
from .signals import Signal
from .transfer import Receiving, Sending

# How long a child that was asked to cancel may take before it is killed.
PATIENCE_MS = 600
BUSY = _("A run is going on; wait for it to finish or cancel it first.")


class Job:
    """One run. Of finished(result), failed(sentence) and cancelled() exactly one is emitted, never within start()."""

    def __init__(self, worker: Worker, volumes: Sequence[Volume], request: Any) -> None:
        self.progressed = Signal()
        self.finished = Signal()
        self.failed = Signal()
        self.cancelled = Signal()
        # learning(seconds, done, gain): while it learns from the scan, before any progress.
        self.learning = Signal()
        self.running = True
        self.volumes = list(volumes)
        self.request = request
        self.cancelling = False
        self._worker = worker

    def cancel(self) -> None:
        """End the run within a second, without a result."""
        if self.running:
            self._worker.cancel()

    def endLearning(self) -> None:
        """Where it learns from the scan, go on with what it has learned."""
        if self.running:
            self._worker.endLearning()


class Worker:
    """Runs one job at a time in its child process, which stays for the next one."""

    _shared = None

    @classmethod
    def shared(cls) -> Worker:
        """The one worker of the application, which it stops at its end: after that no QProcess may be left."""
        if Worker._shared is None:
            Worker._shared = cls()
            slicer.app.connect("aboutToQuit()", Worker._shared.stop)
        return Worker._shared

    def __init__(self) -> None:
        self._child = None
        self._job = None
        # The folder of the child, and those of children that are gone, until they can be removed.
        self._folder = None
        self._remains: list = []
        self._number = 0
        self._transfers: list = []
        self._answer: dict = {}
        self._computingSince = None
        self._firstProgress = None
        # Whether the child holds a torch that is half imported, or a GPU in an error: it must not be used again.
        self._spoiled = False
        self._ticks = qt.QTimer()
        self._ticks.setInterval(0)
        self._ticks.connect("timeout()", self._tick)
        self._patience = qt.QTimer()
        self._patience.setSingleShot(True)
        self._patience.setInterval(PATIENCE_MS)
        self._patience.connect("timeout()", self._giveUpWaiting)

    @property
    def running(self) -> bool:
        """Whether a job is going on."""
        return self._job is not None

    def prepare(self) -> None:
        """Have a child at hand that has torch imported, and dependencies.torchState know whether it works."""
        if self._child is not None:
            return
        with contextlib.suppress(OSError):  # a run would tell of it
            self._startChild()
        if self._child is not None:
            self._child.send(warm=True)

    def start(self, volumes: Sequence[Volume], request: Any) -> Job:
        """Begin a run; the voxels must not change before it ends. Raises RefusalError while another one runs.

        A Request upscales one volume, a CombineRequest makes one of several; the result is the engine's. A
        RefineRequest takes label maps, layers along a fourth axis, to a finer grid; the result is a volume.
        """
        if self.running:
            raise RefusalError(BUSY)
        self._job = Job(self, volumes, request)
        self._number += 1
        self._transfers, self._answer = [], {}
        self._computingSince = self._firstProgress = None
        self._advance = self._beginSending
        self._ticks.start()
        return self._job

    def cancel(self) -> None:
        """End the current job: at once while voxels are copied, else by asking the child, then killing it."""
        if self._job is None or self._job.cancelling:
            return
        if self._computingSince is None or self._answer:
            self._end("cancelled")
            return
        self._job.cancelling = True
        self._child.send(cancel=self._number)
        self._patience.start()

    def endLearning(self) -> None:
        """Tell the child to learn no more, but go on."""
        if self._computingSince is not None:
            self._child.send(enough=self._number)

    def stop(self) -> None:
        """End the job and the child, and remove all files; the next start begins afresh."""
        self._dropChild()
        try:
            if self._job is not None:
                self._end("cancelled")
        finally:
            for child in list(ChildProcess._dying):
                child.waitForEnd()
            self._sweep()
            atexit.unregister(self._atExit)

    def _tick(self) -> None:
        try:
            outcome = self._advance()
        except OSError as error:
            logging.exception("A transfer of voxels failed")
            sentence = DISK_FULL if disk_full(error) else _("Temporary files cannot be used ({error}).")
            outcome = ("failed", sentence.format(folder=temporaryPlace(), error=error))
        except MemoryError:
            outcome = ("failed", OUT_OF_MEMORY)
        except RefusalError as refusal:
            outcome = ("failed", str(refusal))
        except Exception as error:
            logging.exception("A run could not go on")
            sentence = _("The run could not go on ({error}); the error log has the details.")
            outcome = ("failed", sentence.format(error=error))
        if outcome is not None:
            self._end(*outcome)

    # What the timer drives: each goes on for a moment, and returns the outcome of the job once there is one.

    def _beginSending(self) -> None:
        if self._child is None:
            self._startChild()
        if self._job is None:
            return  # it could not be started
        self._jobFolder().mkdir(parents=True)
        self._transfers = [Sending(volume.array, self._path(f"input{n}")) for n, volume in enumerate(self._job.volumes)]
        self._advance = self._send

    def _send(self) -> None:
        if not all(transfer.step() for transfer in self._transfers):
            return
        self._ticks.stop()
        self._closeTransfers()
        inputs = [
            {
                "file": str(self._path(f"input{n}")),
                "dtype": array.dtype.str,
                "shape": array.shape,
                "grid": vars(grid),
            }
            for n, (array, grid) in enumerate(self._job.volumes)
        ]
        kind = kindOf(self._job.request)
        self._child.send(
            job=self._number,
            kind=kind,
            inputs=inputs,
            request=self._job.request.to_dict(),
            outputs={name: str(self._path(name)) for name in OUTPUTS[kind]},
        )
        self._computingSince = time.monotonic()

    def _beginReceiving(self) -> None:
        for part in self._answer["volumes"].values():
            self._transfers.append(Receiving(Path(part["file"]), part["dtype"], tuple(part["shape"])))
        self._advance = self._receive

    def _receive(self) -> tuple | None:
        if not all(transfer.step() for transfer in self._transfers):
            return None
        from ..engine.combine import CombineResult
        from ..engine.upscale import Result

        parts = zip(self._answer["volumes"].items(), self._transfers)
        volumes = {name: Volume(transfer.array, _grid(part)) for (name, part), transfer in parts}
        if isinstance(self._job.request, RefineRequest):
            return "finished", volumes["volume"]
        if isinstance(self._job.request, CombineRequest):
            return "finished", CombineResult(report=CombineReport.from_dict(self._answer["report"]), **volumes)
        return "finished", Result(report=Report.from_dict(self._answer["report"]), **volumes)

    def _onReceived(self, message: dict) -> None:
        if "torch" in message:
            dependencies.noteTrial(message["torch"])
            self._spoiled = message["torch"] is not None
            if self._job is None:
                self._dropSpoiledChild()
        if message.get("job") != self._number or self._job is None or self._computingSince is None:
            return
        if "progress" in message:
            self._tellProgress(*message["progress"])
            return
        if "learning" in message:
            self._job.learning.emit(*message["learning"])
            return
        self._patience.stop()
        self._spoiled = self._spoiled or "spoiled" in message
        if "detail" in message:
            logging.error("The engine failed:\n%s", message["detail"])
        if self._job.cancelling or "cancelled" in message:
            self._end("cancelled")
        elif "failed" in message:
            self._end("failed", message["failed"])
        else:
            self._answer = message
            self._advance = self._beginReceiving
            self._ticks.start()

    def _tellProgress(self, done: int, total: int) -> None:
        """The time left counts from the first progress: what comes before is loading, and is not told by a share."""
        now = time.monotonic()
        self._firstProgress = self._firstProgress or (now, done)
        since, before = self._firstProgress
        secondsLeft = (now - since) * (total - done) / (done - before) if done > before else None
        self._job.progressed.emit(done, total, secondsLeft)

    def _end(self, outcome: str, *arguments: Any) -> None:
        """Clean up after the current job, then tell its outcome."""
        job, self._job = self._job, None
        self._ticks.stop()
        self._patience.stop()
        self._closeTransfers()
        self._answer = {}
        self._dropSpoiledChild()
        if self._child is not None:
            self._child.send(remove=str(self._jobFolder()))  # a large file takes a moment, which the child has
        else:
            self._sweep()
        job.running = False
        job.volumes = []
        getattr(job, outcome).emit(*arguments)

    def _giveUpWaiting(self) -> None:
        self._dropChild()
        if self._job is not None:
            self._end("cancelled")

    def _onEnded(self, sentence: str) -> None:
        self._child = None
        if self._job is None:
            self._sweep()
        else:
            outcome = ("cancelled",) if self._job.cancelling else ("failed", sentence)
            self._end(*outcome)

    def _startChild(self) -> None:
        self._sweep()
        os.makedirs(temporaryPlace(), exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=temporaryPlace()))
        self._remains.append(self._folder)
        atexit.unregister(self._atExit)
        atexit.register(self._atExit)
        self._child = ChildProcess(self._folder)
        self._child.received.connect(self._onReceived)
        self._child.ended.connect(self._onEnded)
        self._child.start()

    def _dropSpoiledChild(self) -> None:
        if self._spoiled:
            self._dropChild()
            self._spoiled = False

    def _dropChild(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def _jobFolder(self) -> Path:
        return self._folder / f"run-{self._number}"

    def _path(self, name: str) -> Path:
        return self._jobFolder() / f"{name}.raw"

    def _closeTransfers(self) -> None:
        for transfer in self._transfers:
            transfer.close()
        self._transfers = []

    def _sweep(self) -> None:
        """Remove the folders of children that are gone. What a dying one holds open on Windows goes the next time."""
        kept = [self._folder] if self._child is not None else []
        for folder in self._remains:
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        self._remains = [folder for folder in self._remains if folder.exists()]

    def _atExit(self) -> None:
        """The last chance, without Qt, which may be gone already."""
        if self._child is not None:
            killTree(self._child.pid)
            self._child = None
        self._sweep()


def temporaryPlace() -> str:
    """The folder that the user has chosen for temporary files."""
    return slicer.app.temporaryPath if hasattr(slicer, "app") else tempfile.gettempdir()


def kindOf(request: Any) -> str:
    """What the child is to do: a key of OUTPUTS."""
    return {CombineRequest: "combine", RefineRequest: "refine"}.get(type(request), "upscale")


def _grid(part: dict) -> Grid:
    return Grid(**{name: tuple(value) for name, value in part["grid"].items()})
