"""How wide edges are along each axis, in mm: of real scans, whose truth nobody knows, before and after.

    python Testing/benchmark/edges.py thick.nii.gz lanczos.nii.gz sharp.nii.gz

An edge is a stretch along a line of voxels on which intensities only rise or only fall, by at least a fifth of the
volume's range; its width is that change over its steepest slope. The median is told, and how many edges there were.
Noise makes short stretches, which are no edges by this rule; a volume that is smoother along an axis has wider ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine.volumes import files

LEAST = 0.2
AXES = ("i", "j", "k")


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


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    print(f"| volume | {' | '.join(f'along {axis}' for axis in AXES)} |\n|---|{'---:|' * 3}")
    for name in sys.argv[1:]:
        volume = files.read(name).volume
        low, high = np.percentile(volume.array, (0.5, 99.5))
        cells = []
        for axis, spacing in enumerate(volume.grid.spacing):
            widths = edge_widths(volume.array, 2 - axis, LEAST * (high - low))
            width = f"{np.median(widths) * spacing:.2f} mm" if len(widths) else "none"
            cells.append(f"{width} ({len(widths)})")
        print(f"| {Path(name).name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
