"""Whether a volume is like those a model was trained on: what to tell the user where it is not."""

from __future__ import annotations

import numpy as np

from ..volumes.grid import Volume
from ..volumes.intensity import MR_FOREGROUND, percentiles
from .card import Card

MOST_ANISOTROPY = 2.5
# Second differences of white noise have six times its variance; a normal variable's median distance is 0.6745 sigma.
NOISE_OF_DIFFERENCES = 0.6745 * 6**0.5
MOST_SLICES = 60


def noise_level(array: np.ndarray) -> float:
    """A robust estimate of the noise as a part of the intensity range, from some slices in the middle."""
    low, high = percentiles(array)
    step = max(1, array.shape[0] // MOST_SLICES)
    slices = array[::step].astype(np.float32)
    if high <= low or slices.shape[2] < 3:
        return 0.0
    differences = slices[:, :, 2:] - 2 * slices[:, :, 1:-1] + slices[:, :, :-2]
    tissue = slices[:, :, 1:-1] > low + MR_FOREGROUND * (high - low)
    if not tissue.any():
        return 0.0
    return float(np.median(np.abs(differences[tissue]))) / NOISE_OF_DIFFERENCES / (high - low)


def warnings_for(card: Card, volume: Volume, modality: str) -> tuple[str, ...]:
    """Sentences about what lies outside the card; none for the interpolations, which know no domain."""
    if not card.learned:
        return ()
    spacing = volume.grid.spacing
    warnings = [card.caution] if card.caution else []
    if card.others:
        warnings.append(
            f"The card of {card.title} says more than this version understands ({', '.join(card.others)}); a newer "
            "version may do better."
        )
    if modality not in card.modalities:
        warnings.append(
            f"{card.title} was trained on {' and '.join(card.modalities)}; this volume looks like {modality}."
        )
    finest, coarsest = card.spacing_mm
    if min(spacing) < 0.7 * finest or max(spacing) > 1.4 * coarsest:
        warnings.append(
            f"{card.title} was trained for voxels of {finest:.2g} to {coarsest:.2g} mm; these are "
            f"{' x '.join(f'{s:.3g}' for s in spacing)} mm."
        )
    if not card.through_plane and max(spacing) > MOST_ANISOTROPY * min(spacing):
        warnings.append("The slices are much thicker than the pixels; a through-plane model may serve better.")
    noise = noise_level(volume.array)
    if noise > card.noise:
        warnings.append(
            f"The volume is noisier ({100 * noise:.1f}% of its range) than those {card.title} was trained on "
            f"({100 * card.noise:.0f}%)."
        )
    return tuple(warnings)
