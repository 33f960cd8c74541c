"""What is faster on this machine: known of the processor, or timed on small convolutions, once in a process.

The answers must not hang on a hair: where they changed from run to run, so would the last digits of the results. So
only what is expected to be clearly faster is asked about, and it has to lose every time to be refused.
"""

from __future__ import annotations

import math
import platform
import sys
import time
from functools import cache, partial
from typing import Callable

import torch

from . import cooktoom, kernels

SHAPE = (6, 48, 48)  # voxels
WIDEST = 64  # channels
TRIALS = 8
WORTH = 1.3  # how much faster half precision must be
# Where torch tells of instructions for bfloat16 (which gain 1.5 times and more), nothing is timed: the precision, and
# with it the result, would be another from run to run on a busy machine.
X86 = ("x86_64", "AMD64")
INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
ONES = (1, 1, 1)
# What this process itself works, whatever else the machine does; Windows counts that too coarsely.
CLOCK = time.perf_counter if sys.platform == "win32" else time.process_time


def blocks_gain(weight: torch.Tensor) -> bool:
    """Whether four planes at once are faster for a convolution that `cooktoom.can`."""
    outputs, inputs = (min(n, WIDEST) for n in weight.shape[:2])
    return _blocks_gain(outputs, inputs, tuple(weight.shape[3:]))


@cache
def _blocks_gain(outputs: int, inputs: int, size: tuple[int, int]) -> bool:
    return wins(_direct(outputs, inputs, size), _in_blocks(outputs, inputs, size))


def bfloat16_gains() -> bool:
    """Whether this CPU has bfloat16, and is so much faster with it than with all that is done in float32."""
    return kernels.is_native(torch.bfloat16) and _bfloat16_gains()


@cache
def _bfloat16_gains() -> bool:
    if platform.machine() in X86 and all(hasattr(torch.cpu, ask) for ask in INSTRUCTIONS):
        return any(getattr(torch.cpu, ask)() for ask in INSTRUCTIONS)
    half = _direct(WIDEST, WIDEST, (3, 3), torch.bfloat16)
    others = (_direct(WIDEST, WIDEST, (3, 3)), _in_blocks(WIDEST, WIDEST, (3, 3)))
    return all(wins(other, half, WORTH) for other in others)


def wins(plain: Callable[[], object], other: Callable[[], object], by: float = 1.0) -> bool:
    """Whether the other takes less time in any of a few trials, each time the fastest so far being compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other where another program keeps a core busy
    try:
        _seconds(plain), _seconds(other)  # what is made once
        fastest = [math.inf, math.inf]
        for _ in range(TRIALS):
            fastest = [min(t, _seconds(work)) for t, work in zip(fastest, (plain, other))]
            if by * fastest[1] < fastest[0]:
                return True
        return False
    finally:
        torch.set_num_threads(threads)


def _direct(
    outputs: int, inputs: int, size: tuple[int, int], dtype: torch.dtype = torch.float32
) -> Callable[[], object]:
    weight = kernels.prepared(torch.ones(outputs, inputs, 3, *size, dtype=dtype), flat=False)
    return partial(kernels.convolve, torch.ones(*SHAPE, inputs, dtype=dtype), weight, None, _padding(size), ONES)


def _in_blocks(outputs: int, inputs: int, size: tuple[int, int]) -> Callable[[], object]:
    six, x = cooktoom.flat(torch.ones(outputs, inputs, 3, *size)), torch.ones(*SHAPE, inputs)
    mixed, results = (torch.empty(cooktoom.TAKEN, *SHAPE[1:], n) for n in (inputs, outputs))
    out = torch.empty(cooktoom.PLANES, *SHAPE[1:], outputs)

    def work() -> None:
        cooktoom.mix(x, mixed)
        cooktoom.combine(mixed, six, None, _padding(size), ONES, results, out)

    return work


def _padding(size: tuple[int, int]) -> tuple[int, int, int]:
    return (0, *(n // 2 for n in size))  # type: ignore[return-value]


def _seconds(work: Callable[[], object]) -> float:
    start = CLOCK()
    work()
    return CLOCK() - start
