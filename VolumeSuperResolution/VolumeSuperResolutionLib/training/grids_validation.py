"""Validation of the network for every grid during training: gains over the best classical method on fixed patches."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..engine.physics import degradation, interpolation
from ..engine.physics.scanner import Axis, Scanner
from . import grids
from .grids import Degraded, GridBatch, Setting
from .patches import Scan, kind_shares

# Under which protocol, by which factors, and whether the profile is told: the name has a space, as gains have.
WATCHED = {
    "2x profile": ("profile", (2, 2, 2), False),
    "2x box": ("box", (2, 2, 2), False),
    "2x box, told": ("box", (2, 2, 2), True),
    "2x scanner": ("scanner", (2, 2, 2), False),
    "3x scanner": ("scanner", (3, 3, 3), False),
    "thick scanner": ("scanner", (3, 1, 1), False),
}
# So many scans of each modality, each of another kind.
SCANS = 3
ROUNDS = 5


class GridsValidation:
    """Mean gains in dB by what is watched and modality."""

    def __init__(self, scans: Sequence[Scan], patch: grids.Shape):
        self.items = []
        for scan in chosen(scans):
            for name, (protocol, factors, told) in WATCHED.items():
                size = 1.25 if factors[1] > 1 else 1
                coarse = [round(size * n) for n in patch]
                setting = Setting(tuple(coarse), tuple(n * f for n, f in zip(coarse, factors)))  # type: ignore[arg-type]
                if grids.orders(scan, setting):
                    self.items.append((f"{name} {scan.modality}", *_fixed(scan, setting, protocol, told)))

    def gains(self, upscale: Callable[[GridBatch], torch.Tensor], device: torch.device) -> dict[str, float]:
        """By name; `upscale` is called with one batch at a time."""
        found: dict[str, list[float]] = {}
        for name, batch, reference in self.items:
            out = upscale(batch.to(device)).float().cpu()
            error = float((out - batch.target).square().mean())
            found.setdefault(name, []).append(10 * np.log10(max(reference, 1e-12) / max(error, 1e-12)))
        return {name: float(np.mean(values)) for name, values in found.items()}


def chosen(scans: Sequence[Scan]) -> list[Scan]:
    """Some scans of each modality, of as many kinds as there are."""
    found = []
    for modality in sorted({scan.modality for scan in scans}, reverse=True):
        some = [scan for scan in scans if scan.modality == modality]
        rare = kind_shares(some)
        first = {share: n for n, share in reversed(list(enumerate(rare)))}
        order = sorted(range(len(some)), key=lambda n: (n not in first.values(), n))
        found += [some[n] for n in order[:SCANS]]
    return found


def _fixed(scan: Scan, setting: Setting, protocol: str, told: bool) -> tuple[GridBatch, float]:
    """A patch in the middle of the tissue, and the mean square error of the better classical method."""
    random = np.random.default_rng(zlib.crc32(scan.name.encode()))
    blur = degradation.PROTOCOLS[protocol].draw(random)
    true = Axis(blur.profile, blur.width, told="user", shape="user")
    order = grids.orders(scan, setting)[0]
    middle = np.median(scan.tissue, axis=0) if len(scan.tissue) else np.array(scan.array.shape) / 2
    start = [int(np.clip(middle[axis] - m / 2, 0, scan.array.shape[axis] - m)) for axis, m in zip(order, setting.fine)]
    known = Degraded(true, blur.noise, Scanner((true if told else Axis(),) * 3, blur.noise))
    sample = grids.cut_sample(scan, setting, start, known, random, order)
    guess = interpolation.resample(sample.input, setting.fine)
    errors = [np.mean((guess[setting.inner] - sample.target) ** 2)]
    interpolation.back_project(guess, sample.input, ROUNDS)
    errors.append(np.mean((guess[setting.inner] - sample.target) ** 2))
    return GridBatch.of(setting, [sample]), float(min(errors))
