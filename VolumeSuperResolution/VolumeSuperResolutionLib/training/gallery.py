"""One picture of all models: the same crop as input, Lanczos, result, truth and error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine import quality
from ..engine.models.zoo import Card
from ..engine.physics import interpolation
from ..engine.upscale import Request, upscale
from . import figures
from .evaluation import Case, make_case

CROP = 72
PICTURE_COLUMNS = ("input", "Lanczos", "result", "truth", "error")
# The error is shown over this part of the intensity range, the same for every model.
ERROR_RANGE = 0.1


def draw(cards: Sequence[Card], volumes: Sequence[Path], path: Path, protocol: str = "scanner") -> None:
    """A row for each model and volume, written as PNG."""
    from matplotlib import pyplot as plt

    rows = [(card, volume) for card in cards for volume in volumes]
    figure, axes = plt.subplots(len(rows), len(PICTURE_COLUMNS), figsize=(10, 2.1 * len(rows)), squeeze=False)
    cases: dict[tuple, Case] = {}
    for line, (card, volume) in zip(axes, rows):
        key = (volume, card.typical)
        if key not in cases:
            cases[key] = make_case(volume, card.typical, protocol)
        _draw_row(line, card, cases[key])
    for axis, name in zip(axes[0], PICTURE_COLUMNS):
        axis.set_title(name, fontsize=9)
    figure.tight_layout(pad=0.3)
    figures.save(figure, path, dpi=70)
    plt.close(figure)


def _draw_row(line: Sequence, card: Card, case: Case) -> None:
    i, j, k = map(float, card.typical)
    request = Request(card.id, scale=(i, j, k), modality=case.modality)
    result = upscale(case.low, request).volume.array
    shape = case.truth.shape
    lanczos = interpolation.resample(case.low.array, shape)
    nearest = interpolation.resample(case.low.array, shape, "nearest")
    low, high = np.percentile(case.truth, (0.5, 99.7))
    peak = quality.data_range(case.truth)
    part = _busiest(case.truth)
    for axis, image in zip(line, (nearest, lanczos, result, case.truth)):
        axis.imshow(image[part][::-1], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    error = np.abs(result - case.truth)[part][::-1]
    line[-1].imshow(error, cmap="magma", vmin=0, vmax=ERROR_RANGE * peak, interpolation="nearest")
    line[0].set_ylabel(f"{card.id}\n{case.modality}", fontsize=7)
    for axis in line:
        axis.set_xticks([])
        axis.set_yticks([])


def _busiest(truth: np.ndarray) -> tuple[slice, int, slice]:
    """The crop with the most contrast in the middle coronal slice."""
    j = truth.shape[1] // 2
    plane = truth[:, j]
    heights, widths = (max(1, n - CROP) for n in plane.shape)
    starts = [(k, i) for k in range(0, heights, 8) for i in range(0, widths, 8)]
    k, i = max(starts, key=lambda s: float(plane[s[0] : s[0] + CROP, s[1] : s[1] + CROP].std()))
    return slice(k, k + CROP), j, slice(i, i + CROP)
