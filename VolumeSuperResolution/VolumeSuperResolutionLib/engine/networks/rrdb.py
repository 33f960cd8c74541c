"""3D RRDB-GAN (Ha et al. 2024): a generator of residual-in-residual dense blocks, and its U-Net discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from .base import Factor, Network, conv, stages, start
from .noise import Noise

SLOPE = 0.2
RESIDUAL_SCALE = 0.2
# For each noise: the faintest contrast that it is added to, in network units; the amplitude of its white part; that of
# its blurred part. Unmasked air gets white noise; in tissue the white parts cancel, and fainter blurred noise remains.
GRAINS = ((5e-4, 0.01, 0.0), (2e-3, -0.01, 0.002))
BLUR = 0.6  # of a Gaussian, in fine voxels


class DenseBlock(nn.Module):
    """Five convolutions, each over the input and all earlier outputs."""

    def __init__(self, features: int, growth: int):
        super().__init__()
        layers = [conv(3, features + n * growth, growth) for n in range(4)]
        layers.append(conv(3, features + 4 * growth, features))
        for layer in layers:
            start(layer, gain=0.1)
        self.convs = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        known: list[torch.Tensor] = [x]
        for layer in self.convs[:-1]:
            known.append(F.leaky_relu(layer(torch.cat(known, dim=1)), SLOPE))
        return x + self.convs[-1](torch.cat(known, dim=1)) * RESIDUAL_SCALE


class Rrdb(nn.Module):
    """Three dense blocks under one more scaled residual."""

    def __init__(self, features: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) * RESIDUAL_SCALE


class Rrdb3d(Network):
    """23 blocks, 64 features, growth 32, 4x as published; an upsampling step is nearest-neighbor and a convolution.

    With `noise`, which is not published, noise is added to the result, because that of a fine scan cannot be predicted
    from a coarse one. Its strength is not learned, but is stored with the weights, and is mixed with them.
    """

    ends_plainly = True

    def __init__(
        self,
        factor: Factor = 4,
        features: int = 64,
        blocks: int = 23,
        growth: int = 32,
        residual: bool = False,
        noise: bool = False,
    ):
        super().__init__(3, factor, residual=residual)
        self.head = conv(3, 1, features)
        self.body = nn.Sequential(*(Rrdb(features, growth) for _ in range(blocks)), conv(3, features, features))
        self.steps = stages(self.factor)
        self.upsampling = nn.ModuleList(conv(3, features, features) for _ in self.steps)
        self.fine = conv(3, features, features)
        self.tail = conv(3, features, 1)
        used = GRAINS if noise else ()
        self.noises = nn.ModuleList(Noise(self.factor, faintest) for faintest, *_ in used)
        grains = [conv(3, 1, 1, bias=False).requires_grad_(False) for _ in used]
        self.grains = nn.ModuleList(grains)
        for grain, (_, white, blurred) in zip(grains, used if not self.tail.weight.is_meta else ()):
            grain.weight.copy_(_blur(blurred))
            grain.weight[..., 1, 1, 1] += white

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        y = y + self.body(y)
        for step, layer in zip(self.steps, self.upsampling):
            y = F.interpolate(y, scale_factor=tuple(float(s) for s in step), mode="nearest")
            y = F.leaky_relu(layer(y), SLOPE)
        y = self.tail(F.leaky_relu(self.fine(y), SLOPE))
        for grain, noise in zip(self.grains, self.noises):
            y = y + grain(noise(x))
        return self.with_residual(y, x)


def _blur(strength: float) -> torch.Tensor:
    """The kernel that turns white noise of variance 1 into blurred noise of this standard deviation."""
    profile = torch.exp(-torch.tensor([1.0, 0.0, 1.0]) / (2 * BLUR**2))
    kernel = profile[:, None, None] * profile[:, None] * profile
    return strength * kernel / kernel.norm()


class Discriminator3d(nn.Module):
    """A U-Net with spectral normalization and additive skips: one logit a voxel. The size must be a multiple of 8."""

    def __init__(self, features: int = 64):
        super().__init__()
        n = features

        def normalized(layer: nn.Module) -> nn.Module:
            return parametrizations.spectral_norm(layer)

        def down(inputs: int, outputs: int) -> nn.Module:
            return normalized(nn.Conv3d(inputs, outputs, 4, stride=2, padding=1, bias=False))

        self.head = conv(3, 1, n)
        self.down = nn.ModuleList([down(n, 2 * n), down(2 * n, 4 * n), down(4 * n, 8 * n)])
        self.up = nn.ModuleList(
            normalized(conv(3, inputs, inputs // 2, bias=False)) for inputs in (8 * n, 4 * n, 2 * n)
        )
        self.fine = nn.ModuleList(normalized(conv(3, n, n, bias=False)) for _ in range(2))
        self.tail = conv(3, n, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.leaky_relu(self.head(x), SLOPE)
        skips = []
        for layer in self.down:
            skips.append(y)
            y = F.leaky_relu(layer(y), SLOPE)
        for layer, skip in zip(self.up, reversed(skips)):
            y = F.interpolate(y, scale_factor=2.0, mode="trilinear", align_corners=False)
            y = F.leaky_relu(layer(y), SLOPE) + skip
        for layer in self.fine:
            y = F.leaky_relu(layer(y), SLOPE)
        return self.tail(y)
