"""A network over a volume: the same result on every budget and after every failure, or none at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_networks import SMALL, difference, enlivened, noise, small, whole
from torch import nn
from VolumeSuperResolutionLib.engine.errors import CancelledError, RefusalError
from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.streaming import devices, inference, kernels, trials
from VolumeSuperResolutionLib.engine.streaming.inference import Compute, apply

torch.set_num_threads(1)
CLOSE = 1e-5
CPU = Compute(device="cpu")


class Volume:
    """An input to read, and an output that knows how often each voxel was written."""

    def __init__(self, network, shape):
        self.array = noise(shape)
        factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
        self.out = np.full([n * f for n, f in zip(shape, factor)], np.nan, dtype=np.float32)
        self.times = np.zeros(self.out.shape, dtype=int)
        self.writes = 0

    def read(self, slices):
        return self.array[slices]

    def write(self, slices, block):
        assert block.dtype == np.float32
        self.out[slices] = block
        self.times[slices] += 1
        self.writes += 1

    def apply(self, network, compute=CPU, **options):
        return apply(network, self.read, self.array.shape, self.write, compute, **options)


@pytest.mark.parametrize("name", SMALL)
def test_no_budget_however_small_changes_the_result(name, monkeypatch):
    monkeypatch.setattr(inference, "OVERHEAD", 0)
    network = small(name)
    shape = (3, 33, 34)
    truth = whole(network, noise(shape))
    columns = []
    for memory in (None, 0, 3_000_000):
        volume = Volume(network, shape)
        account = volume.apply(network, Compute("cpu", "fp32", memory))
        assert difference(volume.out, truth) <= CLOSE
        assert (volume.times == 1).all()
        assert account.exact and not account.warnings
        assert (account.device, account.precision) == ("cpu", "fp32")
        columns.append(account.columns)
    assert columns[0] == 1 and columns[1] == 2 * 2 and columns[1] >= columns[2]


@pytest.mark.parametrize("name", ["edsr3d", "cnnil_depth"])
def test_the_same_request_gives_the_same_bits(name):
    network = small(name)
    first, second = Volume(network, (9, 20, 21)), Volume(network, (9, 20, 21))
    first.apply(network)
    second.apply(network)
    assert (first.out == second.out).all()


def failing(monkeypatch, fails, error):
    """Lets a convolution run out of memory where `fails(number, input elements)` says so."""
    count = [0]
    plain = kernels.convolve

    def convolve(x, *args):
        count[0] += 1
        if fails(count[0], x.numel()):
            raise error
        return plain(x, *args)

    monkeypatch.setattr(kernels, "convolve", convolve)
    return count


ERRORS = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:98] data. DefaultCPUAllocator: not enough memory: you tried to"),
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 4.00 GB, other allocations: 1.00 GB)"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{type(e).__name__} {e}"[:40])
@given(at=st.sets(st.integers(1, 60), min_size=1, max_size=3), name=st.sampled_from(["edsr3d", "cnnil_inplane"]))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_running_out_of_memory_at_any_slab_changes_nothing(error, at, name):
    network = small(name)
    volume = Volume(network, (9, 12, 36))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "CHUNK_ON_CPU", 120_000)
        count = failing(patch, lambda number, _: number in at, error)
        account = volume.apply(network)
    assert difference(volume.out, whole(network, volume.array)) <= CLOSE
    assert (volume.times == 1).all()
    assert len(account.warnings) == (count[0] >= min(at))
    assert account.exact


@pytest.mark.parametrize(("name", "most"), [("edsr3d", 150_000), ("srcnn2d", 9_000)])
def test_it_goes_on_in_smaller_steps_until_they_fit(name, most, monkeypatch):
    network = small(name)
    volume = Volume(network, (5, 60, 64))
    truth = whole(network, volume.array)
    failing(monkeypatch, lambda _, elements: elements > most, MemoryError())
    account = volume.apply(network)
    assert difference(volume.out, truth) <= CLOSE
    assert (volume.times == 1).all()
    assert account.thickness < 5 and "smaller steps" in account.warnings[0]


def test_without_any_memory_it_refuses_and_says_what_to_do(monkeypatch):
    network = small("edsr3d")
    volume = Volume(network, (5, 40, 40))
    failing(monkeypatch, lambda *_: True, MemoryError())
    with pytest.raises(RefusalError, match="smaller region"):
        volume.apply(network)
    assert volume.writes == 0


def test_another_error_is_not_taken_for_missing_memory(monkeypatch):
    network = small("edsr3d")
    failing(monkeypatch, lambda number, _: number == 3, RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="scalar type"):
        Volume(network, (5, 8, 8)).apply(network)


@pytest.mark.parametrize("memory", [None, 0])
def test_a_device_without_memory_hands_over_to_the_cpu(memory, monkeypatch):
    network = small("edsr3d")
    volume = Volume(network, (5, 40, 50))
    # torch's device without data stands in for a device on which nothing fits
    monkeypatch.setattr(inference, "choose_device", lambda name: torch.device("meta"))
    plain = kernels.convolve

    def convolve(x, *args):
        if x.device.type == "meta":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return plain(x, *args)

    monkeypatch.setattr(kernels, "convolve", convolve)
    account = volume.apply(network, Compute("auto", "bf16", memory), precisions=("bf16", "fp16"))
    assert difference(volume.out, whole(network, volume.array)) <= CLOSE
    assert (volume.times == 1).all()
    assert (account.device, account.precision) == ("cpu", "fp32")
    assert "CPU" in account.warnings[-1]


@pytest.mark.parametrize("name", ["edsr3d", "cnnil_inplane", "rcan3d"])
def test_progress_rises_to_the_total(name):
    network = small(name) if name in SMALL else pooling()
    told = []
    Volume(network, (12, 33, 40)).apply(
        network, Compute("cpu", "fp32", 0), progress=lambda *numbers: told.append(numbers)
    )
    done = [d for d, _ in told]
    assert done == sorted(set(done)) and done[0] > 0
    assert {total for _, total in told} == {done[-1]}
    assert len(done) > 3


@pytest.mark.parametrize("name", ["edsr3d", "cnnil_inplane"])
@given(polls=st.integers(0, 30))
@settings(max_examples=8, deadline=None)
def test_cancel_stops_within_a_slab_and_nothing_more_is_written(name, polls):
    network = small(name)
    volume = Volume(network, (16, 20, 20))
    state = {"polls": 0, "since": 0}

    def cancel():
        state["polls"] += 1
        return state["polls"] > polls

    def read(slices):
        state["since"] += state["polls"] > polls
        return volume.read(slices)

    def write(slices, block):
        assert state["polls"] <= polls
        volume.write(slices, block)

    try:
        apply(network, read, volume.array.shape, write, Compute("cpu", "fp32", 0), cancel=cancel)
    except CancelledError:
        assert state["polls"] == polls + 1 and state["since"] == 0
        assert not (volume.times == 1).all()
    else:
        assert state["polls"] <= polls and (volume.times == 1).all()


def test_cancel_is_polled_for_every_slab():
    network = small("edsr3d")
    polls = []
    account = Volume(network, (16, 20, 20)).apply(
        network, Compute("cpu", "fp32", 0), cancel=lambda: bool(polls.append(1))
    )
    assert len(polls) >= account.slabs >= 16


def pooling():
    return enlivened(build("rcan3d", features=8, groups=1, blocks=1, reduction=2, factor=2))


def test_a_pooling_network_is_exact_where_it_fits():
    network = pooling()
    volume = Volume(network, (7, 40, 50))
    account = volume.apply(network)
    assert difference(volume.out, whole(network, volume.array)) <= CLOSE
    assert account.exact and account.columns == 1 and not account.warnings


def test_a_pooling_network_starts_again_after_running_out_of_memory(monkeypatch):
    network = pooling()
    volume = Volume(network, (7, 20, 25))
    failing(monkeypatch, lambda number, _: number == 15, MemoryError())
    account = volume.apply(network)
    assert difference(volume.out, whole(network, volume.array)) <= CLOSE
    assert account.exact and account.columns == 1 and "smaller steps" in account.warnings[0]


def test_a_pooling_network_in_tiles_says_that_the_result_depends_on_them():
    network = pooling()
    volume = Volume(network, (7, 40, 50))
    account = volume.apply(network, Compute("cpu", "fp32", 0))
    assert (volume.times == 1).all()
    assert 0 < difference(volume.out, whole(network, volume.array)) < 0.2
    assert not account.exact and account.columns > 1
    assert f"depends on the {account.columns} tiles" in account.warnings[-1]


def test_a_network_that_cannot_be_streamed_is_refused():
    network = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1), nn.Softmax(1))
    network.dimensions, network.factor = 3, (1, 1, 1)
    with pytest.raises(RefusalError, match="Softmax"):
        Volume(network, (4, 4, 4)).apply(network)


def test_half_precision_is_used_where_allowed_and_refused_where_not():
    network = small("edsr3d")
    truth = Volume(network, (8, 9, 10))
    truth.apply(network)
    half = Volume(network, (8, 9, 10))
    account = half.apply(network, Compute("cpu", "bf16"), precisions=("bf16", "fp16"))
    assert account.precision == "bf16" and not account.warnings
    assert 0 < difference(half.out, truth.out) < 0.05
    full = Volume(network, (8, 9, 10))
    account = full.apply(network, Compute("cpu", "bf16"))
    assert account.precision == "fp32" and "bf16" in account.warnings[0]
    assert (full.out == truth.out).all()


def test_half_precision_keeps_the_interpolation_under_a_residual_exact():
    network = build("edsr3d", features=4, blocks=1, residual=True).eval()
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.zeros_(network.tail.bias)
    volume = Volume(network, (6, 7, 8))
    assert volume.apply(network, Compute("cpu", "bf16"), precisions=("bf16", "fp16")).precision == "bf16"
    assert difference(volume.out, whole(network, volume.array)) <= 1e-6


def test_on_a_cpu_without_fast_half_precision_the_automatic_one_is_full(monkeypatch):
    monkeypatch.setattr(trials, "bfloat16_gains", lambda: False)
    assert Volume(small("srcnn3d"), (4, 4, 4)).apply(small("srcnn3d"), precisions=("bf16", "fp16")).precision == "fp32"


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta"])
def test_an_absent_device_is_refused(device):
    with pytest.raises(RefusalError, match="auto"):
        devices.choose_device(device)


def test_an_unknown_precision_and_an_empty_volume_are_refused():
    network = small("srcnn3d")
    with pytest.raises(RefusalError, match="fp32"):
        Volume(network, (4, 4, 4)).apply(network, Compute("cpu", "fp64"))
    with pytest.raises(RefusalError, match="nothing to upscale"):
        Volume(network, (4, 0, 4)).apply(network)


def test_the_network_is_left_as_it_was():
    network = small("dcsrn3d").train()
    network.units[0].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Volume(network, (5, 6, 7)).apply(network)
    assert network.training and network.units[1].training and not network.units[0].training
    assert all((value == before[name]).all() for name, value in network.state_dict().items())


TELL = """
import json, sys
import numpy as np, torch
from small_networks import enlivened
from VolumeSuperResolutionLib.engine.streaming.inference import Compute, apply
from VolumeSuperResolutionLib.engine.streaming.memory import forget_peak, peak_bytes, resident_bytes
from VolumeSuperResolutionLib.engine.networks import build
torch.set_num_threads(1)
results = []
for name, options, shape, budget in (
    ("edsr3d", dict(features=16, blocks=3), (12, 96, 96), 90 << 20),
    ("edsr3d", dict(features=16, blocks=3), (12, 96, 96), 40 << 20),
    ("cnnil_inplane", dict(features=32), (8, 160, 160), 60 << 20),
):
    network = enlivened(build(name, **options))
    factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    out = np.ones([n * f for n, f in zip(shape, factor)], dtype=np.float32)
    def write(slices, block):
        out[slices] = block
    apply(network, array.__getitem__, (2, 8, 8), out[:4, :16, :16].__setitem__, Compute("cpu"))  # what is loaded once
    forgot, before = forget_peak(), resident_bytes()
    account = apply(network, array.__getitem__, shape, write, Compute("cpu", "fp32", budget))
    results.append([forgot, peak_bytes() - before, budget, account.columns])
from VolumeSuperResolutionLib.engine.models import zoo
for card in {card.stages[0].network: card for card in zoo.cards().values() if card.learned}.values():
    zoo.load(card)
print(json.dumps({"peaks": results, "compiler": sorted({"sympy", "torch._dynamo"} & set(sys.modules))}))
"""


@pytest.fixture(scope="module")
def told_by_a_process():
    places = [str(Path(__file__).parent), str(Path(inference.__file__).parents[3])]
    script = f"import sys; sys.path[:0] = {places!r}\n{TELL}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_network_needs_the_compiler_of_torch(told_by_a_process):
    """Which takes seconds to load, and 100 MB."""
    assert told_by_a_process["compiler"] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a peak that can be reset")
def test_the_peak_memory_stays_within_the_budget(told_by_a_process):
    for forgot, peak, budget, columns in told_by_a_process["peaks"]:
        if not forgot:
            pytest.skip("this system does not let a process reset its peak")
        assert peak <= budget, (peak, budget, columns)


def test_where_memory_runs_out_slabs_and_blocks_are_halved(monkeypatch):
    tried = []
    plain = inference.Stream.run

    def run(stream, read, shape, box, thickness, chunk, first):
        tried.append((thickness, chunk))
        if len(tried) < 3:
            raise MemoryError
        return plain(stream, read, shape, box, thickness, chunk, first)

    monkeypatch.setattr(inference.Stream, "run", run)
    monkeypatch.setattr(inference.Stream, "bytes", lambda *_: 0)
    network = small("edsr3d")
    volume = Volume(network, (8, 9, 10))
    volume.apply(network)
    assert tried == [(8 >> n, inference.CHUNK_ON_CPU >> n) for n in range(3)]
    assert difference(volume.out, whole(network, volume.array)) <= CLOSE
