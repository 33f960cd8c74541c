"""Initializes a wide network from a trained narrow one, which is much cheaper to train."""

from __future__ import annotations

import torch

from ..engine.errors import RefusalError
from ..engine.networks import Network

TOLERANCE = 1e-4


def widen(network: Network, narrow: Network) -> None:
    """Gives `network` the weights of a narrower one of its kind; its output is then the same.

    The additional features read all features, but enter the existing ones with zero weights, which training then
    changes.
    """
    state = network.state_dict()
    for name, weight in narrow.state_dict().items():
        corner = state[name][tuple(map(slice, weight.shape))]
        if corner.shape != weight.shape:
            raise RefusalError(f"A {type(network).__name__} cannot be made narrower; start from one that is no wider.")
        if weight.ndim > 1:
            state[name][: len(weight)] = 0
        corner.copy_(weight)
    x = torch.rand(1, 1, *(8,) * network.dimensions, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = narrow.eval()(x), network.eval()(x)
    if not torch.allclose(before, after, atol=TOLERANCE):
        raise RefusalError(f"A {type(network).__name__} cannot be widened; start from one as wide.")
