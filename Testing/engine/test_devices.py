"""What a device can do, as it answers: answers of GPUs that are not there are stood in for."""

from __future__ import annotations

import platform
from typing import ClassVar

import numpy as np
import pytest
import torch
from small_networks import difference, noise, small, whole
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.streaming import devices, inference, kernels, trials
from VolumeSuperResolutionLib.engine.streaming.inference import Compute, apply
from VolumeSuperResolutionLib.engine.streaming.stream import Stream

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
ALL = ("tf32", "bf16", "fp16")


@pytest.mark.parametrize(
    ("device", "generation", "allowed", "chosen"),
    [
        (CUDA, (9, 0), ALL, "fp16"),
        (CUDA, (8, 0), ("tf32", "bf16"), "bf16"),
        (CUDA, (8, 6), ("tf32",), "tf32"),
        (CUDA, (8, 6), (), "fp32"),
        (CUDA, (7, 5), ALL, "fp16"),
        (CUDA, (7, 5), ("tf32", "bf16"), "fp32"),
        (CUDA, (6, 1), ALL, "fp32"),  # fp16 is there, and slow
        (MPS, None, ALL, "fp16"),
        (MPS, None, ("bf16",), "fp32"),
        (CPU, None, ALL, "fp32"),
    ],
)
def test_the_fastest_precision_that_the_card_allows(device, generation, allowed, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: generation)
    monkeypatch.setattr(trials, "bfloat16_gains", lambda: False)
    assert devices.choose_precision("auto", device, allowed) == (chosen, [])


def test_a_cpu_with_bfloat16_takes_it_where_it_gains(monkeypatch):
    monkeypatch.setattr(trials, "bfloat16_gains", lambda: True)
    assert devices.choose_precision("auto", CPU, ALL) == ("bf16", [])
    assert devices.choose_precision("auto", CPU, ("tf32", "fp16")) == ("fp32", [])


@pytest.mark.parametrize(("half", "gain"), [(0.7, True), (0.9, False), (40.0, False)])
def test_half_precision_on_the_cpu_has_to_be_clearly_faster(half, gain, monkeypatch):
    monkeypatch.setattr(kernels, "is_native", lambda dtype: True)
    monkeypatch.setattr(trials, "X86", ())
    monkeypatch.setattr(trials, "_direct", lambda *_: half if len(_) > 3 else 1.0)
    monkeypatch.setattr(trials, "_in_blocks", lambda *_: 1.0)
    monkeypatch.setattr(trials, "_seconds", lambda work: work)
    trials._bfloat16_gains.cache_clear()
    assert trials.bfloat16_gains() == gain
    trials._bfloat16_gains.cache_clear()
    monkeypatch.setattr(kernels, "is_native", lambda dtype: False)
    assert not trials.bfloat16_gains()


@pytest.mark.parametrize(
    ("instructions", "gain"), [((True, False), True), ((False, True), True), ((False, False), False)]
)
def test_where_instructions_for_half_precision_are_known_nothing_is_timed(instructions, gain, monkeypatch):
    monkeypatch.setattr(kernels, "is_native", lambda dtype: True)
    monkeypatch.setattr(trials, "X86", (platform.machine(),))
    for name, there in zip(trials.INSTRUCTIONS, instructions):
        monkeypatch.setattr(torch.cpu, name, lambda there=there: there, raising=False)
    monkeypatch.setattr(trials, "wins", lambda *_: pytest.fail("it was timed"))
    trials._bfloat16_gains.cache_clear()
    assert trials.bfloat16_gains() == any(instructions)
    trials._bfloat16_gains.cache_clear()


def test_a_precision_that_was_not_found_good_is_not_used():
    name, notes = devices.choose_precision("bf16", CUDA, ("fp16",))
    assert name == "fp32" and "bf16" in notes[0]
    with pytest.raises(RefusalError, match="tf32"):
        devices.choose_precision("int8", CUDA, ALL)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_cpu_is_rounded_as_a_gpu_does(dtype):
    if kernels.is_native(dtype):
        pytest.skip("this CPU computes it itself")
    x, weight = torch.randn(4, 6, 7, 5).to(dtype), torch.randn(3, 5, 3, 3, 3).to(dtype)
    out, _ = kernels.convolve(x, weight, None, (0, 1, 1), (1, 1, 1))
    exact, _ = kernels.convolve(x.float(), weight.float(), None, (0, 1, 1), (1, 1, 1))
    assert out.dtype == dtype and (out == exact.to(dtype)).all()


def test_tf32_on_a_cpu_keeps_ten_bits():
    values = torch.tensor([1.0, 1 + 2**-10, 1 + 2**-11, 1 + 2**-12, -3.0, 1e30])
    assert kernels.rounded(values)[:5].tolist() == [1.0, 1 + 2**-10, 1 + 2**-10, 1.0, -3.0]
    network = small("edsr3d")
    results = {}
    for precision in ("fp32", "tf32"):
        out = np.zeros((14, 16, 18), np.float32)
        account = apply(
            network, noise((7, 8, 9)).__getitem__, (7, 8, 9), out.__setitem__, Compute("cpu", precision), precisions=ALL
        )
        assert account.precision == precision and not kernels.is_tf32()
        results[precision] = out
    assert 1e-5 < difference(results["tf32"], results["fp32"]) < 1e-2


@pytest.mark.parametrize(
    ("message", "memory", "unsupported"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", True, False),
        ("GET was unable to find an engine to execute this computation", True, True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True, False),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True, False),
        ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED", True, True),
        ("CUDA error: no kernel image is available for execution on the device", False, False),
    ],
)
def test_what_errors_say(message, memory, unsupported):
    assert devices.is_out_of_memory(RuntimeError(message)) == memory
    assert devices.is_unsupported(RuntimeError(message)) == unsupported
    assert not devices.is_out_of_memory(ValueError(message))


class Gpu:
    """A GPU stood in for by the CPU: the device "meta" is moved to it, and computes what `convolve` makes of it."""

    def __init__(self, monkeypatch, wrong=(), error=None):
        plain = kernels.convolve
        self.dtypes = []

        def convolve(x, weight, *rest):
            if not self.trying:
                return plain(x, weight, *rest)
            if error is not None:
                raise RuntimeError(error)
            self.dtypes.append(x.dtype)
            out, fused = plain(x, weight, *rest)
            return (out * 3 if x.dtype in wrong else out), fused

        self.trying = False
        monkeypatch.setattr(kernels, "convolve", convolve)
        trusted = devices.is_trusted

        def is_trusted(device, precision):
            """On the CPU: the first convolution is the truth, the second is the GPU's."""
            count = [0]

            def second(x, *rest):
                count[0] += 1
                self.trying = count[0] > 1
                try:
                    return convolve(x, *rest)
                finally:
                    self.trying = False

            with monkeypatch.context() as patch:
                patch.setattr(kernels, "convolve", second)
                return trusted(CPU, precision)

        monkeypatch.setattr(devices, "is_trusted", is_trusted)
        monkeypatch.setattr(inference, "Stream", lambda network, device, dtype: Stream(network, CPU, dtype))
        monkeypatch.setattr(inference, "choose_device", lambda name: torch.device("meta"))
        transfers = devices.Transfers
        monkeypatch.setattr(inference, "Transfers", lambda device: transfers(CPU))


def upscaled(device="auto", precision="auto"):
    network, array = small("edsr3d"), noise((6, 7, 8))
    out = np.full((12, 14, 16), np.nan, np.float32)
    account = apply(
        network, array.__getitem__, array.shape, out.__setitem__, Compute(device, precision), precisions=ALL
    )
    return account, difference(out, whole(network, array))


def test_a_sound_gpu_is_used(monkeypatch):
    gpu = Gpu(monkeypatch)
    account, gap = upscaled(precision="bf16")
    assert (account.device, account.precision, account.warnings) == ("meta", "bf16", ())
    assert gpu.dtypes[0] == torch.bfloat16 and gap < 0.05


def test_a_gpu_that_gets_half_precision_wrong_computes_in_full(monkeypatch):
    Gpu(monkeypatch, wrong=(torch.bfloat16,))
    account, gap = upscaled(precision="bf16")
    assert (account.device, account.precision) == ("meta", "fp32") and gap < 1e-5
    assert "wrongly in bf16" in account.warnings[0]


@pytest.mark.parametrize("error", ["no kernel image is available", "GET was unable to find an engine to execute this"])
def test_a_gpu_that_torch_cannot_use_is_left_alone(error, monkeypatch):
    Gpu(monkeypatch, error=error)
    account, gap = upscaled()
    assert (account.device, account.precision) == ("cpu", "fp32") and gap < 1e-5
    assert "cannot use the device" in account.warnings[0]
    with pytest.raises(RefusalError, match="choose auto or cpu"):
        upscaled("cuda")


def test_numbers_too_large_for_half_precision_are_computed_again_in_full(monkeypatch):
    network, array = small("edsr3d"), noise((6, 7, 8))
    with torch.no_grad():
        network.head.weight.mul_(1e7)
    out = np.full((12, 14, 16), np.nan, np.float32)
    account = apply(
        network, array.__getitem__, array.shape, out.__setitem__, Compute("cpu", "fp16"), precisions=("fp16",)
    )
    assert account.precision == "fp32" and "fp16" in account.warnings[0]
    assert difference(out, whole(network, array)) < 1e-5


def test_the_noise_of_a_network_stays_in_full_precision():
    stream = Stream(small("rrdb3d with noise"), CPU, torch.float16)
    precise = stream._precise()
    kinds = {type(stream.nodes[n]).__name__ for n in precise}
    assert "Phases" in kinds and len(precise) < len(stream.nodes)
    assert all(node.precise for node in stream.nodes if type(node).__name__ == "Phases")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.parametrize("precision", ["fp32", *ALL])
@pytest.mark.parametrize("name", ["edsr3d", "cnnil_inplane", "rrdb3d", "fsrcnn3d"])
def test_a_gpu_gives_what_the_cpu_gives(name, precision):
    network, array = small(name), noise((9, 20, 21))
    factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
    out = np.full([n * f for n, f in zip(array.shape, factor)], np.nan, np.float32)
    account = apply(
        network, array.__getitem__, array.shape, out.__setitem__, Compute("cuda", precision), precisions=ALL
    )
    assert account.device.startswith("cuda") and account.peak_bytes > 0
    assert difference(out, whole(network, array)) < (1e-5 if precision == "fp32" else 0.05)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")
def test_the_second_gpu_can_be_the_first_that_is_used():
    assert devices.budget_bytes(devices.choose_device("cuda:1")) > 0


def test_another_gpu_than_the_first_is_woken_before_it_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "init", lambda: asked.append("init"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (1000, 2000))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)
    device = devices.choose_device("cuda:1")
    assert devices.budget_bytes(device) == 800 and asked == ["init", torch.device("cuda:1")]
    with pytest.raises(RefusalError, match="no device 'cuda:2'"):
        devices.choose_device("cuda:2")


class Queue:
    """Stands in for a CUDA stream, and tells what waits for what."""

    told: ClassVar[list] = []

    def __init__(self, name):
        self.name = name

    def wait_stream(self, other):
        self.told.append((self.name, "waits for", other.name))

    def __enter__(self):
        self.told.append((self.name, "begins"))

    def __exit__(self, *_):
        self.told.append((self.name, "ends"))

    def record(self, stream):
        self.told.append((stream.name, "is marked"))

    def synchronize(self):
        self.told.append(("the host", "waits for the mark"))


@pytest.fixture
def streams(monkeypatch):
    """Transfers to a GPU that is the CPU."""
    names, computing, empty = iter(("sending", "fetching")), Queue("computing"), torch.empty
    monkeypatch.setattr(Queue, "told", [])
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Queue(next(names)))
    monkeypatch.setattr(torch.cuda, "Event", lambda: Queue("mark"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory, **rest: empty(*shape, **rest))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda block: block)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda block, stream: Queue.told.append((stream.name, "has it")))
    transfers = devices.Transfers(CUDA)
    transfers.device = CPU
    return transfers


def test_what_is_sent_does_not_wait_for_what_is_fetched(streams):
    array = noise((3, 4, 5))
    sent = streams.send(array)
    assert (sent.numpy() == array).all()
    back = streams.fetch(sent)
    again = [("sending", "begins"), ("sending", "ends"), ("computing", "waits for", "sending"), ("computing", "has it")]
    fetched = [("fetching", "waits for", "computing"), ("fetching", "begins"), ("fetching", "has it")]
    assert Queue.told == [*again, *fetched, ("fetching", "is marked"), ("fetching", "ends")]
    del Queue.told[:]
    streams.send(array)  # while the block is still on its way
    assert Queue.told == again
    assert (back() == array).all() and Queue.told[-1] == ("the host", "waits for the mark")
