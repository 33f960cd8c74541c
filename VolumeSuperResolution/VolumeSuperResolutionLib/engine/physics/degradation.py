"""The forward model: how a scanner with coarser voxels would have seen a volume.

LR[i] = sum_j w(j - c_i) HR[j] / sum_j w along each axis, with c_i = (i + 0.5) s - 0.5, so the field of view stays.
Training, data consistency and evaluation share it. Slice profiles and evaluation protocols have a registry each: one
more entry here is one more everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

import numpy as np

from ..volumes.intensity import PERCENTILES
from . import separable

# A Gaussian's full width at half maximum in units of its sigma.
FWHM = 2.355
# A Gaussian is cut at two coarse voxels; one wider than this many coarse voxels, at the same height further out.
WIDEST_AT_CUT = 1.2
# How far a registered profile reaches, in the same.
REACH = 2.0
# What scanners are expected to differ by: the width of the profile in coarse voxels, noise in parts of the range.
SCANNER_WIDTHS = (0.7, 1.2)
SCANNER_NOISE = 0.01
# What networks are trained for, if no protocol is named: all of that.
EXPECTED = "expected"
# And slices, which may have gaps between them or overlap.
THICK_WIDTHS = (0.7, 1.3)
THICK_NOISE = (0.0, 0.02)

# Weights (not normalized) of fine voxels at a distance from a coarse center, for a width and a coarse spacing; all
# lengths in fine voxels.
Weights = Callable[[np.ndarray, float, float], np.ndarray]


@dataclass(frozen=True)
class Profile:
    """How the scanner weighs what lies along an axis. `width` is where it has half its height.

    `share` of the training patches are degraded with it (the first one registered has the rest), in a width of
    SCANNER_WIDTHS where it `varies`.
    """

    name: str
    words: str
    weights: Weights
    share: float = 0.0
    varies: bool = False


def _gaussian(distance: np.ndarray, width: float, spacing: float) -> np.ndarray:
    """Sampled at the voxels' centers.

    Samples would miss one that is narrower than a fine voxel: it fades into linear interpolation at its center.
    """
    sampled = np.exp(-0.5 * (distance / (max(width, 1.0) / FWHM)) ** 2)
    sampled[np.abs(distance) > REACH * max(spacing, width / WIDEST_AT_CUT)] = 0.0
    if width >= 1:
        return sampled
    sampled /= sampled.sum(axis=-1, keepdims=True)
    return width**2 * sampled + (1 - width**2) * np.maximum(0.0, 1.0 - np.abs(distance))


def _box(distance: np.ndarray, width: float, spacing: float) -> np.ndarray:
    """The part of each fine voxel that lies inside."""
    half = width / 2
    return np.maximum(0.0, np.minimum(distance + 0.5, half) - np.maximum(distance - 0.5, -half))


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("gaussian", "Gaussian slice profile", _gaussian, varies=True),
        Profile("box", "block mean", _box, share=0.25),
    )
}


@dataclass(frozen=True)
class Blur:
    """One degradation: a profile, its width in coarse voxels, and the noise's sigma as a part of the range."""

    profile: str = "gaussian"
    width: float = 1.0
    noise: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """How volumes are degraded to measure methods, which are told of it or not."""

    words: str
    profiles: tuple[str, ...] = ("gaussian",)
    widths: tuple[float, float] = (1.0, 1.0)
    noise: tuple[float, float] = (0.0, 0.0)
    told: bool = False

    def draw(self, random: np.random.Generator) -> Blur:
        """The degradation of one volume."""

        def between(low: float, high: float) -> float:
            return low if low == high else random.uniform(low, high)

        width = between(*self.widths)
        first, *others = self.profiles
        profile = self.profiles[random.integers(len(self.profiles))] if others else first
        return Blur(profile, width, between(*self.noise))


PROTOCOLS: Mapping[str, Protocol] = {
    "profile": Protocol("a Gaussian as wide as a coarse voxel"),
    "box": Protocol("the mean of each coarse voxel", ("box",)),
    "scanner": Protocol("a Gaussian of a width not told, and noise", widths=SCANNER_WIDTHS, noise=(SCANNER_NOISE,) * 2),
    "thick": Protocol("a Gaussian or box, gaps or overlaps, and noise", tuple(PROFILES), THICK_WIDTHS, THICK_NOISE),
    "thick-told": Protocol("the same, which is told", tuple(PROFILES), THICK_WIDTHS, THICK_NOISE, told=True),
}


def training_profile(chance: float) -> Profile:
    """The profile of a training patch, from a number drawn between 0 and 1."""
    first, *others = PROFILES.values()
    for profile in reversed(others):
        if chance < profile.share:
            return profile
        chance -= profile.share
    return first


def training_noise(protocol: str) -> float:
    """The most noise in training patches of a protocol, or of those expected of scanners."""
    return SCANNER_NOISE if protocol == EXPECTED else PROTOCOLS[protocol].noise[1]


def training_words(protocol: str) -> str:
    """What a protocol, or training_profile and SCANNER_WIDTHS, come to, for a card."""
    if protocol != EXPECTED:
        low, high = PROTOCOLS[protocol].widths
        profiles = " or ".join(PROFILES[name].words for name in PROTOCOLS[protocol].profiles)
        return f"{profiles}, {low:g} to {high:g} times as wide as a coarse voxel"
    (low, high), (first, *others) = SCANNER_WIDTHS, PROFILES.values()
    parts = [f"{first.words} with a sigma of {low:g} to {high:g} times the nominal"]
    parts += [f"a {p.words} for {100 * p.share:.0f}% of the patches" for p in others if p.share]
    return ", ".join(parts)


def axis_matrix(n_high: int, n_low: int, profile: str | Profile = "gaussian", width: float = 1.0) -> np.ndarray:
    """What n_low coarse voxels see of n_high fine ones, through a profile `width` coarse voxels wide: (n_low, n_high).

    The matrix of one axis does not depend on the voxels' size, as both grids fill the same extent.
    """
    s = n_high / n_low
    return seen_from((np.arange(n_low) + 0.5) * s - 0.5, n_high, profile, width * s, s)


def seen_from(centers: np.ndarray, n_high: int, profile: str | Profile, width: float, spacing: float) -> np.ndarray:
    """What coarse voxels anywhere on an axis see of n_high fine ones; all lengths in fine voxels."""
    if isinstance(profile, str):
        profile = PROFILES[profile]
    weights = profile.weights(np.arange(n_high)[None, :] - centers[:, None], width, spacing)
    return weights / weights.sum(axis=1, keepdims=True)


def seen_near(centers: np.ndarray, n_high: int, profile: str, width: float, spacing: float) -> tuple[np.ndarray, slice]:
    """The same for centers in rising order: the columns that are used alone, and which those are."""
    reach = REACH * max(spacing, width / WIDEST_AT_CUT) + 1
    first, last = max(0, int(centers[0] - reach)), min(n_high, int(centers[-1] + reach) + 2)
    return seen_from(centers - first, last - first, profile, width, spacing), slice(first, last)


def matrices(
    shape: Sequence[int],
    factors: Sequence[float],
    profile: str = "gaussian",
    width: float = 1.0,
) -> separable.Matrices:
    """The operator for an array of this shape; shape and factors in array order (k, j, i)."""

    def one(n: int, factor: float) -> np.ndarray | None:
        return None if factor == 1 else axis_matrix(n, _coarse(n, factor), profile, width)

    return tuple(map(one, shape, factors))  # type: ignore[return-value]


def _coarse(n: int, factor: float) -> int:
    return max(1, int(np.floor(n / factor + 0.5)))


def observed(
    array: np.ndarray, factors: Sequence[float], region: Sequence[slice], profile: str, width: float
) -> np.ndarray:
    """One region of what `degrade` gives, up to rounding: no more of its matrices is made than the region needs."""
    rows: list[np.ndarray | None] = []
    used = []
    for n, factor, part in zip(array.shape, factors, region):
        matrix, columns = None, part
        if factor != 1:
            coarse = _coarse(n, factor)
            s = n / coarse
            matrix, columns = seen_near((np.arange(coarse)[part] + 0.5) * s - 0.5, n, profile, width * s, s)
        rows.append(matrix)
        used.append(columns)
    return separable.product(array[tuple(used)], rows)


def degrade(array: np.ndarray, factors: Sequence[float], profile: str = "gaussian", width: float = 1.0) -> np.ndarray:
    """The array (k, j, i) on a grid coarser by `factors` (array order), as float32."""
    return separable.apply(array, matrices(array.shape, factors, profile, width))


def drawn(protocol: str, name: str) -> Blur:
    """What a protocol does to the volume of this name."""
    return PROTOCOLS[protocol].draw(_random(name))


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def observe(array: np.ndarray, factors: Sequence[float], protocol: str, name: str) -> np.ndarray:
    """What a protocol makes of a volume; what it draws follows from the file's name."""
    random = _random(name)
    blur = PROTOCOLS[protocol].draw(random)
    low = degrade(array, factors, blur.profile, blur.width)
    if not blur.noise:
        return low
    bottom, top = np.percentile(array, PERCENTILES)
    return low + random.normal(0.0, blur.noise * (top - bottom), low.shape).astype(np.float32)
