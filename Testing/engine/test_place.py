"""What is done around a network on its device is what numpy does. The device is torch on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_models import STAGES, model
from small_networks import enlivened, noise, small
from VolumeSuperResolutionLib.engine import intervals, quality
from VolumeSuperResolutionLib.engine.errors import CancelledError, NotFiniteError, RefusalError
from VolumeSuperResolutionLib.engine.models import zoo
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.physics import interpolation, separable
from VolumeSuperResolutionLib.engine.physics.data_step import DataStep
from VolumeSuperResolutionLib.engine.physics.scanner import Axis, Scanner
from VolumeSuperResolutionLib.engine.streaming import devices, inference
from VolumeSuperResolutionLib.engine.streaming import place as places
from VolumeSuperResolutionLib.engine.streaming.devices import Transfers
from VolumeSuperResolutionLib.engine.streaming.nodes import Linear
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume
from VolumeSuperResolutionLib.engine.volumes.intensity import Carrier, Conversion, Window

CPU = torch.device("cpu")
RANGE = 1000.0
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory")


class Elsewhere(places.Place):
    """The CPU as another device, with little memory; sending runs out of it from some time on."""

    def __init__(self, voxels=1000, until=1 << 30):
        super().__init__("cpu")
        self.apart, self.voxels, self.until = True, voxels, until
        self.sent, self.failed = [], False

    def send(self, array):
        if len(self.sent) >= self.until:
            self.failed = True
            raise OUT_OF_MEMORY
        self.sent.append(array.size)
        return super().send(array.copy())


def values(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).uniform(0, RANGE, shape).astype(dtype)


def close(ours, theirs):
    assert ours.dtype == theirs.dtype
    # Whole numbers may be rounded to either side.
    most = 1 if ours.dtype.kind in "iu" else 1e-5 * RANGE
    difference = np.abs(ours.astype(float) - theirs.astype(float))
    assert difference.max() <= most and difference.mean() < 0.01


@given(
    shape=st.tuples(*[st.integers(1, 25)] * 3),
    factors=st.tuples(*[st.sampled_from((0.5, 1, 1.7, 3))] * 3),
    order=st.permutations(range(3)),
    types=st.sampled_from(
        [(np.float32, np.float32), (np.int16, np.int16), (np.uint16, np.uint8), (np.float64, np.int32), (">i2", ">i2")]
    ),
    until=st.sampled_from([1 << 30, 0, 1, 5]),
)
@settings(max_examples=40, deadline=None)
def test_products_are_the_same(shape, factors, order, types, until):
    array = values(shape, types[0]).transpose(order)[::-1]
    size = [max(1, round(n * f)) for n, f in zip(array.shape, factors)]
    matrices = interpolation.matrices(array.shape, size, "lanczos")
    conversion, place, results = Conversion(np.dtype(types[1]), Window(-5.0, 0.2)), Elsewhere(until=until), []
    for where in (None, place):
        results.append(np.empty(size, types[1]))
        separable.apply(array, matrices, results[-1].__setitem__, place=where, convert=conversion)
    close(*results)
    assert place.full == place.failed and (until or place.full)
    close(separable.apply(array, matrices, place=Elsewhere()), separable.apply(array, matrices))


def test_slabs_are_as_thick_as_the_place_allows():
    array, place = values((200, 20, 20)), Elsewhere(voxels=20_000)
    matrices = interpolation.matrices(array.shape, (20, 20, 20), "linear")
    close(separable.apply(array, matrices, place=place), separable.apply(array, matrices))
    assert sum(count > 1000 for count in place.sent) == 4 and max(place.sent) < 1.5 * place.voxels


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
def test_whole_numbers_are_rounded_alike(dtype, scaled):
    limits = np.iinfo(dtype)
    array = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, limits.max + 0.5, limits.min - 1e9, 1e30], np.float32)
    conversion = Conversion(np.dtype(dtype), Window(-3.0, 14.7) if scaled else None)
    result = Elsewhere().fetch(torch.from_numpy(array), conversion)()
    assert result.dtype == dtype and (result == conversion(array)).all()


def test_what_travels_in_other_units_comes_back_in_its_own():
    array = values((3, 4, 5))
    conversion = Conversion(np.dtype(np.float64), Window(0.0, 10.0), Carrier(1e6, 1e-3))
    result = Elsewhere().fetch(torch.from_numpy(array), conversion)()
    assert result.dtype == np.float64 and (result == conversion(array)).all() and not conversion.narrow


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_what_is_no_number_is_refused(dtype):
    array = np.array([1.0, np.inf], np.float32)
    with pytest.raises(NotFiniteError, match="not numbers"):
        Elsewhere().fetch(torch.from_numpy(array), Conversion(np.dtype(dtype)))()


def forward(low_shape, factors):
    high_shape = tuple(round(n * f) for n, f in zip(low_shape, factors))
    axes = tuple(Axis(profile, width) for profile, width in (("gaussian", 1.1), ("box", 0.8), ("gaussian", 0.7)))
    return Scanner(axes).matrices(high_shape, low_shape, (1.0,) * 3), high_shape


@pytest.mark.parametrize("until", [1 << 30, 1, 8])
@pytest.mark.parametrize("noise", [0.0, 100.0])
@pytest.mark.parametrize("mu", [0.0, 0.1])
@pytest.mark.parametrize("factors", [(2, 1, 1), (1, 2, 3), (2.3, 1.4, 2), (1, 1, 1)])
def test_the_data_step_is_the_same(factors, mu, noise, until):
    matrices, shape = forward((10, 12, 14), factors)
    low, results, place = values((10, 12, 14), np.int16, 1), [], Elsewhere(until=until)
    for where in (None, place):
        results.append(values(shape))
        DataStep(matrices).apply(results[-1], low, mu, noise, place=where)
    close(*results)
    assert np.abs(results[0] - values(shape)).max() > 0.1 * RANGE
    assert place.full == place.failed and (until > 1 or place.full)


def test_what_comes_behind_a_network_is_the_same():
    (matrices, shape), low = forward((10, 12, 14), (2, 1.5, 2)), values((10, 12, 14), np.int16, 1)
    results = {True: [], False: []}
    for there, found in results.items():
        place = Elsewhere() if there else None
        high = values(shape)
        found.append(np.array([quality.consistency_residual(high, low, matrices, place=place)], np.float32))
        found.append(intervals.invent(high, low.shape, Scanner(), (1.0,) * 3, place=place))
        interpolation.back_project(high, low, 3, place=place)
        found.append(high)
        assert place is None or (len(place.sent) > 20 and not place.full)
    for ours, theirs in zip(*results.values()):
        close(ours, theirs)


def test_work_in_a_place_ends_when_cancelled():
    (matrices, shape), low, asked = forward((10, 12, 14), (2, 1.5, 2)), values((10, 12, 14)), []

    def cancel():
        asked.append(1)
        return len(asked) > 12

    with pytest.raises(CancelledError):
        DataStep(matrices).apply(values(shape), low, 0.1, 1.0, None, cancel, Elsewhere())
    assert len(asked) == 13


@pytest.fixture
def elsewhere(monkeypatch):
    """Networks run on a device that is not the CPU, as they think; gives the places that were made for what follows."""
    made = []

    def transfers(device):
        found = Transfers(CPU)
        found.apart = device.type != "cpu"
        return found

    def place(name):
        made.append(Elsewhere(20_000, until=made.until))
        return made[-1]

    class Made(list):
        until = 1 << 30

    made = Made()
    monkeypatch.setattr(inference, "choose_device", lambda name: torch.device("meta" if name == "auto" else name))
    monkeypatch.setattr(devices, "is_trusted", lambda device, precision: True)
    monkeypatch.setattr(inference, "Stream", lambda network, device, dtype: Stream(network, CPU, dtype))
    monkeypatch.setattr(inference, "Transfers", transfers)
    monkeypatch.setattr(places, "Place", place)
    return made


MODELS = {
    "whole": ((zoo.Stage("edsr3d", {"factor": 2, "features": 4, "blocks": 1}),), (2, 2, 2)),
    "two stages": (STAGES, (2, 2, 2)),
    "depth": (STAGES[1:], (1, 1, 2)),
    "one view": (STAGES[:1], (2, 2, 1)),
    "interpolated": ((zoo.Stage("srcnn3d", {"features": [4, 3]}),), (2, 2, 2)),
    "interpolated views": ((zoo.Stage("srcnn2d", {"features": [4, 3, 3]}, ("k", "j", "i")),), (2, 2, 2)),
}
ASKED = {
    "as it is": {},
    "rounds": {"consistency": 2},
    "another target": {"stretch": 0.85},
    "a scan that is told": {"profile": "box", "noise": 1.0},
    "a scan whose noise is found": {"profile": "gaussian", "invented": True},
    "an ensemble": {"ensemble": True, "uncertainty": True},
}


@pytest.mark.parametrize(
    ("name", "asked", "dtype"),
    [
        *(("whole", asked, dtype) for asked in ASKED for dtype in (np.float32, np.int16)),
        *((name, asked, np.int16) for name in MODELS for asked in ("as it is", "another target")),
        ("two stages", "a scan whose noise is found", np.float32),
    ],
)
def test_the_front_door_gives_the_same(name, asked, dtype, elsewhere, tmp_path):
    stages, factor = MODELS[name]
    card = model(tmp_path / "mine", stages=stages, factor=factor)
    options = dict(ASKED[asked])
    stretch = options.pop("stretch", 1.0)
    scale = tuple(f * stretch if f > 1 else 1.0 for f in factor)
    array = values((7, 8, 9), dtype)
    array[:2] = 0
    request = Request(str(card.folder), scale, **options)
    there = upscale(Volume(array, Grid((9, 8, 7))), request)
    here = upscale(Volume(array, Grid((9, 8, 7))), replace(request, device="cpu"))
    assert (there.report.device, here.report.device) == ("meta", "cpu")
    close(there.volume.array, here.volume.array)
    for kind, found in here.maps.items():
        rounded = 1.5 if dtype is np.int16 else 0
        assert np.abs(there.maps[kind].array - found.array).max() < 1e-4 * RANGE + rounded
    assert there.report.consistency_residual == pytest.approx(here.report.consistency_residual, rel=1e-3, abs=1e-3)
    (place,) = elsewhere
    assert place.sent and not there.report.warnings[len(here.report.warnings) :]
    assert there.report.gpu_memory_mb > 0 == here.report.gpu_memory_mb


def test_running_out_of_memory_behind_a_network_is_told(elsewhere, tmp_path):
    card, array = model(tmp_path / "mine"), values((9, 10, 11), np.int16)
    elsewhere.until = 4
    request = Request(str(card.folder), (2.0, 2.0, 2.0), consistency=1)
    there = upscale(Volume(array, Grid((11, 10, 9))), request)
    here = upscale(Volume(array, Grid((11, 10, 9))), replace(request, device="cpu"))
    close(there.volume.array, here.volume.array)
    assert any("behind a network" in warning for warning in there.report.warnings)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_numbers_that_grow_too_large_are_noticed_on_the_device(precision, elsewhere):
    network, array = small("edsr3d"), noise((6, 7, 8))
    with torch.no_grad():
        network.head.weight.mul_(1e7 if precision == "fp16" else 1e38)
    out = np.zeros((12, 14, 16), np.int32)
    compute, conversion = inference.Compute("auto", precision), Conversion(np.dtype(np.int32), Window(0.0, 1.0))
    given = network, array.__getitem__, array.shape, out.__setitem__, compute, None, None, ("fp16",), None, conversion
    if precision == "fp16":
        account = inference.apply(*given)
        assert account.precision == "fp32" and "fp16" in account.warnings[0] and out.any()
    else:
        with pytest.raises(RefusalError, match="not numbers"):
            inference.apply(*given)


def test_what_an_interpolation_reads_is_looked_up_once_for_a_run(monkeypatch):
    asked, plain = [], Linear._neighbors
    monkeypatch.setattr(Linear, "_neighbors", lambda node, axis, *rest: asked.append(axis) or plain(node, axis, *rest))
    stream = Stream(enlivened(build("edsr3d", features=4, blocks=1, residual=True)))
    array = noise((12, 6, 7))

    def read(ranges):
        return torch.from_numpy(array[tuple(slice(*r) for r in ranges)]).unsqueeze(3)

    for _ in range(2):
        for _ in stream.run(read, array.shape, ((0, 24), (0, 12), (0, 14)), 2):
            pass
    assert asked.count(1) == asked.count(2) == 1 < asked.count(0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("asked", ASKED)
def test_a_gpu_gives_what_numpy_gives(asked, dtype, tmp_path):
    stages, factor = MODELS["whole"]
    card = model(tmp_path / "mine", stages=stages, factor=factor)
    options = dict(ASKED[asked])
    scale = (2.0 * options.pop("stretch", 1.0),) * 3
    volume = Volume(values((40, 41, 42), dtype), Grid((42, 41, 40)))
    request = Request(str(card.folder), scale, precision="fp32", **options)
    there, here = (upscale(volume, replace(request, device=device)) for device in ("cuda", "cpu"))
    close(there.volume.array, here.volume.array)
    assert there.report.device.startswith("cuda") and not there.report.warnings[len(here.report.warnings) :]


def test_an_interpolated_scan_is_made_on_the_device(elsewhere, tmp_path, monkeypatch):
    blocks, plain = [], separable.block
    monkeypatch.setattr(separable, "block", lambda *given: blocks.append(1) or plain(*given))
    stages, factor = MODELS["interpolated"]
    card, array = model(tmp_path / "mine", stages=stages, factor=factor), values((9, 10, 11))
    request = Request(str(card.folder), (2.0,) * 3)
    upscale(Volume(array, Grid((11, 10, 9))), request)
    assert not blocks
    upscale(Volume(array, Grid((11, 10, 9))), replace(request, device="cpu"))
    assert blocks
