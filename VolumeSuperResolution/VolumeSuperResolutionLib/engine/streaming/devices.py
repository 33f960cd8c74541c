"""Where a network runs, in which precision, with how much memory; and how arrays get there and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..callbacks import Convert
from ..errors import RefusalError
from . import kernels, trials
from .memory import free_bytes, peak_bytes

CPU = torch.device("cpu")
PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# NVIDIA's generations with fast half precision, and with bfloat16 and TF32.
VOLTA, AMPERE = (7, 0), (8, 0)
# How far the result of a convolution may be from that on the CPU, as a part of the largest value.
TRUSTED = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2, "fp16": 1e-2}
# Types that are sent as they are; all others become float32 before.
SENT = ("uint8", "int8", "int16")
OUT_OF_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "could not create a memory",
    "status_alloc_failed",  # of cuDNN and cuBLAS
)
# What cuDNN says where its workspace did not fit, and where the GPU is too old for it: smaller steps, at last the CPU.
UNSUPPORTED = ("unable to find an engine", "cudnn_status_not_supported")


def choose_device(name: str) -> torch.device:
    """The device asked for, or the fastest there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RefusalError(f"There is no device called {name!r}; choose auto, cpu, cuda or mps.") from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False) or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    ):
        raise RefusalError(f"This computer has no device {name!r} that torch can use; choose auto or cpu.")
    if device.type == "cuda":
        torch.cuda.init()  # before any question about another GPU than the first
    return device


def signature(name: str) -> str:
    """What the last digits of a result depend on beside the request: what computes on a device, and its versions."""
    device = choose_device(name)
    if device.type == "cuda":
        return f"torch {torch.__version__}, {device}, {torch.cuda.get_device_name(device)}"
    capability = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", str)  # of torch 2.1
    return f"torch {torch.__version__}, {device}, {capability()}"


def choose_precision(name: str, device: torch.device, allowed: Sequence[str]) -> tuple[str, list[str]]:
    """The precision's name, and what to tell the user about it. `allowed` are those that the model's card lists."""
    if name not in (*PRECISIONS, "auto"):
        raise RefusalError(f"There is no precision called {name!r}; choose auto, {', '.join(PRECISIONS)}.")
    if name == "auto":
        return next((p for p in fast_precisions(device) if p in allowed), "fp32"), []
    if name != "fp32" and name not in allowed:
        return "fp32", [f"This model is not known to keep its quality in {name}, so it ran in fp32."]
    return name, []


def fast_precisions(device: torch.device) -> list[str]:
    """The precisions in which a device is faster than in fp32, the best first."""
    if device.type == "cuda":
        generation = torch.cuda.get_device_capability(device)
        if generation >= AMPERE:
            return ["fp16", "bf16", "tf32"]
        return ["fp16"] if generation >= VOLTA else []
    if device.type == "mps":
        return ["fp16"]
    return ["bf16"] if device.type == "cpu" and trials.bfloat16_gains() else []


def is_trusted(device: torch.device, precision: str) -> bool:
    """Whether one convolution runs on the device, and gives what it gives on the CPU.

    Old GPUs have no code for it in torch, and some versions of cuDNN get 3D convolutions in bfloat16 wrong.
    """
    values = torch.linspace(-1, 1, 8 * 9 * 10 * 16).sin().view(8, 9, 10, 16)
    weight = torch.linspace(-20, 20, 16 * 16 * 27).cos().view(16, 16, 3, 3, 3) / 20
    truth, _ = kernels.convolve(values, weight, None, (0, 1, 1), (1, 1, 1))
    dtype = PRECISIONS[precision]
    try:
        moved = kernels.prepared(weight.to(device, dtype), flat=False)
        with kernels.tf32(precision == "tf32"):
            result, _ = kernels.convolve(values.to(device, dtype), moved, None, (0, 1, 1), (1, 1, 1))
        return bool((result.float().cpu() - truth).abs().max() < TRUSTED[precision] * truth.abs().max())
    except (RuntimeError, AssertionError) as error:
        return is_out_of_memory(error) and not is_unsupported(error)  # what fits is found out on the way


def settled(device: torch.device, precision: str, auto: bool) -> tuple[torch.device, str, list[str]]:
    """The device and the precision, or others that can be trusted, and what to tell the user about that.

    Refuses a device that torch cannot use, unless it was chosen `auto`matically: then it is the CPU.
    """
    if device.type == "cpu" or is_trusted(device, precision):
        return device, precision, []
    if precision != "fp32" and is_trusted(device, "fp32"):
        return device, "fp32", [f"The device {device} computes wrongly in {precision}, so it ran in fp32."]
    if not auto:
        raise RefusalError(f"This version of torch cannot use the device {device}; choose auto or cpu.")
    return CPU, "fp32", [f"This version of torch cannot use the device {device}, so it ran on the CPU."]


def budget_bytes(device: torch.device) -> int:
    """How much memory a run may take of what is free now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.8 * (free + kept))
    # On a Mac the GPU's memory is the computer's.
    return int(0.6 * free_bytes())


def peak_of(device: torch.device) -> int:
    """The most memory held on the device; on the CPU by the whole process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device, or may say so."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and (_says(error, OUT_OF_MEMORY) or is_unsupported(error))


def is_unsupported(error: BaseException) -> bool:
    """Whether an error says that cuDNN has no way to do what it was asked to."""
    return _says(error, UNSUPPORTED)


def _says(error: BaseException, words: Sequence[str]) -> bool:
    return any(word in str(error).lower() for word in words)


def give_back(device: torch.device) -> None:
    """Returns the memory that torch caches to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class Transfers:
    """Arrays to the device and blocks back. On CUDA both overlap with the computation, through pinned memory.

    Each way has a stream of its own, so that what is sent next does not wait for what is fetched.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.apart = device.type != "cpu"
        self.sending, self.fetching = (torch.cuda.Stream(device) if device.type == "cuda" else None for _ in range(2))

    def send(self, array: np.ndarray) -> torch.Tensor:
        """The array on the device, in float32; small integers become that there."""
        small = array.dtype.name in SENT and array.dtype.isnative
        array = np.ascontiguousarray(array, dtype=array.dtype if small else np.float32)
        block = torch.from_numpy(array if array.flags.writeable else array.copy())
        if self.sending is None:
            return block.to(self.device).float()
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.sending):
            sent = block.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(self.sending)
        sent.record_stream(computing)
        return sent.float()

    def fetch(self, block: torch.Tensor, convert: Convert | None = None) -> Callable[[], np.ndarray]:
        """Starts to copy the block back; the function returned waits for it. It is converted on the device."""
        block = block.float()
        if convert is None:
            return self._fetch(block)
        if not self.apart:
            return lambda: convert(block.numpy())
        block = convert.scaled(block)
        finite = torch.isfinite(block).all()
        if convert.narrow:
            block = convert.held(block).to(getattr(torch, convert.narrow))
        arriving, answering = self._fetch(block), self._fetch(finite)

        def wait() -> np.ndarray:
            values = arriving()
            convert.check(bool(answering()))
            return values if convert.narrow else convert.typed(values)

        return wait

    def _fetch(self, block: torch.Tensor) -> Callable[[], np.ndarray]:
        if self.fetching is None:
            return lambda: block.cpu().numpy()
        self.fetching.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.fetching):
            host = torch.empty(block.shape, dtype=block.dtype, pin_memory=True)
            host.copy_(block, non_blocking=True)
            block.record_stream(self.fetching)
            arrived = torch.cuda.Event()
            arrived.record(self.fetching)

        def wait() -> np.ndarray:
            arrived.synchronize()
            return host.numpy()

        return wait
