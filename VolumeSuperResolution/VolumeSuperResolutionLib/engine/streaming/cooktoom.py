"""Convolutions of three taps along the streamed axis with half of the products: Cook and Toom's F(4, 3).

Four planes of the output are computed from six of the input. Both are put together from planes with small whole
numbers; in between are six flat convolutions, where the definition takes twelve.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from . import kernels

PLANES, TAKEN = 4, 6  # of the output that a block gives, of the input that it takes
# Putting planes together costs per voxel as much as so many products for each input channel, each output channel.
PER_OUTPUT, PER_INPUT = 10, 20
FEWEST = 16  # channels in and out
SMALLEST = 1024  # voxels of a plane: below that, the calls take longer than the work
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
    exact = device.type == "cpu" and dtype == torch.float32 and not kernels.is_tf32()
    return wide and depth == 3 and dilation[0] == 1 and exact


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
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    results: torch.Tensor,
    out: torch.Tensor,
    corner: tuple[int, ...] = (0, 0),
) -> None:
    """Convolves the six and makes the four planes of the output of them, whose first voxel is at `corner`."""
    _, height, width, _ = results.shape
    top, left = corner
    for n, weight in enumerate(six):
        result, _ = kernels.convolve(mixed[n : n + 1], weight, bias if n == WHOLE else None, padding, dilation)
        results[n].copy_(result[0, top : top + height, left : left + width])
    torch.mm(OUTPUTS, results.view(TAKEN, -1), out=out.view(PLANES, -1))
