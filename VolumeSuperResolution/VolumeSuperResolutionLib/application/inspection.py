"""What a volume is like, found out a moment at a time: no reaction of the panel goes over all its voxels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import qt

from ..engine.errors import RefusalError
from ..engine.models.domain import warnings_for
from ..engine.physics.noise import at_a_glance
from ..engine.volumes.grid import Volume
from ..engine.volumes.intensity import guess_modality
from . import acquisition, runs, scene
from .signals import Signal

STEP_SECONDS = 0.01
# Whole rows of voxels that tell of intensities as well as all do.
SAMPLE_VOXELS = 100_000


class Findings:
    """Of one volume: its modality, a sample of it, about how noisy it is, and what is found out later.

    That is how many values are not numbers (None: not known yet), and what is to be told of its slices' places.
    """

    def __init__(self, node: Any) -> None:
        volume = scene.volumeFromNode(node)
        self.grid = volume.grid
        self.sample = sampled(volume.array)
        modality = runs.modalityOf(node)
        self.modality = guess_modality(self.sample) if modality == "auto" else modality
        noise = at_a_glance(volume.array, self.sample, self.modality)
        self.noise = noise if np.isfinite(noise) else None
        self.nonfinite = None if volume.array.dtype.kind == "f" else 0
        self.places: tuple[str, ...] = ()
        self._warnings: dict = {}

    def warnings(self, card: Any) -> tuple:
        """What is unlike the volumes that a model was trained on."""
        if card.id not in self._warnings:
            self._warnings[card.id] = warnings_for(card, Volume(self.sample, self.grid), self.modality)
        return self._warnings[card.id]


class Inspection:
    """Keeps the findings of the volume that was looked at last; `finished` tells when all of it was seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.finished = Signal()
        self._clock = clock
        self._key: tuple = ()
        self._node: Any = None
        self._findings: Findings | None = None
        self._pieces: Iterator[None] = iter(())
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self.step)

    def of(self, node: Any) -> Findings | None:
        """The findings of a volume; None where there is nothing to look at."""
        image = node.GetImageData() if node is not None else None
        key = _stateOf(node, image) if image is not None else ()
        if key != self._key:
            self.forget()
            try:
                self._findings = Findings(node) if key else None
            except RefusalError:
                self._findings = None
            self._key, self._node = key, node
            if self._findings is not None and (self._findings.nonfinite is None or acquisition.instancesOf(node)):
                self._pieces = self._look()
                self._timer.start()
        return self._findings

    def forget(self) -> None:
        """Look at nothing any more."""
        self._timer.stop()
        self._key, self._node, self._findings = (), None, None
        self._pieces = iter(())

    def step(self) -> None:
        """Go on for a moment."""
        image = self._node.GetImageData()
        if image is None or image.GetMTime() != self._key[1]:
            self.forget()  # it is looked at again when the panel follows the change
            return
        until = self._clock() + STEP_SECONDS
        for _piece in self._pieces:
            if self._clock() >= until:
                return
        self._timer.stop()
        self.finished.emit()

    def _look(self) -> Iterator[None]:
        """All there is to find out, in pieces of a moment."""
        node, findings, count = self._node, self._findings, 0
        if findings.nonfinite is None:
            for plane in scene.volumeFromNode(node).array:
                count += plane.size - int(np.count_nonzero(np.isfinite(plane)))
                yield
            findings.nonfinite = count
        for instance in acquisition.instancesOf(node):
            acquisition.numbers(instance, acquisition.POSITION)
            yield
        findings.places = acquisition.placeWarnings(node)


def _stateOf(node: Any, image: Any) -> tuple:
    """What is another where a volume has to be looked at again."""
    series = node.GetAttribute(acquisition.INSTANCES)
    return node.GetID(), image.GetMTime(), node.GetSpacing(), node.GetOrigin(), runs.modalityOf(node), series


def sampled(array: np.ndarray) -> np.ndarray:
    """Some of the rows of a volume, evenly over it; a copy."""
    slices, rows, columns = array.shape
    every = max(1.0, slices * rows * columns / SAMPLE_VOXELS)
    across = min(int(np.ceil(every**0.5)), slices)
    along = int(np.ceil(every / across))
    if along > rows:
        across, along = int(np.ceil(every / rows)), rows
    return array[::across, ::along].copy()
