"""How much more several workers of `vsr batch` do than one, and than the machine lets them: a table in Markdown.

    python Testing/benchmark/batch.py
    python Testing/benchmark/batch.py --scans 4 --size 32 --workers 2 --model linear --repeats 1

On the same scans and in turn run: one worker on one core; N workers on N cores; and, on the same cores, N batches of
one worker each that are started at once with a part of the scans each. These share nothing but the machine, so they are
the most that it gives: what it takes from each for having the others beside it, no program gives back. What is measured
is the whole command, from its start to its end, and the seconds of all its cores; what the start takes is measured on a
tiny scan for each worker and told beside it. It needs Linux.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

TINY = 16
# Whoever computes in several threads asks one of these.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


class Taken(NamedTuple):
    """Seconds on the clock, and of all cores."""

    clock: float
    cores: float


def make(folder: Path, count: int, size: int) -> list[Path]:
    """Scans of something smooth with noise, as compressible as scans are."""
    folder.mkdir()
    for number in range(count):
        generator = np.random.default_rng(number)
        k, j, i = np.meshgrid(*[np.linspace(0, 9, size)] * 3, indexing="ij")
        values = 500 + 300 * np.sin(i + j) * np.cos(2 * k) + generator.normal(0, 10, (size,) * 3)
        files.write(Volume(values.astype(np.int16), Grid((size,) * 3)), folder / f"{number:03d}.nii.gz")
    return sorted(folder.iterdir())


def run(place: Path, parts: Sequence[Sequence[Path]], model: str, workers: int, cores: int) -> Taken:
    """Batches on parts of the scans, all at once, each with so many workers, on so many cores together."""
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = sys.path[0]
    if workers == 1:  # else the command does that itself
        environment.update(dict.fromkeys(THREADS, "1"))
    used = sorted(os.sched_getaffinity(0))[:cores]
    if len(used) < cores:
        raise SystemExit(f"This needs {cores} cores, and {len(used)} are there.")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = []
    for number, part in enumerate(parts):
        paths = place / f"{number}.txt"
        paths.write_text("".join(f"{path}\n" for path in part))
        command = [sys.executable, "-m", "VolumeSuperResolutionLib", "batch", str(paths), str(place / str(number))]
        command += ["--quiet", "--model", model, "--scale", "2", "--device", "cpu", "--workers", str(workers)]
        running.append(subprocess.Popen(command, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, used)))
    ends = [process.wait() for process in running]
    if any(ends):
        raise SystemExit("A batch did not do what it was asked.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores_taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(time.perf_counter() - started, cores_taken)


def ways(scans: Sequence[Path], counts: Sequence[int]) -> dict[str, tuple[list[Sequence[Path]], int, int]]:
    """Parts of the scans, workers of each batch, and cores of all."""
    found: dict[str, tuple[list[Sequence[Path]], int, int]] = {"1 worker": ([scans], 1, 1)}
    for count in counts:
        found[f"{count} workers"] = [scans], count, count
        found[f"{count} batches of 1"] = [scans[number::count] for number in range(count)], 1, count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--size", type=int, default=128, help="voxels along each axis")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--model", default="fsrcnn3d-x2")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    counts = [int(word) for word in options.workers.split(",")]
    taken: dict[str, list[Taken]] = {}
    starts: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory() as folder:
        scans = make(Path(folder, "in"), options.scans, options.size)
        tiny = make(Path(folder, "tiny"), max(counts), TINY)
        for repeat in range(options.repeats):
            for name, (parts, workers, cores) in ways(scans, counts).items():
                place = Path(folder, f"{name}-{repeat}")
                taken.setdefault(name, []).append(run(place, parts, options.model, workers, cores))
                small = [tiny[: workers if len(parts) == 1 else 1]] * len(parts)
                starts.setdefault(name, []).append(
                    run(place.with_name(f"{place.name}-start"), small, options.model, workers, cores)
                )
    print("| | seconds | of these the start | core seconds a scan | of so many times one worker's | of the most |")
    print("|---|---:|---:|---:|---:|---:|")
    clock = {name: statistics.median(each.clock for each in times) for name, times in taken.items()}
    for name, (_, _, cores) in ways(scans, counts).items():
        start = statistics.median(each.clock for each in starts[name])
        work = statistics.median(each.cores for each in taken[name]) / options.scans
        most = clock.get(f"{cores} batches of 1", clock[name])
        print(
            f"| {name} | {clock[name]:.1f} | {start:.1f} | {work:.2f} | "
            f"{clock['1 worker'] / cores / clock[name]:.2f} | {most / clock[name]:.2f} |"
        )


if __name__ == "__main__":
    main()
