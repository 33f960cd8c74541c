"""Validation during training: gains over interpolation on a few fixed patches of held-out volumes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..engine.physics import degradation
from . import features
from .features import Lpips
from .journal import LOOKS
from .patches import Cut, Patch, Scan, cut_patch, fitting_orders, lanczos, random_patch

# Coarse voxels excluded at each side of a patch, where the network's zero padding has an effect.
MARGIN = 4
WATCHED_PROTOCOLS = ("profile", "scanner")
ERROR_PATCHES = 16


def fixed_patch(scan: Scan, cut: Cut, protocol: str, size: int = 2) -> Patch:
    """One patch in the middle of the tissue, `size` times as long as a training patch if the scan allows it."""
    order = fitting_orders(scan, cut)[0]
    shape = [scan.array.shape[axis] for axis in order]
    unit = [d if cut.interpolated else 1 for d in cut.degraded]
    room = [n // d * u for n, d, u in zip(shape, cut.degraded, unit)]
    cut = replace(cut, size=tuple(min(size * n, r) for n, r in zip(cut.size, room)))
    middle = np.median(scan.tissue, axis=0) if len(scan.tissue) else np.array(scan.array.shape) / 2
    start = [
        int(np.clip(middle[axis] / d - e / 2, 0, n // d - e))
        for axis, n, d, e in zip(order, shape, cut.degraded, cut.extent())
    ]
    random = np.random.default_rng(zlib.crc32(scan.name.encode()))
    return cut_patch(scan, cut, start, degradation.PROTOCOLS[protocol].draw(random), random, order)


def tensors(patches: Sequence[np.ndarray], dimensions: int) -> torch.Tensor:
    """[N, 1, *spatial] of patches of one shape; for a 2D network every plane is a sample."""
    stacked = torch.from_numpy(np.stack(patches))
    return stacked.flatten(0, 1).unsqueeze(1) if dimensions == 2 else stacked.unsqueeze(1)


def interpolation_error(scan: Scan, cut: Cut, dimensions: int) -> float:
    """Root mean square error of Lanczos in network units, over a few random patches of a scan."""
    random = np.random.default_rng(zlib.crc32(scan.name.encode()))
    patches = [random_patch(scan, cut, random) for _ in range(ERROR_PATCHES)]
    return float(np.sqrt(np.mean([_mean_square(lanczos(p), p.target, cut, dimensions) for p in patches]))) + 1e-6


class Validation:
    """Mean gains in dB over Lanczos, per protocol and modality; and LPIPS under "profile", where it is given."""

    def __init__(self, scans: Sequence[Scan], cut: Cut, dimensions: int, lpips: Lpips | None = None):
        self.cut, self.dimensions, self.lpips = cut, dimensions, lpips
        self.items = []
        for scan in scans:
            for protocol in WATCHED_PROTOCOLS:
                patch = fixed_patch(scan, cut, protocol)
                reference = _mean_square(lanczos(patch), patch.target, cut, dimensions)
                self.items.append((protocol, scan, patch, reference))

    def gains(
        self, network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], device: torch.device
    ) -> dict[str, float]:
        """Gains by protocol and modality ("profile MR"); `network` is called with a patch's `input` and `scanned`."""
        found: dict[str, list[float]] = {}
        for protocol, scan, patch, reference in self.items:
            given = (tensors([side], self.dimensions).to(device) for side in (patch.input, patch.scanned))
            out = network(*given).float().cpu()
            result = (out[:, 0] if self.dimensions == 2 else out[0, 0]).numpy()
            error = _mean_square(result, patch.target, self.cut, self.dimensions)
            gain = 10 * np.log10(max(reference, 1e-12) / max(error, 1e-12))
            found.setdefault(f"{protocol} {scan.modality}", []).append(gain)
            if self.lpips is not None and protocol == WATCHED_PROTOCOLS[0]:
                distance = self._looks(self.lpips, out, tensors([patch.target], self.dimensions), scan.spread)
                found.setdefault(f"{LOOKS} {scan.modality}", []).append(distance)
        return {key: float(np.mean(values)) for key, values in sorted(found.items())}

    @staticmethod
    def _looks(lpips: Lpips, out: torch.Tensor, target: torch.Tensor, spread: float) -> float:
        """LPIPS over two slices of each view."""
        sides = [(side / spread).clamp(0, 1) for side in (out, target)]
        distances = []
        for axis, size in enumerate(out.shape[2:]):
            shown = [features.slices(side, axis, (size // 3, 2 * size // 3)) for side in sides]
            distances.append(float(lpips(*shown).mean()))
        return float(np.mean(distances))


def _mean_square(result: np.ndarray, truth: np.ndarray, cut: Cut, dimensions: int) -> float:
    margins = [min(MARGIN * f, n // 3) for f, n in zip(cut.scaled(), truth.shape)]
    if dimensions == 2:
        margins[0] = 0
    inner = tuple(slice(m, n - m) for m, n in zip(margins, truth.shape))
    return float(np.mean(np.square(result[inner] - truth[inner], dtype=np.float64)))
