"""Convolutions of three taps along the streamed axis with half of the products: Cook and Toom's F(4, 3).

Four planes of the output are computed from six of the input. Both are put together from planes with small whole
numbers; in between are six flat convolutions, where the definition takes twelve.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import torch

from . import kernels

PLANES, TAKEN = 4, 6  # of the output that a block gives, of the input that it takes
# Putting planes together costs per voxel as much as so many products for each input channel, each output channel.
PER_OUTPUT, PER_INPUT = 6, 15
FEWEST = 16  # channels in and out
SMALLEST = 1024  # voxels of a plane: below that, the calls take longer than the work
# Both ways are timed in turn on so many voxels, with at most so many channels, until the blocks win, or so often.
TRIAL, WIDEST, TRIALS = (6, 48, 48), 32, 8
INPUTS = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]], dtype=torch.float32
)  # fmt: skip
OUTPUTS = torch.tensor([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1.0]])
WEIGHTS = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
     [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64
)  # fmt: skip
WHOLE = 1  # of the six results, the one that each output contains once: it gets the bias


def can(weight: torch.Tensor, dilation: Sequence[int], device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a convolution may gain by it: in full precision on a CPU, where its channels are not few."""
    outputs, inputs, depth = weight.shape[:3]
    wide = min(outputs, inputs) >= FEWEST and PER_OUTPUT / outputs + PER_INPUT / inputs <= 1
    return wide and depth == 3 and dilation[0] == 1 and device.type == "cpu" and dtype == torch.float32


def gains(weight: torch.Tensor) -> bool:
    """Whether it does gain on this machine, with as many threads as are at work. Timed once in a process.

    Only what `can` expects to be clearly faster is asked about, and it has to lose every time to be refused: an answer
    that changed from run to run would change the last digits of the results.
    """
    outputs, inputs = (min(n, WIDEST) for n in weight.shape[:2])
    return _timed(outputs, inputs, tuple(weight.shape[3:]), torch.get_num_threads())


@cache
def _timed(outputs: int, inputs: int, size: tuple[int, int], threads: int) -> bool:
    weight = torch.ones(outputs, inputs, 3, *size)
    x, padding = torch.ones(*TRIAL, inputs), (0, *(n // 2 for n in size))
    six, scratch = flat(weight), [torch.empty(TAKEN, *TRIAL[1:], n) for n in (inputs, outputs)]
    whole, out = kernels.prepared(weight, flat=False), torch.empty(PLANES, *TRIAL[1:], outputs)
    direct = partial(kernels.convolve, x, whole, None, padding, (1, 1, 1))

    def blockwise() -> None:
        mix(x, scratch[0])
        combine(scratch[0], six, None, padding, (1, 1, 1), scratch[1], out)

    _seconds(direct), _seconds(blockwise)  # what is made once
    fastest = [math.inf, math.inf]
    for _ in range(TRIALS):
        fastest = [min(t, _seconds(work)) for t, work in zip(fastest, (direct, blockwise))]
        if fastest[1] < fastest[0]:
            return True
    return False


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def flat(weight: torch.Tensor) -> list[torch.Tensor]:
    """The six flat kernels of one that is three taps deep."""
    six = torch.tensordot(WEIGHTS, weight.to(torch.float64), ([1], [2]))
    return [kernels.prepared(each.float().unsqueeze(2), flat=True) for each in six]


def mix(x: torch.Tensor, out: torch.Tensor) -> None:
    """Six planes of the input, [6, height, width, channels], as those that are convolved."""
    torch.mm(INPUTS, x.reshape(TAKEN, -1), out=out.view(TAKEN, -1))


def combine(
    mixed: torch.Tensor,
    six: Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    padding: tuple[int, int, int],
    dilation: tuple[int, int, int],
    results: torch.Tensor,
    out: torch.Tensor,
    corner: tuple[int, int] = (0, 0),
) -> None:
    """Convolves the six and makes the four planes of the output of them, whose first voxel is at `corner`."""
    _, height, width, _ = results.shape
    top, left = corner
    for n, weight in enumerate(six):
        result, _ = kernels.convolve(mixed[n : n + 1], weight, bias if n == WHOLE else None, padding, dilation)
        results[n].copy_(result[0, top : top + height, left : left + width])
    torch.mm(OUTPUTS, results.view(TAKEN, -1), out=out.view(PLANES, -1))
