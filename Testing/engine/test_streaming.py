"""A stream gives what the whole volume gives, and reads and holds what it must and no more."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import SMALL, difference, enlivened, noise, small, whole
from streamed import CLOSE, SHAPES, box_of, check_going_on, run, thorough
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.streaming import kernels
from VolumeSuperResolutionLib.engine.streaming.convolution import Conv
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.streaming.tiles import parts
from VolumeSuperResolutionLib.engine.streaming.windows import Live


@cache
def streamed(name):
    """A network and its stream, which can run any number of times."""
    network = small(name)
    return network, Stream(network)


@pytest.mark.parametrize("name", SMALL)
@given(
    shape=SHAPES, thickness=st.integers(1, 16), grid=st.sampled_from(((1, 1), (1, 3), (2, 2), (3, 1))), data=st.data()
)
@settings(parent=thorough, max_examples=4)
def test_streamed_in_columns_is_the_whole_volume(name, shape, thickness, grid, data):
    network, stream = streamed(name)
    array = noise(shape)
    truth = whole(network, array)
    chunk_bytes = data.draw(st.sampled_from((1, 4000, 1 << 30)))
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
    network, stream = streamed(name)
    array = noise(shape)
    truth = whole(network, array)
    box = []
    for n in truth.shape:
        low = data.draw(st.integers(0, n - 1))
        box.append((low, data.draw(st.integers(low + 1, n))))
    out = run(stream, array, tuple(box), thickness)
    whole_of = truth.copy()
    whole_of[tuple(slice(*r) for r in box)] = out
    assert difference(whole_of, truth) <= CLOSE


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
            changed = array.copy()
            for voxel in ((1, 1), (0, 2), (2, 1)):
                changed[(*voxel[:axis], plane, *voxel[axis:])] += 1e30  # above rounding, even behind 35 layers
            assert (whole(network, changed)[inner] != truth).any() == reaches


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
    with Live() as counting:
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
