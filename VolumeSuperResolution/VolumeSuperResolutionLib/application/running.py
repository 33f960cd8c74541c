"""One run of the panel at a time: its start, its progress bar, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..engine.errors import RefusalError
from . import dependencies, runs, wording
from .learning import learningWords
from .signals import Signal


class Running:
    """`changed` tells when a run has begun or is over."""

    def __init__(self, progressBar: Any, enoughButton: Any) -> None:
        self.changed = Signal()
        self.job: runs.Run | None = None
        self.isQuiet = False
        self._bar, self._enough = progressBar, enoughButton
        self._whenFinished: Callable[[Any, Any], None] | None = None
        progressBar.setVisible(False)
        enoughButton.setVisible(False)
        enoughButton.connect("clicked(bool)", lambda _on: self._endLearning())

    def start(
        self,
        prepare: Callable[[], tuple],
        whenFinished: Callable[[Any, Any], None],
        quiet: bool = False,
        kind: Any = runs.Upscaling,
    ) -> None:
        """Begin a kind of run of what prepare() gives: inputs, a request, an output node or None; or tell why not.

        whenFinished(job, node) is called when there is a result. A quiet run is one that nobody has asked for: it
        shows no progress, asks for nothing to be installed, and tells of no refusal.
        """
        self.isQuiet = quiet
        try:
            inputs, request, outputNode = prepare()
            if kind.needsTorch(inputs, request) and not self._hasTorch():
                return
            self.job = kind(inputs, request, outputNode)
        except RefusalError as refusal:
            self._tell(str(refusal))
            return
        except Exception as error:
            logging.exception("A run could not be started")
            slicer.util.errorDisplay(_("The run could not be started: {error}").format(error=error))
            return
        self._whenFinished = whenFinished
        for signal, slot in self._slots():
            signal.connect(slot)
        self.showBusy(not quiet)
        self.changed.emit()

    def cancel(self) -> None:
        """End the run within a second."""
        if self.job is not None:
            self.job.cancel()

    def close(self) -> None:
        """End the run, and listen to it no more."""
        if self.job is not None:
            self._release().cancel()

    def showBusy(self, busy: bool) -> None:
        """Show or hide a bar that tells no share yet."""
        self._bar.setRange(0, 0)
        self._bar.setFormat("")
        self._bar.setVisible(busy)

    def _hasTorch(self) -> bool:
        return dependencies.torchState()[0] if self.isQuiet else dependencies.ensureTorch()

    def _tell(self, sentence: str) -> None:
        if not self.isQuiet:
            slicer.util.errorDisplay(sentence)

    def _slots(self) -> tuple:
        job = self.job
        return (
            (job.progressed, self._onProgressed),
            (job.learning, self._onLearning),
            (job.finished, self._onFinished),
            (job.failed, self._onFailed),
            (job.cancelled, self._onCancelled),
        )

    def _release(self) -> Any:
        for signal, slot in self._slots():
            signal.disconnect(slot)
        job, self.job = self.job, None
        self._bar.setVisible(False)
        self._enough.setVisible(False)
        return job

    def _onLearning(self, seconds: float, done: float, gain: float) -> None:
        self._bar.setRange(0, 1000)
        self._bar.setValue(int(1000 * done))
        self._bar.setFormat(learningWords(seconds, gain))
        self._enough.setVisible(True)

    def _endLearning(self) -> None:
        if self.job is not None:
            self.job.endLearning()

    def _onProgressed(self, done: int, total: int, secondsLeft: float | None) -> None:
        self._enough.setVisible(False)
        self._bar.setRange(0, int(total))
        self._bar.setValue(int(done))
        left = "" if secondsLeft is None else _(", {time} left").format(time=wording.duration(secondsLeft))
        self._bar.setFormat(f"%p%{left}")

    def _onFinished(self, node: Any) -> None:
        job = self._release()
        try:
            self._whenFinished(job, node)
        except RefusalError as refusal:
            self._tell(str(refusal))
        finally:
            self.changed.emit()

    def _onFailed(self, sentence: str) -> None:
        self._release()
        self.changed.emit()
        self._tell(sentence)

    def _onCancelled(self) -> None:
        self._release()
        self.changed.emit()
