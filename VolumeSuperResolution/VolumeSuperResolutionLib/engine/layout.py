"""What is known of a request before anything is computed: where it reads, what grid it gives, and how."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .models.card import Card
from .models.interval_table import IntervalTable
from .physics.interpolation import Fit
from .physics.scanner import Scanner
from .storage import Storage
from .volumes import intensity
from .volumes.grid import Grid, Region


class Layout(NamedTuple):
    """Where a request reads and what grid it gives."""

    card: Card
    region: Region
    source: Grid
    grid: Grid
    # What is known of the scan before its voxels are looked at.
    scanner: Scanner
    rounds: int
    # One data step, after the rounds that a model was trained through.
    step: bool
    # How the model would run that the result is averaged with, where the card names one.
    other: Layout | None = None

    @property
    def chain(self) -> list[Layout]:
        """This one, and those that its result is averaged with."""
        return [self] if self.other is None else [self, *self.other.chain]

    @property
    def shares(self) -> list[float]:
        """What part of the result each of the chain makes."""
        if self.other is None:
            return [1.0]
        return [self.card.share, *((1 - self.card.share) * share for share in self.other.shares)]

    @property
    def turns(self) -> int:
        """The most turns of the volume that a network of the chain is averaged over."""
        return max(each.card.turns for each in self.chain)

    @property
    def unturned(self) -> Layout:
        """The same without such averages."""
        return self._replace(card=self.card.unturned, other=self.other and self.other.unturned)

    def on(self, modality: str) -> Layout:
        """For scans of a modality: without those that it is not averaged with on it."""
        if self.other is None or not self.card.averaged_for(modality):
            return self._replace(other=None)
        return self._replace(other=self.other.on(modality))


class Prepared(NamedTuple):
    """A checked request: what is read, what comes out, and how."""

    layout: Layout
    array: np.ndarray
    dtype: np.dtype
    modality: str
    window: intensity.Window
    carrier: intensity.Carrier
    # With the noise that was told or estimated.
    scanner: Scanner
    # The same with what a network for every grid takes for noise.
    heard: Scanner
    # Of the noise, as it travels; only known where a data step needs it.
    sigma: float
    # Within what the truth lies, or why that is not known.
    table: IntervalTable | None
    missing: str
    notes: tuple[str, ...]
    storage: Storage
    # How the result lies on what is read for it, where that does not fill the same extent.
    fit: Fit | None = None
