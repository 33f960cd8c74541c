"""The noise that networks add to their results."""

import pytest
import torch
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.networks.noise import Noise

FAINTEST = 5e-4


@pytest.fixture
def scan():
    """Smooth contrast and faint noise, as of a scan."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 1, 3, 3, 3), size=(20, 18, 16), mode="trilinear")
    return smooth + 0.002 * torch.randn_like(smooth)


@pytest.mark.parametrize("factor", [(4, 4, 4), (2, 2, 2), (4, 1, 1)])
def test_it_is_white(scan, factor):
    noise = Noise(factor, FAINTEST)(scan)[0, 0]
    assert noise.shape == tuple(f * n for f, n in zip(factor, scan.shape[2:]))
    assert abs(noise.mean()) < 0.03
    assert 0.9 < noise.std() < 1.01
    for axis in range(3):
        for lag in (1, 2, 4):
            near, far = (noise.narrow(axis, start, noise.shape[axis] - lag) for start in (0, lag))
            assert abs((near * far).mean()) < 0.05


def test_a_part_gets_what_the_whole_gets(scan):
    noise = Noise((4, 2, 1), FAINTEST)
    part = noise(scan[:, :, 2:10, :, 5:])[:, :, 8:-8, :, 2:]
    assert torch.equal(part, noise(scan)[:, :, 16:32, :, 7:])


def test_what_was_set_to_one_value_gets_none(scan):
    scan[:, :, :10] = 0.25
    fine = Noise((2, 2, 2), FAINTEST)(scan)
    assert not fine[:, :, 4:16, 4:-4, 4:-4].abs().max() > 1e-3
    assert fine[:, :, 24:].std() > 0.9


def test_it_does_not_depend_on_the_precision_of_the_network(scan):
    noise = Noise((4, 4, 4), FAINTEST)(scan.half())
    assert noise.dtype == torch.float16
    assert 0.9 < noise.float().std() < 1.01


@pytest.mark.parametrize("contrast", ["faint", "strong"])
def test_a_network_adds_it_to_its_result(scan, contrast):
    """Most, and white, where contrast is faint; little, and coarser, where it is strong."""
    arguments = {"factor": 2, "features": 4, "blocks": 1, "growth": 2}
    torch.manual_seed(0)
    plain = build("rrdb3d", **arguments)
    noisy = build("rrdb3d", **arguments, noise=True)
    noisy.load_state_dict(plain.state_dict(), strict=False)
    x = 30 * scan if contrast == "strong" else 0.001 * torch.randn_like(scan)
    with torch.inference_mode():
        added = (noisy(x) - plain(x))[..., 4:-4, 4:-4, 4:-4]
    assert abs(added.mean()) < 3e-4
    alike = (added[..., 1:] * added[..., :-1]).mean() / added.var()
    if contrast == "faint":
        assert 0.004 < added.std() < 0.01
        assert abs(alike) < 0.1
    else:
        assert added.std() == pytest.approx(0.002, rel=0.15)
        assert alike > 0.3
