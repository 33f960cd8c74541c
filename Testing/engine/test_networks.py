"""The published architectures: exact sizes, exact geometry, and starts that can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_networks import difference, enlivened, noise, whole
from torch import nn
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.networks import NETWORKS, build
from VolumeSuperResolutionLib.engine.networks.fsrcnn import CroppedTransposedConv
from VolumeSuperResolutionLib.engine.networks.rrdb import Discriminator3d
from VolumeSuperResolutionLib.engine.networks.shuffle import VoxelShuffle
from VolumeSuperResolutionLib.engine.networks.told import Told
from VolumeSuperResolutionLib.engine.streaming.inference import Compute, apply

PUBLISHED = [
    ("cnnil_inplane", {"factor": 2}, 57_573),
    ("cnnil_depth", {"factor": 2}, 56_995),
    ("cnnil_inplane", {"factor": 4}, 61_041),
    ("cnnil_depth", {"factor": 4}, 57_573),
    ("srcnn2d", {}, 87_169),
    ("srcnn3d", {}, 52_801),
    ("fsrcnn3d", {}, 77_457),
    ("srresnet3d", {"factor": 4}, 5_425_665),
    ("dcsrn3d", {}, 141_816),
    ("mdcsrn3d", {}, 564_224),
    ("rcan3d", {"factor": 4}, 38_493_953),
    ("rrdb3d", {"factor": 4}, 50_059_905),
    ("rrdb3d", {"factor": 4, "blocks": 6, "features": 32, "growth": 16}, 3_349_025),
]

SMALL = {
    "anygrid3d": {"features": 4, "blocks": 2},
    "combined3d": {"features": 4, "blocks": 2},
    "edsr3d": {"features": 4, "blocks": 2},
    "srresnet3d": {"features": 4, "blocks": 2, "factor": 2},
    "dcsrn3d": {"growth": 4},
    "mdcsrn3d": {"growth": 4},
    "rcan3d": {"features": 8, "groups": 1, "blocks": 2, "reduction": 4, "factor": 2},
    "rrdb3d": {"features": 4, "growth": 2, "blocks": 1, "factor": 2},
}
THROUGH_PLANE = ("fsrcnn3d", "edsr3d", "srresnet3d", "rcan3d", "rrdb3d")


def small(name, **changes):
    torch.manual_seed(0)
    return build(name, **{**SMALL.get(name, {}), **changes}).eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def sample(network, size=(5, 6, 7)):
    return torch.rand(2, network.inputs, *size[: network.dimensions])


@pytest.mark.parametrize(("name", "arguments", "count"), PUBLISHED)
def test_full_size_has_the_published_number_of_parameters(name, arguments, count):
    with torch.device("meta"):
        assert parameters(build(name, **arguments)) == count


def test_edsr_without_its_upsampler_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = build("edsr3d")
        assert parameters(network) - parameters(network.upsampling) == 2_105_985


def test_discriminator_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(Discriminator3d()) == 15_879_617


def test_discriminator_gives_a_logit_a_voxel():
    assert Discriminator3d(features=2)(torch.rand(1, 1, 16, 8, 24)).shape == (1, 1, 16, 8, 24)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_output_is_the_input_size_times_the_factor(name, residual):
    network = small(name, residual=residual)
    x = sample(network)
    with torch.inference_mode():
        out = network(x)
    assert out.shape == (2, 1, *(n * f for n, f in zip(x.shape[2:], network.factor)))
    assert network.on_interpolated == (name in ("srcnn2d", "srcnn3d", "dcsrn3d", "mdcsrn3d"))


@pytest.mark.parametrize("name", THROUGH_PLANE)
def test_a_single_axis_can_be_scaled(name):
    network = small(name, factor=(4, 1, 1))
    assert network.factor == (4, 1, 1)
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 3, 6, 5)).shape == (1, 1, 12, 6, 5)


def test_the_depth_network_scales_the_last_axis():
    network = small("cnnil_depth", factor=4)
    assert network.factor == (1, 4)
    assert network(torch.rand(1, 1, 6, 5)).shape == (1, 1, 6, 20)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_streamed_network_computes_the_same(name, residual):
    network = enlivened(small(name, residual=residual))
    if isinstance(network, Told):  # which is settled before it runs
        network.settle(np.array(network.usual))
    x = noise((5, 6, 7))
    if network.inputs > 1:
        x = np.stack([(n + 1) * x for n in range(network.inputs)], axis=-1)
    expected = whole(network, x)
    out = np.full_like(expected, np.nan)
    account = apply(network, x.__getitem__, x.shape[:3], out.__setitem__, Compute("cpu"))
    assert difference(out, expected) <= 1e-5
    assert account.exact


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_parameter_learns_from_the_start(name):
    torch.manual_seed(1)
    network = small(name).train()
    network(sample(network, (8, 8, 8))).square().mean().backward()
    dead = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("name", ["cnnil_inplane", "cnnil_depth"])
def test_every_phase_of_cnnil_starts_awake(name, factor):
    for seed in range(5):
        torch.manual_seed(seed)
        network = build(name, factor=factor)
        out, intermediate = network.forward_with_intermediate(torch.full((1, 1, 24, 24), 0.5))
        inner = (..., *(slice(8 * f, -8 * f) for f in network.factor))
        assert intermediate[inner].min() > 0
        assert out[inner].max() > 0


@pytest.mark.parametrize("name", ["srcnn2d", "srcnn3d"])
def test_srcnn_starts_as_the_identity(name):
    network = small(name)
    x = sample(network)
    # channel 0 copies the input; the random channels reach the output through nothing
    assert torch.allclose(network(x), x, atol=1e-6)


def test_fsrcnn_starts_close_to_linear_interpolation():
    network = small("fsrcnn3d")
    x = nn.functional.avg_pool3d(torch.rand(1, 1, 16, 16, 16), 5, stride=1)
    expected = nn.functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
    inner = (..., *(slice(4, -4),) * 3)
    assert (network(x) - expected)[inner].abs().max() < 0.15


def test_residual_networks_add_the_aligned_interpolation():
    network = small("edsr3d", residual=True)
    nn.init.zeros_(network.tail.weight)
    nn.init.zeros_(network.tail.bias)
    ramp = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 1, 8, 4, 4)
    out = network(ramp)
    # fine voxel o of a factor 2 lies at (o + 0.5) / 2 - 0.5 coarse voxels
    assert torch.allclose(out[0, 0, 1:-1, 0, 0], (torch.arange(1.0, 15.0) + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("name", ["edsr3d", "srresnet3d", "rcan3d"])
def test_the_shuffle_starts_as_nearest_neighbour(name):
    network = small(name)
    widen, shuffle = network.upsampling[0], network.upsampling[1]
    out = shuffle(widen(torch.rand(1, widen.in_channels, 4, 4, 4)))
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2).unfold(4, 2, 2).flatten(5)
    assert torch.equal(blocks.amax(-1), blocks.amin(-1))


def test_the_2d_shuffle_is_pixel_shuffle():
    x = torch.rand(2, 18, 4, 5)
    assert torch.equal(VoxelShuffle((3, 3))(x), nn.functional.pixel_shuffle(x, 3))


@pytest.mark.parametrize("factor", [(2, 3, 1), (1, 1, 4), (1, 2)])
def test_the_shuffle_puts_each_phase_where_it_belongs(factor):
    shuffle = VoxelShuffle(factor)
    spatial = (3, 4, 5)[: len(factor)]
    x = torch.rand(2, 3 * shuffle.phases, *spatial)
    out = shuffle(x)
    for phase in range(shuffle.phases):
        offset, rest = [], phase
        for f in reversed(factor):
            offset.insert(0, rest % f)
            rest //= f
        index = tuple(slice(o, None, f) for o, f in zip(offset, factor))
        assert torch.equal(out[(slice(None), slice(None), *index)], x[:, phase :: shuffle.phases])


@pytest.mark.parametrize("stride", [(2, 2, 2), (4, 1, 1), (1, 2, 3)])
def test_the_cropped_transposed_convolution_is_keras_same(stride):
    torch.manual_seed(0)
    layer = CroppedTransposedConv(3, 2, 9, stride).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(1, 3, 6, 5, 4, dtype=torch.float64)
    full = nn.functional.conv_transpose3d(x, layer.weight, layer.bias, stride=stride)
    # Keras crops kernel - stride in all, the smaller half in front
    start = [(9 - s) // 2 for s in stride]
    expected = full[(..., *(slice(a, a + n * s) for a, n, s in zip(start, x.shape[2:], stride)))]
    assert torch.allclose(layer(x), expected)
    weight = layer.weight.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    full = nn.functional.conv_transpose3d(x, weight, layer.bias, stride=stride)
    cropped = full[(..., *(slice(a, a + n * s) for a, n, s in zip(start, x.shape[2:], stride)))]
    assert torch.allclose(gradient, torch.autograd.grad(cropped.square().sum(), weight)[0])


def test_an_unknown_name_is_refused_with_the_closest():
    with pytest.raises(RefusalError, match="fsrcnn3d"):
        build("fsrcn3d")


def test_a_factor_for_the_wrong_number_of_axes_is_refused():
    with pytest.raises(ValueError, match="3 axes"):
        build("fsrcnn3d", factor=(2, 2))
