"""In which precisions beside fp32 a model keeps its quality: measured on crops of volumes that it did not learn from.

Measured on the CPU, which computes them as a GPU does: from rounded numbers, added up in float32, and rounded again.
Only the order in which a GPU adds is its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..engine import quality
from ..engine.models import zoo
from ..engine.models.card import PRECISIONS
from ..engine.physics import degradation
from ..engine.upscale import Request, upscale
from ..engine.volumes import files, intensity
from ..engine.volumes.grid import Grid, Volume

REDUCED = PRECISIONS
MOST_LOSS = 0.02  # dB
EDGE = 48  # voxels of a crop along each axis
CROPS = 3  # for each modality
HOW = (
    f"PSNR within {MOST_LOSS} dB of fp32 on every one of {{}} crops of {EDGE} voxels a side, rounded on a CPU as a GPU "
    "rounds"
)


def crops(arrays: Iterable[np.ndarray], modalities: Sequence[str], edge: int = EDGE) -> list[np.ndarray]:
    """The part of each volume with most tissue in view, as large as the volume allows; a few for each modality."""
    found: dict[str, list[np.ndarray]] = {modality: [] for modality in modalities}
    for array in arrays:
        kind = found.get(intensity.guess_modality(array))
        if kind is not None and len(kind) < CROPS:
            kind.append(array[middle(array, edge)].astype(np.float32))
    return [crop for kind in found.values() for crop in kind]


def middle(array: np.ndarray, edge: int) -> tuple[slice, ...]:
    """The part with most tissue in view, as large as the volume allows."""
    tissue = quality.foreground(array, intensity.guess_modality(array))
    parts = []
    for axis, n in enumerate(array.shape):
        counts = np.cumsum(tissue.sum(axis=tuple(other for other in range(array.ndim) if other != axis)))
        center = np.searchsorted(counts, counts[-1] / 2) if counts[-1] else n / 2
        start = int(np.clip(center - edge / 2, 0, max(0, n - edge)))
        parts.append(slice(start, min(start + edge, n)))
    return tuple(parts)


def crops_of(folder: Path, modalities: Sequence[str]) -> list[np.ndarray]:
    """The same from the volumes of a folder."""
    return crops((files.read(path)[0].array for path in files.volumes_in(folder)), modalities)


def losses(
    card: zoo.Card, truths: Sequence[np.ndarray], tell: Callable[[str], None] = lambda line: None
) -> dict[str, list[float]]:
    """By precision, how many dB of PSNR each crop loses with it; infinite where it gives no numbers."""
    found: dict[str, list[float]] = {precision: [] for precision in REDUCED}
    with TemporaryDirectory() as place:
        # The model as its card would be if it allowed everything.
        folder = Path(place) / card.id
        folder.mkdir()
        assert card.folder is not None  # which a learned model has
        shutil.copy(card.folder / zoo.WEIGHTS_FILE, folder)
        trial = replace(card, precisions=REDUCED, folder=folder)
        zoo.write_card(trial)
        for number, truth in enumerate(truths):
            full = _psnr(trial, truth, "fp32")
            for precision, values in found.items():
                values.append(full - _psnr(trial, truth, precision))
            tell(f"{card.id}  crop {number + 1}  " + "  ".join(f"{p} {v[-1]:+.4f} dB" for p, v in found.items()))
    return found


def _psnr(card: zoo.Card, truth: np.ndarray, precision: str) -> float:
    """Of a crop that was degraded and restored in a precision; infinitely bad if that could not hold the numbers."""
    i, j, k = card.typical
    steps, scale = (k, j, i), (float(i), float(j), float(k))
    truth = truth[tuple(slice(0, n - n % f) for n, f in zip(truth.shape, steps))]
    modality, low = intensity.guess_modality(truth), degradation.degrade(truth, steps)
    request = Request(str(card.folder), scale, device="cpu", precision=precision, modality=modality)
    result = upscale(Volume(low, Grid((low.shape[2], low.shape[1], low.shape[0]), scale)), request)
    if result.report.precision != precision:
        return -float("inf")
    mask, peak = quality.foreground(truth, modality), quality.data_range(truth)
    return quality.psnr(result.volume.array, truth, mask, peak)


def told(card: zoo.Card, measured: dict[str, list[float]]) -> zoo.Card:
    """The card with what was measured."""
    how = HOW.format(len(measured[REDUCED[0]]))
    return replace(card, precisions=kept(measured), training={**card.training, "precisions": how})


def kept(measured: dict[str, list[float]]) -> tuple[str, ...]:
    """The precisions that lose too little to be seen, on every crop."""
    return tuple(p for p, values in measured.items() if values and max(values) < MOST_LOSS)


def table(measured: dict[str, dict[str, list[float]]]) -> str:
    """For each model the most that a crop loses with each precision, as Markdown."""
    lines = ["| model | " + " | ".join(f"{p}: dB at most" for p in REDUCED) + " |", "|---|" + "---:|" * len(REDUCED)]
    for model, values in measured.items():
        cells = [f"{max(values[p]):.4f}" if values[p] else "" for p in REDUCED]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)
