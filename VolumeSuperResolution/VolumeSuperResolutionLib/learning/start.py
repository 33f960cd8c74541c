"""Where learning starts: at the shipped 2D network for thick slices, made to give as many sub-voxels as are needed."""

from __future__ import annotations

import math

import torch

from ..engine.models import zoo
from ..engine.networks import Network, build
from ..engine.physics import interpolation
from .model import NETWORK

# The shipped models that it may start at, by their factors.
STARTS = {2: "cnnil-depth-x2", 4: "cnnil-depth-x4"}
# The layer that gives the sub-voxels.
PHASES = "to_phases"


def start_for(factor: int, seed: int) -> tuple[Network, str]:
    """A network to be trained and the model whose weights it has; untrained, where none is installed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(NETWORK, factor=factor)
    installed = zoo.cards()
    found = {f: installed[name] for f, name in STARTS.items() if name in installed}
    if not found:
        return network, ""
    nearest = min(found, key=lambda f: abs(math.log(factor / f)))
    weights = zoo.load(found[nearest])[0].state_dict()
    matrix = interpolation.axis_matrix(nearest, factor, "linear")
    for part in ("weight", "bias") if matrix is not None else ():
        name = f"{PHASES}.{part}"
        weights[name] = torch.tensordot(torch.from_numpy(matrix).float(), weights[name], dims=1)
    network.load_state_dict(weights)
    return network, found[nearest].id
