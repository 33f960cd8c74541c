"""How much more several workers of `vsr batch` do than one: a table in Markdown.

    python Testing/benchmark/batch.py
    python Testing/benchmark/batch.py --scans 4 --size 32 --workers 1,2 --model linear --repeats 1

Each number of workers runs in turn, in a process of its own, on the same scans, with as many cores as there are workers
(Linux): what is measured is the whole command, from its start to its end. What the start takes is measured on no scans
to do and told beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume


def make(folder: Path, count: int, size: int) -> None:
    """Scans of something smooth with noise, as compressible as scans are."""
    folder.mkdir()
    for number in range(count):
        generator = np.random.default_rng(number)
        k, j, i = np.meshgrid(*[np.linspace(0, 9, size)] * 3, indexing="ij")
        values = 500 + 300 * np.sin(i + j) * np.cos(2 * k) + generator.normal(0, 10, (size,) * 3)
        files.write(Volume(values.astype(np.int16), Grid((size,) * 3)), folder / f"{number:03d}.nii.gz")


def seconds(source: Path, output: Path, model: str, workers: int) -> float:
    """What one run of the command takes."""
    command = [sys.executable, "-m", "VolumeSuperResolutionLib", "batch", str(source), str(output), "--quiet"]
    command += ["--model", model, "--scale", "2", "--device", "cpu", "--workers", str(workers)]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    cores = sorted(os.sched_getaffinity(0))[:workers] if hasattr(os, "sched_getaffinity") else []

    def take_cores() -> None:
        if cores:
            os.sched_setaffinity(0, cores)

    started = time.perf_counter()
    subprocess.run(
        command, check=True, env={**environment, "PYTHONPATH": sys.path[0]}, preexec_fn=take_cores if cores else None
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--size", type=int, default=128, help="voxels along each axis")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--model", default="fsrcnn3d-x2")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    counts = [int(word) for word in options.workers.split(",")]
    taken: dict[int, list[float]] = {count: [] for count in counts}
    starts: dict[int, list[float]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "in")
        make(source, options.scans, options.size)
        for repeat in range(options.repeats):
            for count in counts:
                output = Path(place, f"{count}-{repeat}")
                taken[count].append(seconds(source, output, options.model, count))
                starts[count].append(seconds(source, output, options.model, count))
    print("| workers | seconds | of these the start | scans an hour | of so many times one worker's |")
    print("|---:|---:|---:|---:|---:|")
    one = statistics.median(taken[counts[0]]) * counts[0]
    for count in counts:
        median, start = statistics.median(taken[count]), statistics.median(starts[count])
        rate = 3600 * options.scans / median
        print(f"| {count} | {median:.1f} | {start:.1f} | {rate:.0f} | {one / (median * count):.2f} |")


if __name__ == "__main__":
    main()
