"""The data step: the volume nearest to a guess that explains the scan, in closed form.

A scan y = A x + noise and a guess z give

    argmin |A x - y|^2 + mu |x - z|^2  =  z + At (A At + mu)^-1 (y - A z),

where A = A0 x A1 x A2 has one small matrix an axis. On the coarse grid Ai Ait = Ui diag(Li) Uit, so the inverse is a
division by L + mu, L = L0[k] L1[j] L2[i], between products with Ut and U. With mu = 0 it is the exact projection onto
{A x = y}, to which rounds of back-projection converge. mu is the variance of what y - A x may be (noise, and what A
does not get right) in parts of the variance that is expected of the guess's error.

Where mu is 0, or only one axis is coarse, the whole correction is one banded matrix an axis: the step then works plane
by plane as any interpolation does.

Noise is met where it is: how wrong the guess may be differs from place to place, and is seen in the residual y - A z
itself. Each voxel of it counts in the proportion in which its neighborhood exceeds the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, Callable, NamedTuple

import numpy as np

from ..callbacks import Cancel, Place, Progress, end_if
from . import interpolation, separable
from .scanner import Scanner
from .separable import Matrices, along, like

# What a profile lets through less than this (in power, of the most it lets through) is not corrected: it would be
# rounding, amplified.
UNSEEN = 1e-6
# Parts of a correction below this are beyond float32's reach.
NEGLIGIBLE = 1e-7
# The longest axis that a correction's reach is measured on.
REACH_VOXELS = 64
# Coarse voxels that are solved together.
BLOCK_VOXELS = 500_000
# The mean square of a neighborhood of the residual has to exceed the noise's variance by this factor to count.
NOISE_MARGIN = 3.0
# mu where the shape of the profile is only assumed, in parts of the most that it lets through: where the Gaussian that
# is assumed is the true one, three fifths of what could be gained are; where the true one is a box, nothing is
# lost on scans that can tell. Chosen, as the margin was, on training volumes.
DOUBT = 0.4
# mu where it is known, in the same parts, for noise in parts of the intensity range, and the most of it: even where the
# residual exceeds the noise, what the profile lets through least of is noise for the greater part. Chosen so, too.
CARE, MOST_CARE = 5.0, 0.05
# What part of the scan's noise a network leaves in the residual, as it takes some of it for structure. Chosen on
# training volumes, too.
LEFT_BY_NETWORKS = 0.7
# mu after a network that was trained through the step, as DOUBT: where the shape is assumed, where it is known, and the
# noise (a part of the range) that adds 1. Chosen on crops of brains and chests with edsr3d-x2 and edsr3d-depth-x4.
NETWORKS_DOUBT, NETWORKS_KNOWN, NETWORKS_NOISE = 2.0, 0.02, 0.012


class Spectrum(NamedTuple):
    """A At of one axis: eigenvectors (columns), eigenvalues, and 1 where these are seen (else 0, the value being 1)."""

    vectors: np.ndarray
    values: np.ndarray
    seen: np.ndarray


class DataStep:
    """The step for one forward model: a matrix (coarse, fine) an axis, in array order (k, j, i); None: not coarser."""

    def __init__(self, forward: Matrices):
        self.forward = forward
        self.coarse = sum(m is not None for m in forward)

    @cached_property
    def power(self) -> float:
        """The most that the profiles let through, squared: what mu is compared with."""
        return float(np.prod([(s.values * s.seen).max() for s in self.spectra if s is not None]))

    def __call__(self, high: Any, low: Any, mu: Any = 0.0) -> Any:
        """The corrected guess for arrays that are small: numpy or torch, whose last three axes are (k, j, i).

        It is differentiable in all it is given; mu may be a tensor, one for each volume of a batch too.
        """
        residual = low - along(high, self.forward)
        if isinstance(mu, (int, float)) and self.banded(mu):
            return high + along(residual / self._without_axes(mu), self.corrections(mu))
        residual = along(residual, [None if s is None else s.vectors.T for s in self.spectra])
        values, seen = (like(residual, part) for part in self._power())
        up = [None if m is None or s is None else m.T @ s.vectors for m, s in zip(self.forward, self.spectra)]
        return high + along(residual * seen / (values + mu), up)

    def apply(
        self,
        high: np.ndarray,
        low: np.ndarray,
        mu: float = 0.0,
        noise: float = 0.0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        place: Place | None = None,
        empty: Callable[..., np.ndarray] = np.empty,
    ) -> None:
        """Correct a volume in place, holding one coarse volume beside it. What is left of a cancelled one is void.

        `noise` is the sigma of the noise in the residual low - A high.
        """
        residual = empty(low.shape, np.float32)

        def subtract(part: slice, values: np.ndarray) -> None:
            np.subtract(low[part], values, out=residual[part], casting="unsafe")

        def add(part: slice, values: np.ndarray) -> None:
            high[part] += values

        def solve(residual: Any) -> None:
            if noise:
                _trust(residual, noise, cancel)
            if self.banded(mu):
                residual /= self._without_axes(mu)
            else:
                self._solve(residual, mu, cancel)

        separable.apply(high, self.forward, subtract, _half(progress, 0), cancel, place)
        if place is None or not place.change(residual, solve):
            solve(residual)
        up: Matrices = tuple(None if m is None else m.T for m in self.forward)  # type: ignore[assignment]
        up = self.corrections(mu) if self.banded(mu) else up
        separable.apply(residual, up, add, _half(progress, 1), cancel, place)

    def banded(self, mu: float) -> bool:
        """Whether the correction is a banded matrix an axis."""
        return mu == 0 or self.coarse <= 1

    def corrections(self, mu: float) -> Matrices:
        """What takes a residual of the scan to the correction of the guess, where that is banded."""

        def one(matrix: np.ndarray | None, spectrum: Spectrum | None) -> np.ndarray | None:
            if matrix is None or spectrum is None:
                return None
            inverse = spectrum.vectors * (spectrum.seen / (spectrum.values + mu)) @ spectrum.vectors.T
            result = matrix.T @ inverse
            result[np.abs(result) < NEGLIGIBLE * np.abs(result).max()] = 0.0
            return result

        return tuple(map(one, self.forward, self.spectra))  # type: ignore[return-value]

    @cached_property
    def spectra(self) -> tuple[Spectrum | None, Spectrum | None, Spectrum | None]:
        """Of every coarse axis."""

        def one(matrix: np.ndarray | None) -> Spectrum | None:
            if matrix is None:
                return None
            values, vectors = np.linalg.eigh(matrix @ matrix.T)
            seen = values > UNSEEN * values[-1]
            return Spectrum(vectors, np.where(seen, values, 1.0), seen.astype(float))

        return tuple(map(one, self.forward))  # type: ignore[return-value]

    def _without_axes(self, mu: float) -> float:
        """What the residual is divided by where nothing is coarser: A is 1."""
        return 1.0 if self.coarse else 1.0 + mu

    def _power(self, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """L, and what is seen, over the coarse grid or some of its rows; an axis that is not coarser has length 1."""
        ones = np.ones(1)
        values = [ones if s is None else s.values for s in self.spectra]
        seen = [ones if s is None else s.seen for s in self.spectra]
        for kind in (values, seen):
            kind[1] = kind[1] if len(kind[1]) == 1 else kind[1][part]
        return np.einsum("k,j,i->kji", *values), np.einsum("k,j,i->kji", *seen)

    def _solve(self, residual: Any, mu: float, cancel: Cancel | None) -> None:
        """(A At + mu)^-1 in place: planes first, then columns through all of them, then planes again."""
        vectors = [None if s is None else like(residual, s.vectors) for s in self.spectra]
        _in_planes(residual, [None if v is None else v.T for v in vectors], cancel)
        length, height, width = residual.shape
        rows = max(1, BLOCK_VOXELS // (length * width))
        for start in range(0, height, rows):
            end_if(cancel)
            part = slice(start, min(start + rows, height))
            values, seen = self._power(part)
            factor, block = like(residual, seen / (values + mu)), residual[:, part]
            if vectors[0] is None:
                block *= factor
            else:
                turned = (vectors[0].T @ block.reshape(length, -1)).reshape(block.shape) * factor
                block[:] = (vectors[0] @ turned.reshape(length, -1)).reshape(block.shape)
        _in_planes(residual, vectors, cancel)


def _in_planes(residual: Any, vectors: Sequence[Any], cancel: Cancel | None) -> None:
    """Products along the last two axes, in place."""
    planes = max(1, BLOCK_VOXELS // (residual.shape[1] * residual.shape[2]))
    for start in range(0, residual.shape[0], planes):
        end_if(cancel)
        part = residual[start : start + planes]
        if vectors[1] is not None:
            part = vectors[1] @ part
        if vectors[2] is not None:
            part = part @ vectors[2].T
        residual[start : start + planes] = part


def _half(progress: Progress | None, which: int) -> Progress | None:
    """Progress through one half of the step."""
    if progress is None:
        return None
    return lambda done, total: progress(which * total + done, 2 * total)


@lru_cache(maxsize=4)
def step_for(
    scanner: Scanner,
    high: tuple[int, ...],
    low: tuple[int, ...],
    spacing: tuple[float, ...],
    fit: interpolation.Fit | None = None,
) -> DataStep:
    """The step from a scan of shape `low` (k, j, i) and spacing (i, j, k) in mm to a finer grid of shape `high`."""
    return DataStep(scanner.matrices(high, low, spacing, fit))


def explain(
    high: np.ndarray,
    low: np.ndarray,
    scanner: Scanner,
    spacing: tuple[float, ...],
    sigma: float,
    learned: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
    fit: interpolation.Fit | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> None:
    """Make a guess, in place, explain its scan as far as noise and doubt about the profile allow.

    The guess is a Lanczos interpolation, or `learned`: a network's. sigma is that of the scan's noise, in its units;
    the scanner's noise is the same in parts of the range.
    """
    step = step_for(replace(scanner, noise=None), high.shape, low.shape, spacing, fit)
    known = scanner.told_shape(_refined(high.shape, low.shape, fit))
    left = LEFT_BY_NETWORKS if learned else _noise_left(step.forward, low.shape, high.shape, fit)
    doubt = min(MOST_CARE, CARE * (scanner.noise or 0.0)) if known else DOUBT
    step.apply(high, low, doubt * step.power, sigma * left, progress, cancel, place, empty)


def weight_of_network(known: bool, noise: float) -> float:
    """mu after a network's guess, in parts of a step's power: for a profile whose shape is known, or only assumed.

    `noise` is a part of the scan's intensity range.
    """
    return (NETWORKS_KNOWN if known else NETWORKS_DOUBT) + (noise / NETWORKS_NOISE) ** 2


def explain_as_trained(
    high: np.ndarray,
    low: np.ndarray,
    scanner: Scanner,
    spacing: tuple[float, ...],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    place: Place | None = None,
    fit: interpolation.Fit | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> None:
    """Make the guess of a network that was trained through this very step, in place, explain its scan."""
    step = step_for(replace(scanner, noise=None), high.shape, low.shape, spacing, fit)
    known = scanner.told_shape(_refined(high.shape, low.shape, fit))
    mu = weight_of_network(known, scanner.noise or 0.0) * step.power
    step.apply(high, low, mu, progress=progress, cancel=cancel, place=place, empty=empty)


def reach(scanner: Scanner, high: Sequence[int], low: Sequence[int], spacing: Sequence[float]) -> list[int]:
    """How many voxels of the scan around it the correction of a voxel depends on, along (k, j, i); for `explain`."""
    # A correction does not know how long the axis is.
    short = [min(n, REACH_VOXELS) for n in low]
    step = step_for(scanner, tuple(round(n * m / s) for n, m, s in zip(short, high, low)), tuple(short), tuple(spacing))
    reaches = []
    for down, up in zip(step.forward, step.corrections(0.0)):
        # The residual of a voxel, its neighborhood, and what is spread from there.
        reaches.append(0 if down is None or up is None else _half_width(down.T) + 1 + _half_width(up))
    return [r or int(step.coarse > 0) for r in reaches]


def _half_width(matrix: np.ndarray) -> int:
    """How many columns from its own a row of a matrix reaches at the most, both axes being of one extent."""
    own = (np.arange(matrix.shape[0]) + 0.5) * matrix.shape[1] / matrix.shape[0] - 0.5
    rows, columns = np.nonzero(matrix)
    return int(np.ceil(np.abs(columns - own[rows]).max()))


def _refined(high: Sequence[int], low: Sequence[int], fit: interpolation.Fit | None) -> list[bool]:
    """Along which axes (i, j, k) the fine grid is finer."""
    return [n > m for n, m in zip(high, low)][::-1] if fit is None else [step < 1 for step in fit.step[::-1]]


def _noise_left(forward: Matrices, low: Sequence[int], high: Sequence[int], fit: interpolation.Fit | None) -> float:
    """What part of the scan's noise is left in low - A Lanczos(low)."""
    once = twice = 1.0
    for down, up in zip(forward, interpolation.matrices(low, high, "lanczos", fit)):
        if down is not None and up is not None:
            both = down @ up
            once *= float(np.median(np.diag(both)))
            twice *= float(np.median((both**2).sum(axis=1)))
    return float(np.sqrt(max(0.0, 1 - 2 * once + twice)))


def _trust(residual: Any, noise: float, cancel: Cancel | None) -> None:
    """Take from a residual, in place, what may be noise: by the mean square of 3 x 3 x 3 voxels, plane by plane."""
    limit = float(np.float32(NOISE_MARGIN * noise**2))

    def energy(plane: Any) -> Any:
        square = plane**2
        for axis in (0, 1):
            square = square.swapaxes(0, axis)
            total = 1 * square
            total[1:] += square[:-1]
            total[:1] += square[:1]
            total[:-1] += square[1:]
            total[-1:] += square[-1:]
            square = (total / 3).swapaxes(0, axis)
        return square

    before = here = energy(residual[0])
    for k in range(residual.shape[0]):
        end_if(cancel)
        after = energy(residual[k + 1]) if k + 1 < residual.shape[0] else here
        mean = (before + here + after) / 3
        residual[k] *= (mean - limit).clip(min=0) / mean.clip(min=limit)
        before, here = here, after
