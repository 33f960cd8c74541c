"""Networks that cannot be streamed: in overlapping windows, close to one pass, and the report says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import difference, enlivened, noise, whole
from torch import nn
from torch.nn import functional
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.streaming import devices, inference, windows
from VolumeSuperResolutionLib.engine.streaming.build import UnstreamableError
from VolumeSuperResolutionLib.engine.streaming.inference import Compute

CPU = Compute("cpu")
LITTLE = Compute("cpu", "fp32", 0)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Own(nn.Module):
    """A network of a user's own, which knows nothing of this library."""

    on_interpolated = False

    def __init__(self, factor, forward, **modules):
        super().__init__()
        self.factor, self.dimensions = factor, len(factor)
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


def unet(levels):
    """Strides down, nearest neighbors up, skips: sizes have to be multiples of 2**levels."""

    def forward(net, x):
        skips = []
        for down in net.down:
            skips.append(x)
            x = functional.relu(down(x))
        for up in net.up:
            x = functional.interpolate(x, scale_factor=2) + skips.pop()
            x = up(functional.relu(x))
        return x

    down = [nn.Conv3d(1, 1, 3, stride=2, padding=1) for _ in range(levels)]
    up = [nn.Conv3d(1, 1, 3, padding=1) for _ in range(levels)]
    return Own((1, 1, 1), forward, down=nn.ModuleList(down), up=nn.ModuleList(up))


NETWORKS = {
    "strided": lambda: unet(1),
    "strided deeply": lambda: unet(4),
    "instance norm": lambda: Own(
        (2, 1, 2),
        lambda net, x: net.b(functional.interpolate(net.norm(net.a(x)), scale_factor=net.factor)),
        a=nn.Conv3d(1, 2, 3, padding=1),
        norm=nn.InstanceNorm3d(2, affine=True),
        b=nn.Conv3d(2, 1, 3, padding=1),
    ),
    "softmax": lambda: Own(
        (1, 1, 1),
        lambda net, x: net.b(net.a(x).softmax(1)),
        a=nn.Conv3d(1, 3, 5, padding=2),
        b=nn.Conv3d(3, 1, 1),
    ),
    "instance norm of slices": lambda: Own(
        (2, 3),
        lambda net, x: functional.interpolate(net.norm(net.a(x)).sum(1, keepdim=True), scale_factor=net.factor),
        a=nn.Conv2d(1, 2, 3, padding=1),
        norm=nn.InstanceNorm2d(2),
    ),
    "strided slices": lambda: Own(
        (1, 1),
        lambda net, x: net.up(functional.relu(net.down(x))),
        down=nn.Conv2d(1, 2, 3, stride=4, padding=1),
        up=nn.ConvTranspose2d(2, 1, 4, stride=4),
    ),
}
# What looks at few voxels around each is exact in windows that overlap by four times as many.
LOCAL = ("strided", "softmax", "strided slices")
# How far the smallest windows may be from one pass where each has a mean and deviation of its own.
NORMALIZED = {"instance norm": 0.1, "instance norm of slices": 0.1}


class Volume:
    """An input to read, and an output that knows how often each voxel was written."""

    def __init__(self, network, array):
        self.array = array
        factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
        self.out = np.full([n * f for n, f in zip(array.shape, factor)], np.nan, dtype=np.float32)
        self.times = np.zeros(self.out.shape, dtype=int)

    def write(self, slices, block):
        assert block.dtype == np.float32
        self.out[slices] = block
        self.times[slices] += 1

    def apply(self, network, compute=CPU, progress=None, cancel=None, precisions=()):
        given = (network, self.array.__getitem__, self.array.shape, self.write, compute)
        return windows.apply(*given, progress, cancel, precisions, "It cannot be streamed.")


def smooth(shape):
    """Contrast that a normalization finds alike everywhere."""
    axes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    waves = np.prod([np.sin(0.9 * axis + 0.3) for axis in axes], axis=0)
    return (waves + 0.1 * noise(shape)).astype(np.float32)


@given(st.integers(1, 300), st.sampled_from((1, 2, 4, 8, 16, 32)), st.integers(2, 8))
def test_windows_cover_an_axis_and_weigh_one_everywhere(length, multiple, pieces):
    axis = windows.along(length, pieces * multiple, multiple)
    whole = -(-length // multiple) * multiple
    total = np.zeros(whole)
    for start, weights in zip(axis.starts, axis.weights):
        assert start % multiple == 0 and len(weights) == axis.size and (weights >= 0).all()
        total[start : start + axis.size] += weights
    assert np.allclose(total, 1) and list(axis.starts) == sorted(set(axis.starts))
    # Where windows meet they overlap for long, and what is nearest to a cut counts for nothing.
    for start, following in zip(axis.starts, axis.starts[1:]):
        overlap = start + axis.size - following
        assert overlap >= min(axis.size // 2, windows.WIDEST_OVERLAP) // multiple * multiple
        trimmed = min(axis.size // 2, windows.WIDEST_OVERLAP) // multiple * multiple // 4
        place = axis.starts.index(start)
        assert not axis.weights[place][axis.size - trimmed :].any() and not axis.weights[place + 1][:trimmed].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_not_streamed(name):
    network, array = NETWORKS[name](), noise((8, 16, 16))
    with pytest.raises(UnstreamableError):
        inference.apply(network, array.__getitem__, array.shape, None, CPU)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_fits_is_one_pass(name):
    network = enlivened(NETWORKS[name]())
    volume = Volume(network, smooth((16, 32, 48)))
    account = volume.apply(network)
    assert difference(volume.out, whole(network, volume.array)) <= 1e-5
    assert (volume.times == 1).all()
    assert account.exact and account.columns == 1 and not account.warnings


@pytest.mark.parametrize("name", LOCAL)
def test_a_bounded_neighborhood_is_not_changed_by_windows(name, monkeypatch):
    monkeypatch.setattr(windows, "SIZES", (64, 128))
    network = enlivened(NETWORKS[name]())
    volume = Volume(network, noise((24, 100, 152)))
    account = volume.apply(network, LITTLE)
    assert difference(volume.out, whole(network, volume.array)) <= 1e-5
    assert (volume.times == 1).all() and account.columns == 3 * 4


@pytest.mark.parametrize("name", NORMALIZED)
def test_a_normalized_network_is_close_to_one_pass(name):
    network = enlivened(NETWORKS[name]())
    volume = Volume(network, smooth((20, 64, 48)))
    account = volume.apply(network, LITTLE)
    truth = whole(network, volume.array)
    assert (volume.times == 1).all()
    assert 1e-3 < difference(volume.out, truth) <= NORMALIZED[name]
    assert np.median(np.abs(volume.out - truth)) <= 0.1 * NORMALIZED[name] * np.ptp(truth)
    assert not account.exact and account.slabs >= account.columns > 1
    assert "It cannot be streamed. It ran in overlapping windows of 16 x 16" in account.warnings[0]


@pytest.mark.parametrize("shape", [(5, 7, 9), (17, 40, 33), (1, 30, 21)])
def test_sizes_that_are_no_multiples_come_out_whole(shape):
    network = enlivened(unet(3))
    volume = Volume(network, smooth(shape))
    volume.apply(network, LITTLE)
    assert (volume.times == 1).all() and np.isfinite(volume.out).all()
    padded = np.pad(volume.array, [(0, -n % 8) for n in shape], "edge")
    inside = tuple(slice(0, n) for n in shape)
    if max(shape) <= windows.SIZES[0]:
        assert difference(volume.out, whole(network, padded)[inside]) <= 1e-5


def test_more_memory_means_larger_windows_until_all_fits():
    network = NETWORKS["softmax"]()
    sides = []
    for memory in (0, 40 << 20, 60 << 20, 300 << 20):
        account = Volume(network, noise((40, 100, 70))).apply(network, Compute("cpu", "fp32", memory))
        sides.append(account.thickness)
    assert sides == sorted(sides) and sides[0] == windows.SIZES[0] and sides[-1] == 40
    assert len(set(sides)) >= 3


def test_what_grows_faster_than_its_window_is_foreseen():
    class Attention(nn.Module):
        dimensions, factor, on_interpolated = 3, (1, 1, 1), False

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            most.append(tokens.shape[1])
            return (torch.softmax(tokens * tokens.transpose(1, 2), 2) @ tokens).transpose(1, 2).view(x.shape)

    most = []
    volume = Volume(Attention(), noise((16, 40, 40)))
    volume.array = volume.array[:, :33, :33]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "SIZES", (4, 8, 16, 32))
        patch.setattr(windows, "MULTIPLES", {1: 5})
        patch.setattr(windows, "OVERHEAD", 0)
        volume.out, volume.times = volume.out[:, :33, :33].copy(), volume.times[:, :33, :33].copy()
        volume.apply(Attention(), Compute("cpu", "fp32", 20 << 20))
    # 8**3 tokens take 2 MB, 16**3 would take 134: eight times as many voxels, sixty-four times as much.
    assert max(most) == 8**3 and (volume.times == 1).all()


def failing(network, fails):
    """Lets the network run out of memory where `fails(number of the call, voxels)` says so."""
    plain, count = network.function, [0]

    def forward(net, x):
        count[0] += 1
        if fails(count[0], x.numel()):
            raise MemoryError
        return plain(net, x)

    network.function = forward
    return network


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", ["softmax", "strided", "strided slices"])
def test_out_of_memory_on_the_way_halves_the_windows_and_writes_nothing_twice(name, late, monkeypatch):
    monkeypatch.setattr(windows, "SIZES", (16, 32))
    network = enlivened(NETWORKS[name]())
    volume = Volume(network, smooth((64, 64, 40)))
    truth = whole(network, volume.array)
    failed = []

    def fails(number, voxels):
        """Once, before any plane is written or as soon as some are."""
        if not failed and number > 5 and volume.times.any() == late:
            failed.append(number)
            return True
        return False

    account = volume.apply(failing(network, fails))
    assert failed and (volume.times == 1).all()
    # Near the cuts of the smallest windows a little is missing, but nowhere a window's share.
    assert difference(volume.out, truth) <= 0.05
    assert "smaller windows" in account.warnings[-1]


def test_without_any_memory_it_refuses_and_says_what_to_do():
    network = failing(NETWORKS["softmax"](), lambda *_: True)
    volume = Volume(network, noise((20, 20, 20)))
    with pytest.raises(RefusalError, match="smaller region"):
        volume.apply(network)
    assert not volume.times.any()


def test_a_device_without_memory_hands_over_to_the_cpu(monkeypatch):
    network = enlivened(NETWORKS["softmax"]())
    volume = Volume(network, noise((20, 40, 20)))
    truth = whole(network, volume.array)
    # torch's device without data stands in for a device on which nothing fits
    monkeypatch.setattr(windows, "choose_device", lambda name: torch.device("meta"))
    monkeypatch.setattr(devices, "is_trusted", lambda device, precision: True)
    plain = network.function

    def forward(net, x):
        if x.device.type == "meta":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return plain(net, x)

    network.function = forward
    account = volume.apply(network, Compute("auto", "fp32"))
    assert difference(volume.out, truth) <= 1e-5 and (volume.times == 1).all()
    assert (account.device, account.precision) == ("cpu", "fp32")
    assert "CPU" in account.warnings[-1]


def test_a_device_that_torch_cannot_use_is_left_alone(monkeypatch):
    network = enlivened(NETWORKS["softmax"]())
    volume = Volume(network, noise((20, 20, 20)))
    monkeypatch.setattr(windows, "choose_device", lambda name: torch.device("meta"))  # which gives no numbers
    account = volume.apply(network, Compute("auto", "fp32"))
    assert account.device == "cpu" and "cannot use the device" in account.warnings[-1]
    assert difference(volume.out, whole(network, volume.array)) <= 1e-5
    with pytest.raises(RefusalError, match="choose auto or cpu"):
        volume.apply(network, Compute("cuda", "fp32"))


@pytest.mark.parametrize("name", ["softmax", "strided slices"])
def test_progress_rises_to_the_total_and_cancel_stops_before_the_next_window(name):
    network, told = NETWORKS[name](), []
    array = noise((40, 48, 33))
    account = Volume(network, array).apply(network, LITTLE, progress=lambda *numbers: told.append(numbers))
    done = [d for d, _ in told]
    assert done == sorted(set(done)) and {total for _, total in told} == {done[-1]} == {array.size}
    assert len(done) == account.slabs
    for allowed in (0, 1, 5):
        volume, polls = Volume(network, array), []
        seen = []
        counted = failing(NETWORKS[name](), lambda *_: seen.append(len(polls)) or False)  # noqa: B023
        with pytest.raises(CancelledError):
            volume.apply(counted, LITTLE, cancel=lambda: polls.append(1) or len(polls) > allowed)  # noqa: B023
        assert len(polls) == allowed + 1 and max(seen) <= allowed
        assert not (volume.times == 1).all()


def test_half_precision_is_used_where_allowed():
    network = enlivened(NETWORKS["softmax"]())
    full, half = Volume(network, noise((8, 9, 10))), Volume(network, noise((8, 9, 10)))
    assert full.apply(network).precision == "fp32"
    assert half.apply(network, Compute("cpu", "bf16"), precisions=("bf16",)).precision == "bf16"
    assert 0 < difference(half.out, full.out) < 0.05


def test_a_network_whose_result_has_another_size_is_refused():
    network = Own((2, 2, 2), lambda net, x: net.a(x).softmax(1), a=nn.Conv3d(1, 1, 3))
    with pytest.raises(RefusalError, match=r"failed on a window .* where its factor says .* correct the network"):
        Volume(network, noise((8, 9, 10))).apply(network)


def test_a_network_in_training_infers_and_is_left_as_it_was():
    network = NETWORKS["instance norm"]()
    network.a = nn.Sequential(network.a, nn.Dropout(0.5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    volume = Volume(network.train(), noise((5, 6, 7)))
    volume.apply(network)
    assert network.training and all(p.requires_grad for p in network.parameters())
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    assert difference(volume.out, whole(network.eval(), volume.array)) <= 1e-5
