"""How wide edges are along each axis, in mm: of real scans, whose truth nobody knows, before and after.

    python Testing/benchmark/edges.py lanczos.nii.gz sharp.nii.gz --picture across.png

An edge is a stretch along a line of voxels on which intensities only rise or only fall, by at least a fifth of the
volume's range; its width is that change over its steepest slope. The median is told, and how many edges there were.
Noise makes short stretches, which are no edges by this rule; a volume that is smoother along an axis has wider ones.
The picture shows the middle plane along j and k of each volume, one beside the other, in one window.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Volume

LEAST = 0.2
AXES = ("i", "j", "k")
WIDTH = 300  # pixels


def edge_widths(array: np.ndarray, axis: int, least: float) -> np.ndarray:
    """The widths, in voxels, of all edges of at least that change along an axis."""
    slopes = np.diff(np.moveaxis(array, axis, -1).astype(np.float64)).reshape(-1, array.shape[axis] - 1)
    # A slope of nothing ends each line, so that no stretch goes on in the next.
    slopes = np.pad(slopes, ((0, 0), (0, 1))).ravel()
    starts = np.flatnonzero(np.diff(np.sign(slopes), prepend=0.0))
    changes = np.abs(np.add.reduceat(slopes, starts))
    steepest = np.maximum.reduceat(np.abs(slopes), starts)
    edges = changes >= least
    return changes[edges] / steepest[edges]


def picture(volumes: list[Volume], path: Path) -> None:
    """The middle planes along j (across) and k (up)."""
    low, high = np.percentile(volumes[0].array, (0.5, 99.8))
    height = round(WIDTH * _extent(volumes[0], 2) / _extent(volumes[0], 1))
    planes = []
    for volume in volumes:
        plane = volume.array[::-1, :, volume.grid.size[0] // 2].astype(np.float64)
        gray = Image.fromarray((255 * np.clip((plane - low) / (high - low), 0, 1)).astype(np.uint8))
        planes.append(np.asarray(gray.resize((WIDTH, height), Image.Resampling.NEAREST)))
    Image.fromarray(np.concatenate(planes, axis=1)).save(path)


def _extent(volume: Volume, axis: int) -> float:
    return volume.grid.size[axis] * volume.grid.spacing[axis]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    volumes = [files.read(path).volume for path in options.volumes]
    print(f"| volume | {' | '.join(f'along {axis}' for axis in AXES)} |\n|---|{'---:|' * 3}")
    for path, volume in zip(options.volumes, volumes):
        low, high = np.percentile(volume.array, (0.5, 99.5))
        cells = []
        for axis, spacing in enumerate(volume.grid.spacing):
            widths = edge_widths(volume.array, 2 - axis, LEAST * (high - low))
            width = f"{np.median(widths) * spacing:.2f} mm" if len(widths) else "none"
            cells.append(f"{width} ({len(widths)})")
        print(f"| {path.name} | {' | '.join(cells)} |")
    if options.picture:
        picture(volumes, options.picture)


if __name__ == "__main__":
    main()
