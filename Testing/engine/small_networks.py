"""Every published network so narrow that a test takes milliseconds, with weights that keep all of it alive."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from VolumeSuperResolutionLib.engine.networks import build

SMALL = {
    "cnnil_inplane": ("cnnil_inplane", {"features": 3}),
    "cnnil_inplane x4": ("cnnil_inplane", {"features": 3, "factor": 4}),
    "cnnil_depth": ("cnnil_depth", {"features": 3}),
    "srcnn2d": ("srcnn2d", {"features": (4, 3, 2)}),
    "srcnn3d": ("srcnn3d", {"features": (3, 2)}),
    "fsrcnn3d": ("fsrcnn3d", {"features": 4, "shrunk": 2, "mapping": 2}),
    "fsrcnn3d through plane": ("fsrcnn3d", {"features": 4, "shrunk": 2, "mapping": 1, "factor": (4, 1, 1)}),
    "edsr3d": ("edsr3d", {"features": 16, "blocks": 1}),
    "edsr3d through plane": ("edsr3d", {"features": 3, "blocks": 1, "factor": (3, 1, 1), "residual": True}),
    "srresnet3d": ("srresnet3d", {"features": 3, "blocks": 1}),
    "dcsrn3d": ("dcsrn3d", {"growth": 2, "residual": True}),
    "mdcsrn3d": ("mdcsrn3d", {"growth": 2, "units": 2, "blocks": 2}),
    "rrdb3d": ("rrdb3d", {"features": 3, "blocks": 1, "growth": 2, "factor": 2}),
    "rrdb3d with noise": ("rrdb3d", {"features": 3, "blocks": 1, "growth": 2, "factor": (2, 1, 2), "noise": True}),
}


def small(name: str, seed: int = 0) -> nn.Module:
    network = build(SMALL[name][0], **SMALL[name][1])
    return enlivened(network, seed)


def enlivened(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights of which no ReLU is dead everywhere, and random batch statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            weight = getattr(module, "weight", None)
            if weight is not None:
                weight.normal_(0.3, 1, generator=generator).mul_(max(1, weight[0].numel()) ** -0.5)
            if getattr(module, "bias", None) is not None:
                module.bias.uniform_(0.2, 1, generator=generator)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def whole(network: nn.Module, array: np.ndarray) -> np.ndarray:
    """The network over the whole volume in one pass, channels last; a 2D network over each slice of axis 0."""
    with torch.inference_mode():
        block = torch.from_numpy(array if array.ndim == 4 else array[..., None]).movedim(-1, 0)
        out = network(block.movedim(0, 1))[:, 0] if network.dimensions == 2 else network(block[None])[0, 0]
    return out.numpy()


def noise(shape: tuple, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def difference(result: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference as a part of the range that the values span with zero; infinite if any was not written."""
    assert result.shape == truth.shape
    if not np.isfinite(result).all():
        return float("inf")
    return float(np.abs(result - truth).max() / (max(truth.max(), 0) - min(truth.min(), 0)))
