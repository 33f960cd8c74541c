"""The engine's process as the application sees it: messages to and from it, and its end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from .signals import Signal

# How long a child does nothing before it gives back what it need not hold.
IDLE_SECONDS = 60
TAIL_CHARACTERS = 4000
CRASHED = _(
    "The computing process ended unexpectedly, perhaps for lack of memory; nothing was changed in the scene. Try again "
    "with a smaller target or region: the process is started afresh."
)
NOT_STARTED = _("The computing process could not be started ({reason}); check the installation of the application.")


class ChildProcess:
    """One child: lines to it and from it, and its end."""

    # Children that were killed and whose end Qt has not seen yet: a QProcess must not be destroyed before.
    _dying: set = set()

    def __init__(self, folder: Path) -> None:
        self.received = Signal()
        self.ended = Signal()
        self.pid = None
        self._over = False
        self._tail = b""
        self._partial = b""
        self._process = qt.QProcess()
        self._process.connect("readyReadStandardOutput()", self._readAnswers)
        self._process.connect("readyReadStandardError()", self._readErrors)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onError)
        self._folder = folder

    def start(self) -> None:
        """Start it; where it cannot be started, `ended` may be emitted at once."""
        script = Path(__file__).with_name("engine_process.py")
        self._process.start(interpreter(), [str(script), str(self._folder), str(os.getpid()), str(IDLE_SECONDS)])

    def send(self, **message: Any) -> None:
        """Hand the child one message."""
        self._process.write(json.dumps(message).encode("ascii") + b"\n")

    def kill(self) -> None:
        """End the child at once, launcher included; its signals are silent from now on."""
        self.received, self.ended = Signal(), Signal()
        if self._over:
            return
        killTree(self.pid)
        ChildProcess._dying.add(self)
        self._process.kill()

    def waitForEnd(self) -> None:
        """Wait for a killed child to be gone: a matter of milliseconds, for the end of the application."""
        self._process.waitForFinished(2000)

    def _readAnswers(self) -> None:
        *lines, self._partial = (self._partial + self._process.readAllStandardOutput().data()).split(b"\n")
        errors = []
        for line in lines:
            try:
                message = dict(json.loads(line))
            except (ValueError, TypeError):
                logging.warning("The computing process said something that is no message: %r", line[:200])
                continue
            self.pid = message.get("ready", self.pid)
            try:
                self.received.emit(message)
            except Exception as error:  # of a slot of the caller's: the next line may be the result
                errors.append(error)
        if errors:
            raise errors[0]

    def _readErrors(self) -> None:
        self._tail = (self._tail + self._process.readAllStandardError().data())[-TAIL_CHARACTERS:]

    def _onFinished(self, *status: Any) -> None:
        if self not in ChildProcess._dying:
            logging.error("The computing process ended. It said: %s", self._tail.decode(errors="replace"))
        self._letGo(CRASHED)

    def _onError(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self._letGo(NOT_STARTED.format(reason=self._process.errorString()))

    def _letGo(self, sentence: str) -> None:
        """The process is over. It is deleted later, as it is still emitting, and its connections keep it till then."""
        self._over = True
        ChildProcess._dying.discard(self)
        self._process.deleteLater()
        self.ended.emit(sentence)


def interpreter() -> str:
    """The Python to run the child with: in Slicer, a launcher.

    On Windows a launcher may not hand on its standard input, so there it is the Python behind it, which finds its
    libraries by the environment of the application, as Slicer's own command-line modules do.
    """
    real = Path(sys.executable).with_name("python-real.exe")
    return str(real) if real.is_file() else sys.executable


def killTree(pid: int | None) -> None:
    """End a child, and all it may have started; it leads a process group of its own."""
    if pid is not None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGTERM)
