"""How far to trust a result: what the report says of it, and maps on its grid, which lie where the result does."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from . import intervals
from .callbacks import Progress
from .layout import Prepared
from .models.work import Run
from .request import Request
from .volumes import intensity

# Fills a map, in the units that travel.
Fill = Callable[[np.ndarray, Progress], None]


def of(
    prepared: Prepared, request: Request, values: np.ndarray, part: float, work: Run
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the report says of intervals and of what was invented, and the maps of these that are asked for.

    `values` are the result's as they travel; each map takes this `part` of a pass.
    """
    carrier, table, empty = prepared.carrier, prepared.table, prepared.storage.empty
    maps: dict[str, np.ndarray] = {}
    extent = intervals.intensity_range(prepared.array, prepared.modality) / carrier.unit
    found: dict[str, Any] = {"interval_missing": prepared.missing}
    tissue = (intensity.tissue_above(prepared.window, prepared.modality) - carrier.offset) / carrier.unit
    if table is not None and extent > 0:
        found["interval"] = intervals.typical(values, table, extent, tissue) * carrier.unit
        found["interval_coverage"] = (min(table.coverage), max(table.coverage))
        found["interval_subjects"] = table.subjects
    if table is not None and request.interval:

        def half_widths(result: np.ndarray, tell: Progress) -> None:
            intervals.half_widths(values, table, extent, tell, work.cancel, result)

        maps["interval"] = _map(prepared, "interval", half_widths, part, work)
    if request.invented:
        source = prepared.layout.source

        def invented(result: np.ndarray, tell: Progress) -> None:
            given = values, source.size[::-1], prepared.scanner, source.spacing
            intervals.invent(*given, tell, work.cancel, work.place(), result, empty)

        maps["invented"] = _map(prepared, "invented", invented, part, work)
        found["invented"] = intervals.mean_in_tissue(maps["invented"], values, tissue)
        prepared.storage.relax()
    return found, maps


def uncertainty(prepared: Prepared, squares: np.ndarray, count: int, work: Run) -> np.ndarray:
    """The map of the standard deviation of so many results, of which these are the sums of squared deviations."""

    def fill(result: np.ndarray, tell: Progress) -> None:
        for mine, plane in zip(result, squares):
            intensity.check_finite(plane)
            np.sqrt(plane / np.float32(count), out=mine)
            prepared.storage.relax()

    return _map(prepared, "uncertainty", fill, 0.0, work)


def certain(prepared: Prepared, work: Run) -> np.ndarray:
    """The same of results that are all alike."""

    def fill(result: np.ndarray, tell: Progress) -> None:
        for plane in result:
            plane.fill(0)
            prepared.storage.relax()

    return _map(prepared, "uncertainty", fill, 0.0, work)


def _map(prepared: Prepared, name: str, fill: Fill, part: float, work: Run) -> np.ndarray:
    """A map in the scan's units; a step of the run."""
    storage, carrier, grid = prepared.storage, prepared.carrier, prepared.layout.grid
    result = storage.map(name, grid, np.dtype(np.float32 if carrier.plain else np.float64))
    with work.step(part) as tell, work.begin() as kept:
        if kept.done:
            return result
        if carrier.plain:
            fill(result, tell)
            return result
        traveling = storage.empty(result.shape, np.float32)
        fill(traveling, tell)
        for mine, plane in zip(result, traveling):
            mine[...] = plane.astype(np.float64) * carrier.unit
            storage.relax()
    return result
