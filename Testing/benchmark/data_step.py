"""How long the data step takes and how much it holds, beside rounds of back-projection: a table in Markdown.

    python Testing/benchmark/data_step.py
    python Testing/benchmark/data_step.py --size 64 --repeats 1

Both run in turns on the same volume. The working memory is what is held beyond scan and result.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine.physics import interpolation
from VolumeSuperResolutionLib.engine.physics.data_step import DataStep
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.streaming import memory

ROUNDS = 8
MEGA = 1 << 20


def methods(low: np.ndarray, high: np.ndarray) -> dict[str, Callable[[], None]]:
    """What is measured, each from the forward model's matrices on."""

    def step(mu: float) -> None:
        DataStep(Scanner().matrices(high.shape, low.shape, (1.0,) * 3)).apply(high, low, mu)

    return {
        "exact step": lambda: step(0.0),
        "noise-aware step": lambda: step(0.05),
        f"{ROUNDS} rounds": lambda: interpolation.back_project(high, low, ROUNDS),
    }


def rows(shape: tuple[int, int, int], factors: tuple[int, int, int], repeats: int) -> list[str]:
    """One line a method; shape and factors in (i, j, k)."""
    low = np.random.default_rng(0).random(shape[::-1], dtype=np.float32)
    high = interpolation.resample(low, [n * f for n, f in zip(low.shape, factors[::-1])])
    seconds: dict[str, list[float]] = {}
    working: dict[str, float] = {}
    for _ in range(repeats):
        for name, work in methods(low, high).items():
            memory.forget_peak()
            before, start = memory.resident_bytes(), time.perf_counter()
            work()
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            working[name] = max(working.get(name, 0.0), memory.peak_bytes() - before)
    grid = f"{'x'.join(map(str, shape))}, {'x'.join(map(str, factors))}"
    ends = f"{low.nbytes / MEGA:.0f} + {high.nbytes / MEGA:.0f}"
    return [
        f"| {grid} | {name} | {statistics.median(taken):.1f} | {ends} | {working[name] / MEGA:.0f} |"
        for name, taken in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="of the cube; the stack's planes are twice as long")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    n = options.size
    print("| scan, factors | method | seconds | scan + result MB | working MB |\n|---|---|---:|---:|---:|")
    for shape, factors in (((n, n, n), (2, 2, 2)), ((2 * n, 2 * n, max(2, 5 * n // 16)), (1, 1, 4))):
        print("\n".join(rows(shape, factors, options.repeats)), flush=True)


if __name__ == "__main__":
    main()
