"""What is known of how a volume was scanned: along each axis the slice profile and its width, and the noise.

Thickness and spacing are two numbers: slices 3 mm thick every 3.6 mm leave gaps of 0.6 mm, slices 2 mm thick every
1 mm overlap. A Scanner travels with the volume through request, report, card, training and evaluation.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RefusalError
from ..volumes.grid import THICKEST
from . import degradation, interpolation, separable

# Where a number comes from, and how the report says so.
TOLD = {"assumed": "assumed", "dicom": "from DICOM", "user": "as given", "estimated": "estimated"}
FEWEST_POINTS = 3
# Of the file of a measured profile, in characters.
LONGEST_FILE = 1_000_000
# Width and spacing that differ by less than this part are written as one.
SAME = 0.005


@dataclass(frozen=True)
class Measured:
    """A measured slice profile: weights at positions in mm, straight lines between them, nothing outside.

    It is centered on its centroid, as where a slice sits is told by the scan's geometry.
    """

    positions: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.positions) != len(self.weights) or len(self.positions) < FEWEST_POINTS:
            raise RefusalError(
                f"A measured slice profile has {len(self.positions)} points; give at least {FEWEST_POINTS} lines with "
                "a position in mm and a weight each."
            )
        if not all(map(math.isfinite, (*self.positions, *self.weights))):
            raise RefusalError("A measured slice profile holds values that are not finite numbers; correct its file.")
        if any(b <= a for a, b in zip(self.positions, self.positions[1:])):
            raise RefusalError("The positions of a measured slice profile have to rise from line to line; sort them.")
        if self._integral(np.array(self.positions[-1:]))[0] <= 0:
            raise RefusalError("The weights of a measured slice profile sum to nothing or less; correct its file.")

    @property
    def name(self) -> str:
        """As the registered profiles have one."""
        return "measured"

    @property
    def width(self) -> float:
        """Full width at half maximum in mm."""
        x, w = np.array(self.positions), np.array(self.weights)
        above = np.flatnonzero(w >= w.max() / 2)
        ends = []
        for inner, outer in ((above[0], above[0] - 1), (above[-1], above[-1] + 1)):
            if 0 <= outer < len(x):
                part = (w[inner] - w.max() / 2) / (w[inner] - w[outer])
                ends.append(x[inner] + part * (x[outer] - x[inner]))
            else:
                ends.append(x[inner])
        return float(ends[1] - ends[0])

    def profile(self) -> degradation.Profile:
        """As a registered one, which can be stretched to any width."""
        return degradation.Profile("measured", "", self._weights)

    def _weights(self, distance: np.ndarray, width: float, spacing: float) -> np.ndarray:
        """The integral over each fine voxel."""
        mm = self.width / width
        center = self._centroid()
        return self._integral((distance + 0.5) * mm + center) - self._integral((distance - 0.5) * mm + center)

    def _centroid(self) -> float:
        x, w = np.array(self.positions), np.array(self.weights)
        steps, (a, b), (u, v) = np.diff(x), (x[:-1], x[1:]), (w[:-1], w[1:])
        moments = steps / 6 * (u * (2 * a + b) + v * (a + 2 * b))
        return float(moments.sum() / (steps * (u + v) / 2).sum())

    def _integral(self, upto: np.ndarray) -> np.ndarray:
        """Of the weights from the first position to each of these."""
        x, w = np.array(self.positions), np.array(self.weights)
        upto = np.clip(upto, x[0], x[-1])
        start = np.clip(np.searchsorted(x, upto, side="right") - 1, 0, len(x) - 2)
        whole = np.concatenate([[0.0], np.cumsum(np.diff(x) * (w[:-1] + w[1:]) / 2)])
        return whole[start] + (upto - x[start]) * (w[start] + np.interp(upto, x, w)) / 2


@dataclass(frozen=True)
class Axis:
    """One axis: the name of a registered profile or a measured one, and its width in mm (None: the spacing).

    A measured profile without a width is as wide as it was measured. `told` says where the width comes from, and
    `shape` where the profile does (see TOLD): DICOM tells a thickness, but no shape.
    """

    profile: str | Measured = "gaussian"
    width: float | None = None
    told: str = "assumed"
    shape: str = "assumed"

    def check(self, name: str, spacing: float) -> None:
        """Refuse what no scanner does."""
        if isinstance(self.profile, str) and self.profile not in degradation.PROFILES:
            raise RefusalError(
                f"No slice profile is called {self.profile}; choose {' or '.join(degradation.PROFILES)}, or give a "
                "file with positions in mm and weights."
            )
        for told in (self.told, self.shape):
            if told not in TOLD:
                raise RefusalError(f"A profile cannot be {told!r}; say one of {', '.join(TOLD)}.")
        width = self.width_at(spacing)
        if not (math.isfinite(width) and 0 < width <= THICKEST * spacing):
            raise RefusalError(
                f"A thickness of {width:g} mm along {name} is not possible with voxels every {spacing:.4g} mm; give "
                f"one above 0 and up to {THICKEST * spacing:.4g} mm."
            )

    def width_at(self, spacing: float) -> float:
        """The width in mm for voxels every `spacing` mm."""
        if self.width is not None:
            return float(self.width)
        return self.profile.width if isinstance(self.profile, Measured) else float(spacing)

    def matrix(self, n_high: int, n_low: int, spacing: float) -> np.ndarray:
        """What n_low voxels every `spacing` mm see of n_high finer ones over the same extent."""
        return degradation.axis_matrix(n_high, n_low, self._shape(), self.width_at(spacing) / spacing)

    def rows(self, centers: np.ndarray, n_high: int, spacing: float, step: float) -> np.ndarray:
        """What voxels every `spacing` mm, anywhere on the axis, see of n_high finer ones every `step` mm.

        `centers` are in finer voxels.
        """
        return degradation.seen_from(centers, n_high, self._shape(), self.width_at(spacing) / step, spacing / step)

    def _shape(self) -> str | degradation.Profile:
        return self.profile.profile() if isinstance(self.profile, Measured) else self.profile


@dataclass(frozen=True)
class Scanner:
    """What is known of a scan, axes in (i, j, k) order. `noise` is its sigma as a part of the intensity range.

    The range is that of the 0.1 and 99.9 percentile. Without `noise` it is estimated where it is needed.
    """

    axes: tuple[Axis, Axis, Axis] = field(default_factory=lambda: (Axis(),) * 3)
    noise: float | None = None
    noise_told: str = "assumed"

    def check(self, spacing: Sequence[float]) -> None:
        """Refuse widths, profiles and noise that cannot be, for voxels of this spacing in mm."""
        for name, axis, step in zip("ijk", self.axes, spacing):
            axis.check(name, step)
        if self.noise_told not in TOLD:
            raise RefusalError(f"A noise cannot be {self.noise_told!r}; say one of {', '.join(TOLD)}.")
        if self.noise is not None and not (math.isfinite(self.noise) and 0 <= self.noise < 1):
            raise RefusalError(
                f"A noise of {100 * self.noise:g}% of the intensity range is not possible; give 0 to less than 100%."
            )

    def told_shape(self, refined: Sequence[bool]) -> bool:
        """Whether the shape of the profile is known along the axes (i, j, k) that are refined, if any is."""
        return any(refined) and all(axis.shape != "assumed" for axis, finer in zip(self.axes, refined) if finer)

    def along(self, axis: int, **values: Any) -> Scanner:
        """The same but for one axis (0 to 2 for i, j, k), whose profile, width or told are others."""
        axes = list(self.axes)
        axes[axis] = replace(axes[axis], **values)
        return replace(self, axes=tuple(axes))  # type: ignore[arg-type]

    def told(
        self,
        spacing: Sequence[float],
        thickness: float | None = None,
        profile: str | None = None,
        noise: float | None = None,
    ) -> Scanner:
        """The same with what a user says of a scan of this spacing in mm.

        The thickness in mm is that of the slices, the profile a name or a file, the noise in percent of the range.
        """
        across, result = self.across(spacing), self
        if profile is not None:
            shape = named_profile(profile)
            # What was measured is how slices look, not pixels.
            for axis in range(3) if isinstance(shape, str) else (across,):
                result = result.along(axis, profile=shape, shape="user")
            if not isinstance(shape, str):
                result = result.along(across, width=None, told="user")
        if thickness is not None:
            result = result.along(across, width=float(thickness), told="user")
        return result if noise is None else replace(result, noise=noise / 100, noise_told="user")

    def matrices(
        self,
        high: Sequence[int],
        low: Sequence[int],
        spacing: Sequence[float],
        fit: interpolation.Fit | None = None,
    ) -> separable.Matrices:
        """What the scan sees of a finer grid; shapes in array order (k, j, i), the scan's spacing in (i, j, k).

        An axis that the other grid does not refine is interpolated.
        """

        def one(
            axis: Axis, n_high: int, n_low: int, step: float, place: tuple[float, float | None]
        ) -> np.ndarray | None:
            start, zoom = place
            if (n_high / n_low if zoom is None else zoom) <= 1:
                return interpolation.axis_matrix(n_high, n_low, "lanczos", start, zoom)
            if zoom is None:
                return axis.matrix(n_high, n_low, step)
            return axis.rows(interpolation.centers(n_high, n_low, start, zoom), n_high, step, step / zoom)

        placed = interpolation.starts_and_steps(fit and fit.inverse())
        return tuple(map(one, self.axes[::-1], high, low, tuple(spacing)[::-1], placed))  # type: ignore[return-value]

    def words(self, spacing: Sequence[float]) -> str:
        """One line: "slices 3 mm thick every 3.6 mm (from DICOM), noise 1.2% (estimated)"."""
        across, wide = self.across(spacing), [(axis.width, axis.told) for axis in self.axes]
        shapes = [_shape_words(axis) for axis in self.axes]
        alike = len(set(shapes)) == 1
        pixels = [_width_words(self.axes[n], spacing[n], "wide") for n in range(3) if n != across]
        if set(wide) == {(None, "assumed")} and alike:
            parts = ["voxels as wide as their spacing (assumed)"]
        else:
            parts = [f"slices {_width_words(self.axes[across], spacing[across], 'thick')}"]
            parts += [shapes[across]] if not alike else []
            if any(width != (None, "assumed") for n, width in enumerate(wide) if n != across):
                parts.append(f"pixels {' and '.join(dict.fromkeys(pixels))}")
        parts += [shapes[0]] if alike else []
        if self.noise is not None:
            parts.append(f"noise {100 * self.noise:.2g}% ({TOLD[self.noise_told]})")
        return ", ".join(filter(None, parts))

    def across(self, spacing: Sequence[float]) -> int:
        """The axis across the slices: the one whose width is told, as DICOM does, or the one of the largest spacing."""
        told = [n for n, axis in enumerate(self.axes) if axis.told != "assumed"]
        return told[0] if len(told) == 1 else slice_axis(spacing)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scanner:
        """From what to_dict gave, or from JSON made of it."""
        return cls(
            axes=tuple(_axis_from(axis) for axis in values["axes"]),  # type: ignore[arg-type]
            noise=values.get("noise"),
            noise_told=values.get("noise_told", "assumed"),
        )


def slice_axis(spacing: Sequence[float]) -> int:
    """The axis across the slices: the one with the largest spacing, the last where all are the same."""
    return 2 - int(np.argmax(np.round(spacing, 4)[::-1]))


def of_blur(blur: degradation.Blur, spacing: Sequence[float]) -> Scanner:
    """A degradation to voxels of this spacing (mm), as one who knows it would tell it."""
    axes = tuple(Axis(blur.profile, blur.width * step, "user", "user") for step in spacing)
    return Scanner(axes, blur.noise, "user")  # type: ignore[arg-type]


def from_dicom(thickness: str | float | None, spacing: Sequence[float]) -> Scanner:
    """What DICOM's slice thickness (0018,0050) tells of a scan whose slices lie across k; nothing, if it cannot be."""
    try:
        width = float(thickness or 0)
    except ValueError:
        width = 0.0
    return Scanner().along(2, width=width, told="dicom") if 0 < width <= THICKEST * spacing[2] else Scanner()


def named_profile(text: str) -> str | Measured:
    """A profile by its name, or a measured one from the file of that name."""
    if text.lower() in degradation.PROFILES:
        return text.lower()
    if not os.path.isfile(text):
        raise RefusalError(
            f"No slice profile is called {text}; choose {' or '.join(degradation.PROFILES)}, or give a file with "
            "positions in mm and weights."
        )
    return read_profile(Path(text))


def read_profile(path: Path) -> Measured:
    """A measured slice profile from a text file: one position in mm and one weight a line; # begins a comment."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(LONGEST_FILE).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusalError(f"The slice profile {path} cannot be read as text; give a file with two columns.") from error
    points = []
    for number, line in enumerate(lines, start=1):
        columns = line.partition("#")[0].replace(",", " ").replace(";", " ").split()
        if not columns:
            continue
        try:
            position, weight = map(float, columns)
        except ValueError as error:
            raise RefusalError(
                f"Line {number} of the slice profile {path} is not two numbers; write a position in mm and a weight "
                "on each line."
            ) from error
        points.append((position, weight))
    return Measured(tuple(p for p, _ in points), tuple(w for _, w in points))


def _axis_from(values: Mapping[str, Any]) -> Axis:
    profile = values.get("profile", "gaussian")
    if not isinstance(profile, str):
        profile = Measured(tuple(profile["positions"]), tuple(profile["weights"]))
    return Axis(profile, values.get("width"), values.get("told", "assumed"), values.get("shape", "assumed"))


def _width_words(axis: Axis, spacing: float, dimension: str) -> str:
    """ "3 mm thick every 3.6 mm (from DICOM)"."""
    width = axis.width_at(spacing)
    every = "" if abs(width - spacing) < SAME * spacing else f" {dimension} every {spacing:.3g} mm"
    return f"{width:.3g} mm{every} ({TOLD[axis.told]})"


def _shape_words(axis: Axis) -> str:
    """ "box profile (as given)"; nothing of what is assumed of all scans."""
    name = axis.profile if isinstance(axis.profile, str) else axis.profile.name
    return "" if (name, axis.shape) == (Axis.profile, Axis.shape) else f"{name} profile ({TOLD[axis.shape]})"
