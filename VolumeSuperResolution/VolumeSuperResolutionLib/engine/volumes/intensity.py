"""Intensities to network units and back, and the scalar type of the result.

The map is affine, one for the whole volume, and never clips: what goes in comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from ..errors import NotFiniteError, RefusalError

CT_WINDOW = (-1024.0, 3071.0)
PERCENTILES = (0.1, 99.9)
# Air in a CT is near -1000 HU; no MR sequence goes there.
CT_AIR = -500.0
# Tissue is above this part of the range in MR, above these HU in CT.
MR_FOREGROUND = 0.08
CT_FOREGROUND = -900.0
LARGEST_SAMPLE = 2_000_000
# An integer type rounds visibly when the whole volume spans fewer steps than this.
FEWEST_LEVELS = 64
# How far beyond the input's range (in parts of it) a sharper volume may reach at its edges.
OVERSHOOT = 0.25
TOUCHING = 0.01
# Values beyond this, or closer together than its inverse, are rescaled before they become float32.
LARGEST = 1e30
# Fewer steps of float32 than this across a volume's range would show.
FINENESS = 2**14
MOST_LOST = 0.01
# Integers that every device has.
NARROW = ("uint8", "int8", "int16")


@dataclass(frozen=True)
class Window:
    """`low` becomes 0 and `high` becomes 1."""

    low: float
    high: float

    def to_network(self, array: Any) -> Any:
        """Network units, float32; of numpy's arrays, or torch's in float32."""
        array = array.astype(np.float32) if isinstance(array, np.ndarray) else array
        return (array - np.float32(self.low)) * np.float32(1.0 / self._width())

    def to_scanner(self, array: Any) -> Any:
        """The scan's own units, float32; of numpy's arrays or torch's."""
        return array * np.float32(self._width()) + np.float32(self.low)

    def _width(self) -> float:
        return self.high - self.low if self.high > self.low else 1.0


def percentiles(
    array: np.ndarray, which: tuple[float, float] = PERCENTILES, most: int = LARGEST_SAMPLE
) -> tuple[float, float]:
    """The 0.1 and 99.9 percentile, or others; of a regular subset of about `most` voxels where there are more."""
    flat = array.reshape(-1)
    low, high = np.percentile(flat[:: max(1, flat.size // most)], which)
    return float(low), float(high)


def guess_modality(array: np.ndarray, limits: tuple[float, float] | None = None) -> str:
    """ "CT" where the volume holds air in HU, else "MR". `limits` are the array's percentiles, where they are known."""
    low, _ = percentiles(array) if limits is None else limits
    return "CT" if low < CT_AIR or float(array.min()) <= CT_AIR else "MR"


def window_for(array: np.ndarray, modality: str) -> Window:
    """The window of a volume: fixed for CT so that HU survive, by percentiles for everything else."""
    return Window(*CT_WINDOW) if modality == "CT" else Window(*percentiles(array))


def tissue_above(window: Window, modality: str) -> float:
    """The value above which there is tissue, in a volume of this window."""
    return CT_FOREGROUND if modality == "CT" else window.low + MR_FOREGROUND * (window.high - window.low)


def output_type(array: np.ndarray, extremes: tuple[float, float] | None = None) -> np.dtype:
    """The input's scalar type, or float32 where integers would round or clip visibly.

    A limit that the input itself touches (the zero of a magnitude image) is the scan's own and does not count. Lowest
    and highest value need not be looked for where they are known.
    """
    if array.dtype.kind == "f":
        return array.dtype if array.dtype.itemsize >= 4 else np.dtype(np.float32)
    if array.dtype.kind == "b":
        return np.dtype(np.uint8)
    low, high = extremes or (float(array.min()), float(array.max()))
    reach = high - low
    limits = np.iinfo(array.dtype)
    rounds = 0 < reach < FEWEST_LEVELS
    clips = any(TOUCHING * reach < room < OVERSHOOT * reach for room in (low - limits.min, limits.max - high))
    return np.dtype(np.float32) if rounds or clips else array.dtype


def to_type(values: np.ndarray, dtype: np.dtype, offset: int = 0) -> np.ndarray:
    """Float values, and an offset, in a scalar type: rounded to nearest, held at the type's limits."""
    if np.dtype(dtype).kind == "f":
        if values.dtype.itemsize > np.dtype(dtype).itemsize:
            values = np.clip(values, np.finfo(dtype).min, np.finfo(dtype).max)
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    rounded = np.rint(values)
    if dtype.itemsize <= 2 and not offset:
        return np.clip(rounded, limits.min, limits.max, out=rounded).astype(dtype)
    # The limits of the wide types are no float32 or float64: the nearest that is within is.
    bottom, top = _within(limits.min - offset, values.dtype), _within(limits.max - offset, values.dtype)
    held = np.clip(rounded, bottom, top)
    if offset:
        result = (held.astype(np.int64).view(np.uint64) + np.uint64(offset % 2**64)).astype(dtype)
    else:
        result = held.astype(dtype)
    result[rounded < bottom] = limits.min
    result[rounded > top] = limits.max
    return result


def _within(limit: int, dtype: np.dtype) -> np.floating:
    """The number of a float type that is nearest to an integer, and not beyond it as seen from zero."""
    number = dtype.type(limit)
    return np.nextafter(number, dtype.type(0)) if abs(int(number)) > abs(limit) else number


def check_finite(values: np.ndarray) -> None:
    """Refuse a result that is no number somewhere, whatever it comes from."""
    _check(bool(np.isfinite(values).all()))


def _check(finite: bool) -> None:
    if not finite:
        raise NotFiniteError(
            "The result would hold values that are not numbers, since values grow too large on the way; choose "
            "another model, or check the scan's values."
        )


@dataclass(frozen=True)
class Carrier:
    """How values that float32 cannot hold or tell apart travel through it: as (value - offset) / unit."""

    offset: float = 0.0
    unit: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether values travel as they are."""
        return (self.offset, self.unit) == (0.0, 1.0)

    def carry(self, array: np.ndarray, empty: Callable[..., np.ndarray] = np.empty) -> np.ndarray:
        """What travels: the array itself where it is plain, else float32."""
        if self.plain:
            return array
        carried = empty(array.shape, np.float32)
        for part, plane in zip(carried, array):
            part[...] = self.carry_plane(plane)
        return carried

    def carry_plane(self, plane: np.ndarray) -> np.ndarray:
        """What travels of some voxels, as float32, where it is not plain."""
        if plane.dtype.kind == "f":
            return ((plane.astype(np.float64) - self.offset) / self.unit).astype(np.float32)
        whole = (plane.astype(np.uint64) - np.uint64(int(self.offset) % 2**64)).view(np.int64)
        return (whole / self.unit).astype(np.float32) if self.unit != 1 else whole.astype(np.float32)

    def to_type(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """What traveled, in its own units and a scalar type."""
        if self.plain:
            return to_type(values, dtype)
        if np.dtype(dtype).kind == "f":
            return to_type(values.astype(np.float64) * self.unit + self.offset, dtype)
        return to_type(values.astype(np.float64) * self.unit, dtype, int(self.offset))

    def window(self, window: Window) -> Window:
        """A window in the units that travel."""
        if self.plain:
            return window
        return Window((window.low - self.offset) / self.unit, (window.high - self.offset) / self.unit)


PLAIN = Carrier()


@dataclass(frozen=True)
class Conversion:
    """From what a model gives to the voxels of a result (callbacks.Convert).

    Without a window, values are in the units that travel already.
    """

    dtype: np.dtype
    window: Window | None = None
    carrier: Carrier = PLAIN

    def __call__(self, values: np.ndarray) -> np.ndarray:
        values = self.scaled(values)
        check_finite(values)
        return self.typed(values)

    @property
    def narrow(self) -> str:
        """The name of the type where it is small enough for any device; else nothing."""
        return self.dtype.name if self.carrier.plain and self.dtype.name in NARROW else ""

    def scaled(self, values: Any) -> Any:
        """In the units that travel."""
        return values if self.window is None else self.window.to_scanner(values)

    def check(self, finite: bool) -> None:
        """Refuse what is no number somewhere."""
        _check(finite)

    def held(self, values: Any) -> Any:
        """Rounded to nearest, held at the limits of the type."""
        limits = np.iinfo(self.dtype)
        return values.round().clip(limits.min, limits.max)

    def typed(self, values: np.ndarray) -> np.ndarray:
        """In the scan's units and the final type."""
        return self.carrier.to_type(values, self.dtype)


def to_unit_range(array: np.ndarray, modality: str) -> Carrier:
    """The carrier that makes the range between the 0.1 and 99.9 percentile one; zero is the darkest, in CT water."""
    low, high = percentiles(array)
    if high <= low:
        low, high = float(array.min()), float(array.max())
    unit = high - low or 1.0
    if modality == "CT":
        return Carrier(0.0, unit)
    return Carrier(low if array.dtype.kind == "f" else float(np.floor(low)), unit)


def carrier_for(array: np.ndarray) -> Carrier:
    """The carrier of a volume: plain wherever float32 tells its values apart well enough."""
    exact = array.dtype.itemsize <= 2 or (array.dtype.kind == "f" and array.dtype.itemsize == 4)
    if exact and array.dtype.kind != "f":
        return PLAIN
    lowest, highest = float(array.min()), float(array.max())
    largest = max(abs(lowest), abs(highest))
    low, high = percentiles(array)
    if high <= low:
        low, high = lowest, highest
    span = high - low if np.isfinite(high - low) else largest
    coarse = np.spacing(np.float32(min(max(abs(low), abs(high)), LARGEST)))
    fine = exact or span >= FINENESS * float(coarse)
    if span == 0 or (fine and largest <= LARGEST and span >= 1 / LARGEST):
        return PLAIN
    whole = array.dtype.kind != "f"
    unit = 1.0 if whole or 1 / LARGEST <= span <= LARGEST else span
    offset = float(low // 1) if whole else 0.0 if fine else low
    carrier = Carrier(offset, unit)
    # What becomes zero or infinite on the way is lost.
    lost = 0
    for plane in array:
        carried = carrier.carry_plane(plane)
        lost += int(np.count_nonzero(((carried == 0) & (plane != offset)) | ~np.isfinite(carried)))
    if lost > MOST_LOST * array.size:
        raise RefusalError(
            f"The volume's values reach from {lowest:g} to {highest:g}, and beside that most are too close together to "
            "be told apart; remove the outliers first."
        )
    return carrier
