"""Perceptual scores: LPIPS and FID over slices of the three views."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..engine import quality
from ..engine.volumes.intensity import percentiles
from . import features

# Slices of each view, evenly spread over those that cross the foreground.
SLICES = 16
BATCH = 8


class Perception:
    """Scores results volume by volume, and collects the features for the FID over all volumes."""

    def __init__(self) -> None:
        self.lpips, self.inception = features.lpips(), features.inception()
        # By (modality, model); the truth's under the model "".
        self.vectors: dict[tuple[str, str], list[np.ndarray]] = {}

    def meet(self, truth: np.ndarray, modality: str, counted: bool = True) -> None:
        """Set the ground truth that the next results are compared with. Only `counted` volumes enter the FID."""
        self.modality, self.counted = modality, counted
        self.window = percentiles(truth)
        mask = quality.foreground(truth, modality)
        self.chosen = []
        for axis in range(3):
            crossed = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            places = np.linspace(0, len(crossed) - 1, min(SLICES, len(crossed)))
            self.chosen.append([int(crossed[round(place)]) for place in places])
        with torch.inference_mode():
            self.directions = [self.lpips.directions(images) for images in self._images(truth)]
        self._keep(truth, "")

    def judge(self, result: np.ndarray, model: str) -> float:
        """The mean LPIPS over all chosen slices."""
        self._keep(result, model)
        with torch.inference_mode():
            found = [
                self.lpips.between(self.lpips.directions(images), true)
                for images, true in zip(self._images(result), self.directions)
            ]
        return float(torch.cat(found).mean()) if found else 0.0

    def fid(self, modality: str, model: str) -> float | None:
        """Over the slices of all counted volumes of a modality."""
        sets = [self.vectors.get((modality, name), []) for name in (model, "")]
        if not all(sets):
            return None
        return features.frechet_distance(*(np.concatenate(vectors) for vectors in sets))

    def words(self) -> str:
        """Over how many slices the scores are, for people."""
        counts = {modality: sum(map(len, vectors)) for (modality, model), vectors in self.vectors.items() if not model}
        return "over " + ", ".join(f"{count} slices ({modality})" for modality, count in counts.items())

    def _keep(self, array: np.ndarray, model: str) -> None:
        if self.counted:
            with torch.inference_mode():
                vectors = [self.inception(images).numpy() for images in self._images(array)]
            self.vectors.setdefault((self.modality, model), []).extend(vectors)

    def _images(self, array: np.ndarray) -> Iterator[torch.Tensor]:
        """Batches of slices, with intensities scaled so that the truth covers 0 to 1."""
        low, high = self.window
        for axis, chosen in enumerate(self.chosen):
            for start in range(0, len(chosen), BATCH):
                part = np.moveaxis(array, axis, 0)[chosen[start : start + BATCH]].astype(np.float32)
                yield torch.from_numpy(((part - low) / (high - low)).clip(0, 1))[:, None]
