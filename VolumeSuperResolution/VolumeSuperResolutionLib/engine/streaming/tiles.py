"""Which slabs and columns fit a memory budget: pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

NARROWEST = 16  # voxels of the input; narrower columns would be nearly all halo

Range = tuple[int, int]
Column = tuple[Range, ...]  # rows and columns of the output


@dataclass(frozen=True)
class Tiling:
    """How a volume is processed: column by column, each in slabs of `thickness` input planes."""

    thickness: int
    columns: tuple[Column, ...]


def parts(length: int, count: int, multiple: int = 1) -> list[Range]:
    """0..length in at most `count` nearly equal parts, cut at multiples of a number."""
    units = -(-length // multiple)
    count = max(1, min(count, units))
    cuts = [units * n // count * multiple for n in range(count)] + [length]
    return list(zip(cuts, cuts[1:]))


def halves(column: Column, factor: Sequence[int]) -> tuple[Column, ...]:
    """The column cut across its longer side, or nothing where the halves would be too narrow."""
    lengths = [(high - low) // f for (low, high), f in zip(column, factor)]
    axis = 0 if lengths[0] >= lengths[1] else 1
    if lengths[axis] < 2 * NARROWEST:
        return ()
    low, high = column[axis]
    cuts = [(low + a, low + b) for a, b in parts(high - low, 2, factor[axis])]
    return tuple((cut, column[1]) if axis == 0 else (column[0], cut) for cut in cuts)


def fit(
    budget: int,
    size: Sequence[int],
    factor: Sequence[int],
    thickest: int,
    cost: Callable[[int, Column], int],
) -> Tiling:
    """The thickest slabs of the fewest columns whose cost in bytes is within the budget; if none is, the smallest step.

    `size` is the output's cross-section. Thinner slabs come before more columns, whose halo is computed twice.
    """
    counts = [1, 1]
    while True:
        sides = [parts(n, count, f) for n, count, f in zip(size, counts, factor)]
        column = tuple(side[len(side) // 2] for side in sides)  # an inner one, with a halo all around
        thickness = thickest
        while thickness > 1 and cost(thickness, column) > budget:
            thickness //= 2
        lengths = [max(high - low for low, high in side) // f for side, f in zip(sides, factor)]
        axis = 0 if lengths[0] >= lengths[1] else 1
        if lengths[axis] < 2 * NARROWEST or cost(thickness, column) <= budget:
            return Tiling(thickness, tuple(product(*sides)))
        counts[axis] += max(1, counts[axis] // 2)
