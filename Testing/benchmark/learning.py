"""What learning from a thick scan is worth: volumes made thick along k, and held against what they were made from.

    python Testing/benchmark/learning.py --volumes FOLDER

A row is a scan, how it is made thick, and what the methods are told of that. "Learned" begins with what `auto` would
give, so what it gains is over that, and "held out" is what it seemed to gain on the slices that were kept apart.
"Specialist" is the best of those for thick slices and of `backprojection` and `lanczos`, which nobody could have known
before. Decibels are where there is tissue.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine import quality
from VolumeSuperResolutionLib.engine.physics import degradation
from VolumeSuperResolutionLib.engine.physics.scanner import Scanner
from VolumeSuperResolutionLib.engine.request import Report, Request
from VolumeSuperResolutionLib.engine.volumes import files, intensity
from VolumeSuperResolutionLib.engine.volumes.grid import Volume
from VolumeSuperResolutionLib.learning import upscale as learning
from VolumeSuperResolutionLib.training.precision import middle

PIXELS, SLICES = 112, 20
GAP = 0.2
# The network for 2x can be stretched to 3x.
FOR_TWO, FARTHEST_FOR_TWO = "cnnil-depth-x2", 3
OTHERS = (FOR_TWO, "cnnil-depth-x4", "edsr3d-depth-x4", "backprojection", "lanczos")


class Row(NamedTuple):
    """A scan by a part of its file's name; `told` is the thickness that is told over the true one, 0 for nothing."""

    file: str
    factor: int
    gap: float
    profile: str
    noise: float
    told: float


ROWS = (
    Row("T1w_ds000011_sub-11", 5, 0, "gaussian", 0.01, 1),
    Row("LungFCP", 4, 0, "box", 0, 1.15),
    Row("T1w_ds000011_sub-12", 4, GAP, "box", 0.01, 1),
    Row("T2_cstar_stroke", 4, 0, "gaussian", 0.01, 0),
    Row("andrei_lower", 3, GAP, "box", 0, 0),
    Row("T1w_ds000011_sub-11", 4, 0, "gaussian", 0.01, 0.85),
    Row("FLAIR_cstar_stroke", 5, GAP, "box", 0.01, 1),
    Row("LungFCP", 5, 0, "box", 0.01, 0.85),
    Row("skullbase", 3, GAP, "gaussian", 0.01, 1.15),
    Row("FLAIR_cstar_stroke", 3, 0, "gaussian", 0, 0),
    Row("T2_cstar_stroke", 5, GAP, "gaussian", 0, 1.15),
    Row("andrei_lower", 4, 0, "gaussian", 0.01, 0),
)


def made_thick(truth: Volume, row: Row) -> tuple[Volume, Scanner]:
    """The scan, and what is told of it: the distance of slices is `factor` voxels, of which a gap leaves some out."""
    width = 1 / (1 + row.gap)
    low = degradation.degrade(truth.array, (row.factor, 1, 1), row.profile, width)
    bottom, top = np.percentile(truth.array, degradation.PERCENTILES)
    noise = np.random.default_rng(0).normal(0, row.noise * (top - bottom), low.shape).astype(np.float32)
    scan = Volume(low + noise, truth.grid.refined(low.shape[::-1]))
    if not row.told:
        return scan, Scanner()
    spacing = scan.grid.spacing
    return scan, Scanner().told(spacing, width * row.told * spacing[2], row.profile)


def measured(row: Row, path: Path, steps: int) -> str:
    """The line of a table."""
    volume = files.read(path).volume
    modality = intensity.guess_modality(volume.array)
    array = volume.array[middle(volume.array, PIXELS)].astype(np.float32)
    slices = min(SLICES, len(array) // row.factor) * row.factor
    array = array[(len(array) - slices) // 2 :][:slices]
    truth = Volume(array, volume.grid.cropped(tuple((0, n) for n in array.shape[::-1])))
    scan, told = made_thick(truth, row)
    mask, peak = quality.foreground(array, modality), quality.data_range(array)

    def decibels(model: str, steps: int | None = None) -> tuple[float, Report, float]:
        request = Request(
            model, scale=(1, 1, row.factor), device="cpu", modality=modality, scanner=told, learn_steps=steps
        )
        began = time.perf_counter()
        result = learning.upscale(scan, request)
        score = quality.psnr(result.volume.array, array, mask, peak)
        return score, result.report, time.perf_counter() - began

    reaching = [model for model in OTHERS if model != FOR_TWO or row.factor <= FARTHEST_FOR_TWO]
    others = {model: decibels(model)[0] for model in reaching}
    auto, (learned, report, seconds) = decibels("auto")[0], decibels("auto", steps)
    words = {0: "no", 1: "right"}.get(row.told, f"{abs(row.told - 1):.0%} too {'thick' if row.told > 1 else 'thin'}")
    made = f"{row.factor}x{f', gap {row.gap:.0%}' if row.gap else ''} | {row.profile}, {row.noise:.0%} | {words}"
    scores = [others["lanczos"], others["backprojection"], max(others.values()), auto, learned]
    cells = [f"{score:.2f}" for score in scores]
    cells += [f"{learned - auto:+.2f}", f"{report.learning_gain:+.2f}", f"{report.learned_share:.2f}", f"{seconds:.0f}"]
    return f"| {row.file} | {made} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=Path, required=True, help="looked through with all folders below it")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--always", action="store_true", help="use what was learned however little it seems to gain")
    options = parser.parse_args()
    if options.always:
        learning.MARGIN = -np.inf
    columns = ["`lanczos`", "`backprojection`", "specialist", "`auto`", "learned", "over `auto`", "held out"]
    columns += ["share", "seconds"]
    print(f"| scan | thick | profile, noise | told | {' | '.join(columns)} |")
    print(f"|---|---|---|---|{'---:|' * len(columns)}")
    for row in ROWS:
        paths = [path for path in options.volumes.rglob("*.nii.gz") if row.file in path.name]
        if len(paths) != 1:
            parser.error(f"of {row.file} there are {len(paths)} files")
        print(measured(row, paths[0], options.steps), flush=True)


if __name__ == "__main__":
    main()
