"""Within what the truth lies of a result with 90%: a table from how steep the result is, as measured on real scans.

Where a result is steep its error is large, in the same proportion on every scan of a kind: the gradient of the result,
in parts of the scan's range, falls into one of twelve bins, and each bin has the half width of an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from . import schema

MODALITIES = ("MR", "CT")
LEVEL = 0.9
BINS = 12
# What has to be covered of every subject that the table was not made from, and of every quarter of the gradients.
HELD = (0.85, 0.95)
FEWEST_SUBJECTS = 3
LARGEST = 1e6


@dataclass(frozen=True)
class IntervalTable:
    """One calibration. Gradients (a voxel of the result) and half widths are in parts of the range of intensities."""

    modality: str = schema.entry("of the scans", schema.one_of(*MODALITIES))
    factor: tuple[int, int, int] = schema.entry(
        "along i, j, k; one axis alone stands for any", schema.several(schema.whole(1, 16), 3, 3)
    )
    protocol: str = schema.entry("how scans were degraded", schema.text(1, 200))
    edges: tuple[float, ...] = schema.entry(
        "between the bins of the gradient, rising", schema.several(schema.number(0, LARGEST), BINS - 1, BINS - 1)
    )
    half_widths: tuple[float, ...] = schema.entry(
        "of the interval in each bin, never falling", schema.several(schema.number(0, LARGEST), BINS, BINS)
    )
    quantile: float = schema.entry(
        "of the errors in a bin that its half width is; above 0.9 where that was needed to hold on every subject",
        schema.number(0.5, 1),
    )
    coverage: tuple[float, ...] = schema.entry(
        "of each subject, by the table of the others; none where there are too few",
        schema.several(schema.number(0, 1), 0, 1000),
    )
    quartiles: tuple[float, ...] = schema.entry(
        "the same by quarters of the gradient, means over subjects", schema.several(schema.number(0, 1), 0, 4)
    )
    subjects: int = schema.entry("it was made from", schema.whole(1, 100_000))
    files: tuple[str, ...] = schema.entry("their scans", schema.several(schema.text(1, 300), 1))
    crop: int = schema.entry("voxels a side of the part of each that was looked at; 0: all", schema.whole(0, 10_000))
    spacing_mm: tuple[float, float] = schema.entry(
        "the finest and the coarsest voxels of the scans, degraded", schema.several(schema.number(0, 1e4), 2, 2)
    )
    noise: float = schema.entry(
        "the most noise of the scans, degraded, as a part of the intensity range", schema.number(0, 1)
    )

    @property
    def holds(self) -> bool:
        """Whether it covered enough, and not too much, of every subject left out and every quarter."""
        figures = (*self.coverage, *self.quartiles)
        return self.subjects >= FEWEST_SUBJECTS and bool(figures) and all(HELD[0] <= c <= HELD[1] for c in figures)

    def bins(self, steepness: np.ndarray) -> np.ndarray:
        """The number of each gradient's bin."""
        return np.searchsorted(np.asarray(self.edges, np.float32), steepness, side="right")

    def words(self) -> str:
        """What was measured, in one line: "MR, 2 x 2 x 2, scanner: ...", for a list."""
        place = f"{self.modality}, {' x '.join(map(str, self.factor))}, {self.protocol}"
        if self.subjects < FEWEST_SUBJECTS:
            return f"{place}: not stated, as {self.subjects} subjects are too few"
        quarters = f"{percent(self.quartiles)} by quarters of the gradient"
        measured = f"{percent(self.coverage)} of each of {self.subjects} subjects left out, {quarters}"
        if not self.holds:
            return f"{place}: not stated, as it covered {measured}"
        low, high = 100 * self.half_widths[0], 100 * self.half_widths[-1]
        return f"{place}: within {low:.2g} (smooth) to {high:.2g}% (edges) of the range; covered {measured}"


def percent(parts: Sequence[float]) -> str:
    """ "85 to 93%"."""
    low, high = round(100 * min(parts)), round(100 * max(parts))
    return f"{low}%" if low == high else f"{low} to {high}%"


def interval_table(value: Any) -> IntervalTable:
    """The check of one table in a card."""
    if isinstance(value, IntervalTable):
        value = vars(value)
    known = [f.name for f in fields(IntervalTable)]
    values = schema.record(schema.checks_of(IntervalTable), known)(value)
    found = IntervalTable(**{name: values[name] for name in known})
    _check_agreement(found)
    return found


def read_tables(values: Any) -> dict[str, tuple[IntervalTable, ...]]:
    """The tables of several models by their ids; raises ValueError."""
    return schema.table(schema.several(interval_table))(values)


def _check_agreement(table: IntervalTable) -> None:
    """What no field can tell by itself."""
    if any(b < a for a, b in zip(table.edges, table.edges[1:])):
        raise ValueError("edges have to rise")
    if any(b < a for a, b in zip(table.half_widths, table.half_widths[1:])):
        raise ValueError("half_widths must not fall")
    if len(table.coverage) not in (0, table.subjects) or len(table.quartiles) != (4 if table.coverage else 0):
        raise ValueError("coverage is one number a subject, and quartiles are four, or both are empty")
    if table.spacing_mm[0] > table.spacing_mm[1]:
        raise ValueError("spacing_mm names the coarsest voxels first")
