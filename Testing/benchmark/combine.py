"""How well stacks are laid over each other, and how long combining takes.

    python Testing/benchmark/combine.py trials --volumes FOLDER --count 100
    python Testing/benchmark/combine.py speed

Trials: three orthogonal stacks of a crop of a random volume, each 3 or 4 voxels thick, with or without gaps and with 1
to 3% noise, turned by up to 10 degrees about each axis and moved by up to 15 mm. The error is the mean over points in
the inner half of the crop, in fine voxels; a trial that is refused counts as a failure that is known.
Speed: three stacks of 384 x 384 x 30 of a smooth random volume, turned and moved, through the front door.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "VolumeSuperResolution"))

from VolumeSuperResolutionLib.engine import combine as front
from VolumeSuperResolutionLib.engine import combine_checks
from VolumeSuperResolutionLib.engine.errors import RefusalError
from VolumeSuperResolutionLib.engine.physics import interpolation, reconstruction, simulation, stacks
from VolumeSuperResolutionLib.engine.physics.scan import scan_of
from VolumeSuperResolutionLib.engine.streaming import memory
from VolumeSuperResolutionLib.engine.volumes import files
from VolumeSuperResolutionLib.engine.volumes.grid import Grid, Volume

GOOD = 0.25


def trial(
    volume: Volume, seed: int, size: int, degrees: float, mm: float
) -> tuple[list[float], float, list[float], str]:
    """Errors of the poses in voxels, the loop error, how alike the stacks are, and why it was refused, if it was."""
    random = np.random.default_rng(seed)
    field = simulation.middle(volume.grid, size)
    center = field.center()
    noise = random.uniform(0.01, 0.03)
    made = []
    for number, axis in enumerate(simulation.SLICE_AXES):
        pose = stacks.STILL if number == 0 else simulation.random_pose(random, degrees, mm, center)
        thickness, gap = random.choice([3.0, 4.0]), random.choice([0.0, 0.2])
        made.append(simulation.simulate(volume, axis, thickness, gap, random, noise, pose, field))
    scans = [scan_of(m.volume, m.scanner, "MR") for m in made]
    request = front.CombineRequest()
    grid = front.target_grid([m.volume.grid for m in made], request)
    loop = reconstruction.find_places(scans, 0, grid, False, lambda done, total: None, None) or 0.0
    points = field.corners(0.5)
    errors = []
    for scan, m in zip(scans[1:], made[1:]):
        truth = points @ m.pose.rotation.T + m.pose.shift
        errors.append(float(np.linalg.norm(points @ scan.pose.rotation.T + scan.pose.shift - truth, axis=1).mean()))
    refused = ""
    try:
        combine_checks.check_places(scans, 0, loop)
    except RefusalError as refusal:
        refused = str(refusal)
    return errors, loop, [scan.alike for scan in scans[1:]], refused


def trials(options: argparse.Namespace) -> None:
    paths = [p for p in files.volumes_in(options.volumes) if p.name.startswith(options.prefix)]
    good = known = 0
    for seed in range(options.count):
        volume = simulation.cube(files.read(paths[seed % len(paths)]).volume)
        volume = Volume(volume.array.astype(np.float32), volume.grid)
        errors, loop, alike, refused = trial(volume, seed, options.size, options.degrees, options.mm)
        fine = max(errors) < GOOD
        good += fine and not refused
        known += bool(refused)
        words = " ".join(f"{e:.3f}" for e in errors)
        mark = "refused" if refused else "good" if fine else "WRONG"
        alikes = " ".join(f"{a:.3f}" for a in alike)
        print(f"{seed} {paths[seed % len(paths)].name}: {words}, loop {loop:.3f}, alike {alikes} {mark}", flush=True)
    print(f"{good} of {options.count} under {GOOD} voxels, {known} refused")


def speed(options: argparse.Namespace) -> None:
    """The time and the memory of one run; the truth is smooth noise, which is as hard to compute with as any."""
    random = np.random.default_rng(0)
    size, slices = options.size, options.slices
    thick = options.thickness
    grid = Grid((size, size, size), (0.6,) * 3)
    rough = random.normal(0, 1, (size // 8,) * 3).astype(np.float32)
    truth = Volume(1000 + 200 * interpolation.resample(rough, (size,) * 3, "bspline"), grid)
    center = grid.center()
    made = []
    for number, axis in enumerate(simulation.SLICE_AXES):
        pose = stacks.STILL if number == 0 else simulation.random_pose(random, 3.0, 3.0, center)
        bounds = [(0, size)] * 3
        long = int(slices * thick)
        bounds[2 - axis] = ((size - long) // 2, (size - long) // 2 + long)
        field = grid.cropped(tuple(bounds))
        made.append(simulation.simulate(truth, axis, thick, 0.0, random, 0.01, pose, field))
    del truth
    request = front.CombineRequest(fov=options.fov, scanners=tuple(m.scanner for m in made), model=options.model)
    volumes = [m.volume for m in made]
    del made
    start, used = time.perf_counter(), time.process_time()
    result = front.combine(volumes, request)
    print(result.report)
    shape = "x".join(map(str, volumes[0].grid.size))
    model = options.model or "no model"
    print(
        f"{shape}, {options.fov}, {model}: {time.perf_counter() - start:.0f} s, "
        f"{time.process_time() - used:.0f} s of CPU, {memory.peak_bytes() / 1e6:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("trials")
    first.add_argument("--volumes", type=Path, required=True)
    first.add_argument("--prefix", default="brain_T1w", help="of the files' names")
    first.add_argument("--count", type=int, default=100)
    first.add_argument("--size", type=int, default=80)
    first.add_argument("--degrees", type=float, default=10.0)
    first.add_argument("--mm", type=float, default=15.0)
    first.set_defaults(run=trials)
    second = commands.add_parser("speed")
    second.add_argument("--size", type=int, default=384)
    second.add_argument("--slices", type=int, default=30)
    second.add_argument("--thickness", type=float, default=7.0, help="in pixels")
    second.add_argument("--fov", default="reference")
    second.add_argument("--model", default="", help="whose detail the result has, too")
    second.set_defaults(run=speed)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
