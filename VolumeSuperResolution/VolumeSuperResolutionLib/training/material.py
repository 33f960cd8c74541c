"""What a network is trained through, learns from, and is measured on, and what is said of it: by its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import nn

from ..engine.models import grids as every_grid
from ..engine.networks import Network
from ..engine.networks.anygrid import AnyGrid3d
from ..engine.networks.combined import Combined3d
from ..engine.physics import degradation
from . import features, feed, grids, losses, several
from .configs import Config, StageConfig
from .grids_validation import GridsValidation
from .patches import JITTER, Scan
from .validation import Validation

# Where pairs of what is combined and the truth are kept.
PAIRS = "pairs"


class Measure(Protocol):
    """Measures on scans that were held out."""

    def gains(self, upscale: Callable[..., torch.Tensor], device: torch.device) -> dict[str, float]:
        """Gains in dB by name."""


class Material(NamedTuple):
    """The network as its losses see it, what it learns from, and, in the first process, what it is measured on."""

    trained: nn.Module
    feed: feed.Ahead
    validation: Measure | None


def material(
    config: StageConfig,
    network: Network,
    scans: Sequence[Scan],
    held_out: Sequence[Scan],
    folder: Path,
    seed: int,
    rank: int = 0,
    world: int = 1,
) -> Material:
    """For a stage, in the folder of its training."""
    share = seed, config.batch, rank, world
    if isinstance(network, AnyGrid3d):
        trained = grids.Trained(network, config.losses)
        drawn = grids.Feed(scans, config.patch, *share)
        return Material(trained, drawn, None if rank else GridsValidation(held_out, config.patch))
    if isinstance(network, Combined3d):
        pairs = several.Feed(several.Bank(scans, config.patch, folder / PAIRS, seed), *share)
        together = several.Trained(network, config.losses)
        return Material(together, pairs, None if rank else several.SeveralValidation(held_out))
    plain, cut = losses.Trained(network, config.losses, config.consistency), config.cut(network)
    lpips = features.lpips() if set(config.losses) & set(losses.BLOCK_WEIGHTS) else None
    patches = feed.Feed(scans, cut, network.dimensions, *share)
    return Material(plain, patches, None if rank else Validation(held_out, cut, network.dimensions, lpips))


class Learned(NamedTuple):
    """What a card says that its networks learned from: scans, made coarser by these factors, the most noise that was
    added, and how they were degraded in words."""

    scans: Sequence[Scan]
    factors: Sequence[float]
    noise: float
    words: str


def learned(config: Config, scans: Sequence[Scan]) -> Learned:
    """For a model that was trained with these scans."""
    if config.card.get("several"):
        return Learned(several.large_enough(scans), (1,), several.NOISES[-1], several.words())
    if not any(config.card["factor"]):
        return Learned(scans, (1, every_grid.FINEST), grids.NOISES[1], grids.words())
    noises = {stage.protocol: degradation.training_noise(stage.protocol) for stage in config.stages}
    seen = dict.fromkeys(
        f"{degradation.training_words(protocol)}, white noise up to {100 * noise:g}% of the intensity range"
        for protocol, noise in noises.items()
    )
    words = f"{'; then '.join(seen)}; intensities scaled by up to {100 * JITTER:g}%"
    return Learned(scans, config.card["factor"], max(noises.values()), words)
