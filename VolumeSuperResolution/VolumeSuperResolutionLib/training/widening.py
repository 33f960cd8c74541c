"""Initializes a network from a trained one: a wide one from a narrow one, and others from those with a like body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..engine.errors import RefusalError
from ..engine.models import zoo
from ..engine.networks import Network
from ..engine.networks.anygrid import AnyGrid3d
from ..engine.networks.combined import Combined3d
from ..engine.networks.edsr import Edsr3d
from .configs import Config, StageConfig

TOLERANCE = 1e-4


def start_networks(model: str, config: Config) -> list[Network]:
    """The config's networks, initialized from a model with the same ones, or with narrower or noiseless ones.

    That for every grid may start from an EDSR, too, and that for several scans from that for every grid.
    """
    card = zoo.card(model)
    trained, network = zoo.load(card), config.stages[0].build()
    first = trained[0] if trained else None
    if isinstance(network, Combined3d) and isinstance(first, AnyGrid3d):
        adopt_for_blocks(network, first)
        return [network]
    if isinstance(network, AnyGrid3d) and isinstance(first, Edsr3d):
        adopt(network, first)
        return [network]
    if _kinds(card.stages) != _kinds(config.stages):
        raise RefusalError(f"{card.id} has other networks than the config {config.id}; start from a model of its kind.")
    networks = []
    for stage, old, known in zip(config.stages, card.stages, trained):
        like_known = zoo.noiseless(stage) if zoo.noiseless(old) == old else stage
        wide = like_known.build()
        widen(wide, known)
        network = stage.build()
        network.load_state_dict(wide.state_dict(), strict=like_known == stage)
        networks.append(network)
    return networks


def _kinds(stages: Sequence[zoo.Stage | StageConfig]) -> list[tuple[str, dict[str, Any]]]:
    """What two models must have in common so that one can be initialized from the other."""
    return [(stage.network, {**zoo.noiseless(stage).arguments, "features": None}) for stage in stages]


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
    x = torch.rand(1, network.inputs, *(8,) * network.dimensions, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = narrow.eval()(x), network.eval()(x)
    if not torch.allclose(before, after, atol=TOLERANCE):
        raise RefusalError(f"A {type(network).__name__} cannot be widened; start from one as wide.")


def adopt(network: AnyGrid3d, edsr: Edsr3d) -> None:
    """Gives the network for every grid the features of a 3D EDSR as wide and deep; its tail starts at zero.

    The EDSR's own tail leaves coarse structure to rounds of data consistency, which are none here.
    """
    own, given = network.state_dict(), edsr.state_dict()
    features = {name: weight for name, weight in given.items() if name.startswith(("head.", "body."))}
    if {n: own[n].shape for n in own if n.startswith(("head.", "body."))} != {n: t.shape for n, t in features.items()}:
        raise RefusalError("A network for every grid can start from a 3D EDSR of as many features and blocks only.")
    zero = {name: torch.zeros_like(own[name]) for name in ("tail.weight", "tail.bias")}
    network.load_state_dict({**own, **features, **zero})


def adopt_for_blocks(network: Combined3d, other: AnyGrid3d) -> None:
    """Gives the network for several scans the features that one for every grid has of the means of its blocks; its
    tail starts at zero."""
    own, given = network.state_dict(), other.state_dict()
    body = {name: weight for name, weight in given.items() if name.startswith("body.")}
    if {n: own[n].shape for n in own if n.startswith("body.")} != {n: t.shape for n, t in body.items()}:
        raise RefusalError("A network for several scans can start from one of as many features and blocks only.")
    voxels = own["head.weight"].shape[1]
    head = given["head.weight"].repeat(1, voxels, 1, 1, 1) / voxels
    zero = {name: torch.zeros_like(own[name]) for name in ("tail.weight", "tail.bias")}
    network.load_state_dict({**own, **body, "head.weight": head, "head.bias": given["head.bias"], **zero})
