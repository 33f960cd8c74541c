"""Where a network runs, in which precision, with how much memory; and how arrays get there and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..errors import RefusalError
from .memory import free_bytes, peak_bytes

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    return device


def choose_precision(name: str, device: torch.device, half_allowed: bool) -> tuple[str, list[str]]:
    """The precision's name, and what to tell the user about it."""
    if name not in (*PRECISIONS, "auto"):
        raise RefusalError(f"There is no precision called {name!r}; choose auto, fp32, bf16 or fp16.")
    if name == "auto":
        if device.type == "cpu" or not half_allowed:
            return "fp32", []
        return ("bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp16"), []
    if name != "fp32" and not half_allowed:
        return "fp32", [f"This model loses too much quality in {name}, so it ran in fp32."]
    return name, []


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
    """Whether an error says that memory ran out, on whichever device."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    words = ("not enough memory", "can't allocate memory", "out of memory", "could not create a memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def give_back(device: torch.device) -> None:
    """Returns the memory that torch caches to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class Transfers:
    """Arrays to the device and blocks back. On CUDA both overlap with the computation, through pinned memory."""

    def __init__(self, device: torch.device):
        self.device = device
        self.copying = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, array: np.ndarray) -> torch.Tensor:
        """The array on the device."""
        array = np.ascontiguousarray(array, dtype=np.float32)
        block = torch.from_numpy(array if array.flags.writeable else array.copy())
        if self.copying is None:
            return block.to(self.device)
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.copying):
            sent = block.pin_memory().to(self.device, non_blocking=True)
        computing.wait_stream(self.copying)
        sent.record_stream(computing)
        return sent

    def fetch(self, block: torch.Tensor) -> Callable[[], np.ndarray]:
        """Starts to copy the block back; the function returned waits for it."""
        block = block.float()
        if self.copying is None:
            return lambda: block.cpu().numpy()
        self.copying.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.copying):
            host = torch.empty(block.shape, pin_memory=True)
            host.copy_(block, non_blocking=True)
            block.record_stream(self.copying)
            arrived = torch.cuda.Event()
            arrived.record(self.copying)

        def wait() -> np.ndarray:
            arrived.synchronize()
            return host.numpy()

        return wait
