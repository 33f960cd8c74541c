"""A region comes out as it does within the whole volume, for every kind of network that is shipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from sample_models import model
from small_networks import difference, enlivened, noise
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

# As deep as they are shipped, since depth is how far they look, but narrow.
NARROW = {
    "cnnil_inplane": {"features": 3},
    "cnnil_depth": {"features": 3},
    "srcnn2d": {"features": [3, 3, 2]},
    "srcnn3d": {"features": [3, 2]},
    "fsrcnn3d": {"features": 4, "shrunk": 2},
    "edsr3d": {"features": 3},
    "srresnet3d": {"features": 3},
    "dcsrn3d": {"growth": 2},
    "mdcsrn3d": {"growth": 2},
    "rcan3d": {"features": 4, "reduction": 2},
    "rrdb3d": {"features": 3, "growth": 2},
    "anygrid3d": {"features": 3},
}
LEARNED = {card.id: card for card in zoo.cards().values() if card.learned}
LENGTH, SIDE, WIDTH = 72, 3, 4


def kinds():
    """One shipped model of each kind of network and factor."""
    found = {}
    for card in LEARNED.values():
        found.setdefault((tuple(stage.network for stage in card.stages), card.factor), card.id)
    return sorted(found.values())


def narrow(folder, card):
    """A model of the same plan with narrow networks whose random weights all matter."""
    stages = tuple(zoo.Stage(s.network, {**s.arguments, **NARROW[s.network]}, s.views) for s in LEARNED[card].stages)
    torch.manual_seed(0)
    networks = [enlivened(build(stage.network, **stage.arguments), seed) for seed, stage in enumerate(stages)]
    tensors = {
        f"{n}.{name}": tensor.numpy().astype(np.float32)
        for n, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    model(folder, save(tensors), stages, factor=LEARNED[card].factor)
    return str(folder), LEARNED[card].typical


def apart(name, factor, rounds, axis):
    """The largest difference between a region in the middle of a long axis and the same part of the whole result."""
    shape = tuple(LENGTH if a == axis else SIDE for a in range(3))
    middle = LENGTH // 2
    ends = tuple((middle, middle + WIDTH) if a == axis else (0, SIDE) for a in range(3))
    if factor[:2] == (1, 1) and factor[2] > 1:  # scaled along the long axis
        factor = tuple(max(factor) if 2 - a == axis else 1 for a in range(3))
    volume = Volume(noise(shape), Grid(shape[::-1]))
    request = {"model": name, "scale": tuple(map(float, factor)), "consistency": rounds, "modality": "MR"}
    whole = upscale(volume, Request(**request)).volume.array
    part = upscale(volume, Request(**request, region=ends[::-1])).volume.array
    inside = tuple(slice(a * f, b * f) for (a, b), f in zip(ends, factor[::-1]))
    return difference(part, whole[inside])


# It looks at the means of the whole volume.
TOO_FAR = pytest.mark.xfail(strict=True, reason="the margin around a region is not derived from the network yet")
KINDS = [pytest.param(kind, marks=TOO_FAR) if kind == "rcan3d-x4" else kind for kind in kinds()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_is_that_part_of_the_whole(tmp_path, kind):
    name, factor = narrow(tmp_path / "narrow", kind)
    # Rows are read as columns are, and by networks that know no slices as planes are.
    axes = (0, 2) if LEARNED[kind].stages[0].views or len(set(factor)) > 1 else (0,)
    assert max(apart(name, factor, 0, axis) for axis in axes) <= 2e-6
    if kind == "fsrcnn3d-x2":  # what rounds look at comes on top, whatever the network
        assert apart(name, factor, 2, 0) <= 2e-6


@pytest.mark.parametrize("name", ["linear", "bspline", "lanczos"])
def test_a_region_is_that_part_of_the_whole_for_the_classical_ones(name):
    for factor in ((2, 2, 2), (1, 3, 4)):
        for axis in range(3):
            assert apart(name, factor, None, axis) <= 2e-6
