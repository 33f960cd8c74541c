"""A stream gives what the whole volume gives, reads what it must and no more, and refuses what it does not know."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_networks import SMALL, difference, enlivened, noise, small, whole
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.networks.shuffle import VoxelShuffle
from VolumeSuperResolutionLib.engine.streaming import kernels
from VolumeSuperResolutionLib.engine.streaming.build import UnstreamableError
from VolumeSuperResolutionLib.engine.streaming.convolution import Conv
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.streaming.tiles import parts

torch.set_num_threads(1)
CLOSE = 1e-5
thorough = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SHAPES = st.tuples(st.integers(1, 13), st.integers(1, 12), st.integers(1, 11))


def run(stream, array, box, thickness, chunk_bytes=1 << 62, seen=None, first=None, blocks=None):
    """A box of the output; what is computed twice or left out shows as NaN."""
    out = np.full([high - low for low, high in box], np.nan, dtype=np.float32)

    def read(ranges):
        if seen is not None:
            seen.append(ranges)
        return torch.from_numpy(array[tuple(slice(*r) for r in ranges)].copy()).unsqueeze(3)

    with torch.inference_mode():
        for item in stream.run(read, array.shape, box, thickness, chunk_bytes, first):
            if item is not None:
                (low, high), block = item
                if blocks is not None:
                    blocks.append(low)
                place = out[low - box[0][0] : high - box[0][0]]
                assert np.isnan(place).all()
                place[:] = block[..., 0].numpy()
    return out


def box_of(size):
    return tuple((0, n) for n in size)


@pytest.mark.parametrize("name", SMALL)
@given(shape=SHAPES, thickness=st.integers(1, 16), grid=st.tuples(st.integers(1, 3), st.integers(1, 3)), data=st.data())
@settings(parent=thorough, max_examples=4)
def test_streamed_in_columns_is_the_whole_volume(name, shape, thickness, grid, data):
    network = small(name)
    array = noise(shape)
    truth = whole(network, array)
    chunk_bytes = data.draw(st.sampled_from((1, 4000, 1 << 30)))
    stream = Stream(network)
    out = np.full_like(truth, np.nan)
    rows, columns = (parts(n, count) for n, count in zip(truth.shape[1:], grid))
    for row in rows:
        for column in columns:
            box = ((0, truth.shape[0]), row, column)
            out[:, slice(*row), slice(*column)] = run(stream, array, box, thickness, chunk_bytes)
    assert difference(out, truth) <= CLOSE


@pytest.mark.parametrize("name", SMALL)
@given(shape=SHAPES, thickness=st.integers(1, 5), data=st.data())
@settings(parent=thorough, max_examples=5)
def test_any_box_can_be_streamed_alone(name, shape, thickness, data):
    network = small(name)
    array = noise(shape)
    truth = whole(network, array)
    box = []
    for n in truth.shape:
        low = data.draw(st.integers(0, n - 1))
        box.append((low, data.draw(st.integers(low + 1, n))))
    out = run(Stream(network), array, tuple(box), thickness)
    whole_of = truth.copy()
    whole_of[tuple(slice(*r) for r in box)] = out
    assert difference(whole_of, truth) <= CLOSE


def check_going_on(network, array, thickness, chunk_bytes, data):
    """From any of its blocks on, a run is bit for bit what the whole one is, and reads little more than it needs."""
    stream, blocks, seen = Stream(network), [], []
    size = stream.sizes(array.shape)[-1]
    low = data.draw(st.integers(0, size[1] - 1), "row")
    box = ((0, size[0]), (low, size[1]), (0, size[2]))
    truth = run(stream, array, box, thickness, chunk_bytes, blocks=blocks)
    first = data.draw(st.sampled_from(blocks), "first")
    out = run(stream, array, box, thickness, chunk_bytes, seen, first)
    assert np.isnan(out[:first]).all() and out[first:].tobytes() == truth[first:].tobytes()
    needed = stream.needs(array.shape, ((first, size[0]), *box[1:]))[0][0][0]
    begins = min(planes[0] for planes, *_ in seen)
    assert begins <= needed
    assert begins >= needed - len(stream.nodes) * thickness or not stream.local  # a block a layer, at the most


@pytest.mark.parametrize("name", ["cnnil_depth", "fsrcnn3d", "edsr3d through plane", "dcsrn3d", "rcan3d"])
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 8), st.integers(1, 8)),
    thickness=st.integers(1, 5),
    data=st.data(),
)
@settings(parent=thorough, max_examples=3)
def test_a_stream_goes_on_where_it_was_broken_off(name, shape, thickness, data):
    options = {"features": 4, "groups": 2, "blocks": 2, "reduction": 2, "factor": 2}
    network = enlivened(build("rcan3d", **options)) if name == "rcan3d" else small(name)
    chunk_bytes = data.draw(st.sampled_from((1, 4000, 1 << 30)))
    check_going_on(network, noise(shape), thickness, chunk_bytes, data)


@pytest.mark.parametrize("name", SMALL)
def test_the_derived_halo_is_enough_and_not_more(name):
    network = small(name).double()
    for parameter in network.parameters():
        parameter.data.abs_()  # so that nothing cancels
    stream = Stream(small(name))
    factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
    for axis in range(3):
        # Along one axis at a time, the others short: what is needed along an axis does not depend on them.
        shape = tuple(81 if a == axis else 3 for a in range(3))
        middle = tuple((n // 2 * f, (n // 2 + 1) * f) for n, f in zip(shape, factor))
        low, high = stream.needs(shape, middle)[0][axis]
        assert 1 < low <= 40 < high < 80
        array = np.random.default_rng(1).random(shape) + 0.5
        inner = tuple(slice(*r) for r in middle)
        truth = whole(network, array)[inner]
        for plane, reaches in ((low - 1, False), (low, True), (high - 1, True), (high, False)):
            moved = 0.0
            for voxel in ((1, 1), (0, 2), (2, 1)):
                changed = array.copy()
                changed[(*voxel[:axis], plane, *voxel[axis:])] += 1e30  # above rounding, even behind 35 layers
                moved = max(moved, np.abs(whole(network, changed)[inner] - truth).max())
            assert (moved > 0) == reaches


@pytest.mark.parametrize("name", SMALL)
def test_nothing_is_read_or_convolved_twice(name, monkeypatch):
    network = small(name)
    array = noise((9, 8, 7))
    stream = Stream(network)
    computed = []

    def counting(*args, plain=kernels.convolve):
        out, fused = plain(*args)
        computed.append(out.numel())
        return out, fused

    monkeypatch.setattr(kernels, "convolve", counting)
    seen = []
    sizes = stream.sizes(array.shape)
    run(stream, array, box_of(sizes[-1]), 2, seen=seen)
    planes = [p for (low, high), *_ in seen for p in range(low, high)]
    assert planes == list(range(9))
    convolutions = [(n, s) for n, s in zip(stream.nodes, sizes) if isinstance(n, Conv)]
    assert sum(computed) == sum(node.channels * s[0] * s[1] * s[2] for node, s in convolutions)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("thickness", [1, 4])
def test_the_counted_memory_is_not_exceeded(name, thickness):
    array = noise((12 + 2 * thickness, 8, 9))
    stream = Stream(small(name))
    run(stream, array[:2], box_of(stream.sizes((2, 8, 9))[-1]), thickness)  # what is made once
    stream = Stream(small(name))
    box = box_of(stream.sizes(array.shape)[-1])
    expected = stream.bytes(array.shape, box, thickness)
    with Counting() as counting:
        run(stream, array, box, thickness)
    # The single channel that is read and written may pass through another array.
    ends = 3 * thickness * 8 * 9 * 4 * int(np.prod(stream.scale[-1]))
    assert counting.peak <= expected + ends


@pytest.mark.parametrize("options", [{"factor": 2}, {"factor": (4, 1, 1), "groups": 1, "residual": True}])
@given(shape=SHAPES, thickness=st.integers(1, 16))
@settings(parent=thorough)
def test_pooling_over_the_whole_volume_is_exact(options, shape, thickness):
    network = enlivened(build("rcan3d", **{"features": 4, "groups": 2, "blocks": 2, "reduction": 2, **options}))
    array = noise(shape)
    truth = whole(network, array)
    stream = Stream(network)
    assert not stream.local
    seen = []
    out = run(stream, array, box_of(truth.shape), thickness, seen=seen)
    assert difference(out, truth) <= CLOSE
    assert sum(high - low for (low, high), *_ in seen) == shape[0]
    assert all(Stream(small(name)).local for name in ("edsr3d", "srcnn2d"))


class Counting(TorchDispatchMode):
    """Counts the bytes of the tensors alive."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.users = {}  # of each storage

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return out

    def _count(self, tensor):
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.users:
            self.users[key] = 0
            self.live += size
            self.peak = max(self.peak, self.live)
        self.users[key] += 1
        weakref.finalize(tensor, self._forget, key, size)

    def _forget(self, key, size):
        self.users[key] -= 1
        if not self.users[key]:
            del self.users[key]
            self.live -= size


class Parts(nn.Module):
    """Whatever a network of dimensions 2 or 3 is put together from."""

    def __init__(self, dimensions, forward, **modules):
        super().__init__()
        self.dimensions = dimensions
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


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
