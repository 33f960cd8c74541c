"""What a volume is like, found out a moment at a time: no reaction of the panel goes over all its voxels."""

from __future__ import annotations

import time
from typing import Any, Callable

import numpy as np
import qt

from ..engine.errors import RefusalError
from ..engine.models.domain import warnings_for
from ..engine.physics.noise import white_noise
from ..engine.volumes.grid import Volume
from ..engine.volumes.intensity import guess_modality, percentiles
from . import runs, scene
from .signals import Signal

STEP_SECONDS = 0.01
# Whole rows of voxels that tell of intensities and noise as well as all do.
SAMPLE_VOXELS = 100_000
# The noise is looked at in a cube of so many voxels along each edge.
GLANCE = 40


class Findings:
    """Of one volume: its modality, a sample of it, and how many values are not numbers (None: not known yet)."""

    def __init__(self, node: Any) -> None:
        volume = scene.volumeFromNode(node)
        self.grid = volume.grid
        self.sample = sampled(volume.array)
        modality = runs.modalityOf(node)
        self.modality = guess_modality(self.sample) if modality == "auto" else modality
        self.noise = noiseAtAGlance(volume.array, self.sample, self.modality)
        self.nonfinite = None if volume.array.dtype.kind == "f" else 0
        self._warnings: dict = {}

    def warnings(self, card: Any) -> tuple:
        """What is unlike the volumes that a model was trained on."""
        if card.id not in self._warnings:
            self._warnings[card.id] = warnings_for(card, Volume(self.sample, self.grid), self.modality)
        return self._warnings[card.id]


def noiseAtAGlance(array: np.ndarray, sample: np.ndarray, modality: str) -> float | None:
    """The noise in the middle of a volume, as a part of the range of the sample: about what a run will find.

    None where it cannot be told.
    """
    block = array[tuple(slice((n - min(n, GLANCE)) // 2, (n + min(n, GLANCE)) // 2) for n in array.shape)]
    (low, high), (first, last) = percentiles(sample), percentiles(block)
    noise = white_noise(block, modality) * (last - first) / (high - low) if high > low else 0.0
    return noise if np.isfinite(noise) else None


class Inspection:
    """Keeps the findings of the volume that was looked at last; `finished` tells when all of it was seen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.finished = Signal()
        self._clock = clock
        self._key: tuple = ()
        self._node: Any = None
        self._findings: Findings | None = None
        self._planes = 0
        self._count = 0
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self.step)

    def of(self, node: Any) -> Findings | None:
        """The findings of a volume; None where there is nothing to look at."""
        image = node.GetImageData() if node is not None else None
        key = (node.GetID(), image.GetMTime(), node.GetSpacing(), runs.modalityOf(node)) if image is not None else ()
        if key != self._key:
            self.forget()
            try:
                self._findings = Findings(node) if key else None
            except RefusalError:
                self._findings = None
            self._key, self._node = key, node
            if self._findings is not None and self._findings.nonfinite is None:
                self._timer.start()
        return self._findings

    def forget(self) -> None:
        """Look at nothing any more."""
        self._timer.stop()
        self._key, self._node, self._findings = (), None, None
        self._planes = self._count = 0

    def step(self) -> None:
        """Go on for a moment."""
        image = self._node.GetImageData()
        if image is None or image.GetMTime() != self._key[1]:
            self.forget()  # it is looked at again when the panel follows the change
            return
        array = scene.volumeFromNode(self._node).array
        until = self._clock() + STEP_SECONDS
        while self._planes < len(array):
            plane = array[self._planes]
            self._count += plane.size - int(np.count_nonzero(np.isfinite(plane)))
            self._planes += 1
            if self._clock() >= until:
                return
        self._timer.stop()
        self._findings.nonfinite = self._count
        self.finished.emit()


def sampled(array: np.ndarray) -> np.ndarray:
    """Some of the rows of a volume, evenly over it; a copy."""
    slices, rows, columns = array.shape
    every = max(1.0, slices * rows * columns / SAMPLE_VOXELS)
    across = min(int(np.ceil(every**0.5)), slices)
    along = int(np.ceil(every / across))
    if along > rows:
        across, along = int(np.ceil(every / rows)), rows
    return array[::across, ::along].copy()
