"""A wide network that starts as a narrow one."""

from __future__ import annotations

import pytest
import torch
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.training.widening import widen

KINDS = {
    "edsr3d": {"factor": (1, 1, 4), "blocks": 2, "residual": True},
    "srresnet3d": {"factor": 4, "blocks": 2},
    "rcan3d": {"factor": 2, "groups": 1, "blocks": 2},
}


def pair(kind: str, narrow: int, wide: int, **arguments) -> list:
    torch.manual_seed(1)
    return [build(kind, **arguments, features=features).eval() for features in (narrow, wide)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_widened_network_answers_like_the_narrow_one_and_learns_with_all_it_has(kind):
    narrow, wide = pair(kind, 16, 32, **KINDS[kind])
    x = torch.rand(2, 1, 5, 6, 7)
    with torch.no_grad():
        assert not torch.allclose(narrow(x), wide(x), atol=1e-3)
        widen(wide, narrow)
        assert torch.allclose(narrow(x), wide(x), atol=1e-4)
    wide(x).square().sum().backward()
    opening = [
        wide.get_parameter(name).grad[: len(weight), weight.shape[1] :].abs().max() > 0
        for name, weight in narrow.named_parameters()
        if weight.ndim > 1 and wide.get_parameter(name).shape[1] > weight.shape[1]
    ]
    # but for some of the few units of an attention, which this input does not wake
    assert sum(opening) > 0.5 * len(opening)


def test_a_network_as_wide_gets_the_weights_themselves():
    known, network = pair("edsr3d", 8, 8, factor=2, blocks=1)
    widen(network, known)
    for name, weight in known.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight), name


def test_what_cannot_be_widened_is_refused():
    narrow, wide = pair("edsr3d", 8, 16, factor=2, blocks=1)
    with pytest.raises(RefusalError, match="narrower"):
        widen(narrow, wide)
    # dense connections put old features behind new ones
    narrow, wide = pair("rrdb3d", 8, 16, factor=2, blocks=1, growth=4)
    with pytest.raises(RefusalError, match="cannot be widened"):
        widen(wide, narrow)
