"""Convolutions in blocks of four planes give what the definition gives, with half of the products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_networks import difference, enlivened, noise, small, whole
from streamed import Parts, box_of, check_going_on, run
from torch import nn
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.networks.shuffle import VoxelShuffle
from VolumeSuperResolutionLib.engine.streaming import cooktoom, kernels, trials
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.streaming.tiles import parts
from VolumeSuperResolutionLib.engine.streaming.windows import Live

torch.set_num_threads(1)
CLOSE = 1e-5
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Blocks wherever they are possible: these networks are narrow, and their planes are small."""
    monkeypatch.setattr(cooktoom, "SMALLEST", 1)
    monkeypatch.setattr(cooktoom, "PER_OUTPUT", 0)
    monkeypatch.setattr(cooktoom, "PER_INPUT", 0)
    monkeypatch.setattr(trials, "blocks_gain", lambda weight: True)


WIDE = {
    "edsr3d": lambda: small("edsr3d"),
    "edsr3d through plane": lambda: enlivened(build("edsr3d", features=16, blocks=2, factor=(3, 1, 1), residual=True)),
    "rrdb3d": lambda: enlivened(build("rrdb3d", features=16, blocks=1, growth=16, factor=2)),
    "rcan3d": lambda: enlivened(build("rcan3d", features=16, groups=1, blocks=1, reduction=2, factor=2)),
    "dilated in the plane": lambda: Parts(
        3,
        lambda net, x: net.c(net.b(net.a(x))),
        a=nn.Conv3d(1, 16, 1),
        b=nn.Conv3d(16, 20, (3, 3, 5), padding=(1, 2, 2), dilation=(1, 2, 1)),
        c=nn.Conv3d(20, 1, 1),
    ),
    "phases with few taps in the plane": lambda: Parts(
        3,
        lambda net, x: net.c(nn.functional.elu(net.up(net.b(net.a(x))))),
        a=nn.Conv3d(1, 16, 1),
        b=without_some_taps(nn.Conv3d(16, 64, 3, padding=1, bias=False)),
        up=VoxelShuffle((2, 1, 2)),
        c=nn.Conv3d(16, 1, 1),
    ),
}


def without_some_taps(conv):
    conv.weight.data[: conv.weight.shape[0] // 2, :, :, 0] = 0
    return conv


@pytest.mark.parametrize("name", WIDE)
@given(
    shape=st.tuples(st.integers(1, 22), st.integers(1, 9), st.integers(1, 9)),
    thickness=st.integers(1, 16),
    cut=st.integers(1, 4),
    chunk_bytes=st.sampled_from((1, 20_000, 1 << 30)),
)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_in_blocks_it_is_the_whole_volume(name, shape, thickness, cut, chunk_bytes):
    network = WIDE[name]()
    array = noise(shape)
    truth = whole(network, array)
    stream = Stream(network)
    assert any(node.planes_at_once(1) == cooktoom.PLANES for node in stream.nodes)
    out = np.full_like(truth, np.nan)
    for column in parts(truth.shape[2], cut if stream.local else 1):
        box = ((0, truth.shape[0]), (0, truth.shape[1]), column)
        out[:, :, slice(*column)] = run(stream, array, box, thickness, chunk_bytes)
    assert difference(out, truth) <= CLOSE


def products(monkeypatch, network, array, thickness):
    """How many products the convolutions take, and the result."""
    done = []
    plain = kernels.convolve

    def counting(x, weight, *args):
        out, fused = plain(x, weight, *args)
        done.append(out.numel() * weight[0].numel())
        return out, fused

    monkeypatch.setattr(kernels, "convolve", counting)
    stream = Stream(network)
    out = run(stream, array, box_of(stream.sizes(array.shape)[-1]), thickness)
    monkeypatch.setattr(kernels, "convolve", plain)
    return sum(done), out


def test_blocks_take_half_of_the_products(monkeypatch):
    network = Parts(
        3,
        lambda net, x: net.c(net.b(net.a(x))),
        a=nn.Conv3d(1, 16, 1),
        b=nn.Conv3d(16, 16, 3, padding=1),
        c=nn.Conv3d(16, 1, 1),
    )
    array = noise((40, 6, 6))
    blocks, out = products(monkeypatch, network, array, 8)
    monkeypatch.setattr(trials, "blocks_gain", lambda weight: False)
    direct, truth = products(monkeypatch, network, array, 8)
    assert 0.5 < blocks / direct < 0.6
    assert 0 < difference(out, truth) <= CLOSE


def test_the_same_planes_give_the_same_bits():
    stream, array = Stream(small("edsr3d")), noise((13, 8, 9))
    box = box_of(stream.sizes(array.shape)[-1])
    assert (run(stream, array, box, 8) == run(stream, array, box, 8)).all()


@pytest.mark.parametrize("name", ["edsr3d", "phases with few taps in the plane"])
@given(planes=st.integers(1, 40), thickness=st.integers(1, 9), data=st.data())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_blocks_go_on_with_the_same_bits(name, planes, thickness, data):
    check_going_on(
        WIDE[name](), noise((planes, 7, 6)), thickness, data.draw(st.sampled_from((1, 20_000, 1 << 30))), data
    )


@pytest.mark.parametrize("name", ["edsr3d", "rrdb3d", "phases with few taps in the plane"])
@pytest.mark.parametrize("thickness", [4, 8])
def test_the_memory_of_blocks_is_counted(name, thickness):
    array = noise((20, 9, 10))
    stream = Stream(WIDE[name]())
    box = box_of(stream.sizes(array.shape)[-1])
    expected = stream.bytes(array.shape, box, thickness)
    run(stream, array, box, thickness)  # what is made once
    stream = Stream(WIDE[name]())
    with Live() as counting:
        run(stream, array, box, thickness)
    ends = 3 * thickness * 9 * 10 * 4 * int(np.prod(stream.scale[-1]))
    assert counting.peak <= expected + ends


def test_slabs_are_a_multiple_of_four_planes_where_the_budget_allows_them():
    stream, shape = Stream(small("edsr3d")), (64, 30, 30)
    box = box_of(stream.sizes(shape)[-1])
    plane = 30 * 30 * 16 * 4
    assert set(stream.grains(shape, box, 64, 7 * plane)[1:3]) == {4}
    assert set(stream.grains(shape, box, 64, 13 * plane)[1:3]) == {12}
    assert stream.grains(shape, box, 64, plane)[1] == 4  # fewer than four would be twice the work
    assert set(stream.grains(shape, box, 3, 7 * plane)[:3]) == {3}


@pytest.mark.parametrize(
    ("outputs", "inputs", "kernel", "dilation", "dtype", "possible"),
    [
        (32, 32, 3, (1, 1, 1), torch.float32, True),
        (16, 16, 3, (1, 1, 1), torch.float32, False),  # too narrow to gain
        (64, 1, 3, (1, 1, 1), torch.float32, False),
        (32, 32, 3, (2, 1, 1), torch.float32, False),
        (32, 32, 5, (1, 1, 1), torch.float32, False),
        (32, 32, 3, (1, 1, 1), torch.bfloat16, False),
    ],
)
def test_only_wide_convolutions_in_full_precision_are_done_so(
    outputs, inputs, kernel, dilation, dtype, possible, monkeypatch
):
    monkeypatch.undo()
    weight = torch.zeros(outputs, inputs, kernel, 3, 3)
    assert cooktoom.can(weight, dilation, CPU, dtype) == possible
    assert not cooktoom.can(weight, dilation, torch.device("meta"), dtype)


@pytest.mark.parametrize(
    ("direct", "blocks", "gain"),
    [([5.0] * 9, [4.0] * 9, True), ([5, 5, 5], [9, 9, 3], True), ([1] * 9, [2] * 9, False)],
)
def test_what_does_not_gain_on_this_machine_is_not_done(direct, blocks, gain, monkeypatch):
    monkeypatch.undo()
    clock = iter([0.0, 0.0] + [t for pair in zip(direct, blocks) for t in pair])
    monkeypatch.setattr(trials, "_seconds", lambda work: next(clock))
    trials._blocks_gain.cache_clear()
    assert trials.blocks_gain(torch.zeros(80, 70, 3, 3, 3)) == gain
    assert trials.blocks_gain(torch.zeros(90, 99, 3, 3, 3)) == gain  # known by now
    trials._blocks_gain.cache_clear()


def test_the_trial_runs_on_this_machine(monkeypatch):
    monkeypatch.undo()
    trials._blocks_gain.cache_clear()
    assert trials.blocks_gain(torch.zeros(32, 32, 3, 3, 3)) in (True, False)
