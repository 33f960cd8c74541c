"""What is kept apart to judge by: some slices, turned by 45 degrees in plane, which no patch shows so.

Turned slices are brought to cubes (across the slices, where they are coarse, by interpolation) and made coarse along
one of their axes: a small thick scan whose truth is known, for any model. It is made of slices of the thickness that
is told, and of thinner and thicker ones (and with another profile, where none is told), as a model that is good only
where that is exactly right is none to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..engine import checks
from ..engine.callbacks import Cancel
from ..engine.errors import RefusalError
from ..engine.physics import data_step, interpolation
from ..engine.physics.scanner import Scanner
from ..engine.request import Request
from ..engine.upscale import upscale
from ..engine.volumes.grid import Grid, Volume
from ..engine.volumes.intensity import Window
from .thick import DOUBT, ThickScan, observing

# One slice in so many is kept apart, and as many as fill so many planes of cubes at the most.
SHARE, PLANES = 8, 20
# The longest edge of what is judged, in pixels.
LONGEST = 112
# What is not judged at each border, in coarse voxels along that axis, and in pixels along the others.
BORDER = 2
# Of each scan, the part of the width that is told, and by what chance it gets its profile, where that is not told.
SCANS = ((1 - DOUBT, 1.0), (1.0, 0.0), (1 + DOUBT, 1.0))
# What was learned gets this part of the share that is best here: other networks see less here than they will, as what
# is interpolated across the slices tells them little. Chosen on training volumes.
CAUTION = 0.7
# Slices beside those kept apart that interpolation reads.
AROUND = interpolation.LANCZOS_RADIUS + 1


class Verdict(NamedTuple):
    """What was learned is worth so many decibels where its result has this share in the mean of both."""

    gain: float
    share: float


class HeldOut:
    """Made of the slices `numbers` of a scan."""

    def __init__(self, scan: ThickScan, seed: int):
        count = len(scan.slices)
        kept = max(1, min(count // SHARE, round(PLANES * min(scan.spacing) / scan.spacing[0])))
        edges = [float(np.abs(np.diff(plane, axis=0)).mean()) for plane in scan.slices]
        # Where the structure is: the slices about its middle.
        middle = int(np.searchsorted(np.cumsum(edges), sum(edges) / 2))
        first = int(np.clip(middle - kept // 2, 0, count - kept))
        self.numbers = np.arange(first, first + kept)
        self.scan = scan
        turned = _turned(scan, max(0, first - AROUND), min(count, first + kept + AROUND))
        around = first - max(0, first - AROUND)
        pixel = min(scan.spacing[1:])
        finer = max(1, round(scan.spacing[0] / pixel))
        n = max(1, int(turned.shape[1] / (scan.spacing[0] / pixel)))
        m = min(turned.shape[1], round(n * scan.spacing[0] / pixel))
        square = replace(scan, slices=turned, spacing=(scan.spacing[0], pixel, pixel))
        random = np.random.default_rng([seed, 1])
        inside = slice(around * finer, (around + kept) * finer)

        def cubes(planes: np.ndarray) -> np.ndarray:
            """(slice, coarse or fine, pixel) to (coarse or fine, plane of cubes, pixel)."""
            size = (len(planes) * finer, *planes.shape[1:])
            return np.ascontiguousarray(interpolation.resample(planes, size)[inside].transpose(1, 0, 2))

        self.truth = cubes(turned[:, :m])
        self.scans = []
        for width, chance in SCANS:
            seen = observing(square, 1, scan.doubted(width, chance), 0, n, m)
            coarse = np.einsum("nm,kmi->kni", seen, turned).astype(np.float32)
            missing = scan.noise * np.sqrt(np.maximum(0.0, 1 - (seen**2).sum(axis=1)))
            coarse += (missing[:, None] * random.standard_normal(coarse.shape)).astype(np.float32)
            self.scans.append(cubes(coarse))
        self.beaten = np.zeros(0, np.float32)
        self.grid = Grid((turned.shape[2], kept * finer, n), (pixel, scan.spacing[0] / finer, pixel * m / n))
        self.border = max(1, round(m / n)) * BORDER if n > 3 * BORDER else 0

    def beat(
        self, model: str, request: Request, factor: float, scanner: Scanner, window: Window, cancel: Cancel | None
    ) -> None:
        """The model to be beaten, as the engine runs it for this request, which makes slices so many times finer.

        A model that does not reach the pixels makes it as fine as the request is, and the rest is interpolated.
        """
        wanted = Request(
            model=model,
            scale=(1.0, 1.0, len(self.truth) / len(self.scans[0])),
            device=request.device,
            precision=request.precision,
            memory_mb=request.memory_mb,
            consistency=request.consistency,
            modality=request.modality,
            label_map=False,
            scanner=scanner,
        )
        try:
            checks.lay_out(self.grid, wanted)
        except RefusalError:
            wanted = replace(wanted, scale=(1.0, 1.0, factor))

        def restore(coarse: np.ndarray) -> np.ndarray:
            result = upscale(Volume(window.to_scanner(coarse), self.grid), wanted, cancel=cancel)
            return window.to_network(interpolation.resample(result.volume.array, self.truth.shape))

        self.beaten = self._errors(restore)

    def judge(self, restore: Callable[[np.ndarray], np.ndarray]) -> Verdict:
        """What `restore`, which makes (coarse, plane, pixel) fine along the first axis, is worth beside that model."""
        errors = self._errors(restore)
        change = errors - self.beaten
        size = _mean_square(change)
        # The mean of both with the least error here.
        share = -float(np.mean(np.multiply(self.beaten, change, dtype=np.float64))) / size if size else 0.0
        share = min(1.0, max(0.0, CAUTION * share))
        before, after = _mean_square(self.beaten), _mean_square(self.beaten + np.float32(share) * change)
        return Verdict(10 * math.log10(before / after) if after > 0 else 0.0, share)

    def _errors(self, restore: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Of each of the scans, in network units, without the border."""
        inner = (slice(self.border, self.truth.shape[0] - self.border), slice(None), slice(BORDER, -BORDER))
        return np.stack([restore(coarse)[inner] - self.truth[inner] for coarse in self.scans])

    def step(self, high: np.ndarray, low: np.ndarray, scanner: Scanner) -> None:
        """The data step after a network, in place, as the engine makes it."""
        data_step.explain(high, low, scanner, self.grid.spacing, self.scan.noise, learned=True)


def _mean_square(values: np.ndarray) -> float:
    return float(np.mean(np.square(values, dtype=np.float64)))


def _turned(scan: ThickScan, first: int, stop: int) -> np.ndarray:
    """Slices turned by 45 degrees about their middle, the largest square of the finest pixels that lies within them."""
    spacing = scan.spacing[:0:-1]
    pixel, turn = min(spacing), np.sqrt(0.5)
    size = np.array(scan.slices.shape[:0:-1])
    n = min(LONGEST, int((size * spacing).min() * turn / pixel))
    direction = np.array([[turn, -turn], [turn, turn]])
    middle = (size - 1) / 2 * spacing
    origin = middle - direction @ np.full(2, (n - 1) / 2 * pixel)
    planes = []
    for plane in scan.slices[first:stop]:
        image = sitk.GetImageFromArray(plane)
        image.SetSpacing([float(s) for s in spacing])
        wanted = sitk.Image([n, n], sitk.sitkFloat32)
        wanted.SetSpacing([float(pixel)] * 2)
        wanted.SetOrigin(origin.tolist())
        wanted.SetDirection(direction.ravel().tolist())
        planes.append(sitk.GetArrayFromImage(sitk.Resample(image, wanted, sitk.Transform(), sitk.sitkBSpline3)))
    return np.stack(planes)
