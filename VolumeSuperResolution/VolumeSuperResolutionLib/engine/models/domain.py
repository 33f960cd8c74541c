"""Whether a volume is like those a model was trained on: what to tell the user where it is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volumes.grid import Triple, Volume
from ..volumes.intensity import MR_FOREGROUND, guess_modality, percentiles
from .card import Card

MOST_ANISOTROPY = 2.5
# Second differences of white noise have six times its variance; a normal variable's median distance is 0.6745 sigma.
NOISE_OF_DIFFERENCES = 0.6745 * 6**0.5
# The noise is measured in so many slices, and of those in rows of so many voxels in all: as many as a median needs,
# and as few as anyone who chooses a model waits for.
MOST_SLICES, MOST_VOXELS = 60, 500_000


@dataclass(frozen=True)
class Traits:
    """What a card is compared with of a volume: the same for every card, so a caller measures it once."""

    spacing: Triple
    modality: str
    # As noise_level.
    noise: float


def traits(volume: Volume, modality: str = "auto") -> Traits:
    """Measured, the modality guessed unless it is given."""
    limits = percentiles(volume.array, most=MOST_VOXELS)
    if modality == "auto":
        modality = guess_modality(volume.array, limits)
    return Traits(volume.grid.spacing, modality, noise_level(volume.array, limits))


def noise_level(array: np.ndarray, limits: tuple[float, float] | None = None) -> float:
    """A robust estimate of the noise as a part of the intensity range, from some rows of some slices.

    `limits` are the array's percentiles, where they are known.
    """
    low, high = percentiles(array) if limits is None else limits
    slices = array[:: max(1, array.shape[0] // MOST_SLICES)]
    slices = slices[:, :: max(1, slices.size // MOST_VOXELS)].astype(np.float32)
    if high <= low or slices.shape[2] < 3:
        return 0.0
    differences = slices[:, :, 2:] - 2 * slices[:, :, 1:-1] + slices[:, :, :-2]
    tissue = slices[:, :, 1:-1] > low + MR_FOREGROUND * (high - low)
    if not tissue.any():
        return 0.0
    return float(np.median(np.abs(differences[tissue]))) / NOISE_OF_DIFFERENCES / (high - low)


def warnings_for(card: Card, volume: Volume, modality: str) -> tuple[str, ...]:
    """Sentences about what lies outside the card; none for the interpolations, which know no domain."""
    return beyond(card, traits(volume, modality)) if card.learned else ()


def beyond(card: Card, traits: Traits) -> tuple[str, ...]:
    """The same, of a volume that was measured before."""
    if not card.learned:
        return ()
    spacing = traits.spacing
    warnings = [card.caution] if card.caution else []
    if card.others:
        warnings.append(
            f"The card of {card.title} says more than this version understands ({', '.join(card.others)}); a newer "
            "version may do better."
        )
    if traits.modality not in card.modalities:
        warnings.append(
            f"{card.title} was trained on {' and '.join(card.modalities)}; this volume looks like {traits.modality}."
        )
    finest, coarsest = card.spacing_mm
    if min(spacing) < 0.7 * finest or max(spacing) > 1.4 * coarsest:
        warnings.append(
            f"{card.title} was trained for voxels of {finest:.2g} to {coarsest:.2g} mm; these are "
            f"{' x '.join(f'{s:.3g}' for s in spacing)} mm."
        )
    serves = card.through_plane or card.every_grid or card.averaged_with
    if not serves and max(spacing) > MOST_ANISOTROPY * min(spacing):
        warnings.append("The slices are much thicker than the pixels; a through-plane model may serve better.")
    if traits.noise > card.noise:
        warnings.append(
            f"The volume is noisier ({100 * traits.noise:.1f}% of its range) than those {card.title} was trained on "
            f"({100 * card.noise:.0f}%)."
        )
    return tuple(warnings)
