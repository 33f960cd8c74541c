"""What is known of a result's error: within what the truth lies with 90%, and what of it the scan does not fix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .callbacks import Cancel, Place, Progress, end_if, part
from .models.card import Card
from .models.domain import Traits
from .models.interval_table import FEWEST_SUBJECTS, HELD, IntervalTable, percent
from .physics import data_step, interpolation, separable
from .physics.scanner import Scanner
from .request import Request
from .volumes import intensity

# The result is smoothed by one voxel before its gradient is taken.
RADIUS = 4
# Of the scan's intensities; CT has one fixed range.
RANGE = (0.5, 99.5)
# Factors this close (in parts) to the one that was measured are that one.
SAME_FACTOR = 0.05
# A scan may be this many times as fine, as coarse or as noisy as those that were measured.
BEYOND = 2.0
# As many slabs of planes, spread over the volume, tell what is typical of it.
MOST_SLABS = 8


def intensity_range(array: np.ndarray, modality: str) -> float:
    """What gradients and half widths are parts of: of a CT its window in HU, else the scan's own range."""
    if modality == "CT":
        low, high = intensity.CT_WINDOW
    else:
        low, high = intensity.percentiles(array, RANGE)
    return high - low


def find(
    card: Card, request: Request, factor: Sequence[float], modality: str, traits: Traits | None = None
) -> tuple[IntervalTable | None, str]:
    """The table that holds for a result, or None and, as a sentence, why there is none.

    Without `traits`, or with the modality "auto", what they would tell is not looked at.
    """
    changed = [
        name
        for name in ("consistency", "realism", "ensemble", "profile")
        if getattr(request, name) not in (None, False)
    ]
    if card.intervals and changed:
        return None, (
            f"The interval of {card.title} was measured with the settings of its card; leave the {changed[0]} or the "
            "interval out."
        )
    advice = "leave the interval out, or choose a model whose card has one for it."
    tables = [table for table in card.intervals if modality in ("auto", table.modality)]
    if not card.intervals:
        return None, f"No interval was measured for {card.title}; {advice}"
    if not tables:
        known = " and ".join(dict.fromkeys(table.modality for table in card.intervals))
        return None, f"The interval of {card.title} was measured on {known}, and this looks like {modality}; {advice}"
    near = [table for table in tables if _is_near(table.factor, factor)]
    if not near:
        known = ", ".join(dict.fromkeys(_times(table.factor) for table in tables))
        return None, (
            f"The interval of {card.title} was measured at {known}, and this is {_times(factor)}; choose such a "
            "target, or leave the interval out."
        )
    table = next((table for table in near if table.holds), near[0])
    if not table.holds:
        return None, f"An interval of {card.title} cannot be relied on: {_failing(table)}; {advice}"
    if traits is not None:
        return _within(card, table, traits)
    return table, ""


def _within(card: Card, table: IntervalTable, traits: Traits) -> tuple[IntervalTable | None, str]:
    """The table, if a scan is like those that it was made from."""
    finest, coarsest = table.spacing_mm
    if min(traits.spacing) < finest / BEYOND or max(traits.spacing) > BEYOND * coarsest:
        mm = " x ".join(f"{s:.3g}" for s in traits.spacing)
        return None, (
            f"The interval of {card.title} was measured on scans with voxels of {finest:.2g} to {coarsest:.2g} mm, and "
            f"these are {mm} mm; leave the interval out."
        )
    if traits.noise > BEYOND * table.noise:
        return None, (
            f"The interval of {card.title} was measured on scans with noise up to {100 * table.noise:.2g}% of their "
            f"range, and this has {100 * traits.noise:.2g}%; leave the interval out."
        )
    return table, ""


def _failing(table: IntervalTable) -> str:
    if table.subjects < FEWEST_SUBJECTS:
        measured = f"it was measured on {table.subjects} subjects of {table.modality}"
        return f"{measured}, and at least {FEWEST_SUBJECTS} are needed"
    low, high = (round(100 * part) for part in HELD)
    return (
        f"on subjects of {table.modality} left out it covered {percent((*table.coverage, *table.quartiles))} of the "
        f"truth, and {low} to {high}% were wanted"
    )


def _is_near(measured: Sequence[float], factor: Sequence[float]) -> bool:
    """Whether two factors are alike, in whatever order of axes."""
    return all(abs(f / m - 1) <= SAME_FACTOR for m, f in zip(sorted(measured), sorted(factor)))


def _times(factor: Sequence[float]) -> str:
    return " x ".join(f"{f:.3g}" for f in factor)


def steepness(values: np.ndarray, planes: slice = slice(None)) -> np.ndarray:
    """The length of the gradient a voxel, of the values smoothed by one voxel; of some of the planes."""
    start, stop, _ = planes.indices(values.shape[0])
    before, after = max(0, start - 1), min(values.shape[0], stop + 1)
    matrices = tuple(_smoothing(n) for n in values.shape)
    smooth = separable.block(values, matrices, (slice(before, after), slice(None), slice(None)))  # type: ignore[arg-type]
    return _gradient(smooth)[start - before : stop - before]


def _gradient(block: np.ndarray) -> np.ndarray:
    total = np.zeros(block.shape, np.float32)
    for axis, n in enumerate(block.shape):
        if n > 1:
            slope = np.gradient(block, axis=axis)
            total += np.square(slope, out=slope)
    return np.sqrt(total, out=total)


def _smoothing(n: int) -> np.ndarray | None:
    """A Gaussian of one voxel along an axis, the border repeated."""
    if n == 1:
        return None
    taps = np.arange(-RADIUS, RADIUS + 1)
    kernel = np.exp(-0.5 * taps**2)
    matrix = np.zeros((n, n))
    index = np.clip(np.arange(n)[:, None] + taps, 0, n - 1)
    np.add.at(matrix, (np.arange(n)[:, None], index), kernel / kernel.sum())
    return matrix


def typical(values: np.ndarray, table: IntervalTable, extent: float, tissue: float) -> float:
    """The median half width of the interval in tissue: of values above `tissue`, in some slabs of planes.

    All are in the units of the values; `extent` is their intensity_range.
    """
    slabs = _slabs(values.shape)
    counts = np.zeros((2, len(table.half_widths)), np.int64)
    for planes in slabs[:: -(-len(slabs) // MOST_SLABS)]:
        bins = table.bins(steepness(values, planes) / np.float32(extent or 1.0))
        for count, some in zip(counts, (bins[values[planes] > tissue], bins.reshape(-1))):
            count += np.bincount(some, minlength=len(count))
    seen = np.cumsum(counts[0] if counts[0].any() else counts[1])
    return table.half_widths[int(np.searchsorted(seen, seen[-1] / 2))] * extent


def half_widths(
    values: np.ndarray,
    table: IntervalTable,
    extent: float,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    result: np.ndarray | None = None,
) -> np.ndarray:
    """The half width of the interval at every voxel, as float32, in the units of `extent`, the intensity_range."""
    widths = (np.asarray(table.half_widths) * extent).astype(np.float32)
    result = np.empty(values.shape, np.float32) if result is None else result
    for planes in _slabs(values.shape):
        end_if(cancel)
        result[planes] = widths[table.bins(steepness(values, planes) / np.float32(extent or 1.0))]
        if progress is not None:
            progress(planes.stop, values.shape[0])
    return result


def _slabs(shape: Sequence[int]) -> list[slice]:
    """Planes that are looked at together."""
    thickness = max(1, separable.SLAB_VOXELS // (shape[1] * shape[2]))
    return [slice(start, min(start + thickness, shape[0])) for start in range(0, shape[0], thickness)]


def invent(
    values: np.ndarray,
    low_shape: Sequence[int],
    scanner: Scanner,
    spacing: tuple[float, ...],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
    result: np.ndarray | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> np.ndarray:
    """How much of a result x its scan, of this shape (k, j, i) and spacing (i, j, k), does not determine; float32.

    Of all volumes of which the scanner A would see what it sees of x, one adds least to plain interpolation L:
    z = L A x + A+ (A x - A L A x). What is told is |x - z|: A does not see it. Without L that would be |x - A+ A x|,
    which at 4x finds up to an eighth of every constant, as the shortest volume that explains a constant has ripples.
    """
    step = data_step.step_for(scanner, values.shape, tuple(low_shape), spacing)
    seen = empty(tuple(low_shape), np.float32)
    separable.apply(values, step.forward, seen.__setitem__, part(progress, 0 / 3, 1 / 3), cancel, place)
    result = np.empty(values.shape, np.float32) if result is None else result
    plain = interpolation.matrices(seen.shape, values.shape, "lanczos")
    separable.apply(seen, plain, result.__setitem__, part(progress, 1 / 3, 2 / 3), cancel, place)
    step.apply(result, seen, 0.0, 0.0, part(progress, 2 / 3, 3 / 3), cancel, place, empty)
    for mine, given in zip(result, values):
        np.abs(np.subtract(given, mine, out=mine, casting="unsafe"), out=mine)
    return result


def mean_in_tissue(found: np.ndarray, values: np.ndarray, tissue: float) -> float:
    """The mean of a map where the values are above `tissue`; everywhere, if none are."""
    total, count = 0.0, 0
    for plane, of in zip(found, values):
        inside = plane[of > tissue]
        total, count = total + float(inside.sum(dtype=np.float64)), count + inside.size
    return total / count if count else float(found.mean(dtype=np.float64))
