"""One measured case in a process of its own: `python cases.py '{"kind": ...}'` prints what it found as JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine.networks import build
from VolumeSuperResolutionLib.engine.networks.fsrcnn import CroppedTransposedConv
from VolumeSuperResolutionLib.engine.streaming import kernels, memory, trials
from VolumeSuperResolutionLib.engine.streaming.devices import PRECISIONS, Transfers
from VolumeSuperResolutionLib.engine.streaming.inference import CHUNK_ON_CPU, CHUNK_ON_GPU, Account, Compute, apply
from VolumeSuperResolutionLib.engine.streaming.stream import Stream
from VolumeSuperResolutionLib.engine.upscale import Request, upscale
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

# What a network may be run in beside fp32; the timing does not ask for quality.
REDUCED = ("tf32", "bf16", "fp16")
# The slowest models are not run more often than this allows.
ENOUGH_SECONDS = 60.0
# The networks of the comparison, in their published sizes.
NETWORKS = {
    "EDSR 9x64, 2x": ("edsr3d", {}),
    "FSRCNN (56, 16), 2x": ("fsrcnn3d", {}),
    "SRResNet 16x64, 4x": ("srresnet3d", {}),
    "CNN-IL in plane, 2x": ("cnnil_inplane", {}),
}


def network_of(name: str) -> nn.Module:
    """With the random start of a fixed seed: the time does not depend on the weights."""
    torch.manual_seed(0)
    kind, options = NETWORKS[name]
    return build(kind, **options).eval()


def volume_of(size: int, dimensions: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((size,) * dimensions, dtype=np.float32)


def output_of(network: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """The output array, in memory that the process already holds."""
    factor = (1,) * (3 - len(network.factor)) + tuple(network.factor)
    return np.ones([n * f for n, f in zip(shape, factor)], np.float32)


def multiply_adds(network: nn.Module) -> float:
    """Multiplications and additions for one input voxel, as the layers state them."""
    done = [0.0]
    size = 8

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        transposed = isinstance(layer, CroppedTransposedConv)
        places = (inputs[0] if transposed else out).numel() / (inputs[0] if transposed else out).shape[1]
        done[0] += 2 * layer.weight.numel() * places

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d, CroppedTransposedConv))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(torch.zeros(1, 1, *[size] * network.dimensions))
    for hook in hooks:
        hook.remove()
    return done[0] / size**network.dimensions


def measured(work: Callable[[], Any], repeats: int, enough: float = float("inf")) -> dict[str, Any]:
    """The median time, and the most memory held beyond what the process held before; the last result beside them.

    It is not repeated any more once `enough` seconds were spent.
    """
    memory.forget_peak()
    before = memory.resident_bytes()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
        if sum(times) > enough:
            break
    peak = memory.peak_bytes() - before
    return {"seconds": statistics.median(times), "runs": len(times), "peak": peak, "result": result}


def streamed(network: nn.Module, array: np.ndarray, out: np.ndarray, compute: Compute, half: bool = False) -> Account:
    return apply(network, array.__getitem__, array.shape, out.__setitem__, compute, precisions=REDUCED if half else ())


def in_one_pass(network: nn.Module, array: np.ndarray, out: np.ndarray, channels_last: bool) -> None:
    block = torch.from_numpy(array)
    block = block[:, None] if network.dimensions == 2 else block[None, None]
    if channels_last:
        # The batch's stride must be that of a longer batch, or torch does not see channels-last.
        order = (0, 2, 3, 4, 1) if block.dim() == 5 else (0, 2, 3, 1)
        back = (0, 4, 1, 2, 3) if block.dim() == 5 else (0, 3, 1, 2)
        block = block.permute(order).contiguous().permute(back)
        network.to(memory_format=torch.channels_last_3d if block.dim() == 5 else torch.channels_last)
    with torch.inference_mode():
        out[:] = network(block).view(out.shape).numpy()


def sliding_window(network: nn.Module, array: np.ndarray, out: np.ndarray, window: int) -> None:
    from monai.inferers import SlidingWindowInferer

    block = torch.from_numpy(array)
    block = block[:, None] if network.dimensions == 2 else block[None, None]
    inferer = SlidingWindowInferer((window,) * network.dimensions, sw_batch_size=1, overlap=0.25, mode="gaussian")
    with torch.inference_mode():
        out[:] = inferer(block, network).view(out.shape).numpy()


def compare(case: dict[str, Any]) -> dict[str, Any]:
    """One network by one method over one volume. The whole-volume result is kept in `reference` for the others."""
    network = network_of(case["network"])
    array = volume_of(case["size"])
    out = output_of(network, array.shape)
    methods = {
        "stream": lambda: streamed(network, array, out, Compute("cpu", "fp32")),
        "whole": lambda: in_one_pass(network, array, out, False),
        "whole, channels last": lambda: in_one_pass(network, array, out, True),
        "MONAI": lambda: sliding_window(network, array, out, case["window"]),
    }
    methods["stream, every plane by itself"] = methods["stream"]
    if case["method"] != "stream":
        trials.blocks_gain = lambda weight: False
    small = array[:16, :16, :16].copy()
    streamed(network, small, output_of(network, small.shape), Compute("cpu", "fp32"))  # what is loaded once
    found = measured(methods[case["method"]], case["repeats"])
    account = found.pop("result")
    if case["method"] == "whole":
        np.save(case["reference"], out)
    elif Path(case["reference"]).exists():
        truth = np.load(case["reference"], mmap_mode="r")
        found["difference"] = max(float(np.abs(a - b).max()) for a, b in zip(out, truth)) / float(np.ptp(truth))
    if account:
        found["steps"] = f"{account.slabs} slabs of {account.thickness}, {account.columns} column(s)"
    return {**found, "ends": array.nbytes + out.nbytes}


def convolution_peak(channels: int, dimensions: int) -> float:
    """GFLOP/s of the machine's best large convolution of so many channels, over a few block sizes."""
    best = 0.0
    for planes in (2, 4, 8) if dimensions == 3 else (1, 4, 16):
        weight = torch.randn(channels, channels, *[3] * dimensions)
        if dimensions == 3:
            block = torch.randn(1, planes + 2, 128, 128, channels).permute(0, 4, 1, 2, 3)
            weight = weight.contiguous(memory_format=torch.channels_last_3d)
        else:
            block = torch.randn(planes, 128, 128, channels).permute(0, 3, 1, 2)
            weight = weight.contiguous(memory_format=torch.channels_last)
        convolve, padding = (functional.conv3d, (0, 1, 1)) if dimensions == 3 else (functional.conv2d, (1, 1))
        with torch.inference_mode():
            convolve(block, weight, padding=padding)
            times = []
            for _ in range(9):
                start = time.perf_counter()
                convolve(block, weight, padding=padding)
                times.append(time.perf_counter() - start)
        best = max(best, 2 * weight.numel() * planes * 128 * 128 / statistics.median(times) / 1e9)
    return best


def speed(case: dict[str, Any]) -> dict[str, Any]:
    """A network's achieved GFLOP/s, and the convolution peak measured before and after it."""
    network = network_of(case["network"])
    array = volume_of(case["size"])
    out = output_of(network, array.shape)
    channels = max(m.weight.shape[1] for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d)))
    peaks = [convolution_peak(channels, network.dimensions)]
    streamed(network, array[:16].copy(), output_of(network, (16, *array.shape[1:])), Compute("cpu", "fp32"))
    found = measured(lambda: streamed(network, array, out, Compute("cpu", "fp32")), case["repeats"])
    peaks.append(convolution_peak(channels, network.dimensions))
    flops = multiply_adds(network) * array.size / 1e9
    return {"gflops": flops / found["seconds"], "peak": max(peaks), "channels": channels, "seconds": found["seconds"]}


def model(case: dict[str, Any]) -> dict[str, Any]:
    """A model through the front door."""
    size = (case["size"],) * 3
    array = (volume_of(case["size"]) * 1000).astype(np.int16)
    grid = Grid(size=size, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
    request = Request(model=case["model"], modality="MR", **{"device": "cpu", **case.get("options", {})})
    upscale(Volume(array[:8, :8, :8].copy(), grid.cropped(((0, 8),) * 3)), request)
    found = measured(lambda: upscale(Volume(array, grid), request), case["repeats"], ENOUGH_SECONDS)
    report = found.pop("result").report
    return {**found, "factor": [round(f, 2) for f in report.factor]}


def on_device(case: dict[str, Any]) -> dict[str, Any]:
    """A network on a device: seconds in all, of computing alone and of copying alone, and the convolution peak."""
    device, precision = torch.device(case["device"]), case["precision"]
    network = network_of(case["network"])
    array = volume_of(case["size"])
    out = output_of(network, array.shape)
    compute = Compute(case["device"], precision)
    found = measured(lambda: streamed(network, array, out, compute, True), case["repeats"])
    account = found.pop("result")
    flops = multiply_adds(network) * array.size / 1e9
    seconds = computing(network, device, account.precision, array, account.thickness)
    return {
        "seconds": found["seconds"],
        "computing": seconds,
        "copying": copying(device, array, out),
        "gflops": flops / seconds,
        "peak": device_peak(device, account.precision),
        "memory": account.peak_bytes,
        "precision": account.precision,
    }


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def computing(network: nn.Module, device: torch.device, precision: str, array: np.ndarray, thickness: int) -> float:
    """Seconds for a volume that is on the device and a result that stays there."""
    with torch.inference_mode(), kernels.tf32(precision == "tf32"):
        stream = Stream(network, device, PRECISIONS[precision])
        given = torch.from_numpy(array).to(device).unsqueeze(3)
        box = tuple((0, n) for n in stream.sizes(array.shape)[-1])
        chunk = CHUNK_ON_CPU if device.type == "cpu" else CHUNK_ON_GPU
        best = float("inf")
        for _ in range(2):
            synchronize(device)
            start = time.perf_counter()
            for _ in stream.run(lambda r: given[tuple(slice(*n) for n in r)], array.shape, box, thickness, chunk):
                pass
            synchronize(device)
            best = min(best, time.perf_counter() - start)
    return best


def copying(device: torch.device, array: np.ndarray, out: np.ndarray) -> float:
    """Seconds to send a volume in slabs and fetch a result, with nothing between."""
    transfers = Transfers(device)
    slab = torch.zeros(*out[:16].shape, device=device)
    synchronize(device)
    start = time.perf_counter()
    for k in range(0, len(array), 16):
        transfers.send(array[k : k + 16])
    for k in range(0, len(out), 16):
        out[k : k + 16] = transfers.fetch(slab)()[: len(out) - k]
    synchronize(device)
    return time.perf_counter() - start


def device_peak(device: torch.device, precision: str) -> float:
    """GFLOP/s of one large convolution of 64 channels on the device."""
    edge, times = (256, 10) if device.type == "cuda" else (32, 1)
    dtype = PRECISIONS[precision]
    block = torch.randn(18, edge, edge, 64, device=device).to(dtype)
    weight = kernels.prepared(torch.randn(64, 64, 3, 3, 3, device=device).to(dtype), flat=False)
    best = 0.0
    with torch.inference_mode(), kernels.tf32(precision == "tf32"):
        for _ in range(4):
            synchronize(device)
            start = time.perf_counter()
            for _ in range(times):
                kernels.convolve(block, weight, None, (0, 1, 1), (1, 1, 1))
            synchronize(device)
            best = max(best, times * 2 * weight.numel() * 16 * edge**2 / (time.perf_counter() - start) / 1e9)
    return best


KINDS = {"compare": compare, "speed": speed, "model": model, "on_device": on_device}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(KINDS[asked["kind"]](asked)))
