"""The training loss: a weighted sum of named parts, each a mean over a patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..engine.errors import RefusalError
from ..engine.networks import Network
from ..engine.physics import interpolation
from . import features
from .adversary import Adversary
from .feed import Batch

Out = tuple[torch.Tensor, Optional[torch.Tensor]]


def l1(out: Out, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of each patch."""
    return (out[0] - target).abs().flatten(1).mean(1)


def mse(out: Out, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each patch."""
    return (out[0] - target).square().flatten(1).mean(1)


def intermediate_l1(out: Out, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of CNN-IL's intermediate output, directly after its shuffle."""
    assert out[1] is not None
    return (out[1] - target).abs().flatten(1).mean(1)


PARTS: dict[str, Callable[[Out, torch.Tensor], torch.Tensor]] = {
    "l1": l1,
    "mse": mse,
    "intermediate_l1": intermediate_l1,
}
# The squared difference of unit-length features: faint structures count as much as strong ones.
DIRECTIONS = "vgg16_directions"
# Losses on slices of the three views: the weight of the feature difference after each of VGG16's blocks.
BLOCK_WEIGHTS = {
    "vgg16": (0.2, 0.7, 0.1),
    "vgg16_deep": (0.0, 0.0, 0.0, 0.0, 1.0),
    DIRECTIONS: (0.2, 0.2, 0.2, 0.2, 0.2),
}
ADVERSARIAL = "adversarial"
# The power of the intensity error that each part is proportional to; a part is divided by the scale to this power.
POWERS = {"l1": 1, "mse": 2, "intermediate_l1": 1, "vgg16": 1, "vgg16_deep": 1, DIRECTIONS: 0, ADVERSARIAL: 0}


class Trained(nn.Module):
    """The network as its losses see it: forward gives (output, intermediate output or None).

    The output has gone through the rounds of data consistency that the model's card asks for.
    """

    def __init__(self, network: Network, parts: Mapping[str, float], consistency: int = 0):
        super().__init__()
        known = (*PARTS, *BLOCK_WEIGHTS, ADVERSARIAL)
        unknown = sorted(set(parts) - set(known))
        if unknown:
            raise RefusalError(f"No loss is called {unknown[0]}; known are {', '.join(known)}.")
        if network.dimensions != 3 and set(parts) & {*BLOCK_WEIGHTS, ADVERSARIAL}:
            raise RefusalError("Only a 3D network can be trained by how its result looks.")
        if "intermediate_l1" in parts and not hasattr(network, "forward_with_intermediate"):
            raise RefusalError("This network has no intermediate output; take intermediate_l1 out of its losses.")
        if consistency and network.dimensions != 3:
            raise RefusalError("Only a 3D network can be trained with data consistency.")
        self.network = network
        self.consistency = consistency
        self.with_intermediate = "intermediate_l1" in parts

    def forward(self, x: torch.Tensor, scanned: torch.Tensor) -> Out:
        if self.with_intermediate:
            out, between = self.network.forward_with_intermediate(x)  # type: ignore[operator]  # __init__ asked for it
        else:
            out, between = self.network(x), None
        return consistent(out, scanned, self.consistency), between


def consistent(out: torch.Tensor, scanned: torch.Tensor, rounds: int) -> torch.Tensor:
    """The engine's back-projection, differentiable, in full precision."""
    if not rounds:
        return out
    high, low = tuple(out.shape[2:]), tuple(scanned.shape[2:])
    with torch.autocast(out.device.type, enabled=False):
        out = out.float()
        for _ in range(rounds):
            seen = resampled(out, interpolation.forward_matrices, high, low)
            out = out + resampled(scanned - seen, lanczos, low, high)
    return out


def lanczos(shape: Sequence[int], size: Sequence[int]) -> tuple[np.ndarray | None, ...]:
    return interpolation.matrices(shape, size, "lanczos")


@lru_cache(maxsize=32)
def _matrices(operator: Callable, shape: tuple, size: tuple, device: torch.device) -> list[torch.Tensor | None]:
    return [m if m is None else torch.from_numpy(m).float().to(device) for m in operator(shape, size)]


def resampled(x: torch.Tensor, operator: Callable, shape: tuple, size: tuple) -> torch.Tensor:
    for axis, matrix in enumerate(_matrices(operator, shape, size, x.device)):
        if matrix is not None:
            x = torch.movedim(torch.movedim(x, 2 + axis, -1) @ matrix.T, -1, 2 + axis)
    return x


class Perceptual(nn.Module):
    """The mean difference of VGG16's features on random slices of the three views."""

    def __init__(self, name: str, slices: int):
        super().__init__()
        self.weights, self.slices = BLOCK_WEIGHTS[name], slices
        self.distance = _angular if name == DIRECTIONS else _absolute
        self.vgg = features.vgg16(len(self.weights))

    def forward(self, out: torch.Tensor, batch: Batch, random: np.random.Generator) -> torch.Tensor:
        """One value a patch. Intensities are scaled by the range of the whole volume."""
        spread = batch.spread.view(-1, 1, 1, 1, 1)
        sides = [(side / spread).clamp(0, 1) for side in (out, batch.target)]
        views = []
        for axis, size in enumerate(out.shape[2:]):
            chosen = np.sort(random.choice(size, min(self.slices, size), replace=False))
            seen, true = (self.vgg(features.slices(side, axis, chosen.tolist())) for side in sides)
            parts = [
                weight * self.distance(a, b).flatten(1).mean(1)
                for weight, a, b in zip(self.weights, seen, true)
                if weight
            ]
            views.append(torch.stack(parts).sum(0).view(len(out), -1).mean(1))
        return torch.stack(views).mean(0)


def _absolute(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs()


def _angular(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (F.normalize(a) - F.normalize(b)).square().sum(1)


class Objective:
    """The weighted parts of a stage's loss. Intensity errors are relative to those of interpolation on the same volume.

    So a gain in decibels counts the same on every volume, whatever its contrast.
    """

    def __init__(
        self, parts: Mapping[str, float], slices: int, device: torch.device, adversary: Adversary | None = None
    ):
        self.parts, self.adversary = parts, adversary
        self.perceptual = {name: Perceptual(name, slices).to(device) for name in BLOCK_WEIGHTS if name in parts}

    def __call__(self, out: Out, batch: Batch, random: np.random.Generator) -> dict[str, torch.Tensor]:
        """`random` chooses the slices for the perceptual parts."""
        found = {}
        for name, weight in self.parts.items():
            if name in self.perceptual:
                part = self.perceptual[name](out[0], batch, random)
            elif name == ADVERSARIAL:
                assert self.adversary is not None
                part = self.adversary.judge(out[0], batch)
            else:
                part = PARTS[name](out, batch.target)
            found[name] = weight * (part / batch.scale ** POWERS[name]).mean()
        return found
