"""What combining stacks is worth: simulated ones beside the truth, real ones beside a stack that was left out."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine import quality
from ..engine.combine import CombineRequest, combine
from ..engine.combine_checks import FEWEST
from ..engine.errors import RefusalError
from ..engine.improving import GAINED, LEAST
from ..engine.physics import registration, simulation, slice_motion, stacks
from ..engine.physics.scan import scan_of, smoothness
from ..engine.physics.scanner import Scanner, slice_axis
from ..engine.physics.simulation import Simulated
from ..engine.physics.stacks import STILL, Pose
from ..engine.physics.system import System
from ..engine.request import Request
from ..engine.upscale import upscale
from ..engine.volumes import files, intensity
from ..engine.volumes.grid import Volume

# The patient's motion between stacks: about each axis and along each.
DEGREES, MM = 3.0, 3.0
NOISE = 0.01
# A volume with fewer voxels along an axis than this makes no stack.
SHORTEST = 48
SOLVED = "data step"
# How far apart the slices lie that are left out.
EVERY = 4
# Real stacks are taken for slices as thick as they are apart.
PLAIN = (Scanner(), Scanner())
VIEWS = ("axial", "sagittal", "coronal")


@dataclass(frozen=True)
class StackScore:
    """One volume: PSNR (dB) and SSIM of the combination, beside the best that a single stack gives."""

    volume: str
    modality: str
    psnr: float
    ssim: float
    # Without the prior, where there is one.
    without: float
    lanczos: float
    # The best of all methods over all stacks, and which it was.
    single: float
    single_ssim: float
    method: str
    # Of the poses, over the inner half of the volume, in voxels.
    pose_error: float
    loop_error: float
    seconds: float


Score = tuple[float, float]


class LeftOut(NamedTuple):
    """How well a stack is predicted by the combination of the others, and by the best one. None is what was refused.

    And every fourth of its slices: by the combination of all other slices, and by the best stack or the slices beside
    it. PSNR in dB, and correlation.
    """

    name: str
    combined: Score | None
    alone: Score
    slices: Score | None
    slices_alone: Score


def evaluate(
    volumes: Sequence[Path],
    thickness: float,
    gap: float,
    models: Sequence[str] = (),
    crop: int | None = None,
    device: str = "auto",
    tell: Callable[[str], None] = lambda line: None,
    keep: Path | None = None,
    prior: str = "",
    alone: float = 0.0,
) -> list[StackScore]:
    """Three orthogonal stacks of every volume, moved between them; it is not told how. `keep` is where they go, `prior`
    the model whose detail the combination gets, `alone` the part of the slices that moved by themselves."""
    scores = []
    for path in volumes:
        volume = simulation.cube(files.read(path).volume)
        if min(volume.array.shape) < SHORTEST:
            tell(f"{path.name} has too few slices to make stacks of")
            continue
        made = stacks_of(path.name, volume, thickness, gap, crop, alone)
        for stack, view in zip(made, VIEWS if keep else ()):
            files.write(stack.volume, keep / f"{path.name.partition('.')[0]}-{view}.nrrd")  # type: ignore[operator]
        scores.append(score(path.name, made, models, device, prior))
        last = scores[-1]
        tell(f"{last.volume}  {last.psnr:.2f} dB, {last.method} {last.single:.2f} dB, pose {last.pose_error:.3f}")
    return scores


def stacks_of(
    name: str, volume: Volume, thickness: float, gap: float, crop: int | None, alone: float = 0.0
) -> list[Simulated]:
    """The stacks of one volume; what is drawn follows from its name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    volume = Volume(volume.array.astype(np.float32), volume.grid)
    field = simulation.middle(volume.grid, crop or max(volume.grid.size))
    return simulation.orthogonal(volume, thickness, gap, random, NOISE, DEGREES, MM, field, alone)


def score(name: str, made: Sequence[Simulated], models: Sequence[str], device: str, prior: str = "") -> StackScore:
    """The combination beside the best of the stacks."""
    modality = intensity.guess_modality(made[0].truth.array)
    singles = [single for stack in made for single in _singles(stack, models, modality, device)]
    best = max(singles)
    plain = CombineRequest(scanners=tuple(stack.scanner for stack in made), device=device)
    requests = [plain, replace(plain, model=prior)] if prior else [plain]
    results = [combine([stack.volume for stack in made], request) for request in requests]
    result, truth = results[-1], made[0].truth.array
    mask, peak = quality.foreground(truth, modality), quality.data_range(truth)
    points = made[0].truth.grid.corners(0.5)
    errors = []
    for found, stack in zip(result.report.stacks, made):
        pose = Pose(np.reshape(found.rotation, (3, 3)), np.asarray(found.shift))
        errors.append(float(pose.after(stack.pose.inverse()).displacement(points).mean()))
    return StackScore(
        volume=name,
        modality=modality,
        psnr=quality.psnr(result.volume.array, truth, mask, peak),
        ssim=quality.ssim(result.volume.array, truth, mask, peak),
        without=quality.psnr(results[0].volume.array, truth, mask, peak),
        lanczos=max(s[0] for s in singles if s[2] == "lanczos"),
        single=best[0],
        single_ssim=best[1],
        method=best[2],
        pose_error=max(errors),
        loop_error=result.report.loop_error_mm or 0.0,
        seconds=result.report.seconds,
    )


def table(scores: Sequence[StackScore]) -> str:
    """As Markdown; PSNR / SSIM."""
    lines = [
        "| volume | best stack, Lanczos | best single-stack result | without prior | combined | gain | "
        "pose error (voxels) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for s in scores:
        lines.append(
            f"| {s.volume} | {s.lanczos:.2f} | {s.single:.2f} / {s.single_ssim:.3f} ({s.method}) | {s.without:.2f} | "
            f"{s.psnr:.2f} / {s.ssim:.3f} | {s.psnr - s.single:+.2f} | {s.pose_error:.3f} |"
        )
    for modality in ("MR", "CT"):
        gains = [s.psnr - s.single for s in scores if s.modality == modality]
        if gains:
            lines.append(f"| mean of {len(gains)} {modality} | | | | | {statistics.fmean(gains):+.2f} | |")
    return "\n".join(lines)


def gains(scores: Sequence[StackScore]) -> dict[str, dict[str, list[float]]]:
    """What the prior added, by modality, as a card has it."""
    found = {}
    for modality in sorted({s.modality for s in scores}, reverse=True):
        added = [s.psnr - s.without for s in scores if s.modality == modality]
        mean, deviation = statistics.fmean(added), statistics.stdev(added) if len(added) > 1 else 0.0
        found[modality] = {
            "volumes": [float(len(added))],
            GAINED: [round(mean, 3), round(deviation, 3)],
            LEAST: [round(min(added), 3)],
        }
    return found


def to_json(scores: Sequence[StackScore]) -> list[dict]:
    """Plain values."""
    return [asdict(s) for s in scores]


def leave_one_out(
    paths: Sequence[Path], tell: Callable[[str], None] = lambda line: None, prior: str = "", device: str = "auto"
) -> list[LeftOut]:
    """Every stack predicted from the others: combined, and from each of them alone (Lanczos), the best of which counts.

    Both predictions go through the same forward model and are placed by the same registration.
    """
    if len(paths) < FEWEST + 1:
        raise RefusalError(f"Leaving one of {len(paths)} stacks out leaves too few to combine; give three or more.")
    named = [(path.name, files.read(path).volume) for path in paths]
    asked = CombineRequest(fov="union", model=prior, device=device)
    found = []
    for n, (name, volume) in enumerate(named):
        others = [other for m, (_, other) in enumerate(named) if m != n]
        start = registration.match(others[0], volume, PLAIN, min(others[0].grid.spacing)).pose
        combined = _prediction(volume, others, asked, start, tell)
        count = volume.grid.size[slice_axis(volume.grid.spacing)]
        slices = [k for k in range(1, count - 1) if k % EVERY == count // 2 % EVERY]
        rest = replace(asked, fov="reference", left_out=tuple((1, k) for k in slices))
        whole = _prediction(volume, [volume, *others], rest, STILL, tell)
        alone = [_alone(volume, other) for other in others]
        some = [*alone, _between(volume)]
        found.append(LeftOut(name, *_scores(volume, combined, alone), *_scores(volume, whole, some, slices)))
        tell(left_out_row(found[-1]))
    return found


def left_out_table(found: Sequence[LeftOut]) -> str:
    """As Markdown."""
    lines = [
        "| left out | predicted from the others combined | from the best of them, Lanczos | gain | "
        "every fourth slice, from all others combined | from the best stack, Lanczos, or the slices beside | gain |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *map(left_out_row, found)])


def left_out_row(one: LeftOut) -> str:
    """Of such a table."""
    cells = [one.name]
    for combined, alone in ((one.combined, one.alone), (one.slices, one.slices_alone)):
        cells += [f"{score[0]:.2f} dB / {score[1]:.3f}" if score else "refused" for score in (combined, alone)]
        cells.append(f"{combined[0] - alone[0]:+.2f}" if combined else "")
    return f"| {' | '.join(cells)} |"


def _prediction(
    volume: Volume, scans: Sequence[Volume], request: CombineRequest, start: Pose, tell: Callable[[str], None]
) -> np.ndarray | None:
    """What some scans combined predict of a stack; None where they are refused."""
    try:
        result = combine(scans, request)
    except RefusalError as refusal:
        tell(str(refusal))
        return None
    return _predicted(volume, result.volume, start, (result.coverage.array > 0).astype(np.float32))


def _alone(volume: Volume, other: Volume) -> np.ndarray:
    """What another stack predicts of it, interpolated."""
    step = min(other.grid.spacing)
    upscaled = upscale(other, Request("lanczos", spacing=(step,) * 3)).volume
    return _predicted(volume, upscaled, registration.match(other, volume, PLAIN, step).pose)


def _predicted(volume: Volume, sharp: Volume, pose: Pose, covered: np.ndarray | None = None) -> np.ndarray:
    """What a sharp volume predicts of a stack, wherever each of its slices lies; no number where nothing."""
    scan = Volume(volume.array.astype(np.float32), volume.grid)
    fine = Volume(sharp.array.astype(np.float32), sharp.grid)
    pose = registration.refine(scan, PLAIN[0], fine, pose, covered=covered).pose
    moved = slice_motion.find(scan, PLAIN[0], fine, pose, covered)
    stack = stacks.observe(scan, PLAIN[0], fine.grid, pose, moved)
    if stack is None:
        return np.full(scan.array.shape, np.nan, np.float32)
    if covered is not None:
        stack.look_at(covered)
    prediction = stack.see(fine.array)
    coefficients, _alike, _sigma = registration.fit(stack, prediction)
    return stack.as_scanned(coefficients[0] * prediction + coefficients[1])


def _between(volume: Volume) -> np.ndarray:
    """Every slice as the mean of those beside it."""
    axis = 2 - slice_axis(volume.grid.spacing)
    array = np.moveaxis(volume.array.astype(np.float32), axis, 0)
    means = np.pad((array[:-2] + array[2:]) / 2, ((1, 1), (0, 0), (0, 0)), "edge")
    return np.moveaxis(means, 0, axis)


def _scores(
    volume: Volume, combined: np.ndarray | None, others: Sequence[np.ndarray], slices: Sequence[int] | None = None
) -> tuple[Score | None, Score]:
    """The combination's, and the best of the others', in tissue that all of them predict; of all slices or some."""
    made = [one for one in (combined, *others) if one is not None]
    mask = quality.foreground(volume.array, "MR") & np.isfinite(made).all(axis=0)
    if slices is not None:
        chosen = np.isin(np.arange(volume.grid.size[slice_axis(volume.grid.spacing)]), slices)
        mask &= np.expand_dims(chosen, [n for n in range(3) if n != 2 - slice_axis(volume.grid.spacing)])
    peak = quality.data_range(volume.array)
    scores = []
    for one in made:
        psnr = float(quality.psnr(np.where(mask, one, 0), volume.array, mask, peak))
        scores.append((psnr, float(np.corrcoef(volume.array[mask], one[mask])[0, 1])))
    return (None, max(scores)) if combined is None else (scores[0], max(scores[1:]))


def _singles(stack: Simulated, models: Sequence[str], modality: str, device: str) -> list[tuple[float, float, str]]:
    """PSNR, SSIM and name of what each method makes of one stack alone, on its own axes."""
    truth = stack.truth.array
    mask, peak = quality.foreground(truth, modality), quality.data_range(truth)
    factor = stack.truth.grid.size[2] / stack.volume.grid.size[2]
    made = {}
    for model in dict.fromkeys(["lanczos", "backprojection", *models]):
        request = Request(model, scale=(1.0, 1.0, factor), modality=modality, device=device)
        made[model] = upscale(stack.volume, request).volume.array
    scan = scan_of(stack.volume, stack.scanner, modality)
    alone = scan.on(stack.truth.grid)
    if alone is not None:
        solved = System([alone], truth.shape, smoothness(scan)).solve()
        made[SOLVED] = scan.units.to_type(solved, np.dtype(np.float32))
    return [(quality.psnr(a, truth, mask, peak), quality.ssim(a, truth, mask, peak), name) for name, a in made.items()]
