"""Degrade, restore, score: every method on the same low-resolution volume, beside the classical ones."""

from __future__ import annotations

import fnmatch
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import quality
from ..engine.checks import all_numbers, check_device, check_request, filled
from ..engine.errors import RefusalError, about
from ..engine.physics import degradation
from ..engine.physics.scanner import Scanner, of_blur
from ..engine.upscale import Request, upscale
from ..engine.volumes import files, intensity
from ..engine.volumes.grid import Volume
from .precision import middle

if TYPE_CHECKING:
    from .perception import Perception

# For a result that differs in nothing, whose PSNR has no bound.
BEST_PSNR = 200.0
# Back-projection as others have it: in rounds, which believe all of a scan, and one blur of every scan.
ROUNDS, ROUNDS_COUNT = "rounds", 5
BASELINES = ("linear", "bspline", "lanczos", ROUNDS)
# The bar where the blur is unknown: the better of these two, volume by volume.
BEST_CLASSICAL = ("lanczos", ROUNDS)
SCORE_COLUMNS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "over_lanczos": "over Lanczos",
    "over_backprojection": "over back-projection",
    "over_best_classical": "over best classical",
    "residual": "residual %",
    "harm": "harm %",
    "lpips": "LPIPS",
    "fid": "FID",
}
# How a card's sentence begins when a classical method was better.
SHORTFALLS = {"over_lanczos": "Worse than Lanczos under", "over_backprojection": "Worse than back-projection under"}
# Measures that are not relative to another method.
QUALITIES = ("psnr", "ssim", "lpips", "fid")
# Where Lanczos is within this fraction of the range from the truth, there is nothing to improve.
ALREADY_RIGHT = 0.01
# A factor of evaluation is a whole number of such parts of a voxel at the least.
MOST_PARTS = 8


@dataclass(frozen=True)
class Score:
    """One method on one volume. `residual` and `harm` are in percent of the intensity range."""

    volume: str
    modality: str
    model: str
    psnr: float
    ssim: float
    # Mean |degraded result - low-resolution volume|.
    residual: float
    # Mean error where Lanczos was already within 1% of the truth: what a model degrades or hallucinates there.
    harm: float
    seconds: float
    # LPIPS of its slices, and FID over the slices of all counted volumes of the modality, if asked for.
    lpips: float | None = None
    fid: float | None = None
    # Listed, but not part of the means (a volume of a subject that training saw).
    aside: bool = False


@dataclass(frozen=True)
class Case:
    """A low-resolution volume, the truth it was made from, and what methods are told of how."""

    name: str
    modality: str
    low: Volume
    truth: np.ndarray
    scanner: Scanner


def make_case(
    path: Path, factor: Sequence[float], protocol: str, fill_nonfinite: bool = False, crop: int | None = None
) -> Case:
    """Read a volume, cut it so that the factor (i, j, k) leaves whole voxels, and degrade it.

    With `crop` it is only so many voxels a side: where most tissue is, put where the volume begins.
    """
    with about(path.name):
        volume = files.read(path).volume
        array = volume.array if all_numbers(volume.array) else filled(volume.array, fill_nonfinite)
    modality = intensity.guess_modality(array)  # of which a part may not show enough
    if crop:
        array = array[middle(array, crop)]
    parts = [_fraction(f) for f in factor[::-1]]
    if any(n < part.numerator for n, part in zip(array.shape, parts)):
        raise RefusalError(f"{path.name} has fewer voxels than the factor along some axis; leave it out.")
    truth = array[tuple(slice(0, n - n % part.numerator) for n, part in zip(array.shape, parts))].astype(np.float32)
    low = degradation.observe(truth, [float(part) for part in parts], protocol, path.name)
    k, j, i = truth.shape
    grid = volume.grid.cropped(((0, i), (0, j), (0, k))).refined(low.shape[::-1])
    told = degradation.PROTOCOLS[protocol].told
    scanner = of_blur(degradation.drawn(protocol, path.name), grid.spacing) if told else Scanner()
    return Case(path.name, modality, Volume(low, grid), truth, scanner)


def check_factor(factor: Sequence[float], most_parts: int = MOST_PARTS) -> None:
    """Refuse what volumes cannot be degraded by: a factor is a fraction, of a voxel divided into few parts."""
    fractions = all(_fraction(f) == f and _fraction(f).denominator <= most_parts for f in factor)
    if min(factor) < 1 or max(factor) == 1 or not fractions:
        kind = "whole factors; give for example 2, 4" if most_parts == 1 else "factors such as 2, 1.5, 2.25"
        raise RefusalError(f"Evaluation degrades by {kind} or 1,1,4.")


def _fraction(f: float) -> Fraction:
    return Fraction(f).limit_denominator(MOST_PARTS)


def evaluate(
    models: Sequence[str],
    volumes: Path,
    factor: Sequence[float],
    protocol: str = "profile",
    aside: Sequence[str] = (),
    device: str = "auto",
    consistency: int | None = None,
    perception: Perception | None = None,
    tell: Callable[[str], None] = lambda line: None,
    fill_nonfinite: bool = False,
    crop: int | None = None,
) -> list[Score]:
    """Scores of the baselines and the models on every volume of a folder, or on the middles of them."""
    check_factor(factor)
    i, j, k = map(float, factor)
    scale = (i, j, k)
    for model in models:
        card = check_request(Request(model, scale=scale, consistency=consistency))
        if card is not None and card.learned:
            check_device(device)
    methods = list(dict.fromkeys([*BASELINES, *models]))
    scores = []
    for path in files.volumes_in(volumes):
        case = make_case(path, factor, protocol, fill_nonfinite, crop)
        mask = quality.foreground(case.truth, case.modality)
        peak = quality.data_range(case.truth)
        if not 0 < peak < np.inf or not mask.any():
            raise RefusalError(f"{path.name} has nothing to score: it is empty, too small or all alike; leave it out.")
        set_aside = any(fnmatch.fnmatch(case.name, pattern) for pattern in aside)
        if perception is not None:
            perception.meet(case.truth, case.modality, counted=not set_aside)
        right = None
        for model in sorted(methods, key=lambda m: m != "lanczos"):
            with about(path.name):
                result = upscale(case.low, _request(model, case, scale, device, consistency))
            array = result.volume.array
            error = np.abs(array - case.truth)
            if right is None:
                right = mask & (error < ALREADY_RIGHT * peak)
            scores.append(
                Score(
                    volume=case.name,
                    modality=case.modality,
                    model=model,
                    psnr=min(quality.psnr(array, case.truth, mask, peak), BEST_PSNR),
                    ssim=quality.ssim(array, case.truth, mask, peak),
                    residual=100 * result.report.consistency_residual / peak,
                    harm=100 * float(error[right].mean()) / peak if right.any() else 0.0,
                    seconds=result.report.seconds,
                    lpips=None if perception is None else perception.judge(array, model),
                    aside=set_aside,
                )
            )
            tell(f"{case.name}  {model}  {scores[-1].psnr:.2f} dB")
    if perception is not None:
        fids = {pair: perception.fid(*pair) for pair in {(s.modality, s.model) for s in scores}}
        scores = [replace(s, fid=None if s.aside else fids[s.modality, s.model]) for s in scores]
    return sorted(scores, key=lambda s: (s.volume, methods.index(s.model)))


def _request(
    method: str, case: Case, scale: tuple[float, float, float], device: str, consistency: int | None
) -> Request:
    """What a method is asked for. Rounds know nothing of the scanner: where it is told they are the exact step."""
    if method == ROUNDS:
        method, consistency = "backprojection", ROUNDS_COUNT if case.scanner == Scanner() else None
    elif method in BASELINES:
        consistency = None
    return Request(
        method, scale=scale, device=device, modality=case.modality, consistency=consistency, scanner=case.scanner
    )


def gains(scores: Iterable[Score], model: str, crop: int | None = None) -> dict[str, dict[str, Any]]:
    """Per modality: mean and standard deviation over volumes of PSNR, SSIM, and the gains in dB.

    With perceptual scores also those, and the scores of the baselines, which have no cards, under "classical".
    """
    counted = [s for s in scores if not s.aside]
    psnr = {(s.volume, s.model): s.psnr for s in counted}
    result: dict[str, dict[str, Any]] = {}
    for modality in sorted({s.modality for s in counted}, reverse=True):
        own = [s for s in counted if s.model == model and s.modality == modality]
        if not own:
            continue
        best = {s.volume: max(psnr[s.volume, method] for method in BEST_CLASSICAL) for s in own}
        result[modality] = {
            **_qualities(own),
            "over_lanczos": _spread([s.psnr - psnr[s.volume, "lanczos"] for s in own]),
            "over_backprojection": _spread([s.psnr - psnr[s.volume, ROUNDS] for s in own]),
            "over_best_classical": _spread([s.psnr - best[s.volume] for s in own]),
            "residual": _spread([s.residual for s in own]),
            "harm": _spread([s.harm for s in own]),
            "volumes": [float(len(own))],
            **({"crop": [float(crop)]} if crop else {}),
        }
        if own[0].lpips is not None:
            result[modality]["classical"] = {
                method: _qualities([s for s in counted if (s.model, s.modality) == (method, modality)])
                for method in BASELINES
            }
    return result


def shortfalls(measured: Mapping[str, Mapping]) -> tuple[str, ...]:
    """Where a model is worse than a classical method, from its gains under each protocol: limits for its card."""
    return tuple(
        f'{words} "{protocol}", {modality}: {-values[column][0]:.2f} dB.'
        for protocol, modalities in measured.items()
        for modality, values in modalities.items()
        for column, words in SHORTFALLS.items()
        if values[column][0] < 0
    )


def table(scores: Sequence[Score]) -> str:
    """Per volume, then mean and standard deviation for MR and CT, as Markdown."""
    models = list(dict.fromkeys(s.model for s in scores))
    lines = ["| volume | " + " | ".join(models) + " |", "|---|" + "---:|" * len(models)]
    for volume in dict.fromkeys(s.volume for s in scores):
        row = {s.model: s for s in scores if s.volume == volume}
        mark = " (aside)" if next(iter(row.values())).aside else ""
        cells = [f"{row[m].psnr:.2f} / {row[m].ssim:.4f}" for m in models]
        lines.append(f"| {volume}{mark} | " + " | ".join(cells) + " |")
    looks = scores[0].lpips is not None
    columns = {name: words for name, words in SCORE_COLUMNS.items() if looks or name not in ("lpips", "fid")}
    lines += ["", f"| | model | {' | '.join(columns.values())} |", f"|---|---|{'---:|' * len(columns)}"]
    for modality in ("MR", "CT"):
        for model in models:
            values = gains(scores, model).get(modality)
            if values:
                cells = [_cell(column, values[column]) for column in columns]
                lines.append(f"| {modality} ({values['volumes'][0]:.0f}) | {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def to_json(scores: Sequence[Score]) -> list[dict]:
    """Plain values."""
    return [asdict(score) for score in scores]


def _qualities(scores: Sequence[Score]) -> dict[str, list[float]]:
    return {
        name: _spread([getattr(s, name) for s in scores]) for name in QUALITIES if getattr(scores[0], name) is not None
    }


def _spread(values: Sequence[float]) -> list[float]:
    return [round(statistics.fmean(values), 4), round(statistics.stdev(values), 4) if len(values) > 1 else 0.0]


def _cell(column: str, value: Sequence[float]) -> str:
    digits = 4 if column in ("ssim", "lpips") else 2
    sign = "+" if column.startswith("over") else ""
    return f"{value[0]:{sign}.{digits}f} ± {value[1]:.{digits}f}"
