"""Storing weights in as few bits as possible without a measurable loss of quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from ..engine.models import weights
from .journal import LOOKS

KINDS = ("int8", "float16", "float32")
# The loss in dB that a smaller file may cause, for any modality and protocol.
TOLERANCE = 0.02
LARGEST = 127


def rounded(state: Mapping[str, torch.Tensor], kind: str) -> dict[str, np.ndarray]:
    """The floating-point tensors of a network as they are stored.

    "int8" stands for convolutions only: whole numbers, and a scale for each first index; the few others are kept.
    """
    stored = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        array = tensor.detach().float().cpu().numpy()
        if kind != "int8":
            stored[name] = array.astype(kind)
        elif array.ndim < 3:
            stored[name] = array
        else:
            largest = np.abs(array).reshape(len(array), -1).max(axis=1)
            scale = np.maximum(largest / LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
            stored[name] = np.round(array / scale.reshape(-1, *(1,) * (array.ndim - 1))).astype(np.int8)
            stored[name + weights.SCALE_SUFFIX] = scale
    return stored


def fewest_bits(
    state: Mapping[str, torch.Tensor], gains: Callable[[Mapping[str, torch.Tensor]], Mapping[str, float]]
) -> dict[str, np.ndarray]:
    """The network in the smallest format with which its `gains` (in dB) are within the tolerance."""
    exact = gains(state)
    for kind in KINDS[:-1]:
        stored = rounded(state, kind)
        read = {name: torch.from_numpy(array) for name, array in weights.restored(stored).items()}
        found = gains({**state, **{name: tensor.to(state[name]) for name, tensor in read.items()}})
        if all(found[name] >= exact[name] - TOLERANCE for name in exact if not name.startswith(LOOKS)):
            return stored
    return rounded(state, KINDS[-1])
