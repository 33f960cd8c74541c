"""What needs a GPU, in one go of less than eight minutes: tests marked `gpu`, table 4, whole upscalings, settings.

    python Testing/benchmark/gpu.py
    python Testing/benchmark/gpu.py --device cpu --sizes 16 --whole 16      (to try the script itself)

What there is no time left for is said to be so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path

from inference import CNNIL, EDSR, FSRCNN, run, table
from inference import gpu as networks_alone

HERE = Path(__file__).resolve().parent
SECONDS = 440
# The part of the time after which no more rows of table 4, and then of the whole upscalings, are begun.
ALONE, WHOLE = 0.5, 0.8
REPEATS = 5


def upscalings(device: str, size: int, until: float) -> None:
    """With all that is done around the network: reading, windows, data consistency, types."""
    rows = []
    for what, edge, count in ((f"{size}^3 to {2 * size}^3", size, 1), ("8 volumes", max(8, size // 4), 8)):
        for model in ("edsr3d-x2", "fsrcnn3d-x2"):
            for precision in ("fp32", "auto"):
                if time.monotonic() > until:
                    rows.append([model, what, precision, "no time left", ""])
                    continue
                options = {"scale": [2, 2, 2], "device": device, "precision": precision}
                case = {"model": model, "size": edge, "options": options, "repeats": count}
                found = run(kind="model", **case)
                seconds = "does not fit" if found is None else f"{found['seconds']:.2f}"
                rows.append([model, what, precision, seconds, "" if found is None else str(found["runs"])])
    table("Whole upscalings", "model | what | precision | seconds a volume | volumes", rows)


def settings(device: str) -> None:
    """What cuDNN's settings are worth on one convolution, and the roads that were made for CPUs on whole networks."""
    import torch
    from cases import network_of, synchronize, volume_of
    from VolumeSuperResolutionLib.engine.streaming import build, kernels
    from VolumeSuperResolutionLib.engine.streaming.devices import PRECISIONS
    from VolumeSuperResolutionLib.engine.streaming.stream import Stream

    place = torch.device(device)
    edge = 128 if place.type == "cuda" else 16

    def milliseconds(work: Callable[[], object]) -> float:
        work()
        best = float("inf")
        for _ in range(REPEATS):
            synchronize(place)
            start = time.perf_counter()
            work()
            synchronize(place)
            best = min(best, 1000 * (time.perf_counter() - start))
        return best

    rows = []
    for precision in ("fp32", "fp16") if place.type == "cuda" else ("fp32",):
        block = torch.randn(18, edge, edge, 64, device=place).to(PRECISIONS[precision])
        for outputs in (64, 8, 1):
            weight = torch.randn(outputs, 64, 3, 3, 3, device=place).to(block.dtype)
            weight = kernels.prepared(weight, flat=False)
            for benchmark, deterministic in product((False, True), repeat=2):
                flags = {"benchmark": benchmark, "deterministic": deterministic, "allow_tf32": False}
                with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, **flags):
                    taken = milliseconds(partial(kernels.convolve, block, weight, None, (0, 1, 1), (1, 1, 1)))
                rows.append([f"64 to {outputs}", precision, str(benchmark), str(deterministic), f"{taken:.2f}"])
    table("A convolution of 18 planes", "channels | precision | benchmark | deterministic | ms", rows)
    array, rows = torch.from_numpy(volume_of(edge)).to(place).unsqueeze(3), []

    def read(ranges: Sequence[tuple[int, int]]) -> torch.Tensor:
        return array[tuple(slice(*n) for n in ranges)]

    for name, few in product((EDSR, FSRCNN, CNNIL), (build.FEW, 0)):
        build.FEW, before = few, build.FEW
        with torch.inference_mode(), kernels.tf32(False):
            stream = Stream(network_of(name), place)
            box = tuple((0, n) for n in stream.sizes(array.shape[:3])[-1])

            def once(stream: Stream = stream, box: tuple = box) -> None:
                for _ in stream.run(read, array.shape[:3], box, 16, 128 << 20):
                    pass

            taken = milliseconds(once)
        build.FEW = before
        rows.append([name, f"{edge}^3", "flat and summed up" if few else "at once", f"{taken:.0f}"])
    table("Convolutions with few outputs", "network | input | how | ms", rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--whole", type=int, default=256, help="the edge of the volume that is upscaled as a whole")
    asked = parser.parse_args()
    start = time.monotonic()
    files = (str(HERE.parent / "engine" / f"test_{name}.py") for name in ("devices", "place"))
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", *files]
    failed = subprocess.run(tests, cwd=HERE.parents[1], check=False).returncode
    networks_alone([EDSR, FSRCNN, CNNIL], asked.sizes, 2, asked.device, start + ALONE * SECONDS)
    upscalings(asked.device, asked.whole, start + WHOLE * SECONDS)
    if time.monotonic() < start + WHOLE * SECONDS:
        settings(asked.device)
    print(f"\n{time.monotonic() - start:.0f} seconds")
    return failed


if __name__ == "__main__":
    sys.exit(main())
