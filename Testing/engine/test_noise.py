"""The noise that networks draw texture with."""

import pytest
import torch
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.networks.noise import Noise


@pytest.fixture
def scan():
    """Smooth contrast and faint noise, as of a scan."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 1, 3, 3, 3), size=(20, 18, 16), mode="trilinear")
    return smooth + 0.002 * torch.randn_like(smooth)


@pytest.mark.parametrize("factor", [(4, 4, 4), (2, 2, 2), (4, 1, 1)])
def test_it_is_white(scan, factor):
    noise = Noise(factor)(scan)[0, 0]
    assert noise.shape == tuple(f * n for f, n in zip(factor, scan.shape[2:]))
    assert abs(noise.mean()) < 0.03
    assert 0.9 < noise.std() < 1.01
    for axis in range(3):
        for lag in (1, 2, 4):
            near, far = (noise.narrow(axis, start, noise.shape[axis] - lag) for start in (0, lag))
            assert abs((near * far).mean()) < 0.05


def test_a_part_gets_what_the_whole_gets(scan):
    noise = Noise((4, 2, 1))
    part = noise(scan[:, :, 3:9, :, 5:])[:, :, 4:-4, :, 1:]
    assert torch.equal(part, noise(scan)[:, :, 16:32, :, 6:])


def test_what_was_set_to_one_value_gets_none(scan):
    scan[:, :, :10] = 0.25
    fine = Noise((2, 2, 2))(scan)
    assert not fine[:, :, 2:18, 2:-2, 2:-2].abs().max() > 1e-3
    assert fine[:, :, 22:].std() > 0.9


def test_it_does_not_depend_on_the_precision_of_the_network(scan):
    noise = Noise((4, 4, 4))(scan.half())
    assert noise.dtype == torch.float16
    assert 0.9 < noise.float().std() < 1.01


def test_a_network_starts_without_it(scan):
    arguments = {"factor": 2, "features": 4, "blocks": 1, "growth": 2}
    torch.manual_seed(0)
    plain = build("rrdb3d", **arguments)
    noisy = build("rrdb3d", **arguments, noise=True)
    missing = noisy.load_state_dict(plain.state_dict(), strict=False).missing_keys
    with torch.inference_mode():
        assert torch.equal(plain(scan), noisy(scan))
        noisy.state_dict()[missing[0]].normal_()
        assert (plain(scan) - noisy(scan)).abs().max() > 0.01
