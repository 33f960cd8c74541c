"""All that needs a GPU, in one go of less than eight minutes: table 4, whole upscalings, the tests marked `gpu`.

    python Testing/benchmark/gpu.py
    python Testing/benchmark/gpu.py --device cpu --sizes 16 --whole 16      (to try the script itself)

What there is no time left for is said to be so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from inference import CNNIL, EDSR, FSRCNN, run, table
from inference import gpu as networks_alone

HERE = Path(__file__).resolve().parent
SECONDS = 440
# The part of the time after which no more rows of table 4, and then of the whole upscalings, are begun.
ALONE, WHOLE = 0.55, 0.8


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--whole", type=int, default=256, help="the edge of the volume that is upscaled as a whole")
    asked = parser.parse_args()
    start = time.monotonic()
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", str(HERE.parent / "engine" / "test_devices.py")]
    failed = subprocess.run(tests, cwd=HERE.parents[1], check=False).returncode
    networks_alone([EDSR, FSRCNN, CNNIL], asked.sizes, 2, asked.device, start + ALONE * SECONDS)
    upscalings(asked.device, asked.whole, start + WHOLE * SECONDS)
    print(f"\n{time.monotonic() - start:.0f} seconds")
    return failed


if __name__ == "__main__":
    sys.exit(main())
