"""How fast and in how much memory networks run: tables in Markdown.

    python Testing/benchmark/inference.py                   all tables (hours on two cores)
    python Testing/benchmark/inference.py --table 1 --size 64 --repeats 1

1 streamed against the whole volume and MONAI's sliding window, 2 achieved against possible speed, 3 growth with the
volume, 4 on a CUDA device, 5 every model. Each case runs in a process of its own. Needs torch; table 1 also monai.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEGA = 1 << 20
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
EDSR, FSRCNN, SRRESNET, CNNIL = "EDSR 9x64, 2x", "FSRCNN (56, 16), 2x", "SRResNet 16x64, 4x", "CNN-IL in plane, 2x"


def run(**case: Any) -> dict[str, Any] | None:
    """One case; None where it ran out of memory or was ended by the system."""
    print(f"  {case}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / "cases.py"), json.dumps(case)], capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if done.returncode < 0 or "memory" in done.stderr:
        return None
    raise SystemExit(f"{case} failed:\n{done.stderr}")


def table(title: str, header: str, rows: list[list[str]]) -> None:
    columns = header.split(" | ")
    print(f"\n### {title}\n\n| {header} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def megabytes(found: dict[str, Any]) -> str:
    return f"{found['peak'] / MEGA:.0f}"


def compared(networks: list[str], size: int, repeats: int) -> None:
    rows = []
    for network in networks:
        # At 128 one feature map of the whole volume takes 34 GB; and MONAI fills up to its window.
        edge, window = (size, min(96, size)) if network != SRRESNET else (3 * size // 8, size // 4)
        with tempfile.TemporaryDirectory() as folder:
            case = {"kind": "compare", "network": network, "size": edge, "window": window}
            case["reference"] = f"{folder}/whole.npy"
            found = {}
            for method in ("whole", "whole, channels last", "MONAI", "stream, every plane by itself", "stream"):
                found[method] = run(**case, method=method, repeats=repeats)
        whole = found["whole"]
        for method, numbers in found.items():
            if numbers is None:
                rows.append([network, f"{edge}^3", method, *["does not fit"] * 2, "", "", ""])
                continue
            ratios = ["", ""]
            if whole:
                ratios = [f"{numbers[key] / whole[key]:.2f}" for key in ("seconds", "peak")]
            gap = f"{numbers['difference']:.1e}" if "difference" in numbers else "0"
            name = f"{method} ({numbers['steps']})" if "steps" in numbers else method
            name += f" (windows of {window})" if method == "MONAI" else ""
            rows.append([network, f"{edge}^3", name, f"{numbers['seconds']:.1f}", megabytes(numbers), *ratios, gap])
    table(
        "1. Streamed, whole, sliding window",
        "network | input | method | seconds | peak MB | of whole's time | of whole's memory | difference / range",
        rows,
    )


def speeds(networks: list[str], size: int, repeats: int) -> None:
    rows = []
    for network in networks:
        edge = size if network != SRRESNET else size // 2
        found = run(kind="speed", network=network, size=edge, repeats=repeats)
        part = f"{found['gflops'] / found['peak']:.0%}"
        rows.append([network, f"{edge}^3", f"{found['gflops']:.0f}", f"{found['peak']:.0f}", part])
    table(
        "2. Achieved speed",
        "network | input | GFLOP/s | peak of a large convolution of as many channels | part of it",
        rows,
    )


def growth(networks: list[str], sizes: list[int], repeats: int) -> None:
    rows = []
    for network in networks:
        for size in sizes:
            found = run(
                kind="compare", method="stream", network=network, size=size, reference="none",
                repeats=repeats if size <= 128 else 1,
            )  # fmt: skip
            plane = found["peak"] / size**2 / 1024
            rows.append(
                [network, f"{size}^3", f"{found['seconds']:.1f}", f"{found['seconds'] / size**3 * 1e6:.2f}",
                 f"{found['ends'] / MEGA:.0f}", megabytes(found), f"{plane:.1f}", found["steps"]]
            )  # fmt: skip
    table(
        "3. Growth",
        "network | input | seconds | microseconds a voxel | input + output MB | working MB | KB a voxel of the "
        "cross-section | steps",
        rows,
    )


def gpu(networks: list[str], sizes: list[int], repeats: int, device: str = "cuda", until: float = math.inf) -> None:
    rows = []
    for size in sizes:
        for network in networks:
            for precision in PRECISIONS:
                if time.monotonic() > until:
                    rows.append([network, f"{size}^3", precision, "no time left", *[""] * 6])
                    continue
                case = {"network": network, "size": size, "precision": precision, "repeats": repeats}
                found = run(kind="on_device", device=device, **case)
                if found is None:
                    rows.append([network, f"{size}^3", precision, "does not fit", *[""] * 6])
                    continue
                times = [f"{found[key]:.2f}" for key in ("seconds", "computing", "copying")]
                host = max(0.0, found["seconds"] - max(found["computing"], found["copying"]))
                rows.append(
                    [network, f"{size}^3", found["precision"], *times, f"{host:.2f}", f"{found['gflops']:.0f}",
                     f"{found['gflops'] / found['peak']:.0%}", f"{found['memory'] / MEGA:.0f}"]
                )  # fmt: skip
    table(
        "4. On the GPU",
        "network | input | precision | seconds | computing | copying | host | GFLOP/s | of the convolution peak | "
        "GPU MB",
        rows,
    )


def models(size: int, repeats: int) -> None:
    sys.path.insert(0, str(HERE.parents[1] / "VolumeSuperResolution"))
    from VolumeSuperResolutionLib.engine.models import zoo

    rows = []
    for card in zoo.cards().values():
        # An interpolation, without a factor of its own, is asked for twice the matrix.
        scale = card.factor if any(card.factor) else (2, 2, 2)
        found = run(kind="model", model=card.id, size=size, options={"scale": scale}, repeats=repeats)
        if found is None:
            rows.append((float("inf"), [f"`{card.id}`", "", "does not fit", "", ""]))
            continue
        factor = " x ".join(f"{f:g}" for f in found["factor"])
        rows.append(
            (
                found["seconds"],
                [f"`{card.id}`", factor, f"{found['seconds']:.1f}", str(found["runs"]), megabytes(found)],
            )
        )
    rows.sort(key=lambda row: row[0])
    table(f"5. Every model on {size}^3 voxels", "model | factor | seconds | runs | peak MB", [row for _, row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=int, choices=range(1, 6), action="append")
    parser.add_argument("--network", choices=(EDSR, FSRCNN, SRRESNET, CNNIL), action="append")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 192, 256])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    networks = asked.network or [EDSR, FSRCNN, SRRESNET, CNNIL]
    import torch

    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads, {platform.system()}; medians of {asked.repeats}"
    )
    tables = asked.table or ([1, 2, 3, 4, 5] if torch.cuda.is_available() else [1, 2, 3, 5])
    if 1 in tables:
        compared(networks, asked.size, asked.repeats)
    if 2 in tables:
        speeds(networks, asked.size, asked.repeats)
    if 3 in tables:
        growth(asked.network or [EDSR, FSRCNN], asked.sizes, asked.repeats)
    if 4 in tables:
        gpu(networks, asked.sizes, asked.repeats)
    if 5 in tables:
        models(asked.size, asked.repeats)


if __name__ == "__main__":
    main()
