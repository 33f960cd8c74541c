"""What a run holds that is larger than memory: a table in Markdown, one row a volume.

    python Testing/benchmark/larger.py
    python Testing/benchmark/larger.py --sizes 512,512,1500 --memory-mb 1000 --folder /scratch

For each size (i,j,k) a scan of int16 is made in a file, slab by slab, and `vsr upscale --on-disk` makes it twice as
fine in a process of its own, which is looked at ten times a second: all that it holds (with what is mapped of files,
which the system can take back), and what is not of files. On Linux only. The files are removed afterwards; the largest
of the sizes above needs 8 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SLAB = 16


def make_scan(path: Path, size: tuple[int, ...], seed: int = 0) -> None:
    """Smooth texture with noise, as NRRD; every slab of planes has the same."""
    random = np.random.default_rng(seed)
    j, i = np.meshgrid(*(np.linspace(0, 40, n) for n in size[1::-1]), indexing="ij")
    plane = 500 + 200 * np.sin(i) * np.cos(j) + 100 * np.sin(3 * i + 2 * j)
    slab = (plane + random.normal(0, 20, (SLAB, *plane.shape))).astype("<i2")
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {' '.join(map(str, size))}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    with open(path, "wb") as file:
        file.write(header.encode())
        for start in range(0, size[2], SLAB):
            file.write(slab[: size[2] - start].tobytes())


def watched(command: list[str]) -> tuple[dict[str, int], dict]:
    """The most bytes of each kind that a process held, and the report that it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "VolumeSuperResolution")}
    most = {"VmRSS": 0, "RssAnon": 0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            for kind, kilobytes in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", status.read_text(), re.MULTILINE):
                most[kind] = max(most[kind], 1024 * int(kilobytes))
            time.sleep(0.1)
        assert process.stdout is not None
        return most, json.loads(process.stdout.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["96,96,256", "96,96,1024"], metavar="I,J,K")
    parser.add_argument("--models", nargs="+", default=["lanczos", "backprojection", "fsrcnn3d-x2"])
    parser.add_argument("--memory-mb", default="200")
    parser.add_argument("--folder", type=Path, help="where the files are made; default: the system's")
    options = parser.parse_args()
    print("| model | input | scan + result MB | seconds | most held MB | of that not of files MB |")
    print("|---|---|---:|---:|---:|---:|")
    for text in options.sizes:
        size = tuple(map(int, text.split(",")))
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            scan, out = Path(folder) / "scan.nrrd", Path(folder) / "out.nrrd"
            make_scan(scan, size)
            for model in options.models:
                command = [
                    sys.executable,
                    "-m",
                    "VolumeSuperResolutionLib",
                    "upscale",
                    str(scan),
                    str(out),
                    "--on-disk",
                ]
                command += ["--model", model, "--scale", "2", "--modality", "MR", "--device", "cpu", "--json"]
                most, report = watched([*command, "--label-map", "no", "--memory-mb", options.memory_mb])
                ends = scan.stat().st_size + out.stat().st_size
                print(
                    f"| `{model}` | {'x'.join(map(str, size))} | {ends / 1e6:.0f} | {report['seconds']:.1f} | "
                    f"{most['VmRSS'] / 1e6:.0f} | {most['RssAnon'] / 1e6:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
