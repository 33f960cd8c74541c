"""Features of networks trained on photographs, which perceptual losses and metrics compare slice by slice."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import pretrained

# Outputs of VGG16's convolutions, with a pooling between the blocks.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INCEPTION_SIZE = 299


class Vgg16(nn.Module):
    """Gray images [N, 1, H, W] in [0, 1] to the last ReLU of each of the first `blocks` blocks. Its weights stay."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, tensors: Mapping[str, np.ndarray], blocks: int = len(BLOCKS)):
        super().__init__()
        self.blocks = nn.ModuleList()
        number, channels = 0, 3
        for widths in BLOCKS[:blocks]:
            layers = nn.Sequential(nn.MaxPool2d(2)) if number else nn.Sequential()
            for width in widths:
                layer = nn.Conv2d(channels, width, 3, padding=1)
                with torch.no_grad():
                    layer.weight.copy_(torch.tensor(tensors[f"conv_{number}.weight"]))
                    if layer.bias is not None:
                        layer.bias.copy_(torch.tensor(tensors[f"conv_{number}.bias"]))
                layers.extend([layer, nn.ReLU()])
                number, channels = number + 1, width
            self.blocks.append(layers)
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch does not declare memory_format

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = (x - self.mean) / self.deviation
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found


class Lpips(nn.Module):
    """LPIPS 0.1 with VGG16: one distance for each pair of images [N, 1, H, W] in [0, 1]."""

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        super().__init__()
        self.vgg = Vgg16(tensors)
        for n in range(len(BLOCKS)):
            self.register_buffer(f"linear_{n}", torch.tensor(tensors[f"linear_{n}"]), persistent=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.between(self.directions(x), self.directions(y))

    def directions(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The unit-length features that are compared; those of the truth need to be computed only once."""
        return [F.normalize(f, eps=1e-10) for f in self.vgg(x)]

    def between(self, x: Sequence[torch.Tensor], y: Sequence[torch.Tensor]) -> torch.Tensor:
        """The distances, from the directions."""
        parts = [
            torch.einsum("nchw,c->nhw", (a - b).square(), getattr(self, f"linear_{n}")).flatten(1).mean(1)
            for n, (a, b) in enumerate(zip(x, y))
        ]
        return torch.stack(parts).sum(0)


class Inception(nn.Module):
    """Gray images [N, 1, H, W] in [0, 1] to the 2048 features that the Frechet distance compares."""

    def __init__(self, script: bytes):
        super().__init__()
        self.network = torch.jit.load(io.BytesIO(script), map_location="cpu").eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(x, (INCEPTION_SIZE, INCEPTION_SIZE), mode="bilinear", align_corners=False, antialias=True)
        out = self.network(((255 * x - 128) / 128).expand(-1, 3, -1, -1))
        return out.flatten(2).mean(2) if out.dim() > 2 else out


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Between the normal distributions fitted to two sets of feature vectors [N, C].

    The trace of the root of the product of the covariances is the sum of the singular values of the product of the
    centered sets: exact, and cheap where there are fewer vectors than features.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    means = np.square(x.mean(0) - y.mean(0)).sum()
    x, y = (a - a.mean(0) for a in (x, y))
    x, y = (a / np.sqrt(max(1, len(a) - 1)) for a in (x, y))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(max(0.0, means + np.square(x).sum() + np.square(y).sum() - 2 * shared))


def slices(volumes: torch.Tensor, axis: int, chosen: Sequence[int]) -> torch.Tensor:
    """The chosen slices across one axis (0, 1, 2) of volumes [N, 1, D, H, W], as images [N * len(chosen), 1, A, B]."""
    index = torch.as_tensor(list(chosen), device=volumes.device)
    return volumes.index_select(2 + axis, index).movedim(2 + axis, 1).flatten(0, 1)


def vgg16(blocks: int = len(BLOCKS)) -> Vgg16:
    """With the fetched weights."""
    return Vgg16(pretrained.read_vgg16(), blocks)


def lpips() -> Lpips:
    """With the fetched weights."""
    return Lpips(pretrained.read_vgg16())


def inception() -> Inception:
    """With the fetched weights."""
    return Inception(pretrained.read_inception())
