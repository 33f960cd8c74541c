"""Each operation of a network is streamed as it is computed over the whole volume, or refused by its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import difference, enlivened, noise, whole
from streamed import CLOSE, SHAPES, Parts, run, thorough
from torch import nn
from torch.nn import functional
from VolumeSuperResolutionLib.engine.networks.shuffle import VoxelShuffle
from VolumeSuperResolutionLib.engine.streaming.build import UnstreamableError
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.streaming.tiles import parts


def transposed(kernel, stride, padding, extra, dimensions=3):
    layer = (nn.ConvTranspose3d if dimensions == 3 else nn.ConvTranspose2d)(
        1, 2, kernel, stride=stride, padding=padding, output_padding=extra
    )
    join = (nn.Conv3d if dimensions == 3 else nn.Conv2d)(2, 1, 3, padding=1)
    return Parts(dimensions, lambda net, x: net.join(functional.relu(net.up(x))), up=layer, join=join)


OTHERS = {
    "transposed even": lambda: transposed(4, 2, 1, 0),
    "transposed odd": lambda: transposed(5, 3, 1, 1),
    "transposed anisotropic": lambda: transposed((9, 3, 3), (4, 1, 1), (3, 1, 1), (1, 0, 0)),
    "transposed in 2D": lambda: transposed(3, 2, 1, 1, 2),
    "dilated": lambda: Parts(
        3,
        lambda net, x: net.b(functional.elu(net.a(x))) - x,
        a=nn.Conv3d(1, 3, 3, padding=2, dilation=2),
        b=nn.Conv3d(3, 1, (3, 5, 1), padding="same", dilation=(3, 1, 1)),
    ),
    "valid and cropped": lambda: Parts(
        3,
        lambda net, x: 1 - net.a(x)[:, :, 1:, :-1] / 2,
        a=nn.Conv3d(1, 2, (2, 1, 2), padding=(1, 0, 1)),
    ),
    "nearest and linear": lambda: Parts(
        3,
        lambda net, x: net.near(net.a(x))
        + functional.interpolate(x, scale_factor=3, mode="trilinear", align_corners=False),
        a=nn.Conv3d(1, 1, 3, padding=1),
        near=nn.Upsample(scale_factor=3),
    ),
    "linear between convolutions": lambda: Parts(
        2,
        lambda net, x: net.b(net.up(net.a(x))),
        a=nn.Conv2d(1, 2, 3, padding=1),
        up=nn.Upsample(scale_factor=(2, 5), mode="bilinear", align_corners=False),
        b=nn.Conv2d(2, 1, 3, padding=1),
    ),
    "pixel shuffle read twice": lambda: Parts(
        2,
        lambda net, x: (lambda y: net.up(y)[:, :, :, :] + net.up(functional.leaky_relu(y, 0.1)))(net.a(x)),
        a=nn.Conv2d(1, 4, 3, padding=1),
        up=nn.PixelShuffle(2),
    ),
    "shuffle of a sum": lambda: Parts(
        3,
        lambda net, x: net.up(net.a(x) + 0.5 * net.b(x)),
        a=nn.Conv3d(1, 6, 3, padding=1),
        b=nn.Conv3d(1, 6, 1),
        up=VoxelShuffle((3, 1, 2)),
    ),
    "concatenated without a convolution": lambda: Parts(
        3,
        lambda net, x: net.b(functional.relu(torch.cat([x, net.a(x), -x], dim=1)) * 2 + 1),
        a=nn.Conv3d(1, 2, 5, padding=2),
        b=nn.Conv3d(4, 1, 1, bias=False),
    ),
    "the same twice": lambda: Parts(3, lambda net, x: (lambda y: y + y)(net.a(x)), a=nn.Conv3d(1, 1, 3, padding=1)),
    "a volume times another": lambda: Parts(
        3,
        lambda net, x: net.b(net.a(x) * x) + x * x,
        a=nn.Conv3d(1, 3, 3, padding=1),
        b=nn.Conv3d(3, 1, 1),
    ),
    "wide to narrow": lambda: Parts(
        3,
        lambda net, x: net.c(functional.relu(net.b(functional.relu(net.a(x))))),
        a=nn.Conv3d(1, 16, 3, padding=1),
        b=nn.Conv3d(16, 16, (1, 1, 3), padding=(0, 0, 1)),
        c=nn.Conv3d(16, 1, 5, padding=4, dilation=2),
    ),
    "wide to narrow in a slice": lambda: Parts(
        2,
        lambda net, x: functional.leaky_relu(net.up(net.b(net.a(x))), 0.3),
        a=nn.Conv2d(1, 16, 3, padding=1),
        b=nn.Conv2d(16, 4, (3, 7), padding=(1, 3)),
        up=nn.PixelShuffle(2),
    ),
    "wide to narrow transposed": lambda: Parts(
        3,
        lambda net, x: functional.relu(net.up(net.a(x))),
        a=nn.Conv3d(1, 16, 1),
        up=nn.ConvTranspose3d(16, 1, (6, 9, 2), stride=2, padding=(1, 3, 0), output_padding=(0, 1, 0)),
    ),
    "convolution behind nearest": lambda: Parts(
        3,
        lambda net, x: net.c(functional.leaky_relu(net.b(net.near(net.a(x))), 0.2)),
        a=nn.Conv3d(1, 2, 1),
        near=nn.Upsample(scale_factor=(2, 3, 1)),
        b=nn.Conv3d(2, 16, (3, 5, 3), padding="same"),
        c=nn.Conv3d(16, 1, 1),
    ),
    "convolution behind nearest in a slice": lambda: Parts(
        2,
        lambda net, x: net.c(net.b(net.near(x)) - functional.interpolate(x, scale_factor=4.0, mode="nearest")),
        near=nn.Upsample(scale_factor=4),
        b=nn.Conv2d(1, 16, (7, 3), padding=(3, 1), bias=False),
        c=nn.Conv2d(16, 1, 3, padding=1),
    ),
    "shuffle to wide": lambda: Parts(
        3,
        lambda net, x: net.c(net.up(net.b(net.a(x)))),
        a=nn.Conv3d(1, 3, 1),
        b=nn.Conv3d(3, 64, (3, 2, 5), padding=(2, 1, 4), dilation=(2, 1, 2)),
        up=VoxelShuffle((2, 1, 2)),
        c=nn.Conv3d(16, 1, 1),
    ),
    "identity": lambda: Parts(3, lambda net, x: x),
}


@pytest.mark.parametrize("name", OTHERS)
@given(shape=SHAPES, thickness=st.integers(1, 6), cut=st.integers(1, 5))
@settings(parent=thorough, max_examples=5)
def test_other_operations(name, shape, thickness, cut):
    network = enlivened(OTHERS[name]())
    array = noise(shape)
    if name == "valid and cropped" and min(shape) < 2:
        return
    truth = whole(network, array) if name != "valid and cropped" else None
    with torch.inference_mode():
        if truth is None:
            truth = network(torch.from_numpy(array)[None, None])[0].numpy()[0]
    stream = Stream(network)
    assert stream.sizes(shape)[-1] == truth.shape
    out = np.full_like(truth, np.nan)
    for column in parts(truth.shape[2], cut):
        box = ((0, truth.shape[0]), (0, truth.shape[1]), column)
        out[:, :, slice(*column)] = run(stream, array, box, thickness)
    assert difference(out, truth) <= CLOSE


REFUSED = {
    "AdaptiveMaxPool3d": lambda: Parts(3, lambda net, x: x * net.a(x), a=nn.AdaptiveMaxPool3d(1)),
    "more than one voxel": lambda: Parts(3, lambda net, x: x * net.a(x), a=nn.AdaptiveAvgPool3d(2)),
    "AdaptiveAvgPool2d": lambda: Parts(2, lambda net, x: x * net.a(x), a=nn.AdaptiveAvgPool2d(1)),
    "mean": lambda: Parts(3, lambda net, x: x - x.mean()),
    "InstanceNorm3d": lambda: Parts(3, lambda net, x: net.a(x), a=nn.InstanceNorm3d(1)),
    "softmax": lambda: Parts(3, lambda net, x: functional.softmax(x, 1)),
    "strides": lambda: Parts(3, lambda net, x: net.a(x), a=nn.Conv3d(1, 1, 3, stride=2)),
    "aligned corners": lambda: Parts(
        3, lambda net, x: functional.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)
    ),
    "whole number": lambda: Parts(3, lambda net, x: functional.interpolate(x, scale_factor=1.5)),
    "other padding": lambda: Parts(3, lambda net, x: net.a(x), a=nn.Conv3d(1, 1, 3, padding=1, padding_mode="reflect")),
    "than a kernel reaches": lambda: Parts(3, lambda net, x: net.a(x), a=nn.Conv3d(1, 1, 1, padding=1)),
    "more than one output": lambda: Parts(3, lambda net, x: (x, x)),
    "cannot be traced": lambda: Parts(3, lambda net, x: x if x.sum() > 0 else -x),
    "another axis": lambda: Parts(3, lambda net, x: torch.cat([x, x], dim=2)),
    "a part of a volume": lambda: Parts(3, lambda net, x: x[:, :, ::2]),
    "different sizes": lambda: Parts(3, lambda net, x: x + functional.interpolate(x, scale_factor=2)),
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_it_does_not_know_is_refused_by_name(word):
    with pytest.raises(UnstreamableError, match=word):
        Stream(REFUSED[word]())
